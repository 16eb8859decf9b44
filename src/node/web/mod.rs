//! The HTTP interface: API, health, metrics, dashboard and DICOMweb, all on one listener.

mod api;
mod dashboard;
mod deliveries;
mod health;
mod metrics;
mod models;
mod router;
mod services;
#[cfg(test)]
mod tests;

pub use router::router;
pub use services::{DestinationEntry, Services};
