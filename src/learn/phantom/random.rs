//! Draws that are a function of (seed, exam, purpose) alone: no purpose can disturb another, and neither the number
//! of threads nor the order of work matters.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sha2::{Digest, Sha256};

use super::vector::{Vector, at};

/// A stream of random draws for one purpose.
#[derive(Debug, Clone)]
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of one purpose of one exam of one cohort.
    pub(super) fn of(seed: u64, exam: usize, purpose: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(seed.to_be_bytes());
        hasher.update((exam as u64).to_be_bytes());
        hasher.update(purpose.as_bytes());
        Self(ChaCha8Rng::from_seed(hasher.finalize().into()))
    }

    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.0.random::<f32>()
    }

    /// Uniform in a range.
    pub(super) fn within(&mut self, [low, high]: [f32; 2]) -> f32 {
        self.between(low, high)
    }

    /// Whole numbers from `low` to `high`, both included.
    pub(super) fn whole(&mut self, low: usize, high: usize) -> usize {
        self.0.random_range(low..=high)
    }

    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.0.random::<f32>() < probability
    }

    pub(super) fn normal(&mut self) -> f32 {
        StandardNormal.sample(&mut self.0)
    }

    pub(super) fn sign(&mut self) -> f32 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }

    pub(super) fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.whole(0, items.len() - 1)]
    }

    /// Each coordinate uniform in `-reach..reach`.
    pub(super) fn jitter(&mut self, reach: f32) -> Vector {
        at(self.between(-reach, reach), self.between(-reach, reach), self.between(-reach, reach))
    }

    /// Independent standard normal values.
    pub(super) fn fill_normal(&mut self, values: &mut [f32]) {
        for value in values {
            *value = StandardNormal.sample(&mut self.0);
        }
    }
}
