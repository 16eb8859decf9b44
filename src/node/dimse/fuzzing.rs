//! Hostile bytes as what comes from a peer.

use std::io::Cursor;

use dicom_dictionary_std::uids;
use dicom_ul::Pdu;
use dicom_ul::pdu::{MINIMUM_PDU_SIZE, read_pdu};

use super::association_request::AssociationRequest;
use super::command::Command;
use super::commitment;
use super::message::{Assembler, Body, Message};
use super::query::{Find, Selection};
use super::service::Root;
use crate::dicom::bounded;
use crate::dicom::fuzzing::LIMITS;
use crate::node::memory::Budget;

/// What follows type and length of an A-ASSOCIATE-RQ.
pub(crate) fn association_request(bytes: &[u8]) {
    let _ = AssociationRequest::parse(bytes);
}

/// PDUs of an association that is established.
pub(crate) fn pdus(bytes: &[u8]) {
    let mut unread = Cursor::new(bytes);
    let mut assembler = Assembler::new(Budget::new(1 << 20));
    while let Ok(Some(pdu)) = read_pdu(&mut unread, MINIMUM_PDU_SIZE, true) {
        let Pdu::PData { data } = pdu else { continue };
        for value in data {
            match assembler.push(value) {
                Ok(Some(message)) => answered(&message),
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }
}

/// A command set.
pub(crate) fn command(bytes: &[u8]) {
    if let Ok(command) = Command::parse(bytes) {
        let again = Command::parse(&command.encode());
        assert!(again.is_ok(), "a command set is written as one that cannot be read: {again:?}");
    }
}

/// What a message asks for, whatever it is.
fn answered(message: &Message) {
    let Body::DataSet(bytes, _) = &message.body else { return };
    let Ok(identifier) = bounded::data_set(bytes, uids::IMPLICIT_VR_LITTLE_ENDIAN, &LIMITS) else { return };
    for root in [Root::Patient, Root::Study] {
        if let Ok(find) = Find::parse(&identifier, root) {
            let _ = find.query(10);
        }
        let _ = Selection::parse(&identifier, root);
    }
    let _ = commitment::read_request(&identifier);
}
