//! Links, anchors and paths.

use std::path::{Path, PathBuf};

use super::ROOT;
use super::pages::{self, Page};

/// Folders whose files a page may name as code.
const FOLDERS: [&str; 8] = ["src/", "tests/", "configs/", "deploy/", "docs/", "fixtures/", "examples/", "benches/"];

/// The path of a link below the repository, `..` resolved.
fn resolved(page: &Page, target: &str) -> PathBuf {
    let folder = page.path.parent().unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for part in &folder.join(target) {
        if part == ".." { assert!(path.pop(), "{target} leaves the repository") } else { path.push(part) }
    }
    path
}

fn problem(page: &Page, link: &str) -> Option<String> {
    if link.is_empty() || link.contains("://") {
        return None;
    }
    let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
    let path = if target.is_empty() { page.path.clone() } else { resolved(page, target) };
    if !Path::new(ROOT).join(&path).exists() {
        return Some(format!("{}: {link} leads nowhere", page.path.display()));
    }
    let known = anchor.is_none_or(|anchor| Page::read(&path).anchors().iter().any(|known| known == anchor));
    (!known).then(|| format!("{}: {link} names no heading", page.path.display()))
}

#[test]
fn every_link_and_anchor_of_the_documents_leads_somewhere() {
    let problems: Vec<String> = pages::all()
        .iter()
        .flat_map(|page| page.links().into_iter().filter_map(|link| problem(page, &link)).collect::<Vec<_>>())
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let summary = Page::read(Path::new("docs/SUMMARY.md"));
    let listed: Vec<PathBuf> = summary.links().iter().map(|link| resolved(&summary, link)).collect();
    let pages = pages::all();
    let missing: Vec<&PathBuf> =
        pages.iter().map(|page| &page.path).filter(|path| **path != summary.path && !listed.contains(path)).collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let is_path =
        |span: &String| FOLDERS.iter().any(|folder| span.starts_with(folder)) && !span.contains([' ', '*', '<', '|']);
    let missing: Vec<String> = pages::current()
        .iter()
        .flat_map(|page| page.code_spans().into_iter().filter(is_path))
        .filter(|path| !Path::new(ROOT).join(path).exists())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
