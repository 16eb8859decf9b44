//! `report.html`: an evaluation on one page, for the people who have to judge it. Metrics with their intervals, curves,
//! calibration, calls at the operating point, groups of exams, the exams with the worst predictions, the course of the
//! fit, counts, exclusions, configuration. The page needs no other file.

mod cases;
mod charts;
mod comparison;
mod course;
mod curves;
mod groups;
mod markup;
mod metric_tables;
mod page;
mod sources;

pub(crate) use cases::{Case, Picture, worst};
pub use comparison::compare;
pub(crate) use course::Course;
pub(crate) use groups::Attributes;
pub(crate) use page::Report;
pub(crate) use sources::{add_acquisition, attributes, by_reason, counts};
