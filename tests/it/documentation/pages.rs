//! Pages of Markdown, as far as the tests look into them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::ROOT;

/// The page that says what once was so.
const HISTORY: &str = "CHANGELOG.md";

/// A page, by its path below the repository.
pub(super) struct Page {
    pub(super) path: PathBuf,
    text: String,
}

/// Every page that says what is so today.
pub(super) fn current() -> Vec<Page> {
    all().into_iter().filter(|page| page.path != Path::new(HISTORY)).collect()
}

/// Every page that this project wrote for people.
pub(super) fn all() -> Vec<Page> {
    let mut paths: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", HISTORY].map(PathBuf::from).into();
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder of pages").flatten();
        let names = entries.map(|entry| Path::new(folder).join(entry.file_name()));
        paths.extend(names.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    paths.sort();
    paths.into_iter().map(|path| Page::read(&path)).collect()
}

impl Page {
    pub(super) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(Path::new(ROOT).join(path)).expect("a page");
        Self { path: path.to_owned(), text }
    }

    /// Lines with whether they stand in a fenced block, and the language of that block. Fences are left out.
    fn lines(&self) -> impl Iterator<Item = (Option<&str>, usize, &str)> {
        let mut language = None;
        let mut blocks = 0;
        self.text.lines().filter_map(move |line| {
            if let Some(name) = line.trim_start().strip_prefix("```") {
                blocks += 1;
                language = if language.is_some() { None } else { Some(name.trim()) };
                return None;
            }
            Some((language, blocks, line))
        })
    }

    /// Everything outside fenced blocks.
    fn prose(&self) -> String {
        let lines = self.lines().filter(|(block, ..)| block.is_none()).map(|(.., line)| line);
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Texts of the fenced blocks in a language.
    pub(super) fn blocks(&self, language: &str) -> Vec<String> {
        let mut blocks: BTreeMap<usize, String> = BTreeMap::new();
        for (_, number, line) in self.lines().filter(|(of_block, ..)| *of_block == Some(language)) {
            let text = blocks.entry(number).or_default();
            text.push_str(line);
            text.push('\n');
        }
        blocks.into_values().collect()
    }

    /// Code inside sentences and tables.
    pub(super) fn code_spans(&self) -> Vec<String> {
        let words = |span: &str| span.split_whitespace().collect::<Vec<_>>().join(" ");
        self.prose().split('`').skip(1).step_by(2).map(words).collect()
    }

    /// Targets of links and pictures.
    pub(super) fn links(&self) -> Vec<String> {
        let prose: String = self.prose().split('`').step_by(2).collect();
        let target = |rest: &str| rest.split_once(')').map(|(target, _)| target.to_owned());
        prose.split("](").skip(1).filter_map(target).collect()
    }

    /// What a link may name after `#`: headings as forges and mdBook write them.
    pub(super) fn anchors(&self) -> Vec<String> {
        let heading = |line: &str| line.starts_with('#').then(|| anchor(line.trim_start_matches('#').trim()));
        self.prose().lines().filter_map(heading).collect()
    }
}

fn anchor(heading: &str) -> String {
    let kept = |character: &char| character.is_alphanumeric() || [' ', '-', '_'].contains(character);
    heading
        .to_lowercase()
        .chars()
        .filter(kept)
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}
