//! Another application entity on the command line, and the runtime of an association with it.

use std::time::Duration;

use clap::Args;
use tokio::runtime::{Builder, Runtime};

use super::CliError;
use crate::dicom::AeTitle;
use crate::node::dimse::scu::Peer;

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
            originator: None,
        }
    }
}

/// One thread is plenty for one association.
pub(super) fn runtime() -> Result<Runtime, CliError> {
    Builder::new_current_thread().enable_all().build().map_err(|error| CliError::failed(&error))
}
