//! Ribs, spine, sternum, clavicles and shoulder blades, in millimetres from the carina.

use super::random::Draws;
use super::shapes::{Tube, tubes};
use super::thorax::{SPINE, Side, Thorax};
use super::vector::{Vector, at};

/// Distance of two vertebrae.
const VERTEBRA: f32 = 23.0;

/// The bones of the chest.
#[derive(Debug, Clone)]
pub(super) struct Skeleton {
    /// Bone with a cortex; the marrow is what is left inside.
    pub(super) bones: Vec<Tube>,
    /// Cartilage between ribs and sternum.
    pub(super) cartilage: Vec<Tube>,
    /// Vertebral bodies, each with its canal behind it.
    pub(super) vertebrae: Vec<Tube>,
    /// The spinal canal.
    pub(super) canal: Vec<Tube>,
}

impl Skeleton {
    pub(super) fn draw(draws: &mut Draws, thorax: &Thorax) -> Self {
        let mut skeleton = Self { bones: Vec::new(), cartilage: Vec::new(), vertebrae: Vec::new(), canal: Vec::new() };
        let offset = draws.between(-6.0, 6.0);
        for number in 0..12 {
            let z = 84.0 + offset - VERTEBRA * number as f32;
            for side in Side::BOTH {
                skeleton.rib(draws, thorax, side, number, z);
            }
        }
        for number in 0..15 {
            skeleton.vertebra(114.0 + offset - VERTEBRA * number as f32);
        }
        skeleton.canal.extend(tubes(&[(at(0.0, SPINE + 23.0, 130.0), 7.5), (at(0.0, SPINE + 23.0, -220.0), 7.5)], 1.0));
        skeleton.front(thorax);
        skeleton
    }

    fn rib(&mut self, draws: &mut Draws, thorax: &Thorax, side: Side, number: usize, z: f32) {
        // A rib falls from the spine to the front, the lower the more; the first is short and steep.
        let drop = if number == 0 { 26.0 } else { 52.0 + 3.0 * number as f32 } + draws.between(-3.0, 3.0);
        // How far round the chest each rib reaches, as a share of the way from the spine to the sternum: the last two
        // float.
        let reach: f32 = [0.93, 0.95, 0.95, 0.95, 0.95, 0.95, 0.94, 0.9, 0.84, 0.76, 0.58, 0.42][number];
        let place = |turn: f32| {
            let height = z - drop * ((turn - 0.08) / 0.87).max(0.0).powf(1.15);
            thorax.wall(side, turn, height, 6.5)
        };
        let neck = at(side.sign() * 17.0, SPINE + 8.0, z + 4.0);
        let mut points = vec![(neck, 4.0), (place(0.12), 4.8)];
        // Beyond that a rib is cartilage.
        let bony = reach.min(0.74);
        points.extend((1..=16).map(|step| (place(0.12 + (bony - 0.12) * step as f32 / 16.0), 5.0)));
        self.bones.extend(tubes(&points, 1.0));
        if reach > bony && number < 10 {
            let points: Vec<(Vector, f32)> =
                (0..=6).map(|step| (place(bony + (reach - bony) * step as f32 / 6.0), 5.0)).collect();
            self.cartilage.extend(tubes(&points, 1.0));
        }
    }

    fn vertebra(&mut self, z: f32) {
        let half = 0.5 * VERTEBRA - 3.0;
        // Three upright columns side by side make the kidney shape of a vertebral body.
        for (x, y, radius) in [(-7.5, 1.5, 12.0), (7.5, 1.5, 12.0), (0.0, -3.0, 12.5)] {
            let (low, high) = (at(x, SPINE + y, z - half + radius * 0.6), at(x, SPINE + y, z + half - radius * 0.6));
            self.vertebrae.push(Tube { from: low, to: high, radii: [radius; 2] });
        }
        for side in Side::BOTH {
            let sign = side.sign();
            let arch = [
                (at(sign * 10.0, SPINE + 13.0, z + 2.0), 4.0),
                (at(sign * 11.0, SPINE + 24.0, z), 4.0),
                (at(0.0, SPINE + 35.0, z - 5.0), 4.0),
            ];
            self.bones.extend(tubes(&arch, 1.0));
            let process = [(at(sign * 11.0, SPINE + 22.0, z), 4.0), (at(sign * 32.0, SPINE + 28.0, z + 4.0), 3.5)];
            self.bones.extend(tubes(&process, 1.0));
        }
        self.bones.extend(tubes(&[(at(0.0, SPINE + 35.0, z - 5.0), 3.5), (at(0.0, SPINE + 50.0, z - 18.0), 3.0)], 1.0));
    }

    fn front(&mut self, thorax: &Thorax) {
        let middle = |z: f32, x: f32| {
            let mut point = thorax.wall(Side::Left, 1.0, z, 8.0);
            point.x = x;
            point
        };
        // Five rods side by side make the flat sternum, wider at the manubrium; ten make a shoulder blade.
        for x in [-11.0, -5.5, 0.0, 5.5, 11.0] {
            self.bones
                .extend(tubes(&[(middle(44.0, x * 1.6), 5.0), (middle(20.0, x), 5.0), (middle(-90.0, x), 5.0)], 1.0));
        }
        for side in Side::BOTH {
            let sign = side.sign();
            let collar = [
                (middle(48.0, sign * 16.0), 6.0),
                (at(sign * 70.0, -38.0, 78.0), 5.5),
                (at(sign * 130.0, 10.0, 92.0), 5.5),
            ];
            self.bones.extend(tubes(&collar, 1.0));
            for strip in 0..10 {
                let share = strip as f32 / 9.0;
                let (low, high) = (62.0 + 40.0 * share, 98.0 + 38.0 * share);
                let blade = [
                    (at(sign * (low + 18.0), 94.0 - 10.0 * share, -46.0 + 24.0 * share), 2.4),
                    (at(sign * low, 102.0 - 14.0 * share, 20.0), 2.4),
                    (at(sign * high, 78.0 - 12.0 * share, 76.0), 3.0),
                ];
                self.bones.extend(tubes(&blade, 1.0));
            }
            self.bones
                .extend(tubes(&[(at(sign * 150.0, 34.0, 84.0), 21.0), (at(sign * 172.0, 30.0, 128.0), 14.0)], 1.0));
        }
    }
}
