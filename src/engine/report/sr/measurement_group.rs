//! Measurement groups: [TID 1501](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_TID_1501.html),
//! regions by [TID 1410](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_TID_1410.html) and, by
//! setting, segments by TID 1411.

use super::super::header::{Header, Reference};
use super::content::{ContentItem, Relationship};
use crate::dicom::concept::{dcm, sct, ucum};
use crate::dicom::{Concept, Uid};
use crate::engine::analyse::findings::{AnalysedField, Probability};
use crate::engine::report::ResultKind;
use crate::engine::volume::{Geometry, VoxelPoint};

use Relationship::{Contains, HasConceptModifier, HasObservationContext, InferredFrom};

/// A place on one image of the source.
pub(super) struct Place {
    form: Form,
    /// The image.
    pub(super) image: Reference,
}

/// Points are (column, row) in pixels from the corner of the image: voxel centres lie at halves (PS3.3 C.10.5.1.2).
enum Form {
    Point([f32; 2]),
    Line([[f32; 2]; 2]),
    Outline(Vec<[f32; 2]>),
}

impl Place {
    /// The place of a voxel, on the image of `slice`.
    pub(super) fn new(header: &Header, geometry: &Geometry, point: VoxelPoint, slice: usize) -> Self {
        Self { form: Form::Point(on_image(geometry, [point.column, point.row])), image: header.source(slice) }
    }

    /// The field that the classifier read, as an outline on one image.
    pub(super) fn field(header: &Header, geometry: &Geometry, field: &AnalysedField) -> Self {
        let corners = field.corners.map(|corner| on_image(geometry, corner));
        Self { form: Form::Outline(corners.to_vec()), image: header.source(field.slice) }
    }

    /// A line across the left half of the field that the classifier read, on the image of `slice`. Viewers write what is
    /// said at its right end, in the middle of the image. It lies in the half of the field that does not show `apart_from`,
    /// beside which they write as well, and clear of the edges, where they have tools.
    pub(super) fn across(
        header: &Header,
        geometry: &Geometry,
        field: &AnalysedField,
        slice: usize,
        apart_from: VoxelPoint,
    ) -> Self {
        let ends = |axis: usize| {
            let values = field.corners.map(|corner| corner[axis]);
            values
                .into_iter()
                .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)])
        };
        let ([left, right], [top, bottom]) = (ends(0), ends(1));
        let share = if apart_from.row < f64::midpoint(top, bottom) { 0.75 } else { 0.25 };
        let row = top + share * (bottom - top);
        let line = [[left, row], [f64::midpoint(left, right), row]].map(|end| on_image(geometry, end));
        Self { form: Form::Line(line), image: header.source(slice) }
    }

    fn item(&self) -> ContentItem {
        match &self.form {
            Form::Point(at) => ContentItem::point(None, *at, &self.image),
            Form::Line(ends) => ContentItem::line(None, *ends, &self.image),
            Form::Outline(vertices) => ContentItem::outline(None, vertices, &self.image),
        }
    }
}

/// A position on the grid as coordinates on the image, kept within it.
pub(crate) fn on_image(geometry: &Geometry, [column, row]: [f64; 2]) -> [f32; 2] {
    let within = |value: f64, size: usize| (value + 0.5).clamp(0.0, size as f64) as f32;
    [within(column, geometry.size[0]), within(row, geometry.size[1])]
}

/// Slices for groups that want to be shown on `wanted`, each the nearest one that no other group has: viewers write the
/// value of a group beside its place, and what lies on one slice lies one on the other.
pub(super) fn apart<const N: usize>(wanted: [usize; N], mut taken: Vec<usize>, slices: usize) -> [usize; N] {
    wanted.map(|wanted| {
        let free = (0..slices).filter(|slice| !taken.contains(slice));
        let slice = free.min_by_key(|slice| slice.abs_diff(wanted)).unwrap_or(wanted);
        taken.push(slice);
        slice
    })
}

/// An empty group with its tracking identifiers: `label` for people, and an identifier derived from `key`.
pub(super) fn group(header: &Header, template: &str, label: &str, key: &str) -> ContentItem {
    let tracking: Uid = header.derived_uid(ResultKind::Sr, &format!("tracking {key}"));
    ContentItem::container(&dcm::MEASUREMENT_GROUP, Some(template))
        .child(HasObservationContext, ContentItem::text(&dcm::TRACKING_IDENTIFIER, label))
        .child(HasObservationContext, ContentItem::uid(&dcm::TRACKING_UNIQUE_IDENTIFIER, &tracking))
}

/// A finding site, with the side if it has one. Always a modifier, never contained.
pub(super) fn finding_site(site: &Concept, side: Option<&Concept>) -> ContentItem {
    ContentItem::code(&sct::FINDING_SITE, site)
        .children(HasConceptModifier, side.map(|side| ContentItem::code(&sct::LATERALITY, side)))
}

/// A probability in percent.
pub(super) fn probability(value: Probability) -> ContentItem {
    ContentItem::number(&dcm::PROBABILITY, value.percent(), &ucum::PERCENT)
}

impl ContentItem {
    /// Says what a group is about. Viewers draw the comment and the value at the place of the group, and nothing else.
    pub(super) fn named_on_image(self, label: &str) -> Self {
        self.child(Contains, ContentItem::text(&dcm::COMMENT, label))
    }

    /// Names the place on an image that a number rests on.
    pub(super) fn inferred_from(self, place: &Place) -> Self {
        self.child(InferredFrom, place.item())
    }

    /// Names the images that a group was measured on.
    pub(super) fn measured_on(self, images: &[Reference]) -> Self {
        self.children(Contains, images.iter().map(|image| ContentItem::image(Some(&dcm::SOURCE_OF_MEASUREMENT), image)))
    }
}
