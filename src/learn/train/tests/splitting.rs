//! What exams are used for: drawn, or as a table says; folds apart from each other.

use super::*;

/// Series of the exams of a split.
fn of_split(exams: &[PreparedExam], split: &str) -> Vec<String> {
    exams.iter().filter(|exam| exam.split.name() == split).map(|exam| exam.series.clone()).collect()
}

#[test]
fn two_seeds_of_one_experiment_have_the_same_test_and_a_table_hands_them_on() {
    let trial = Trial::new(12, Labelled::All, &["data.test_fraction=0.34"]);
    let first = prepared_exams(&trial.configuration(&[]));
    let other_seed = prepared_exams(&trial.configuration(&["fit.seed=7", "work.experiment=seed"]));
    let other_draw = prepared_exams(&trial.configuration(&["data.split_seed=7", "work.experiment=draw"]));
    for split in ["train", "validation", "test"] {
        assert_eq!(of_split(&first, split), of_split(&other_seed, split));
        assert_ne!(of_split(&first, split), of_split(&other_draw, split));
    }
    let table = format!("data.splits={}", trial.path("work/draw/splits.csv").display());
    let handed_on = prepared_exams(&trial.configuration(&[&table, "work.experiment=given"]));
    assert_eq!(of_split(&handed_on, "test"), of_split(&other_draw, "test"));
}

#[test]
fn exams_on_a_list_and_exams_without_a_place_are_left_out_with_the_reason() {
    let trial = Trial::new(8, Labelled::All, &[]);
    let (list, splits) = (trial.path("excluded.csv"), trial.path("splits.csv"));
    std::fs::write(&list, "StudyInstanceUID,reason\n1.2.1,wrong orientation\n1.2.99,not here\n").expect("list");
    let rows: String = (0..7).fold(String::new(), |rows, exam| {
        rows + &format!("1.3.{exam},{}\n", if exam < 2 { "validation" } else { "train" })
    });
    std::fs::write(&splits, format!("SeriesInstanceUID,split\n{rows}1.3.0,validation\n")).expect("table");
    let settings = [format!("data.exclude={}", list.display()), format!("data.splits={}", splits.display())];
    let configuration = trial.configuration(&settings.each_ref().map(String::as_str));
    let lines = run(Step::Labels, &configuration).expect("labels").join("\n");
    assert!(lines.contains("3 rows, 1 exams left out; 2 rows name no exam"), "{lines}");
    let exams = prepared_exams(&configuration);
    assert_eq!((of_split(&exams, "validation"), exams.len()), (vec!["1.3.0".to_owned()], 6));
    let excluded = std::fs::read_to_string(configuration.experiment().join("exclusions.csv")).expect("table");
    assert!(excluded.contains("1.3.1,labels,it is on the list"), "{excluded}");
    assert!(excluded.contains("1.3.7,labels,") && excluded.contains("does not say what it is used for"), "{excluded}");
}

#[test]
fn folds_are_fitted_apart_and_evaluated_together() {
    let folds = ["data.folds=2", "fit.epochs=1", "fit.head_epochs=0"];
    let trial = Trial::new(8, Labelled::All, &folds);
    let configuration = trial.configuration(&[]);
    prepare(&configuration).expect("prepared");
    let fold = |number| {
        let _drawing = generator::shared();
        super::super::run(Step::Fit, &configuration, &TrainingContext::of_environment(), Portion::Fold(number))
    };
    let weights = |number: usize| configuration.experiment().join(format!("fold-{number}/network/progress.json"));
    fold(1).expect("fitted");
    assert!(weights(1).is_file() && !weights(0).is_file());
    fold(0).expect("fitted");
    assert!(weights(0).is_file());
    let missing = fold(2).expect_err("two folds").to_string();
    assert!(missing.contains("data.folds = 2"), "{missing}");
    run(Step::Evaluate, &configuration).expect("evaluated");
}
