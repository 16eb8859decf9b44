//! Writing a model package, checked by the program that serves it before it takes its place.

mod draft;
mod manifest;
mod other_software;
mod parity;
mod writing;

pub(crate) use draft::{open_draft, write_draft};
pub(crate) use manifest::notice;
pub(crate) use other_software::{NetworkFiles, write_draft_of_files};
pub(crate) use parity::Networks;
pub(crate) use writing::{publish, write, write_again};
