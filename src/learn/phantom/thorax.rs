//! The wall of the chest, the cavities and the lungs in them, as surfaces that are evaluated slice by slice.
//!
//! The frame of the anatomy has its origin at the carina; the patient's own size enters through the grid.

use super::field::{Field, FieldPlane};
use super::heart::Heart;
use super::random::Draws;
use super::shapes::Ellipsoid;
use super::vector::{Vector, at};

/// Half width, half depth and centre (towards the back) of the thoracic cavity by height.
const CAVITY: [[f32; 4]; 9] = [
    [-195.0, 136.0, 94.0, -5.0],
    [-120.0, 140.0, 97.0, -5.0],
    [-60.0, 137.0, 95.0, -5.0],
    [0.0, 128.0, 88.0, 0.0],
    [40.0, 112.0, 74.0, 10.0],
    [65.0, 94.0, 60.0, 18.0],
    [82.0, 74.0, 46.0, 25.0],
    [94.0, 54.0, 32.0, 30.0],
    [102.0, 30.0, 10.0, 33.0],
];
/// Half width, half depth and centre of the body, fat not counted, by height.
const BODY: [[f32; 4]; 7] = [
    [-195.0, 150.0, 108.0, 2.0],
    [-100.0, 157.0, 111.0, 2.0],
    [-20.0, 163.0, 110.0, 5.0],
    [40.0, 180.0, 100.0, 12.0],
    [75.0, 190.0, 84.0, 20.0],
    [100.0, 160.0, 72.0, 25.0],
    [125.0, 95.0, 66.0, 28.0],
];
/// Half width, half depth and centre of the central mediastinum by height.
const COLUMN: [[f32; 4]; 8] = [
    [-195.0, 32.0, 48.0, 25.0],
    [-100.0, 32.0, 52.0, 18.0],
    [-50.0, 34.0, 56.0, 5.0],
    [-20.0, 34.0, 58.0, -2.0],
    [10.0, 32.0, 58.0, 0.0],
    [40.0, 34.0, 56.0, 6.0],
    [80.0, 36.0, 44.0, 18.0],
    [125.0, 30.0, 40.0, 25.0],
];

fn profile<const N: usize>(table: &[[f32; 4]; N], z: f32) -> [f32; 3] {
    let next = table.iter().position(|row| row[0] >= z).unwrap_or(N - 1).max(1);
    let (low, high) = (table[next - 1], table[next]);
    let share = ((z - low[0]) / (high[0] - low[0])).clamp(0.0, 1.0);
    std::array::from_fn(|index| low[index + 1] + (high[index + 1] - low[index + 1]) * share)
}

/// A side of the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// +1 on the patient's left, -1 on the right: the sign of x.
    pub(super) fn sign(self) -> f32 {
        match self {
            Self::Left => 1.0,
            Self::Right => -1.0,
        }
    }

    pub(super) fn of(x: f32) -> Self {
        if x > MIDLINE { Self::Left } else { Self::Right }
    }

    fn index(self) -> usize {
        usize::from(self == Self::Right)
    }
}

const MIDLINE: f32 = 2.0;

/// One lobe of a lung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lobe {
    Upper,
    Middle,
    Lower,
}

/// One half of the diaphragm: a dome.
#[derive(Debug, Clone, Copy)]
struct Dome {
    top: f32,
    centre: [f32; 2],
    drop: f32,
}

impl Dome {
    fn height(&self, x: f32, y: f32) -> f32 {
        // Towards the heart and the sternum the dome falls little; at the side and the back it falls to the recess.
        let inwards = (x - self.centre[0]) * self.centre[0] < 0.0;
        let forwards = y < self.centre[1];
        let across = (x - self.centre[0]) / if inwards { 130.0 } else { 78.0 };
        let along = (y - self.centre[1]) / if forwards { 150.0 } else { 108.0 };
        self.top - self.drop * (across * across + along * along)
    }
}

/// Fluid in a pleural space: it lies at the back, with its level rising towards the diaphragm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effusion {
    /// How far back the fluid begins at the height of the carina.
    pub(super) level: f32,
    pub(super) hounsfield: f32,
}

/// The shape of one patient's chest.
#[derive(Debug, Clone)]
pub(super) struct Thorax {
    /// Thickness of the subcutaneous fat.
    pub(super) fat: f32,
    domes: [Dome; 2],
    widths: [f32; 2],
    oblique: [f32; 2],
    horizontal: f32,
    pub(super) effusions: [Option<Effusion>; 2],
    hila: Vec<Ellipsoid>,
    heart: Vec<Ellipsoid>,
    warp: Field,
}

impl Thorax {
    /// Draws a chest around a heart; subcutaneous fat is 8 mm thick and up to `fat` millimetres more. With
    /// `asymmetric`, the left half of the diaphragm stands clearly higher, as with a paralysed phrenic nerve.
    pub(super) fn draw(draws: &mut Draws, heart: &Heart, fat: f32, asymmetric: bool) -> Self {
        // Few hold their breath at the same depth; the right half of the diaphragm stands higher, above the liver.
        let breath = draws.between(-12.0, 10.0);
        let raised = if asymmetric { draws.between(30.0, 42.0) } else { 0.0 };
        let mut dome = |side: Side, top: f32| Dome {
            top: top + breath + draws.between(-6.0, 6.0),
            centre: [side.sign() * 66.0, -15.0 + draws.between(-8.0, 8.0)],
            drop: draws.between(58.0, 74.0),
        };
        let domes = [dome(Side::Left, -96.0 + raised), dome(Side::Right, -84.0)];
        let hilum = |side: Side| Ellipsoid::upright(at(side.sign() * 44.0 + 2.0, 12.0, -32.0), at(16.0, 22.0, 27.0));
        Self {
            // Squared: few are very fat.
            fat: 8.0 + fat * draws.between(0.0, 1.0).powi(2),
            domes,
            widths: [draws.between(0.94, 1.02), draws.between(0.97, 1.03)],
            oblique: [draws.between(30.0, 50.0), draws.between(22.0, 42.0)],
            horizontal: draws.between(-38.0, -22.0),
            effusions: [None; 2],
            hila: Side::BOTH.map(hilum).to_vec(),
            heart: heart.envelope(),
            warp: Field::new(draws, 28.0),
        }
    }

    /// The chest at one height; `thickness` is that of the slice.
    pub(super) fn section(&self, z: f32, thickness: f32) -> Section<'_> {
        Section {
            thorax: self,
            z,
            cavity: profile(&CAVITY, z),
            body: profile(&BODY, z),
            column: profile(&COLUMN, z),
            heart: self.heart.iter().filter(|part| part.meets(z, thickness)).copied().collect(),
            hila: self.hila.iter().filter(|part| part.meets(z, thickness)).copied().collect(),
            warp: self.warp.plane(z),
        }
    }

    /// The lobe a point of a lung belongs to.
    pub(super) fn lobe(&self, point: Vector) -> Lobe {
        let side = Side::of(point.x);
        if self.oblique_fissure(side, point) < 0.0 {
            Lobe::Lower
        } else if side == Side::Right && point.z < self.horizontal_fissure(point) {
            Lobe::Middle
        } else {
            Lobe::Upper
        }
    }

    /// Distance above the oblique fissure of a side.
    fn oblique_fissure(&self, side: Side, point: Vector) -> f32 {
        // Rises by 1.07 mm per millimetre towards the back; 0.68 turns height above it into distance from it.
        0.68 * (point.z - self.oblique[side.index()] - 1.07 * (point.y - 70.0))
    }

    fn horizontal_fissure(&self, point: Vector) -> f32 {
        self.horizontal - 0.12 * (point.y + 40.0)
    }

    /// Distance from the nearest fissure.
    pub(super) fn fissure(&self, side: Side, point: Vector, warp: f32) -> f32 {
        let bent = point + at(0.0, 0.0, 2.5 * warp);
        let oblique = self.oblique_fissure(side, bent);
        let horizontal = if side == Side::Right && oblique > 0.0 {
            (bent.z - self.horizontal_fissure(bent)).abs()
        } else {
            f32::MAX
        };
        oblique.abs().min(horizontal)
    }

    /// Signed distance to the surface of the lungs, negative inside: an estimate.
    pub(super) fn lung(&self, point: Vector) -> f32 {
        let section = self.section(point.z, 1.0);
        let cavity = section.cavity(point.x, point.y);
        cavity.max(-section.mediastinum(point.x, point.y)).max(section.below_diaphragm(point.x, point.y))
    }

    /// A point of the wall of the cavity at an angle from the back (0) over the side (1/2) to the front (1).
    pub(super) fn wall(&self, side: Side, turn: f32, z: f32, outside: f32) -> Vector {
        let [width, depth, centre] = profile(&CAVITY, z);
        let angle = turn * std::f32::consts::PI;
        let width = width * self.widths[side.index()];
        at(side.sign() * (width + outside) * angle.sin() + MIDLINE, centre + (depth + outside) * angle.cos(), z)
    }
}

/// A [`Thorax`] at one height.
#[derive(Debug)]
pub(super) struct Section<'a> {
    thorax: &'a Thorax,
    z: f32,
    cavity: [f32; 3],
    body: [f32; 3],
    column: [f32; 3],
    heart: Vec<Ellipsoid>,
    hila: Vec<Ellipsoid>,
    warp: FieldPlane<'a>,
}

/// Signed distance to a rounded rectangle between an ellipse and a box: an estimate.
fn oval(u: f32, v: f32, width: f32, depth: f32, squareness: f32) -> f32 {
    let (across, along) = (u / width, v / depth);
    let (across_2, along_2) = ((across * across).min(4.0), (along * along).min(4.0));
    let square = across_2 + along_2 - squareness * across_2.min(1.3) * along_2.min(1.3);
    let root = square.max(1e-4).sqrt();
    let slope = at(
        across / width * (1.0 - squareness * along_2.min(1.3)),
        along / depth * (1.0 - squareness * across_2.min(1.3)),
        0.0,
    )
    .length()
        / root;
    if slope > 1e-5 { (root - 1.0) / slope } else { -width.min(depth) }
}

impl Section<'_> {
    /// Whether a point lies well outside the body: a quick test.
    pub(super) fn far_outside(&self, x: f32, y: f32) -> bool {
        let [width, depth, centre] = self.body;
        x.abs() > width + self.thorax.fat + 3.0 || (y - centre).abs() > depth + self.thorax.fat + 3.0
    }

    /// Signed distance to the skin.
    pub(super) fn skin(&self, x: f32, y: f32) -> f32 {
        let [width, depth, centre] = self.body;
        let fat = self.thorax.fat;
        oval(x, y - centre, width + fat, depth + 0.8 * fat, 0.25)
    }

    /// Signed distance to the wall of the thoracic cavity.
    pub(super) fn cavity(&self, x: f32, y: f32) -> f32 {
        let [width, depth, centre] = self.cavity;
        let side = Side::of(x);
        let warp = 1.2 * self.warp.at(x, y);
        oval(x - MIDLINE, y - centre, width * self.thorax.widths[side.index()], depth, 0.3) + warp
    }

    /// Signed distance to the surface of the mediastinum, negative inside it; exact within a few millimetres.
    pub(super) fn mediastinum(&self, x: f32, y: f32) -> f32 {
        let [width, depth, centre] = self.column;
        let mut distance = oval(x - MIDLINE, y - centre, width, depth, 0.2);
        // The sheet of pleura between the lungs in front, the spine, and the descending aorta beside it.
        distance = distance.min((x - MIDLINE - 4.0 * self.warp.at(0.0, y)).abs() - 2.2);
        distance = distance.min(at(x, y - SPINE, 0.0).length() - 26.0);
        distance = distance.min(at(x - 23.0, y - 44.0, 0.0).length() - 15.0 - 0.05 * (self.z + 40.0).abs().min(30.0));
        let point = at(x, y, self.z);
        for part in self.heart.iter().chain(&self.hila) {
            if part.near(point, 6.0) {
                distance = distance.min(part.distance(point));
            }
        }
        distance
    }

    /// Signed distance below the diaphragm: positive in the belly.
    pub(super) fn below_diaphragm(&self, x: f32, y: f32) -> f32 {
        // The dome is slanted: its distance is less than its height above a point.
        0.75 * (self.thorax.domes[Side::of(x).index()].height(x, y) + 2.0 * self.warp.at(x, y) - self.z)
    }

    /// How deep a point lies in pleural fluid of its side (positive inside), and the fluid's Hounsfield units.
    pub(super) fn fluid(&self, x: f32, y: f32) -> Option<(f32, f32)> {
        let effusion = self.thorax.effusions[Side::of(x).index()]?;
        // A meniscus: it rises along the side of the chest.
        let level = effusion.level + 0.35 * self.z + 3.0 * self.warp.at(x, y) - 0.1 * (x.abs() - 70.0).max(0.0);
        Some((y - level, effusion.hounsfield))
    }

    /// Local unevenness, of about unit variance.
    pub(super) fn warp(&self, x: f32, y: f32) -> f32 {
        self.warp.at(x, y)
    }
}

/// How far behind the carina the centre of the vertebral bodies lies.
pub(super) const SPINE: f32 = 68.0;
