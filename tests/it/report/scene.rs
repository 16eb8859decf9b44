//! A small made-up exam: a body with asymmetric lungs and contrast in the vessels, one embolus on the right, and the
//! findings that an analysis would give. Everything is a function of the place in the patient, so the same patient can
//! be imaged in any orientation.

use std::collections::BTreeMap;
use std::path::Path;

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject, Tag};
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use ndarray::{Array3, Axis};
use pe_node::config::{Config, ReportConfig};
use pe_node::dicom::bounded::{self, Limits};
use pe_node::dicom::{EnhancedCt, FrameNumber, SourceImage, Uid};
use pe_node::engine::analyse::enhancement::{Enhancement, Vessel};
use pe_node::engine::analyse::findings::{
    AnalysedField, Completeness, Decision, Evidence, EvidenceMap, Findings, KeySlice, Lung, Lungs, ModelIdentity,
    Probability, Provider, SliceFinding, TargetFinding,
};
use pe_node::engine::models::lineup::Packages;
use pe_node::engine::models::manifest::Manifest;
use pe_node::engine::models::target::Target;
use pe_node::engine::report::Context;
use pe_node::engine::volume::{
    Geometry, LEFT_LUNG, LeftOut, LeftOutKind, LungMask, PatientPoint, RIGHT_LUNG, Reason, Rejection, SourceSlice,
    Volume, VoxelPoint,
};

/// The embolus: where evidence is greatest.
const EMBOLUS: [f64; 3] = [-52.0, 12.0, -20.0];

/// What differs from one test to the next.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Setup {
    /// Directions of rows and columns in the patient.
    pub(super) orientation: [[f64; 3]; 2],
    /// Columns, rows, slices.
    pub(super) size: [usize; 3],
    pub(super) decision: Decision,
    pub(super) probability: f64,
    pub(super) intended_use: &'static str,
    pub(super) synthetic: bool,
    pub(super) reasons: Vec<Reason>,
    pub(super) character_set: Option<&'static str>,
    pub(super) patient_name: &'static str,
    /// Study Date and Study Time as the scanner writes them.
    pub(super) study: [&'static str; 2],
    /// The images were compressed with loss, 12.5 to 1.
    pub(super) lossy: bool,
    pub(super) left_lung: bool,
    pub(super) classifier: Classifier,
    /// The slices are frames of two parts of an enhanced CT, the highest slice first.
    pub(super) enhanced: bool,
}

/// What kind of classifier gave the findings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Classifier {
    /// One network that looks at slices and knows of embolism alone.
    Slices,
    /// Several, with further targets.
    Ensemble,
    /// Several, with further targets, that look at exams as a whole.
    Exam,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            orientation: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            size: [192, 150, 37],
            decision: Decision::Present,
            probability: 0.8731,
            intended_use: "demonstration",
            synthetic: true,
            reasons: Vec::new(),
            character_set: Some("ISO_IR 100"),
            patient_name: "M\u{fc}ller^J\u{f6}rg",
            study: ["20260301", "101112"],
            lossy: false,
            left_lung: true,
            classifier: Classifier::Slices,
            enhanced: false,
        }
    }
}

/// The highest slices are the frames of the first part.
fn image(setup: &Setup, slice: usize) -> SourceImage {
    const FIRST_PART: usize = 20;
    if !setup.enhanced {
        return SourceImage::object(Uid::derived(["scene", "slice", &slice.to_string()]));
    }
    let from_top = setup.size[2] - 1 - slice;
    let (part, index) = if from_top < FIRST_PART { ("1", from_top) } else { ("2", from_top - FIRST_PART) };
    let number = FrameNumber::of_index(index).expect("a number");
    SourceImage::frame_of(EnhancedCt::Enhanced, Uid::derived(["scene", "part", part]), number)
}

/// The exam with all that reports are made from.
pub(super) struct Scene {
    pub(super) volume: Volume,
    pub(super) lungs: LungMask,
    pub(super) findings: Findings,
    pub(super) settings: ReportConfig,
    /// The header of the volume as the scanner writes it.
    sent: InMemDicomObject,
    time: jiff::ZonedDateTime,
}

impl Scene {
    pub(super) fn new(setup: &Setup) -> Self {
        let geometry = geometry(setup);
        let [columns, rows, slices] = geometry.size;
        let at = |slice: usize, row: usize, column: usize| {
            let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
            geometry.to_patient(point)
        };
        let hounsfield = Array3::from_shape_fn((slices, rows, columns), |(s, r, c)| hounsfield(at(s, r, c)));
        let lungs = Array3::from_shape_fn((slices, rows, columns), |(s, r, c)| match lung(at(s, r, c)) {
            LEFT_LUNG if !setup.left_lung => 0,
            label => label,
        });
        let source = (0..slices).map(|slice| SourceSlice {
            image: image(setup, slice),
            instance_number: Some(if setup.enhanced { 1 } else { (slices - slice) as i64 }),
            thickness_mm: Some(6.0),
            converted_from: None,
            position: at(slice, 0, 0),
        });
        let sent = header(setup, &geometry);
        let volume = Volume::new(geometry.clone(), hounsfield, source.collect(), received(&sent));
        let findings = findings(setup, &geometry, &lungs);
        let settings = Config::load(None, std::iter::empty(), &[]).expect("defaults").report;
        let time = "2026-03-01T11:22:33+01:00[+01:00]".parse().expect("time");
        Self { volume, lungs: LungMask(lungs), findings, settings, sent, time }
    }

    pub(super) fn context(&self) -> Context<'_> {
        Context {
            volume: &self.volume,
            lungs: &self.lungs,
            findings: &self.findings,
            settings: &self.settings,
            instance_set_digest: "5ce9e",
            version: 1,
            issue: 0,
            predecessor: None,
            time: &self.time,
            software_version: "0.1.0",
        }
    }

    /// Writes the source images, one file an object.
    pub(super) fn write_source(&self, folder: &Path) {
        let mut objects: BTreeMap<&Uid, Vec<usize>> = BTreeMap::new();
        for (index, slice) in self.volume.slices.iter().enumerate() {
            objects.entry(slice.image.sop_instance_uid()).or_default().push(index);
        }
        for (number, mut slices) in objects.into_values().enumerate() {
            slices.sort_by_key(|slice| self.volume.slices[*slice].image.frame());
            let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
            let file = self.source_object(&slices).with_meta(meta).expect("file meta information");
            file.write_to_file(folder.join(format!("{number:04}.dcm"))).expect("write");
        }
    }

    /// An object of one image, or of one frame for each of the slices.
    fn source_object(&self, slices: &[usize]) -> InMemDicomObject {
        let first = &self.volume.slices[slices[0]];
        let mut object = self.sent.clone();
        put(&mut object, tags::SOP_CLASS_UID, VR::UI, first.image.sop_class_uid());
        put(&mut object, tags::SOP_INSTANCE_UID, VR::UI, first.image.sop_instance_uid().as_str());
        put(&mut object, tags::INSTANCE_NUMBER, VR::IS, first.instance_number.unwrap_or(0).to_string());
        let image =
            |slice: &usize| self.volume.hounsfield.index_axis(Axis(0), *slice).iter().copied().collect::<Vec<i16>>();
        let pixels: Vec<i16> = slices.iter().flat_map(image).collect();
        put(&mut object, tags::PIXEL_DATA, VR::OW, PrimitiveValue::I16(pixels.into()));
        let position = |slice: &usize| joined(self.volume.slices[*slice].position.0);
        if first.image.frame().is_none() {
            put(&mut object, tags::IMAGE_POSITION_PATIENT, VR::DS, position(&slices[0]));
            return object;
        }
        put(&mut object, tags::NUMBER_OF_FRAMES, VR::IS, slices.len().to_string());
        let mut moved = |tag| object.take_element(tag).expect("an attribute of the header");
        let shared = InMemDicomObject::from_element_iter([
            group(tags::PIXEL_MEASURES_SEQUENCE, moved(tags::PIXEL_SPACING)),
            group(tags::PLANE_ORIENTATION_SEQUENCE, moved(tags::IMAGE_ORIENTATION_PATIENT)),
        ]);
        let frame = |slice: &usize| {
            let position =
                DataElement::new(tags::IMAGE_POSITION_PATIENT, VR::DS, PrimitiveValue::from(position(slice)));
            InMemDicomObject::from_element_iter([group(tags::PLANE_POSITION_SEQUENCE, position)])
        };
        for (sequence, items) in [
            (tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]),
            (tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, slices.iter().map(frame).collect()),
        ] {
            object.put(DataElement::new(sequence, VR::SQ, DataSetSequence::from(items)));
        }
        object
    }
}

/// A functional group of one attribute.
fn group(sequence: Tag, element: InMemElement) -> InMemElement {
    let item = InMemDicomObject::from_element_iter([element]);
    DataElement::new(sequence, VR::SQ, DataSetSequence::from(vec![item]))
}

fn geometry(setup: &Setup) -> Geometry {
    let [row, column] = setup.orientation;
    let spacing = [1.9, 1.9, 6.0];
    let up = [0.0, 0.0, 1.0];
    let directions = [row, column, up];
    let middle = setup.size.map(|size| (size - 1) as f64 / 2.0);
    let origin = std::array::from_fn(|component| {
        -(0..3).map(|axis| middle[axis] * spacing[axis] * directions[axis][component]).sum::<f64>()
    });
    Geometry { size: setup.size, spacing, directions, origin: PatientPoint(origin) }
}

/// Below 1 inside an ellipsoid.
fn ellipsoid(place: PatientPoint, centre: [f64; 3], radius: [f64; 3]) -> f64 {
    (0..3).map(|axis| ((place.0[axis] - centre[axis]) / radius[axis]).powi(2)).sum()
}

/// The right lung (on the patient's right, negative x) is the larger one; the heart takes from the left.
fn lung(place: PatientPoint) -> u8 {
    let heart = ellipsoid(place, [22.0, -22.0, -45.0], [56.0, 48.0, 55.0]) < 1.0;
    if heart {
        0
    } else if ellipsoid(place, [-78.0, 5.0, 0.0], [58.0, 82.0, 108.0]) < 1.0 {
        RIGHT_LUNG
    } else if ellipsoid(place, [80.0, 8.0, 8.0], [47.0, 74.0, 92.0]) < 1.0 {
        LEFT_LUNG
    } else {
        0
    }
}

fn hounsfield(place: PatientPoint) -> i16 {
    let [x, y, z] = place.0;
    let noise = ((x * 12.99 + y * 78.23 + z * 37.7).sin() * 43_758.5).fract() * 24.0;
    let vessel = |from: [f64; 3], to: [f64; 3], radius: f64| distance(place.0, from, to) < radius;
    let tree = vessel([0.0, -18.0, 10.0], [-75.0, 18.0, -28.0], 9.0)
        || vessel([0.0, -18.0, 10.0], [70.0, 20.0, 0.0], 8.0)
        || vessel([-75.0, 18.0, -28.0], [-110.0, 45.0, -50.0], 4.5)
        || vessel([-75.0, 18.0, -28.0], [-95.0, -20.0, -10.0], 4.0)
        || vessel([70.0, 20.0, 0.0], [100.0, 45.0, 20.0], 4.0);
    let value = if ellipsoid(place, EMBOLUS, [9.0, 6.5, 9.0]) < 1.0 {
        55.0
    } else if tree || vessel([0.0, -10.0, -40.0], [0.0, -22.0, 40.0], 15.0) {
        360.0
    } else if vessel([18.0, 55.0, -120.0], [18.0, 55.0, 120.0], 12.0) {
        210.0
    } else if vessel([0.0, 85.0, -130.0], [0.0, 85.0, 130.0], 17.0) {
        380.0
    } else if lung(place) != 0 {
        -860.0
    } else if ellipsoid(place, [0.0, 0.0, 0.0], [162.0, 118.0, 400.0]) < 1.0 {
        if ellipsoid(place, [0.0, 0.0, 0.0], [150.0, 106.0, 400.0]) < 1.0 { 45.0 } else { -95.0 }
    } else {
        return -1024;
    };
    (value + noise) as i16
}

fn distance(point: [f64; 3], from: [f64; 3], to: [f64; 3]) -> f64 {
    let dot = |a: [f64; 3], b: [f64; 3]| (0..3).map(|axis| a[axis] * b[axis]).sum::<f64>();
    let minus = |a: [f64; 3], b: [f64; 3]| -> [f64; 3] { std::array::from_fn(|axis| a[axis] - b[axis]) };
    let (along, offset) = (minus(to, from), minus(point, from));
    let share = (dot(along, offset) / dot(along, along)).clamp(0.0, 1.0);
    let rest: [f64; 3] = std::array::from_fn(|axis| offset[axis] - share * along[axis]);
    dot(rest, rest).sqrt()
}

fn evidence_at(place: PatientPoint) -> f64 {
    let strong = 0.96 * (-ellipsoid(place, EMBOLUS, [14.0, 12.0, 14.0])).exp();
    let weak = 0.35 * (-ellipsoid(place, [62.0, 20.0, 2.0], [12.0, 12.0, 12.0])).exp();
    (strong + weak).min(1.0)
}

/// Cells of 4 mm, 6 mm apart, aligned with the patient.
fn evidence() -> EvidenceMap {
    let geometry = Geometry {
        size: [80, 60, 37],
        spacing: [4.0, 4.0, 6.0],
        directions: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        origin: PatientPoint([-158.0, -118.0, -108.0]),
    };
    let cells = Array3::from_shape_fn((37, 60, 80), |(slice, row, column)| {
        let point = VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 };
        evidence_at(geometry.to_patient(point)) as f32
    });
    EvidenceMap { cells, geometry }
}

fn findings(setup: &Setup, geometry: &Geometry, lungs: &Array3<u8>) -> Findings {
    let probability = |value: f64| Probability::new(value).expect("probability");
    let peak = geometry.to_voxel(PatientPoint(EMBOLUS));
    let middle = peak.slice.round() as usize;
    let share = |slice: usize| (-(slice as f64 - middle as f64).powi(2) / 9.0).exp() * setup.probability;
    let slices = 2..geometry.size[2] - 2;
    let key_slices = [middle, middle + 1, middle - 1].map(|slice| KeySlice {
        slice,
        probability: probability(share(slice)),
        peak: VoxelPoint { column: peak.column.round(), row: peak.row.round(), slice: slice as f64 },
        outlines: vec![circle(geometry)],
    });
    let lung_of = |label: u8| {
        let voxels: Vec<_> = lungs.indexed_iter().filter(|(_, value)| **value == label).map(|(at, _)| at).collect();
        let (slice, row, column) = *voxels.get(voxels.len() / 2)?;
        Some(Lung {
            voxels: voxels.len() as u64,
            millilitres: voxels.len() as f64 * geometry.voxel_millilitres(),
            centre: VoxelPoint { column: column as f64, row: row as f64, slice: slice as f64 },
        })
    };
    let model = |name: &str, version: &str, seed: &str| ModelIdentity {
        package: format!("{name}/{version}").parse().expect("a package"),
        sha256: seed.repeat(16),
    };
    let several = setup.classifier != Classifier::Slices;
    let vessel = |hounsfield: f64, place: [f64; 3]| {
        let VoxelPoint { column, row, slice } = geometry.to_voxel(PatientPoint(place));
        Some(Vessel {
            hounsfield,
            place: VoxelPoint { column: column.round(), row: row.round(), slice: slice.round() },
        })
    };
    Findings {
        probability: probability(setup.probability),
        decision: setup.decision,
        standard_deviation: several.then_some(0.0421),
        targets: if several { further_targets() } else { Vec::new() },
        evidence: (setup.classifier != Classifier::Exam).then(|| Evidence {
            slices: slices
                .map(|slice| SliceFinding { slice, probability: probability(share(slice)), attention: 1.0 / 33.0 })
                .collect(),
            key_slices: key_slices.to_vec(),
            map: evidence(),
        }),
        field: AnalysedField {
            slice: geometry.size[2] / 2,
            corners: [[20.0, 15.0], [170.0, 15.0], [170.0, 130.0], [20.0, 130.0]],
        },
        lungs: Lungs { left: lung_of(LEFT_LUNG), right: lung_of(RIGHT_LUNG) },
        completeness: Completeness::default(),
        enhancement: Enhancement {
            trunk: vessel(320.0, [15.0, -30.0, -20.0]),
            aorta: vessel(256.0, [20.0, 30.0, -20.0]),
        },
        warnings: setup.reasons.iter().map(|reason| Rejection::new(*reason, "as measured")).collect(),
        left_out: vec![LeftOut {
            kind: LeftOutKind::OtherStack,
            images: 37,
            explanation: "a further stack (acquisition 2)".to_owned(),
        }],
        synthetic: setup.synthetic,
        intended_use: manifest(setup).intended_use,
        classifier: manifest(setup),
        models: Packages {
            lungs: model("lungs-unet", "0.3.0", "ab12"),
            embolism: model("embolism-phantom", "0.2.1", "cd34"),
        },
        provider: Provider("CPUExecutionProvider".to_owned()),
    }
}

fn further_targets() -> Vec<TargetFinding> {
    let finding = |(target, value)| TargetFinding {
        target,
        probability: Probability::new(value).expect("probability"),
        standard_deviation: Some(0.01),
        calibrated: target != Target::ChronicPe,
    };
    [(Target::LeftSidedPe, 0.125), (Target::RightSidedPe, 0.81), (Target::CentralPe, 0.2), (Target::ChronicPe, 0.031)]
        .map(finding)
        .to_vec()
}

/// Twelve points around the embolus.
fn circle(geometry: &Geometry) -> Vec<[f64; 2]> {
    let points = (0..12).map(|step| {
        let angle = f64::from(step) * std::f64::consts::TAU / 12.0;
        let place = PatientPoint([EMBOLUS[0] + 12.0 * angle.cos(), EMBOLUS[1] + 10.0 * angle.sin(), EMBOLUS[2]]);
        let voxel = geometry.to_voxel(place);
        [voxel.column, voxel.row]
    });
    points.collect()
}

fn manifest(setup: &Setup) -> Manifest {
    let text = format!(
        r#"
        schema = 1
        name = "embolism-phantom"
        version = "0.2.1"
        kind = "embolism-classifier"
        intended_use = "{}"
        license = "Apache-2.0"
        layout = "encoder+head"
        files = []
        [input]
        window = [-250.0, 450.0]
        size = [224, 224]
        spacing_mm = 1.5
        slice_step_mm = 3.0
        neighbours = 1
        crop = "lung-box"
        [calibration]
        temperature = 1.31
        bias = -0.2
        slice_temperature = 1.1
        slice_bias = 0.0
        [operating_point]
        threshold = 0.42
        indeterminate = [0.35, 0.5]
        chosen = "greatest Youden index on validation exams"
        [training]
        data = "phantoms"
        commit = "0000000"
        configuration_sha256 = "00"
        data_sha256 = "00"
        seed = 1
        counts = {{ exams = 400 }}
        "#,
        setup.intended_use
    );
    toml::from_str(&text).expect("manifest")
}

fn put(object: &mut InMemDicomObject, tag: Tag, vr: VR, value: impl Into<PrimitiveValue>) {
    object.put(DataElement::new(tag, vr, value.into()));
}

fn joined<const N: usize>(values: [f64; N]) -> String {
    values.map(|value| format!("{value:.4}")).join("\\")
}

/// A header as the node reads it, its text decoded.
fn received(sent: &InMemDicomObject) -> InMemDicomObject {
    const LIMITS: Limits = Limits { object_mib: 1, depth: 4, elements: 1000, pixels: 1 << 24 };
    let mut bytes = Vec::new();
    sent.write_dataset_with_ts(&mut bytes, &EXPLICIT_VR_LITTLE_ENDIAN.erased()).expect("write");
    bounded::data_set(&bytes, uids::EXPLICIT_VR_LITTLE_ENDIAN, &LIMITS).expect("read")
}

/// Everything of a CT image but what differs from slice to slice.
fn header(setup: &Setup, geometry: &Geometry) -> InMemDicomObject {
    let [row, column, _] = geometry.directions;
    let orientation = [row[0], row[1], row[2], column[0], column[1], column[2]];
    let texts: &[(Tag, VR, &str)] = &[
        (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL"),
        (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        (tags::STUDY_DATE, VR::DA, setup.study[0]),
        (tags::STUDY_TIME, VR::TM, setup.study[1]),
        (tags::CONTENT_DATE, VR::DA, "20260301"),
        (tags::CONTENT_TIME, VR::TM, "101500"),
        (tags::ACCESSION_NUMBER, VR::SH, "A17"),
        (tags::MODALITY, VR::CS, "CT"),
        (tags::MANUFACTURER, VR::LO, "Scene"),
        (tags::MANUFACTURER_MODEL_NAME, VR::LO, "Made up"),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, "Doe^Jane"),
        (tags::STUDY_DESCRIPTION, VR::LO, "CTPA"),
        (tags::PATIENT_NAME, VR::PN, setup.patient_name),
        (tags::PATIENT_ID, VR::LO, "P-0815"),
        (tags::PATIENT_BIRTH_DATE, VR::DA, "19700101"),
        (tags::PATIENT_SEX, VR::CS, "M"),
        (tags::PATIENT_AGE, VR::AS, "056Y"),
        (tags::SLICE_THICKNESS, VR::DS, "6"),
        (tags::KVP, VR::DS, "100"),
        (tags::PATIENT_POSITION, VR::CS, "HFS"),
        (tags::STUDY_INSTANCE_UID, VR::UI, "2.25.1"),
        (tags::SERIES_INSTANCE_UID, VR::UI, "2.25.2"),
        (tags::STUDY_ID, VR::SH, "1"),
        (tags::SERIES_NUMBER, VR::IS, "3"),
        (tags::ACQUISITION_NUMBER, VR::IS, "1"),
        (tags::FRAME_OF_REFERENCE_UID, VR::UI, "2.25.3"),
        (tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""),
        (tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        (tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
        (tags::RESCALE_INTERCEPT, VR::DS, "0"),
        (tags::RESCALE_SLOPE, VR::DS, "1"),
        (tags::RESCALE_TYPE, VR::LO, "HU"),
    ];
    let mut object = InMemDicomObject::new_empty();
    for (tag, vr, value) in texts {
        put(&mut object, *tag, *vr, *value);
    }
    if let Some(character_set) = setup.character_set {
        put(&mut object, tags::SPECIFIC_CHARACTER_SET, VR::CS, character_set);
    }
    if setup.lossy {
        put(&mut object, tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01");
        put(&mut object, tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, "12.5");
        put(&mut object, tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, "ISO_15444_1");
    }
    if setup.synthetic {
        put(&mut object, tags::SYNTHETIC_DATA, VR::CS, "YES");
    }
    let mut request = InMemDicomObject::new_empty();
    put(&mut request, tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP-1");
    put(&mut request, tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, "SPS-1");
    object.put(DataElement::new(tags::REQUEST_ATTRIBUTES_SEQUENCE, VR::SQ, DataSetSequence::from(vec![request])));
    put(&mut object, tags::IMAGE_ORIENTATION_PATIENT, VR::DS, joined(orientation));
    put(&mut object, tags::PIXEL_SPACING, VR::DS, joined([geometry.spacing[1], geometry.spacing[0]]));
    let numbers = [
        (tags::SAMPLES_PER_PIXEL, 1),
        (tags::ROWS, geometry.size[1] as u16),
        (tags::COLUMNS, geometry.size[0] as u16),
        (tags::BITS_ALLOCATED, 16),
        (tags::BITS_STORED, 16),
        (tags::HIGH_BIT, 15),
        (tags::PIXEL_REPRESENTATION, 1),
    ];
    for (tag, value) in numbers {
        put(&mut object, tag, VR::US, dicom_value!(U16, value));
    }
    object
}
