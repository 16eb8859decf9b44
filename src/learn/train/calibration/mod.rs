//! From logits to probabilities and decisions, on validation exams alone.

mod cross_fitting;
mod fitting;
mod isotonic;
mod operating_point;
mod out_of_bag;
mod platt;
mod prior;
mod quantile;

pub(crate) use cross_fitting::cross_fitted;
pub(crate) use fitting::{FEW, fit};
pub(crate) use operating_point::{Rule, operating_point};
pub(crate) use out_of_bag::{Expected, Validated};
