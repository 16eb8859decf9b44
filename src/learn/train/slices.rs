//! Step `slices`: maps the slice labels of the table to the slices of the volume.
//!
//! What does not match is listed, never guessed: labels without an image, images that no row names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::configuration::TrainConfiguration;
use super::labels::{Exam, SliceLabel};
use super::stage::{self, Made, Outcome, Stage};
use super::step::Step;
use super::table;
use super::volumes::{self, StoredVolume};

/// How the labels of a series match its images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Joined {
    /// Images of the volume.
    pub(crate) slices: usize,
    /// Images with a label.
    pub(crate) labelled: usize,
    /// Images labelled positive.
    pub(crate) positive: usize,
    /// SOP instances in the table without an image in the volume.
    pub(crate) rows_without_image: Vec<String>,
    /// SOP instances of the volume that no row names.
    pub(crate) images_without_row: Vec<String>,
}

/// A row of `slices.csv` beside the folder of this step.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    series: String,
    slices: usize,
    labelled: usize,
    positive: usize,
    rows_without_image: usize,
    images_without_row: usize,
    /// The first few of both.
    examples: String,
}

/// A row of a series' own table, lowest slice first.
#[derive(Debug, Serialize, Deserialize)]
struct LabelRow {
    slice: usize,
    sop_instance_uid: String,
    pe_present_on_image: Option<u8>,
}

/// Labels of the slices of a series, by SOP Instance UID.
type SliceLabels = BTreeMap<String, Option<u8>>;

/// The step.
pub(crate) struct Slices {
    folder: PathBuf,
    volumes: PathBuf,
    /// By series.
    labels: BTreeMap<String, SliceLabels>,
}

/// Folder of the joined labels.
pub(crate) fn folder(configuration: &TrainConfiguration) -> PathBuf {
    configuration.work.dir.join("slices")
}

impl Slices {
    pub(crate) fn new(configuration: &TrainConfiguration, rows: Vec<SliceLabel>) -> Self {
        let mut labels: BTreeMap<String, SliceLabels> = BTreeMap::new();
        for row in rows {
            labels.entry(row.series).or_default().insert(row.instance, row.embolism);
        }
        Self { folder: folder(configuration), volumes: volumes::folder(configuration), labels }
    }
}

impl Stage for Slices {
    type Input = StoredVolume;
    type Output = Joined;
    type Row = Row;
    type Sources = SliceLabels;
    const STEP: Step = Step::Slices;
    const VERSION: u32 = 2;

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn sources(&self, input: &Made<StoredVolume>) -> Option<SliceLabels> {
        Some(self.labels.get(&input.exam.series).cloned().unwrap_or_default())
    }

    fn make(&self, input: &Made<StoredVolume>) -> Result<Outcome<Joined>, TrainError> {
        let series = &input.exam.series;
        let instances = volumes::instances(&self.volumes, series)?;
        let nothing = BTreeMap::new();
        let labels = self.labels.get(series).unwrap_or(&nothing);
        let rows: Vec<LabelRow> = instances
            .iter()
            .enumerate()
            .map(|(slice, instance)| LabelRow {
                slice,
                sop_instance_uid: instance.clone(),
                pe_present_on_image: labels.get(instance).copied().flatten(),
            })
            .collect();
        table::write(&stage::path(&self.folder, series, "csv"), &rows)?;
        let present: BTreeSet<&String> = instances.iter().collect();
        let count = |wanted: fn(u8) -> bool| {
            rows.iter().filter_map(|row| row.pe_present_on_image).filter(|label| wanted(*label)).count()
        };
        Ok(Outcome::Made(Joined {
            slices: rows.len(),
            labelled: count(|_| true),
            positive: count(|label| label == 1),
            rows_without_image: labels.keys().filter(|instance| !present.contains(instance)).cloned().collect(),
            images_without_row: instances.iter().filter(|one| !labels.contains_key(*one)).cloned().collect(),
        }))
    }

    fn row(&self, exam: &Exam, joined: &Joined) -> Row {
        let examples: Vec<&str> =
            joined.rows_without_image.iter().chain(&joined.images_without_row).take(3).map(String::as_str).collect();
        Row {
            series: exam.series.clone(),
            slices: joined.slices,
            labelled: joined.labelled,
            positive: joined.positive,
            rows_without_image: joined.rows_without_image.len(),
            images_without_row: joined.images_without_row.len(),
            examples: examples.join(";"),
        }
    }
}

/// The labels of a series' source slices, lowest first; `None` for unlabelled.
pub(crate) fn labels(folder: &Path, series: &str) -> Result<Vec<Option<bool>>, TrainError> {
    let rows: Vec<LabelRow> = table::read(&stage::path(folder, series, "csv"), Step::Slices)?;
    Ok(rows.into_iter().map(|row| row.pe_present_on_image.map(|label| label == 1)).collect())
}
