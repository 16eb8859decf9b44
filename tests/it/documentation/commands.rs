//! Commands of `pe-node` as the documents show them.

use std::process::{Command, Output};

use super::ROOT;
use super::pages::{self, Page};
use crate::node::BINARY;

const PROGRAM: &str = "pe-node ";

/// Runs the program in the repository, whatever the environment says of settings.
pub(super) fn run<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Output {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PE_NODE__")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(ROOT).output().expect("the program runs")
}

/// Commands in the page's shell blocks, without `pe-node`, one a line.
pub(super) fn shown(page: &Page) -> Vec<String> {
    let lines = page.blocks("sh").into_iter().map(|text| text.replace("\\\n", " "));
    let lines: Vec<String> = lines.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let command = |line: &String| line.strip_prefix(PROGRAM)?.split(['#', '|', '>', ';']).next().map(str::to_owned);
    lines.iter().filter_map(command).collect()
}

#[test]
fn every_command_of_the_documents_is_understood() {
    for page in pages::all() {
        for command in shown(&page) {
            // The parser answers with help once everything before it was understood.
            let output = run(command.split_whitespace().chain(["--help"]));
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: pe-node {command}: {said}", page.path.display());
        }
    }
}

#[test]
fn commands_of_the_documents_that_only_look_run_as_they_stand() {
    let looks = |command: &String| {
        ["config", "models list"].iter().any(|start| command.starts_with(start)) && !command.contains("/etc/")
    };
    let commands: Vec<String> = pages::all().iter().flat_map(shown).filter(looks).collect();
    assert!(commands.len() >= 3, "{commands:?}");
    for command in commands {
        let output = run(command.split_whitespace());
        assert!(output.status.success(), "pe-node {command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_subcommand_and_flag_that_a_sentence_names_exists() {
    for page in pages::all() {
        for span in page.code_spans() {
            let Some(command) = span.strip_prefix(PROGRAM) else { continue };
            let is_name = |word: &&str| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '|');
            let names: Vec<&str> = command.split_whitespace().take_while(is_name).collect();
            let Some((last, above)) = names.split_last() else { continue };
            for last in last.split('|') {
                let output = run(above.iter().copied().chain([last, "--help"]));
                let help = String::from_utf8_lossy(&output.stdout);
                assert!(output.status.success(), "{}: `{span}`: there is no `{last}`", page.path.display());
                for flag in flags(command) {
                    assert!(help.contains(flag), "{}: `{span}`: there is no {flag}", page.path.display());
                }
            }
        }
    }
}

/// `--out` of `[--out DIR]`.
fn flags(command: &str) -> impl Iterator<Item = &str> {
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '-';
    let words = command.split_whitespace().map(|word| word.trim_start_matches('['));
    words
        .filter(|word| word.starts_with("--"))
        .map(move |word| word.split(|letter| !is_name(letter)).next().unwrap_or(word))
}
