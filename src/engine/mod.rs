//! Slices in, findings and objects out. No network connection, no clock, no async runtime: the result depends on the
//! instances, the model packages and the settings alone.
//!
//! `volume < models < analyse < report < pipeline`; [`pipeline`] has the one function that runs them all.

pub mod analyse;
pub mod models;
pub mod pipeline;
pub mod report;
pub mod volume;
