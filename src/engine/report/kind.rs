//! Kinds of result objects and their identities, apart from the objects themselves.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

use crate::dicom::Uid;

/// Kinds of result objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ResultKind {
    /// Structured report.
    Sr,
    /// Heat maps as Secondary Capture.
    Sc,
    /// Lung segmentation.
    Seg,
    /// Key object selection.
    Kos,
    /// Presentation state of the key slices.
    Pr,
    /// The heat map as a parametric map.
    Pm,
    /// The summary as a document.
    Pdf,
    /// A page that says why an exam was not analysed. No finding was made.
    Notice,
    /// A rejection note of results that newer ones replaced (IHE IOCM), for a destination that has them.
    #[serde(rename = "rejection-note")]
    #[strum(serialize = "rejection-note")]
    RejectionNote,
}

impl ResultKind {
    /// File stem and API name.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// True of what an analysis makes.
    pub fn is_finding(self) -> bool {
        !matches!(self, Self::Notice | Self::RejectionNote)
    }
}

/// A result object by its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultReference {
    /// What it is.
    pub kind: ResultKind,
    /// Series Instance UID of the result.
    pub series_instance_uid: Uid,
    /// SOP Instance UID of the result.
    pub sop_instance_uid: Uid,
}
