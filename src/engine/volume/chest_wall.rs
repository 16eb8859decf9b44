//! What was not reconstructed, taken for chest wall.
//!
//! Networks learned from chests that end in air. A chest that ends at the edge of a field of view looks to them like
//! nothing that they know. With even soft tissue beyond, it looks like one with a thick wall. On phantoms without embolism
//! that were cut, the logit of embolism then changed by 0.2 (root mean square); by 1.8 with air beyond, and by 0.7 where the
//! pixels at the edge went on outwards: cut ribs and vessels became streaks that look like vessels in lung.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::field_of_view::Pixel;

/// Fat (-100) with some muscle (50), in Hounsfield units: too dark for blood.
pub(super) const CHEST_WALL: f32 = -50.0;

/// The pixels of an image that were not reconstructed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChestWall(Vec<Pixel>);

impl ChestWall {
    /// Of an image whose pixels were reconstructed where `seen` holds. Where nothing was seen there is no chest.
    pub(super) fn of(seen: &ArrayView2<'_, bool>) -> Self {
        let any_seen = seen.iter().any(|seen| *seen);
        let unseen = seen.indexed_iter().filter(|(_, seen)| any_seen && !**seen);
        Self(unseen.map(|(pixel, _)| pixel).collect())
    }

    /// Gives the pixels the value of chest wall.
    pub(super) fn apply(&self, mut image: ArrayViewMut2<'_, f32>) {
        for pixel in &self.0 {
            image[*pixel] = CHEST_WALL;
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn pixels_that_were_not_seen_are_chest_wall() {
        let seen = Array2::from_shape_fn((3, 3), |(row, column)| row < 2 && column > 0);
        let mut image = Array2::from_elem((3, 3), -850.0);
        ChestWall::of(&seen.view()).apply(image.view_mut());
        let rows = [[CHEST_WALL, -850.0, -850.0], [CHEST_WALL, -850.0, -850.0], [CHEST_WALL; 3]];
        assert_eq!(image, Array2::from(rows.to_vec()));
    }

    #[test]
    fn there_is_no_wall_where_all_or_nothing_was_seen() {
        for seen in [true, false] {
            assert_eq!(ChestWall::of(&Array2::from_elem((3, 4), seen).view()), ChestWall(Vec::new()));
        }
    }
}
