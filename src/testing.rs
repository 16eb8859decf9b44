//! What tests do about a program or data that this machine lacks: a line on a developer's machine, a failure in CI. The
//! integration tests read this file too.

use std::path::{Path, PathBuf};

/// Says that a test, or a part of it, is skipped.
///
/// # Panics
/// In CI, where nothing may be absent.
pub(crate) fn skip(absent: &str) {
    skip_where(std::env::var("CI").as_deref() == Ok("true"), absent);
}

fn skip_where(in_ci: bool, absent: &str) {
    assert!(!in_ci, "{absent} is absent");
    println!("skipped: {absent} is absent");
}

/// A file or folder of the real test data, or a line that says that it is absent.
#[allow(dead_code, reason = "the integration tests have no use for it")]
pub(crate) fn test_data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PE_NODE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    present(root.join(name), "")
}

/// The Python with the peers of the interoperability tests, or a line that says that it is absent.
pub(crate) fn python() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    present(
        std::env::var_os("PE_NODE_PYTHON").map_or_else(default, PathBuf::from),
        " (tests/install-peers.sh brings it)",
    )
}

fn present(path: PathBuf, remedy: &str) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    skip(&format!("{}{remedy}", path.display()));
    None
}

#[test]
fn what_is_absent_is_a_line_for_a_developer() {
    skip_where(false, "a peer");
}

#[test]
#[should_panic(expected = "a peer is absent")]
fn what_is_absent_is_a_failure_in_ci() {
    skip_where(true, "a peer");
}
