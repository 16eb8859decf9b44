//! DIMSE over TCP, as provider ([`scp`]: verification, storage, query and retrieval, storage commitment) and as user
//! ([`scu`]: verification and storage).
//!
//! Bytes become PDUs in `connection`, PDUs become messages in `message` and `conversation`. What they mean is said without
//! IO: by `association_request` and `negotiation` of associations, by `command` of requests, by `service` of who may ask for
//! what, by `query` of identifiers. Only `scp`, `scu` and [`commitment`] act. The PDU codec is dicom-ul's.

mod application_entities;
mod association_request;
mod command;
pub mod commitment;
mod connection;
mod conversation;
mod encoding;
mod message;
mod negotiation;
mod query;
mod requesting;
pub mod scp;
pub mod scu;
mod service;
mod status;
#[cfg(test)]
mod tests;

pub use status::Status;

use crate::causes::with_causes;

/// Verification SOP Class (PS3.4 annex A).
const VERIFICATION: &str = dicom_dictionary_std::uids::VERIFICATION;

/// A dicom-ul error in a line. The errors that quote a whole PDU are cut short: a PDU holds patient data.
fn describe(error: &dicom_ul::association::Error) -> String {
    use dicom_ul::association::Error;
    match error {
        Error::UnexpectedPdu { .. } => "the peer sent a PDU out of turn".to_owned(),
        Error::UnknownPdu { .. } => "the peer sent an unknown PDU".to_owned(),
        other => with_causes(other),
    }
}
