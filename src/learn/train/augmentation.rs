//! Variation of training images, drawn once per exam: all its slices, neighbours and masks move together.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Normal};

use super::configuration::Augmentation;

/// A part of an image: first row and column, rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) origin: [usize; 2],
    pub(crate) size: [usize; 2],
}

impl Window {
    /// All of an image.
    fn all(size: [usize; 2]) -> Self {
        Self { origin: [0, 0], size }
    }

    /// This part of an image of `columns` columns.
    pub(crate) fn cut<T: Copy>(&self, image: &[T], [_, columns]: [usize; 2]) -> Vec<T> {
        let row = |row: usize| &image[row * columns + self.origin[1]..][..self.size[1]];
        (self.origin[0]..self.origin[0] + self.size[0]).flat_map(row).copied().collect()
    }

    /// This part with a margin, as far as the image reaches.
    fn widened(&self, margin: usize, size: [usize; 2]) -> Self {
        let origin = self.origin.map(|first| first.saturating_sub(margin));
        let end = |axis: usize| (self.origin[axis] + self.size[axis] + margin).min(size[axis]);
        Self { origin, size: [end(0) - origin[0], end(1) - origin[1]] }
    }

    /// This part in the coordinates of a wider one.
    fn within(&self, wider: &Self) -> Self {
        Self { origin: std::array::from_fn(|axis| self.origin[axis] - wider.origin[axis]), size: self.size }
    }

    fn holds(&self, row: usize, column: usize) -> bool {
        [row, column]
            .into_iter()
            .enumerate()
            .all(|(axis, place)| (self.origin[axis]..self.origin[axis] + self.size[axis]).contains(&place))
    }
}

/// One drawn variation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variation {
    /// From a pixel of the new image to one of the old: `[[a, b, c], [d, e, f]]` on (row, column, 1).
    map: [[f64; 3]; 2],
    flips: bool,
    warp: Option<Warp>,
    /// One-sided weights of a Gaussian blur, from the centre outwards; the centre alone for none.
    blur: Vec<f32>,
    offset: f32,
    factor: f32,
    gamma: f32,
    noise: f32,
    /// What is hidden by air.
    cutout: Option<Window>,
}

impl Variation {
    /// Draws a variation of images of this size and pixel distance.
    pub(crate) fn draw(random: &mut impl Rng, settings: &Augmentation, size: [usize; 2], spacing_mm: f64) -> Self {
        let mut either = |largest: f64| if largest > 0.0 { random.random_range(-largest..=largest) } else { 0.0 };
        let angle = either(settings.rotation_degrees).to_radians();
        let scale = [1.0 / (1.0 + either(settings.scale)), 1.0 / (1.0 + either(settings.scale))];
        let shift = [either(settings.shift_mm) / spacing_mm, either(settings.shift_mm) / spacing_mm];
        let (offset, factor) = (either(settings.offset) as f32, 1.0 + either(settings.factor) as f32);
        let gamma = 1.0 + either(settings.gamma) as f32;
        let noise = up_to(random, settings.noise) as f32;
        let flips = random.random_bool(settings.flip);
        let warp = Warp::draw(random, settings, size, spacing_mm);
        let blur = gaussian(up_to(random, settings.blur_mm) / spacing_mm);
        let cutout = random.random_bool(settings.cutout).then(|| {
            let side = |random: &mut _, length: usize| {
                ((up_to(random, settings.cutout_mm) / spacing_mm).ceil() as usize).clamp(1, length)
            };
            let hidden = size.map(|length| side(random, length));
            let origin = std::array::from_fn(|axis| random.random_range(0..=size[axis] - hidden[axis]));
            Window { origin, size: hidden }
        });
        Self { map: affine(angle, scale, shift, flips, size), flips, warp, blur, offset, factor, gamma, noise, cutout }
    }

    /// Whether left and right change places.
    pub(crate) fn flips(&self) -> bool {
        self.flips
    }

    /// The varied image, row by row; beyond its edges lies air (0).
    pub(crate) fn image(&self, image: &[f32], size: [usize; 2], random: &mut impl Rng) -> Vec<f32> {
        self.window(image, size, Window::all(size), random)
    }

    /// A part of the varied image, without the arithmetic for the rest.
    pub(crate) fn window(&self, image: &[f32], size: [usize; 2], window: Window, random: &mut impl Rng) -> Vec<f32> {
        let mut varied = self.blurred(image, size, window);
        if (self.offset, self.factor, self.gamma) != (0.0, 1.0, 1.0) {
            for value in &mut varied {
                *value = (value.powf(self.gamma) * self.factor + self.offset).clamp(0.0, 1.0);
            }
        }
        if self.noise > 0.0
            && let Ok(normal) = Normal::new(0.0_f32, self.noise)
        {
            for value in &mut varied {
                *value = (*value + normal.sample(random)).clamp(0.0, 1.0);
            }
        }
        if let Some(hidden) = self.cutout {
            for (place, value) in varied.iter_mut().enumerate() {
                let (row, column) = (place / window.size[1], place % window.size[1]);
                if hidden.holds(window.origin[0] + row, window.origin[1] + column) {
                    *value = 0.0;
                }
            }
        }
        varied
    }

    /// The mask that goes with the varied image: nearest class, 0 beyond the edges. What is cut out of the image stays
    /// in the mask, as its labels stay.
    pub(crate) fn mask(&self, mask: &[u8], size: [usize; 2]) -> Vec<u8> {
        if !self.moves() {
            return mask.to_vec();
        }
        let [rows, columns] = size;
        let mut varied = Vec::with_capacity(mask.len());
        self.places(Window::all(size), |row, column| {
            let (row, column) = (row.round(), column.round());
            let inside = row >= 0.0 && column >= 0.0 && row < rows as f64 && column < columns as f64;
            varied.push(if inside { mask[row as usize * columns + column as usize] } else { 0 });
        });
        varied
    }

    fn moves(&self) -> bool {
        self.map != [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]] || self.warp.is_some()
    }

    /// Where each pixel of a part of the new image comes from: row and column in the old.
    fn places(&self, window: Window, mut visit: impl FnMut(f64, f64)) {
        let [first_row, first_column] = window.origin;
        let [[a, b, c], [d, e, f]] = self.map;
        for row in first_row..first_row + window.size[0] {
            for column in first_column..first_column + window.size[1] {
                let [down, right] = self.warp.as_ref().map_or([0.0; 2], |warp| warp.at(row, column));
                let (row, column) = (row as f64, column as f64);
                visit(a * row + b * column + c + down, d * row + e * column + f + right);
            }
        }
    }

    /// A part of the moved image, blurred with what lies around it.
    fn blurred(&self, image: &[f32], size: [usize; 2], window: Window) -> Vec<f32> {
        let moved =
            |window: Window| if self.moves() { self.moved(image, size, window) } else { window.cut(image, size) };
        let margin = self.blur.len() - 1;
        if margin == 0 {
            return moved(window);
        }
        let wider = window.widened(margin, size);
        let [rows, columns] = wider.size;
        let along_rows = smoothed(&moved(wider), &self.blur, [rows, columns], 1);
        let both = smoothed(&along_rows, &self.blur, [columns, rows], columns);
        window.within(&wider).cut(&both, wider.size)
    }

    fn moved(&self, image: &[f32], size: [usize; 2], window: Window) -> Vec<f32> {
        let [rows, columns] = size;
        let mut moved = Vec::with_capacity(window.size[0] * window.size[1]);
        self.places(window, |row, column| {
            let (top, left) = (row.floor(), column.floor());
            let (down, right) = ((row - top) as f32, (column - left) as f32);
            let (top, left) = (top as i64, left as i64);
            let at = |row: i64, column: i64| {
                let inside = row >= 0 && column >= 0 && row < rows as i64 && column < columns as i64;
                if inside { image[row as usize * columns + column as usize] } else { 0.0 }
            };
            let upper = at(top, left) * (1.0 - right) + at(top, left + 1) * right;
            let lower = at(top + 1, left) * (1.0 - right) + at(top + 1, left + 1) * right;
            moved.push(upper * (1.0 - down) + lower * down);
        });
        moved
    }
}

/// A number from 0 to `largest`.
fn up_to(random: &mut impl Rng, largest: f64) -> f64 {
    if largest > 0.0 { random.random_range(0.0..largest) } else { 0.0 }
}

/// From new pixels to old ones: rotation, scale and flip about the centre, then the shift.
fn affine(angle: f64, scale: [f64; 2], shift: [f64; 2], flips: bool, size: [usize; 2]) -> [[f64; 3]; 2] {
    let side = if flips { -1.0 } else { 1.0 };
    let centre = size.map(|size| (size as f64 - 1.0) / 2.0);
    let (sin, cos) = angle.sin_cos();
    let linear = [[scale[0] * cos, -scale[0] * sin * side], [scale[1] * sin, scale[1] * cos * side]];
    std::array::from_fn(|axis| {
        let [along_rows, along_columns] = linear[axis];
        let constant = centre[axis] + shift[axis] - along_rows * centre[0] - along_columns * centre[1];
        [along_rows, along_columns, constant]
    })
}

/// Weights of a Gaussian with this standard deviation in pixels, from its centre to three deviations.
fn gaussian(deviation: f64) -> Vec<f32> {
    let reach = (3.0 * deviation).ceil() as usize;
    let weight = |distance: usize| (-0.5 * (distance as f64 / deviation.max(f64::EPSILON)).powi(2)).exp();
    let total = 2.0 * (0..=reach).map(weight).sum::<f64>() - weight(0);
    (0..=reach).map(|distance| (weight(distance) / total) as f32).collect()
}

/// Smooths `lines` lines of `length` values that lie `stride` apart; beyond the ends the last value is repeated.
fn smoothed(image: &[f32], weights: &[f32], [lines, length]: [usize; 2], stride: usize) -> Vec<f32> {
    let mut smoothed = vec![0.0; image.len()];
    for line in 0..lines {
        let first = if stride == 1 { line * length } else { line };
        for place in 0..length {
            let at = |place: usize| image[first + place * stride];
            let around = |(distance, weight): (usize, &f32)| {
                weight * (at(place.saturating_sub(distance)) + at((place + distance).min(length - 1)))
            };
            let sum: f32 = weights.iter().enumerate().skip(1).map(around).sum();
            smoothed[first + place * stride] = weights[0] * at(place) + sum;
        }
    }
    smoothed
}

/// A smooth displacement: random vectors on a coarse grid, between them cubic B-splines (Rueckert et al. 1999).
#[derive(Debug, Clone, PartialEq)]
struct Warp {
    /// Rows and columns, in pixels, for each pixel row by row.
    displacements: Vec<[f32; 2]>,
    columns: usize,
}

impl Warp {
    fn draw(random: &mut impl Rng, settings: &Augmentation, size: [usize; 2], spacing_mm: f64) -> Option<Self> {
        let largest = settings.elastic_mm / spacing_mm;
        if largest <= 0.0 {
            return None;
        }
        let distance = settings.elastic_grid_mm / spacing_mm;
        let [grid_rows, grid_columns] = size.map(|length| (length as f64 / distance).ceil() as usize + 3);
        let grid: Vec<[f64; 2]> = (0..grid_rows * grid_columns)
            .map(|_| std::array::from_fn(|_| random.random_range(-largest..=largest)))
            .collect();
        let [rows, columns] = size.map(|length| (0..length).map(|place| spline(place as f64 / distance)).collect());
        let (rows, columns): (Vec<Spline>, Vec<Spline>) = (rows, columns);
        let displaced = |row: &Spline, column: &Spline| {
            let mut sum = [0.0; 2];
            for (down, row_weight) in row.weights.iter().enumerate() {
                for (right, column_weight) in column.weights.iter().enumerate() {
                    let vector = grid[(row.first + down) * grid_columns + column.first + right];
                    sum = std::array::from_fn(|axis| sum[axis] + row_weight * column_weight * vector[axis]);
                }
            }
            sum.map(|value: f64| value as f32)
        };
        let displacements = rows.iter().flat_map(|row| columns.iter().map(move |column| displaced(row, column)));
        Some(Self { displacements: displacements.collect(), columns: size[1] })
    }

    fn at(&self, row: usize, column: usize) -> [f64; 2] {
        self.displacements[row * self.columns + column].map(f64::from)
    }
}

/// The first of four neighbouring points of a grid, and their weights.
struct Spline {
    first: usize,
    weights: [f64; 4],
}

/// The uniform cubic B-spline at a place along the grid.
fn spline(place: f64) -> Spline {
    let (first, t) = (place.floor(), place.fract());
    let weights = [
        (1.0 - t).powi(3),
        3.0 * t.powi(3) - 6.0 * t.powi(2) + 4.0,
        -3.0 * t.powi(3) + 3.0 * t.powi(2) + 3.0 * t + 1.0,
        t.powi(3),
    ];
    Spline { first: first as usize, weights: weights.map(|weight| weight / 6.0) }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SETTINGS: Augmentation = Augmentation {
        shift_mm: 0.0,
        scale: 0.0,
        rotation_degrees: 0.0,
        elastic_mm: 0.0,
        elastic_grid_mm: 40.0,
        blur_mm: 0.0,
        offset: 0.0,
        factor: 0.0,
        noise: 0.0,
        gamma: 0.0,
        flip: 0.0,
        cutout: 0.0,
        cutout_mm: 40.0,
        insert_emboli: 0,
    };

    #[test]
    fn without_variation_the_image_is_untouched() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let image: Vec<f32> = (0..12).map(|n| n as f32 / 12.0).collect();
        let variation = Variation::draw(&mut random, &SETTINGS, [3, 4], 1.0);
        assert_eq!(variation.image(&image, [3, 4], &mut random), image);
        assert!(!variation.flips());
    }

    #[test]
    fn a_flip_exchanges_left_and_right_of_image_and_mask() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let variation = Variation::draw(&mut random, &Augmentation { flip: 1.0, ..SETTINGS }, [1, 4], 1.0);
        assert_eq!(variation.image(&[0.1, 0.2, 0.3, 0.4], [1, 4], &mut random), [0.4, 0.3, 0.2, 0.1]);
        assert_eq!(variation.mask(&[1, 0, 0, 2], [1, 4]), [2, 0, 0, 1]);
        assert!(variation.flips());
    }

    #[test]
    fn image_and_mask_move_together() {
        let affine = Augmentation { shift_mm: 6.0, scale: 0.2, rotation_degrees: 20.0, ..SETTINGS };
        let elastic = Augmentation { elastic_mm: 6.0, elastic_grid_mm: 16.0, ..SETTINGS };
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let size = [40, 50];
        let mask: Vec<u8> = (0..2000).map(|n| u8::from((n / 50 > 12 && n / 50 < 30) && (n % 50 > 20))).collect();
        let image: Vec<f32> = mask.iter().map(|class| f32::from(*class)).collect();
        for settings in [affine, elastic] {
            for _ in 0..20 {
                let variation = Variation::draw(&mut random, &settings, size, 1.0);
                let (moved, varied) = (variation.image(&image, size, &mut random), variation.mask(&mask, size));
                let differ = |(value, class): &(&f32, &u8)| (**value > 0.5) != (**class == 1);
                let differing = moved.iter().zip(&varied).filter(differ).count();
                assert!(differing < 60 && varied != mask, "{differing} pixels differ");
            }
        }
    }

    #[test]
    fn all_slices_of_an_exam_are_varied_alike() {
        let settings = Augmentation {
            shift_mm: 5.0,
            rotation_degrees: 10.0,
            elastic_mm: 3.0,
            blur_mm: 2.0,
            gamma: 0.3,
            flip: 0.5,
            cutout: 0.5,
            ..SETTINGS
        };
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let size = [24, 32];
        let image: Vec<f32> = (0..768).map(|n| (n * 37 % 101) as f32 / 101.0).collect();
        let variation = Variation::draw(&mut random, &settings, size, 1.0);
        let slices = [0, 1].map(|_| variation.image(&image, size, &mut random));
        assert_eq!(slices[0], slices[1]);
        assert_ne!(slices[0], image);
    }

    #[test]
    fn a_displacement_is_smooth_and_within_its_limit() {
        let settings = Augmentation { elastic_mm: 4.0, elastic_grid_mm: 16.0, ..SETTINGS };
        let mut random = ChaCha8Rng::seed_from_u64(9);
        let warp = Warp::draw(&mut random, &settings, [48, 64], 2.0).expect("a warp");
        let (mut largest, mut step) = (0.0_f64, 0.0_f64);
        for row in 0..48 {
            for column in 1..64 {
                let (here, before) = (warp.at(row, column), warp.at(row, column - 1));
                largest = largest.max(here[0].abs()).max(here[1].abs());
                step = step.max((here[0] - before[0]).abs());
            }
        }
        assert!(largest <= 2.0 && largest > 0.5 && step < 0.5, "{largest} {step}");
    }

    #[test]
    fn a_blur_keeps_the_mean_and_removes_the_detail() {
        let variation = Variation { blur: gaussian(2.0), ..Variation::draw(&mut random(), &SETTINGS, [32, 32], 1.0) };
        let image: Vec<f32> = (0..1024).map(|n| if n == 16 * 32 + 16 { 1.0 } else { 0.0 }).collect();
        let blurred = variation.image(&image, [32, 32], &mut random());
        let sum: f32 = blurred.iter().sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        assert!((blurred[16 * 32 + 16] - 0.04).abs() < 0.005, "{}", blurred[16 * 32 + 16]);
        assert!((blurred[16 * 32 + 18] - blurred[18 * 32 + 16]).abs() < 1e-6);
    }

    fn random() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(4)
    }

    #[test]
    fn a_cutout_hides_a_box_of_the_image_and_leaves_the_mask() {
        let settings = Augmentation { cutout: 1.0, cutout_mm: 10.0, ..SETTINGS };
        let variation = Variation::draw(&mut random(), &settings, [20, 30], 1.0);
        let hidden =
            variation.image(&[1.0; 600], [20, 30], &mut random()).iter().filter(|value| **value == 0.0).count();
        assert!((1..=100).contains(&hidden), "{hidden}");
        assert_eq!(variation.mask(&[1; 600], [20, 30]), [1; 600]);
    }

    #[test]
    fn a_window_is_a_part_of_the_varied_image() {
        let settings = Augmentation {
            shift_mm: 3.0,
            rotation_degrees: 20.0,
            elastic_mm: 2.0,
            elastic_grid_mm: 6.0,
            blur_mm: 1.0,
            gamma: 0.3,
            cutout: 1.0,
            cutout_mm: 6.0,
            ..SETTINGS
        };
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let (size, window) = ([12, 16], Window { origin: [3, 5], size: [4, 6] });
        let image: Vec<f32> = (0..192).map(|n| n as f32 / 192.0).collect();
        let variation = Variation::draw(&mut random, &settings, size, 1.0);
        let whole = variation.image(&image, size, &mut random);
        assert_eq!(variation.window(&image, size, window, &mut random), window.cut(&whole, size));
    }

    #[test]
    fn intensities_stay_within_the_window() {
        let settings = Augmentation { offset: 0.5, factor: 0.5, gamma: 0.5, noise: 0.5, ..SETTINGS };
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let image = vec![0.0, 0.3, 1.0, 0.9];
        let variation = Variation::draw(&mut random, &settings, [2, 2], 1.0);
        assert!(variation.image(&image, [2, 2], &mut random).iter().all(|value| (0.0..=1.0).contains(value)));
    }
}
