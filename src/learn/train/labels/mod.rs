//! Step `labels`: tables of labels to exams, slice labels, and what each exam is used for.
//!
//! An empty slice label means unlabelled, never 0. An indeterminate exam is neither positive nor negative and is left
//! out. Every exclusion is a row with its reason and the line of the table that gave it.

mod cohorts;
mod exam;
mod exclusion_list;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod patients;
mod row_error;
mod split;
mod split_table;
mod table;
mod targets;

pub(crate) use cohorts::{Labels, read};
#[cfg(test)]
pub(crate) use exam::{Cohort, testing};
pub(crate) use exam::{Exam, Exclusion, SliceLabel};
pub(crate) use patients::tell_apart;
pub(crate) use row_error::RowError;
pub(crate) use split::{Place, Split, assign_places};
pub(crate) use split_table::SplitTable;
pub(crate) use table::Further;
pub(crate) use targets::TargetLabels;
