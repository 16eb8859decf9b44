//! What DICOMweb, the API and the dashboard share: connections within limits, layers around the routes, and problem
//! details for what cannot be done. Nothing here knows a route.

pub mod client;
mod connections;
mod external;
mod layers;
pub(crate) mod problem;
mod stall;

pub use connections::serve;
pub(crate) use external::External;
pub use layers::LayersError;
pub(crate) use layers::around;
pub(crate) use problem::{HttpResult, Problem};
