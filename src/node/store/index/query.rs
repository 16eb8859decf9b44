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
    /// Matching keys. [`Query::unmatched`] says which of them a search at a level takes no notice of.
    pub matching: Vec<(Tag, String)>,
    /// Keys inside sequences, one entry per sequence.
    pub sequences: Vec<ItemKeys>,
    /// Attributes asked for beyond the standard's list.
    pub include: Vec<Tag>,
    /// Return every attribute that the index holds (`includefield=all`).
    pub include_all: bool,
    /// Return no more than this many.
    pub limit: Option<u32>,
    /// Skip this many first.
    pub offset: u32,
}

/// Keys inside a sequence: one of its items has to match all of them
/// ([PS3.4 C.2.2.2.6](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_C.2.2.2.6.html)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemKeys {
    /// The sequence.
    pub sequence: Tag,
    /// Keys of its items.
    pub matching: Vec<(Tag, String)>,
    /// Keys inside sequences of its items.
    pub sequences: Vec<ItemKeys>,
}

impl ItemKeys {
    /// Adds a key at `path`, which ends with the attribute itself, to those of `sequences`.
    ///
    /// # Panics
    /// If the path has fewer than two attributes.
    pub fn add(sequences: &mut Vec<Self>, path: &[Tag], pattern: String) {
        let (sequence, rest) = path.split_first().expect("a sequence and an attribute");
        let position = sequences.iter().position(|keys| keys.sequence == *sequence).unwrap_or_else(|| {
            sequences.push(Self { sequence: *sequence, matching: Vec::new(), sequences: Vec::new() });
            sequences.len() - 1
        });
        let keys = &mut sequences[position];
        match rest {
            [attribute] => keys.matching.push((*attribute, pattern)),
            nested => Self::add(&mut keys.sequences, nested, pattern),
        }
    }
}
