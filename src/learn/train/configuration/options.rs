//! Options of the scripts of Hu et al. 2025, and what they are called here.

use crate::config::ConfigError;

/// Their options, and the setting that is nearest to each; `docs/published-method.md` explains them.
const OPTIONS: [(&str, &str); 27] = [
    ("model_name", "encoder.architecture"),
    ("pretrained", "encoder.weights"),
    ("masked_label_portion", "supervision.labelled_exams"),
    ("img_size", "input.size"),
    ("img_depth", "fit.depth"),
    ("in_chans", "input.neighbours"),
    ("window_center", "input.window"),
    ("window_width", "input.window"),
    ("folds", "data.folds"),
    ("training_dataset_path", "data.root"),
    ("validation_dataset_path", "data.validation_root"),
    ("test_dataset_path", "data.test_root"),
    ("aux_loss_dataset_path", "data.labels"),
    ("working_dir", "work.dir"),
    ("trail_id", "work.experiment"),
    ("ddp", "fit.devices"),
    ("data_parallel", "fit.devices"),
    ("batch_size", "fit.exams_per_step"),
    ("real_batch_size", "fit.accumulate"),
    ("weight_sampler", "fit.positive_share"),
    ("num_epochs", "fit.epochs"),
    ("learning_rate", "fit.learning_rate"),
    ("eta_min", "fit.final_learning_rate"),
    ("weight_decay", "fit.weight_decay"),
    ("early_stopping_patience", "fit.patience"),
    ("main_loss_weight", "fit.exam_weight"),
    ("seed", "fit.seed"),
];

/// The error with our name for the key, where it is one of their options.
pub(super) fn translated(error: ConfigError) -> ConfigError {
    match error {
        ConfigError::UnknownKey { origin, key, hint } => {
            let option = key.rsplit('.').next().unwrap_or_default();
            let ours = OPTIONS.iter().find(|(theirs, _)| *theirs == option);
            let hint = ours.map_or(hint, |(_, ours)| format!("; here it is `{ours}`"));
            ConfigError::UnknownKey { origin, key, hint }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::learn::train::TrainConfiguration;

    #[test]
    fn an_option_of_the_published_scripts_is_answered_with_its_name_here() {
        for (theirs, ours) in OPTIONS {
            let problem = |setting: String| {
                TrainConfiguration::load(None, &[setting]).err().map(|error| error.to_string()).unwrap_or_default()
            };
            let found = problem(format!("{theirs}=1"));
            assert!(found.contains(&format!("unknown key `{theirs}`; here it is `{ours}`")), "{found}");
            let known = problem(format!("{ours}=1"));
            assert!(!known.contains("unknown key"), "{known}");
        }
    }

    #[test]
    fn a_file_with_their_options_is_answered_likewise() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("theirs.toml");
        std::fs::write(&path, "[fit]\nimg_depth = 32\n").expect("file");
        let found = TrainConfiguration::load(Some(&path), &[]).expect_err("unknown").to_string();
        assert!(found.contains("unknown key `fit.img_depth`; here it is `fit.depth`"), "{found}");
    }

    #[test]
    fn the_book_has_the_same_table() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/published-method.md");
        let page = std::fs::read_to_string(page).expect("the page");
        let spans = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `").map(|line| format!("`{line}")));
        let mut found = Vec::new();
        for row in rows {
            let (theirs, ours) = row.split_once('|').expect("two cells");
            let ours = spans(ours).first().cloned().unwrap_or_default();
            found.extend(spans(theirs).into_iter().map(|theirs| (theirs, ours.clone())));
        }
        let expected = OPTIONS.map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned()));
        assert_eq!(found, expected);
    }
}
