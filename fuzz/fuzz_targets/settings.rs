#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pe_node::fuzzing::run("settings", bytes));
