//! Who hears what became of the objects.

use std::future::Future;

use crate::node::queue::DeliveryOutcome;

/// Hears what became of each object before the next one is sent: an answer that is not recorded is lost when the node
/// ends.
pub(super) trait Answers: Send {
    /// The object at this place of those that are sent. The reason of a failure is free of patient data.
    fn note(&mut self, place: usize, outcome: DeliveryOutcome) -> impl Future<Output = ()> + Send;
}
