//! Files of a series to a volume.

use std::path::PathBuf;

use dicom_dictionary_std::tags;
use dicom_object::{FileDicomObject, InMemDicomObject};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, Axis};

use super::rejection::{Reason, Rejection};
use super::slice_header::{Excluded, SliceHeader, examine};
use super::stack::{MINIMUM_SLICES, Stack, arrange};
use super::{SourceSlice, Volume, pixels};
use crate::dicom::Uid;
use crate::dicom::bounded::{self, Limits};
use crate::dicom::elements::{DataSet, uid};

/// What was found in the files of a series.
#[derive(Debug)]
pub struct SeriesReading {
    /// Study Instance UID of the first object that has one.
    pub study_instance_uid: Option<Uid>,
    /// Series Instance UID of the first object that has one.
    pub series_instance_uid: Option<Uid>,
    /// The volume, when the images make up a regular stack. It may be there although there are rejections: what
    /// could be read is analysed when the user asks for that.
    pub volume: Option<Volume>,
    /// All that speaks against the series, one entry a reason, in the order of [`Reason::ALL`].
    pub rejections: Vec<Rejection>,
    /// What was left out without harm, in words: localizers, identical copies.
    pub notes: Vec<String>,
}

/// Reads the files (PS3.10) of one series.
///
/// A first pass reads headers alone and finds the stack; a second one decodes slice by slice, in parallel, straight
/// into the volume, so that memory holds the volume and one object a thread.
pub fn read_series(files: &[PathBuf], limits: &Limits) -> SeriesReading {
    let (mut reading, headers) = read_headers(files, limits);
    let mut rejections = std::mem::take(&mut reading.rejections);
    let mut found = headers.len();
    let mut candidates = headers;
    // An image that does not decode leaves the stack; the rest is arranged anew and its gaps are told.
    while !candidates.is_empty() {
        let (stack, arranged) = arrange(candidates);
        let Some(stack) = stack else {
            rejections.extend(arranged);
            break;
        };
        found = stack.slices.len();
        match build(stack, limits, &mut reading.notes) {
            Ok((volume, duplicates)) => {
                rejections.extend(arranged);
                rejections.extend(duplicates);
                reading.volume = Some(volume);
                break;
            }
            Err((good, failures)) => {
                found = good.len();
                rejections.extend(failures);
                candidates = good;
            }
        }
    }
    if found < MINIMUM_SLICES {
        rejections.push(Rejection::new(
            Reason::TooFewSlices,
            format!("{found} usable CT slices; at least {MINIMUM_SLICES} were expected"),
        ));
    }
    reading.rejections = Rejection::merged(rejections);
    reading
}

fn read_headers(files: &[PathBuf], limits: &Limits) -> (SeriesReading, Vec<SliceHeader>) {
    type Identity = (Option<Uid>, Option<Uid>);
    let examined: Vec<(Identity, Result<SliceHeader, Excluded>)> = files
        .par_iter()
        .map(|path| match bounded::open(path, limits) {
            Ok(object) => {
                let identity = (uid(&object, tags::STUDY_INSTANCE_UID), uid(&object, tags::SERIES_INSTANCE_UID));
                (identity, examine(path, &object))
            }
            Err(error) => ((None, None), Err(Rejection::from(error).into())),
        })
        .collect();
    let mut reading = SeriesReading {
        study_instance_uid: examined.iter().find_map(|((study, _), _)| study.clone()),
        series_instance_uid: examined.iter().find_map(|((_, series), _)| series.clone()),
        volume: None,
        rejections: Vec::new(),
        notes: Vec::new(),
    };
    let mut headers = Vec::with_capacity(files.len());
    for (_, result) in examined {
        match result {
            Ok(header) => headers.push(header),
            Err(Excluded::LeftOut(what)) => reading.notes.push(format!("left out: {what}")),
            Err(Excluded::Rejected(rejection)) => reading.rejections.push(rejection),
        }
    }
    (reading, headers)
}

type Failed = (Vec<SliceHeader>, Vec<Rejection>);

/// Decodes a stack. On failure, gives back the slices that do decode and what is wrong with the others.
fn build(stack: Stack, limits: &Limits, notes: &mut Vec<String>) -> Result<(Volume, Vec<Rejection>), Failed> {
    let [columns, rows, slices] = stack.geometry.size;
    let mut hounsfield = Array3::<i16>::zeros((slices, rows, columns));
    let outcomes: Vec<Result<Option<DataSet>, Rejection>> = hounsfield
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .enumerate()
        .map(|(index, mut image)| {
            let pixels = image.as_slice_mut().expect("a slice of a new array is contiguous");
            let object = load(&stack.slices[index], limits, pixels)?;
            Ok((index == 0).then(|| without_pixels(object)))
        })
        .collect();
    if outcomes.iter().any(Result::is_err) {
        let mut failed = (Vec::new(), Vec::new());
        for (slice, outcome) in stack.slices.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => failed.0.push(slice),
                Err(rejection) => failed.1.push(rejection),
            }
        }
        failed.0.extend(stack.duplicates.into_iter().map(|(_, duplicate)| duplicate));
        return Err(failed);
    }
    let rejections = compare_duplicates(&stack, &hounsfield, limits, notes);
    let header = outcomes.into_iter().find_map(|outcome| outcome.ok().flatten()).unwrap_or_else(DataSet::new_empty);
    let slices = stack.slices.into_iter().map(source_slice).collect();
    Ok((Volume { geometry: stack.geometry, hounsfield, slices, header }, rejections))
}

fn load(
    slice: &SliceHeader,
    limits: &Limits,
    pixels: &mut [i16],
) -> Result<FileDicomObject<InMemDicomObject>, Rejection> {
    let mut object = bounded::open(&slice.path, limits)?;
    pixels::decode(&mut object, pixels)?;
    Ok(object)
}

fn without_pixels(object: FileDicomObject<InMemDicomObject>) -> DataSet {
    let mut header = object.into_inner();
    for tag in [tags::PIXEL_DATA, tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA] {
        header.remove_element(tag);
    }
    header
}

/// Images at a position that another one has: the same picture again does no harm, a different one does.
fn compare_duplicates(
    stack: &Stack,
    hounsfield: &Array3<i16>,
    limits: &Limits,
    notes: &mut Vec<String>,
) -> Vec<Rejection> {
    let [columns, rows, _] = stack.geometry.size;
    let differs: Vec<Result<bool, Rejection>> = stack
        .duplicates
        .par_iter()
        .map(|(index, duplicate)| {
            let mut image = Array2::<i16>::zeros((rows, columns));
            load(duplicate, limits, image.as_slice_mut().expect("a new array is contiguous"))?;
            Ok(image != hounsfield.index_axis(Axis(0), *index))
        })
        .collect();
    let identical = differs.iter().filter(|outcome| matches!(outcome, Ok(false))).count();
    let different = differs.iter().filter(|outcome| matches!(outcome, Ok(true))).count();
    if identical > 0 {
        notes.push(format!("left out: {identical} identical copies of slices"));
    }
    let mut rejections: Vec<Rejection> = differs.into_iter().filter_map(Result::err).collect();
    if different > 0 {
        rejections.push(Rejection::new(
            Reason::BadGeometry,
            format!(
                "{different} images lie where another, different image lies: more than one acquisition in the series"
            ),
        ));
    }
    rejections
}

fn source_slice(header: SliceHeader) -> SourceSlice {
    SourceSlice {
        sop_class_uid: header.sop_class_uid,
        sop_instance_uid: header.sop_instance_uid,
        instance_number: header.instance_number,
    }
}
