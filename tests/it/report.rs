//! Result objects from a made-up exam: what they hold, and whether other people's software takes them.

mod attributes;
mod scene;

use std::path::{Path, PathBuf};
use std::process::Command;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, InMemDicomObject};
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use pe_node::config::Fallback;
use pe_node::dicom::elements::{self, DataSet};
use pe_node::engine::analyse::findings::Decision;
use pe_node::engine::models::lineup::Packages;
use pe_node::engine::report::{self, ResultKind, ResultObject};
use pe_node::engine::volume::Reason;
use scene::{Classifier, Scene, Setup};

const MIRRORED: [[f64; 3]; 2] = [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
const PRONE: [[f64; 3]; 2] = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]];

fn of_kind(results: &[ResultObject], kind: ResultKind) -> &ResultObject {
    results.iter().find(|result| result.kind == kind).expect("an object of the kind")
}

fn bytes(object: &FileDicomObject<InMemDicomObject>) -> Vec<u8> {
    let mut bytes = Vec::new();
    object.write_all(&mut bytes).expect("write");
    bytes
}

/// All content items of a tree, depth first.
fn items(data_set: &InMemDicomObject) -> Vec<&InMemDicomObject> {
    let children = data_set.get(tags::CONTENT_SEQUENCE).and_then(|element| element.items()).unwrap_or_default();
    children.iter().flat_map(|child| std::iter::once(child).chain(items(child))).collect()
}

fn code(item: &InMemDicomObject, sequence: dicom_object::Tag) -> Option<String> {
    elements::text(item.get(sequence)?.items()?.first()?, tags::CODE_VALUE)
}

fn values_named(report: &InMemDicomObject, name: &str) -> Vec<String> {
    let named =
        items(report).into_iter().filter(|item| code(item, tags::CONCEPT_NAME_CODE_SEQUENCE).as_deref() == Some(name));
    named
        .filter_map(|item| {
            code(item, tags::CONCEPT_CODE_SEQUENCE).or_else(|| elements::text(item, tags::TEXT_VALUE)).or_else(|| {
                elements::text(item.get(tags::MEASURED_VALUE_SEQUENCE)?.items()?.first()?, tags::NUMERIC_VALUE)
            })
        })
        .collect()
}

#[test]
fn a_retry_writes_the_same_bytes_and_other_input_other_identifiers() {
    let scene = Scene::new(&Setup::default());
    let context = scene.context();
    let (first, second) =
        (report::results(&context).expect("results").objects, report::results(&context).expect("results").objects);
    assert_eq!(first.len(), 4);
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first.reference(), second.reference());
        assert!(bytes(&first.object) == bytes(&second.object), "{:?} differs", first.kind);
    }
    let other = report::results(&report::Context { instance_set_digest: "other", ..context }).expect("results").objects;
    for (first, other) in first.iter().zip(&other) {
        assert_ne!(first.sop_instance_uid, other.sop_instance_uid);
        assert_ne!(first.series_instance_uid, other.series_instance_uid);
    }
    let mut series: Vec<_> = first.iter().map(|result| &result.series_instance_uid).collect();
    series.sort();
    series.dedup();
    assert_eq!(series.len(), 4, "each object has a series of its own");
}

#[test]
fn a_report_on_more_slices_names_the_one_it_takes_the_place_of() {
    let scene = Scene::new(&Setup::default());
    let context = scene.context();
    let results = report::results(&context).expect("results").objects;
    let former = of_kind(&results, ResultKind::Sr);
    assert!(former.object.get(tags::PREDECESSOR_DOCUMENTS_SEQUENCE).is_none());
    let former = former.reference();
    let context = report::Context { predecessor: Some(&former), instance_set_digest: "more", ..context };
    let results = report::results(&context).expect("results").objects;
    let report = &of_kind(&results, ResultKind::Sr).object;
    let first = |data_set: &DataSet, tag| data_set.get(tag).and_then(|element| Some(element.items()?.first()?.clone()));
    let study = first(report, tags::PREDECESSOR_DOCUMENTS_SEQUENCE).expect("a predecessor");
    let series = first(&study, tags::REFERENCED_SERIES_SEQUENCE).expect("its series");
    let instance = first(&series, tags::REFERENCED_SOP_SEQUENCE).expect("its instance");
    assert_eq!(elements::uid(&study, tags::STUDY_INSTANCE_UID), elements::uid(report, tags::STUDY_INSTANCE_UID));
    assert_eq!(elements::uid(&series, tags::SERIES_INSTANCE_UID), Some(former.series_instance_uid));
    assert_eq!(elements::uid(&instance, tags::REFERENCED_SOP_INSTANCE_UID), Some(former.sop_instance_uid));
}

#[test]
fn the_finding_is_named_only_when_it_is_present() {
    for (decision, value) in
        [(Decision::Present, "52101004"), (Decision::Absent, "272519000"), (Decision::Undetermined, "373068000")]
    {
        let scene = Scene::new(&Setup { decision, ..Setup::default() });
        let results = report::results(&scene.context()).expect("results").objects;
        let report = &of_kind(&results, ResultKind::Sr).object;
        assert_eq!(values_named(report, "59282003"), [value]);
        let named = values_named(report, "121071").contains(&"59282003".to_owned());
        assert_eq!(named, decision == Decision::Present);
        assert_eq!(values_named(report, "122157")[0], "87.31");
    }
}

#[test]
fn the_report_says_when_slices_are_not_calibrated() {
    let scene = Scene::new(&Setup::default());
    let mut findings = scene.context().findings.clone();
    findings.classifier.calibration[0].slices_fitted = false;
    let context = report::Context { findings: &findings, ..scene.context() };
    for (context, said) in [(scene.context(), false), (context, true)] {
        let results = report::results(&context).expect("results").objects;
        let comments = values_named(&of_kind(&results, ResultKind::Sr).object, "121106").join("\n");
        assert_eq!(comments.contains("single slices are not calibrated"), said, "{comments}");
    }
}

#[test]
fn report_and_picture_say_when_the_exam_is_not_calibrated() {
    let scene = Scene::new(&Setup::default());
    let mut findings = scene.context().findings.clone();
    findings.classifier.calibration[0].exam_fitted = false;
    let context = report::Context { findings: &findings, ..scene.context() };
    let [calibrated, uncalibrated] =
        [scene.context(), context].map(|context| report::results(&context).expect("results"));
    for (results, said) in [(&calibrated, false), (&uncalibrated, true)] {
        let report = &of_kind(&results.objects, ResultKind::Sr).object;
        let comments = values_named(report, "121106").join("\n");
        assert_eq!(comments.contains("embolism in the exam is not calibrated"), said, "{comments}");
        let parameters = values_named(report, "111002").join("\n");
        assert_eq!(parameters.contains("bias -0.2 (not calibrated); slice"), said, "{parameters}");
    }
    assert!(calibrated.pictures.summary != uncalibrated.pictures.summary, "the page says so");
}

#[test]
fn report_and_picture_say_what_is_missing_of_the_lungs() {
    let whole = Scene::new(&Setup { decision: Decision::Undetermined, probability: 0.05, ..Setup::default() });
    let mut findings = whole.context().findings.clone();
    findings.completeness.right.cut_ml = 10_000.0;
    findings.warnings.extend(findings.completeness.warning());
    let context = report::Context { findings: &findings, ..whole.context() };
    let [whole, cut] = [whole.context(), context].map(|context| report::results(&context).expect("results"));
    for (results, said) in [(&whole, false), (&cut, true)] {
        let report = &of_kind(&results.objects, ResultKind::Sr).object;
        let comments = values_named(report, "121106").join("\n");
        for sentence in ["10000 mL of the right lung lie beyond the field of view", "lung that was not seen"] {
            assert_eq!(comments.contains(sentence), said, "{comments}");
        }
    }
    assert!(whole.pictures.summary != cut.pictures.summary, "the page says so");
}

#[test]
fn models_of_one_name_and_version_are_told_apart() {
    let mut scene = Scene::new(&Setup::default());
    let Packages { lungs, embolism: classifier } = &mut scene.findings.models;
    lungs.package = classifier.package.clone();
    let (lungs, classifier) = (format!("sha256={}", lungs.sha256), format!("sha256={}", classifier.sha256));
    let results = report::results(&scene.context()).expect("results").objects;
    let report = &of_kind(&results, ResultKind::Sr).object;
    let parameters = values_named(report, "111002");
    assert!(parameters.contains(&lungs) && parameters.contains(&classifier), "{parameters:?}");
    let segmentation = &of_kind(&results, ResultKind::Seg).object;
    let segments = segmentation.element(tags::SEGMENT_SEQUENCE).expect("segments").items().expect("items");
    let of_segment = |segment: &InMemDicomObject| {
        let algorithm = segment.element(tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE).ok()?.items()?.first()?;
        elements::text(algorithm, tags::ALGORITHM_PARAMETERS)
    };
    assert!(
        segments.iter().all(|segment| of_segment(segment).as_deref() == Some(lungs.as_str())),
        "named by its digest"
    );
}

#[test]
fn the_report_says_what_limits_it() {
    let setup = Setup {
        decision: Decision::Undetermined,
        synthetic: false,
        reasons: vec![Reason::NoContrast, Reason::TooThick],
        ..Setup::default()
    };
    let mut scene = Scene::new(&setup);
    let description = PrimitiveValue::from("Monoenergetic 55 keV");
    scene.volume.header.put(DataElement::new(tags::SERIES_DESCRIPTION, VR::LO, description));
    let results = report::results(&scene.context()).expect("results").objects;
    let comments = values_named(&of_kind(&results, ResultKind::Sr).object, "121106").join("\n");
    for expected in [
        "Research use only",
        "The images are virtual monochromatic images of 55 keV.",
        "synthetic training data",
        "not marked synthetic",
        "no-contrast: as measured; too-thick: as measured",
        "37 images left out: a further stack (acquisition 2).",
    ] {
        assert!(comments.contains(expected), "`{expected}` is missing in:\n{comments}");
    }
    assert_eq!(values_named(&of_kind(&results, ResultKind::Sr).object, "111052"), ["no-contrast", "too-thick"]);
    let parameters = values_named(&of_kind(&results, ResultKind::Sr).object, "111002").join("\n");
    for expected in ["sha256=cd34", "threshold=0.42", "temperature 1.31", "intended-use=demonstration", "CPUExecution"]
    {
        assert!(parameters.contains(expected), "`{expected}` is missing in:\n{parameters}");
    }
}

#[test]
fn the_great_vessels_are_measured_in_the_report_or_it_says_that_they_were_not() {
    let mut scene = Scene::new(&Setup::default());
    let report = |scene: &Scene| {
        let results = report::results(&scene.context()).expect("results").objects;
        let schemes = |object: &ResultObject| {
            let element = object.object.get(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE)?;
            elements::text(element.items()?.first()?, tags::CODING_SCHEME_DESIGNATOR)
        };
        let described: Vec<(ResultKind, String)> =
            results.iter().filter_map(|object| Some((object.kind, schemes(object)?))).collect();
        let report = of_kind(&results, ResultKind::Sr).object.clone();
        let comments = values_named(&report, "121106").join("\n");
        (values_named(&report, "112182"), values_named(&report, "trunk-to-aorta"), comments, described)
    };
    let (hounsfield, ratio, comments, described) = report(&scene);
    assert_eq!((hounsfield, ratio), (vec!["320".to_owned(), "256".to_owned()], vec!["1.25".to_owned()]));
    assert!(comments.contains("Enhancement: pulmonary trunk 320 HU, aorta 256 HU (ratio 1.25)."), "{comments}");
    assert_eq!(described, [(ResultKind::Sr, "99PENODE".to_owned())], "where its codes are used");

    scene.findings.enhancement.trunk = None;
    let (hounsfield, ratio, comments, described) = report(&scene);
    assert_eq!((hounsfield, ratio.len(), described.len()), (vec!["256".to_owned()], 0, 0));
    assert!(comments.contains("Enhancement: pulmonary trunk not measured, aorta 256 HU."), "{comments}");
}

#[test]
fn notes_on_the_summary_end_where_other_results_begin() {
    let few = Scene::new(&Setup { reasons: vec![Reason::LungsCut], ..Setup::default() });
    let many =
        Setup { reasons: [Reason::LungsCut, Reason::TooThick, Reason::AorticPhase].repeat(20), ..Setup::default() };
    let summary = |scene: &Scene| report::results(&scene.context()).expect("results").pictures.summary;
    let [few, many] = [summary(&few), summary(&Scene::new(&many))];
    let last_rows = |image: &image::RgbImage| {
        let rows = (image.height() - 8..image.height()).flat_map(|y| (0..image.width()).map(move |x| (x, y)));
        rows.map(|(x, y)| image.get_pixel(x, y).0).collect::<Vec<_>>()
    };
    assert_ne!(few, many);
    assert!(last_rows(&many).windows(2).all(|pair| pair[0] == pair[1]), "text runs off the page");
}

#[test]
fn a_report_without_evidence_says_so_and_shows_no_map() {
    let scene = Scene::new(&Setup { classifier: Classifier::Exam, ..Setup::default() });
    let results = report::results(&scene.context()).expect("results");
    let kinds: Vec<_> = results.objects.iter().map(|result| result.kind).collect();
    assert_eq!(kinds, [ResultKind::Sc, ResultKind::Sr, ResultKind::Seg], "nothing is selected as key");
    assert!(results.pictures.key_slices.is_empty());
    let report = &of_kind(&results.objects, ResultKind::Sr).object;
    let comments = values_named(report, "121106").join("\n");
    assert!(comments.contains("no heat map and no key slices"), "{comments}");
    assert_eq!(values_named(report, "122157"), ["87.31"], "the exam alone has a probability");
}

#[test]
fn an_ensemble_gives_the_standard_deviation_of_its_networks_and_further_targets_stand_under_their_codes() {
    let scene = Scene::new(&Setup { classifier: Classifier::Ensemble, ..Setup::default() });
    let results = report::results(&scene.context()).expect("results").objects;
    let report = &of_kind(&results, ResultKind::Sr).object;
    assert!(values_named(report, "386136009")[0].contains("standard deviation of 4.21 %"));
    let sided = values_named(report, "59282003").join("\n");
    assert!(sided.contains("left-sided embolism: probability 12.5 %"), "{sided}");
    assert!(values_named(report, "133971000119108")[0].contains("3.1 %"));
    let comments = values_named(report, "121106").join("\n");
    assert!(comments.contains("Not calibrated: the probabilities of chronic embolism."), "{comments}");
}

#[test]
fn frames_of_the_segmentation_lie_exactly_where_their_source_slices_say() {
    let mut scene = Scene::new(&Setup::default());
    // Slices off the regular grid by what a scanner rounds, with as many digits as a decimal string holds.
    for (index, slice) in scene.volume.slices.iter_mut().enumerate() {
        let [x, y, z] = slice.position.0;
        slice.position.0 = [x + 12.345_678_9, y - 0.123_456_78, z + index as f64 * 0.012_345_678_9]
            .map(|place| (place * 1e9).round() / 1e9);
    }
    let results = report::results(&scene.context()).expect("results").objects;
    let segmentation = &of_kind(&results, ResultKind::Seg).object;
    let groups = segmentation.element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).expect("frames");
    let groups = groups.items().expect("items");
    assert!(groups.len() > 20);
    for group in groups {
        let inside = |item: &InMemDicomObject, tag| {
            item.element(tag).expect("sequence").items().expect("items").first().expect("item").clone()
        };
        let derivation = inside(group, tags::DERIVATION_IMAGE_SEQUENCE);
        let source = inside(&derivation, tags::SOURCE_IMAGE_SEQUENCE);
        let source = elements::uid(&source, tags::REFERENCED_SOP_INSTANCE_UID).expect("source");
        let place = inside(group, tags::PLANE_POSITION_SEQUENCE);
        let place = elements::numbers(&place, tags::IMAGE_POSITION_PATIENT).expect("position");
        let slice =
            scene.volume.slices.iter().find(|slice| *slice.image.sop_instance_uid() == source).expect("a source slice");
        assert_eq!(place, slice.position.0);
    }
}

/// Class, instance and frames of each item of a sequence.
fn references(data_set: &InMemDicomObject, sequence: dicom_object::Tag) -> Vec<(String, String, Vec<String>)> {
    let items = data_set.get(sequence).and_then(|element| element.items()).unwrap_or_default();
    let reference = |item: &InMemDicomObject| {
        let text = |tag| elements::text(item, tag).expect("a reference");
        let frames = elements::texts(item, tags::REFERENCED_FRAME_NUMBER);
        (text(tags::REFERENCED_SOP_CLASS_UID), text(tags::REFERENCED_SOP_INSTANCE_UID), frames)
    };
    items.iter().map(reference).collect()
}

#[test]
fn results_of_an_enhanced_ct_refer_to_frames_and_lists_of_objects_name_each_object_once() {
    let scene = Scene::new(&Setup { enhanced: true, ..Setup::default() });
    let results = report::results(&scene.context()).expect("results").objects;
    let [sr, sc, seg, kos] =
        [ResultKind::Sr, ResultKind::Sc, ResultKind::Seg, ResultKind::Kos].map(|kind| &of_kind(&results, kind).object);
    let image = |slice: usize| &scene.volume.slices[slice].image;
    let [first, second] = [image(36), image(0)].map(|image| image.sop_instance_uid().to_string());
    let key = |slice: usize| {
        let frame = image(slice).frame().expect("a frame").to_string();
        (uids::ENHANCED_CT_IMAGE_STORAGE.to_owned(), image(slice).sop_instance_uid().to_string(), vec![frame])
    };
    let key_slices: Vec<usize> =
        scene.context().findings.evidence.as_ref().expect("evidence").key_slices.iter().map(|key| key.slice).collect();

    let in_tree = |object: &InMemDicomObject| -> Vec<_> {
        items(object).into_iter().flat_map(|item| references(item, tags::REFERENCED_SOP_SEQUENCE)).collect()
    };
    let library = in_tree(sr).into_iter().take(2).collect::<Vec<_>>();
    let numbers = |count: u32| (1..=count).map(|number| number.to_string()).collect::<Vec<_>>();
    let class = uids::ENHANCED_CT_IMAGE_STORAGE.to_owned();
    assert_eq!(library, [(class.clone(), second.clone(), numbers(17)), (class.clone(), first.clone(), numbers(20))]);
    assert!(in_tree(sr).contains(&key(key_slices[0])), "the place of the maximum");
    assert_eq!(in_tree(kos), key_slices.iter().map(|slice| key(*slice)).collect::<Vec<_>>());

    let inside = |data_set: &InMemDicomObject, tag| {
        data_set.get(tag).and_then(|element| element.items()?.first().cloned()).expect("an item")
    };
    for (object, expected) in [(sr, 2), (kos, 1)] {
        let study = inside(object, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE);
        let evidence = references(&inside(&study, tags::REFERENCED_SERIES_SEQUENCE), tags::REFERENCED_SOP_SEQUENCE);
        assert_eq!(evidence.len(), expected);
        assert!(evidence.iter().all(|(_, _, frames)| frames.is_empty()), "{evidence:?}");
    }
    let series = references(&inside(seg, tags::REFERENCED_SERIES_SEQUENCE), tags::REFERENCED_INSTANCE_SEQUENCE);
    assert_eq!(series, [(class.clone(), second, Vec::new()), (class, first, Vec::new())]);
    let frame = inside(seg, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
    let derived = references(&inside(&frame, tags::DERIVATION_IMAGE_SEQUENCE), tags::SOURCE_IMAGE_SEQUENCE);
    assert_eq!(derived.len(), 1);
    assert_eq!(derived[0].2.len(), 1, "one frame");
    let shown = references(sc, tags::SOURCE_IMAGE_SEQUENCE);
    assert_eq!(shown.iter().map(|(_, _, frames)| frames.len()).sum::<usize>(), key_slices.len());
}

#[test]
fn no_segmentation_is_made_of_an_empty_mask_and_the_report_stands_alone() {
    let mut scene = Scene::new(&Setup::default());
    scene.lungs.0.fill(0);
    scene.findings.lungs.left = None;
    scene.findings.lungs.right = None;
    let results = report::results(&scene.context()).expect("results").objects;
    assert_eq!(
        results.iter().map(|result| result.kind).collect::<Vec<_>>(),
        [ResultKind::Sc, ResultKind::Sr, ResultKind::Kos]
    );
}

#[test]
fn findings_of_another_volume_are_refused() {
    let mut scene = Scene::new(&Setup::default());
    scene.findings.evidence.as_mut().expect("evidence").key_slices[0].slice = 99;
    assert!(report::results(&scene.context()).is_err());
    let mut scene = Scene::new(&Setup::default());
    scene.lungs.0[[18, 75, 95]] = 1;
    assert!(report::results(&scene.context()).is_err());
}

#[test]
fn all_pictures_have_one_size() {
    let scene = Scene::new(&Setup::default());
    let pictures = report::results(&scene.context()).expect("results").pictures;
    let names: Vec<String> = pictures.named().map(|(name, _)| name).collect();
    assert_eq!(names, ["summary", "key-1", "key-2", "key-3"]);
    let size = pictures.summary.dimensions();
    assert!(pictures.named().all(|(_, image)| image.dimensions() == size));
    let folder = fresh(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("report/pictures"));
    for (name, image) in pictures.named() {
        image.save(folder.join(format!("{name}.png"))).expect("write a picture");
    }
}

/// Names, scenes, and whether segment groups and single frames are asked for.
fn cases() -> Vec<(&'static str, Setup, [bool; 2])> {
    let present = Setup::default();
    vec![
        ("present", present.clone(), [false, false]),
        ("mirrored", Setup { orientation: MIRRORED, ..present.clone() }, [false, true]),
        (
            "prone",
            Setup {
                orientation: PRONE,
                size: [190, 151, 37],
                decision: Decision::Absent,
                probability: 0.1,
                ..present.clone()
            },
            [false; 2],
        ),
        (
            "undetermined",
            Setup {
                decision: Decision::Undetermined,
                synthetic: false,
                reasons: vec![Reason::NoContrast, Reason::ImplausibleLungs],
                character_set: None,
                patient_name: "DOE^JOHN",
                ..present.clone()
            },
            [true, false],
        ),
        (
            "one lung, UTF-8, clinical",
            Setup {
                left_lung: false,
                character_set: Some("ISO_IR 192"),
                patient_name: "Yamada^Tarou=\u{5c71}\u{7530}^\u{592a}\u{90ce}",
                intended_use: "clinical",
                synthetic: false,
                ..present.clone()
            },
            [false, false],
        ),
        ("ensemble", Setup { classifier: Classifier::Ensemble, ..present.clone() }, [false, false]),
        ("enhanced", Setup { enhanced: true, ..present.clone() }, [true, false]),
        ("without evidence", Setup { classifier: Classifier::Exam, ..present.clone() }, [false, true]),
        (
            "ISO 2022",
            Setup {
                character_set: Some("\\ISO 2022 IR 87"),
                patient_name: "Yamada^Tarou=\u{1b}$B;3ED\u{1b}(B^\u{1b}$BB@O:\u{1b}(B",
                intended_use: "research",
                ..present.clone()
            },
            [false, false],
        ),
        (
            "GBK, lossy, old dates",
            Setup {
                character_set: Some("GBK"),
                patient_name: "Zhang^\u{4e57}",
                study: ["2026.03.01", "10:11:12"],
                lossy: true,
                ..present.clone()
            },
            [false, false],
        ),
    ]
}

#[test]
fn every_object_passes_its_validators_in_every_orientation_and_state() {
    let mut failed = Vec::new();
    for (name, setup, [segment_groups, single_frame]) in cases() {
        let mut scene = Scene::new(&setup);
        scene.settings.segment_groups = segment_groups;
        scene.settings.single_frame_secondary_capture = single_frame;
        let optional = ["present", "enhanced"].contains(&name);
        scene.settings.presentation_state = optional;
        scene.settings.encapsulated_pdf = optional;
        scene.settings.parametric_map = optional;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("report").join(name.replace(' ', "-"));
        let (source, written) = (fresh(&folder.join("source")), fresh(&folder.join("results")));
        scene.write_source(&source);
        for (index, result) in report::results(&scene.context()).expect("results").objects.iter().enumerate() {
            result.object.write_to_file(written.join(format!("{}-{index}.dcm", result.kind.name()))).expect("write");
            if ["present", "enhanced"].contains(&name) {
                write_other_forms(&result.object, &written);
            }
        }
        if let Some(text) = objections(&written, &source) {
            failed.push(format!("{name}:\n{text}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Every other form of an object, as destinations get it that refuse the class of the original.
fn write_other_forms(object: &DataSet, folder: &Path) {
    for (form, converted) in other_forms(object) {
        for (index, object) in converted.iter().enumerate() {
            object.write_to_file(folder.join(format!("{form}-{index}.dcm"))).expect("write");
        }
    }
}

fn other_forms(object: &DataSet) -> Vec<(Fallback, Vec<FileDicomObject<InMemDicomObject>>)> {
    let class = elements::text(object, tags::SOP_CLASS_UID).expect("a class");
    let forms = [Fallback::ComprehensiveSr, Fallback::EnhancedSr, Fallback::SingleFrameSc].into_iter();
    forms.filter(|form| form.is_for(&class)).map(|form| (form, form.convert(object).expect("converted"))).collect()
}

#[test]
fn an_object_in_another_form_says_the_same_under_identifiers_of_its_own() {
    let scene = Scene::new(&Setup::default());
    let objects = report::results(&scene.context()).expect("results").objects;
    let uid = |object: &DataSet, tag| elements::text(object, tag).expect("an identifier");
    let mut seen = std::collections::BTreeSet::new();
    for result in &objects {
        for (form, converted) in other_forms(&result.object) {
            let again = other_forms(&result.object).into_iter().find(|(other, _)| *other == form).expect("the form").1;
            assert_eq!(converted.iter().map(bytes).collect::<Vec<_>>(), again.iter().map(bytes).collect::<Vec<_>>());
            for object in &converted {
                assert!(seen.insert(uid(object, tags::SOP_INSTANCE_UID)), "{form}: an identifier twice");
                assert_ne!(uid(object, tags::SERIES_INSTANCE_UID), result.series_instance_uid.as_str());
                assert_eq!(uid(object, tags::SOP_CLASS_UID), form.sop_class_uid());
                // Elements of undefined length are never equal to each other; their bytes are.
                let tree = |object: &DataSet| {
                    let only = DataSet::from_element_iter(object.get(tags::CONTENT_SEQUENCE).cloned());
                    let mut bytes = Vec::new();
                    only.write_dataset_with_ts(&mut bytes, &EXPLICIT_VR_LITTLE_ENDIAN.erased()).expect("written");
                    bytes
                };
                assert_eq!(tree(object), tree(&result.object), "{form}");
            }
            let pixels = |object: &DataSet| {
                object.get(tags::PIXEL_DATA).map(|pixels| pixels.to_bytes().expect("bytes").to_vec())
            };
            let joined: Vec<u8> = converted.iter().filter_map(|object| pixels(object)).flatten().collect();
            assert_eq!(joined, pixels(&result.object).unwrap_or_default(), "{form}");
        }
    }
    assert!(objects.iter().all(|result| !seen.contains(result.sop_instance_uid.as_str())));
    assert!(seen.len() > 3, "two reports and the pictures");
}

/// An empty folder. The objects stay there for `tests/interop/test_validate.py`.
fn fresh(folder: &Path) -> PathBuf {
    if folder.exists() {
        std::fs::remove_dir_all(folder).expect("the former objects go");
    }
    std::fs::create_dir_all(folder).expect("folder");
    folder.to_owned()
}

/// What the validators of `tests/interop/validate.py` say against results. Without the peers the check is skipped, and says so; in CI that
/// is a failure.
fn objections(results: &Path, source: &Path) -> Option<String> {
    let python = crate::testing::python()?;
    let done = Command::new(&python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/validate.py"))
        .args([results, source])
        .output()
        .expect("the validators run");
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    (!done.status.success()).then_some(text)
}
