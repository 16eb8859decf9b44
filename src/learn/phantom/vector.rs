//! Points and directions in the patient, in millimetres: x towards left, y towards the back, z towards the head.

use std::ops::{Add, Mul, Sub};

/// A point or a displacement, in millimetres.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Vector {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) z: f32,
}

/// Shorthand for tables of anatomy.
pub(super) const fn at(x: f32, y: f32, z: f32) -> Vector {
    Vector { x, y, z }
}

impl Vector {
    pub(super) fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub(super) fn cross(self, other: Self) -> Self {
        at(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub(super) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The unit vector of this direction; of the null vector, a fixed one.
    pub(super) fn unit(self) -> Self {
        let length = self.length();
        if length > 1e-6 { self * (1.0 / length) } else { at(0.0, 0.0, -1.0) }
    }

    pub(super) fn towards(self, other: Self, share: f32) -> Self {
        self + (other - self) * share
    }

    /// Two unit vectors that are perpendicular to this unit vector and to each other.
    pub(super) fn perpendiculars(self) -> (Self, Self) {
        let helper = if self.z.abs() < 0.8 { at(0.0, 0.0, 1.0) } else { at(1.0, 0.0, 0.0) };
        let first = self.cross(helper).unit();
        (first, self.cross(first))
    }
}

impl Add for Vector {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        at(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for Vector {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        at(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f32> for Vector {
    type Output = Self;

    fn mul(self, factor: f32) -> Self {
        at(self.x * factor, self.y * factor, self.z * factor)
    }
}
