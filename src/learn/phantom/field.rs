//! Smooth noise: a periodic lattice of normal values, interpolated linearly.

use super::random::Draws;

/// A power of two.
const SIDE: usize = 32;

/// A smooth random field in the patient.
#[derive(Debug, Clone)]
pub(super) struct Field {
    values: Vec<f32>,
    per_millimetre: f32,
}

impl Field {
    /// A field of zero mean and, at its lattice points, unit variance; `grain` is the lattice distance in millimetres.
    pub(super) fn new(draws: &mut Draws, grain: f32) -> Self {
        let mut values = vec![0.0; SIDE * SIDE * SIDE];
        draws.fill_normal(&mut values);
        Self { values, per_millimetre: 1.0 / grain }
    }

    /// The field on the plane of one height.
    pub(super) fn plane(&self, z: f32) -> FieldPlane<'_> {
        let (low, high, share) = cell(z * self.per_millimetre);
        let layer = SIDE * SIDE;
        FieldPlane {
            low: &self.values[low * layer..(low + 1) * layer],
            high: &self.values[high * layer..(high + 1) * layer],
            share,
            per_millimetre: self.per_millimetre,
        }
    }
}

/// A [`Field`] on one plane of constant height.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldPlane<'a> {
    low: &'a [f32],
    high: &'a [f32],
    share: f32,
    per_millimetre: f32,
}

impl FieldPlane<'_> {
    #[inline]
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let (left, right, across) = cell(x * self.per_millimetre);
        let (front, back, down) = cell(y * self.per_millimetre);
        let on = |layer: &[f32]| {
            let near = layer[front * SIDE + left] * (1.0 - across) + layer[front * SIDE + right] * across;
            let far = layer[back * SIDE + left] * (1.0 - across) + layer[back * SIDE + right] * across;
            near * (1.0 - down) + far * down
        };
        on(self.low) * (1.0 - self.share) + on(self.high) * self.share
    }
}

/// The two lattice indices around a lattice coordinate, and the share of the second.
fn cell(coordinate: f32) -> (usize, usize, f32) {
    // Truncation is far cheaper than `floor` where the processor's baseline has no rounding instruction.
    let whole = coordinate as i32 - i32::from(coordinate < 0.0);
    let low = whole as usize & (SIDE - 1);
    (low, (low + 1) & (SIDE - 1), coordinate - whole as f32)
}
