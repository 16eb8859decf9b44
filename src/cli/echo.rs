//! `pe-node echo`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::CliError;
use crate::dicom::AeTitle;
use crate::node::dimse::scu::{self, Peer};

/// Who is called, and as whom.
#[derive(Debug, Args)]
pub(super) struct PeerArguments {
    /// Host and port of the peer
    #[arg(value_name = "HOST:PORT")]
    address: String,
    /// Called AE title
    #[arg(long = "ae-title", value_name = "TITLE", default_value = "PE-NODE", value_parser = AeTitle::parse)]
    called: AeTitle,
    /// Calling AE title
    #[arg(long = "calling", value_name = "TITLE", default_value = "PE-NODE-SCU", value_parser = AeTitle::parse)]
    calling: AeTitle,
    /// Seconds to wait for the connection and for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

impl PeerArguments {
    pub(super) fn peer(&self) -> Peer {
        Peer {
            address: self.address.clone(),
            called: self.called.clone(),
            calling: self.calling.clone(),
            timeout: Duration::from_secs(self.timeout.max(1)),
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    peer: PeerArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let peer = arguments.peer.peer();
    let runtime = runtime()?;
    let start = Instant::now();
    runtime.block_on(scu::echo(&peer)).map_err(|error| CliError::failed(&error))?;
    println!("{} at {} answers ({} ms).", peer.called, peer.address, start.elapsed().as_millis());
    Ok(ExitCode::SUCCESS)
}

/// One thread is plenty for one association.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| CliError::failed(&error))
}
