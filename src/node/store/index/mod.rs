//! The index of the archive: which objects there are, in which file each lies, and what a search may ask of it.

pub(super) mod attributes;
mod blob_name;
mod checking;
mod counting;
mod descriptions;
mod filing;
mod instance;
mod listing;
mod matching;
mod narrowing;
mod query;
mod reassembly;
mod search;
mod strays;
mod text;
mod unfiled;
mod visibility;

pub use attributes::searchable;
pub use blob_name::BlobName;
pub use checking::{InvalidKey, keyword};
pub(super) use descriptions::fold_descriptions;
pub(super) use filing::{Filer, file, replace, replace_study};
pub use instance::{Filed, IndexedInstance, KnownObject, Origin, ReceivedInstance, Rights, Scope, Stored};
pub use query::{ItemKeys, Level, Query};
pub(super) use reassembly::assemble_again;
pub(super) use strays::settle_study;
pub use unfiled::{InstanceId, MissingIdentifier, Unfiled};
pub use visibility::Visibility;
pub(super) use visibility::set_visibility;
