//! How the interfaces report what they receive: DIMSE and DICOMweb call these traits, assembly implements them.

use crate::dicom::SeriesId;
use crate::node::store::Stored;
use crate::node::telemetry::Received;

/// Is told what associations and requests bring.
pub trait StoreEvents: Send + Sync + 'static {
    /// An association or a request begins; what is returned is dropped when it ends, however it ends.
    fn begin(&self) -> Box<dyn Feed>;
}

/// The objects of one association or request.
pub trait Feed: Send {
    /// An object of this series is stored, and durable. [`Stored::Already`] brings nothing new, but shows that the
    /// sender is still sending.
    fn stored(&mut self, series: &SeriesId, stored: Stored);
}

/// Nobody listens: the objects are stored and that is all.
#[derive(Debug, Clone, Copy)]
pub struct Unheard;

impl StoreEvents for Unheard {
    fn begin(&self) -> Box<dyn Feed> {
        Box::new(Self)
    }
}

impl Feed for Unheard {
    fn stored(&mut self, _: &SeriesId, _: Stored) {}
}

impl From<Stored> for Received {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::New => Self::New,
            Stored::Already => Self::Already,
            Stored::Held => Self::Held,
            Stored::Corrected => Self::Corrected,
        }
    }
}
