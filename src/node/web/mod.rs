//! The HTTP interface: API, health, metrics, dashboard and DICOMweb, all on one listener.

mod api;
mod conflicts;
mod dashboard;
mod deliveries;
mod health;
mod listing;
mod locality;
mod metrics;
mod models;
mod rejections;
mod router;
mod services;
#[cfg(test)]
mod tests;
mod viewer;

pub use router::router;
pub use services::{DestinationEntry, Services};
pub use viewer::{Viewer, ViewerError};
