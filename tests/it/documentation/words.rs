//! One word a thing, and the field's own. Words of this project's making that readers had to guess are gone; this keeps
//! them gone. Only words without another use stand here.

use std::fs;
use std::path::{Path, PathBuf};

use super::ROOT;

/// What is searched.
const PLACES: [&str; 8] = ["src", "configs", "docs", "examples", "benches", "deploy", "README.md", "CONTRIBUTING.md"];

/// A word of the past and the field's word for it. Matched in sentences as in names: `DeadLetter`, `dead_letter`.
const WORDS: [(&str, &str); 24] = [
    ("door", "interface, listener"),
    ("doors", "interfaces, listeners"),
    ("epitaph", "exit reason"),
    ("opinion", "prediction"),
    ("opinions", "predictions"),
    ("is of the node", "is_infrastructure_error"),
    ("something to analyse", "has_lungs"),
    ("great parts", "largest_components"),
    ("dead letter", "failed delivery"),
    ("dead letters", "failed deliveries"),
    ("quiet time", "quiet period"),
    ("quiet times", "quiet periods"),
    ("twins", "paired exams"),
    ("evidence of the network", "attribution map, heat map"),
    ("owe", "enqueue"),
    ("owed", "pending, enqueued"),
    ("dealt anew", "split again"),
    ("take back", "requeue, release"),
    ("taken back", "requeued, released"),
    ("gate images", "check_images"),
    ("gate chest", "check_chest"),
    ("quality gate", "quality checks"),
    ("learnt", "trained, was trained on"),
    ("way of a study", "how a study is processed"),
];

/// Names that are still accepted from users or stored data: the file, and the word there.
const ACCEPTED: [(&str, &str); 7] = [
    ("docs/api.md", "dead letter"),
    ("docs/api.md", "door"),
    ("src/cli/phantom.rs", "twins"),
    ("src/node/store/tests/opening.rs", "dead letter"),
    ("src/node/telemetry.rs", "door"),
    ("src/node/web/metrics.rs", "dead letter"),
    ("src/node/web/tests/node.rs", "door"),
];

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).expect("a folder").flatten();
    let mut files: Vec<PathBuf> = entries.flat_map(|entry| files(&entry.path())).collect();
    files.retain(|file| {
        file.extension().is_some_and(|extension| ["md", "rs", "toml"].iter().any(|kind| extension == *kind))
    });
    files.sort();
    files
}

/// The words of a line, separated and surrounded by spaces, in lower case; of names too: `ShadowOpinion`.
fn words(line: &str) -> String {
    let mut words = String::from(" ");
    for letter in line.chars() {
        if letter.is_uppercase() || !letter.is_alphabetic() {
            words.push(' ');
        }
        words.extend(letter.is_alphabetic().then_some(letter).into_iter().flat_map(char::to_lowercase));
    }
    format!(" {} ", words.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn texts_and_names_use_the_words_of_the_field() {
    let mut found = Vec::new();
    for file in PLACES.iter().flat_map(|place| files(&Path::new(ROOT).join(place))) {
        let name = file.strip_prefix(ROOT).expect("below the repository").display().to_string();
        let text = fs::read_to_string(&file).expect("a text");
        for (number, line) in (1..).zip(text.lines()) {
            let line = words(line);
            let used = WORDS.iter().filter(|(word, _)| line.contains(&format!(" {word} ")));
            let unknown = used.filter(|(word, _)| !ACCEPTED.contains(&(name.as_str(), *word)));
            found.extend(unknown.map(|(word, better)| format!("{name}:{number}: `{word}`, better: {better}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn names_are_read_as_words() {
    assert_eq!(words("    fn is_of_the_node(DeadLetter) // Both doors."), " fn is of the node dead letter both doors ");
}
