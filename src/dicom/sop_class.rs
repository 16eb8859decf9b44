//! Kinds of objects by their SOP class, as far as the program distinguishes them.

use dicom_dictionary_std::uids;

use super::Uid;

/// The kind of object that a SOP class is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// CT images.
    ComputedTomography,
    /// Images of anything else.
    OtherImage,
    /// What others derived from images, or no images at all.
    NoImage,
}

/// SOP classes of CT with many images in an object, one a frame
/// ([PS3.3 A.38](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.38.html) and
/// [A.70](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.70.html)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EnhancedCt {
    /// As a scanner makes it.
    Enhanced,
    /// Made of CT Image Storage objects.
    LegacyConverted,
}

impl EnhancedCt {
    /// The class that a SOP Class UID names; `None` for all that are no enhanced CT.
    pub fn of(sop_class_uid: &Uid) -> Option<Self> {
        [Self::Enhanced, Self::LegacyConverted].into_iter().find(|class| class.uid() == sop_class_uid.as_str())
    }

    /// Its SOP Class UID.
    pub fn uid(self) -> &'static str {
        match self {
            Self::Enhanced => uids::ENHANCED_CT_IMAGE_STORAGE,
            Self::LegacyConverted => uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE,
        }
    }
}

/// True if a class belongs to storage: the standard's branch for it, in which new classes appear every year
/// ([PS3.4 B.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_B.5.html)).
pub fn is_storage_class(sop_class_uid: &str) -> bool {
    sop_class_uid.starts_with("1.2.840.10008.5.1.4.1.1.")
}

/// Roots of SOP classes that are no source images
/// ([PS3.4 B.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_B.5.html)).
const NO_IMAGES: &[&str] = &[
    // DICOM directories of media (PS3.10 8.6)
    uids::MEDIA_STORAGE_DIRECTORY_STORAGE,
    // Secondary captures
    "1.2.840.10008.5.1.4.1.1.7",
    // Waveforms
    "1.2.840.10008.5.1.4.1.1.9",
    // Presentation states
    "1.2.840.10008.5.1.4.1.1.11",
    // Parametric maps
    "1.2.840.10008.5.1.4.1.1.30",
    // Raw data, registrations, fiducials, segmentations, tractography
    "1.2.840.10008.5.1.4.1.1.66",
    // Real world value mapping
    "1.2.840.10008.5.1.4.1.1.67",
    // Structured reports, key object selections
    "1.2.840.10008.5.1.4.1.1.88",
    // Encapsulated documents
    "1.2.840.10008.5.1.4.1.1.104",
    // Radiotherapy
    "1.2.840.10008.5.1.4.1.1.481",
];

impl ObjectKind {
    /// The kind of a SOP class.
    pub fn of(sop_class_uid: &Uid) -> Self {
        let below = |root: &&str| {
            sop_class_uid.as_str().strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        match sop_class_uid.as_str() {
            uids::CT_IMAGE_STORAGE => Self::ComputedTomography,
            _ if EnhancedCt::of(sop_class_uid).is_some() => Self::ComputedTomography,
            _ if NO_IMAGES.iter().any(below) => Self::NoImage,
            _ => Self::OtherImage,
        }
    }
}
