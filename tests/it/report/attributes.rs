//! What results take from their source, how they are named, and what viewers write on images.

use std::collections::BTreeSet;

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use pe_node::dicom::elements;
use pe_node::engine::analyse::findings::Decision;
use pe_node::engine::report::{self, ResultKind, ResultObject};

use super::scene::{Scene, Setup};
use super::{code, items, of_kind};

#[test]
fn text_of_the_source_stands_in_every_result_as_utf_8() {
    let setup = Setup {
        character_set: Some("\\ISO 2022 IR 87"),
        patient_name: "Yamada^Tarou=\u{1b}$B;3ED\u{1b}(B^\u{1b}$BB@O:\u{1b}(B",
        ..Setup::default()
    };
    for (setup, name, character_set) in [
        (setup, "Yamada^Tarou=\u{5c71}\u{7530}^\u{592a}\u{90ce}", Some("ISO_IR 192")),
        (Setup { patient_name: "DOE^JOHN", ..Setup::default() }, "DOE^JOHN", None),
    ] {
        for result in report::results(&Scene::new(&setup).context()).expect("results").objects {
            assert_eq!(elements::text(&result.object, tags::PATIENT_NAME).as_deref(), Some(name));
            assert_eq!(elements::text(&result.object, tags::SPECIFIC_CHARACTER_SET).as_deref(), character_set);
        }
    }
}

#[test]
fn results_of_lossy_images_say_so_and_old_dates_are_repaired() {
    let setup = Setup { study: ["2026.03.01", "10:11:12"], lossy: true, ..Setup::default() };
    let results = report::results(&Scene::new(&setup).context()).expect("results").objects;
    for kind in [ResultKind::Sc, ResultKind::Seg] {
        let told =
            [tags::LOSSY_IMAGE_COMPRESSION, tags::LOSSY_IMAGE_COMPRESSION_RATIO, tags::LOSSY_IMAGE_COMPRESSION_METHOD];
        let told = told.map(|tag| elements::text(&of_kind(&results, kind).object, tag).unwrap_or_default());
        assert_eq!(told, ["01", "12.5", "ISO_15444_1"]);
    }
    for result in &results {
        let study = [tags::STUDY_DATE, tags::STUDY_TIME].map(|tag| elements::text(&result.object, tag));
        assert_eq!(study, [Some("20260301".to_owned()), Some("101112".to_owned())]);
    }
    let report = &of_kind(&results, ResultKind::Sr).object;
    let dated = [tags::DATE, tags::TIME].map(|tag| items(report).iter().find_map(|item| elements::text(item, tag)));
    assert_eq!(dated, [Some("20260301".to_owned()), Some("101112".to_owned())]);
}

#[test]
fn a_model_that_was_trained_again_is_another_device() {
    let mut scene = Scene::new(&Setup::default());
    let devices = |scene: &Scene| -> Vec<String> {
        let results = report::results(&scene.context()).expect("results").objects;
        let equipment = results[0].object.element(tags::CONTRIBUTING_EQUIPMENT_SEQUENCE).expect("equipment");
        let items = equipment.items().expect("items");
        items.iter().filter_map(|item| elements::text(item, tags::DEVICE_UID)).collect()
    };
    let first = devices(&scene);
    scene.findings.models.embolism.sha256 = "ef56".to_owned();
    let second = devices(&scene);
    assert_eq!((first.len(), &first[0]), (2, &second[0]), "the lung model is the same");
    assert_ne!(first[1], second[1]);
}

#[test]
fn series_are_named_and_numbered_by_their_source_and_version() {
    let scene = Scene::new(&Setup::default());
    let series = |version: u32| -> Vec<(String, String)> {
        let results = report::results(&report::Context { version, ..scene.context() }).expect("results").objects;
        let text = |result: &ResultObject, tag| elements::text(&result.object, tag).expect("text");
        let named = |result| (text(result, tags::SERIES_NUMBER), text(result, tags::SERIES_DESCRIPTION));
        results.iter().map(named).collect()
    };
    let expected = ["PE heat maps", "PE analysis", "Lungs", "PE key slices"];
    for (version, numbers) in [(1, 3001..), (2, 3011..)] {
        let named = numbers.zip(expected).map(|(number, what): (u32, _)| {
            (number.to_string(), format!("{what} of series 3, version {version} (research use only)"))
        });
        assert_eq!(series(version), named.collect::<Vec<_>>());
    }
}

/// The tracking identifier of each group with coordinates, what viewers write at it, and the image.
fn labels(report: &InMemDicomObject) -> Vec<(String, Option<String>, String)> {
    let named =
        |item: &&InMemDicomObject, name: &str| code(item, tags::CONCEPT_NAME_CODE_SEQUENCE).as_deref() == Some(name);
    let groups = items(report).into_iter().filter(|item| named(item, "125007"));
    let label = |group: &InMemDicomObject| {
        let below = items(group);
        let text =
            |name| below.iter().find(|item| named(item, name)).and_then(|item| elements::text(item, tags::TEXT_VALUE));
        let place = below.iter().find(|item| elements::text(item, tags::VALUE_TYPE).as_deref() == Some("SCOORD"))?;
        let image = items(place)
            .into_iter()
            .find_map(|item| Some(item.get(tags::REFERENCED_SOP_SEQUENCE)?.items()?[0].clone()));
        Some((text("112039")?, text("121106"), elements::text(&image?, tags::REFERENCED_SOP_INSTANCE_UID)?))
    };
    groups.filter_map(label).collect()
}

#[test]
fn what_viewers_write_on_images_is_named_and_lies_apart() {
    let scene = Scene::new(&Setup { decision: Decision::Undetermined, ..Setup::default() });
    let results = report::results(&scene.context()).expect("results").objects;
    let all = labels(&of_kind(&results, ResultKind::Sr).object);
    let written: Vec<_> = all.iter().filter_map(|(_, label, image)| Some((label.as_deref()?, image))).collect();
    let names: Vec<&str> = written.iter().map(|(name, _)| *name).collect();
    let expected =
        ["Exam: embolism undetermined", "Key slice 1", "Key slice 2", "Key slice 3", "Left lung", "Right lung"];
    assert_eq!(names[..6], expected);
    assert_eq!(names[6..], ["Enhancement: pulmonary trunk", "Enhancement: aorta"]);
    let images: BTreeSet<_> = written.iter().map(|(_, image)| *image).collect();
    assert_eq!(images.len(), written.len() - 1, "exam and first key slice share an image, the others have their own");
    let silent = all.iter().filter(|(_, label, _)| label.is_none());
    assert!(silent.clone().count() > 0 && silent.clone().all(|(name, ..)| name.contains("region")), "{all:?}");
}
