//! Content items
//! ([PS3.3 C.17.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.17.3.html)): each value type
//! has its constructor, so that no item lacks what its type demands.

use dicom_dictionary_std::tags;

use super::super::element::{Compose, coded, decimal, empty, floats};
use super::super::header::Reference;
use crate::dicom::concept::dcm;
use crate::dicom::elements::DataSet;
use crate::dicom::{Concept, Uid};

/// How a content item belongs to the one above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relationship {
    /// CONTAINS
    Contains,
    /// HAS OBS CONTEXT
    HasObservationContext,
    /// HAS ACQ CONTEXT
    HasAcquisitionContext,
    /// HAS CONCEPT MOD
    HasConceptModifier,
    /// INFERRED FROM
    InferredFrom,
    /// SELECTED FROM
    SelectedFrom,
}

impl Relationship {
    fn text(self) -> &'static str {
        match self {
            Self::Contains => "CONTAINS",
            Self::HasObservationContext => "HAS OBS CONTEXT",
            Self::HasAcquisitionContext => "HAS ACQ CONTEXT",
            Self::HasConceptModifier => "HAS CONCEPT MOD",
            Self::InferredFrom => "INFERRED FROM",
            Self::SelectedFrom => "SELECTED FROM",
        }
    }
}

/// A content item with all below it.
#[derive(Debug, Clone)]
pub(crate) struct ContentItem {
    attributes: DataSet,
    children: Vec<DataSet>,
}

impl ContentItem {
    /// CONTAINER with separate items, made from a template of PS3.16 if one is given.
    pub(crate) fn container(name: &Concept, template: Option<&str>) -> Self {
        let item = Self::named("CONTAINER", name).attribute(tags::CONTINUITY_OF_CONTENT, "SEPARATE");
        let Some(template) = template else { return item };
        let identification =
            empty().with(tags::MAPPING_RESOURCE, "DCMR").with(tags::TEMPLATE_IDENTIFIER, template.to_owned());
        item.sequence(tags::CONTENT_TEMPLATE_SEQUENCE, identification)
    }

    /// CODE
    pub(crate) fn code(name: &Concept, value: &Concept) -> Self {
        Self::named("CODE", name).sequence(tags::CONCEPT_CODE_SEQUENCE, coded(value))
    }

    /// TEXT
    pub(crate) fn text(name: &Concept, value: &str) -> Self {
        Self::named("TEXT", name).attribute(tags::TEXT_VALUE, value)
    }

    /// UIDREF
    pub(crate) fn uid(name: &Concept, value: &Uid) -> Self {
        Self::named("UIDREF", name).attribute(tags::UID, value.as_str())
    }

    /// DATE, from a DA value
    pub(crate) fn date(name: &Concept, value: &str) -> Self {
        Self::named("DATE", name).attribute(tags::DATE, value)
    }

    /// TIME, from a TM value
    pub(crate) fn time(name: &Concept, value: &str) -> Self {
        Self::named("TIME", name).attribute(tags::TIME, value)
    }

    /// NUM with its unit
    pub(crate) fn number(name: &Concept, value: f64, unit: &Concept) -> Self {
        let measured =
            empty().with(tags::NUMERIC_VALUE, decimal(value)).with_concept(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, unit);
        Self::named("NUM", name).sequence(tags::MEASURED_VALUE_SEQUENCE, measured)
    }

    /// IMAGE
    pub(crate) fn image(name: Option<&Concept>, image: &Reference) -> Self {
        let item = match name {
            Some(name) => Self::named("IMAGE", name),
            None => Self::of_type("IMAGE"),
        };
        item.sequence(tags::REFERENCED_SOP_SEQUENCE, image.item())
    }

    /// COMPOSITE, without a name: an object that is no image
    pub(crate) fn composite(object: &Reference) -> Self {
        Self::of_type("COMPOSITE").sequence(tags::REFERENCED_SOP_SEQUENCE, object.item())
    }

    /// IMAGE: one segment of a segmentation
    pub(crate) fn segment(segmentation: &Reference, number: u16) -> Self {
        let reference = segmentation.item().with(tags::REFERENCED_SEGMENT_NUMBER, number);
        Self::named("IMAGE", &dcm::REFERENCED_SEGMENT).sequence(tags::REFERENCED_SOP_SEQUENCE, reference)
    }

    /// SCOORD of one point on an image: (column, row) in pixels from the corner of the image.
    pub(crate) fn point(name: Option<&Concept>, place: [f32; 2], image: &Reference) -> Self {
        Self::spatial_coordinates(name, "POINT", place.to_vec(), image)
    }

    /// SCOORD of a closed outline on an image: (column, row) in pixels from the corner of the image; the first vertex
    /// is repeated at the end, as C.18.6.1.2 requires for closed polylines.
    pub(crate) fn outline(name: Option<&Concept>, vertices: &[[f32; 2]], image: &Reference) -> Self {
        let closed = vertices.iter().chain(vertices.first()).flatten().copied().collect();
        Self::spatial_coordinates(name, "POLYLINE", closed, image)
    }

    /// SCOORD of a straight line on an image, from one (column, row) to another.
    pub(crate) fn line(name: Option<&Concept>, ends: [[f32; 2]; 2], image: &Reference) -> Self {
        Self::spatial_coordinates(name, "POLYLINE", ends.concat(), image)
    }

    fn spatial_coordinates(name: Option<&Concept>, form: &str, places: Vec<f32>, image: &Reference) -> Self {
        let item = match name {
            Some(name) => Self::named("SCOORD", name),
            None => Self::of_type("SCOORD"),
        };
        let mut item = item.attribute(tags::GRAPHIC_TYPE, form);
        item.attributes = item.attributes.with(tags::GRAPHIC_DATA, floats(places));
        item.child(Relationship::SelectedFrom, Self::image(None, image))
    }

    /// Puts an item below this one.
    pub(crate) fn child(mut self, relationship: Relationship, child: Self) -> Self {
        self.push(relationship, child);
        self
    }

    /// Puts several items below this one, all related in the same way.
    pub(crate) fn children(mut self, relationship: Relationship, children: impl IntoIterator<Item = Self>) -> Self {
        for child in children {
            self.push(relationship, child);
        }
        self
    }

    fn push(&mut self, relationship: Relationship, child: Self) {
        self.children.push(child.into_data_set().with(tags::RELATIONSHIP_TYPE, relationship.text()));
    }

    /// The item as attributes of a data set.
    pub(crate) fn into_data_set(self) -> DataSet {
        if self.children.is_empty() {
            return self.attributes;
        }
        self.attributes.with_items(tags::CONTENT_SEQUENCE, self.children)
    }

    fn of_type(value_type: &str) -> Self {
        Self { attributes: empty().with(tags::VALUE_TYPE, value_type), children: Vec::new() }
    }

    fn named(value_type: &str, name: &Concept) -> Self {
        Self::of_type(value_type).sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, coded(name))
    }

    fn attribute(mut self, tag: dicom_object::Tag, value: impl Into<String>) -> Self {
        self.attributes = self.attributes.with(tag, value.into());
        self
    }

    fn sequence(mut self, tag: dicom_object::Tag, item: DataSet) -> Self {
        self.attributes = self.attributes.with_items(tag, vec![item]);
        self
    }
}
