//! DIMSE over TCP, as provider ([`scp`]: verification, storage, query and retrieval, storage commitment) and as user
//! ([`scu`]: verification, storage, query, retrieval, storage commitment).
//!
//! Bytes become PDUs in `connection`, PDUs become messages in `message` and `conversation`. What they mean is said without
//! IO: by `association_request` and `negotiation` of associations, by `command` of requests, by `service` of who may ask for
//! what, by `query` of identifiers. Only `scp`, `scu` and [`commitment`] act. The PDU codec is dicom-ul's.

mod acceptance;
mod application_entities;
mod association_request;
mod command;
pub mod commitment;
mod connection;
mod conversation;
mod encoding;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
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
