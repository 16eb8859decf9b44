//! How the doors tell what they bring: DIMSE and DICOMweb report through it, assembly listens.

use crate::dicom::Uid;
use crate::node::archive::Stored;

/// Hears what associations and requests bring.
pub trait StoreEvents: Send + Sync + 'static {
    /// An association or a request begins; what is returned is dropped when it ends, however it ends.
    fn begin(&self) -> Box<dyn Feed>;
}

/// The objects of one association or request.
pub trait Feed: Send {
    /// An object of this study and series is stored, and durable. [`Stored::Already`] brings nothing new, but shows
    /// that the sender is still at it.
    fn stored(&mut self, study_instance_uid: &Uid, series_instance_uid: &Uid, stored: Stored);
}
