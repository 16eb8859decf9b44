//! Files of a series to a volume.

mod headers;

use std::collections::HashSet;
use std::path::PathBuf;

use self::headers::Headers;
use super::choice::choose;
use super::decoding::{Decoded, Failed, decode};
use super::explaining;
use super::left_out::{LeftOut, LeftOutKind, Refused};
use super::naming::image_numbers;
use super::rejection::{Reason, Rejection};
use super::seam::broken_at;
use super::slice_header::{Excluded, ImageNumber, SliceHeader};
use super::stack::{MINIMUM_SLICES, Stack, Stacks};
use super::stored_image::StoredImage;
use super::{Geometry, PatientPoint, SourceSlice, Volume};
use crate::dicom::Uid;
use crate::dicom::bounded::Limits;
use crate::dicom::concatenation::Parts;

/// What was found in the files of a series.
#[derive(Debug)]
pub struct SeriesReading {
    /// Study Instance UID of the first object that has one.
    pub study_instance_uid: Option<Uid>,
    /// Series Instance UID of the first object that has one.
    pub series_instance_uid: Option<Uid>,
    /// The volume, when the images have a regular stack. It may exist although there are rejections: what could be
    /// read is analysed if a user asks for that.
    pub volume: Option<Volume>,
    /// All rejections of the series, one entry per reason, in the order of [`Reason`].
    pub rejections: Vec<Rejection>,
    /// What is not in the volume and was not missed, one entry per cause, in the order of [`LeftOutKind`]: localizers,
    /// copies, other stacks.
    pub left_out: Vec<LeftOut>,
}

/// Reads the files (PS3.10) of one series.
///
/// A first pass reads headers alone, finds the stacks and chooses one; a second one decodes it slice by slice, in
/// parallel, straight into the volume, so that memory holds the volume and one image per thread. Frames of enhanced CT
/// are images as others are.
///
/// ```
/// use pe_node::cohort::Layout;
/// use pe_node::dicom::bounded::Limits;
/// use pe_node::engine::volume::{group_by_series, read_series};
/// use pe_node::learn::phantom::{Exam, Preset, Recipe};
///
/// // A series to read: a phantom of tiny slices.
/// let folder = tempfile::tempdir()?;
/// Exam::draw(&Recipe::new(Preset::Tiny, 1, 0)).write(&Layout::below(folder.path()))?;
///
/// let limits = Limits { object_mib: 64, depth: 16, elements: 10_000, pixels: 1 << 24 };
/// let found = group_by_series(&[folder.path().to_owned()], &limits);
/// let reading = read_series(&found.series[0].files, &limits);
/// let volume = reading.volume.expect("a volume");
/// assert_eq!(volume.geometry.size[..2], [128, 128]);
/// assert_eq!(volume.hounsfield.iter().min(), Some(&-1024));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_series(files: &[PathBuf], limits: &Limits) -> SeriesReading {
    let Headers { study_instance_uid, series_instance_uid, mut images, mut excluded } = Headers::read(files, limits);
    let mut outcome = match of_several_patients(&images, &excluded) {
        Some(mixed) => Outcome::rejected(mixed),
        None => loop {
            match Outcome::of(images.clone(), limits) {
                Ok(outcome) => break outcome,
                Err(again) => again.change(&mut images, &mut excluded),
            }
        },
    };
    outcome.add(&excluded);
    SeriesReading {
        study_instance_uid,
        series_instance_uid,
        volume: outcome.volume,
        rejections: Rejection::merged(outcome.rejections),
        left_out: outcome.left_out,
    }
}

impl SeriesReading {
    /// Adds images that were sent and refused, one entry a cause: where slices are missing, that is what became of them.
    /// Where none is, a changed copy of an image that is there is not worth a word.
    pub(crate) fn add_refused(&mut self, refused: &[Refused]) {
        let gap = self.rejections.iter_mut().find(|rejection| rejection.reason == Reason::MissingSlices);
        match gap {
            Some(gap) => refused.iter().for_each(|refused| {
                gap.explanation = format!("{}; {refused}", gap.explanation);
            }),
            None => self.left_out.extend(refused.iter().filter_map(Refused::left_out)),
        }
    }
}

/// Images of one series that name different patients, or of which some are synthetic: it is unknown whose result it
/// would be. (Such a series arises when the patient is corrected at the scanner while the series is being sent.) Objects
/// that are no slices count where they name a patient.
fn of_several_patients(images: &[SliceHeader], excluded: &[Excluded]) -> Option<Rejection> {
    let first = &images.first()?.subject;
    let named = excluded.iter().filter(|one| first.patient_id.is_some() && one.patient_id.is_some());
    let others = named.filter(|one| one.patient_id != first.patient_id).map(|one| one.number);
    let differing = images.iter().filter(|image| image.subject != *first).map(SliceHeader::number);
    let mut fewer: Vec<ImageNumber> = differing.chain(others).collect();
    if fewer.is_empty() {
        return None;
    }
    // Named are those that are fewer: they are probably the wrong ones.
    let same: Vec<ImageNumber> =
        images.iter().filter(|image| image.subject == *first).map(SliceHeader::number).collect();
    let total = same.len() + fewer.len();
    if same.len() < fewer.len() {
        fewer = same;
    }
    let instances = image_numbers(fewer.iter().copied()).map_or_else(String::new, |text| format!(": {text}"));
    let problem = "the images differ in Patient ID or Synthetic Data: send the series again, under one patient";
    Some(Rejection::new(
        Reason::MixedPatients,
        format!("{problem} ({} of {total} differ from the others{instances})", fewer.len()),
    ))
}

/// Why the images of a series must be sorted again, as their pixels show.
enum Again {
    /// Some do not decode.
    Without(Vec<Failed>),
    /// These are of another scan than those below them.
    Separate(Vec<StoredImage>),
}

impl Again {
    fn change(self, images: &mut Vec<SliceHeader>, excluded: &mut Vec<Excluded>) {
        match self {
            Self::Without(failed) => {
                images.retain(|image| failed.iter().all(|failed| failed.image.stored != image.stored));
                excluded.extend(failed.into_iter().map(|failed| failed.excluded));
            }
            Self::Separate(above) => {
                let above: HashSet<StoredImage> = above.into_iter().collect();
                for image in images.iter_mut().filter(|image| above.contains(&image.stored)) {
                    image.scan += 1;
                }
            }
        }
    }
}

/// What becomes of the images of a series.
#[derive(Default)]
struct Outcome {
    volume: Option<Volume>,
    rejections: Vec<Rejection>,
    left_out: Vec<LeftOut>,
}

impl Outcome {
    fn rejected(rejection: Rejection) -> Self {
        Self { rejections: vec![rejection], ..Self::default() }
    }

    /// Finds the stacks, chooses one, and decodes it.
    fn of(images: Vec<SliceHeader>, limits: &Limits) -> Result<Self, Again> {
        let parts = Parts::of(images.iter().filter_map(|image| image.part.as_ref()));
        let mut stacks = Stacks::of(images);
        let Some(chosen) = choose(&stacks.axial, limits) else {
            return Ok(stacks.not_axial().map(Self::rejected).unwrap_or_default());
        };
        let left_out = explaining::others(&stacks, chosen, limits);
        let mut outcome = Self { left_out, ..Self::default() };
        let stack = stacks.axial.swap_remove(chosen);
        let slices = stack.slices.len();
        outcome.rejections.extend(explaining::missing_parts(&parts, &stack));
        match stack.geometry.clone().and_then(|geometry| within_limits(geometry, limits)) {
            // How many slices a volume needs is for the quality checks to say.
            Ok(geometry) => outcome.read(stack, geometry, limits)?,
            Err(rejection) => {
                let few = (slices < MINIMUM_SLICES).then(|| Rejection::too_few_slices(slices, MINIMUM_SLICES));
                outcome.rejections.extend(few.into_iter().chain([rejection]));
            }
        }
        Ok(outcome)
    }

    fn read(&mut self, mut stack: Stack, geometry: Geometry, limits: &Limits) -> Result<(), Again> {
        let decoded = decode(&mut stack, geometry.size, limits).map_err(Again::Without)?;
        let Decoded { hounsfield, header, left_out, conflict } = decoded;
        if let Some(break_at) = broken_at(&stack, &hounsfield) {
            let above = stack.slices.iter().skip(break_at).map(|slice| slice.stored.clone());
            return Err(Again::Separate(above.collect()));
        }
        if let Some(conflict) = conflict {
            self.rejections.push(conflict);
            return Ok(());
        }
        self.left_out.extend(left_out);
        let slices = stack.slices.into_iter().map(source_slice).collect();
        self.volume = Some(Volume::new(geometry, hounsfield, slices, header));
        Ok(())
    }

    /// Adds what is no slice: a fault is a reason only where no whole stack is left without it.
    fn add(&mut self, excluded: &[Excluded]) {
        let is_exam = |volume: &Volume| volume.slices.len() >= MINIMUM_SLICES;
        let usable = self.volume.as_ref().is_some_and(is_exam) && self.rejections.is_empty();
        let (faults, others): (Vec<Excluded>, Vec<Excluded>) =
            excluded.iter().cloned().partition(|one| one.reason.is_some() && !usable);
        self.left_out.extend(explaining::excluded(&others));
        self.left_out.sort_by_key(|left_out| left_out.kind);
        let unreadable = faults.iter().filter(|one| one.kind == LeftOutKind::Unreadable).count();
        for gap in self.rejections.iter_mut().filter(|one| one.reason == Reason::MissingSlices && unreadable > 0) {
            gap.explanation = format!("{}; images that came and cannot be read: {unreadable}", gap.explanation);
        }
        self.rejections.extend(explaining::faults(&faults));
        if self.volume.is_none() && self.rejections.is_empty() {
            self.rejections.push(Rejection::too_few_slices(0, MINIMUM_SLICES));
        }
    }
}

/// Rejects a volume that is larger than any scanner makes, before memory is allocated for it.
fn within_limits(geometry: Geometry, limits: &Limits) -> Result<Geometry, Rejection> {
    let size = geometry.size;
    let voxels = size.iter().try_fold(1_u64, |all, size| all.checked_mul(*size as u64));
    if voxels.is_none_or(|voxels| voxels > limits.pixels) {
        let problem = format!("the series claims {size:?} voxels; {} are allowed", limits.pixels);
        return Err(Rejection::new(Reason::Hostile, problem));
    }
    Ok(geometry)
}

fn source_slice(header: SliceHeader) -> SourceSlice {
    SourceSlice {
        image: header.image,
        instance_number: header.instance_number,
        thickness_mm: header.labels.thickness_mm(),
        converted_from: header.converted_from,
        position: PatientPoint(header.position),
    }
}

#[cfg(test)]
mod enhanced_tests;
#[cfg(test)]
mod heap_tests;
#[cfg(test)]
mod number_tests;
#[cfg(test)]
mod tests;
