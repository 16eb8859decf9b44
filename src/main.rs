//! Parse, run, map the error to an exit code.

use std::process::ExitCode;

use git_version::git_version;

/// The commit that this binary was built from: with `-dirty` where tracked files differed from it, `unknown` where the
/// sources lay in no repository.
const COMMIT: &str = git_version!(args = ["--always", "--dirty", "--abbrev=40"], fallback = "unknown");

fn main() -> ExitCode {
    pe_node::cli::main(COMMIT)
}
