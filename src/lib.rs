//! # pe-node
//!
//! A CT pulmonary angiogram goes in by C-STORE or STOW-RS; a coded DICOM SR, heat maps and a lung segmentation come
//! out, to the node's own QIDO/WADO-RS and to every configured destination. The same program, offline, trains a new
//! model on exams with few slice labels and exports it as ONNX for the node.
//!
//! ```text
//!  dimse::scp ----+                                                  +--> dimse::scu ------> PACS
//!  (C-STORE)      |                                                  +--> dicomweb client -> PACS
//!                 v                                                  |
//!  dicomweb ---> archive ---> assembly ---> queue ---> worker ---> archive ---> deliver
//!  (STOW-RS)     durable      series        leased     pipeline    results      retry, failed delivery
//!                + index      complete?     jobs          |        as objects
//!                                                         v
//!                slices -> volume -> analyse(quality, lungs, embolism, evidence) -> Findings -> report(SR, SC, SEG)
//!                                       ^ models (packages, ONNX Runtime)
//!  phantom --> RSPECT layout --> train(labels ... crops, fit, evaluate, export) --> package --> models
//! ```
//!
//! A file in the folder of packages names the active models. A running node follows it and changes models between two
//! jobs. A shadow model may analyse the same exams while no job is due. Its results go only into the database.
//!
//! Imports go one way: `dicom < engine < packages < node < cli` and `dicom < engine < packages < learn < cli`; a test
//! checks every `use` line. [`engine`] is pure apart from reading the files it is given: no network, no clock, no async
//! runtime. [`packages`] changes the folder of model packages. [`node`] is everything that waits: for peers, clients,
//! jobs. [`learn`] is offline. [`cohort`] lies below both: the node exports studies in its layout, phantoms are written
//! in it, and training reads it.

mod causes;
pub mod cli;
pub mod cohort;
pub mod config;
pub mod dicom;
pub mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod learn;
pub mod node;
pub mod packages;
#[cfg(test)]
mod testing;
