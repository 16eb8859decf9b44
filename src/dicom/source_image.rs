//! Which image a slice is: an object of one image, or a frame of a multi-frame object.

use std::fmt;
use std::num::NonZeroU32;

use dicom_dictionary_std::uids;

use super::sop_class::EnhancedCt;
use super::uid::Uid;

/// The number of a frame in its object, as references count: from 1
/// ([PS3.3 10.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_10.3.html)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(NonZeroU32);

impl FrameNumber {
    /// The number of the frame with this index, counted from 0; `None` beyond what a number of frames can be.
    pub fn of_index(index: usize) -> Option<Self> {
        u32::try_from(index).ok()?.checked_add(1).and_then(Self::new)
    }

    /// A number from 1.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for FrameNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A CT image as results refer to it: a CT Image Storage object, or a frame of an enhanced one. No other SOP class is
/// read, and a frame number belongs to the enhanced ones alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceImage {
    instance: Uid,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    Object,
    Frame(FrameNumber, EnhancedCt),
}

impl SourceImage {
    /// A CT Image Storage object.
    pub fn object(sop_instance_uid: Uid) -> Self {
        Self { instance: sop_instance_uid, form: Form::Object }
    }

    /// A frame of an enhanced CT.
    pub fn frame_of(class: EnhancedCt, sop_instance_uid: Uid, number: FrameNumber) -> Self {
        Self { instance: sop_instance_uid, form: Form::Frame(number, class) }
    }

    /// An image by what tables write of it; `None` where these do not fit each other.
    pub fn of_parts(sop_class_uid: &Uid, sop_instance_uid: Uid, frame: Option<u32>) -> Option<Self> {
        match (EnhancedCt::of(sop_class_uid), frame) {
            (Some(class), Some(number)) => Some(Self::frame_of(class, sop_instance_uid, FrameNumber::new(number)?)),
            (None, None) if sop_class_uid.as_str() == uids::CT_IMAGE_STORAGE => Some(Self::object(sop_instance_uid)),
            _ => None,
        }
    }

    /// SOP Class UID (0008,0016) of the object.
    pub fn sop_class_uid(&self) -> &'static str {
        match self.form {
            Form::Object => uids::CT_IMAGE_STORAGE,
            Form::Frame(_, class) => class.uid(),
        }
    }

    /// SOP Instance UID (0008,0018) of the object.
    pub fn sop_instance_uid(&self) -> &Uid {
        &self.instance
    }

    /// Which frame of the object it is; `None` where the object is the image.
    pub fn frame(&self) -> Option<FrameNumber> {
        match self.form {
            Form::Object => None,
            Form::Frame(number, _) => Some(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_number_belongs_to_multi_frame_classes_alone() {
        let uid = |text: &str| Uid::parse(text).expect("uid");
        let image = |class: &str, frame| SourceImage::of_parts(&uid(class), uid("1.2"), frame);
        assert_eq!(image(uids::CT_IMAGE_STORAGE, None), Some(SourceImage::object(uid("1.2"))));
        let frame = image(uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE, Some(3)).expect("a frame");
        assert_eq!(frame.frame().map(FrameNumber::get), Some(3));
        assert_eq!(frame.sop_class_uid(), uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE);
        assert_eq!(image(uids::CT_IMAGE_STORAGE, Some(1)), None);
        assert_eq!(image(uids::ENHANCED_CT_IMAGE_STORAGE, None), None);
        assert_eq!(image(uids::ENHANCED_CT_IMAGE_STORAGE, Some(0)), None);
        assert_eq!(image(uids::MR_IMAGE_STORAGE, None), None);
    }
}
