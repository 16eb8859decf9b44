//! The answer to an association request ([PS3.8 9.3.3](https://dicom.nema.org/medical/dicom/current/output/chtml/part08/sect_9.3.3.html)),
//! made readable for dicom-ul without IO.
//!
//! The transfer syntax of a context that is rejected "shall not be significant" (9.3.3.2), and some acceptors leave it
//! out; dicom-ul 0.10 then refuses the whole answer. Nor does it read on after an item of a type that it does not know.

use bytes::{BufMut, BytesMut};

/// Bytes before the items: type, length, protocol version, titles and reserved fields.
const FIXED: usize = 6 + 2 + 2 + 16 + 16 + 32;
/// Item types: application context, presentation context (result), user information; transfer syntax within a context.
const APPLICATION_CONTEXT: u8 = 0x10;
const CONTEXT: u8 = 0x21;
const USER_INFORMATION: u8 = 0x50;
const TRANSFER_SYNTAX: u8 = 0x40;
/// Header of an item: type, reserved, length.
const ITEM_HEADER: usize = 4;
/// Identifier, reserved, result, reserved.
const CONTEXT_FIXED: usize = 4;

/// The A-ASSOCIATE-AC without items of unknown types, each rejected context with the place of a transfer syntax. Bytes
/// that are no such PDU are returned as they are: the parser says what is wrong with them.
pub(super) fn readable(pdu: &[u8]) -> BytesMut {
    rewritten(pdu).unwrap_or_else(|| pdu.into())
}

fn rewritten(pdu: &[u8]) -> Option<BytesMut> {
    let (fixed, mut items) = pdu.split_at_checked(FIXED)?;
    let mut written = BytesMut::from(fixed);
    while !items.is_empty() {
        let (header, rest) = items.split_first_chunk::<ITEM_HEADER>()?;
        let (content, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([header[2], header[3]])))?;
        items = rest;
        match header[0] {
            CONTEXT => put(&mut written, CONTEXT, &context(content)?)?,
            known @ (APPLICATION_CONTEXT | USER_INFORMATION) => put(&mut written, known, content)?,
            _ => {}
        }
    }
    let length = u32::try_from(written.len() - 6).ok()?;
    written[2..6].copy_from_slice(&length.to_be_bytes());
    Some(written)
}

/// A context as it is; of a rejected one no more than identifier and result, with an empty transfer syntax.
fn context(content: &[u8]) -> Option<Vec<u8>> {
    let fixed = content.get(..CONTEXT_FIXED)?;
    let accepted = fixed[2] == 0;
    Some(if accepted { content.to_vec() } else { [fixed, &[TRANSFER_SYNTAX, 0, 0, 0]].concat() })
}

fn put(written: &mut BytesMut, item_type: u8, content: &[u8]) -> Option<()> {
    written.put_slice(&[item_type, 0]);
    written.put_u16(u16::try_from(content.len()).ok()?);
    written.put_slice(content);
    Some(())
}

#[cfg(test)]
mod tests {
    use dicom_ul::Pdu;
    use dicom_ul::pdu::{
        AssociationAC, PresentationContextResult, PresentationContextResultReason as Reason, UserVariableItem,
        read_pdu, write_pdu,
    };

    use super::*;

    const IMPLICIT: &str = "1.2.840.10008.1.2";

    fn answer() -> Pdu {
        let context = |id, reason: Reason, transfer_syntax: &str| PresentationContextResult {
            id,
            reason,
            transfer_syntax: transfer_syntax.to_owned(),
        };
        Pdu::AssociationAC(AssociationAC {
            protocol_version: 1,
            calling_ae_title: "PE-NODE".to_owned(),
            called_ae_title: "PACS".to_owned(),
            application_context_name: "1.2.840.10008.3.1.1.1".to_owned(),
            presentation_contexts: vec![
                context(1, Reason::Acceptance, IMPLICIT),
                context(3, Reason::AbstractSyntaxNotSupported, ""),
            ],
            user_variables: vec![UserVariableItem::MaxLength(16384)],
        })
    }

    fn bytes(pdu: &Pdu) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_pdu(&mut bytes, pdu).expect("written");
        bytes
    }

    fn with_length(mut pdu: Vec<u8>) -> Vec<u8> {
        let length = (pdu.len() - 6) as u32;
        pdu[2..6].copy_from_slice(&length.to_be_bytes());
        pdu
    }

    #[test]
    fn a_rejected_context_without_transfer_syntax_and_an_unknown_item_are_no_fault() {
        let good = bytes(&answer());
        let empty_syntax = [TRANSFER_SYNTAX, 0, 0, 0];
        let rejected = [[CONTEXT, 0, 0, 8, 3, 0, 3, 0], [TRANSFER_SYNTAX, 0, 0, 0, 0, 0, 0, 0]].concat();
        let place = good.windows(12).position(|window| window == &rejected[..12]).expect("the rejected context");
        let without = [&good[..place], &[CONTEXT, 0, 0, 4, 3, 0, 3, 0], &good[place + 8 + empty_syntax.len()..]];
        let unknown_item = [0x77, 0, 0, 2, 1, 2];
        let odd = with_length([without.concat(), unknown_item.to_vec()].concat());
        assert!(read_pdu(&odd[..], 1 << 16, true).is_err(), "as dicom-ul reads it");
        assert_eq!(readable(&odd), good);
        let read = read_pdu(readable(&odd), 1 << 16, true).expect("readable").expect("whole");
        assert_eq!(read, answer());
    }

    #[test]
    fn what_is_no_acceptance_stays_as_it_is() {
        for other in [Pdu::ReleaseRQ, Pdu::ReleaseRP] {
            assert_eq!(readable(&bytes(&other)), bytes(&other));
        }
        let mut cut = bytes(&answer());
        cut.truncate(FIXED + 3);
        assert_eq!(readable(&cut), cut);
    }
}
