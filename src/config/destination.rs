//! `[[destinations]]`: where results are sent.

use serde::{Deserialize, Serialize};

use crate::dicom::AeTitle;

/// One entry of `[[destinations]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Entry", into = "Entry")]
pub struct DestinationConfig {
    /// Its name, unique, as shown in the API and in metrics.
    pub name: String,
    /// Attempts at an object that is refused before its delivery has failed.
    pub attempts: u32,
    /// How long a destination that accepts nothing at all is retried before a delivery has failed.
    pub give_up_after_hours: u32,
    /// Whether it is told by rejection notes which results newer ones replaced.
    pub rejection_notes: bool,
    /// How results get there.
    pub transport: Transport,
}

/// How results get to a destination.
#[derive(Debug, Clone, PartialEq, Eq, strum::EnumDiscriminants)]
#[strum_discriminants(
    name(DestinationKind),
    doc = "The kind of a destination, by its transport.",
    derive(Serialize, Deserialize, strum::Display),
    serde(rename_all = "lowercase"),
    strum(serialize_all = "lowercase")
)]
pub enum Transport {
    /// C-STORE.
    Dicom {
        /// Host and port.
        address: String,
        /// Called AE title.
        ae_title: AeTitle,
    },
    /// STOW-RS.
    Stow {
        /// Base of the DICOMweb service; `/studies` is appended.
        url: String,
        /// Value of the Authorization header, if any.
        authorization: String,
    },
}

impl Transport {
    /// Which kind it is.
    pub fn kind(&self) -> DestinationKind {
        self.into()
    }
}

impl DestinationConfig {
    /// Leaves secrets out.
    pub(super) fn redact(&mut self) {
        if let Transport::Stow { authorization, .. } = &mut self.transport
            && !authorization.is_empty()
        {
            "(set)".clone_into(authorization);
        }
    }
}

/// A destination as typed: which keys it needs depends on its kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    kind: DestinationKind,
    #[serde(default = "default_attempts")]
    attempts: u32,
    #[serde(default = "default_give_up_after_hours")]
    give_up_after_hours: u32,
    #[serde(default)]
    rejection_notes: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ae_title: Option<AeTitle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorization: Option<String>,
}

fn default_attempts() -> u32 {
    10
}

/// A week: longer than any weekend without an administrator.
fn default_give_up_after_hours() -> u32 {
    168
}

/// A destination with keys that do not fit together.
#[derive(Debug, thiserror::Error)]
#[error("destination `{name}` of kind `{kind}`: {problem}")]
struct EntryError {
    name: String,
    kind: DestinationKind,
    problem: &'static str,
}

impl TryFrom<Entry> for DestinationConfig {
    type Error = EntryError;

    fn try_from(entry: Entry) -> Result<Self, EntryError> {
        use DestinationKind::{Dicom, Stow};
        let Entry { name, kind, attempts, give_up_after_hours, rejection_notes, address, ae_title, url, authorization } =
            entry;
        let transport = match (kind, address, ae_title, url, authorization) {
            _ if attempts == 0 => Err("`attempts` starts at 1"),
            (Dicom, Some(address), Some(ae_title), None, None) => Ok(Transport::Dicom { address, ae_title }),
            (Dicom, ..) => Err("it needs `address` and `ae_title`, and no other key"),
            (Stow, None, None, Some(url), authorization) => {
                Ok(Transport::Stow { url, authorization: authorization.unwrap_or_default() })
            }
            (Stow, ..) => Err("it needs `url`, and `authorization` where the service asks for it"),
        };
        match transport {
            Ok(transport) => Ok(Self { name, attempts, give_up_after_hours, rejection_notes, transport }),
            Err(problem) => Err(EntryError { name, kind, problem }),
        }
    }
}

impl From<DestinationConfig> for Entry {
    fn from(destination: DestinationConfig) -> Self {
        let kind = destination.transport.kind();
        let (address, ae_title, url, authorization) = match destination.transport {
            Transport::Dicom { address, ae_title } => (Some(address), Some(ae_title), None, None),
            Transport::Stow { url, authorization } => {
                (None, None, Some(url), Some(authorization).filter(|value| !value.is_empty()))
            }
        };
        let DestinationConfig { name, attempts, give_up_after_hours, rejection_notes, .. } = destination;
        Self { name, kind, attempts, give_up_after_hours, rejection_notes, address, ae_title, url, authorization }
    }
}
