//! Who observed: [TID 1001](https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_TID_1001.html) with a
//! device observer (TID 1002, TID 1004), and the language of the document (TID 1204).

use super::super::header::{Device, Header};
use super::content::ContentItem;
use crate::dicom::concept::{self, dcm};

/// Language of Content Item and Descendants; a concept modifier of the root.
pub(crate) fn language() -> ContentItem {
    ContentItem::code(&dcm::LANGUAGE, &concept::ENGLISH)
}

/// This node as the observer; observation context of the root.
pub(crate) fn device_observer(header: &Header) -> Vec<ContentItem> {
    device_items(&header.device())
}

/// A device as the observer.
pub(crate) fn device_items(device: &Device) -> Vec<ContentItem> {
    vec![
        ContentItem::code(&dcm::OBSERVER_TYPE, &dcm::DEVICE),
        ContentItem::uid(&dcm::DEVICE_OBSERVER_UID, &device.uid),
        ContentItem::text(&dcm::DEVICE_OBSERVER_NAME, &device.name),
        ContentItem::text(&dcm::DEVICE_OBSERVER_MANUFACTURER, device.product),
        ContentItem::text(&dcm::DEVICE_OBSERVER_MODEL_NAME, device.product),
        ContentItem::text(&dcm::DEVICE_OBSERVER_SERIAL_NUMBER, &device.name),
    ]
}
