//! The durable archive: objects as files, listed by the store. What it has acknowledged is never lost.
//!
//! An object is written beside its place and made durable, renamed into its place, the folder is made durable, and the
//! index is committed; only then does [`Archive::store`] return. Whatever instant the node dies at, an object is either
//! acknowledged and whole, or unacknowledged and removed at the next start.
//!
//! An object's bytes stay as they were received; its file is named by digest, never by received text.

mod blobs;
mod changes;
mod corrections;
mod error;
mod handle;
mod integrity;
mod part10;
mod reader;
mod reconciliation;
mod records;
mod recovery;
mod rejections;
mod rewriting;
mod samples;
mod stored;

pub use crate::node::store::{
    InstanceId, InvalidKey, ItemKeys, Level, Origin, Query, ReceivedInstance, Rights, Scope, Stored, Unfiled, keyword,
    searchable,
};
pub use corrections::Accepted;
pub use error::{ArchiveError, Conflict, DecisionError};
pub use handle::Archive;
pub use integrity::DamagedObject;
pub use reader::ArchiveReader;
pub use stored::StoredInstance;

#[cfg(test)]
mod correction_testing;
#[cfg(test)]
mod correction_tests;
#[cfg(test)]
mod identity_tests;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod rejection_tests;
#[cfg(test)]
pub(in crate::node) mod testing;
#[cfg(test)]
mod tests;
