//! Settings as the documents name them.

use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::pages::{self, Page};
use super::{ROOT, commands};

/// What follows a dot in the name of a file, not of a setting.
const FILES: [&str; 9] = ["csv", "html", "json", "jsonl", "md", "py", "rs", "sh", "toml"];

struct Settings {
    node: Table,
    training: Table,
}

impl Settings {
    fn read() -> Self {
        let table = |name: &str| {
            let text = fs::read_to_string(Path::new(ROOT).join("configs").join(name)).expect("settings");
            text.parse().expect("valid settings")
        };
        Self { node: table("default.toml"), training: table("train.toml") }
    }

    fn has(&self, key: &str) -> bool {
        [&self.node, &self.training].iter().any(|table| {
            let mut parts = key.split('.');
            let first = parts.next().and_then(|part| table.get(part));
            parts.try_fold(first, |value, part| value.map(|value| value.get(part))).flatten().is_some()
        })
    }

    /// True for `section.key`, where there is such a section.
    fn is_key(&self, text: &str) -> bool {
        let Some((section, key)) = text.split_once('.') else { return false };
        let known = [&self.node, &self.training].iter().any(|table| table.get(section).is_some_and(Value::is_table));
        known && key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_') && !FILES.contains(&key)
    }

    /// Settings that a page names: in its sentences, as variables of the environment, after `--set`.
    fn named(&self, page: &Page) -> Vec<String> {
        let spans = page.code_spans();
        let before_value = |text: &str| text.split(['=', ' ']).next().unwrap_or_default().to_owned();
        let variables = spans.iter().filter_map(|span| {
            let name = span.strip_prefix("PE_NODE__")?;
            Some(before_value(name).to_lowercase().replace("__", "."))
        });
        let written = spans.iter().map(|span| before_value(span)).filter(|span| self.is_key(span));
        let commands = commands::shown(page);
        let flags = commands.iter().flat_map(|command| command.split("--set ").skip(1).map(before_value));
        variables.chain(written).chain(flags).collect()
    }
}

#[test]
fn every_setting_that_a_document_names_exists() {
    let settings = Settings::read();
    let mut count = 0;
    for page in pages::current() {
        for key in settings.named(&page) {
            assert!(settings.has(&key), "{}: there is no setting `{key}`", page.path.display());
            count += 1;
        }
    }
    assert!(count > 50, "only {count} settings were found: the documents are read wrongly");
}

#[test]
fn every_configuration_that_a_document_shows_is_valid() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("node.toml");
    for page in pages::current() {
        for block in page.blocks("toml") {
            fs::write(&file, &block).expect("written");
            let output = commands::run(["config", "check", "--config", file.to_str().expect("a path")]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {said}\n{block}", page.path.display());
        }
    }
}
