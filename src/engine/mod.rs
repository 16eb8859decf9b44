//! Slices in, findings and objects out. No network, no clock, no async runtime: what is analysed depends on the
//! instances, the model packages and the settings alone.
//!
//! `volume < models < analyse < report < pipeline`; [`pipeline`] is the one function that says it all.

pub mod analyse;
pub mod models;
pub mod pipeline;
pub mod report;
pub mod volume;
