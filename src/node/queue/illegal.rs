//! What the rules do not allow.

use std::fmt;

/// Something that cannot happen to a job or a delivery in the state that it is in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot be {event}: it is {state}")]
pub struct IllegalTransition<State: fmt::Display> {
    /// The state that it is in.
    pub state: State,
    /// What was to happen, as a participle: `claimed`, `retried`.
    pub event: &'static str,
}
