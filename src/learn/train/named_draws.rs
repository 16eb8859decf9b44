//! Random draws that depend on a name alone.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

/// A generator of its own for each name: what is drawn for one does not depend on what else there is.
pub(crate) fn generator(name: &str) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(Sha256::digest(name).into())
}
