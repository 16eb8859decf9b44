//! `pe-node analyse`: the node's own analysis process. Not for use by hand.

use std::process::ExitCode;

use super::CliError;
use crate::node::worker::child::{self, ChildError};

/// Serves requests until standard input ends.
pub(super) fn run() -> Result<ExitCode, CliError> {
    match child::serve() {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // The node has the reason already and reports it.
        Err(ChildError::Unable(_)) => Ok(ExitCode::FAILURE),
        Err(error @ ChildError::Answer(_)) => Err(CliError::Failed(error.to_string())),
        Err(error) => Err(CliError::Usage(error.to_string())),
    }
}
