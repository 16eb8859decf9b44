//! Integration tests: one binary, so that one link step serves them all.

mod architecture;
mod archive;
mod common;
mod deploy;
mod dicomweb;
mod dimse;
mod documentation;
mod evaluate;
mod examples;
mod heaps;
mod lungs;
mod models;
mod node;
mod predict;
mod refusals;
mod report;
#[path = "../../src/testing.rs"]
mod testing;
