//! What took part in a result besides this node: Contributing Equipment Sequence
//! ([PS3.3 C.12.1](https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_C.12.html)).

use dicom_dictionary_std::tags;

use super::Context;
use super::element::{Compose, PRODUCT, ascii, empty, has_value, with_element};
use crate::dicom::concept::dcm;
use crate::dicom::elements::DataSet;
use crate::dicom::{Concept, Uid};
use crate::engine::analyse::findings::ModelIdentity;

/// The models, then the scanner.
pub(super) fn contributing(context: &Context, date_time: &str) -> Vec<DataSet> {
    let models = context.findings.models.each().into_iter().map(|model| algorithm(model, date_time));
    models.chain(scanner(&context.volume.header)).collect()
}

/// A model, as IHE AI Results wants it. That profile has a purpose "Processing Algorithm", for which its texts give a
/// placeholder and the standard no code: (109102, DCM, Processing Equipment) stands for it.
fn algorithm(model: &ModelIdentity, date_time: &str) -> DataSet {
    contribution(&dcm::PROCESSING_EQUIPMENT)
        .with(tags::MANUFACTURER, PRODUCT)
        .with(tags::MANUFACTURER_MODEL_NAME, ascii(model.package.name.as_str(), 64))
        .with(tags::SOFTWARE_VERSIONS, ascii(&model.package.version.to_string(), 64))
        .with(tags::DEVICE_UID, device_uid(&model.sha256).as_str())
        .with(tags::CONTRIBUTION_DATE_TIME, date_time)
        .with(tags::CONTRIBUTION_DESCRIPTION, ascii(&format!("model sha256={}", model.sha256), 1024))
}

/// Identifies a model by its files: one that was trained again is another device.
fn device_uid(sha256: &str) -> Uid {
    Uid::derived([PRODUCT, "model", sha256])
}

fn scanner(source: &DataSet) -> Option<DataSet> {
    let attributes = [
        tags::MANUFACTURER,
        tags::INSTITUTION_NAME,
        tags::STATION_NAME,
        tags::MANUFACTURER_MODEL_NAME,
        tags::DEVICE_SERIAL_NUMBER,
        tags::SOFTWARE_VERSIONS,
    ];
    let known = attributes.into_iter().filter(|tag| has_value(source, *tag)).filter_map(|tag| source.get(tag));
    has_value(source, tags::MANUFACTURER).then(|| known.fold(contribution(&dcm::ACQUISITION_EQUIPMENT), with_element))
}

fn contribution(purpose: &Concept) -> DataSet {
    empty().with_concept(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, purpose)
}
