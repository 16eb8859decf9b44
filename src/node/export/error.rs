//! Why nothing was exported.

use std::io;
use std::path::{Path, PathBuf};

use crate::cohort::TableError;
use crate::node::store::StoreError;

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The table of labels.
    #[error(
        "{path}{place}: {problem}; a table has the columns StudyInstanceUID or AccessionNumber, and pe_present_in_exam \
         (0 or 1)", path = path.display(), place = line.map_or_else(String::new, |line| format!(", line {line}"))
    )]
    Table {
        /// The file.
        path: PathBuf,
        /// Its line, where one is at fault.
        line: Option<u64>,
        /// What is wrong.
        problem: String,
    },
    /// The index.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk.
    #[error("{action} {path}: {source}", path = path.display())]
    Disk {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A table cannot be written.
    #[error(transparent)]
    Write(#[from] TableError),
}

impl ExportError {
    pub(super) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, path: path.to_owned(), source }
    }
}
