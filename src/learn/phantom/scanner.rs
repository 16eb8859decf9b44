//! The scanner: sampling, point spread, noise and its texture, and how numbers are stored.

use super::orientation::Orientation;
use super::random::Draws;
use super::recipe::{Preset, Recipe, Site};
use super::shapes::Grid;

/// How Hounsfield units become stored numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage {
    pub(super) signed: bool,
    pub(super) bits: u16,
    pub(super) slope: f32,
    pub(super) intercept: f32,
    /// The stored number outside the circle of reconstruction.
    pub(super) padding: Option<i32>,
}

impl Storage {
    /// Hounsfield units to the nearest stored number, held to the range of the bits.
    pub(super) fn store(&self, hounsfield: f32) -> i32 {
        // Rounds by truncation of a positive number: `round` is a slow call on the processor's baseline.
        let stored = ((hounsfield - self.intercept) / self.slope + 65536.5) as i32 - 65536;
        let (low, high) =
            if self.signed { (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1) } else { (0, (1 << self.bits) - 1) };
        stored.clamp(low, high)
    }

    /// Hounsfield units of the bits of a stored number.
    #[cfg(test)]
    pub(super) fn hounsfield(&self, bits: u16) -> f32 {
        let stored = if self.signed { f32::from(bits as i16) } else { f32::from(bits) };
        stored * self.slope + self.intercept
    }
}

/// The scanners of a site and how they are used there.
struct Fleet {
    models: [&'static str; 4],
    /// Names of a smooth and of a sharp kernel.
    kernels: [&'static str; 2],
    kilovolts: [u32; 5],
    /// Noise of a smooth kernel in slices of 2.5 mm, and what the sharpest adds, in Hounsfield units: the dose.
    noise: [f32; 2],
    sharp_noise: f32,
    /// Grain of the noise of the smoothest kernel in millimetres, and how much less the sharpest has; the same for the
    /// point spread.
    grain: [f32; 2],
    blur: [f32; 2],
    storages: [Storage; 4],
    /// Thicknesses of slices by preset; what is listed twice is chosen twice as often.
    clinical: &'static [f32],
    light: &'static [f32],
    tiny: &'static [f32],
    /// Bounds of the field of view of tiny slices: both lungs and little more, for the smallest pixels that hold them.
    tiny_field: [f32; 2],
}

const INTERNAL: Fleet = Fleet {
    models: ["Imaginary 64", "Imaginary 128", "Fictive Duo", "Notional CT"],
    kernels: ["SOFT", "SHARP"],
    kilovolts: [80, 100, 100, 120, 120],
    noise: [9.0, 20.0],
    sharp_noise: 9.0,
    grain: [0.95, 0.5],
    blur: [0.85, 0.4],
    // The four ways of storing that are common among scanners.
    storages: [
        Storage { signed: true, bits: 16, slope: 1.0, intercept: -1024.0, padding: Some(-2000) },
        Storage { signed: false, bits: 12, slope: 1.0, intercept: -1024.0, padding: None },
        Storage { signed: true, bits: 16, slope: 1.0, intercept: 0.0, padding: Some(-2048) },
        Storage { signed: false, bits: 16, slope: 0.5, intercept: -1200.0, padding: Some(0) },
    ],
    clinical: &[0.6, 1.0, 1.0, 1.25, 1.25, 1.5, 2.0, 3.0],
    light: &[2.0, 2.5, 2.5, 3.0],
    tiny: &[1.5],
    tiny_field: [332.8, 332.8],
};

/// Lower doses, iterative reconstruction with its coarse noise, other kernels, other ways of storing.
const EXTERNAL: Fleet = Fleet {
    models: ["Elsewhere 320", "Elsewhere Spectral", "Outland 16", "Abroad Dual"],
    kernels: ["IR30", "IR50"],
    kilovolts: [70, 90, 90, 110, 140],
    noise: [12.0, 26.0],
    sharp_noise: 6.0,
    grain: [1.7, 0.9],
    blur: [1.1, 0.6],
    storages: [
        Storage { signed: true, bits: 16, slope: 1.0, intercept: -8192.0, padding: Some(-8192) },
        Storage { signed: false, bits: 12, slope: 1.0, intercept: -1000.0, padding: None },
        Storage { signed: true, bits: 12, slope: 2.0, intercept: 0.0, padding: None },
        Storage { signed: false, bits: 16, slope: 1.0, intercept: -2048.0, padding: Some(0) },
    ],
    clinical: &[0.5, 0.75, 0.9, 1.0, 1.5, 2.0, 2.5],
    light: &[1.5, 2.0, 2.0, 3.0],
    tiny: &[1.0, 2.0, 2.5],
    tiny_field: [345.6, 371.2],
};

/// How a preset samples: pixels across, thicknesses, bounds of the field of view in millimetres.
struct Sampling {
    size: usize,
    thicknesses: &'static [f32],
    /// Distance of slices that leave gaps between them.
    gapped: Option<f32>,
    field: [f32; 2],
    /// How far the patient may lie from the middle, as a factor.
    centring: f32,
}

impl Sampling {
    fn of(preset: Preset, fleet: &Fleet) -> Self {
        let whole_chest =
            |size, thicknesses| Self { size, thicknesses, gapped: None, field: [310.0, 455.0], centring: 1.0 };
        match preset {
            Preset::Clinical => whole_chest(512, fleet.clinical),
            Preset::Light => whole_chest(256, fleet.light),
            Preset::Tiny => {
                Self { size: 128, thicknesses: fleet.tiny, gapped: Some(6.4), field: fleet.tiny_field, centring: 0.25 }
            }
        }
    }
}

/// One acquisition's settings.
#[derive(Debug, Clone)]
pub(super) struct Scanner {
    pub(super) model: &'static str,
    pub(super) kernel: &'static str,
    pub(super) kilovolts: u32,
    pub(super) size: usize,
    /// Millimetres.
    pub(super) pixel: f32,
    pub(super) thickness: f32,
    pub(super) spacing: f32,
    /// Standard deviation of the point spread in the plane, in millimetres.
    pub(super) blur: f32,
    /// Standard deviation of the noise in Hounsfield units, in the middle of the body.
    pub(super) noise: f32,
    /// Standard deviation of the noise's correlation in millimetres.
    pub(super) grain: f32,
    /// How far below the centre of the image the centre of the body lies, and how far to the left.
    pub(super) offset: [f32; 2],
    /// Position of the carina in the scanner's own frame.
    pub(super) carina: [f32; 3],
    pub(super) storage: Storage,
    pub(super) orientation: Orientation,
    /// Whether the first image of the series is the one nearest to the head.
    pub(super) head_first_order: bool,
}

impl Scanner {
    /// Draws the acquisition of a body of a width in millimetres.
    pub(super) fn draw(draws: &mut Draws, recipe: &Recipe, body: f32) -> Self {
        let fleet = match recipe.site {
            Site::Internal => INTERNAL,
            Site::External => EXTERNAL,
        };
        let Sampling { size, thicknesses, gapped, field, centring } = Sampling::of(recipe.preset, &fleet);
        let thickness = *draws.choose(thicknesses);
        let field = (body * draws.between(1.0, 1.18)).clamp(field[0], field[1]);
        let sharp = draws.between(0.0, 1.0);
        let orientation = match draws.between(0.0, 1.0) {
            // One in ten lies feet first, three in a hundred lie prone.
            share if recipe.feet_first || share < 0.1 => Orientation::FeetFirstSupine,
            share if share < 0.13 => Orientation::HeadFirstProne,
            _ => Orientation::HeadFirstSupine,
        };
        Self {
            model: *draws.choose(&fleet.models),
            kernel: fleet.kernels[usize::from(sharp > 0.6)],
            kilovolts: *draws.choose(&fleet.kilovolts),
            size,
            pixel: field / size as f32,
            thickness,
            // Three in twenty overlap, as a reconstruction for reformats does.
            spacing: gapped.unwrap_or(if draws.chance(0.15) { 0.8 * thickness } else { thickness }),
            blur: fleet.blur[0] - fleet.blur[1] * sharp,
            // Photons alone would give an exponent of 0.5; scanners raise the current for thin slices.
            noise: (draws.within(fleet.noise) + fleet.sharp_noise * sharp) * (2.5 / thickness).powf(0.35),
            grain: fleet.grain[0] - fleet.grain[1] * sharp,
            offset: [centring * draws.between(-8.0, 8.0), centring * draws.between(-10.0, 14.0)],
            carina: [draws.between(-6.0, 6.0), draws.between(-180.0, 20.0), draws.between(-900.0, 300.0)],
            storage: *draws.choose(&fleet.storages),
            orientation,
            head_first_order: draws.chance(0.6),
        }
    }
}

/// Weights of one half of a Gaussian kernel, centre first; `deviation` in pixels.
fn kernel(deviation: f32) -> Vec<f32> {
    // Beyond 2.5 deviations lies little more than a hundredth.
    let reach = (2.5 * deviation).ceil().max(1.0) as usize;
    let weights: Vec<f32> =
        (0..=reach).map(|step| (-0.5 * (step as f32 / deviation.max(0.05)).powi(2)).exp()).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// Convolves an image with a Gaussian in both directions, repeating the border; `scratch` is overwritten.
pub(super) fn smooth(image: &mut [f32], scratch: &mut [f32], columns: usize, deviation: f32) {
    let weights = kernel(deviation);
    let rows = image.len() / columns;
    for (source, target) in image.chunks_exact(columns).zip(scratch.chunks_exact_mut(columns)) {
        for (value, &centre) in target.iter_mut().zip(source) {
            *value = weights[0] * centre;
        }
        for (step, &weight) in weights.iter().enumerate().skip(1) {
            for ((value, &before), &after) in
                target[step..columns - step].iter_mut().zip(source).zip(&source[2 * step..])
            {
                *value += weight * (before + after);
            }
            for column in (0..step).chain(columns - step..columns) {
                let (before, after) = (column.saturating_sub(step), (column + step).min(columns - 1));
                target[column] += weight * (source[before] + source[after]);
            }
        }
    }
    for row in 0..rows {
        let line = |row: usize| &scratch[row * columns..(row + 1) * columns];
        let target = &mut image[row * columns..(row + 1) * columns];
        for (value, &centre) in target.iter_mut().zip(line(row)) {
            *value = weights[0] * centre;
        }
        for (step, &weight) in weights.iter().enumerate().skip(1) {
            let (above, below) = (line(row.saturating_sub(step)), line((row + step).min(rows - 1)));
            for ((value, &above), &below) in target.iter_mut().zip(above).zip(below) {
                *value += weight * (above + below);
            }
        }
    }
}

/// Adds the noise of one slice: correlated by the kernel, stronger in the middle of the body and at the shoulders.
pub(super) fn add_noise(scanner: &Scanner, draws: &mut Draws, grid: &Grid, image: &mut [f32], scratch: &mut [f32]) {
    let mut noise = vec![0.0; image.len()];
    draws.fill_normal(&mut noise);
    let deviation = scanner.grain / scanner.pixel;
    smooth(&mut noise, scratch, grid.columns, deviation);
    // A separable kernel scales white noise by the sum of its squared weights.
    let weights = kernel(deviation);
    let left = weights[0].powi(2) + 2.0 * weights[1..].iter().map(|weight| weight.powi(2)).sum::<f32>();
    // Rays through both shoulders lose the most photons: from 45 mm above the carina on, up to 1.9 times the noise.
    let shoulders = 1.0 + 0.9 * ((grid.first.z - 45.0) / 40.0).clamp(0.0, 1.0);
    let strength = scanner.noise * shoulders / left;
    // Rays through the middle of a body of 380 x 260 mm cross the most tissue: noise falls by half towards the skin.
    for row in 0..grid.rows {
        let y = grid.y(row) / 130.0;
        for column in 0..grid.columns {
            let x = grid.x(column) / 190.0;
            let middle = 1.1 - 0.6 * (x * x + y * y).min(1.0);
            image[row * grid.columns + column] += strength * middle * noise[row * grid.columns + column];
        }
    }
}
