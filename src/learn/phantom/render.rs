//! One slice: tissues painted over each other from the wall inwards, then what the scanner makes of them.

use rayon::prelude::*;

use super::exam::Exam;
use super::field::FieldPlane;
use super::random::Draws;
use super::scanner;
use super::shapes::{Coverage, Ellipsoid, Grid, Tube, share, tubes};
use super::thorax::{Section, Side};
use super::tissues;
use super::vector::at;

/// Share of embolus from which a voxel belongs to the mask: a quarter, because the rim of contrast around a small
/// embolus takes the rest, and the voxel still looks dark.
const EMBOLUS_SHARE: f32 = 0.25;
/// Square millimetres of embolus from which a slice is positive: a cross-section of 2 mm, the least that readers find.
const VISIBLE_AREA: f64 = 3.0;
/// The least Hounsfield unit that scanners store.
const LOWEST: f32 = -1024.0;
/// How thick the skin is, in millimetres.
const SKIN_THICKNESS: f32 = 1.8;

/// One slice as the scanner stores it, with its ground truth.
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

/// What fills a voxel inside the wall of the chest.
struct Content {
    /// Hounsfield units, each by its share of the voxel.
    hounsfield: f32,
    /// Share of lung.
    lung: f32,
    /// Share of belly.
    belly: f32,
}

/// Renders a slice; `draws` gives the noise.
fn slice(exam: &Exam, grid: &Grid, draws: &mut Draws) -> Slice {
    let mut painter = Painter {
        exam,
        grid,
        image: vec![tissues::AIR; grid.len()],
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
        // The dome of the diaphragm meets the slice at a slant: its edge fades over thickness and pixel together.
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
                let inside = share(section.cavity(x, y), width);
                let mut value = if inside < 1.0 { self.wall(&section, x, y, -skin, width) } else { 0.0 };
                if inside > 0.0 {
                    let content = self.content(&section, [x, y], inside, [width, tall]);
                    value = (1.0 - inside) * value + content.hounsfield;
                    self.lung[index] = content.lung;
                    self.belly[index] = content.belly;
                }
                let amount = share(skin, width);
                self.image[index] = tissues::AIR + amount * (value - tissues::AIR);
            }
        }
    }

    /// What fills the part of a voxel that lies inside the wall, with edges of a width in the plane and across it.
    fn content(&self, section: &Section<'_>, [x, y]: [f32; 2], inside: f32, [width, tall]: [f32; 2]) -> Content {
        let belly = inside * share(-section.below_diaphragm(x, y), tall);
        let mut lung = (inside - belly) * share(-section.mediastinum(x, y), width);
        // Mediastinal fat has strands and small vessels, all of which are brighter than fat.
        let fat = tissues::FAT + 6.0 * self.fine.at(x, y) + 12.0 * self.coarse.at(x, y).max(0.0);
        let mut hounsfield = fat * (inside - lung - belly);
        let mut beside_fluid = f32::MAX;
        if let Some((depth, density)) = section.fluid(x, y) {
            let fluid = lung * share(-depth, width);
            lung -= fluid;
            hounsfield += fluid * (density + 2.0 * self.fine.at(x, y));
            beside_fluid = -depth;
        }
        if lung > 0.0 {
            hounsfield += lung * self.parenchyma(section, x, y, beside_fluid);
        }
        Content { hounsfield: hounsfield + belly * tissues::FAT, lung, belly }
    }

    /// Skin, fat and muscle at a depth below the skin.
    fn wall(&self, section: &Section<'_>, x: f32, y: f32, depth: f32, width: f32) -> f32 {
        let border = self.exam.thorax.fat + 2.5 * section.warp(x, y);
        let muscle = share(border - depth, width);
        let fine = self.fine.at(x, y);
        let mut value = tissues::FAT + 4.0 * fine;
        if muscle < 1.0 {
            // Septa divide the fat.
            value += 7.0 * self.coarse.at(x, y);
        }
        if muscle > 0.0 {
            value += muscle * (tissues::MUSCLE + 7.0 * fine - self.sheet_of_fat(x, y) - value);
        }
        let skin = share(depth - SKIN_THICKNESS, width);
        value + skin * (tissues::SKIN - value)
    }

    /// How much darker the sheets of fat between its layers make a muscle. The sheets are the winding lines where a
    /// random field crosses zero. The same field with its axes swapped is independent of that: it gives sheets to a
    /// third of the muscles.
    fn sheet_of_fat(&self, x: f32, y: f32) -> f32 {
        if self.coarse.at(y, x) > 0.3 {
            55.0 * share(0.8 - self.coarse.at(x * 0.7, y * 0.7).abs() * 4.0, 1.0)
        } else {
            0.0
        }
    }

    /// Air and tissue of the lung, its fissures, and its collapse beside fluid.
    fn parenchyma(&self, section: &Section<'_>, x: f32, y: f32, beside_fluid: f32) -> f32 {
        let z = self.grid.first.z;
        // The patient lies on the back, where blood and weight gather: some 80 HU from the front to the back.
        let gravity = 0.45 * y;
        let texture = 16.0 * self.fine.at(x, y) + 14.0 * self.coarse.at(x, y);
        let mut value = tissues::LUNG + gravity + texture;
        let warp = section.warp(x, y);
        let distance = self.exam.thorax.fissure(Side::of(x), at(x, y, z), warp);
        // A fissure is a sheet of 1 mm: of a wider voxel it fills no more than its share.
        let width = 0.7 * self.grid.voxel.z + 0.7 * self.grid.voxel.x;
        value += 420.0 * share(distance - 0.5, width).min(1.0 / width);
        // Fluid presses the air out of the lung for some 7 mm.
        let collapse = share(beside_fluid - 7.0 - 4.0 * warp, 6.0);
        value + collapse * (tissues::COLLAPSED_LUNG - value)
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

    /// A curved table top below the back: foam of 28 mm between two shells of 3 mm, 410 mm wide.
    fn table(&mut self) {
        let grid = *self.grid;
        // Above this row no patient is so thin that the table shows.
        for row in (0..grid.rows).filter(|&row| grid.y(row) > 60.0) {
            for column in 0..grid.columns {
                let (x, y) = (grid.x(column), grid.y(row));
                // The fat of the back is pressed flat by a fifth.
                let top = 118.0 + 0.8 * self.exam.thorax.fat - 0.0012 * x * x;
                let shell = share((y - top - 3.0).abs() - 1.5, grid.voxel.y)
                    .max(share((y - top - 33.0).abs() - 1.5, grid.voxel.y));
                let foam = share((y - top - 18.0).abs() - 14.0, grid.voxel.y);
                if x.abs() < 205.0 && foam.max(shell) > 0.0 {
                    let index = row * grid.columns + column;
                    // Foam is nearly air; carbon fibre is lighter than water.
                    let value = tissues::AIR + 60.0 * foam + 760.0 * shell;
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
            // The surface of the liver is uneven, by 6 mm over some 10 cm.
            let organ = if liver.distance(point) + 6.0 * self.coarse.at(0.15 * point.x, 0.15 * point.y) < 0.0 {
                tissues::LIVER + texture
            } else if spleen.distance(point) < 0.0 {
                tissues::SPLEEN + texture
            } else if stomach.distance(point) < 0.0 {
                // The patient lies on the back: gas rises to the front.
                if point.y < -40.0 { tissues::STOMACH_GAS } else { tissues::STOMACH + texture }
            } else {
                continue;
            };
            self.mix(index, amount, organ);
        }
    }

    /// Paints the union of solids inside or outside the lung; `hounsfield(painter, x, y)` is the tissue.
    fn paint(&mut self, solids: impl Iterator<Item = impl Solid>, hounsfield: impl Fn(&Self, f32, f32) -> f32) {
        self.cover(solids, |painter, index, x, y, amount| {
            let value = hounsfield(painter, x, y);
            painter.mix(index, amount, value);
        });
    }

    /// As [`Self::paint`], for tissue that is not lung and takes its place.
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
            // A ragged border reaches beyond the region, and a voxel beyond the border.
            let reach = opacity.region.grown(opacity.ragged + 2.0);
            if !reach.meets(z, self.grid.voxel.z) {
                continue;
            }
            reach.fill(self.grid, &mut self.coverage);
            let mut changes = Vec::new();
            self.coverage.each(self.grid, |index, x, y, _| {
                // Tongues of the size of lobules, with finer ones on them; the more ragged a border, the softer it is.
                let ragged = opacity.ragged * (0.5 * self.coarse.at(x, y) + 0.25 * self.fine.at(x, y));
                let inside = share(opacity.region.distance(at(x, y, z)) + ragged, 1.5 + 0.5 * opacity.ragged);
                changes.push((index, inside * opacity.density * self.lung[index].min(1.0)));
            });
            self.coverage.clear(self.grid);
            for (index, amount) in changes {
                self.mix(index, amount, opacity.hounsfield);
            }
        }
        self.paint(exam.disease.nodules.iter().copied(), |_, _, _| tissues::NODULE);
    }

    /// Cartilage, and bones as marrow inside a cortex: of 1.7 mm in ribs, of 1.3 mm in vertebrae.
    fn bones(&mut self) {
        let skeleton = &self.exam.skeleton;
        self.displace(skeleton.cartilage.iter().copied(), |_, _, _| tissues::CARTILAGE);
        self.displace(skeleton.bones.iter().copied(), |_, _, _| tissues::CORTEX);
        self.displace(skeleton.bones.iter().filter_map(|bone| bone.grown(-1.7)), |painter, x, y| {
            tissues::MARROW + 30.0 * painter.fine.at(x, y)
        });
        self.displace(skeleton.vertebrae.iter().copied(), |_, _, _| tissues::VERTEBRAL_SHELL);
        self.displace(skeleton.vertebrae.iter().filter_map(|bone| bone.grown(-1.3)), |painter, x, y| {
            tissues::SPONGIOSA + 35.0 * painter.fine.at(x, y)
        });
        self.displace(skeleton.canal.iter().copied(), |_, _, _| tissues::SPINAL_CANAL);
    }

    /// Oesophagus, lymph nodes, veins that the contrast has not reached.
    fn soft_organs(&mut self) {
        let exam = self.exam;
        let oesophagus = [(at(2.0, 34.0, 130.0), 6.5), (at(4.0, 38.0, -20.0), 7.0), (at(8.0, 38.0, -210.0), 8.0)];
        self.displace(tubes(&oesophagus, 1.0), |painter, x, y| tissues::SOFT + 5.0 * painter.fine.at(x, y));
        self.displace(tubes(&oesophagus, 0.25), |_, _, _| tissues::OESOPHAGUS_LUMEN);
        self.displace(exam.disease.nodes.iter().copied(), |painter, x, y| {
            tissues::LYMPH_NODE + 6.0 * painter.fine.at(x, y)
        });
        // Blood with and without contrast runs side by side in them.
        self.displace(exam.heart.late_veins.iter().copied(), |painter, x, y| {
            tissues::LATE_VEIN + 12.0 * painter.coarse.at(x, y)
        });
    }

    /// Muscle and chambers of the heart, aorta, caval veins.
    fn heart(&mut self) {
        let heart = &self.exam.heart;
        let enhancement = self.exam.enhancement;
        self.displace(heart.aorta.iter().filter_map(|tube| tube.grown(1.3)), |_, _, _| tissues::SOFT);
        // The left heart last: the septum belongs to it, and the right ventricle lies around it.
        for (right, blood) in [(true, enhancement.pulmonary), (false, enhancement.venous)] {
            let chambers = || heart.chambers.iter().filter(move |chamber| chamber.right == right);
            self.displace(chambers().map(|chamber| chamber.blood.grown(chamber.wall)), |painter, x, y| {
                tissues::MYOCARDIUM + 5.0 * painter.fine.at(x, y)
            });
            // In the right heart contrast from the arms meets blood without it from below; the lungs have mixed them.
            let mixing = if right { 0.05 + self.exam.mixing } else { 0.02 };
            self.displace(chambers().map(|chamber| chamber.blood), |painter, x, y| {
                blood * (1.0 + mixing * painter.coarse.at(x, y)) + 4.0 * painter.fine.at(x, y)
            });
        }
        self.displace(heart.aorta.iter().copied(), |_, _, _| enhancement.aorta);
        self.displace(heart.cava.iter().filter_map(|tube| tube.grown(1.0)), |_, _, _| tissues::SOFT);
        // The contrast is nowhere as unevenly mixed as where it comes from the arm.
        self.displace(heart.cava.iter().copied(), |painter, x, y| {
            enhancement.cava * (1.0 + 0.15 * painter.coarse.at(x, y))
        });
    }

    fn airways_and_veins(&mut self) {
        let exam = self.exam;
        let cuff = exam.disease.cuff;
        // Around thinner arteries it is not visible.
        let cuffs = exam.arteries.tubes().filter(|tube| tube.radii[0] > 1.3);
        self.paint(cuffs.filter_map(|tube| tube.grown(cuff)), |_, _, _| tissues::CUFF);
        // The wider a bronchus, the thicker its wall.
        let walls = exam.bronchi.iter().filter_map(|tube| tube.grown(0.6 + 0.12 * tube.radii[0]));
        self.paint(walls, |_, _, _| tissues::BRONCHIAL_WALL);
        self.paint(exam.bronchi.iter().copied(), |_, _, _| tissues::AIRWAY);
        self.paint(exam.disease.mucus.iter().copied(), |_, _, _| tissues::MUCUS);
        let venous = exam.enhancement.venous;
        self.paint(exam.veins.tubes(), |painter, x, y| venous * (1.0 + 0.02 * painter.coarse.at(x, y)));
    }

    /// Paints the pulmonary arteries and returns their coverage.
    fn arteries(&mut self) -> Coverage {
        let exam = self.exam;
        let z = self.grid.first.z;
        let mut coverage = Coverage::new(self.grid);
        for tube in exam.arteries.tubes() {
            tube.fill(self.grid, &mut coverage);
        }
        let blood = exam.enhancement.pulmonary;
        // Further away than twice its reach, less than a fiftieth of an artefact is left.
        let near: Vec<_> =
            exam.disease.flow.iter().filter(|flow| (flow.centre.z - z).abs() < 2.0 * flow.reach).collect();
        coverage.each(self.grid, |index, x, y, amount| {
            let mut contrast = 1.0 + exam.mixing * self.coarse.at(x, y);
            for flow in &near {
                let away = at(x, y, z) - flow.centre;
                contrast *= 1.0 - flow.missing * (-away.dot(away) / (flow.reach * flow.reach)).exp();
            }
            let value = tissues::BLOOD + (blood - tissues::BLOOD) * contrast;
            self.image[index] += amount * (value - self.image[index]);
        });
        coverage
    }

    /// Paints the emboli inside the arteries and returns their coverage.
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
            stored: order.arrange(|index| stored_number(exam, grid, index, self.image[index])),
            lungs: order.arrange(|index| lungs[index]),
            arteries: order.arrange(|index| u8::from(arteries.values[index] >= 0.5 || emboli[index] >= EMBOLUS_SHARE)),
            emboli: order.arrange(|index| u8::from(emboli[index] >= EMBOLUS_SHARE)),
            emboli_microlitres: (area * f64::from(scanner.spacing)).round() as u64,
            shows_emboli: area >= VISIBLE_AREA && emboli.iter().any(|&share| share >= EMBOLUS_SHARE),
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
                // The patient's place for the greater part of the rotation, and for the rest of it.
                *value = 0.6 * *value + 0.4 * still[other * grid.columns + moved];
            }
        }
    }
}

/// The stored number of a voxel: padding outside the circle of reconstruction.
fn stored_number(exam: &Exam, grid: &Grid, index: usize, hounsfield: f32) -> u16 {
    let storage = &exam.scanner.storage;
    let half = 0.5 * (grid.columns - 1) as f32;
    let (across, along) = ((index % grid.columns) as f32 - half, (index / grid.columns) as f32 - half);
    let outside = across * across + along * along > (half + 0.5).powi(2);
    let stored = match storage.padding {
        Some(padding) if outside => padding,
        _ => storage.store(if outside { LOWEST } else { hounsfield.max(LOWEST) }),
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
