//! The HTTP interface: API, health, metrics and dashboard, and DICOMweb beside them on one listener.

mod api;
mod dashboard;
mod health;
mod metrics;
mod models;
mod router;
mod services;
#[cfg(test)]
mod tests;

pub use router::router;
pub use services::{DestinationEntry, Services};
