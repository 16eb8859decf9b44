//! What a source file names: its `use` items, and every path in its code, unit tests aside.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;
use syn::{Attribute, Item, UseTree};

/// One name that a `use` item brings in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    /// The path as it stands, `["super", "volume", "Volume"]`; ends in `*` for everything.
    pub(super) path: Vec<String>,
    /// What it is called from there on.
    pub(super) name: String,
}

/// What a file names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Each name of each `use` item.
    pub(super) uses: Vec<Use>,
    /// Every path of more than one part in items, expressions, types and macros.
    pub(super) paths: Vec<Vec<String>>,
    /// Modules that are compiled for unit tests alone.
    pub(super) test_modules: Vec<String>,
    /// How many modules within the file lie around what is being read.
    depth: usize,
}

impl Names {
    /// Reads a source text. Items under `#[cfg(test)]` or `#[test]` are passed over: they may look wherever they need to.
    pub(super) fn of(text: &str) -> syn::Result<Self> {
        let mut names = Self::default();
        names.visit_file(&syn::parse_file(text)?);
        Ok(names)
    }

    fn add_uses(&mut self, tree: &UseTree, before: &[String]) {
        let with = |part: &dyn ToString| [before, &[part.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_uses(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_uses(tree, before)),
            UseTree::Glob(_) => self.add_use(with(&"*"), "*"),
            UseTree::Rename(rename) => self.add_use(with(&rename.ident), &rename.rename.to_string()),
            // `use a::b::{self}` names `a::b`.
            UseTree::Name(name) if name.ident == "self" && !before.is_empty() => {
                self.add_use(before.to_vec(), &before[before.len() - 1].clone());
            }
            UseTree::Name(name) => self.add_use(with(&name.ident), &name.ident.to_string()),
        }
    }

    fn add_use(&mut self, path: Vec<String>, name: &str) {
        let path = self.seen_from_the_file(path);
        self.uses.push(Use { path, name: name.to_owned() });
    }

    /// In a module within the file, the first `super`s lead out of it and not out of the file.
    fn seen_from_the_file(&self, path: Vec<String>) -> Vec<String> {
        let ups = path.iter().take_while(|part| *part == "super").count();
        match ups.min(self.depth) {
            0 => path,
            within if ups > within => path[within..].to_vec(),
            within => [&["self".to_owned()], &path[within..]].concat(),
        }
    }

    /// Macros are tokens, not syntax: paths in them are identifiers with `::` between.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punctuation) if punctuation.as_char() == ':' => colons += 1,
                TokenTree::Ident(identifier) if colons == 2 => {
                    path.push(identifier.to_string());
                    colons = 0;
                }
                other => {
                    self.add_path(std::mem::take(&mut path));
                    colons = 0;
                    match other {
                        TokenTree::Ident(identifier) => path.push(identifier.to_string()),
                        TokenTree::Group(group) => self.add_tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
        self.add_path(path);
    }

    fn add_path(&mut self, path: Vec<String>) {
        if path.len() > 1 {
            let path = self.seen_from_the_file(path);
            self.paths.push(path);
        }
    }
}

impl Visit<'_> for Names {
    fn visit_item(&mut self, item: &Item) {
        if attributes(item).iter().any(is_of_tests) {
            if let Item::Mod(module) = item {
                self.test_modules.push(module.ident.to_string());
            }
            return;
        }
        if let Item::Use(item) = item {
            self.add_uses(&item.tree, &[]);
        }
        let within = matches!(item, Item::Mod(module) if module.content.is_some());
        self.depth += usize::from(within);
        syn::visit::visit_item(self, item);
        self.depth -= usize::from(within);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        self.add_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    // `pub(in crate::node)` says who may see, not what is named.
    fn visit_visibility(&mut self, _: &syn::Visibility) {}

    fn visit_macro(&mut self, call: &syn::Macro) {
        self.add_tokens(call.tokens.clone());
        syn::visit::visit_macro(self, call);
    }
}

/// `#[test]`, `#[cfg(test)]` and `#[cfg(all(test, ...))]`.
fn is_of_tests(attribute: &Attribute) -> bool {
    let names_test = |tokens: TokenStream| {
        tokens.into_iter().any(|token| matches!(token, TokenTree::Ident(identifier) if identifier == "test"))
    };
    let is_condition = |tokens: TokenStream| match tokens.into_iter().collect::<Vec<_>>().as_slice() {
        [TokenTree::Ident(all), TokenTree::Group(conditions)] if all == "all" => names_test(conditions.stream()),
        [TokenTree::Ident(identifier)] => identifier == "test",
        _ => false,
    };
    attribute.path().is_ident("test")
        || attribute.path().is_ident("cfg") && attribute.parse_args::<TokenStream>().is_ok_and(is_condition)
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
