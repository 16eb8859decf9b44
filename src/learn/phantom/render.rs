//! One slice: tissues painted over each other from the wall inwards, then what the scanner makes of them.

use rayon::prelude::*;

use super::exam::Exam;
use super::field::FieldPlane;
use super::random::Draws;
use super::scanner;
use super::shapes::{Coverage, Ellipsoid, Grid, Tube, share, tubes};
use super::thorax::{Section, Side};
use super::vector::at;

const AIR: f32 = -1000.0;
const FAT: f32 = -100.0;
const MUSCLE: f32 = 52.0;
const SOFT: f32 = 38.0;

/// Share of embolus from which a voxel belongs to the mask.
const CLOT: f32 = 0.25;
/// Square millimetres of embolus from which a slice is positive.
const VISIBLE: f64 = 3.0;

/// One slice as the scanner stores it, with what is truly in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Stored numbers, row by row, two's complement where signed.
    pub stored: Vec<u16>,
    /// Lungs: 0 background, 1 left, 2 right.
    pub lungs: Vec<u8>,
    /// 1 where at least half of the voxel is the lumen of a pulmonary artery.
    pub arteries: Vec<u8>,
    /// 1 where at least a quarter of the voxel is embolus.
    pub emboli: Vec<u8>,
    /// Volume of the emboli in the slice, counted by shares of voxels, in thousandths of a millilitre.
    pub emboli_microlitres: u64,
    /// Whether a reader could see them: a mean cross-section of at least 3 square millimetres, and a voxel in `emboli`.
    pub shows_emboli: bool,
}

impl Exam {
    /// Renders one slice, 0 being the lowest. A function of the recipe and the index: slices may be rendered in any
    /// order and on any thread.
    pub fn slice(&self, index: usize) -> Slice {
        slice(self, &self.grid(index), &mut self.recipe.draws(&format!("noise {index}")))
    }

    /// Renders all slices, in parallel, lowest first.
    pub fn slices(&self) -> impl IndexedParallelIterator<Item = Slice> + '_ {
        (0..self.slice_count()).into_par_iter().map(|index| self.slice(index))
    }
}

/// A slice while it is painted.
struct Painter<'a> {
    exam: &'a Exam,
    grid: &'a Grid,
    image: Vec<f32>,
    /// Share of lung in each voxel.
    lung: Vec<f32>,
    /// Share of belly in each voxel.
    belly: Vec<f32>,
    coverage: Coverage,
    coarse: FieldPlane<'a>,
    fine: FieldPlane<'a>,
}

/// Renders a slice; `draws` gives the noise.
fn slice(exam: &Exam, grid: &Grid, draws: &mut Draws) -> Slice {
    let mut painter = Painter {
        exam,
        grid,
        image: vec![AIR; grid.len()],
        lung: vec![0.0; grid.len()],
        belly: vec![0.0; grid.len()],
        coverage: Coverage::new(grid),
        coarse: exam.coarse.plane(grid.first.z),
        fine: exam.fine.plane(grid.first.z),
    };
    painter.body();
    painter.table();
    painter.belly();
    painter.opacities();
    painter.bones();
    painter.soft_organs();
    painter.heart();
    let lungs = painter.lung_labels();
    painter.airways_and_veins();
    let arteries = painter.arteries();
    let emboli = painter.emboli(&arteries);
    painter.finish(draws, &lungs, &arteries, &emboli)
}

impl Painter<'_> {
    fn mix(&mut self, index: usize, amount: f32, hounsfield: f32) {
        let value = &mut self.image[index];
        *value += amount * (hounsfield - *value);
    }

    /// Wall, fat, lungs without their vessels, fluid.
    fn body(&mut self) {
        let grid = *self.grid;
        let thorax = &self.exam.thorax;
        let section = thorax.section(grid.first.z, grid.voxel.z);
        let width = grid.voxel.x.max(grid.voxel.y);
        let tall = 0.75 * grid.voxel.z + 0.4 * width;
        for row in 0..grid.rows {
            let y = grid.y(row);
            for column in 0..grid.columns {
                let x = grid.x(column);
                if section.far_outside(x, y) {
                    continue;
                }
                let skin = section.skin(x, y);
                if skin > width {
                    continue;
                }
                let index = row * grid.columns + column;
                let cavity = section.cavity(x, y);
                let inside = share(cavity, width);
                let mut value = if inside < 1.0 { self.wall(&section, x, y, -skin, width) } else { 0.0 };
                if inside > 0.0 {
                    let below = section.below_diaphragm(x, y);
                    let belly = inside * share(-below, tall);
                    let mediastinum = section.mediastinum(x, y);
                    let mut lung = (inside - belly) * share(-mediastinum, width);
                    let fluid =
                        section.fluid(x, y).map(|(depth, hounsfield)| (lung * share(-depth, width), depth, hounsfield));
                    let inner = FAT + 6.0 * self.fine.at(x, y) + 12.0 * self.coarse.at(x, y).max(0.0);
                    let mut content = inner * (inside - lung - belly);
                    if let Some((amount, _, hounsfield)) = fluid {
                        lung -= amount;
                        content += amount * (hounsfield + 2.0 * self.fine.at(x, y));
                    }
                    if lung > 0.0 {
                        let beside_fluid = fluid.map_or(f32::MAX, |(_, depth, _)| -depth);
                        content += lung * self.parenchyma(&section, x, y, beside_fluid);
                    }
                    content += belly * FAT;
                    value = (1.0 - inside) * value + content;
                    self.lung[index] = lung;
                    self.belly[index] = belly;
                }
                let amount = share(skin, width);
                self.image[index] = AIR + amount * (value - AIR);
            }
        }
    }

    /// Skin, fat and muscle at a depth below the skin.
    fn wall(&self, section: &Section<'_>, x: f32, y: f32, depth: f32, width: f32) -> f32 {
        let uneven = section.warp(x, y);
        let border = self.exam.thorax.fat + 2.5 * uneven;
        let muscle = share(border - depth, width);
        let fine = self.fine.at(x, y);
        let mut value = FAT + 4.0 * fine;
        if muscle < 1.0 {
            value += 7.0 * self.coarse.at(x, y);
        }
        if muscle > 0.0 {
            let streak = if self.coarse.at(y, x) > 0.3 {
                55.0 * share(0.8 - self.coarse.at(x * 0.7, y * 0.7).abs() * 4.0, 1.0)
            } else {
                0.0
            };
            value += muscle * (MUSCLE + 7.0 * fine - streak - value);
        }
        let skin = share(depth - 1.8, width);
        value + skin * (20.0 - value)
    }

    /// Air and tissue of the lung, its fissures, and its collapse beside fluid.
    fn parenchyma(&self, section: &Section<'_>, x: f32, y: f32, beside_fluid: f32) -> f32 {
        let z = self.grid.first.z;
        let gravity = 0.45 * y;
        let texture = 16.0 * self.fine.at(x, y) + 14.0 * self.coarse.at(x, y);
        let mut value = -868.0 + gravity + texture;
        let warp = section.warp(x, y);
        let distance = self.exam.thorax.fissure(Side::of(x), at(x, y, z), warp);
        let width = 0.7 * self.grid.voxel.z + 0.7 * self.grid.voxel.x;
        value += 420.0 * share(distance - 0.5, width).min(1.0 / width);
        let collapse = share(beside_fluid - 7.0 - 4.0 * warp, 6.0);
        value + collapse * (65.0 - value)
    }

    fn lung_labels(&self) -> Vec<u8> {
        let grid = self.grid;
        let label = |index: usize| {
            if self.lung[index] < 0.5 {
                0
            } else if Side::of(grid.x(index % grid.columns)) == Side::Left {
                1
            } else {
                2
            }
        };
        (0..grid.len()).map(label).collect()
    }

    /// A curved table top below the back.
    fn table(&mut self) {
        let grid = *self.grid;
        for row in (0..grid.rows).filter(|&row| grid.y(row) > 60.0) {
            for column in 0..grid.columns {
                let (x, y) = (grid.x(column), grid.y(row));
                let top = 118.0 + 0.8 * self.exam.thorax.fat - 0.0012 * x * x;
                let shell = share((y - top - 3.0).abs() - 1.5, grid.voxel.y)
                    .max(share((y - top - 33.0).abs() - 1.5, grid.voxel.y));
                let foam = share((y - top - 18.0).abs() - 14.0, grid.voxel.y);
                if x.abs() < 205.0 && foam.max(shell) > 0.0 {
                    let index = row * grid.columns + column;
                    let value = AIR + 60.0 * foam + 760.0 * shell;
                    self.image[index] = self.image[index].max(value);
                }
            }
        }
    }

    /// Liver, spleen and stomach under the diaphragm.
    fn belly(&mut self) {
        let spleen = Ellipsoid::upright(at(98.0, 40.0, -165.0), at(34.0, 42.0, 52.0));
        let stomach = Ellipsoid::upright(at(66.0, -32.0, -155.0), at(44.0, 42.0, 55.0));
        let liver = Ellipsoid::along(at(-62.0, -12.0, -160.0), at(1.0, -0.45, 0.0), at(118.0, 92.0, 120.0));
        let z = self.grid.first.z;
        let grid = *self.grid;
        for index in 0..grid.len() {
            let amount = self.belly[index];
            if amount <= 0.0 {
                continue;
            }
            let point = at(grid.x(index % grid.columns), grid.y(index / grid.columns), z);
            let texture = 5.0 * self.fine.at(point.x, point.y);
            let organ = if liver.distance(point) + 6.0 * self.coarse.at(0.15 * point.x, 0.15 * point.y) < 0.0 {
                88.0 + texture
            } else if spleen.distance(point) < 0.0 {
                100.0 + texture
            } else if stomach.distance(point) < 0.0 {
                if point.y < -40.0 { -985.0 } else { 25.0 + texture }
            } else {
                continue;
            };
            self.mix(index, amount, organ);
        }
    }

    /// Paints the union of solids inside the lung or apart from it; `hounsfield(painter, x, y)` is the tissue.
    fn paint(&mut self, solids: impl Iterator<Item = impl Solid>, hounsfield: impl Fn(&Self, f32, f32) -> f32) {
        self.cover(solids, |painter, index, x, y, amount| {
            let value = hounsfield(painter, x, y);
            painter.mix(index, amount, value);
        });
    }

    /// As [`Self::paint`], for what is no part of the lung and takes its place.
    fn displace(&mut self, solids: impl Iterator<Item = impl Solid>, hounsfield: impl Fn(&Self, f32, f32) -> f32) {
        self.cover(solids, |painter, index, x, y, amount| {
            let value = hounsfield(painter, x, y);
            painter.mix(index, amount, value);
            painter.lung[index] *= 1.0 - amount;
        });
    }

    /// Visits what the union of solids covers: `visit(painter, index, x, y, share of the voxel)`.
    fn cover(
        &mut self,
        solids: impl Iterator<Item = impl Solid>,
        mut visit: impl FnMut(&mut Self, usize, f32, f32, f32),
    ) {
        let mut coverage = std::mem::take(&mut self.coverage);
        for solid in solids {
            solid.fill(self.grid, &mut coverage);
        }
        coverage.each(self.grid, |index, x, y, amount| visit(self, index, x, y, amount));
        coverage.clear(self.grid);
        self.coverage = coverage;
    }

    /// Consolidation, ground glass, plates of collapsed lung, nodules: within the lung only.
    fn opacities(&mut self) {
        let z = self.grid.first.z;
        let exam = self.exam;
        for opacity in &exam.disease.opacities {
            let reach = opacity.region.grown(opacity.ragged + 2.0);
            if !reach.meets(z, self.grid.voxel.z) {
                continue;
            }
            reach.fill(self.grid, &mut self.coverage);
            let mut changes = Vec::new();
            self.coverage.each(self.grid, |index, x, y, _| {
                let ragged = opacity.ragged * (0.5 * self.coarse.at(x, y) + 0.25 * self.fine.at(x, y));
                let inside = share(opacity.region.distance(at(x, y, z)) + ragged, 1.5 + 0.5 * opacity.ragged);
                changes.push((index, inside * opacity.density * self.lung[index].min(1.0)));
            });
            self.coverage.clear(self.grid);
            for (index, amount) in changes {
                self.mix(index, amount, opacity.hounsfield);
            }
        }
        self.paint(exam.disease.nodules.iter().copied(), |_, _, _| 35.0);
    }

    fn bones(&mut self) {
        let skeleton = &self.exam.skeleton;
        self.displace(skeleton.cartilage.iter().copied(), |_, _, _| 95.0);
        self.displace(skeleton.bones.iter().copied(), |_, _, _| 620.0);
        self.displace(skeleton.bones.iter().filter_map(|bone| bone.grown(-1.7)), |painter, x, y| {
            190.0 + 30.0 * painter.fine.at(x, y)
        });
        self.displace(skeleton.vertebrae.iter().copied(), |_, _, _| 420.0);
        self.displace(skeleton.vertebrae.iter().filter_map(|bone| bone.grown(-1.3)), |painter, x, y| {
            165.0 + 35.0 * painter.fine.at(x, y)
        });
        self.displace(skeleton.canal.iter().copied(), |_, _, _| 30.0);
    }

    /// Oesophagus, lymph nodes, veins that the contrast has not reached.
    fn soft_organs(&mut self) {
        let exam = self.exam;
        let oesophagus = [(at(2.0, 34.0, 130.0), 6.5), (at(4.0, 38.0, -20.0), 7.0), (at(8.0, 38.0, -210.0), 8.0)];
        self.displace(tubes(&oesophagus, 1.0), |painter, x, y| SOFT + 5.0 * painter.fine.at(x, y));
        self.displace(tubes(&oesophagus, 0.25), |_, _, _| -250.0);
        self.displace(exam.disease.nodes.iter().copied(), |painter, x, y| 52.0 + 6.0 * painter.fine.at(x, y));
        self.displace(exam.heart.late_veins.iter().copied(), |painter, x, y| 75.0 + 12.0 * painter.coarse.at(x, y));
    }

    /// Muscle and chambers of the heart, aorta, caval veins.
    fn heart(&mut self) {
        let heart = &self.exam.heart;
        let enhancement = self.exam.enhancement;
        self.displace(heart.aorta.iter().filter_map(|tube| tube.grown(1.3)), |_, _, _| SOFT);
        // The left heart last: the septum belongs to it, and the right ventricle lies around it.
        for (right, blood) in [(true, enhancement.pulmonary), (false, enhancement.venous)] {
            let chambers = || heart.chambers.iter().filter(move |chamber| chamber.right == right);
            self.displace(chambers().map(|chamber| chamber.blood.grown(chamber.wall)), |painter, x, y| {
                105.0 + 5.0 * painter.fine.at(x, y)
            });
            let mixing = if right { 0.05 + self.exam.mixing } else { 0.02 };
            self.displace(chambers().map(|chamber| chamber.blood), |painter, x, y| {
                blood * (1.0 + mixing * painter.coarse.at(x, y)) + 4.0 * painter.fine.at(x, y)
            });
        }
        self.displace(heart.aorta.iter().copied(), |_, _, _| enhancement.aorta);
        self.displace(heart.cava.iter().filter_map(|tube| tube.grown(1.0)), |_, _, _| SOFT);
        self.displace(heart.cava.iter().copied(), |painter, x, y| {
            enhancement.cava * (1.0 + 0.15 * painter.coarse.at(x, y))
        });
    }

    fn airways_and_veins(&mut self) {
        let exam = self.exam;
        let cuff = exam.disease.cuff;
        let cuffs = exam.arteries.tubes().filter(|tube| tube.radii[0] > 1.3);
        self.paint(cuffs.filter_map(|tube| tube.grown(cuff)), |_, _, _| 25.0);
        self.paint(exam.bronchi.iter().filter_map(|tube| tube.grown(0.6 + 0.12 * tube.radii[0])), |_, _, _| 20.0);
        self.paint(exam.bronchi.iter().copied(), |_, _, _| -990.0);
        self.paint(exam.disease.mucus.iter().copied(), |_, _, _| 28.0);
        let venous = exam.enhancement.venous;
        self.paint(exam.veins.tubes(), |painter, x, y| venous * (1.0 + 0.02 * painter.coarse.at(x, y)));
    }

    /// Paints the pulmonary arteries and gives their coverage.
    fn arteries(&mut self) -> Coverage {
        let exam = self.exam;
        let z = self.grid.first.z;
        let mut coverage = Coverage::new(self.grid);
        for tube in exam.arteries.tubes() {
            tube.fill(self.grid, &mut coverage);
        }
        let blood = exam.enhancement.pulmonary;
        let near: Vec<_> =
            exam.disease.flow.iter().filter(|flow| (flow.centre.z - z).abs() < 2.0 * flow.reach).collect();
        coverage.each(self.grid, |index, x, y, amount| {
            let mut contrast = 1.0 + exam.mixing * self.coarse.at(x, y);
            for flow in &near {
                let away = at(x, y, z) - flow.centre;
                contrast *= 1.0 - flow.missing * (-away.dot(away) / (flow.reach * flow.reach)).exp();
            }
            let value = 45.0 + (blood - 45.0) * contrast;
            self.image[index] += amount * (value - self.image[index]);
        });
        coverage
    }

    /// Paints the emboli inside the arteries and gives their coverage.
    fn emboli(&mut self, arteries: &Coverage) -> Vec<f32> {
        let mut emboli = vec![0.0_f32; self.grid.len()];
        for embolus in &self.exam.emboli {
            for tube in &embolus.tubes {
                tube.fill(self.grid, &mut self.coverage);
            }
            let mut changes = Vec::new();
            self.coverage
                .each(self.grid, |index, _, _, amount| changes.push((index, amount.min(arteries.values[index]))));
            self.coverage.clear(self.grid);
            for (index, amount) in changes {
                self.mix(index, amount, embolus.hounsfield);
                emboli[index] = emboli[index].max(amount);
            }
        }
        emboli
    }

    /// Motion, point spread, noise, and storage.
    fn finish(mut self, draws: &mut Draws, lungs: &[u8], arteries: &Coverage, emboli: &[f32]) -> Slice {
        let (exam, grid) = (self.exam, self.grid);
        let scanner = &exam.scanner;
        self.motion();
        let mut scratch = vec![0.0; grid.len()];
        scanner::smooth(&mut self.image, &mut scratch, grid.columns, scanner.blur / scanner.pixel);
        scanner::add_noise(scanner, draws, grid, &mut self.image, &mut scratch);
        let area = f64::from(scanner.pixel * scanner.pixel) * emboli.iter().map(|&share| f64::from(share)).sum::<f64>();
        let order = Order { columns: grid.columns, rows: grid.rows, flips: scanner.orientation.flips() };
        Slice {
            stored: order.arrange(|index| scanner_number(exam, grid, index, self.image[index])),
            lungs: order.arrange(|index| lungs[index]),
            arteries: order.arrange(|index| u8::from(arteries.values[index] >= 0.5 || emboli[index] >= CLOT)),
            emboli: order.arrange(|index| u8::from(emboli[index] >= CLOT)),
            emboli_microlitres: (area * f64::from(scanner.spacing)).round() as u64,
            shows_emboli: area >= VISIBLE && emboli.iter().any(|&share| share >= CLOT),
        }
    }

    /// A second, shifted contour where the patient moved.
    fn motion(&mut self) {
        let Some(motion) = self.exam.disease.motion else { return };
        let grid = self.grid;
        if !(motion.from..motion.to).contains(&grid.first.z) {
            return;
        }
        let across = (motion.shift[0] / grid.voxel.x).round() as isize;
        let along = (motion.shift[1] / grid.voxel.y).round() as isize;
        let still = self.image.clone();
        for row in 0..grid.rows {
            let other = row.saturating_add_signed(along).min(grid.rows - 1);
            for column in 0..grid.columns {
                let moved = column.saturating_add_signed(across).min(grid.columns - 1);
                let value = &mut self.image[row * grid.columns + column];
                *value = 0.6 * *value + 0.4 * still[other * grid.columns + moved];
            }
        }
    }
}

/// The stored number of a voxel: padding outside the circle of reconstruction.
fn scanner_number(exam: &Exam, grid: &Grid, index: usize, hounsfield: f32) -> u16 {
    let storage = &exam.scanner.storage;
    let half = 0.5 * (grid.columns - 1) as f32;
    let (across, along) = ((index % grid.columns) as f32 - half, (index / grid.columns) as f32 - half);
    let outside = across * across + along * along > (half + 0.5).powi(2);
    let stored = match storage.padding {
        Some(padding) if outside => padding,
        _ => storage.store(if outside { -1024.0 } else { hounsfield.max(-1024.0) }),
    };
    stored as u16
}

/// From the frame of the anatomy to the order in which pixels are stored.
struct Order {
    columns: usize,
    rows: usize,
    flips: [bool; 2],
}

impl Order {
    fn arrange<T>(&self, value: impl Fn(usize) -> T) -> Vec<T> {
        let turn = |position: usize, size: usize, flip: bool| if flip { size - 1 - position } else { position };
        (0..self.rows)
            .flat_map(|row| {
                let start = turn(row, self.rows, self.flips[1]) * self.columns;
                (0..self.columns).map(move |column| start + turn(column, self.columns, self.flips[0]))
            })
            .map(value)
            .collect()
    }
}

/// What can fill voxels of a slice.
trait Solid {
    fn fill(&self, grid: &Grid, coverage: &mut Coverage);
}

impl Solid for Tube {
    fn fill(&self, grid: &Grid, coverage: &mut Coverage) {
        Self::fill(self, grid, coverage);
    }
}

impl Solid for Ellipsoid {
    fn fill(&self, grid: &Grid, coverage: &mut Coverage) {
        Self::fill(self, grid, coverage);
    }
}
