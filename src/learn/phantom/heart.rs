//! The heart and the great systemic vessels.

use super::random::Draws;
use super::shapes::{Ellipsoid, Tube, tubes};
use super::vector::{Vector, at};

/// Contrast of the compartments of the blood in Hounsfield units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Enhancement {
    /// Superior vena cava.
    pub(super) cava: f32,
    /// Right atrium and ventricle, pulmonary arteries.
    pub(super) pulmonary: f32,
    /// Pulmonary veins, left atrium and ventricle.
    pub(super) venous: f32,
    /// Aorta.
    pub(super) aorta: f32,
}

/// A chamber: the blood and the muscle around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chamber {
    pub(super) blood: Ellipsoid,
    pub(super) wall: f32,
    pub(super) right: bool,
}

/// Chambers of the heart, aorta and caval veins.
#[derive(Debug, Clone)]
pub(super) struct Heart {
    pub(super) chambers: Vec<Chamber>,
    pub(super) aorta: Vec<Tube>,
    pub(super) cava: Vec<Tube>,
    /// Inferior vena cava, azygos vein: not yet enhanced.
    pub(super) late_veins: Vec<Tube>,
    /// Whether the right ventricle is at least as wide as the left.
    pub(super) right_ventricle_dilated: bool,
}

impl Heart {
    /// Draws a heart; the ratio of the ventricles does not depend on emboli.
    pub(super) fn draw(draws: &mut Draws) -> Self {
        let size = draws.between(0.92, 1.1);
        let ratio = draws.between(0.72, 1.25);
        let left = 22.0 * size;
        let right = left * ratio;
        let apex = at(0.72, -0.5, -0.42);
        let shift = draws.jitter(3.0);
        let mut chamber = |centre: Vector, axis: Vector, radii: Vector, wall: f32, right: bool| Chamber {
            blood: Ellipsoid::along(centre + shift + draws.jitter(1.5), axis, radii),
            wall,
            right,
        };
        let chambers = vec![
            chamber(at(-31.0, -24.0, -86.0), at(0.0, 0.15, 1.0), at(32.0, 23.0, 25.0) * size, 2.5, true),
            chamber(at(6.0, -50.0, -94.0), apex, at(48.0 * size, right * 1.1, right), 3.5, true),
            chamber(at(16.0, -50.0, -68.0), at(0.1, 0.0, 1.0), at(20.0, 14.0, 16.0) * size, 3.5, true),
            chamber(at(-14.0, -34.0, -90.0), at(1.0, -0.2, 0.0), at(24.0, 16.0, 18.0) * size, 3.0, true),
            chamber(at(40.0, -20.0, -95.0), apex, at(42.0 * size, left, left), 10.0, false),
            chamber(at(2.0, 17.0, -62.0), at(1.0, 0.0, 0.0), at(31.0, 16.0, 19.0) * size, 2.5, false),
            chamber(at(20.0, 4.0, -76.0), at(1.0, -0.6, -0.6), at(24.0, 13.0, 14.0) * size, 4.0, false),
        ];
        Self {
            chambers,
            aorta: tubes(
                &[
                    (at(4.0, -24.0, -68.0), 15.0),
                    (at(-8.0, -31.0, -42.0), 15.0),
                    (at(-14.0, -33.0, -12.0), 15.0),
                    (at(-10.0, -24.0, 18.0), 14.5),
                    (at(2.0, -4.0, 32.0), 13.5),
                    (at(14.0, 18.0, 32.0), 13.0),
                    (at(22.0, 36.0, 18.0), 12.5),
                    (at(24.0, 43.0, -15.0), 12.0),
                    (at(22.0, 46.0, -90.0), 11.5),
                    (at(12.0, 45.0, -200.0), 11.0),
                ],
                draws.between(0.88, 1.15),
            )
            .chain(tubes(
                &[(at(-8.0, -12.0, 34.0), 6.0), (at(-22.0, -6.0, 60.0), 5.5), (at(-34.0, 0.0, 125.0), 4.5)],
                1.0,
            ))
            .chain(tubes(&[(at(4.0, 0.0, 36.0), 4.5), (at(14.0, 2.0, 70.0), 4.0), (at(20.0, 4.0, 125.0), 4.0)], 1.0))
            .chain(tubes(
                &[(at(14.0, 16.0, 36.0), 5.0), (at(24.0, 18.0, 65.0), 5.0), (at(60.0, 10.0, 100.0), 4.5)],
                1.0,
            ))
            .collect(),
            cava: tubes(
                &[
                    (at(-60.0, -14.0, 110.0), 6.0),
                    (at(-34.0, -22.0, 66.0), 8.0),
                    (at(-30.0, -20.0, 30.0), 9.5),
                    (at(-32.0, -20.0, -20.0), 10.0),
                    (at(-32.0, -20.0, -52.0), 10.0),
                ],
                draws.between(0.85, 1.1),
            )
            .chain(tubes(
                &[(at(-32.0, -22.0, 44.0), 6.5), (at(2.0, -38.0, 54.0), 6.0), (at(44.0, -20.0, 84.0), 6.0)],
                1.0,
            ))
            .collect(),
            late_veins: tubes(&[(at(-24.0, -4.0, -100.0), 12.0), (at(-20.0, 14.0, -200.0), 12.0)], 1.0)
                .chain(tubes(
                    &[
                        (at(-30.0, -6.0, 6.0), 4.0),
                        (at(-24.0, 26.0, 8.0), 4.0),
                        (at(-8.0, 46.0, -6.0), 4.0),
                        (at(-6.0, 50.0, -200.0), 3.5),
                    ],
                    1.0,
                ))
                .collect(),
            right_ventricle_dilated: ratio >= 1.0,
        }
    }

    /// The space the heart takes from the lungs: its chambers, walls and fat.
    pub(super) fn envelope(&self) -> Vec<Ellipsoid> {
        self.chambers.iter().map(|chamber| chamber.blood.grown(chamber.wall + 5.0)).collect()
    }
}
