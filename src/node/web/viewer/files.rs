//! The files of a viewer's folder, listed once.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use axum::http::{HeaderMap, HeaderValue, header};

/// Why a folder cannot be served as a viewer.
#[derive(Debug, thiserror::Error)]
pub enum ViewerError {
    /// It cannot be listed.
    #[error("viewer.directory: listing {path}: {source}", path = path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("viewer.directory: {path} has no index.html; unpack OHIF's build there (docs/dicomweb.md)", path = .0.display())]
    NoViewer(PathBuf),
}

/// Files by their path below the folder, parts separated by `/`.
pub(super) struct Files(HashMap<String, Served>);

impl Files {
    /// Lists a folder and those below it. Links are not followed: nothing outside the folder is served.
    pub(super) fn list(directory: &Path, index: &str) -> Result<Self, ViewerError> {
        let mut found = HashMap::new();
        let mut folders = vec![(directory.to_owned(), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            let failed = |source| ViewerError::List { path: folder.clone(), source };
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                let (path, metadata) = (entry.path(), entry.metadata().map_err(failed)?);
                if metadata.is_dir() {
                    folders.push((path, format!("{prefix}{name}/")));
                } else if metadata.is_file() {
                    found.insert(format!("{prefix}{name}"), Served::new(path, &name, &metadata));
                }
            }
        }
        if !found.contains_key(index) {
            return Err(ViewerError::NoViewer(directory.to_owned()));
        }
        Ok(Self(found))
    }

    pub(super) fn get(&self, path: &str) -> Option<&Served> {
        self.0.get(path)
    }
}

/// One file.
pub(super) struct Served {
    path: PathBuf,
    content_type: &'static str,
    /// Changes with the file and with this program, which changes files on the way out.
    tag: HeaderValue,
    /// A name that holds a digest of the content: the file never changes.
    immutable: bool,
}

impl Served {
    fn new(path: PathBuf, name: &str, metadata: &Metadata) -> Self {
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = changed.unwrap_or_default().as_millis();
        let tag = format!("W/\"{:x}-{changed:x}-{}\"", metadata.len(), env!("CARGO_PKG_VERSION"));
        Self {
            path,
            content_type: content_type(name),
            tag: HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("W/\"\"")),
            immutable: holds_digest(name),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn tag(&self) -> &HeaderValue {
        &self.tag
    }

    /// True for pages, scripts and style sheets, whose text may name the root of the server.
    pub(super) fn names_root(&self) -> bool {
        matches!(self.content_type, "text/html" | "text/javascript" | "text/css")
    }

    pub(super) fn headers(&self, policy: &'static str) -> HeaderMap {
        // No patient data is in these files: caches on the way may keep them.
        let caching = if self.immutable { "public, max-age=31536000, immutable" } else { "public, no-cache" };
        HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static(self.content_type)),
            (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
            (header::ETAG, self.tag.clone()),
        ])
    }
}

/// Browsers run scripts and WebAssembly of the right type alone.
fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html",
        "js" | "mjs" => "text/javascript",
        "css" => "text/css",
        "json" | "map" | "webmanifest" => "application/json",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        "woff" => "font/woff",
        "ttf" => "font/ttf",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}

/// True for `app.bundle.0f6159c501addfe9.js` and `37fa160cc3a47cfd.wasm`.
fn holds_digest(name: &str) -> bool {
    /// Digits of the shortest digest that bundlers write.
    const DIGITS: usize = 16;
    name.split('.').any(|part| part.len() >= DIGITS && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_page_is_no_viewer_and_links_are_not_followed() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(matches!(Files::list(folder.path(), "index.html"), Err(ViewerError::NoViewer(_))));
        fs::create_dir(folder.path().join("assets")).expect("folder");
        for name in ["index.html", "assets/a.0f6159c501addfe9.js"] {
            fs::write(folder.path().join(name), "text").expect("file");
        }
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link.txt")).expect("link");
        let files = Files::list(folder.path(), "index.html").expect("a viewer");
        assert!(files.get("link.txt").is_none() && files.get("../index.html").is_none());
        let script = files.get("assets/a.0f6159c501addfe9.js").expect("a file");
        assert_eq!((script.content_type, script.immutable), ("text/javascript", true));
        assert!(!files.get("index.html").expect("a page").immutable);
    }
}
