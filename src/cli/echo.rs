//! `pe-node echo`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::CliError;
use super::peer::{PeerArguments, runtime};
use crate::node::dimse::scu;

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
