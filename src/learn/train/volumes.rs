//! Step `volumes`: DICOM to volumes in Hounsfield units, as NIfTI files that any viewer opens, and a lossless map from
//! SOP Instance UID to slice.
//!
//! Nothing is rounded on the way: voxels are whole numbers, and the outcome keeps the grid to the last bit, which the
//! single precision of a NIfTI header does not. Images prepared from a stored volume equal those prepared from DICOM.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::Tag;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::configuration::TrainConfiguration;
use super::files::{CohortFiles, FileState, LIMITS};
use super::labels::Exam;
use super::stage::{self, Made, Outcome, Stage};
use super::step::Step;
use super::table;
use crate::config::{QualityConfig, Severity};
use crate::dicom::{FrameNumber, SourceImage, Uid, elements};
use crate::engine::analyse::quality::{check_images, severity};
use crate::engine::volume::{
    Geometry, PatientPoint, Rejection, SeriesReading, SourceSlice, Volume, nifti, read_series,
};

/// The properties of a stored volume, besides its voxels and slices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredVolume {
    /// How it was acquired.
    pub(crate) acquisition: Acquisition,
    /// The images are marked as synthetic: SyntheticData (0008,001C) is YES.
    pub(crate) synthetic: bool,
    /// Its grid.
    pub(crate) geometry: Geometry,
}

/// How a series was acquired, as its first image says; empty or 0 where it does not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Acquisition {
    /// Manufacturer (0008,0070).
    pub(crate) manufacturer: String,
    /// Manufacturer's Model Name (0008,1090).
    pub(crate) model: String,
    /// Convolution Kernel (0018,1210).
    pub(crate) kernel: String,
    /// KVP (0018,0060).
    pub(crate) kilovolts: f64,
    /// Slice Thickness (0018,0050) in millimetres.
    pub(crate) slice_thickness_mm: f64,
    /// Patient's Age (0010,1010) in years. Absent from what earlier versions stored.
    #[serde(default)]
    pub(crate) age_years: Option<f64>,
}

impl Acquisition {
    pub(crate) fn of(header: &InMemDicomObject) -> Self {
        let text = |tag: Tag| elements::text(header, tag).unwrap_or_default();
        let number = |tag: Tag| elements::number(header, tag).filter(|number| number.is_finite()).unwrap_or_default();
        Self {
            manufacturer: text(tags::MANUFACTURER),
            model: text(tags::MANUFACTURER_MODEL_NAME),
            kernel: text(tags::CONVOLUTION_KERNEL),
            kilovolts: number(tags::KVP),
            slice_thickness_mm: number(tags::SLICE_THICKNESS),
            age_years: elements::age_years(header),
        }
    }
}

/// A row of `volumes.csv`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) series: String,
    slices: usize,
    rows: usize,
    columns: usize,
    row_mm: f64,
    column_mm: f64,
    slice_mm: f64,
    manufacturer: String,
    model: String,
    kernel: String,
    kilovolts: f64,
    slice_thickness_mm: f64,
    /// Absent from tables of earlier versions.
    #[serde(default)]
    age_years: Option<f64>,
    synthetic: bool,
}

impl Row {
    /// The thickness or the distance of the slices in millimetres, whichever is more.
    pub(crate) fn slices_mm(&self) -> f64 {
        self.slice_mm.max(self.slice_thickness_mm)
    }

    /// The distance of pixels in millimetres, the greater one.
    pub(crate) fn pixels_mm(&self) -> f64 {
        self.row_mm.max(self.column_mm)
    }

    /// How the series was acquired.
    pub(crate) fn acquisition(self) -> Acquisition {
        let Self { manufacturer, model, kernel, kilovolts, slice_thickness_mm, age_years, .. } = self;
        Acquisition { manufacturer, model, kernel, kilovolts, slice_thickness_mm, age_years }
    }
}

/// How each stored series was acquired; none where the step left no table.
pub(crate) fn acquired(configuration: &TrainConfiguration) -> Result<Vec<Row>, TrainError> {
    let path = configuration.work.dir.join("volumes.csv");
    if path.is_file() { table::read(&path, Step::Volumes) } else { Ok(Vec::new()) }
}

/// A row of a series' table of slices, lowest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SliceRow {
    slice: usize,
    sop_instance_uid: String,
    sop_class_uid: String,
    /// The frame of an enhanced CT, from 1.
    frame_number: Option<u32>,
    /// The object that a frame was converted from.
    converted_from: Option<String>,
    instance_number: Option<i64>,
    x_mm: f64,
    y_mm: f64,
    z_mm: f64,
}

/// The step.
pub(crate) struct Volumes {
    folder: PathBuf,
    /// `None` where volumes are only read back.
    source: Option<Source>,
}

/// Where volumes come from.
struct Source {
    /// DICOM files by cohort.
    files: BTreeMap<String, CohortFiles>,
    /// What the node rejects.
    quality: QualityConfig,
}

/// Folder of the stored volumes.
pub(crate) fn folder(configuration: &TrainConfiguration) -> PathBuf {
    configuration.work.dir.join("volumes")
}

impl Volumes {
    /// Finds the files of all exams.
    pub(crate) fn new(
        configuration: &TrainConfiguration,
        quality: &QualityConfig,
        exams: &[Exam],
    ) -> Result<Self, TrainError> {
        let mut cohorts: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for exam in exams {
            cohorts.entry(&exam.root).or_default().push((&exam.study, &exam.series));
        }
        let find = |(root, wanted): (&str, Vec<(&str, &str)>)| -> Result<(String, CohortFiles), TrainError> {
            Ok((root.to_owned(), CohortFiles::find(Path::new(root), wanted.into_iter())?))
        };
        let files = cohorts.into_iter().map(find).collect::<Result<_, _>>()?;
        let source = Source { files, quality: quality.clone() };
        Ok(Self { folder: folder(configuration), source: Some(source) })
    }

    /// Volumes that were stored before, whether or not the DICOM files still exist.
    pub(crate) fn stored(configuration: &TrainConfiguration) -> Self {
        Self { folder: folder(configuration), source: None }
    }
}

impl Source {
    fn files(&self, exam: &Exam) -> &[PathBuf] {
        self.files.get(&exam.root).and_then(|cohort| cohort.series(&exam.series)).unwrap_or_default()
    }

    /// The volume of an exam, and why the node would reject it.
    fn read(&self, exam: &Exam) -> (Option<Volume>, Vec<Rejection>) {
        let SeriesReading { volume, mut rejections, .. } = read_series(self.files(exam), &LIMITS);
        rejections.extend(volume.iter().flat_map(|volume| check_images(volume, &self.quality)));
        rejections.retain(|one| severity(one.reason, &self.quality) == Severity::Reject);
        (volume, rejections)
    }
}

impl Stage for Volumes {
    type Input = ();
    type Output = StoredVolume;
    type Row = Row;
    type Sources = Vec<(String, Option<FileState>)>;
    const STEP: Step = Step::Volumes;
    const VERSION: u32 = 4;

    fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files by name, length and time: a file that was replaced by a better copy makes another volume.
    fn sources(&self, input: &Made<()>) -> Option<Self::Sources> {
        let source = self.source.as_ref()?;
        let named = |path: &PathBuf| (path.display().to_string(), FileState::of(path));
        Some(source.files(&input.exam).iter().map(named).collect())
    }

    fn products(&self, exam: &Exam) -> Vec<PathBuf> {
        vec![voxels_path(&self.folder, &exam.series), slices_path(&self.folder, &exam.series)]
    }

    /// A series that the node rejects is left out although there may be a volume: training and evaluation use what is
    /// served.
    fn make(&self, input: &Made<()>) -> Result<Outcome<StoredVolume>, TrainError> {
        let (volume, rejections) =
            self.source.as_ref().map_or_else(|| (None, Vec::new()), |source| source.read(&input.exam));
        let reasons: Vec<&str> = rejections.iter().map(|one| one.explanation.as_str()).collect();
        let reasons = reasons.join("; ");
        let volume = match volume {
            None => return Ok(Outcome::Excluded(format!("no volume: {reasons}"))),
            Some(_) if !reasons.is_empty() => return Ok(Outcome::Excluded(format!("the node rejects it: {reasons}"))),
            Some(volume) => volume,
        };
        store(&self.folder, &input.exam.series, &volume)?;
        Ok(Outcome::Made(StoredVolume {
            acquisition: Acquisition::of(&volume.header),
            synthetic: elements::text(&volume.header, tags::SYNTHETIC_DATA).is_some_and(|value| value == "YES"),
            geometry: volume.geometry,
        }))
    }

    fn row(&self, exam: &Exam, volume: &StoredVolume) -> Row {
        let [columns, rows, slices] = volume.geometry.size;
        let [column_mm, row_mm, slice_mm] = volume.geometry.spacing;
        let Acquisition { manufacturer, model, kernel, kilovolts, slice_thickness_mm, age_years } =
            volume.acquisition.clone();
        Row {
            series: exam.series.clone(),
            slices,
            rows,
            columns,
            row_mm,
            column_mm,
            slice_mm,
            manufacturer,
            model,
            kernel,
            kilovolts,
            slice_thickness_mm,
            age_years,
            synthetic: volume.synthetic,
        }
    }
}

fn voxels_path(folder: &Path, series: &str) -> PathBuf {
    stage::path(folder, series, "nii.gz")
}

fn slices_path(folder: &Path, series: &str) -> PathBuf {
    stage::path(folder, series, "slices.csv")
}

fn store(folder: &Path, series: &str, volume: &Volume) -> Result<(), TrainError> {
    nifti::write(&voxels_path(folder, series), &volume.hounsfield, &volume.geometry)?;
    let row = |(slice, source): (usize, &SourceSlice)| SliceRow {
        slice,
        sop_instance_uid: source.image.sop_instance_uid().to_string(),
        sop_class_uid: source.image.sop_class_uid().to_owned(),
        frame_number: source.image.frame().map(FrameNumber::get),
        converted_from: source.converted_from.as_ref().map(Uid::to_string),
        instance_number: source.instance_number,
        x_mm: source.position.0[0],
        y_mm: source.position.0[1],
        z_mm: source.position.0[2],
    };
    let rows: Vec<SliceRow> = volume.slices.iter().enumerate().map(row).collect();
    table::write(&slices_path(folder, series), &rows)
}

/// What labels name the images of a stored volume by, lowest slice first: their SOP Instance UIDs; for a frame, that of
/// the object that it was converted from. A frame without one has no label: one of its object is not its own.
pub(crate) fn instances(folder: &Path, series: &str) -> Result<Vec<String>, TrainError> {
    let rows: Vec<SliceRow> = table::read(&slices_path(folder, series), Step::Volumes)?;
    let name = |row: SliceRow| match (row.converted_from, row.frame_number) {
        (Some(converted_from), _) => converted_from,
        (None, Some(frame)) => format!("{} frame {frame}", row.sop_instance_uid),
        (None, None) => row.sop_instance_uid,
    };
    Ok(rows.into_iter().map(name).collect())
}

/// Reads a stored volume back; its header was not stored.
pub(crate) fn load(folder: &Path, series: &str, stored: &StoredVolume) -> Result<Volume, TrainError> {
    let path = voxels_path(folder, series);
    let (voxels, _) = nifti::read(&path)?;
    let damaged =
        |problem: &str| TrainError::table(&path, None, format!("{problem}; remove it and run `volumes` again"));
    let [columns, rows, slices] = stored.geometry.size;
    if voxels.dim() != (slices, rows, columns) {
        return Err(damaged("the volume has another size than it was stored with"));
    }
    let table: Vec<SliceRow> = table::read(&slices_path(folder, series), Step::Volumes)?;
    let slice = |row: SliceRow| {
        let [class, instance] = [&row.sop_class_uid, &row.sop_instance_uid].map(|text| Uid::parse(text).ok());
        Some(SourceSlice {
            image: SourceImage::of_parts(&class?, instance?, row.frame_number)?,
            converted_from: row.converted_from.and_then(|text| Uid::parse(&text).ok()),
            instance_number: row.instance_number,
            // Quality was checked before the volume was stored.
            thickness_mm: None,
            position: PatientPoint([row.x_mm, row.y_mm, row.z_mm]),
        })
    };
    let found: Option<Vec<SourceSlice>> = table.into_iter().map(slice).collect();
    let found =
        found.filter(|found| found.len() == slices).ok_or_else(|| damaged("its table of slices is not whole"))?;
    let hounsfield = voxels.mapv(|value| value as i16);
    Ok(Volume::new(stored.geometry.clone(), hounsfield, found, InMemDicomObject::new_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::volume::testing;

    #[test]
    fn a_stored_volume_comes_back_to_the_last_bit() {
        let folder = tempfile::tempdir().expect("folder");
        let geometry = testing::geometry([7, 5, 4], [0.1 + 0.2, 1.0 / 3.0, 2.5], testing::PRONE);
        let volume = testing::volume(geometry, |[x, y, z]| x * 100.0 + y * 30.0 + z * 7.0 - 900.0);
        store(folder.path(), "1.2", &volume).expect("stored");
        let acquisition = Acquisition { kernel: "SOFT".to_owned(), kilovolts: 100.0, ..Acquisition::default() };
        let stored = StoredVolume { acquisition, synthetic: false, geometry: volume.geometry.clone() };
        let text = toml::to_string(&stored).expect("written");
        let loaded = load(folder.path(), "1.2", &toml::from_str(&text).expect("read")).expect("loaded");
        assert_eq!(loaded.geometry, volume.geometry);
        assert_eq!(loaded.hounsfield, volume.hounsfield);
        let places = |volume: &Volume| volume.slices.iter().map(|slice| slice.position).collect::<Vec<_>>();
        assert_eq!(places(&loaded), places(&volume));
        let expected: Vec<String> =
            volume.slices.iter().map(|slice| slice.image.sop_instance_uid().to_string()).collect();
        assert_eq!(instances(folder.path(), "1.2").expect("table"), expected);
    }
}
