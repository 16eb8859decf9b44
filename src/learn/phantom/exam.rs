//! One exam: a patient, an injection, a scanner, and perhaps emboli.

use super::disease::Disease;
use super::emboli::{self, Age, Embolus};
use super::field::Field;
use super::heart::{Enhancement, Heart};
use super::level::Level;
use super::population::{Injection, Population};
use super::random::Draws;
use super::recipe::Recipe;
use super::scanner::Scanner;
use super::shapes::{Grid, Tube};
use super::skeleton::Skeleton;
use super::thorax::{Side, Thorax};
use super::vector::{Vector, at};
use super::vessels::{self, Tree};
use crate::engine::volume::{Geometry, PatientPoint};

/// Height of the lowest and the highest slice in the frame of the anatomy.
const RANGE: [f32; 2] = [-194.0, 112.0];

/// How well the contrast reached the pulmonary arteries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quality {
    Good,
    Poor,
    /// Too little for any reader: the exam is indeterminate.
    NonDiagnostic,
}

/// What the exam shows, apart from the images.
#[derive(Debug, Clone)]
pub struct Truth {
    /// Whether no reader could decide: hardly any contrast.
    pub indeterminate: bool,
    /// The most proximal level of all emboli; `None` where there is none.
    pub level: Option<Level>,
    /// Emboli on the patient's left and right.
    pub left: bool,
    /// See `left`.
    pub right: bool,
    /// How old the emboli are; `None` where there is none.
    pub age: Option<Age>,
}

impl Truth {
    /// Whether there is an embolus, also in an indeterminate exam.
    pub fn pe(&self) -> bool {
        self.level.is_some()
    }
}

/// An exam, ready to be rendered slice by slice. It is a function of its [`Recipe`] alone.
///
/// ```
/// use pe_node::learn::phantom::{Exam, Level, Preset, Recipe};
///
/// let recipe = Recipe { pe: Some(true), level: Some(Level::Lobar), ..Recipe::new(Preset::Tiny, 1, 0) };
/// let exam = Exam::draw(&recipe);
/// assert_eq!(exam.truth().level, Some(Level::Lobar));
/// let middle = exam.slice(exam.slice_count() / 2);
/// assert_eq!(middle.stored.len(), 128 * 128);
/// ```
#[derive(Debug)]
pub struct Exam {
    pub(super) recipe: Recipe,
    pub(super) thorax: Thorax,
    pub(super) heart: Heart,
    pub(super) skeleton: Skeleton,
    pub(super) arteries: Tree,
    pub(super) veins: Tree,
    pub(super) bronchi: Vec<Tube>,
    pub(super) disease: Disease,
    pub(super) emboli: Vec<Embolus>,
    pub(super) quality: Quality,
    pub(super) enhancement: Enhancement,
    /// Unevenness of the contrast.
    pub(super) mixing: f32,
    pub(super) scanner: Scanner,
    /// Size of the patient against the anatomy's frame, by axis.
    pub(super) scale: Vector,
    pub(super) coarse: Field,
    pub(super) fine: Field,
    pub(super) woman: bool,
    pub(super) age: usize,
}

impl Exam {
    /// Draws the exam of a recipe.
    pub fn draw(recipe: &Recipe) -> Self {
        let population = Population::of(recipe.preset, recipe.site);
        let draws = |purpose: &str| recipe.draws(purpose);
        let mut patient = draws("patient");
        let woman = patient.chance(0.5);
        let age = patient.whole(population.ages[0], population.ages[1]);
        let size = patient.within(population.sizes) * if woman { 0.96 } else { 1.02 };
        let scale = at(size * patient.between(0.97, 1.04), size * patient.between(0.96, 1.04), size);
        let embolism = recipe.pe.unwrap_or_else(|| draws("label").chance(population.prevalence));
        // The stream keeps its first name: another one would change the exams of every seed.
        let mut of_emboli = draws("clots");
        let drawn = emboli::most_proximal(&mut of_emboli, &population.emboli);
        let level = recipe.level.unwrap_or(drawn);
        // A paired exam without emboli keeps the heart that the emboli of the other strain.
        let strain = (embolism || recipe.paired_with.is_some()).then_some(level);
        let heart = Heart::draw(&mut draws("heart"), &population, strain);
        let mut thorax = Thorax::draw(&mut draws("thorax"), &heart, population.fat, recipe.asymmetric);
        let arteries = vessels::arteries(&mut draws("arteries"), &thorax, population.arteries);
        let bronchi = vessels::bronchi(&mut draws("bronchi"), &arteries);
        let disease = Disease::draw(&mut draws("disease"), &mut thorax, &arteries, &bronchi, population.confounders);
        let emboli =
            if embolism { emboli::draw(&mut of_emboli, &arteries, level, &population.emboli) } else { Vec::new() };
        let (quality, enhancement, mixing) = inject(&mut draws("contrast"), &population.injection);
        // The field of view is laid around the widest place of the chest, at the armpits.
        let body = 2.0 * (172.0 + thorax.fat) * scale.x;
        Self {
            veins: vessels::veins(&mut draws("veins"), &thorax),
            skeleton: Skeleton::draw(&mut draws("skeleton"), &thorax),
            scanner: Scanner::draw(&mut draws("scanner"), recipe, body),
            coarse: Field::new(&mut draws("coarse texture"), 13.0),
            fine: Field::new(&mut draws("fine texture"), 3.1),
            recipe: recipe.clone(),
            thorax,
            heart,
            arteries,
            bronchi,
            disease,
            emboli,
            quality,
            enhancement,
            mixing,
            scale,
            woman,
            age,
        }
    }

    /// The recipe the exam was made by.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// What the exam shows.
    pub fn truth(&self) -> Truth {
        let on = |side: Side| self.emboli.iter().any(|embolus| embolus.sides.contains(&side));
        Truth {
            indeterminate: self.quality == Quality::NonDiagnostic,
            level: self.emboli.iter().map(|embolus| embolus.level).min(),
            left: on(Side::Left),
            right: on(Side::Right),
            age: Age::of(&self.emboli),
        }
    }

    /// Number of slices.
    pub fn slice_count(&self) -> usize {
        ((RANGE[1] - RANGE[0]) * self.scale.z / self.scanner.spacing).ceil() as usize
    }

    /// The grid of the whole series; slice 0 is the lowest.
    pub fn geometry(&self) -> Geometry {
        let scanner = &self.scanner;
        let flip = scanner.orientation.flips();
        let directions = scanner.orientation.directions();
        let grid = self.grid(0);
        let last = scanner.size - 1;
        let corner = at(
            grid.x(if flip[0] { last } else { 0 }) * self.scale.x,
            grid.y(if flip[1] { last } else { 0 }) * self.scale.y,
            grid.first.z * self.scale.z,
        );
        let origin = [corner.x, corner.y, corner.z];
        Geometry {
            size: [scanner.size, scanner.size, self.slice_count()],
            spacing: [decimal(scanner.pixel), decimal(scanner.pixel), decimal(scanner.spacing)],
            directions: [directions[0], directions[1], [0.0, 0.0, 1.0]],
            origin: PatientPoint(std::array::from_fn(|axis| decimal(origin[axis] + scanner.carina[axis]))),
        }
    }

    /// The voxels of a slice in the frame of the anatomy.
    pub(super) fn grid(&self, index: usize) -> Grid {
        let scanner = &self.scanner;
        let half = 0.5 * (scanner.size - 1) as f32 * scanner.pixel;
        let scale = self.scale;
        Grid {
            columns: scanner.size,
            rows: scanner.size,
            first: at(
                (scanner.offset[0] - half) / scale.x,
                (8.0 + scanner.offset[1] - half) / scale.y,
                RANGE[0] + index as f32 * scanner.spacing / scale.z,
            ),
            voxel: at(scanner.pixel / scale.x, scanner.pixel / scale.y, scanner.thickness / scale.z),
        }
    }
}

/// Four decimals, so that headers and affine matrices hold the same number.
fn decimal(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}

/// Draws the enhancement.
fn inject(draws: &mut Draws, injection: &Injection) -> (Quality, Enhancement, f32) {
    let (quality, pulmonary) = match draws.between(0.0, 1.0) {
        // Below 150 HU or so an embolus cannot be distinguished from the blood around it.
        share if share < injection.non_diagnostic => (Quality::NonDiagnostic, draws.between(75.0, 115.0)),
        share if share < injection.poor => (Quality::Poor, draws.between(150.0, 220.0)),
        _ => (Quality::Good, draws.within(injection.good)),
    };
    let venous = (pulmonary * draws.within(injection.venous)).max(60.0);
    let enhancement = Enhancement {
        cava: pulmonary * draws.within(injection.cava),
        pulmonary,
        venous,
        aorta: (venous * draws.between(0.6, 1.0)).max(50.0),
    };
    let mixing = if quality == Quality::Good { draws.between(0.01, 0.05) } else { draws.between(0.04, 0.12) };
    (quality, enhancement, mixing)
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::super::{Orientation, Preset};
    use super::*;
    use crate::engine::volume::{LEFT_LUNG, RIGHT_LUNG, VoxelPoint};

    fn recipe(index: usize) -> Recipe {
        Recipe::new(Preset::Light, 5, index)
    }

    #[test]
    fn the_same_recipe_gives_the_same_slice_and_another_index_another_one() {
        let first = Exam::draw(&recipe(0)).slice(60);
        assert_eq!(first, Exam::draw(&recipe(0)).slice(60));
        assert_ne!(first.stored, Exam::draw(&recipe(1)).slice(60).stored);
    }

    /// Millilitres of both lungs, and the mean x of each in the patient.
    fn lungs(exam: &Exam) -> [(f64, f64); 2] {
        let geometry = exam.geometry();
        let masks: Vec<Vec<u8>> = exam.slices().map(|slice| slice.lungs).collect();
        [LEFT_LUNG, RIGHT_LUNG].map(|label| {
            let (mut count, mut sum) = (0.0, 0.0);
            for (slice, mask) in masks.iter().enumerate() {
                for (index, _) in mask.iter().enumerate().filter(|&(_, &value)| value == label) {
                    let (row, column) = (index / geometry.size[0], index % geometry.size[0]);
                    let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
                    sum += geometry.to_patient(point).0[0];
                    count += 1.0;
                }
            }
            (count * geometry.voxel_millilitres(), sum / count)
        })
    }

    #[test]
    fn left_is_left_head_first_and_feet_first() {
        for feet_first in [false, true] {
            let exam = Exam::draw(&Recipe { feet_first, ..recipe(2) });
            assert_eq!(exam.scanner.orientation == Orientation::FeetFirstSupine, feet_first);
            let [(left, left_x), (right, right_x)] = lungs(&exam);
            assert!(left_x > right_x + 80.0, "left lung at {left_x}, right lung at {right_x}");
            assert!((900.0..3500.0).contains(&left) && (900.0..3500.0).contains(&right), "{left} and {right} ml");
        }
    }

    #[test]
    fn asymmetric_lungs_differ_in_volume() {
        let [(left, _), (right, _)] = lungs(&Exam::draw(&Recipe { asymmetric: true, ..recipe(4) }));
        assert!(left < 0.85 * right, "{left} and {right} ml");
    }

    #[test]
    fn the_lungs_lie_within_the_stack() {
        for index in 0..12 {
            let exam = Exam::draw(&recipe(index));
            for slice in [0, exam.slice_count() - 1] {
                assert!(exam.slice(slice).lungs.iter().all(|&label| label == 0), "exam {index}, slice {slice}");
            }
        }
    }
}
