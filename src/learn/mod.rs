//! Offline: synthetic exams, and training of new models from exams with few slice labels.

pub mod phantom;
#[cfg(feature = "train")]
pub mod train;
