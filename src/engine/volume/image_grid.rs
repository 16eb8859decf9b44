//! The pixel grid of an image in the patient ([PS3.3
//! C.7.6.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.7.6.2.html), Image Plane).

use dicom_dictionary_std::tags;
use dicom_object::Tag;

use super::attribute::unusable;
use super::geometry::{cross, dot, norm};
use crate::dicom::elements::{DataSet, integer, numbers};

/// Smallest length of a direction, and largest deviation from a right angle, that rounding explains.
const DIRECTION_TOLERANCE: f64 = 1e-2;
/// Smallest cosine between stack and long axis of the body, that of 2 degrees. Prepared slices are level; a source slice
/// that leans more would show, at its edges, another place than the evidence that is drawn on it.
pub(super) const AXIAL_COSINE: f64 = 0.999_390_8;

/// The pixel grid that all images of a stack share.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImageGrid {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Distance of columns, then of rows, in millimetres (Pixel Spacing has them the other way round).
    pub(super) spacing: [f64; 2],
    /// Unit vectors along which column and row indices grow.
    pub(super) directions: [[f64; 3]; 2],
}

impl ImageGrid {
    /// Grid and position of an image; the error names the attribute that is missing or not valid, with its value.
    pub(super) fn read(header: &DataSet) -> Result<(Self, [f64; 3]), String> {
        let count = |tag: Tag, name: &str| {
            let count = integer(header, tag).and_then(|value| usize::try_from(value).ok()).filter(|value| *value > 0);
            count.ok_or_else(|| unusable(header, tag, name))
        };
        let rows = count(tags::ROWS, "Rows")?;
        let columns = count(tags::COLUMNS, "Columns")?;
        let spacing = values::<2>(header, tags::PIXEL_SPACING)
            .filter(|values| values.iter().all(|value| (0.01..100.0).contains(value)))
            .ok_or_else(|| unusable(header, tags::PIXEL_SPACING, "Pixel Spacing"))?;
        let directions = values::<6>(header, tags::IMAGE_ORIENTATION_PATIENT)
            .and_then(unit_vectors)
            .ok_or_else(|| unusable(header, tags::IMAGE_ORIENTATION_PATIENT, "Image Orientation (Patient)"))?;
        let position = values::<3>(header, tags::IMAGE_POSITION_PATIENT)
            .ok_or_else(|| unusable(header, tags::IMAGE_POSITION_PATIENT, "Image Position (Patient)"))?;
        Ok((Self { rows, columns, spacing: [spacing[1], spacing[0]], directions }, position))
    }

    /// True if `other` differs by no more than rounding of its decimal strings.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64, tolerance: f64| (a - b).abs() <= tolerance;
        self.rows == other.rows
            && self.columns == other.columns
            && (0..2).all(|axis| near(self.spacing[axis], other.spacing[axis], 1e-3 * self.spacing[axis]))
            && (0..2).all(|axis| (0..3).all(|i| near(self.directions[axis][i], other.directions[axis][i], 1e-3)))
    }

    /// Unit normal of the image plane with a positive component towards the head.
    pub(super) fn normal_towards_head(&self) -> [f64; 3] {
        let normal = cross(self.directions[0], self.directions[1]);
        if normal[2] < 0.0 { normal.map(|component| -component) } else { normal }
    }

    pub(super) fn is_axial(&self) -> bool {
        self.normal_towards_head()[2] >= AXIAL_COSINE
    }

    /// The angle between stack and long axis of the body in degrees.
    pub(super) fn lean(&self) -> f64 {
        self.normal_towards_head()[2].clamp(0.0, 1.0).acos().to_degrees()
    }

    /// The plane by the axis of the body that its normal is nearest to.
    pub(super) fn plane_name(&self) -> &'static str {
        let [left, back, head] = self.normal_towards_head().map(f64::abs);
        if head >= left.max(back) {
            "axial"
        } else if back >= left {
            "coronal"
        } else {
            "sagittal"
        }
    }
}

fn values<const N: usize>(header: &DataSet, tag: Tag) -> Option<[f64; N]> {
    numbers(header, tag)?.try_into().ok()
}

/// The two unit vectors of an orientation; `None` if they are not perpendicular unit vectors within rounding.
fn unit_vectors(orientation: [f64; 6]) -> Option<[[f64; 3]; 2]> {
    let [a, b, c, d, e, f] = orientation;
    let (along_row, along_column) = ([a, b, c], [d, e, f]);
    let lengths = [norm(along_row), norm(along_column)];
    let is_unit = lengths.iter().all(|length| (length - 1.0).abs() < DIRECTION_TOLERANCE);
    let perpendicular = dot(along_row, along_column).abs() < DIRECTION_TOLERANCE;
    if !is_unit || !perpendicular {
        return None;
    }
    let along_row = along_row.map(|component| component / lengths[0]);
    // Made exactly perpendicular, so that grid positions go to the patient and back without loss.
    let lean = dot(along_row, along_column);
    let upright: [f64; 3] = std::array::from_fn(|i| along_column[i] - lean * along_row[i]);
    let length = norm(upright);
    Some([along_row, upright.map(|component| component / length)])
}
