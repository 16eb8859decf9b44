//! Objects that were sent to the node and refused, and how an analysis is told of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::dicom::bounded::ReadError;
use crate::dicom::{SeriesId, Uid};
use crate::engine::volume::Refused;

/// Why an object was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RefusalCause {
    /// The archive was full.
    Full,
    /// A fault of this node: its disk, its index, or it was stopping.
    Fault,
    /// The object is damaged, not complete, or claims more than the limits allow.
    Unreadable,
    /// The data set is not what its sender announced.
    Contradiction,
    /// It was sent to the address of another study.
    OtherStudy,
    /// An object of another series has its SOP Instance UID.
    Conflict,
    /// Another object of its series has its SOP Instance UID: it is a slice that the series lacks, or a changed copy of
    /// one that it has.
    ConflictInSeries,
}

impl RefusalCause {
    /// The name in the database.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What became of the object, for people.
    fn outcome(self) -> &'static str {
        match self {
            Self::ConflictInSeries => "refused or held on arrival",
            Self::Conflict | Self::Full | Self::Fault | Self::Unreadable | Self::Contradiction | Self::OtherStudy => {
                "refused on arrival"
            }
        }
    }

    /// The cause in a few words, for people.
    fn meaning(self) -> &'static str {
        match self {
            Self::Full => "the archive of the node was full",
            Self::Fault => "the disk or the index of the node failed",
            Self::Unreadable => "damaged, not complete or beyond the limits",
            Self::Contradiction => "not what the sender had announced",
            Self::OtherStudy => "sent to the address of another study",
            Self::Conflict | Self::ConflictInSeries => "another object has the same SOP Instance UID",
        }
    }
}

impl From<&ReadError> for RefusalCause {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Truncated(_) | ReadError::Hostile(_) | ReadError::Unreadable(_) => Self::Unreadable,
            ReadError::Io(_) => Self::Fault,
        }
    }
}

/// An object that was refused, where its header could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The series that it belongs to.
    pub series: SeriesId,
    /// SOP Instance UID.
    pub sop_instance_uid: Uid,
    /// Why it was refused.
    pub cause: RefusalCause,
    /// When.
    pub at: Timestamp,
}

/// Images of a series that were refused for one cause and did not come into it since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedImages {
    /// Why.
    pub cause: RefusalCause,
    /// How many.
    pub images: u64,
    /// When the first one was refused.
    pub first_at: Timestamp,
    /// When the last one was refused; one that was sent again counts with its last time.
    pub last_at: Timestamp,
}

impl From<&RefusedImages> for Refused {
    fn from(refused: &RefusedImages) -> Self {
        let [first, last] = [refused.first_at, refused.last_at].map(|time| time.strftime("%Y-%m-%d %H:%M").to_string());
        let time = if first == last { format!("at {first}") } else { format!("from {first} to {last}") };
        Self {
            images: usize::try_from(refused.images).unwrap_or(usize::MAX),
            explanation: format!("{}, {time} UTC: {}", refused.cause.outcome(), refused.cause.meaning()),
            lacked: refused.cause != RefusalCause::ConflictInSeries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_images_are_told_with_the_time_of_their_arrival_and_the_cause() {
        let time = |text: &str| text.parse::<Timestamp>().expect("a time");
        let (first_at, last_at) = (time("2026-11-30T10:02:01Z"), time("2026-11-30T10:02:59Z"));
        let refused = RefusedImages { cause: RefusalCause::Full, images: 12, first_at, last_at };
        let explanation = "refused on arrival, at 2026-11-30 10:02 UTC: the archive of the node was full".to_owned();
        assert_eq!(Refused::from(&refused), Refused { images: 12, explanation, lacked: true });
        let later = RefusedImages { last_at: time("2026-11-30T11:00:00Z"), ..refused };
        assert!(Refused::from(&later).explanation.contains("from 2026-11-30 10:02 to 2026-11-30 11:00 UTC"));
    }

    #[test]
    fn what_has_a_known_identifier_may_be_a_copy_within_its_series() {
        let at = "2026-11-30T10:02:01Z".parse::<Timestamp>().expect("a time");
        for (cause, outcome, lacked) in [
            (RefusalCause::Conflict, "refused on arrival", true),
            (RefusalCause::ConflictInSeries, "refused or held on arrival", false),
        ] {
            let refused = Refused::from(&RefusedImages { cause, images: 1, first_at: at, last_at: at });
            let explanation =
                format!("{outcome}, at 2026-11-30 10:02 UTC: another object has the same SOP Instance UID");
            assert_eq!(refused, Refused { images: 1, explanation, lacked });
        }
    }
}
