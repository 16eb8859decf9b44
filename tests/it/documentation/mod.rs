//! Documents say what is so: links lead somewhere, commands parse, settings exist, words are the field's own.

mod commands;
mod links;
mod pages;
mod promises;
mod settings;
mod words;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
