//! The heart and the great systemic vessels: centre lines, centres and radii of an adult, in millimetres from the
//! carina.

use super::level::Level;
use super::population::{Population, Strain, Ventricles};
use super::random::Draws;
use super::shapes::{Ellipsoid, Tube, tubes};
use super::vector::{Vector, at};

/// From the base of the ventricles to their apex.
const APEX: Vector = at(0.72, -0.5, -0.42);
/// Distance of the axes of the two ventricles in millimetres, as [`chambers`] places them, and thickness of the left
/// one's wall.
const SEPARATION: f32 = 44.2;
const LEFT_WALL: f32 = 10.0;
/// Radius of the left ventricle's blood in a heart of average size.
const LEFT_RADIUS: f32 = 22.0;
/// Indices of the ventricles among the chambers.
const RIGHT_VENTRICLE: usize = 1;
const LEFT_VENTRICLE: usize = 4;

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

/// Radii of the blood of the two ventricles: across the septum and along it.
#[derive(Debug, Clone, Copy)]
struct Radii {
    right: [f32; 2],
    left: f32,
}

impl Radii {
    /// Ventricles whose visible widths have a ratio. The wall of the left one cuts into the right one, so that this is
    /// not the ratio of their radii; beside a strained right ventricle the left one is smaller.
    fn showing(ratio: f32, size: f32) -> Self {
        let left = LEFT_RADIUS * size * (1.0 - 0.25 * (ratio - 0.9).max(0.0));
        let across = 2.0 * left * ratio - SEPARATION + left + LEFT_WALL;
        Self { right: [across, 0.7 * across + 5.0], left }
    }
}

impl Strain {
    /// Draws the ratio of the widths, right to left, with emboli up to a level.
    fn ratio(&self, draws: &mut Draws, level: Option<Level>) -> f32 {
        let chance = level.map_or(self.without_emboli, |level| self.levels[level as usize]);
        // None near one, where readers would not agree.
        if draws.chance(chance) { draws.between(1.08, 1.35) } else { draws.between(0.65, 0.92) }
    }
}

impl Heart {
    /// Draws a heart, strained by emboli up to a level where the population models strain.
    pub(super) fn draw(draws: &mut Draws, population: &Population, strain: Option<Level>) -> Self {
        let size = draws.within(population.hearts);
        let (chambers, right_ventricle_dilated) = match population.ventricles {
            Ventricles::Radii(ratios) => {
                let ratio = draws.within(ratios);
                let left = LEFT_RADIUS * size;
                let right = left * ratio;
                (chambers(draws, size, Radii { right: [right * 1.1, right], left }), ratio >= 1.0)
            }
            Ventricles::Strained(chances) => {
                let radii = Radii::showing(chances.ratio(draws, strain), size);
                let chambers = chambers(draws, size, radii);
                let dilated = visible_ratio(&chambers) >= 1.0;
                (chambers, dilated)
            }
        };
        Self {
            chambers,
            aorta: aorta(draws.between(0.88, 1.15)),
            cava: caval_veins(draws.between(0.85, 1.1)),
            late_veins: late_veins(),
            right_ventricle_dilated,
        }
    }

    /// The space the heart takes from the lungs: its chambers, walls and fat.
    pub(super) fn envelope(&self) -> Vec<Ellipsoid> {
        // The fat below the pericardium is some 5 mm thick.
        self.chambers.iter().map(|chamber| chamber.blood.grown(chamber.wall + 5.0)).collect()
    }
}

/// From the valve over the arch to the diaphragm, and the three arteries that leave the arch.
fn aorta(width: f32) -> Vec<Tube> {
    let course = [
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
    ];
    let branches = [
        [(at(-8.0, -12.0, 34.0), 6.0), (at(-22.0, -6.0, 60.0), 5.5), (at(-34.0, 0.0, 125.0), 4.5)],
        [(at(4.0, 0.0, 36.0), 4.5), (at(14.0, 2.0, 70.0), 4.0), (at(20.0, 4.0, 125.0), 4.0)],
        [(at(14.0, 16.0, 36.0), 5.0), (at(24.0, 18.0, 65.0), 5.0), (at(60.0, 10.0, 100.0), 4.5)],
    ];
    tubes(&course, width).chain(branches.iter().flat_map(|branch| tubes(branch, 1.0))).collect()
}

/// The vein of the arm that carries the contrast and the superior vena cava; the vein from the other arm.
fn caval_veins(width: f32) -> Vec<Tube> {
    let course = [
        (at(-60.0, -14.0, 110.0), 6.0),
        (at(-34.0, -22.0, 66.0), 8.0),
        (at(-30.0, -20.0, 30.0), 9.5),
        (at(-32.0, -20.0, -20.0), 10.0),
        (at(-32.0, -20.0, -52.0), 10.0),
    ];
    let other = [(at(-32.0, -22.0, 44.0), 6.5), (at(2.0, -38.0, 54.0), 6.0), (at(44.0, -20.0, 84.0), 6.0)];
    tubes(&course, width).chain(tubes(&other, 1.0)).collect()
}

/// Inferior vena cava and azygos vein.
fn late_veins() -> Vec<Tube> {
    let inferior = [(at(-24.0, -4.0, -100.0), 12.0), (at(-20.0, 14.0, -200.0), 12.0)];
    let azygos = [
        (at(-30.0, -6.0, 6.0), 4.0),
        (at(-24.0, 26.0, 8.0), 4.0),
        (at(-8.0, 46.0, -6.0), 4.0),
        (at(-6.0, 50.0, -200.0), 3.5),
    ];
    tubes(&inferior, 1.0).chain(tubes(&azygos, 1.0)).collect()
}

/// The chambers around two ventricles.
fn chambers(draws: &mut Draws, size: f32, ventricles: Radii) -> Vec<Chamber> {
    let Radii { right: [across, along], left } = ventricles;
    let shift = draws.jitter(3.0);
    let mut chamber = |centre: Vector, axis: Vector, radii: Vector, wall: f32, right: bool| Chamber {
        blood: Ellipsoid::along(centre + shift + draws.jitter(1.5), axis, radii),
        wall,
        right,
    };
    // Right atrium, right ventricle and its outflow tract, the floor between them; left ventricle, left atrium, and the
    // outflow tract to the aorta.
    vec![
        chamber(at(-31.0, -24.0, -86.0), at(0.0, 0.15, 1.0), at(32.0, 23.0, 25.0) * size, 2.5, true),
        chamber(at(6.0, -50.0, -94.0), APEX, at(48.0 * size, across, along), 3.5, true),
        chamber(at(16.0, -50.0, -68.0), at(0.1, 0.0, 1.0), at(20.0, 14.0, 16.0) * size, 3.5, true),
        chamber(at(-14.0, -34.0, -90.0), at(1.0, -0.2, 0.0), at(24.0, 16.0, 18.0) * size, 3.0, true),
        chamber(at(40.0, -20.0, -95.0), APEX, at(42.0 * size, left, left), LEFT_WALL, false),
        chamber(at(2.0, 17.0, -62.0), at(1.0, 0.0, 0.0), at(31.0, 16.0, 19.0) * size, 2.5, false),
        chamber(at(20.0, 4.0, -76.0), at(1.0, -0.6, -0.6), at(24.0, 13.0, 14.0) * size, 4.0, false),
    ]
}

/// Greatest width of the right ventricle's blood against that of the left one's, across the septum in axial planes,
/// as a reader measures it.
fn visible_ratio(chambers: &[Chamber]) -> f32 {
    let [right, left] = [&chambers[RIGHT_VENTRICLE], &chambers[LEFT_VENTRICLE]];
    let middle = right.blood.centre().towards(left.blood.centre(), 0.5);
    let across = at(APEX.y, -APEX.x, 0.0).unit();
    let along = at(APEX.x, APEX.y, 0.0).unit();
    let steps = |reach: i16, step: usize| (-reach..=reach).step_by(step).map(f32::from);
    let mut widest = [0, 0];
    for (height, forwards) in steps(16, 8).flat_map(|height| steps(24, 6).map(move |forwards| (height, forwards))) {
        let mut widths = [0, 0];
        for aside in steps(80, 1) {
            let point = middle + at(0.0, 0.0, height) + along * forwards + across * aside;
            let septum = left.blood.grown(left.wall).distance(point) < 0.0;
            widths[0] += u16::from(!septum && right.blood.distance(point) < 0.0);
            widths[1] += u16::from(left.blood.distance(point) < 0.0);
        }
        widest = [widest[0].max(widths[0]), widest[1].max(widths[1])];
    }
    f32::from(widest[0]) / f32::from(widest[1].max(1))
}

#[cfg(test)]
mod tests {
    use super::super::exam::Quality;
    use super::super::{Exam, Preset, Recipe, Site};
    use super::*;
    use crate::engine::volume::PatientPoint;

    fn recipe(index: usize) -> Recipe {
        Recipe { site: Site::External, pe: Some(true), ..Recipe::new(Preset::Light, 3, index) }
    }

    /// Hounsfield units at points of the anatomy, from the stored numbers of the slices.
    fn reader(exam: &Exam) -> impl FnMut(Vector) -> f32 {
        let mut slices: Vec<Option<Vec<u16>>> = vec![None; exam.slice_count()];
        let (geometry, storage) = (exam.geometry(), exam.scanner.storage);
        move |point| {
            let scaled = [point.x * exam.scale.x, point.y * exam.scale.y, point.z * exam.scale.z];
            let place = std::array::from_fn(|axis| f64::from(scaled[axis] + exam.scanner.carina[axis]));
            let voxel = geometry.to_voxel(PatientPoint(place));
            let [slice, row, column] = [voxel.slice, voxel.row, voxel.column].map(|index| index.round() as usize);
            let stored = slices[slice].get_or_insert_with(|| exam.slice(slice).stored)[row * geometry.size[0] + column];
            storage.hounsfield(stored)
        }
    }

    /// The ratio of the ventricles' greatest widths across the septum, as the image shows their blood.
    fn measured(exam: &Exam) -> f32 {
        let [right, left] = [RIGHT_VENTRICLE, LEFT_VENTRICLE].map(|index| exam.heart.chambers[index].blood.centre());
        let across = at(APEX.y, -APEX.x, 0.0).unit() * -1.0;
        let along = at(APEX.x, APEX.y, 0.0).unit();
        let mut hounsfield = reader(exam);
        let mut width = |centre: Vector, blood: f32| {
            let bright = |hounsfield: f32| hounsfield > 0.5 * (blood + 105.0);
            let mut run = |point: Vector, step: f32| {
                (1..100).take_while(|&count| bright(hounsfield(point + across * (step * count as f32)))).count()
            };
            [-12.0, 0.0, 12.0]
                .into_iter()
                .flat_map(|height| [-10.0, 0.0, 10.0].map(|forwards| centre + at(0.0, 0.0, height) + along * forwards))
                .map(|point| run(point, 0.5) + run(point, -0.5))
                .max()
                .unwrap_or(0) as f32
        };
        width(right, exam.enhancement.pulmonary) / width(left, exam.enhancement.venous)
    }

    #[test]
    fn a_reader_measures_the_ratio_of_the_ventricles_that_the_label_states() {
        let exams: Vec<Exam> = (0..40).map(|index| Exam::draw(&recipe(index))).collect();
        // Little noise and enough contrast to find the border of the blood by a threshold.
        let clear = |exam: &&Exam| {
            exam.quality == Quality::Good && exam.enhancement.venous > 240.0 && exam.disease.motion.is_none()
        };
        let clear: Vec<&Exam> = exams.iter().filter(clear).collect();
        let agree = clear.iter().filter(|exam| exam.heart.right_ventricle_dilated == (measured(exam) >= 1.0)).count();
        let dilated = clear.iter().filter(|exam| exam.heart.right_ventricle_dilated).count();
        assert!(dilated >= 3 && clear.len() >= dilated + 3, "{dilated} of {}", clear.len());
        assert!(agree * 10 >= clear.len() * 9, "{agree} of {}", clear.len());
    }

    #[test]
    fn central_emboli_strain_the_right_ventricle_more_often_than_none() {
        let dilated = |pe: bool| {
            let draw = |index| Exam::draw(&Recipe { pe: Some(pe), level: Some(Level::Saddle), ..recipe(index) });
            (0..30).filter(|&index| draw(index).heart.right_ventricle_dilated).count()
        };
        assert!(dilated(true) > dilated(false) + 8);
    }

    #[test]
    fn a_paired_exam_without_emboli_keeps_the_strained_heart() {
        for index in 0..8 {
            let [with, without] = [true, false].map(|pe| {
                Exam::draw(&Recipe { pe: Some(pe), paired_with: Some(1), level: Some(Level::Main), ..recipe(index) })
            });
            assert_eq!(with.heart.right_ventricle_dilated, without.heart.right_ventricle_dilated);
            assert_eq!(with.slice(60).lungs, without.slice(60).lungs);
        }
    }
}
