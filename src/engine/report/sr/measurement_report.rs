//! The content tree:
//! [TID 1500](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_TID_1500.html).

use dicom_dictionary_std::tags;

use super::super::header::{Header, ObjectIdentity, Reference};
use super::super::{Context, statements};
use super::content::{ContentItem, Relationship};
use super::measurement_group::{Place, apart, finding_site, group, on_image, probability};
use super::{algorithm, device_observer, image_library, language};
use crate::dicom::Concept;
use crate::dicom::concept::{dcm, own, sct, ucum, umls};
use crate::dicom::elements;
use crate::engine::analyse::enhancement::Vessel;
use crate::engine::analyse::findings::{Decision, Findings, KeySlice, Lung, TargetFinding};
use crate::engine::models::target::Target;
use crate::engine::volume::Reason;

use Relationship::{Contains, HasConceptModifier, HasObservationContext};

/// The root of the report with all below it.
pub(super) fn content(context: &Context, header: &Header, segmentation: Option<&ObjectIdentity>) -> ContentItem {
    ContentItem::container(&dcm::IMAGING_MEASUREMENT_REPORT, Some("1500"))
        .child(HasConceptModifier, language())
        .children(HasObservationContext, device_observer(header))
        .child(HasConceptModifier, ContentItem::code(&dcm::PROCEDURE_REPORTED, &procedure(context)))
        .child(Contains, image_library::content(context, header, segmentation))
        .child(Contains, Groups { context, header }.content(segmentation))
        .children(Contains, evaluations(context))
}

/// Statements that must accompany the numbers, and results without a place on an image. They are kept out of the
/// measurement groups: viewers draw the comment of a group over the image, where only its name has room, and show
/// nothing of a report that has a group without coordinates.
fn evaluations(context: &Context) -> Option<ContentItem> {
    let findings = context.findings;
    let comments = statements::all(context).into_iter().map(|text| ContentItem::text(&dcm::COMMENT, &text));
    let deviation =
        statements::standard_deviation(findings).map(|text| ContentItem::text(&sct::STANDARD_DEVIATION, &text));
    let quality = findings.warnings.iter().map(|warning| quality_finding(warning.reason));
    let targets = findings.targets.iter().filter_map(target);
    let items: Vec<ContentItem> = comments.chain(quality).chain(deviation).chain(targets).collect();
    let container = ContentItem::container(&umls::QUALITATIVE_EVALUATIONS, None);
    (!items.is_empty()).then(|| container.children(Contains, items))
}

/// What is wrong with the images, as a code of this program. The values stand in a comment.
fn quality_finding(reason: Reason) -> ContentItem {
    let value = Concept { value: reason.code().into(), scheme: own::SCHEME.into(), meaning: reason.meaning().into() };
    ContentItem::code(&dcm::QUALITY_FINDING, &value)
}

/// A further target that has a code: its probability, named by the concept. It is not a finding, since there is no
/// decision on it. Central embolism, the ratio of the ventricles and acute on chronic embolism have no code that is
/// widely used; only the API and the tables give them.
fn target(finding: &TargetFinding) -> Option<ContentItem> {
    let (concept, side) = match finding.target {
        Target::LeftSidedPe => (&sct::PULMONARY_EMBOLISM, Some(&sct::LEFT)),
        Target::RightSidedPe => (&sct::PULMONARY_EMBOLISM, Some(&sct::RIGHT)),
        Target::ChronicPe => (&sct::CHRONIC_PULMONARY_EMBOLISM, None),
        _ => return None,
    };
    let text = format!("{}: probability {}", finding.target.meaning(), statements::target(finding));
    let side = side.map(|side| ContentItem::code(&sct::LATERALITY, side));
    Some(ContentItem::text(concept, &text).children(HasConceptModifier, side))
}

/// The imaging procedure as the study names it, or as configured; never the algorithm.
fn procedure(context: &Context) -> Concept {
    let item = elements::items(&context.volume.header, tags::PROCEDURE_CODE_SEQUENCE).first();
    let coded = item.and_then(|item| {
        Some(Concept {
            value: elements::text(item, tags::CODE_VALUE)?.into(),
            scheme: elements::text(item, tags::CODING_SCHEME_DESIGNATOR)?.into(),
            meaning: elements::text(item, tags::CODE_MEANING)?.into(),
        })
    });
    coded.unwrap_or_else(|| context.settings.procedure.clone())
}

/// Builds the measurement groups.
struct Groups<'a> {
    context: &'a Context<'a>,
    header: &'a Header<'a>,
}

impl Groups<'_> {
    fn content(&self, segmentation: Option<&ObjectIdentity>) -> ContentItem {
        let classifier = algorithm::classifier(self.context);
        let key_slices = self.context.key_slices();
        let slices = key_slices.iter().enumerate().map(|(index, slice)| self.key_slice(index + 1, slice, &classifier));
        let regions =
            key_slices.iter().enumerate().flat_map(|(index, slice)| self.regions(index + 1, slice, &classifier));
        let (lungs, vessels) = self.places();
        ContentItem::container(&dcm::IMAGING_MEASUREMENTS, None)
            .child(Contains, self.exam(&classifier))
            .children(Contains, slices)
            .children(Contains, self.lungs(lungs, segmentation))
            .children(Contains, self.enhancement(vessels))
            // Last: viewers step through the groups in this order, and these say nothing.
            .children(Contains, regions)
    }

    /// Where lungs (left, right) and vessels (trunk, aorta) are shown: in their middle, on a slice of their own.
    fn places(&self) -> ([Option<Place>; 2], [Option<Place>; 2]) {
        let Findings { lungs, enhancement, field, .. } = self.context.findings;
        let last = self.context.volume.slices.len() - 1;
        let key_slices = self.context.key_slices().iter().map(|key| key.slice);
        let taken: Vec<usize> = key_slices.chain([field.slice]).collect();
        let points = [
            lungs.left.as_ref().map(|lung| lung.centre),
            lungs.right.as_ref().map(|lung| lung.centre),
            enhancement.trunk.map(|vessel| vessel.place),
            enhancement.aorta.map(|vessel| vessel.place),
        ];
        let wanted = points.map(|point| (point.map_or(0.0, |point| point.slice.round().max(0.0)) as usize).min(last));
        let slices = apart(wanted, taken, last + 1);
        let geometry = &self.context.volume.geometry;
        let place = |index: usize| Some(Place::new(self.header, geometry, points[index]?, slices[index]));
        ([place(0), place(1)], [place(2), place(3)])
    }

    /// The result of the exam, shown across the analysed field on the first key slice or, without one, around that field.
    /// The finding is named only when embolism is present: readers that overlook the decision take a named finding for a present
    /// one.
    fn exam(&self, algorithm: &[ContentItem]) -> ContentItem {
        let findings = self.context.findings;
        let key_slices = self.context.key_slices();
        let field = &findings.field;
        let geometry = &self.context.volume.geometry;
        let place = key_slices.first().map_or_else(
            || Place::field(self.header, geometry, field),
            |key_slice| Place::across(self.header, geometry, field, key_slice.slice, key_slice.peak),
        );
        let images: Vec<Reference> = match key_slices {
            [] => vec![self.header.source(field.slice)],
            key_slices => key_slices.iter().map(|key| self.header.source(key.slice)).collect(),
        };
        let decision = match findings.decision {
            Decision::Present => sct::PRESENT,
            Decision::Absent => sct::ABSENT,
            Decision::Undetermined => sct::UNDETERMINED,
        };
        let present = findings.decision == Decision::Present;
        let finding = present.then(|| ContentItem::code(&dcm::FINDING, &sct::PULMONARY_EMBOLISM));
        group(self.header, "1501", "Exam: pulmonary embolism", "exam")
            .child(Contains, ContentItem::code(&sct::FINDING_CATEGORY, &sct::MORPHOLOGICALLY_ABNORMAL))
            .children(Contains, finding)
            .child(HasConceptModifier, finding_site(&sct::PULMONARY_ARTERY, None))
            .with_algorithm(algorithm)
            .named_on_image(&format!("Exam: embolism {}", findings.decision))
            .child(Contains, probability(findings.probability).inferred_from(&place))
            .child(Contains, ContentItem::code(&sct::PULMONARY_EMBOLISM, &decision))
            .measured_on(&images)
    }

    /// One slice of great evidence, with the calibrated probability of the slice, at the greatest evidence.
    fn key_slice(&self, number: usize, key_slice: &KeySlice, algorithm: &[ContentItem]) -> ContentItem {
        let place = Place::new(self.header, &self.context.volume.geometry, key_slice.peak, key_slice.slice);
        let label = format!("Key slice {number}");
        group(self.header, "1501", &label, &format!("key slice {number}"))
            .with_algorithm(algorithm)
            .named_on_image(&label)
            .child(Contains, probability(key_slice.probability).inferred_from(&place))
            .measured_on(&[place.image])
    }

    /// The regions of high evidence on one key slice. They have no value of their own.
    fn regions(&self, number: usize, key_slice: &KeySlice, algorithm: &[ContentItem]) -> Vec<ContentItem> {
        let geometry = &self.context.volume.geometry;
        let image = self.header.source(key_slice.slice);
        let outlines = key_slice.outlines.iter().filter(|outline| outline.len() >= 3).enumerate();
        let region = |(index, outline): (usize, &Vec<[f64; 2]>)| {
            let vertices: Vec<[f32; 2]> = outline.iter().map(|point| on_image(geometry, *point)).collect();
            let label = format!("Key slice {number}, region {}", index + 1);
            group(self.header, "1410", &label, &format!("key slice {number} region {index}"))
                .child(Contains, ContentItem::outline(Some(&dcm::IMAGE_REGION), &vertices, &image))
                .with_algorithm(algorithm)
        };
        outlines.map(region).collect()
    }

    /// Left and right lung, by coordinates and, by setting, again by segment.
    fn lungs(&self, places: [Option<Place>; 2], segmentation: Option<&ObjectIdentity>) -> Vec<ContentItem> {
        let lungs = &self.context.findings.lungs;
        let algorithm = algorithm::lung_segmentation(self.context);
        let sides = [(&lungs.left, &sct::LEFT, "Left lung"), (&lungs.right, &sct::RIGHT, "Right lung")];
        let found: Vec<_> = (sides.into_iter().zip(&places))
            .filter_map(|((lung, side, label), place)| Some((lung.as_ref()?, place.as_ref()?, side, label)))
            .collect();
        let coordinates = found.iter().map(|(lung, place, side, label)| {
            self.lung_group("1501", label, label, side, &algorithm)
                .named_on_image(label)
                .child(Contains, volume(lung).inferred_from(place))
        });
        let segments = segmentation.filter(|_| self.context.settings.segment_groups).into_iter().flat_map(|identity| {
            let numbered = (1_u16..).zip(&found);
            numbered
                .map(|(number, (lung, _, side, label))| self.segment(identity, number, lung, side, label, &algorithm))
        });
        coordinates.chain(segments).collect()
    }

    /// How bright contrast agent makes the great vessels, as far as they were measured: the quality of the exam.
    fn enhancement(&self, [of_trunk, of_aorta]: [Option<Place>; 2]) -> Vec<ContentItem> {
        let enhancement = &self.context.findings.enhancement;
        let ratio = enhancement
            .ratio()
            .map(|ratio| ContentItem::number(&own::TRUNK_TO_AORTA, (ratio * 100.0).round() / 100.0, &ucum::RATIO));
        let trunk = enhancement.trunk.zip(of_trunk).map(|(trunk, place)| {
            self.vessel(&trunk, &place, &sct::PULMONARY_TRUNK, "pulmonary trunk").children(Contains, ratio)
        });
        let aorta = enhancement
            .aorta
            .zip(of_aorta)
            .map(|(aorta, place)| self.vessel(&aorta, &place, &sct::THORACIC_AORTA, "aorta"));
        trunk.into_iter().chain(aorta).collect()
    }

    fn vessel(&self, vessel: &Vessel, place: &Place, site: &Concept, name: &str) -> ContentItem {
        let hounsfield = ContentItem::number(&dcm::MEDIAN_ATTENUATION, vessel.hounsfield.round(), &ucum::HOUNSFIELD);
        let label = format!("Enhancement: {name}");
        group(self.header, "1501", &label, &label)
            .child(Contains, ContentItem::code(&sct::FINDING_CATEGORY, &sct::ANATOMICAL_STRUCTURE))
            .child(Contains, ContentItem::code(&dcm::FINDING, site))
            .child(HasConceptModifier, finding_site(site, None))
            .named_on_image(&label)
            .child(Contains, hounsfield.inferred_from(place))
    }

    /// [TID 1411](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_TID_1411.html)
    fn segment(
        &self,
        segmentation: &ObjectIdentity,
        number: u16,
        lung: &Lung,
        side: &Concept,
        label: &str,
        algorithm: &[ContentItem],
    ) -> ContentItem {
        let segment = ContentItem::segment(&segmentation.reference, number);
        let series = ContentItem::uid(&dcm::SOURCE_SERIES, &self.header.source_series);
        self.lung_group("1411", &format!("{label} (segment)"), &format!("{label} segment"), side, algorithm)
            .child(Contains, segment)
            .child(Contains, series)
            .child(Contains, volume(lung))
    }

    fn lung_group(
        &self,
        template: &str,
        label: &str,
        key: &str,
        side: &Concept,
        algorithm: &[ContentItem],
    ) -> ContentItem {
        group(self.header, template, label, key)
            .child(Contains, ContentItem::code(&sct::FINDING_CATEGORY, &sct::ANATOMICAL_STRUCTURE))
            .child(Contains, ContentItem::code(&dcm::FINDING, &sct::LUNG))
            .child(HasConceptModifier, finding_site(&sct::LUNG, Some(side)))
            .with_algorithm(algorithm)
    }
}

/// A lung's volume in millilitres, rounded to hundredths as everywhere.
fn volume(lung: &Lung) -> ContentItem {
    ContentItem::number(&sct::VOLUME, (lung.millilitres * 100.0).round() / 100.0, &ucum::MILLILITRE)
}
