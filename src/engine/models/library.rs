//! Where the ONNX Runtime shared library is looked for. It is not part of the program: it is fetched once and loaded
//! with the first network.

use std::path::{Path, PathBuf};

/// The folder that `deploy/fetch-onnxruntime.sh` unpacks into, below the project's folder.
const FETCHED: &str = "target/onnxruntime";

/// The library itself, or nothing and the places that were searched.
///
/// The order is: the setting `onnxruntime.library`, the variable `ORT_DYLIB_PATH`, beside the binary, and
/// `target/onnxruntime/` below every folder that holds the binary and below the working directory. A file named by
/// the setting or the variable is taken as it stands: if it is missing, no other is used in its place.
pub(super) fn find(setting: &Path, variable: Option<&str>, binary: Option<&Path>) -> Result<PathBuf, Vec<PathBuf>> {
    let named =
        [Some(setting), variable.map(Path::new)].into_iter().flatten().find(|path| !path.as_os_str().is_empty());
    if let Some(path) = named {
        let found = if path.is_dir() { library_in(path) } else { path.is_file().then(|| path.to_owned()) };
        return found.ok_or_else(|| vec![path.to_owned()]);
    }
    let mut folders: Vec<PathBuf> = binary.and_then(Path::parent).map(Path::to_owned).into_iter().collect();
    folders.extend(binary.into_iter().flat_map(Path::ancestors).skip(1).map(|folder| folder.join(FETCHED)));
    folders.push(PathBuf::from(FETCHED));
    folders.iter().find_map(|folder| library_in(folder)).ok_or(folders)
}

/// The library in a folder: the plain name first, then the name with the greatest version.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let plain = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let exact = folder.join(&plain);
    if exact.is_file() {
        return Some(exact);
    }
    let versioned = format!("{plain}.");
    let mut candidates: Vec<PathBuf> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&versioned))
        .map(|entry| entry.path())
        .collect();
    candidates.sort();
    candidates.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_was_named_is_used_and_never_replaced() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let library = folder.path().join("libonnxruntime.so.1.31.1");
        std::fs::write(&library, b"").expect("write");
        let missing = folder.path().join("missing.so");
        assert_eq!(find(&library, None, None), Ok(library.clone()));
        assert_eq!(find(folder.path(), None, None), Ok(library.clone()));
        assert_eq!(find(Path::new(""), library.to_str(), None), Ok(library.clone()));
        let binary = folder.path().join("pe-node");
        assert_eq!(find(&missing, library.to_str(), Some(&binary)), Err(vec![missing]));
    }

    #[test]
    fn without_a_name_it_is_found_beside_the_binary_or_where_the_script_puts_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let binary = folder.path().join("target/release/pe-node");
        let fetched = folder.path().join(FETCHED);
        std::fs::create_dir_all(&fetched).expect("folder");
        std::fs::create_dir_all(binary.parent().expect("parent")).expect("folder");
        std::fs::write(fetched.join("libonnxruntime.so"), b"").expect("write");
        assert_eq!(find(Path::new(""), None, Some(&binary)), Ok(fetched.join("libonnxruntime.so")));
        let beside = folder.path().join("target/release/libonnxruntime.so.1.31.1");
        std::fs::write(&beside, b"").expect("write");
        assert_eq!(find(Path::new(""), None, Some(&binary)), Ok(beside));
    }
}
