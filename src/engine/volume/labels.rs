//! What distinguishes the acquisitions and reconstructions of a series, besides the places of their images.

use dicom_dictionary_std::tags;

use super::hounsfield::Monochromatic;
use crate::dicom::elements::{DataSet, integer, text, texts};

/// One such attribute, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// Acquisition Number (0020,0012).
    AcquisitionNumber,
    /// Frame of Reference UID (0020,0052).
    FrameOfReference,
    /// Convolution Kernel (0018,1210).
    Kernel,
    /// Slice Thickness (0018,0050).
    Thickness,
    /// KVP (0018,0060).
    TubeVoltage,
    /// The energy of a virtual monochromatic image in keV: one scan is reconstructed for several.
    Energy,
    /// Image Type (0008,0008).
    ImageType,
    /// Stack ID (0020,9056) of frames.
    Stack,
    /// Temporal position or phase of the heart.
    Phase,
    /// Acquisition DateTime (0008,002A), else Acquisition Time (0008,0032).
    AcquisitionTime,
}

impl Label {
    pub(super) const ALL: [Self; 10] = [
        Self::AcquisitionNumber,
        Self::FrameOfReference,
        Self::Kernel,
        Self::Thickness,
        Self::TubeVoltage,
        Self::Energy,
        Self::ImageType,
        Self::Stack,
        Self::Phase,
        Self::AcquisitionTime,
    ];

    fn read(self, header: &DataSet) -> Option<String> {
        let all = |tag| Some(texts(header, tag).join("\\")).filter(|text| !text.is_empty());
        match self {
            Self::AcquisitionNumber => integer(header, tags::ACQUISITION_NUMBER).map(|number| number.to_string()),
            Self::FrameOfReference => text(header, tags::FRAME_OF_REFERENCE_UID),
            Self::Kernel => all(tags::CONVOLUTION_KERNEL),
            Self::Thickness => text(header, tags::SLICE_THICKNESS),
            Self::TubeVoltage => text(header, tags::KVP),
            Self::Energy => Monochromatic::of(header).and_then(|image| image.kev).map(|kev| kev.to_string()),
            Self::ImageType => all(tags::IMAGE_TYPE),
            Self::Stack => text(header, tags::STACK_ID),
            Self::Phase => {
                let tags = [
                    tags::TEMPORAL_POSITION_IDENTIFIER,
                    tags::TEMPORAL_POSITION_TIME_OFFSET,
                    tags::NOMINAL_PERCENTAGE_OF_CARDIAC_PHASE,
                    tags::TRIGGER_TIME,
                ];
                tags.into_iter().find_map(|tag| text(header, tag))
            }
            Self::AcquisitionTime => {
                text(header, tags::ACQUISITION_DATE_TIME).or_else(|| text(header, tags::ACQUISITION_TIME))
            }
        }
    }
}

/// The labels of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Labels([Option<String>; Label::ALL.len()]);

impl Labels {
    pub(super) fn read(header: &DataSet) -> Self {
        Self(Label::ALL.map(|label| label.read(header)))
    }

    pub(super) fn get(&self, label: Label) -> Option<&str> {
        self.0[label as usize].as_deref()
    }

    /// Slice Thickness in millimetres.
    pub(super) fn thickness_mm(&self) -> Option<f64> {
        let thickness: f64 = self.get(Label::Thickness)?.trim().parse().ok()?;
        Some(thickness).filter(|thickness| thickness.is_finite() && *thickness > 0.0)
    }

    /// How many labels are those of `other`.
    pub(super) fn in_common(&self, other: &Self) -> usize {
        Label::ALL.into_iter().filter(|label| self.get(*label) == other.get(*label)).count()
    }

    /// The most frequent value of each label; the first of equals.
    pub(super) fn usual<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Self {
        Self(Label::ALL.map(|label| {
            let mut counts: Vec<(Option<&str>, usize)> = Vec::new();
            for value in all.clone().map(|labels| labels.get(label)) {
                match counts.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((value, 1)),
                }
            }
            // `max_by_key` takes the last of equals.
            let (value, _) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
            value.map(str::to_owned)
        }))
    }
}
