//! `pe-node serve`.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;

use super::{CliError, Settings};
use crate::config::Config;
use crate::node::serve::{Listeners, Node};
use crate::node::shutdown::{self, Shutdown};
use crate::node::telemetry;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let config = arguments.settings.load()?;
    telemetry::start_logging(&config.log).map_err(|error| CliError::Usage(error.to_string()))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| CliError::failed(&error))?;
    runtime.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> Result<(), CliError> {
    let shutdown = Shutdown::new();
    shutdown::on_signals(&shutdown).map_err(|error| CliError::failed(&error))?;
    let ae_title = config.dicom.ae_title.clone();
    let listeners = Listeners::open(&config.dicom, &config.http).await.map_err(|error| CliError::failed(&error))?;
    let (dicom, http) = listeners.addresses().map_err(|error| CliError::failed(&error))?;
    let node = Box::pin(Node::start(config, listeners)).await.map_err(|error| CliError::failed(&error))?;
    // Scripts wait for these two lines; standard output may be a pipe, or closed.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "DICOM  {ae_title}@{dicom}\nHTTP   http://{http}");
    let _ = out.flush();
    drop(out);
    node.run(shutdown).await.map_err(|error| CliError::failed(&error))
}
