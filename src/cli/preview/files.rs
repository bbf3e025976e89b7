//! The files of the command line, and those of its folders.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::text_file;

/// Extensions of the files that are read in a folder.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// A file: its name as on the command line, and its text.
pub type File = (String, String);

/// Returns the files of `paths` in their order, and those of each folder by name. With `recursive`, also those of its
/// folders.
///
/// # Errors
/// When one cannot be read, or is not text.
pub fn read(paths: &[PathBuf], recursive: bool) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            add_folder(&mut files, path, recursive)?;
        } else {
            files.push(file(path)?);
        }
    }
    Ok(files)
}

fn add_folder(files: &mut Vec<File>, folder: &Path, recursive: bool) -> anyhow::Result<()> {
    let entries = folder.read_dir().and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.iter().map(std::fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() && recursive {
            add_folder(files, &path, recursive)?;
        } else if path.is_file() && extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
            files.push(file(&path)?);
        }
    }
    Ok(())
}

fn file(path: &Path) -> anyhow::Result<File> {
    let text = text_file::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((path.display().to_string(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_folder_are_read_by_name() {
        let folder = tempfile::tempdir().expect("folder");
        let inner = folder.path().join("b");
        std::fs::create_dir(&inner).expect("folder");
        for (folder, name) in [
            (folder.path(), "c.yml"),
            (folder.path(), "a.yaml"),
            (folder.path(), "x.txt"),
            (&inner, "d.json"),
        ] {
            std::fs::write(folder.join(name), name).expect("written");
        }
        let names = |recursive| {
            let files = read(&[folder.path().to_owned()], recursive).expect("read");
            files.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert_eq!(names(false), ["a.yaml", "c.yml"]);
        assert_eq!(names(true), ["a.yaml", "d.json", "c.yml"]);
    }
}
