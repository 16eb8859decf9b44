//! What all result objects share: patient and study as in the source, this node's equipment, the models, the time.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};

use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;
use jiff::ZonedDateTime;
use jiff::tz::{Offset, TimeZone};

use super::element::{Compose, PRODUCT, ascii, empty, texts, with_element};
use super::{Context, ReportError, ResultObject, copied, equipment, naming};
use crate::config::ReportConfig;
use crate::dicom::concept::own;
use crate::dicom::elements::{self, DataSet};
use crate::dicom::text::{UNICODE, holds_more_than_ascii};
use crate::dicom::{FrameNumber, SourceImage, Uid};
use crate::engine::report::{ResultKind, ResultReference};

/// A SOP instance by class and identifier, or some of its frames.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    /// SOP Class UID.
    pub(super) class: String,
    /// SOP Instance UID.
    pub(super) instance: Uid,
    /// The frames that are meant; none where the whole object is.
    frames: Vec<FrameNumber>,
}

impl Reference {
    /// A whole object.
    pub(super) fn object(class: &str, instance: Uid) -> Self {
        Self { class: class.to_owned(), instance, frames: Vec::new() }
    }

    fn image(image: &SourceImage) -> Self {
        Self {
            class: image.sop_class_uid().to_owned(),
            instance: image.sop_instance_uid().clone(),
            frames: image.frame().into_iter().collect(),
        }
    }

    /// One item of a sequence of references to images
    /// ([PS3.3 10.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_10.3.html)).
    pub(super) fn item(&self) -> DataSet {
        let item = self.object_item();
        if self.frames.is_empty() {
            return item;
        }
        item.with(tags::REFERENCED_FRAME_NUMBER, texts(self.frames.iter().map(FrameNumber::to_string)))
    }

    /// One item of a sequence of references to objects
    /// ([PS3.3 10.8](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_10.8.html)), which have no
    /// place for frames.
    pub(super) fn object_item(&self) -> DataSet {
        empty()
            .with(tags::REFERENCED_SOP_CLASS_UID, self.class.as_str())
            .with(tags::REFERENCED_SOP_INSTANCE_UID, self.instance.as_str())
    }
}

/// The objects of references, each once.
fn object_items(references: &[Reference]) -> Vec<DataSet> {
    let mut seen = HashSet::new();
    references.iter().filter(|reference| seen.insert(&reference.instance)).map(Reference::object_item).collect()
}

/// Which object is being made.
#[derive(Debug, Clone)]
pub(super) struct ObjectIdentity {
    /// Its kind.
    pub(super) kind: ResultKind,
    /// Its series.
    pub(super) series: Uid,
    /// Class and instance.
    pub(super) reference: Reference,
}

/// A composed object that still lacks its file meta information.
pub(super) struct Document {
    /// Which object it is.
    pub(super) identity: ObjectIdentity,
    /// The data set.
    pub(super) data_set: DataSet,
}

impl Document {
    /// Adds the file meta information.
    pub(super) fn into_result(self) -> Result<ResultObject, ReportError> {
        let ObjectIdentity { kind, series, reference } = self.identity;
        let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
        let object = with_character_set(with_own_scheme(self.data_set))
            .with_meta(meta)
            .map_err(|source| ReportError::FileMeta { kind, source: Box::new(source) })?;
        Ok(ResultObject { kind, series_instance_uid: series, sop_instance_uid: reference.instance, object })
    }
}

/// What is the same in every object of one analysis.
pub(super) struct Header<'a> {
    context: &'a Context<'a>,
    /// Study Instance UID of source and results.
    pub(super) study: Uid,
    /// Series Instance UID of the source.
    pub(super) source_series: Uid,
    /// Date of the results, as DA.
    pub(super) date: String,
    /// Time of the results, as TM.
    pub(super) time: String,
    /// Both with their offset from UTC, as DT.
    date_time: String,
}

impl<'a> Header<'a> {
    /// Reads the attributes from the source that every result needs.
    pub(super) fn new(context: &'a Context<'a>) -> Result<Self, ReportError> {
        let source = &context.volume.header;
        let required = |tag, name| elements::uid(source, tag).ok_or(ReportError::Missing { tag, name });
        let time = local_time(source, context.time);
        Ok(Self {
            context,
            study: required(tags::STUDY_INSTANCE_UID, "Study Instance UID")?,
            source_series: required(tags::SERIES_INSTANCE_UID, "Series Instance UID")?,
            date: time.strftime("%Y%m%d").to_string(),
            time: time.strftime("%H%M%S").to_string(),
            date_time: time.strftime("%Y%m%d%H%M%S%z").to_string(),
        })
    }

    /// An identifier that is a function of the source series, its instances, the models, the issue and `part` alone.
    pub(super) fn derived_uid(&self, kind: ResultKind, part: &str) -> Uid {
        let models = self.context.findings.models.each().map(|model| model.sha256.as_str());
        let source = [self.source_series.as_str(), self.context.instance_set_digest];
        let issue = (self.context.issue > 0).then(|| format!("issue {}", self.context.issue));
        Uid::derived(source.into_iter().chain(models).chain([kind.name(), part]).chain(issue.as_deref()))
    }

    /// The identity of the only object of a kind.
    pub(super) fn identity(&self, kind: ResultKind, class: &str) -> ObjectIdentity {
        self.numbered_identity(kind, class, 1)
    }

    /// The identity of the `number`-th object of a kind, counted from 1; all share the series of their class.
    pub(super) fn numbered_identity(&self, kind: ResultKind, class: &str, number: usize) -> ObjectIdentity {
        ObjectIdentity {
            kind,
            series: self.derived_uid(kind, &format!("series {class}")),
            reference: Reference::object(class, self.derived_uid(kind, &format!("instance {class} {number}"))),
        }
    }

    /// Patient, study, series, equipment and SOP common modules of one object.
    pub(super) fn compose(&self, identity: &ObjectIdentity, modality: &str, description: &str) -> DataSet {
        let context = self.context;
        let number = naming::series_number(&context.volume.header, &self.source_series, context.version, identity.kind);
        let data_set = copied::patient_and_study(&context.volume.header)
            .with(tags::SOP_CLASS_UID, identity.reference.class.as_str())
            .with(tags::SOP_INSTANCE_UID, identity.reference.instance.as_str())
            .with(tags::INSTANCE_CREATION_DATE, self.date.as_str())
            .with(tags::INSTANCE_CREATION_TIME, self.time.as_str())
            .with(tags::CONTENT_DATE, self.date.as_str())
            .with(tags::CONTENT_TIME, self.time.as_str())
            .with(tags::INSTANCE_NUMBER, "1")
            .with(tags::MODALITY, modality)
            .with(tags::SERIES_INSTANCE_UID, identity.series.as_str())
            .with(tags::SERIES_NUMBER, number.to_string())
            .with(tags::SERIES_DATE, self.date.as_str())
            .with(tags::SERIES_TIME, self.time.as_str())
            .with(tags::SERIES_DESCRIPTION, naming::series_description(context, description))
            .with(tags::MANUFACTURER, PRODUCT)
            .with(tags::MANUFACTURER_MODEL_NAME, PRODUCT)
            .with(tags::DEVICE_SERIAL_NUMBER, ascii(&context.settings.station_name, 64))
            .with(tags::STATION_NAME, ascii(&context.settings.station_name, 16))
            .with(tags::SOFTWARE_VERSIONS, ascii(context.software_version, 64))
            .with_items(tags::CONTRIBUTING_EQUIPMENT_SEQUENCE, equipment::contributing(context, &self.date_time));
        match context.volume.header.get(tags::SYNTHETIC_DATA) {
            Some(element) => with_element(data_set, element),
            None => data_set,
        }
    }

    /// Study, series and instances as in the evidence sequences of SR documents
    /// ([PS3.3 C.17.2.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.17.2.html)).
    pub(super) fn evidence(&self, source: &[Reference], other: Option<&ObjectIdentity>) -> DataSet {
        let mut all = vec![in_series(&self.source_series, object_items(source))];
        all.extend(other.map(|identity| in_series(&identity.series, vec![identity.reference.object_item()])));
        self.in_study(all)
    }

    /// The source series with the objects of references, as in Referenced Series Sequence
    /// ([PS3.3 C.12.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.12.2.html)).
    pub(super) fn referenced_series(&self, source: &[Reference]) -> DataSet {
        empty()
            .with(tags::SERIES_INSTANCE_UID, self.source_series.as_str())
            .with_items(tags::REFERENCED_INSTANCE_SEQUENCE, object_items(source))
    }

    /// What pictures made of the source say of lossy compression, which theirs is as well (C.7.6.1.1.5).
    pub(super) fn with_lossy_compression(&self, data_set: DataSet) -> DataSet {
        let source = &self.context.volume.header;
        if elements::text(source, tags::LOSSY_IMAGE_COMPRESSION).as_deref() != Some("01") {
            return data_set.with(tags::LOSSY_IMAGE_COMPRESSION, "00");
        }
        let known = [tags::LOSSY_IMAGE_COMPRESSION_RATIO, tags::LOSSY_IMAGE_COMPRESSION_METHOD];
        let lossy = data_set.with(tags::LOSSY_IMAGE_COMPRESSION, "01");
        known.into_iter().filter_map(|tag| source.get(tag)).fold(lossy, with_element)
    }

    /// An item of Predecessor Documents Sequence (C.17.2): a report of this node on the same study.
    pub(super) fn predecessor(&self, report: &ResultReference) -> DataSet {
        let reference = Reference::object(uids::COMPREHENSIVE3_DSR_STORAGE, report.sop_instance_uid.clone());
        self.in_study(vec![in_series(&report.series_instance_uid, vec![reference.item()])])
    }

    fn in_study(&self, series: Vec<DataSet>) -> DataSet {
        empty().with(tags::STUDY_INSTANCE_UID, self.study.as_str()).with_items(tags::REFERENCED_SERIES_SEQUENCE, series)
    }

    /// The requests that the study fulfils, as the source names them: Referenced Request Sequence (C.17.2), of which
    /// most attributes must be present, with or without a value.
    pub(super) fn requests(&self) -> Vec<DataSet> {
        let source = &self.context.volume.header;
        let items = elements::items(source, tags::REQUEST_ATTRIBUTES_SEQUENCE);
        let request = |item: &DataSet| {
            let copied = [
                tags::ACCESSION_NUMBER,
                tags::ISSUER_OF_ACCESSION_NUMBER_SEQUENCE,
                tags::REQUESTED_PROCEDURE_DESCRIPTION,
                tags::REQUESTED_PROCEDURE_ID,
            ];
            let codes = elements::items(item, tags::REQUESTED_PROCEDURE_CODE_SEQUENCE);
            let base = empty()
                .with(tags::STUDY_INSTANCE_UID, self.study.as_str())
                .with_items(tags::REFERENCED_STUDY_SEQUENCE, Vec::new())
                .with(tags::ACCESSION_NUMBER, elements::text(source, tags::ACCESSION_NUMBER).unwrap_or_default())
                .with(tags::REQUESTED_PROCEDURE_DESCRIPTION, "")
                .with_items(tags::REQUESTED_PROCEDURE_CODE_SEQUENCE, codes.to_vec())
                .with(tags::REQUESTED_PROCEDURE_ID, "")
                .with(tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, "")
                .with(tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, "");
            copied.into_iter().filter_map(|tag| item.get(tag)).fold(base, with_element)
        };
        items.iter().map(request).collect()
    }

    /// The source image of a slice.
    pub(super) fn source(&self, slice: usize) -> Reference {
        Reference::image(&self.context.volume.slices[slice].image)
    }

    /// The source images of some slices: one reference for an object, with all its frames that are among them.
    pub(super) fn sources_of(&self, slices: impl Iterator<Item = usize>) -> Vec<Reference> {
        let mut index_of: HashMap<Uid, usize> = HashMap::new();
        let mut sources: Vec<Reference> = Vec::new();
        for source in slices.map(|slice| self.source(slice)) {
            match index_of.entry(source.instance.clone()) {
                Entry::Occupied(known) => sources[*known.get()].frames.extend(source.frames),
                Entry::Vacant(new) => {
                    new.insert(sources.len());
                    sources.push(source);
                }
            }
        }
        for source in &mut sources {
            source.frames.sort_unstable();
        }
        sources
    }

    /// All source images, lowest slice first.
    pub(super) fn sources(&self) -> Vec<Reference> {
        self.sources_of(0..self.context.volume.slices.len())
    }

    /// Observer identity: the node, by its station.
    pub(super) fn device(&self) -> Device {
        Device::of(self.context.settings)
    }
}

/// The observing device of TID 1004.
pub(super) struct Device {
    /// Device Observer UID.
    pub(super) uid: Uid,
    /// Station name, which is also the serial number.
    pub(super) name: String,
    /// Manufacturer and model name.
    pub(super) product: &'static str,
}

impl Device {
    /// The node, by the station that its settings name.
    pub(super) fn of(settings: &ReportConfig) -> Self {
        let station = ascii(&settings.station_name, 64);
        Self { uid: Uid::derived([PRODUCT, "device", &station]), name: station, product: PRODUCT }
    }
}

/// Describes the coding scheme of this program in an object that uses it: Coding Scheme Identification Sequence
/// ([PS3.3 C.12.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.12.html)).
fn with_own_scheme(data_set: DataSet) -> DataSet {
    if !uses_scheme(&data_set, own::SCHEME) {
        return data_set;
    }
    let scheme = empty()
        .with(tags::CODING_SCHEME_DESIGNATOR, own::SCHEME)
        .with(tags::CODING_SCHEME_NAME, own::NAME)
        .with(tags::CODING_SCHEME_RESPONSIBLE_ORGANIZATION, PRODUCT);
    data_set.with_items(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, vec![scheme])
}

/// Declares the character set: none where there is only ASCII, which the oldest systems take.
fn with_character_set(data_set: DataSet) -> DataSet {
    if holds_more_than_ascii(&data_set) { data_set.with(tags::SPECIFIC_CHARACTER_SET, UNICODE) } else { data_set }
}

/// True if a code at any depth is of a scheme.
fn uses_scheme(data_set: &DataSet, scheme: &str) -> bool {
    elements::text(data_set, tags::CODING_SCHEME_DESIGNATOR).is_some_and(|designator| designator == scheme)
        || data_set.iter().filter_map(|element| element.items()).flatten().any(|item| uses_scheme(item, scheme))
}

pub(super) fn in_series(uid: &Uid, instances: Vec<DataSet>) -> DataSet {
    empty().with(tags::SERIES_INSTANCE_UID, uid.as_str()).with_items(tags::REFERENCED_SOP_SEQUENCE, instances)
}

/// The time of the job in the source's offset from UTC, if it gives one: the offset is copied with the study and
/// applies to every time in the object.
pub(super) fn local_time(source: &DataSet, time: &ZonedDateTime) -> ZonedDateTime {
    elements::text(source, tags::TIMEZONE_OFFSET_FROM_UTC)
        .and_then(|text| offset(&text))
        .map_or_else(|| time.clone(), |offset| time.with_time_zone(TimeZone::fixed(offset)))
}

/// An offset from UTC as in (0008,0201): `+0100`, `-0330`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let number: i32 = (digits.len() == 4).then(|| digits.parse().ok())??;
    Offset::from_seconds(sign * (number / 100 * 3600 + number % 100 * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_the_offset_that_is_copied_from_the_source() {
        let time: ZonedDateTime = "2026-03-01T23:30:00+00:00[UTC]".parse().expect("time");
        let source = empty().with(tags::TIMEZONE_OFFSET_FROM_UTC, "+0130");
        assert_eq!(local_time(&source, &time).strftime("%Y%m%d%H%M").to_string(), "202603020100");
        assert_eq!(local_time(&empty(), &time).strftime("%Y%m%d%H%M").to_string(), "202603012330");
        assert_eq!(offset("-0330").map(Offset::seconds), Some(-12_600));
        assert_eq!(offset("0130"), None);
        assert_eq!(offset("+99"), None);
    }
}
