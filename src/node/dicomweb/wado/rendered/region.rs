//! A part of an image.

use crate::node::http::Problem;

/// A part of an image, before the image is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum Region {
    /// In pixels from the upper left corner; a negative width or height flips what is shown
    /// ([PS3.18 8.3.5.1.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/sect_8.3.5.html)).
    Pixels { left: f64, top: f64, width: Option<f64>, height: Option<f64> },
    /// In shares of the image from 0 to 1
    /// ([PS3.18 9.1.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part18/chapter_9.html)).
    Shares { left: f64, top: f64, right: f64, bottom: f64 },
}

/// A part of an image in whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Shown with left and right changed.
    pub(super) flipped_across: bool,
    /// Shown with top and bottom changed.
    pub(super) flipped_down: bool,
}

impl Region {
    /// What of an image it is; nothing beyond its edges is shown.
    pub(super) fn of(self, columns: u32, rows: u32) -> Result<Rectangle, Problem> {
        let (across, down) = match self {
            Self::Pixels { left, top, width, height } => {
                ((left, width.unwrap_or(f64::from(columns))), (top, height.unwrap_or(f64::from(rows))))
            }
            Self::Shares { left, top, right, bottom } => {
                let span =
                    |from: f64, to: f64, pixels: u32| (from * f64::from(pixels), (to - from) * f64::from(pixels));
                (span(left, right, columns), span(top, bottom, rows))
            }
        };
        let (left, width) = clipped(across, columns)?;
        let (top, height) = clipped(down, rows)?;
        Ok(Rectangle { left, top, width, height, flipped_across: across.1 < 0.0, flipped_down: down.1 < 0.0 })
    }
}

/// First pixel and number of pixels of a span inside so many.
fn clipped((start, length): (f64, f64), pixels: u32) -> Result<(u32, u32), Problem> {
    let most = f64::from(pixels);
    let first = start.round().clamp(0.0, most);
    let end = (start + length.abs()).round().clamp(0.0, most);
    if end <= first {
        return Err(Problem::BadRequest("the region has no pixel of the image".to_owned()));
    }
    Ok((first as u32, (end - first) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_clipped_to_the_image_and_may_be_flipped() {
        let region = |left, top, width, height| Region::Pixels { left, top, width, height }.of(6, 5);
        let whole = Rectangle { left: 0, top: 0, width: 6, height: 5, flipped_across: false, flipped_down: false };
        assert_eq!(region(0.0, 0.0, None, None), Ok(whole));
        assert_eq!(
            region(0.0, 0.0, Some(-6.0), Some(-5.0)),
            Ok(Rectangle { flipped_across: true, flipped_down: true, ..whole })
        );
        assert_eq!(
            region(4.0, 3.0, Some(10.0), Some(1.0)),
            Ok(Rectangle { left: 4, top: 3, width: 2, height: 1, ..whole })
        );
        assert!(region(6.0, 0.0, Some(1.0), None).is_err() && region(0.0, 0.0, Some(0.0), None).is_err());
        let half = Region::Shares { left: 0.5, top: 0.0, right: 1.0, bottom: 1.0 }.of(6, 5);
        assert_eq!(half, Ok(Rectangle { left: 3, width: 3, ..whole }));
    }
}
