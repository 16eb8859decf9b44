//! Patient, study and equipment of an object that is about an exam without an analysis of it.

use dicom_dictionary_std::tags;
use jiff::ZonedDateTime;

use super::ReportError;
use super::copied::patient_and_study;
use super::element::{Compose, PRODUCT, ascii, with_element};
use super::header::{Device, ObjectIdentity, local_time};
use super::naming::series_number;
use crate::config::ReportConfig;
use crate::dicom::Uid;
use crate::dicom::elements::{self, DataSet};

/// What such objects have in common.
#[derive(Debug, Clone)]
pub struct PlainHeader<'a> {
    /// The header of an object of the study.
    source: &'a DataSet,
    pub(super) study: Uid,
    /// The series of that object.
    pub(super) series: Uid,
    settings: &'a ReportConfig,
    time: ZonedDateTime,
    pub(super) software_version: &'a str,
}

impl<'a> PlainHeader<'a> {
    /// Reads what every object needs from the header of an object of the study. `time` is every date and time in it.
    ///
    /// # Errors
    /// Study or Series Instance UID is missing.
    pub fn new(
        source: &'a DataSet,
        settings: &'a ReportConfig,
        time: &ZonedDateTime,
        software_version: &'a str,
    ) -> Result<Self, ReportError> {
        let required = |tag, name| elements::uid(source, tag).ok_or(ReportError::Missing { tag, name });
        Ok(Self {
            study: required(tags::STUDY_INSTANCE_UID, "Study Instance UID")?,
            series: required(tags::SERIES_INSTANCE_UID, "Series Instance UID")?,
            time: local_time(source, time),
            source,
            settings,
            software_version,
        })
    }

    /// Patient, study, series, equipment and SOP common modules.
    pub(super) fn compose(&self, identity: &ObjectIdentity, modality: &str, description: &str) -> DataSet {
        let (date, time) = (self.time.strftime("%Y%m%d").to_string(), self.time.strftime("%H%M%S").to_string());
        let data_set = patient_and_study(self.source)
            .with(tags::SOP_CLASS_UID, identity.reference.class.as_str())
            .with(tags::SOP_INSTANCE_UID, identity.reference.instance.as_str())
            .with(tags::INSTANCE_CREATION_DATE, date.as_str())
            .with(tags::INSTANCE_CREATION_TIME, time.as_str())
            .with(tags::CONTENT_DATE, date.as_str())
            .with(tags::CONTENT_TIME, time.as_str())
            .with(tags::INSTANCE_NUMBER, "1")
            .with(tags::MODALITY, modality)
            .with(tags::SERIES_INSTANCE_UID, identity.series.as_str())
            .with(tags::SERIES_NUMBER, series_number(self.source, &self.series, 1, identity.kind).to_string())
            .with(tags::SERIES_DATE, date)
            .with(tags::SERIES_TIME, time)
            .with(tags::SERIES_DESCRIPTION, ascii(description, 64))
            .with(tags::MANUFACTURER, PRODUCT)
            .with(tags::MANUFACTURER_MODEL_NAME, PRODUCT)
            .with(tags::DEVICE_SERIAL_NUMBER, ascii(&self.settings.station_name, 64))
            .with(tags::STATION_NAME, ascii(&self.settings.station_name, 16))
            .with(tags::SOFTWARE_VERSIONS, ascii(self.software_version, 64));
        match self.source.get(tags::SYNTHETIC_DATA) {
            Some(element) => with_element(data_set, element),
            None => data_set,
        }
    }

    /// The node as an observer.
    pub(super) fn device(&self) -> Device {
        Device::of(self.settings)
    }
}
