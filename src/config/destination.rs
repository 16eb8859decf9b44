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
    Dicom(DicomDestination),
    /// STOW-RS.
    Stow {
        /// Base of the DICOMweb service; `/studies` is appended.
        url: String,
        /// Value of the Authorization header, if any.
        authorization: String,
    },
}

/// A destination by C-STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DicomDestination {
    /// Host and port.
    pub address: String,
    /// Called AE title.
    pub ae_title: AeTitle,
    /// In which other forms an object is sent whose class the destination refuses, in the order of trial.
    pub fallbacks: Vec<Fallback>,
    /// Ask by C-FIND whether it holds an object that it refuses as a duplicate.
    pub query_duplicates: bool,
    /// Ask it to commit to keep what it has confirmed.
    pub commitment: bool,
}

impl DicomDestination {
    /// With the defaults of all other settings.
    pub fn new(address: String, ae_title: AeTitle) -> Self {
        Self { address, ae_title, fallbacks: Vec::new(), query_duplicates: true, commitment: false }
    }
}

/// Another form of a result object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Fallback {
    /// The report as Comprehensive SR.
    ComprehensiveSr,
    /// The report as Enhanced SR.
    EnhancedSr,
    /// Each picture of a multi-frame object as a Secondary Capture of its own.
    SingleFrameSc,
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
    fallbacks: Option<Vec<Fallback>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query_duplicates: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commitment: Option<bool>,
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
        let (name, kind) = (entry.name.clone(), entry.kind);
        let (attempts, give_up_after_hours) = (entry.attempts, entry.give_up_after_hours);
        let rejection_notes = entry.rejection_notes;
        let transport = match kind {
            _ if attempts == 0 => Err("`attempts` starts at 1"),
            DestinationKind::Dicom => entry.dicom().map(Transport::Dicom),
            DestinationKind::Stow => entry.stow(),
        };
        match transport {
            Ok(transport) => Ok(Self { name, attempts, give_up_after_hours, rejection_notes, transport }),
            Err(problem) => Err(EntryError { name, kind, problem }),
        }
    }
}

impl Entry {
    fn dicom(self) -> Result<DicomDestination, &'static str> {
        let (Some(address), Some(ae_title), None, None) = (self.address, self.ae_title, self.url, self.authorization)
        else {
            return Err("it needs `address` and `ae_title`, and no key of the other kind");
        };
        let usual = DicomDestination::new(address, ae_title);
        Ok(DicomDestination {
            fallbacks: self.fallbacks.unwrap_or_default(),
            query_duplicates: self.query_duplicates.unwrap_or(usual.query_duplicates),
            commitment: self.commitment.unwrap_or(usual.commitment),
            ..usual
        })
    }

    fn stow(self) -> Result<Transport, &'static str> {
        let foreign = self.address.is_some()
            || self.ae_title.is_some()
            || self.fallbacks.is_some()
            || self.query_duplicates.is_some()
            || self.commitment.is_some();
        match self.url {
            Some(url) if !foreign => Ok(Transport::Stow { url, authorization: self.authorization.unwrap_or_default() }),
            _ => Err("it needs `url`, and `authorization` where the service asks for it, and no other key"),
        }
    }
}

impl From<DestinationConfig> for Entry {
    fn from(destination: DestinationConfig) -> Self {
        let DestinationConfig { name, attempts, give_up_after_hours, rejection_notes, transport } = destination;
        let usual = Self {
            name,
            kind: transport.kind(),
            attempts,
            give_up_after_hours,
            rejection_notes,
            address: None,
            ae_title: None,
            fallbacks: None,
            query_duplicates: None,
            commitment: None,
            url: None,
            authorization: None,
        };
        match transport {
            Transport::Dicom(dicom) => Self {
                address: Some(dicom.address),
                ae_title: Some(dicom.ae_title),
                fallbacks: Some(dicom.fallbacks),
                query_duplicates: Some(dicom.query_duplicates),
                commitment: Some(dicom.commitment),
                ..usual
            },
            Transport::Stow { url, authorization } => {
                Self { url: Some(url), authorization: Some(authorization).filter(|value| !value.is_empty()), ..usual }
            }
        }
    }
}
