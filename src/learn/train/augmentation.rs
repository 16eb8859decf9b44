//! Variation of training images, drawn once an exam: all its slices, neighbours and masks move together.

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
}

/// One drawn variation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variation {
    /// From a pixel of the new image to one of the old: `[[a, b, c], [d, e, f]]` on (row, column, 1).
    map: [[f64; 3]; 2],
    offset: f32,
    factor: f32,
    gamma: f32,
    noise: f32,
}

impl Variation {
    /// Changes nothing.
    pub(crate) const NONE: Self =
        Self { map: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], offset: 0.0, factor: 1.0, gamma: 1.0, noise: 0.0 };

    /// Draws a variation of images of this size and pixel distance.
    pub(crate) fn draw(random: &mut impl Rng, settings: &Augmentation, size: [usize; 2], spacing_mm: f64) -> Self {
        let mut either = |largest: f64| if largest > 0.0 { random.random_range(-largest..=largest) } else { 0.0 };
        let angle = either(settings.rotation_degrees).to_radians();
        let scale = [1.0 / (1.0 + either(settings.scale)), 1.0 / (1.0 + either(settings.scale))];
        let shift = [either(settings.shift_mm) / spacing_mm, either(settings.shift_mm) / spacing_mm];
        let (offset, factor) = (either(settings.offset) as f32, 1.0 + either(settings.factor) as f32);
        let gamma = 1.0 + either(settings.gamma) as f32;
        let noise = if settings.noise > 0.0 { random.random_range(0.0..settings.noise) as f32 } else { 0.0 };
        let side = if random.random_bool(settings.flip) { -1.0 } else { 1.0 };
        let centre = size.map(|size| (size as f64 - 1.0) / 2.0);
        let (sin, cos) = angle.sin_cos();
        let linear = [[scale[0] * cos, -scale[0] * sin * side], [scale[1] * sin, scale[1] * cos * side]];
        let map = std::array::from_fn(|axis| {
            let [along_rows, along_columns] = linear[axis];
            let constant = centre[axis] + shift[axis] - along_rows * centre[0] - along_columns * centre[1];
            [along_rows, along_columns, constant]
        });
        Self { map, offset, factor, gamma, noise }
    }

    /// The varied image, row by row; beyond its edges lies air (0).
    pub(crate) fn image(&self, image: &[f32], size: [usize; 2], random: &mut impl Rng) -> Vec<f32> {
        self.window(image, size, Window::all(size), random)
    }

    /// A part of the varied image, without the arithmetic for the rest.
    pub(crate) fn window(&self, image: &[f32], size: [usize; 2], window: Window, random: &mut impl Rng) -> Vec<f32> {
        let mut varied = if self.moves() { self.moved(image, size, window) } else { window.cut(image, size) };
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
        varied
    }

    /// The mask that goes with the varied image: nearest class, 0 beyond the edges.
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
        self.map != Self::NONE.map
    }

    fn places(&self, window: Window, mut visit: impl FnMut(f64, f64)) {
        let [first_row, first_column] = window.origin;
        let [[a, b, c], [d, e, f]] = self.map;
        for row in first_row..first_row + window.size[0] {
            for column in first_column..first_column + window.size[1] {
                let (row, column) = (row as f64, column as f64);
                visit(a * row + b * column + c, d * row + e * column + f);
            }
        }
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

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const SETTINGS: Augmentation = Augmentation {
        shift_mm: 0.0,
        scale: 0.0,
        rotation_degrees: 0.0,
        offset: 0.0,
        factor: 0.0,
        noise: 0.0,
        gamma: 0.0,
        flip: 0.0,
    };

    #[test]
    fn without_variation_the_image_is_untouched() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let image: Vec<f32> = (0..12).map(|n| n as f32 / 12.0).collect();
        let variation = Variation::draw(&mut random, &SETTINGS, [3, 4], 1.0);
        assert_eq!(variation.image(&image, [3, 4], &mut random), image);
    }

    #[test]
    fn a_flip_exchanges_left_and_right_of_image_and_mask() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let variation = Variation::draw(&mut random, &Augmentation { flip: 1.0, ..SETTINGS }, [1, 4], 1.0);
        assert_eq!(variation.image(&[0.1, 0.2, 0.3, 0.4], [1, 4], &mut random), [0.4, 0.3, 0.2, 0.1]);
        assert_eq!(variation.mask(&[1, 0, 0, 2], [1, 4]), [2, 0, 0, 1]);
    }

    #[test]
    fn image_and_mask_move_together() {
        let settings = Augmentation { shift_mm: 6.0, scale: 0.2, rotation_degrees: 20.0, ..SETTINGS };
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let size = [40, 50];
        let mask: Vec<u8> = (0..2000).map(|n| u8::from((n / 50 > 12 && n / 50 < 30) && (n % 50 > 20))).collect();
        let image: Vec<f32> = mask.iter().map(|class| f32::from(*class)).collect();
        for _ in 0..20 {
            let variation = Variation::draw(&mut random, &settings, size, 1.0);
            let (image, mask) = (variation.image(&image, size, &mut random), variation.mask(&mask, size));
            let differing = image.iter().zip(&mask).filter(|(value, class)| (**value > 0.5) != (**class == 1)).count();
            assert!(differing < 60, "{differing} pixels differ");
        }
    }

    #[test]
    fn a_window_is_a_part_of_the_varied_image() {
        let settings = Augmentation { shift_mm: 3.0, rotation_degrees: 20.0, gamma: 0.3, ..SETTINGS };
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
