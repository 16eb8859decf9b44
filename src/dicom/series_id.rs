//! Which series is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Uid;

/// A series and the study it belongs to. Both are needed: a Series Instance UID is unique by the standard, but archives
/// have held the same one in two studies.
///
/// ```
/// use pe_node::dicom::{SeriesId, Uid};
///
/// let series = SeriesId::new(Uid::parse("1.2.3")?, Uid::parse("1.2.3.4")?);
/// assert_eq!(series.to_string(), "series 1.2.3.4 of study 1.2.3");
/// # Ok::<(), pe_node::dicom::uid::UidError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesId {
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: Uid,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: Uid,
}

impl SeriesId {
    /// The series of these two identifiers.
    pub fn new(study_instance_uid: Uid, series_instance_uid: Uid) -> Self {
        Self { study_instance_uid, series_instance_uid }
    }
}

impl fmt::Display for SeriesId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "series {} of study {}", self.series_instance_uid, self.study_instance_uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_written_as_its_two_identifiers() {
        let uid = |text: &str| Uid::parse(text).expect("uid");
        let series = SeriesId::new(uid("1.2"), uid("1.2.3"));
        let json = serde_json::to_string(&series).expect("JSON");
        assert_eq!(json, r#"{"study_instance_uid":"1.2","series_instance_uid":"1.2.3"}"#);
        assert_eq!(serde_json::from_str::<SeriesId>(&json).expect("series"), series);
    }
}
