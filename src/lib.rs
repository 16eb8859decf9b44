//! # pe-node
//!
//! A CT pulmonary angiogram goes in by C-STORE or STOW-RS; a coded DICOM SR, heat maps and a lung segmentation come
//! out, to the node's own QIDO/WADO-RS and to every configured destination. The same code, offline, learns a new model
//! from exams with few slice labels and exports ONNX that the node serves.
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
//!  phantom --> RSPECT layout --> train(labels ... boxes, fit, evaluate, export) --> package --> models
//! ```
//!
//! Which models analyse stands in a file in the folder of packages. A running node follows it, and changes over between
//! two jobs; a candidate may run beside, in the pauses, and what it says goes nowhere but into the database.
//!
//! Imports go one way: `dicom < engine < packages < node < cli` and `dicom < engine < packages < learn < cli`; a test
//! holds every `use` line to it. [`engine`] is pure apart from reading the files it is given: no network, no clock, no
//! async runtime. [`packages`] changes the folder of model packages. [`node`] is everything that waits. [`learn`] is
//! offline. [`cohort`] lies below both: it is the layout in which the node exports studies and phantoms are written, and
//! which training reads.

mod causes;
pub mod cli;
pub mod cohort;
pub mod config;
pub mod dicom;
pub mod engine;
pub mod learn;
pub mod node;
pub mod packages;
#[cfg(test)]
mod testing;
