//! The database. No other folder of the program knows which one it is.
//!
//! [`Store`] keeps the index of the archive, the jobs, their results and the deliveries of those. Each of its methods
//! that changes something is one transaction and is announced ([`Store::changes`]). The rules in `node::queue` decide
//! which state may follow which; what they do not allow is an error here and changes nothing.
//!
//! A job is made once for each series and set of instances. The worker leases it, and a lease ends with the run of the
//! node that took it. The bytes of results are durable before a job is recorded as analysed. Then job, results in the
//! index and deliveries change in one transaction, so each job has one result set, nobody sees a part of one, and each
//! result is delivered to each destination once.
//!
//! What a shadow model predicts is kept apart (`shadow`) and touches none of this.
//!
//! A job of a series whose instances have grown since is outdated: it is dropped if it has not begun. What it found if it
//! had begun is kept until the newer one ends. Which results are current, `results` decides.

mod attempts;
mod backup;
mod commitments;
mod conflict_views;
mod conflicts;
mod counts;
mod database;
mod deliveries;
mod dispositions;
mod error;
mod handle;
mod holdings;
mod index;
mod jobs;
mod notices;
mod page;
mod progress;
mod proposals;
mod reader;
mod records;
mod refusals;
mod rejection_notes;
mod rejections;
mod requested_commitments;
mod results;
mod rows;
mod series;
mod series_views;
mod shadow;
mod soundness;
mod studies;
mod time;
mod views;
mod voiding;

pub use attempts::ChangedDecision;
pub use conflict_views::{DifferingAttribute, ProposedCorrection, StudyConflict};
pub use conflicts::{ConflictState, Differing, HeldObject, SeriesDoubts};
pub use counts::Counts;
pub use dispositions::{DeliveryEntry, DeliveryFilter};
pub use error::StoreError;
pub use handle::Store;
pub use holdings::HeldSeries;
pub use index::{
    BlobName, Filed, IndexedInstance, InstanceId, InvalidKey, ItemKeys, KnownObject, Level, MissingIdentifier, Origin,
    Query, ReceivedInstance, Rights, Scope, Stored, Unfiled, Visibility, keyword, searchable,
};
pub use notices::DueNotice;
pub use page::{Cursor, CursorError, Listed, Page, Start};
pub use proposals::Proposal;
pub use reader::StoreReader;
pub use records::{CorrectionExtent, Record, RecordedChange, Replacement};
pub use rejection_notes::DueRejectionNote;
pub use series::{SeriesMember, UnassembledSeries};
pub use shadow::{Comparison, ShadowCase, ShadowView};
pub use views::{
    DeliveryView, EarlierResult, JobView, LaterImages, Outcome, SeriesProgress, SeriesView, StudyView, VoidResult,
};

#[cfg(test)]
mod tests;
