//! What is asked of the index, parsed.

use dicom_object::Tag;

/// The level of a query (PS3.18 10.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Search for studies.
    Study,
    /// Search for series.
    Series,
    /// Search for instances.
    Instance,
}

/// A QIDO-RS query, parsed: matching keys as (attribute, pattern) with the standard's matching rules
/// (wildcards `*` and `?`, date ranges, UID lists separated by commas or backslashes).
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Matching keys. Those that the level does not know are ignored.
    pub matching: Vec<(Tag, String)>,
    /// Attributes asked for beyond the standard's list.
    pub include: Vec<Tag>,
    /// Return every attribute that the index holds (`includefield=all`).
    pub include_all: bool,
    /// Return no more than this many.
    pub limit: Option<u32>,
    /// Skip this many first.
    pub offset: u32,
}
