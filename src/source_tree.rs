//! Lists the files of this repository for the tests that read its text.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders with generated or copied files.
const SKIPPED: [&str; 2] = [".git", "target"];

/// Returns the root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every file below `folder`, in order, without those of `.git` and `target`.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        let is_skipped = path.file_name().is_some_and(|name| SKIPPED.iter().any(|skipped| name == *skipped));
        if path.is_dir() && !is_skipped {
            found.extend(files(&path));
        } else if path.is_file() && !is_skipped {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns whether the name of `file` ends in one of `extensions`.
pub fn has_extension(file: &Path, extensions: &[&str]) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| extensions.contains(&extension))
}
