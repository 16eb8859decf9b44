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
mod counts;
mod database;
mod deliveries;
mod error;
mod handle;
mod holdings;
mod index;
mod jobs;
mod notices;
mod progress;
mod reader;
mod refusals;
mod results;
mod rows;
mod series;
mod series_views;
mod shadow;
mod studies;
mod views;

pub use attempts::ChangedDecision;
pub use counts::Counts;
pub use error::StoreError;
pub use handle::Store;
pub use holdings::HeldSeries;
pub use index::{
    BlobName, IndexedInstance, InstanceId, Level, MissingIdentifier, Origin, Query, ReceivedInstance, Scope, Stored,
    Unfiled, Visibility,
};
pub use notices::{DueNotice, DueRejectionNote};
pub use reader::StoreReader;
pub use series::{SeriesMember, UnassembledSeries};
pub use shadow::{Comparison, ShadowCase, ShadowView};
pub use views::{DeliveryView, EarlierResult, JobView, LaterImages, Outcome, SeriesProgress, SeriesView, StudyView};

#[cfg(test)]
mod tests;
