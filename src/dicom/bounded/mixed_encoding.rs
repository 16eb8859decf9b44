//! Elements whose parts are encoded in different ways, which dicom-object does not read: sequences of unknown value
//! representation and undefined length hold implicit VR little endian, whatever the transfer syntax is
//! ([PS3.5 6.2.2](https://dicom.nema.org/medical/dicom/current/output/chtml/part05/sect_6.2.2.html), CP-246).
//!
//! They are taken apart here, and dicom-object is given what lies between: runs of elements of one encoding.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, Length, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use dicom_transfer_syntax_registry::{TransferSyntax, TransferSyntaxIndex, TransferSyntaxRegistry};

use super::super::elements::DataSet;
use super::super::limits::ReadError;
use super::super::prescan::{
    Encoding, Header, ITEM, ITEM_DELIMITER, PIXEL_DATA, SEQUENCE_DELIMITER, UNDEFINED, header,
};
use super::super::transfer_syntax::EXPLICIT_VR_BIG_ENDIAN;
use crate::causes::with_causes;

/// Reads a root element that has passed the pre-scan; its text is not decoded yet (`dicom::text`). `None` for private pixels,
/// which nothing here reads.
pub(super) fn element(bytes: &[u8], encoding: Encoding) -> Result<Option<InMemElement>, ReadError> {
    let mut reader = Reader { bytes, position: 0 };
    let data_set = reader.data_set(encoding, Some(bytes.len()))?;
    Ok(data_set.into_iter().next())
}

/// Reads bytes in which every length was checked and sequences are no deeper than the limit.
struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// The tag that stands for Specific Character Set while dicom-object reads (`dicom::text::HIDDEN`), encoded.
pub(super) fn hidden(encoding: Encoding) -> &'static [u8] {
    match encoding {
        Encoding::ExplicitBig => &[0, 8, 0, 7],
        Encoding::ImplicitLittle | Encoding::ExplicitLittle => &[8, 0, 7, 0],
    }
}

/// Elements of one encoding, one after another.
struct Run {
    encoding: Encoding,
    /// Where it begins.
    start: usize,
    /// Where its Specific Character Set begins, if it has one.
    character_set: Option<usize>,
}

impl Reader<'_> {
    /// Reads elements up to `end`, or up to the delimiter of their item.
    fn data_set(&mut self, encoding: Encoding, end: Option<usize>) -> Result<DataSet, ReadError> {
        let mut data_set = DataSet::new_empty();
        let mut run = Run { encoding, start: self.position, character_set: None };
        while end != Some(self.position) {
            let start = self.position;
            let Header { tag, vr, length, value } = header(self.bytes, start, encoding)?;
            self.position = value;
            if tag == ITEM_DELIMITER {
                self.flush(&mut run, start, &mut data_set)?;
                return Ok(data_set);
            }
            match &vr {
                b"UN" if length == UNDEFINED && tag != PIXEL_DATA => {
                    self.flush(&mut run, start, &mut data_set)?;
                    let items = self.items(Encoding::ImplicitLittle, None)?;
                    data_set.put(sequence(tag, items));
                    run.start = self.position;
                }
                b"SQ" => {
                    self.flush(&mut run, start, &mut data_set)?;
                    let end = (length != UNDEFINED).then(|| value + length as usize);
                    let items = self.items(encoding, end)?;
                    data_set.put(sequence(tag, items));
                    run.start = self.position;
                }
                _ if length == UNDEFINED => {
                    // Pixel Data, of an icon, is read with its run; private pixels are left out.
                    let private = tag != PIXEL_DATA;
                    if private {
                        self.flush(&mut run, start, &mut data_set)?;
                    }
                    self.pass_fragments()?;
                    if private {
                        run.start = self.position;
                    }
                }
                _ => {
                    self.position = value + length as usize;
                    if tag == tags::SPECIFIC_CHARACTER_SET {
                        run.character_set = Some(start);
                    }
                }
            }
        }
        let end = self.position;
        self.flush(&mut run, end, &mut data_set)?;
        Ok(data_set)
    }

    fn items(&mut self, encoding: Encoding, end: Option<usize>) -> Result<Vec<DataSet>, ReadError> {
        let mut items = Vec::new();
        while end != Some(self.position) {
            let Header { tag, length, value, .. } = header(self.bytes, self.position, encoding)?;
            self.position = value;
            match tag {
                ITEM => {
                    let end = (length != UNDEFINED).then(|| value + length as usize);
                    items.push(self.data_set(encoding, end)?);
                }
                _ => break,
            }
        }
        Ok(items)
    }

    fn pass_fragments(&mut self) -> Result<(), ReadError> {
        loop {
            let Header { tag, length, value, .. } = header(self.bytes, self.position, Encoding::ExplicitLittle)?;
            if tag == SEQUENCE_DELIMITER {
                self.position = value;
                return Ok(());
            }
            self.position = value + length as usize;
        }
    }

    /// Reads the run that ends at `end` into `data_set`.
    fn flush(&self, run: &mut Run, end: usize, data_set: &mut DataSet) -> Result<(), ReadError> {
        let mut elements = self.bytes[run.start..end].to_vec();
        if elements.is_empty() {
            return Ok(());
        }
        if let Some(start) = run.character_set.take() {
            elements[start - run.start..][..4].copy_from_slice(hidden(run.encoding));
        }
        let read = DataSet::read_dataset_with_ts(elements.as_slice(), transfer_syntax(run.encoding)?)
            .map_err(|error| ReadError::Unreadable(with_causes(&error)))?;
        for element in read {
            data_set.put(element);
        }
        Ok(())
    }
}

/// A sequence, which is what its representation is once it has been read.
fn sequence(tag: Tag, items: Vec<DataSet>) -> InMemElement {
    DataElement::new(tag, VR::SQ, DataSetSequence::new(items, Length::UNDEFINED))
}

fn transfer_syntax(encoding: Encoding) -> Result<&'static TransferSyntax, ReadError> {
    let uid = match encoding {
        Encoding::ImplicitLittle => uids::IMPLICIT_VR_LITTLE_ENDIAN,
        Encoding::ExplicitLittle => uids::EXPLICIT_VR_LITTLE_ENDIAN,
        Encoding::ExplicitBig => EXPLICIT_VR_BIG_ENDIAN,
    };
    TransferSyntaxRegistry.get(uid).ok_or_else(|| ReadError::Unreadable(format!("transfer syntax {uid} is not known")))
}
