//! DIMSE over TCP: verification and storage, as provider ([`scp`]) and as user ([`scu`]).
//!
//! Bytes become PDUs in `connection`, PDUs become messages in `message`, and `command` and `negotiation` say what they
//! mean, without IO; only `scp` and `scu` act. The PDU codec is dicom-ul's.

mod acceptance;
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

/// Verification SOP Class (PS3.4 annex A).
const VERIFICATION: &str = dicom_dictionary_std::uids::VERIFICATION;
