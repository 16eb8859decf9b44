//! Who says whether an object is still to be sent, and hears what became of it.

use std::future::Future;

use crate::node::queue::DeliveryOutcome;

/// Is asked before each object is sent: while others were, it may have been withdrawn. Hears what became of each object
/// before the next one is sent: an answer that is not recorded is lost when the node ends.
pub(super) trait Answers: Send {
    /// Whether the object at this place of those that are sent is still to be sent. One that is not has no outcome.
    fn is_due(&mut self, place: usize) -> impl Future<Output = bool> + Send;

    /// The object at this place of those that are sent. The reason of a failure is free of patient data.
    fn note(&mut self, place: usize, outcome: DeliveryOutcome) -> impl Future<Output = ()> + Send;
}
