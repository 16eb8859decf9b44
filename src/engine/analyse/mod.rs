//! From a volume to findings: quality gate, lungs, embolism, evidence.

pub mod findings;
pub mod quality;
