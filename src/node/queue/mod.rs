//! The rules of the queue, without IO: which state of a job or a delivery follows which, how often something is tried,
//! how long the pauses are, and when it is given up.
//!
//! A rule is a function of the progress of a job or delivery, the event, the settings and the time. It returns the
//! progress after the event, or says that the event cannot happen. `node::store` keeps the rows and applies the rules
//! to them; nothing else changes a state.

mod backoff;
mod commitment;
mod commitment_report;
mod delivery;
mod delivery_state;
mod illegal;
mod job;
mod job_state;
mod refusal;
mod rules;

pub use commitment::{
    Commitment, CommitmentId, CommitmentInstance, CommitmentRequest, CommitmentState,
    LONGEST_PAUSE as LONGEST_COMMITMENT_PAUSE, Verdict,
};
pub use commitment_report::{CommitmentReport, ReferencedObject};
pub use delivery::{Confirmation, Delivery, DeliveryFailure, DeliveryOutcome};
pub use delivery_state::{DeliveryEvent, DeliveryProgress, DeliveryState};
pub use illegal::IllegalTransition;
pub use job::{Job, JobId, Selection};
pub use job_state::{JobEvent, JobProgress, JobState};
pub use refusal::{Refusal, RefusalCause, RefusedImages};
pub use rules::{Patience, Rules};
