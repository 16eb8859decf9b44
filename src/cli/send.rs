//! `pe-node send`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::peer::{PeerArguments, runtime};
use super::{CliError, Settings};
use crate::dicom::bounded::Limits;
use crate::node::dimse::scu::{self, Outgoing, SendOutcome};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    peer: PeerArguments,
    /// DICOM files, and folders of them; files of a folder that are not DICOM are left out
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let limits = arguments.settings.load()?.limits;
    let selection = select(&arguments.paths, &limits)?;
    if selection.objects.is_empty() && selection.failures == 0 {
        return Err(CliError::Usage("there is no DICOM file among the paths".to_owned()));
    }
    let peer = arguments.peer.peer();
    let progress = ProgressBar::new(selection.objects.len() as u64).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} objects, {per_sec}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut broken = false;
    let outcomes = runtime()?.block_on(scu::store(&peer, &selection.objects, &limits, |place, outcome| {
        progress.inc(1);
        // Once an association has failed, the rest of its objects fail with it: one line reports them all.
        let said = broken && matches!(outcome, SendOutcome::Unsent(_));
        broken = matches!(outcome, SendOutcome::Unsent(_));
        if !outcome.is_stored() && !said {
            progress.suspend(|| eprintln!("{}: {outcome}", selection.objects[place].source));
        }
    }));
    progress.finish_and_clear();
    let stored = outcomes.iter().filter(|outcome| outcome.is_stored()).count();
    println!(
        "{stored} of {} objects stored at {} ({}).",
        outcomes.len() + selection.failures,
        peer.called,
        peer.address
    );
    let complete = stored == outcomes.len() && selection.failures == 0;
    Ok(ExitCode::from(u8::from(!complete)))
}

#[derive(Default)]
struct Selection {
    objects: Vec<Outgoing>,
    /// Files that were named and cannot be sent.
    failures: usize,
}

/// All DICOM files under the paths, folders walked in the order of their names. A file that was named and is not
/// DICOM is a failure; one that merely lies in a folder is not.
fn select(paths: &[PathBuf], limits: &Limits) -> Result<Selection, CliError> {
    let mut selection = Selection::default();
    for path in paths {
        if path.is_dir() {
            let mut folders = vec![path.clone()];
            while let Some(folder) = folders.pop() {
                for entry in entries(&folder)? {
                    if entry.is_dir() {
                        folders.push(entry);
                    } else if let Ok(object) = Outgoing::identify(&entry, limits) {
                        selection.objects.push(object);
                    }
                }
            }
        } else {
            match Outgoing::identify(path, limits) {
                Ok(object) => selection.objects.push(object),
                Err(error) => {
                    eprintln!("{}: {error}", path.display());
                    selection.failures += 1;
                }
            }
        }
    }
    Ok(selection)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let failed = |error| CliError::Failed(format!("reading the folder {}: {error}", folder.display()));
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A link may lead anywhere, also back here.
        if !entry.file_type().map_err(failed)?.is_symlink() || entry.path().is_file() {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}
