//! The program as a graph: which file names what of which other file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::imports::{Names, Use};

/// All files of a source folder, by the path of their module: `engine::volume::geometry`; empty for the root.
#[derive(Debug)]
pub(super) struct Program {
    modules: BTreeMap<String, Names>,
}

/// The longest chain of `use` items that is followed to the definition of a name.
const LONGEST_CHAIN: usize = 16;

/// Where a path of the code leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A module of this program.
    Module(String),
    /// A crate that it depends on.
    Crate(String),
}

impl Program {
    /// Reads `root`, except for files that are compiled for unit tests alone.
    pub(super) fn read(root: &Path) -> Self {
        let files = sources(root).into_iter().map(|file| {
            let names = Names::of(&fs::read_to_string(&file).expect("source file"));
            (module_of(&file, root), names.unwrap_or_else(|error| panic!("{}: {error}", file.display())))
        });
        Self::of(files)
    }

    /// A program of these modules.
    pub(super) fn of(modules: impl IntoIterator<Item = (String, Names)>) -> Self {
        let mut modules: BTreeMap<_, _> = modules.into_iter().collect();
        // Folders without a file of their own lead to what lies in them.
        let folders: BTreeSet<String> = modules.keys().flat_map(|module| folders(module)).collect();
        for folder in folders {
            modules.entry(folder).or_default();
        }
        let tests: BTreeSet<String> = modules
            .iter()
            .flat_map(|(module, names)| names.test_modules.iter().map(|name| child(module, name)))
            .collect();
        modules.retain(|module, _| !tests.iter().any(|test| lies_in(module, test)));
        Self { modules }
    }

    /// The paths of all modules that have a file.
    pub(super) fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    /// What a module names, itself aside.
    pub(super) fn targets(&self, module: &str) -> BTreeSet<Target> {
        let names = &self.modules[module];
        let uses = names.uses.iter().map(|item| &item.path);
        let mut targets: BTreeSet<_> =
            uses.chain(&names.paths).filter_map(|path| self.resolve(module, path, 0)).collect();
        targets.remove(&Target::Module(module.to_owned()));
        targets
    }

    /// Follows a path from a module to the file that defines what it names. `None` for names of the module itself.
    fn resolve(&self, module: &str, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first().filter(|_| depth < LONGEST_CHAIN)?;
        match first.as_str() {
            "crate" => self.descend("", rest, depth),
            "self" => self.descend(module, rest, depth),
            "super" => {
                let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
                match rest.first().map(String::as_str) {
                    Some("super") => self.resolve(parent, rest, depth),
                    _ => self.descend(parent, rest, depth),
                }
            }
            "Self" | "std" | "core" | "alloc" => None,
            name if self.modules.contains_key(&child(module, name)) => self.descend(module, path, depth),
            name => match self.modules[module].uses.iter().find(|item| item.name == name) {
                // A `use` item of this file stands for itself.
                Some(item) if item.path[0] != *first => self.resolve(module, &[&item.path, rest].concat(), depth + 1),
                Some(_) => Some(Target::Crate(name.to_owned())),
                None if name.chars().next().is_some_and(char::is_lowercase) => Some(Target::Crate(name.to_owned())),
                None => None,
            },
        }
    }

    /// Goes down from a module as far as there are modules. A name that it imports is followed to its definition.
    fn descend(&self, module: &str, path: &[String], depth: usize) -> Option<Target> {
        let Some((first, rest)) = path.split_first() else { return Some(Target::Module(module.to_owned())) };
        if self.modules.contains_key(&child(module, first)) {
            return self.descend(&child(module, first), rest, depth);
        }
        match self.modules.get(module)?.uses.iter().find(|item: &&Use| item.name == *first) {
            Some(item) => self.resolve(module, &[&item.path, rest].concat(), depth + 1),
            None => Some(Target::Module(module.to_owned())),
        }
    }

    /// Groups of modules that name each other in a circle, each in alphabetical order.
    pub(super) fn circles(&self) -> Vec<Vec<String>> {
        let direct: BTreeMap<&str, BTreeSet<String>> = self
            .modules()
            .map(|module| {
                let targets = self.targets(module).into_iter();
                let modules = targets.filter_map(|target| match target {
                    Target::Module(module) => Some(module),
                    Target::Crate(_) => None,
                });
                (module, modules.collect())
            })
            .collect();
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            self.modules().map(|module| (module, reachable(&direct, module))).collect();
        let mut circles = BTreeSet::new();
        for (module, others) in &reached {
            if others.contains(module) {
                let circle = others.iter().filter(|other| reached[*other].contains(module));
                circles.insert(circle.map(|name| (*name).to_owned()).collect::<Vec<_>>());
            }
        }
        circles.into_iter().collect()
    }
}

fn reachable<'a>(direct: &'a BTreeMap<&str, BTreeSet<String>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = direct[from].iter().map(String::as_str).collect();
    while let Some(next) = open.pop() {
        if found.insert(next) {
            open.extend(direct.get(next).into_iter().flatten().map(String::as_str));
        }
    }
    found
}

/// All modules above a module, the root included.
fn folders(module: &str) -> impl Iterator<Item = String> {
    let ends = module.match_indices("::").map(|(at, _)| at);
    std::iter::once(0).chain(ends).map(|end| module[..end].to_owned())
}

/// True if a module is another one or lies in it.
pub(super) fn lies_in(module: &str, other: &str) -> bool {
    module.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn child(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// All Rust files below a folder, sorted.
pub(super) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("source folder").map(|entry| entry.expect("entry").path()) {
        if entry.is_dir() {
            files.extend(sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files.sort();
    files
}

/// `engine::volume::geometry` for `src/engine/volume/geometry.rs`.
fn module_of(file: &Path, root: &Path) -> String {
    let relative = file.strip_prefix(root).expect("below the root").with_extension("");
    let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
    let parts = match parts.last().map(AsRef::as_ref) {
        Some("mod" | "lib") => &parts[..parts.len() - 1],
        _ => &parts[..],
    };
    parts.join("::")
}
