//! Which complete series become jobs. Rules without IO.

use dicom_dictionary_std::uids;

use crate::dicom::Uid;
use crate::engine::volume::{Reason, Rejection};
use crate::node::queue::{Member, Selection};
use crate::node::store::SeriesMember;

/// The kind of object that a SOP class is, as far as the node distinguishes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// CT images.
    ComputedTomography,
    /// Images of anything else.
    OtherImage,
    /// What others derived from images, or no images at all.
    NoImage,
}

/// Roots of SOP classes that are no source images
/// ([PS3.4 B.5](https://dicom.nema.org/medical/dicom/current/output/chtml/part04/sect_B.5.html)).
const NO_IMAGES: &[&str] = &[
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

fn kind(sop_class_uid: &Uid) -> Kind {
    let below = |root: &&str| {
        sop_class_uid.as_str().strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match sop_class_uid.as_str() {
        uids::CT_IMAGE_STORAGE | uids::ENHANCED_CT_IMAGE_STORAGE | uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE => {
            Kind::ComputedTomography
        }
        _ if NO_IMAGES.iter().any(below) => Kind::NoImage,
        _ => Kind::OtherImage,
    }
}

/// What is to become of a series. CT images are analysed, without localizers. Other images are rejected, and their
/// sender can see why. Objects that are no images are ignored.
pub(super) fn select(modality: &str, members: &[SeriesMember]) -> Selection {
    let of_kind = |wanted: Kind| -> Vec<&SeriesMember> {
        members.iter().filter(|member| kind(&member.sop_class_uid) == wanted).collect()
    };
    let ct = of_kind(Kind::ComputedTomography);
    let others = of_kind(Kind::OtherImage);
    let slices: Vec<&SeriesMember> = ct.iter().copied().filter(|member| !is_localizer(member)).collect();
    match (slices.is_empty(), ct.is_empty(), others.is_empty()) {
        (false, ..) => Selection::Analyse(identities(&slices)),
        (true, false, _) => {
            let explanation = format!("all {} images are localizers; no slice remains", ct.len());
            Selection::Reject(identities(&ct), vec![Rejection { reason: Reason::TooFewSlices, explanation }])
        }
        (true, true, false) => {
            let modality = if modality.is_empty() { "unknown" } else { modality };
            let explanation = format!("the modality is {modality} and the images are no CT images");
            Selection::Reject(identities(&others), vec![Rejection { reason: Reason::WrongModality, explanation }])
        }
        (true, true, true) => Selection::Ignore,
    }
}

/// Image Type value 3 ([PS3.3 C.8.2.1.1.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.8.2.html)).
fn is_localizer(member: &SeriesMember) -> bool {
    member.image_type.get(2).is_some_and(|value| value == "LOCALIZER")
}

fn identities(members: &[&SeriesMember]) -> Vec<Member> {
    members.iter().map(|member| (member.sop_instance_uid.clone(), member.sha256.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u32, sop_class_uid: &str, third: &str) -> SeriesMember {
        SeriesMember {
            sop_instance_uid: Uid::parse(&format!("1.2.{number}")).expect("uid"),
            sop_class_uid: Uid::parse(sop_class_uid).expect("uid"),
            sha256: String::new(),
            image_type: vec!["ORIGINAL".to_owned(), "PRIMARY".to_owned(), third.to_owned()],
            position: None,
            orientation: None,
        }
    }

    #[test]
    fn ct_slices_are_analysed_without_their_localizers() {
        let members = [
            member(1, uids::CT_IMAGE_STORAGE, "LOCALIZER"),
            member(2, uids::CT_IMAGE_STORAGE, "AXIAL"),
            member(3, uids::SECONDARY_CAPTURE_IMAGE_STORAGE, ""),
        ];
        let Selection::Analyse(selected) = select("CT", &members) else { panic!("not analysed") };
        assert_eq!(selected.iter().map(|(uid, _)| uid.as_str()).collect::<Vec<_>>(), ["1.2.2"]);
    }

    #[test]
    fn other_images_are_rejected_with_the_reason() {
        let reason = |modality: &str, members: &[SeriesMember]| match select(modality, members) {
            Selection::Reject(_, rejections) => rejections[0].reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason("MR", &[member(1, uids::MR_IMAGE_STORAGE, "")]), Reason::WrongModality);
        assert_eq!(
            reason("DX", &[member(1, uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION, "")]),
            Reason::WrongModality
        );
        assert_eq!(reason("CT", &[member(1, uids::CT_IMAGE_STORAGE, "LOCALIZER")]), Reason::TooFewSlices);
    }

    #[test]
    fn reports_captures_segmentations_and_presentation_states_are_ignored() {
        for sop_class_uid in [
            uids::COMPREHENSIVE3_DSR_STORAGE,
            uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE,
            uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
            uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE,
            uids::SEGMENTATION_STORAGE,
            uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE,
            uids::ENCAPSULATED_PDF_STORAGE,
            uids::RT_STRUCTURE_SET_STORAGE,
        ] {
            assert_eq!(select("OT", &[member(1, sop_class_uid, "")]), Selection::Ignore, "{sop_class_uid}");
        }
    }
}
