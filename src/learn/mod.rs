//! Offline: synthetic exams, and learning new models from exams with few slice labels.

pub mod phantom;
#[cfg(feature = "train")]
pub mod train;
