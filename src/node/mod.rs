//! Everything that waits: network, disk, queue.
//!
//! `queue (rules) < store < archive < export, assembly < http < dimse, dicomweb < deliver < worker < web`.
//! [`shutdown`], [`telemetry`], `clock`, `memory` and [`models`] know of none of them and serve all.

pub mod archive;
pub mod arrivals;
pub mod assembly;
mod clock;
pub mod deliver;
pub mod dicomweb;
pub mod dimse;
pub mod export;
pub mod http;
mod log_line;
mod memory;
pub mod models;
pub mod notices;
pub mod queue;
pub mod serve;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod web;
pub mod worker;
