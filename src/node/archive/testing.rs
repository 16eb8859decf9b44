//! Objects built in memory for tests.

use bytes::Bytes;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::Tag;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;

use super::{Archive, Origin, ReceivedInstance, Rights};
use crate::config::{AnalysisConfig, DestinationConfig, StorageConfig};
use crate::dicom::Uid;
use crate::dicom::bounded::Limits;
use crate::dicom::content;
use crate::dicom::elements::DataSet;
use crate::node::queue::Rules;
use crate::node::store::Store;

/// An identifier; panics on nonsense.
pub(in crate::node) fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("uid")
}

/// A CT slice of a study, series and number, at 2 mm distance; `more` are further texts.
pub(in crate::node) fn slice(study: &str, series: &str, number: u16, more: &[(Tag, VR, &str)]) -> ReceivedInstance {
    let texts = [
        (tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        (tags::SOP_INSTANCE_UID, VR::UI, &format!("{series}.{number}")),
        (tags::STUDY_INSTANCE_UID, VR::UI, study),
        (tags::SERIES_INSTANCE_UID, VR::UI, series),
        (tags::MODALITY, VR::CS, "CT"),
        (tags::PATIENT_NAME, VR::PN, "Doe^Jane"),
        (tags::PATIENT_ID, VR::LO, "P-1"),
        (tags::STUDY_DATE, VR::DA, "20240131"),
        (tags::SERIES_NUMBER, VR::IS, "2"),
        (tags::INSTANCE_NUMBER, VR::IS, &number.to_string()),
        (tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL"),
        (tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0"),
        (tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("0\\0\\{}", 2 * number)),
    ];
    let mut header = DataSet::new_empty();
    for (tag, representation, text) in texts.into_iter().chain(more.iter().copied()) {
        header.put(DataElement::new(tag, representation, text));
    }
    header.put(DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(4_u16)));
    received(header)
}

/// A data set as it would come through an interface.
pub(in crate::node) fn received(header: DataSet) -> ReceivedInstance {
    let mut bytes = Vec::new();
    header.write_dataset_with_ts(&mut bytes, &EXPLICIT_VR_LITTLE_ENDIAN.erased()).expect("write");
    let (header, pixels) = content::read(&bytes, uids::EXPLICIT_VR_LITTLE_ENDIAN, &limits()).expect("read");
    ReceivedInstance {
        transfer_syntax_uid: uid(uids::EXPLICIT_VR_LITTLE_ENDIAN),
        data_set: Bytes::from(bytes),
        header,
        pixels,
        rights: Rights::default(),
        origin: Origin::Stow { address: "127.0.0.1".to_owned() },
    }
}

/// Limits that no object of a test exceeds.
pub(in crate::node) fn limits() -> Limits {
    Limits { object_mib: 16, depth: 8, elements: 10_000, pixels: 1 << 24 }
}

/// Settings of an archive in a folder.
pub(in crate::node) fn storage(folder: &std::path::Path) -> StorageConfig {
    StorageConfig { path: folder.to_owned(), minimum_free_mib: 0, hide_quality_rejections: true }
}

/// An empty archive and the folder it lives in.
pub(in crate::node) async fn archive() -> (tempfile::TempDir, Archive) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let archive = open(&storage(folder.path())).await;
    (folder, archive)
}

/// The archive in a folder, of a node with two attempts a job and no destinations.
pub(in crate::node) async fn open(config: &StorageConfig) -> Archive {
    let store = Store::open(config, rules(&[], false)).await.expect("store");
    Archive::open(config, limits(), store).await.expect("archive")
}

/// Two attempts a job, and a lease of 160 seconds.
pub(in crate::node) fn rules(destinations: &[DestinationConfig], allow_demonstration: bool) -> Rules {
    let analysis = AnalysisConfig { attempts: 2, timeout_seconds: 100, memory_limit_mib: 0, ignore_quality: false };
    Rules::new(&analysis, destinations, allow_demonstration)
}
