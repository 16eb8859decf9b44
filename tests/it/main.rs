//! Integration tests: one binary, so that one link step serves them all.

mod architecture;
mod dicomweb;
mod dimse;
mod models;
mod predict;
mod report;
