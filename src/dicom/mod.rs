//! What every part of the program may use of DICOM itself: identifiers, titles, coded concepts, typed getters, and the
//! bounded reading of untrusted bytes. Nothing here knows about volumes, networks or disks.

pub mod ae_title;
pub mod bounded;
pub mod concatenation;
pub mod concept;
pub mod content;
pub mod dates;
pub mod elements;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod hexadecimal;
pub mod implementation;
mod instance_set;
mod limits;
pub mod multi_frame;
mod prescan;
pub mod rejection_note;
mod series_id;
pub mod sop_class;
mod source_image;
pub mod stored_frames;
pub mod text;
pub mod transfer_syntax;
pub mod uid;

pub use ae_title::AeTitle;
pub use concept::Concept;
pub use hexadecimal::hexadecimal;
pub use instance_set::{Member, images_sha256, instances_sha256};
pub use rejection_note::{RejectionNote, RejectionReason};
pub use series_id::SeriesId;
pub use sop_class::{EnhancedCt, ObjectKind};
pub use source_image::{FrameNumber, SourceImage};
pub use uid::Uid;
