//! Steps that process exam by exam: each exam's outcome is one small file, a table is their union.
//!
//! So a step can be resumed where it ended, and divided over machines that share a folder: shard I of N takes every
//! N-th exam, and the next step merges the outcomes. An outcome names the digest of what it was made from; with other
//! sources it is made again.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::files;
use super::labels::{Exam, Exclusion};
use super::progress;
use super::provenance::Provenance;
use super::step::Step;
use super::table;

/// Which exams a run takes: those whose place in the table modulo `of` is `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Shard {
    /// All exams.
    pub const ALL: Self = Self { index: 0, of: 1 };

    fn takes(self, place: usize) -> bool {
        place % self.of == self.index
    }
}

/// A text that does not name a shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}`: I/N with I from 0 to N - 1 was expected")]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let numbers = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((index, of)) if index < of => Ok(Self { index, of }),
            _ => Err(ShardError(text.to_owned())),
        }
    }
}

/// The outcome of an exam in a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome<T> {
    /// What was made of it.
    Made(T),
    /// Why it is left out from here on.
    Excluded(String),
}

/// An outcome on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Stored<T> {
    sources_sha256: String,
    outcome: Outcome<T>,
}

/// An exam and what a step made of it: the input of the next step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Made<T> {
    pub(crate) exam: Exam,
    pub(crate) value: T,
    /// Digest of what it was made from, and of what that was made from.
    pub(crate) sources_sha256: String,
}

/// All outcomes of a step.
#[derive(Debug)]
pub(crate) struct Merged<T> {
    pub(crate) made: Vec<Made<T>>,
    pub(crate) exclusions: Vec<Exclusion>,
}

/// A step that processes exam by exam.
pub(crate) trait Stage: Sync {
    /// What the step before makes.
    type Input: Sync;
    /// What this one makes, besides its files.
    type Output: Serialize + DeserializeOwned;
    /// A row of its table.
    type Row: Serialize;
    /// What an outcome depends on besides the step before.
    type Sources: Serialize;
    /// Which step it is.
    const STEP: Step;
    /// Changes when the same sources give another outcome, or are written in another form.
    const VERSION: u32;

    /// Where its files lie.
    fn folder(&self) -> &Path;

    /// What the outcome of an exam depends on; `None` to take stored outcomes as they are, where the sources may be
    /// gone.
    fn sources(&self, input: &Made<Self::Input>) -> Option<Self::Sources>;

    /// Files of an exam that are made beside its outcome. Where one is missing, the exam is processed again.
    fn products(&self, _exam: &Exam) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Processes one exam. A fault of the exam is its outcome; an error, a full disk for instance, ends the step.
    fn make(&self, input: &Made<Self::Input>) -> Result<Outcome<Self::Output>, TrainError>;

    /// Whether exams are processed in parallel; not where one exam takes all cores.
    fn side_by_side(&self) -> bool {
        true
    }

    /// The row of an exam.
    fn row(&self, exam: &Exam, output: &Self::Output) -> Self::Row;
}

/// Path of a file of a series: `<folder>/<series>.<ending>`.
pub(crate) fn path(folder: &Path, series: &str, ending: &str) -> PathBuf {
    folder.join(format!("{series}.{ending}"))
}

/// Makes what is missing or was made from other sources, exams in parallel.
pub(crate) fn run<S: Stage>(stage: &S, inputs: &[Made<S::Input>], shard: Shard) -> Result<(), TrainError> {
    files::create_folder(stage.folder())?;
    let wanted: Vec<&Made<S::Input>> =
        inputs.iter().enumerate().filter(|(place, _)| shard.takes(*place)).map(|(_, input)| input).collect();
    let bar = progress::bar(wanted.len() as u64, S::STEP.name());
    let one = |input: &Made<S::Input>| -> Result<(), TrainError> {
        let sources_sha256 = digest(stage, input).unwrap_or_default();
        let path = path(stage.folder(), &input.exam.series, OUTCOME);
        let is_current = |stored: Stored<S::Output>| {
            let of_made = matches!(stored.outcome, Outcome::Made(_)).then(|| stage.products(&input.exam));
            stored.sources_sha256 == sources_sha256
                && of_made.is_none_or(|files| files.iter().all(|file| file.exists()))
        };
        if !read_stored(&path).is_some_and(is_current) {
            // The old outcome must not stand beside files that are half new.
            remove(&path)?;
            let outcome = stage.make(input)?;
            write_stored(&path, &Stored { sources_sha256, outcome })?;
        }
        bar.inc(1);
        Ok(())
    };
    if stage.side_by_side() {
        wanted.into_par_iter().try_for_each(one)?;
    } else {
        wanted.into_iter().try_for_each(one)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Reads the outcomes of all exams, and writes them as tables beside the folder: `<folder>.csv`, and what is excluded
/// to `<folder>-exclusions.csv`.
///
/// # Errors
/// An exam has no outcome of these sources yet, or every exam had to be left out.
pub(crate) fn merge<S: Stage>(stage: &S, inputs: Vec<Made<S::Input>>) -> Result<Merged<S::Output>, TrainError> {
    let (all, mut missing) = (inputs.len(), 0);
    let mut merged = Merged { made: Vec::new(), exclusions: Vec::new() };
    for input in inputs {
        let wanted = digest(stage, &input);
        let stored: Option<Stored<S::Output>> = read_stored(&path(stage.folder(), &input.exam.series, OUTCOME));
        let current = stored.filter(|stored| wanted.as_ref().is_none_or(|wanted| *wanted == stored.sources_sha256));
        match current {
            Some(Stored { outcome: Outcome::Made(value), sources_sha256 }) => {
                merged.made.push(Made { exam: input.exam, value, sources_sha256 });
            }
            Some(Stored { outcome: Outcome::Excluded(reason), .. }) => {
                merged.exclusions.push(Exclusion::new(S::STEP.name(), &input.exam.series, reason));
            }
            None => missing += 1,
        }
    }
    if missing > 0 {
        return Err(TrainError::StepIncomplete { step: S::STEP, missing, all });
    }
    let folder = stage.folder();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let rows: Vec<S::Row> = merged.made.iter().map(|made| stage.row(&made.exam, &made.value)).collect();
    table::write(&folder.with_file_name(format!("{name}.csv")), &rows)?;
    table::write(&folder.with_file_name(format!("{name}-exclusions.csv")), &merged.exclusions)?;
    if let (true, Some(first)) = (merged.made.is_empty(), merged.exclusions.first()) {
        return Err(TrainError::Exams(format!(
            "{}: every exam had to be left out; the first: {}",
            S::STEP,
            first.reason
        )));
    }
    Ok(merged)
}

/// Ending of the file that holds an outcome.
const OUTCOME: &str = "toml";

/// What an outcome is made from: the outcome of the step before, and the step's own sources.
#[derive(Serialize)]
struct Sources<'a, S> {
    before: &'a str,
    own: S,
}

fn digest<S: Stage>(stage: &S, input: &Made<S::Input>) -> Option<String> {
    let sources = Sources { before: &input.sources_sha256, own: stage.sources(input)? };
    Some(Provenance { made: S::STEP.name(), version: S::VERSION, sources }.sha256())
}

/// An incomplete file counts as missing: the exam is processed again.
fn read_stored<T: DeserializeOwned>(path: &Path) -> Option<Stored<T>> {
    toml::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

fn write_stored<T: Serialize>(path: &Path, stored: &Stored<T>) -> Result<(), TrainError> {
    let text = toml::to_string(stored).map_err(|problem| TrainError::table(path, None, problem.to_string()))?;
    files::write_whole(path, text.as_bytes())
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), TrainError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TrainError::file("removing", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::labels::testing::exam;
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Size {
        millimetres: f64,
    }

    #[derive(Serialize)]
    struct Row {
        series: String,
        millimetres: f64,
    }

    /// Excludes one exam, and counts the exams that it processes.
    struct Measure {
        folder: PathBuf,
        sources: &'static str,
        done: AtomicUsize,
    }

    impl Stage for Measure {
        type Input = ();
        type Output = Size;
        type Row = Row;
        type Sources = &'static str;
        const STEP: Step = Step::Volumes;
        const VERSION: u32 = 1;

        fn folder(&self) -> &Path {
            &self.folder
        }

        fn sources(&self, _: &Made<()>) -> Option<&'static str> {
            Some(self.sources)
        }

        fn make(&self, input: &Made<()>) -> Result<Outcome<Size>, TrainError> {
            self.done.fetch_add(1, Ordering::Relaxed);
            Ok(match input.exam.series.as_str() {
                "2.4" => Outcome::Excluded("no volume".to_owned()),
                _ => Outcome::Made(Size { millimetres: 0.1 + 0.2 }),
            })
        }

        fn row(&self, exam: &Exam, size: &Size) -> Row {
            Row { series: exam.series.clone(), millimetres: size.millimetres }
        }
    }

    fn measure(folder: &tempfile::TempDir, sources: &'static str) -> Measure {
        Measure { folder: folder.path().join("volumes"), sources, done: AtomicUsize::new(0) }
    }

    fn inputs() -> Vec<Made<()>> {
        let made = |index| Made { exam: exam(index, "p", false), value: (), sources_sha256: "labels".to_owned() };
        (0..6).map(made).collect()
    }

    /// How many exams a run processes.
    fn count(stage: &Measure, shard: &str) -> usize {
        run(stage, &inputs(), shard.parse().expect("shard")).expect("done");
        stage.done.swap(0, Ordering::Relaxed)
    }

    #[test]
    fn shards_together_do_each_exam_once_and_the_next_step_merges() {
        let folder = tempfile::tempdir().expect("folder");
        let stage = measure(&folder, "a");
        assert_eq!(count(&stage, "1/4"), 2);
        let error = merge(&stage, inputs()).expect_err("shards are missing").to_string();
        assert!(error.contains("4 of 6 exams") && error.contains("pe-node train volumes"), "{error}");
        assert_eq!(["0/4", "2/4", "3/4", "1/4"].map(|shard| count(&stage, shard)), [2, 1, 1, 0]);
        let merged = merge(&stage, inputs()).expect("complete");
        assert_eq!(merged.made.len(), 5);
        assert_eq!(merged.made[0].value, Size { millimetres: 0.1 + 0.2 }, "exact to the last bit");
        assert_eq!(merged.exclusions, [Exclusion::new("volumes", "2.4", "no volume")]);
        let excluded = std::fs::read_to_string(folder.path().join("volumes-exclusions.csv")).expect("table");
        assert!(excluded.contains("2.4,volumes,no volume"), "{excluded}");
    }

    #[test]
    fn other_sources_and_torn_files_are_done_again_and_never_merged() {
        let folder = tempfile::tempdir().expect("folder");
        let (one, other) = (measure(&folder, "a"), measure(&folder, "b"));
        assert_eq!([count(&one, "0/1"), count(&one, "0/1")], [6, 0]);
        assert!(merge(&other, inputs()).is_err());
        assert_eq!(count(&other, "0/1"), 6);
        std::fs::write(path(&other.folder, "2.1", OUTCOME), "sources_sha256 = \"").expect("torn");
        assert!(merge(&other, inputs()).is_err());
        assert_eq!(count(&other, "0/1"), 1);
    }

    #[test]
    fn an_impossible_shard_is_refused() {
        for text in ["4/4", "1", "a/2", "0/0", "-1/2"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
