//! From tables and images to prepared exams.

use super::*;

#[test]
fn exams_from_another_folder_or_with_other_lungs_are_prepared_again() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let first = prepared_exams(&trial.configuration(&[]));
    assert_eq!(prepared_exams(&trial.configuration(&[])), first);
    std::fs::rename(trial.path("cohort"), trial.path("moved")).expect("rename");
    let moved = prepared_exams(&trial.configuration(&[&format!("data.root={}", trial.path("moved").display())]));
    assert_eq!(moved.len(), first.len());
    for exam in &moved {
        let before = first.iter().find(|before| before.series == exam.series).expect("the same exam");
        assert_ne!(before.sources_sha256, exam.sources_sha256);
    }
}

#[test]
fn corrected_labels_reach_a_training_that_was_prepared_before() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let configuration = trial.configuration(&[]);
    let counts = || -> Vec<(bool, usize)> {
        prepared_exams(&configuration).iter().map(|exam| (exam.embolism, exam.labelled_source_slices)).collect()
    };
    let before = counts();
    assert!(before.iter().any(|(embolism, _)| *embolism) && before.iter().all(|(_, labelled)| *labelled > 0));
    cohort(&trial.path("cohort"), 6, Labelled::None, Some(false));
    assert_eq!(counts(), [(false, 0); 6]);
}

#[test]
fn masks_that_were_corrected_or_removed_are_read_again() {
    let trial = Trial::new(6, Labelled::All, &["fit.mask_weight=0.5"]);
    let configuration = trial.configuration(&[]);
    let before = prepared_exams(&configuration);
    let digest = |exams: &[PreparedExam], series: &str| {
        exams.iter().find(|exam| exam.series == series).map(|exam| exam.sources_sha256.clone())
    };
    let truth = |series: &str, name: &str| trial.path("cohort/truth").join(series).join(name);
    std::fs::rename(truth("1.3.1", "clots.nii.gz"), truth("1.3.1", "kept.nii.gz")).expect("moved");
    std::fs::rename(truth("1.3.2", "lungs.nii.gz"), truth("1.3.2", "kept.nii.gz")).expect("moved");
    let without = prepared_exams(&configuration);
    assert_ne!(digest(&without, "1.3.1"), digest(&before, "1.3.1"));
    assert_eq!(digest(&without, "1.3.2"), None, "left out without lungs");
    let emboli = || {
        let folders = std::fs::read_dir(trial.path("work")).expect("work").map(|entry| entry.expect("entry").path());
        folders.filter(|path| path.join("1.3.1.emboli").exists()).count()
    };
    assert_eq!(emboli(), 0, "nothing is trained on an embolus mask that is gone");
    std::fs::rename(truth("1.3.2", "kept.nii.gz"), truth("1.3.2", "lungs.nii.gz")).expect("back");
    let corrected = exam_volume(true, 3).hounsfield.mapv(|value| u8::from(value == 30));
    nifti::write(&truth("1.3.3", "clots.nii.gz"), &corrected, &exam_volume(true, 3).geometry).expect("mask");
    let again = prepared_exams(&configuration);
    assert_eq!(digest(&again, "1.3.2"), digest(&before, "1.3.2"), "what is back is not left out for ever");
    assert_ne!(digest(&again, "1.3.3"), digest(&before, "1.3.3"));
}

#[test]
fn masks_of_slices_whose_labels_are_not_used_stay_unknown() {
    let trial = Trial::new(6, Labelled::All, &["fit.mask_weight=0.5"]);
    let known = |settings: &[&str]| {
        let configuration = trial.configuration(settings);
        prepare(&configuration).expect("prepared");
        let datasets = steps::testing::datasets_of(&configuration, &TrainingContext::of_environment()).expect("exams");
        let (_, training) = datasets.into_iter().find(|(split, _)| *split == Split::Train).expect("training exams");
        let of_exam = |exam: usize| {
            let all: Vec<usize> = (0..training.exams[exam].slices).collect();
            training.emboli(exam, &all).expect("masks").iter().filter(|mask| mask.is_some()).count()
        };
        let of_class = |embolism: bool| -> usize {
            (0..training.exams.len()).filter(|exam| training.exams[*exam].embolism == embolism).map(of_exam).sum()
        };
        (of_class(true), of_class(false))
    };
    let [all, none] = ["supervision.labelled_exams=1", "supervision.labelled_exams=0"].map(|share| known(&[share]));
    assert!(all.0 > 0 && all.1 > 0, "{all:?}");
    assert_eq!(none, (0, all.1), "exams without embolism need no slice labels");
}

#[test]
fn tables_of_crops_hold_for_other_software_what_a_fit_sees() {
    use std::collections::BTreeMap;
    let rows = |path: PathBuf| -> Vec<BTreeMap<String, String>> {
        table::reader(&path).expect("table").deserialize().map(|row| row.expect("row")).collect()
    };
    let trial = Trial::new(6, Labelled::All, &["data.folds=2", "supervision.labelled_exams=0.5", "work.pixels=f16"]);
    let configuration = trial.configuration(&[]);
    let said = run(Step::Labels, &configuration)
        .and_then(|_| run(Step::Volumes, &configuration))
        .and_then(|_| run(Step::Lungs, &configuration).and_then(|_| run(Step::Crops, &configuration)));
    let said = said.expect("without the step slices");
    assert!(said.iter().any(|line| line.contains("no tables for other software: 6 of 6 exams lack the step `slices`")));
    let exams = prepared_exams(&configuration);
    let crops = rows(configuration.experiment().join("crops.csv"));
    let slices = rows(configuration.experiment().join("crop-slices.csv"));
    assert_eq!(crops.len(), 6);
    for crop in &crops {
        let exam = exams.iter().find(|exam| exam.series == crop["series"]).expect("a prepared exam");
        assert_eq!(crop["embolism"], u8::from(exam.embolism).to_string());
        assert!(crop["place"].starts_with("fold-"), "{crop:?}");
        let shape = ["slices", "rows", "columns"].map(|name| crop[name].parse::<u64>().expect("a number"));
        assert_eq!(shape, [exam.slices as u64, 64, 80]);
        let images = configuration.work.dir.join(&crop["images"]).metadata().expect("images");
        assert_eq!((images.len(), crop["pixels"].as_str()), (2 * shape.iter().product::<u64>(), "f16"));
        assert_eq!(configuration.work.dir.join(&crop["emboli"]).is_file(), exam.shows_emboli());
        let labels = exam.slice_labels.iter().map(|label| match label {
            255 => String::new(),
            label => label.to_string(),
        });
        let found = slices.iter().filter(|row| row["series"] == exam.series).map(|row| row["embolism"].clone());
        assert!(labels.eq(found), "{crop:?}");
    }
    assert!(slices.iter().any(|row| row["embolism"].is_empty()) && slices.iter().any(|row| row["embolism"] == "1"));
}

#[test]
fn an_exam_without_lungs_is_left_out_only_where_they_are_needed() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let volume = exam_volume(false, 2);
    let empty = volume.hounsfield.mapv(|_| 0_u8);
    nifti::write(&trial.path("cohort/truth/1.3.2/lungs.nii.gz"), &empty, &volume.geometry).expect("mask");
    let is_there = |overrides: &[&str]| {
        let exams = prepared_exams(&trial.configuration(overrides));
        assert!(exams.len() >= 5, "{overrides:?}: the others are there");
        exams.iter().any(|exam| exam.series == "1.3.2")
    };
    let cases: [(&[&str], bool); 5] = [
        (&["input.crop=lung-box"], false),
        (&["input.crop=lung-square"], false),
        (&["input.crop=body"], true),
        (&["input.crop=none"], true),
        (&["input.crop=body", "kind=lung-segmentation"], false),
    ];
    for (overrides, expected) in cases {
        assert_eq!(is_there(overrides), expected, "{overrides:?}");
    }
    let work = std::fs::read_dir(trial.path("work")).expect("work").map(|entry| entry.expect("entry").path());
    let is_table = |path: &PathBuf| path.to_string_lossy().ends_with("-exclusions.csv");
    let excluded: String = work.filter(is_table).filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    assert_eq!(excluded.matches("the lung mask is empty; choose another crop").count(), 2, "{excluded}");
    assert_eq!(excluded.matches("no lungs were found, and so there are none to train on").count(), 1, "{excluded}");
}

#[test]
fn a_negative_exam_with_a_target_that_implies_embolism_is_a_conflict() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let table = trial.path("cohort").join("train.csv");
    let text = std::fs::read_to_string(&table).expect("table");
    let more = text.lines().enumerate().map(|(line, row)| match line {
        0 => format!("{row},rv_lv_ratio_gte_1,chronic_pe\n"),
        _ if row.starts_with("1.2.0,") => format!("{row},1,1\n"),
        _ if row.starts_with("1.2.2,") => format!("{row},1,0\n"),
        _ => format!("{row},0,0\n"),
    });
    std::fs::write(&table, more.collect::<String>()).expect("table");
    run(Step::Labels, &trial.configuration(&[])).expect("labels");
    let excluded = std::fs::read_to_string(trial.path("work/labels/exclusions.csv")).expect("table");
    assert!(excluded.contains("1.3.0,labels,labels conflict: a negative exam with chronic-pe"), "{excluded}");
    assert!(!excluded.contains("1.3.2"), "ventricles may be dilated without embolism: {excluded}");
}

#[test]
fn exams_of_one_class_are_refused_with_the_reason() {
    let trial = Trial::new(1, Labelled::All, &[]);
    cohort(&trial.path("cohort"), 6, Labelled::All, Some(true));
    let error = run(Step::All, &trial.configuration(&[])).expect_err("one class").to_string();
    assert!(error.contains("exams for training are positive"), "{error}");
}

#[test]
fn an_empty_table_and_a_missing_step_say_what_to_do() {
    let trial = Trial::new(1, Labelled::All, &[]);
    let error = run(Step::Fit, &trial.configuration(&[])).expect_err("nothing prepared").to_string();
    assert!(error.contains("run `pe-node train labels` first"), "{error}");
    let header = "StudyInstanceUID,SeriesInstanceUID,SOPInstanceUID,pe_present_on_image,negative_exam_for_pe\n";
    std::fs::write(trial.path("cohort/train.csv"), header).expect("table");
    let error = run(Step::Labels, &trial.configuration(&[])).expect_err("empty").to_string();
    assert!(error.contains("no exams are listed"), "{error}");
    std::fs::write(trial.path("cohort/train.csv"), "").expect("table");
    let error = run(Step::Labels, &trial.configuration(&[])).expect_err("empty").to_string();
    assert!(error.contains("`StudyInstanceUID` is missing"), "{error}");
}

#[test]
fn an_exam_that_cannot_be_read_is_excluded_with_its_reason() {
    let trial = Trial::new(6, Labelled::All, &[]);
    std::fs::remove_dir_all(trial.path("cohort/train/1.2.3")).expect("removed");
    let series = std::fs::read_dir(trial.path("cohort/train/1.2.4/1.3.4")).expect("series");
    let mut paths: Vec<PathBuf> = series.map(|entry| entry.expect("file").path()).collect();
    paths.sort();
    for path in &paths[SLICES / 2..] {
        let bytes = std::fs::read(path).expect("file");
        std::fs::write(path, &bytes[..bytes.len() / 2]).expect("cut");
    }
    let configuration = trial.configuration(&[]);
    let lines = prepare(&configuration).expect("the others are prepared");
    let tables = ["work/labels/exclusions.csv", "work/volumes-exclusions.csv"];
    let excluded: String = tables.iter().filter_map(|path| std::fs::read_to_string(trial.path(path)).ok()).collect();
    assert!(lines[0].contains("1 exclusions") && lines[1].contains("4 exams from DICOM, 1 excluded"), "{lines:?}");
    assert!(excluded.contains("1.3.3,labels,the series has no files"), "{excluded}");
    assert!(excluded.contains("1.3.4,volumes,\"no volume: 18 usable CT slices"), "{excluded}");
}

#[test]
fn impossible_settings_are_refused() {
    let both = ["data.folds=3".to_owned(), "data.validation_root=other".to_owned()];
    let error = TrainConfiguration::load(None, &both).expect_err("folds validate on each other").to_string();
    assert!(error.contains("data.folds = 3 and data.validation_root"), "{error}");
    let error = TrainConfiguration::load(None, &["fit.epoch=3".to_owned()]).expect_err("unknown key").to_string();
    assert!(error.contains("did you mean `fit.epochs`"), "{error}");
    let error = TrainConfiguration::load(None, &["fit.device=tpu".to_owned()]).expect_err("no device").to_string();
    assert!(error.contains("fit.device = \"tpu\""), "{error}");
}

#[test]
fn validation_exams_come_from_their_own_cohort_and_share_no_patient() {
    let trial = Trial::new(6, Labelled::All, &[]);
    cohort(&trial.path("other"), 8, Labelled::All, None);
    let other = format!("data.validation_root={}", trial.path("other").display());
    let configuration = trial.configuration(&[other.as_str()]);
    run(Step::Labels, &configuration).expect("labels");
    let path = configuration.work.dir.join("labels/exams.csv");
    let exams: Vec<Exam> = table::read(&path, Step::Labels).expect("table");
    let of = |cohort| exams.iter().filter(|exam| exam.cohort == cohort).count();
    assert_eq!((of(Cohort::Main), of(Cohort::Validation)), (6, 2));
}

#[test]
fn slice_labels_are_counted_on_source_slices_and_tests_keep_theirs() {
    let trial = Trial::new(24, Labelled::All, &["data.test_fraction=0.25", "data.validation_fraction=0.25"]);
    let quarter = trial.configuration(&["supervision.labelled_exams=0.5", "supervision.labelled_slices=0.25"]);
    let exams = prepared_exams(&quarter);
    let labelled = |split: &str| -> Vec<usize> {
        let of_split = exams.iter().filter(|exam| exam.split.name() == split);
        of_split.map(|exam| exam.labelled_source_slices).filter(|labelled| *labelled > 0).collect()
    };
    assert_eq!((labelled("train"), labelled("validation")), (vec![SLICES / 4; 6], vec![SLICES / 4; 4]));
    assert_eq!(labelled("test"), [SLICES; 6]);
    let nothing = trial.configuration(&["supervision.labelled_exams=0", "work.experiment=none"]);
    let unlabelled = prepared_exams(&nothing);
    assert!(unlabelled.iter().all(|exam| exam.split.name() == "test" || exam.labelled_source_slices == 0));
    let train = |exams: Vec<PreparedExam>, embolism: bool| -> Vec<usize> {
        let of_split = exams.into_iter().filter(|exam| exam.split.name() == "train" && exam.embolism == embolism);
        of_split.map(|exam| exam.labelled_slices).collect()
    };
    assert_eq!(train(unlabelled.clone(), true), [0; 6]);
    assert!(train(unlabelled, false).iter().all(|known| *known > 30), "the exam label says it of every slice");
    let strict = ["supervision.labelled_exams=0", "supervision.negatives=labelled", "work.experiment=strict"];
    assert_eq!(train(prepared_exams(&trial.configuration(&strict)), false), [0; 6]);
}

#[test]
fn two_columns_of_exam_labels_are_enough() {
    let trial = Trial::new(6, Labelled::All, &["data.labels=exams.csv", "fit.epochs=1", "fit.head_epochs=1"]);
    let rows: String = (0..6).fold(String::new(), |rows, exam| rows + &format!("1.2.{exam},{}\n", exam % 2));
    std::fs::write(trial.path("cohort/exams.csv"), format!("StudyInstanceUID,pe_present_in_exam\n{rows}"))
        .expect("table");
    let configuration = trial.configuration(&["package.name=trial"]);
    run(Step::All, &configuration).expect("trained");
    let package = Package::open(&trial.path("onnx/trial/0.1.0")).expect("package");
    assert_eq!(package.manifest().training.counts["train_labelled_slices"], 0);
    let joined = std::fs::read_to_string(trial.path("work/slices.csv")).expect("table");
    assert!(joined.contains(&format!("1.3.0,{SLICES},0,0,0,{SLICES},")), "{joined}");
}

#[test]
fn labels_and_images_that_do_not_match_are_listed() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let table = std::fs::read_to_string(trial.path("cohort/train.csv")).expect("table");
    let mut table: Vec<&str> = table.lines().filter(|line| !line.contains(",1.4.2.5,")).collect();
    table.push("1.2.3,1.3.3,1.4.3.99,1,0");
    std::fs::write(trial.path("cohort/train.csv"), table.join("\n")).expect("table");
    prepare(&trial.configuration(&[])).expect("prepared");
    let joined = std::fs::read_to_string(trial.path("work/slices.csv")).expect("table");
    assert!(joined.contains(&format!("1.3.3,{SLICES},{SLICES},8,1,0,1.4.3.99")), "{joined}");
    assert!(joined.contains(&format!("1.3.2,{SLICES},{},0,0,1,1.4.2.5", SLICES - 1)), "{joined}");
}

#[test]
fn shards_of_each_step_make_what_one_run_makes() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let whole = prepared_exams(&trial.configuration(&[]));
    let apart = trial.configuration(&[&format!("work.dir={}", trial.path("apart").display())]);
    run(Step::Labels, &apart).expect("labels");
    let context = TrainingContext::of_environment();
    for step in &PREPARING[1..] {
        for shard in ["2/3", "0/3", "1/3"] {
            crate::learn::train::run(*step, &apart, &context, Portion::Shard(shard.parse().expect("shard")))
                .expect("done");
        }
    }
    let datasets = steps::testing::datasets_of(&apart, &context).expect("exams");
    let exams: Vec<PreparedExam> = datasets.into_iter().flat_map(|(_, data)| data.exams).collect();
    assert_eq!(exams, whole);
    assert!(
        crate::learn::train::run(Step::Fit, &apart, &context, Portion::Shard("0/3".parse().expect("shard"))).is_err()
    );
}

#[test]
fn folders_of_crops_that_an_earlier_version_left_are_named() {
    let trial = Trial::new(6, Labelled::All, &[]);
    std::fs::create_dir_all(trial.path("work/boxes-0123456789ab")).expect("folder");
    let lines = prepare(&trial.configuration(&[])).expect("prepared");
    let named = |line: &String| line.contains("boxes-0123456789ab") && line.contains("can be deleted");
    assert!(lines.iter().any(named), "{lines:?}");
}

#[test]
fn images_in_half_precision_take_half_the_space_and_are_nearly_the_same() {
    let trial = Trial::new(6, Labelled::All, &[]);
    let images = |settings: &[&str]| {
        let configuration = trial.configuration(settings);
        prepare(&configuration).expect("prepared");
        let datasets = steps::testing::datasets_of(&configuration, &TrainingContext::of_environment()).expect("exams");
        datasets[0].1.images(0, &[3, 17]).expect("images").concat()
    };
    let (whole, half) = (images(&[]), images(&["work.pixels=f16"]));
    let furthest = whole.iter().zip(&half).map(|(whole, half)| (whole - half).abs()).fold(0.0, f32::max);
    assert!(furthest > 0.0 && furthest < 0.0003, "{furthest}");
    let folders = std::fs::read_dir(trial.path("work")).expect("work").map(|entry| entry.expect("entry").path());
    let mut sizes: Vec<u64> =
        folders.filter_map(|path| Some(path.join("1.3.0.images").metadata().ok()?.len())).collect();
    sizes.sort_unstable();
    assert!(sizes.len() == 2 && sizes[1] == 2 * sizes[0], "{sizes:?}");
}

#[test]
fn emboli_are_put_into_training_exams_without_and_counted_apart() {
    // The vessel of these exams lies between the lungs; the masks of this cohort count it as lung.
    let trial = Trial::new(8, Labelled::All, &["augmentation.insert_emboli=2", "supervision.labelled_exams=0"]);
    for exam in 0..8 {
        let volume = exam_volume(exam % 2 == 1, exam);
        let lungs = volume.hounsfield.mapv(|value| if value < -900 { 0 } else { LEFT_LUNG });
        let truth = trial.path("cohort/truth").join(format!("1.3.{exam}/lungs.nii.gz"));
        nifti::write(&truth, &lungs, &volume.geometry).expect("mask");
    }
    let configuration = trial.configuration(&[]);
    let exams = prepared_exams(&configuration);
    let inserted: Vec<&PreparedExam> = exams.iter().filter(|exam| exam.inserted).collect();
    assert!(!inserted.is_empty(), "some emboli were put in");
    for exam in &inserted {
        assert!(exam.split.name() == "train" && exam.embolism && exam.shows_emboli(), "{exam:?}");
        assert!(exam.series.contains(".inserted-") && exam.labelled_source_slices == 0);
    }
    let counts = [2, 4, 6].map(|number| exams.iter().filter(|exam| exam.series == format!("1.3.{number}")).count());
    assert_eq!(counts, [1; 3], "the exam without embolism is still there");
    run(Step::Fit, &trial.configuration(&["fit.epochs=1", "fit.head_epochs=1"])).expect("fitted");
}
