//! Which complete series become jobs. Rules without IO.

use crate::dicom::{Member, ObjectKind};
use crate::engine::volume::{Reason, Rejection};
use crate::node::queue::Selection;
use crate::node::store::{SeriesDoubts, SeriesMember};

/// What is to become of a series. A series with CT slices is analysed with all that is in it: whoever reads it says what
/// was left out. Other images are rejected, and their sender can see why. Objects that are no images are ignored.
pub(super) fn select(modality: &str, members: &[SeriesMember], doubts: SeriesDoubts) -> Selection {
    let of_kind = |wanted: ObjectKind| -> Vec<&SeriesMember> {
        members.iter().filter(|member| ObjectKind::of(&member.sop_class_uid) == wanted).collect()
    };
    let ct = of_kind(ObjectKind::ComputedTomography);
    let others = of_kind(ObjectKind::OtherImage);
    let only_localizers = ct.iter().all(|member| is_localizer(member));
    match (only_localizers, ct.is_empty(), others.is_empty()) {
        (false, ..) => {
            let all = identities(&members.iter().collect::<Vec<_>>());
            match doubtful(members, doubts) {
                Some(rejection) => Selection::Reject(all, vec![rejection]),
                None => Selection::Analyse(all),
            }
        }
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

/// Why nobody should rely on a series. Where some images alone name another patient, whoever reads the series says which.
fn doubtful(members: &[SeriesMember], doubts: SeriesDoubts) -> Option<Rejection> {
    if doubts.strays >= members.len() as u64 {
        return Some(Rejection::new(
            Reason::MixedPatients,
            "the images name another patient than the other series of their study: send the wrong ones again, under the right \
             patient, or reject them",
        ));
    }
    (doubts.taken > 0).then(|| {
        let taken = doubts.taken;
        Rejection::new(
            Reason::MissingSlices,
            format!("{taken} images of this series were refused: their SOP Instance UIDs belong to objects of another series"),
        )
    })
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
    use dicom_dictionary_std::uids;

    use super::*;
    use crate::dicom::Uid;

    fn member(number: u32, sop_class_uid: &str, third: &str) -> SeriesMember {
        SeriesMember {
            sop_instance_uid: Uid::parse(&format!("1.2.{number}")).expect("uid"),
            sop_class_uid: Uid::parse(sop_class_uid).expect("uid"),
            sha256: String::new(),
            image_type: vec!["ORIGINAL".to_owned(), "PRIMARY".to_owned(), third.to_owned()],
            position: None,
            orientation: None,
            part: None,
        }
    }

    #[test]
    fn a_series_with_ct_slices_is_analysed_with_all_that_is_in_it() {
        let members = [
            member(1, uids::CT_IMAGE_STORAGE, "LOCALIZER"),
            member(2, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE, "VOLUME"),
            member(3, uids::SECONDARY_CAPTURE_IMAGE_STORAGE, ""),
        ];
        let Selection::Analyse(selected) = select("CT", &members, SeriesDoubts::default()) else {
            panic!("not analysed")
        };
        assert_eq!(selected.iter().map(|(uid, _)| uid.as_str()).collect::<Vec<_>>(), ["1.2.1", "1.2.2", "1.2.3"]);
    }

    #[test]
    fn a_series_whose_images_have_the_identifiers_of_others_is_not_taken_for_whole() {
        let members = [member(1, uids::CT_IMAGE_STORAGE, "AXIAL")];
        let Selection::Reject(_, rejections) = select("CT", &members, SeriesDoubts { taken: 61, strays: 0 }) else {
            panic!("not rejected")
        };
        assert_eq!(rejections[0].reason, Reason::MissingSlices);
        assert!(rejections[0].explanation.starts_with("61 images"), "{}", rejections[0].explanation);
    }

    #[test]
    fn a_series_of_another_patient_than_its_study_is_not_analysed() {
        let members = [1, 2].map(|number| member(number, uids::CT_IMAGE_STORAGE, "AXIAL"));
        let with = |strays| select("CT", &members, SeriesDoubts { taken: 0, strays });
        let Selection::Reject(_, rejections) = with(2) else { panic!("not rejected") };
        assert_eq!(rejections[0].reason, Reason::MixedPatients);
        assert!(matches!(with(1), Selection::Analyse(_)), "the reading says which image it is");
    }

    #[test]
    fn other_images_are_rejected_with_the_reason() {
        let reason = |modality: &str, members: &[SeriesMember]| match select(modality, members, SeriesDoubts::default())
        {
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
            assert_eq!(
                select("OT", &[member(1, sop_class_uid, "")], SeriesDoubts::default()),
                Selection::Ignore,
                "{sop_class_uid}"
            );
        }
    }
}
