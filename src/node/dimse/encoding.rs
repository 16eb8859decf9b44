//! Data sets of messages, written.

use dicom_core::{DataElement, DicomValue, VR};
use dicom_dictionary_std::tags;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex, TransferSyntaxRegistry};

use crate::dicom::elements::DataSet;

/// A data set in one of the transfer syntaxes in which messages are exchanged. Texts beyond ASCII are written in UTF-8,
/// and the data set says so (Specific Character Set ISO_IR 192).
pub(super) fn encode(mut data_set: DataSet, transfer_syntax_uid: &str) -> Vec<u8> {
    if !is_ascii(&data_set) {
        data_set.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"));
    }
    let syntax = TransferSyntaxRegistry.get(transfer_syntax_uid).expect("only known transfer syntaxes are accepted");
    let mut bytes = Vec::new();
    if let Err(error) = data_set.write_dataset_with_ts(&mut bytes, syntax) {
        // Its elements come from the index, which read them, or from this program.
        tracing::error!(%error, "the data set of a message cannot be written");
    }
    bytes
}

fn is_ascii(data_set: &DataSet) -> bool {
    data_set.iter().all(|element| match element.value() {
        DicomValue::Sequence(items) => items.items().iter().all(is_ascii),
        value => value.to_str().map_or(true, |text| text.is_ascii()),
    })
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::uids;

    use super::*;

    #[test]
    fn texts_beyond_ascii_are_written_in_utf_8() {
        let named = |name: &str| {
            let data_set = DataSet::from_element_iter([DataElement::new(tags::PATIENT_NAME, VR::PN, name)]);
            encode(data_set, uids::EXPLICIT_VR_LITTLE_ENDIAN)
        };
        let contains = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        let written = named("Müller^Jürgen=山田^太郎");
        assert!(contains(&written, "Müller^Jürgen=山田^太郎") && contains(&written, "ISO_IR 192"));
        assert!(!contains(&named("Doe^Jane"), "ISO_IR"));
    }
}
