//! Memory for objects that are being received. The memory of all senders together is bounded; an object beyond it is
//! refused and does not wait.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A budget is spent in pieces of this many bytes.
const PIECE: usize = 64 << 10;

/// Memory that all associations, or all uploads, share.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of this many bytes, but at least one piece.
    pub(crate) fn new(bytes: u64) -> Self {
        let pieces = usize::try_from(bytes.div_ceil(PIECE as u64)).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(pieces.clamp(1, Semaphore::MAX_PERMITS))))
    }

    /// What nobody holds.
    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> usize {
        self.0.available_permits() * PIECE
    }
}

/// The bytes of an object so far, and its part of the budget.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: BytesMut,
    pieces: usize,
    lease: Lease,
}

/// A part of a budget; it returns to the budget when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Lease(Option<OwnedSemaphorePermit>);

impl Held {
    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Reserves memory for `length` bytes in all; false if there is no room.
    pub(crate) fn reserve(&mut self, length: usize, budget: &Budget) -> bool {
        let missing = length.div_ceil(PIECE).saturating_sub(self.pieces);
        if missing > 0 {
            let taken =
                u32::try_from(missing).ok().and_then(|count| Arc::clone(&budget.0).try_acquire_many_owned(count).ok());
            let Some(taken) = taken else { return false };
            self.pieces += missing;
            match &mut self.lease.0 {
                Some(lease) => lease.merge(taken),
                None => self.lease.0 = Some(taken),
            }
        }
        self.bytes.reserve(length.saturating_sub(self.bytes.len()));
        true
    }

    /// Takes in more bytes; false if there is no room.
    pub(crate) fn extend(&mut self, more: &[u8], budget: &Budget) -> bool {
        let room = self.reserve(self.len() + more.len(), budget);
        if room {
            self.bytes.extend_from_slice(more);
        }
        room
    }

    /// The complete object, and what must be kept as long as it is.
    pub(crate) fn complete(self) -> (Bytes, Lease) {
        (self.bytes.freeze(), self.lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let budget = Budget::new(3 * PIECE as u64);
        let mut held = Held::default();
        assert!(held.extend(&[1], &budget) && held.extend(&vec![2; PIECE], &budget));
        assert_eq!(budget.free_bytes(), PIECE);
        assert!(!Held::default().extend(&vec![0; PIECE + 1], &budget), "there is no room for two pieces more");
        let (bytes, lease) = held.complete();
        assert_eq!((bytes.len(), bytes[0], bytes[1]), (PIECE + 1, 1, 2));
        assert_eq!(budget.free_bytes(), PIECE);
        drop(lease);
        assert_eq!(budget.free_bytes(), 3 * PIECE);
    }
}
