//! The file of a backup. It is written completely or not at all, and read only if it is complete.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Version of the file's format.
const FORMAT_VERSION: u32 = 1;

/// Prefix of the names of backups.
const PREFIX: &str = "flashgate-billing-";

/// Suffix of the names of backups.
const SUFFIX: &str = ".jsonl";

/// Suffix of the name of a backup that is being written.
const UNFINISHED: &str = ".partial";

/// The last line of a backup: its metadata, and a hash of all lines before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seal {
    /// Version of the file's format.
    pub format_version: u32,
    /// Version of the program that wrote it.
    pub program_version: String,
    /// When the export began.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Timestamp,
    /// Objects by kind.
    pub objects: BTreeMap<String, u64>,
    /// SHA-256 of the lines before this one, in lower-case hexadecimal.
    pub sha256: String,
}

/// The JSON form of the last line.
#[derive(Serialize, Deserialize)]
struct SealLine {
    backup: Seal,
}

/// Why a file cannot be used as a backup.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be read or written.
    #[error("{} cannot be read or written", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The last line is missing.
    #[error("{} has no last line with `backup`: it is not a backup, or it was cut off; use another backup", .path.display())]
    Unsealed {
        /// The file.
        path: PathBuf,
    },
    /// The file was changed after it was written.
    #[error("{} was changed after it was written: its lines have the SHA-256 {found}, its last line says {sealed}; use another backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The hash of its lines.
        found: String,
        /// The hash that was sealed.
        sealed: String,
    },
    /// A later version of the program wrote it.
    #[error("{} has the format {format_version}, this program reads {FORMAT_VERSION}: use flashgate-billing {program_version}", .path.display())]
    LaterFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        format_version: u32,
        /// Version of the program that wrote it.
        program_version: String,
    },
    /// A line is not JSON.
    #[error("{}: line {line} is not JSON; use another backup", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The error in it.
        #[source]
        source: serde_json::Error,
    },
}

/// A backup that is being written. The file has a temporary name until it is complete.
pub struct Writer {
    lines: BufWriter<File>,
    folder: PathBuf,
    unfinished: PathBuf,
    path: PathBuf,
    hash: Sha256,
    objects: BTreeMap<String, u64>,
    start_time: Timestamp,
}

impl Writer {
    /// Begins a backup in `folder`, named by its time.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(folder: &Path, now: Timestamp) -> Result<Self, ArchiveError> {
        let name = format!("{PREFIX}{}{SUFFIX}", now.strftime("%Y%m%dT%H%M%SZ"));
        let (path, unfinished) = (folder.join(&name), folder.join(format!("{name}{UNFINISHED}")));
        let file = File::create(&unfinished).map_err(|source| error(&unfinished, source))?;
        Ok(Self {
            lines: BufWriter::new(file),
            folder: folder.to_owned(),
            unfinished,
            path,
            hash: Sha256::new(),
            objects: BTreeMap::new(),
            start_time: now,
        })
    }

    /// Adds an object of a kind.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, kind: &str, object: &Value) -> Result<(), ArchiveError> {
        let line = format!("{object}\n");
        self.hash.update(&line);
        *self.objects.entry(kind.to_owned()).or_default() += 1;
        self.lines.write_all(line.as_bytes()).map_err(|source| error(&self.unfinished, source))
    }

    /// Writes the seal, syncs the file to the disk, then renames it. Returns its path and its seal.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self, now: Timestamp) -> Result<(PathBuf, Seal), ArchiveError> {
        let seal = Seal {
            format_version: FORMAT_VERSION,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time: self.start_time,
            end_time: now,
            objects: self.objects,
            sha256: hexadecimal(self.hash),
        };
        let unfinished = self.unfinished;
        let written = (|| {
            serde_json::to_writer(&mut self.lines, &SealLine { backup: seal.clone() })?;
            self.lines.write_all(b"\n")?;
            self.lines.flush()?;
            self.lines.get_ref().sync_all()?;
            fs::rename(&unfinished, &self.path)?;
            // Syncing the folder makes the rename durable.
            File::open(&self.folder)?.sync_all()
        })();
        written.map_err(|source| error(&unfinished, source))?;
        Ok((self.path, seal))
    }
}

/// Deletes all backups of a folder except the newest `keep`, and unfinished files of earlier runs. Returns the
/// number of deleted files.
///
/// # Errors
/// When the folder cannot be read, or a file cannot be deleted.
pub fn prune(folder: &Path, keep: usize) -> Result<usize, ArchiveError> {
    let (mut whole, mut over) = (Vec::new(), Vec::new());
    let entries = fs::read_dir(folder).map_err(|source| error(folder, source))?;
    for entry in entries {
        let path = entry.map_err(|source| error(folder, source))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with(PREFIX) {
            continue;
        }
        if name.ends_with(SUFFIX) {
            whole.push(path);
        } else if name.ends_with(UNFINISHED) {
            over.push(path);
        }
    }
    whole.sort();
    whole.truncate(whole.len().saturating_sub(keep));
    over.append(&mut whole);
    for path in &over {
        fs::remove_file(path).map_err(|source| error(path, source))?;
    }
    Ok(over.len())
}

/// A complete backup.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    /// Its content.
    pub seal: Seal,
}

impl Archive {
    /// Opens a backup and checks that it is complete and unchanged.
    ///
    /// # Errors
    /// When it cannot be read, was cut off or changed, or has a later format.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let mut hash = Sha256::new();
        let mut last: Option<String> = None;
        for line in lines(path)? {
            let line = line.map_err(|source| error(path, source))?;
            if let Some(before) = last.replace(line) {
                hash.update(before);
                hash.update("\n");
            }
        }
        let unsealed = || ArchiveError::Unsealed { path: path.to_owned() };
        let seal: SealLine = last.and_then(|line| serde_json::from_str(&line).ok()).ok_or_else(unsealed)?;
        let Seal { format_version, program_version, sha256, .. } = &seal.backup;
        if *format_version > FORMAT_VERSION {
            return Err(ArchiveError::LaterFormat {
                path: path.to_owned(),
                format_version: *format_version,
                program_version: program_version.clone(),
            });
        }
        let found = hexadecimal(hash);
        if found != *sha256 {
            return Err(ArchiveError::Damaged { path: path.to_owned(), found, sealed: sha256.clone() });
        }
        Ok(Self { path: path.to_owned(), seal: seal.backup })
    }

    /// Returns the objects of a kind, in the order of the file.
    ///
    /// # Errors
    /// When the file cannot be read; each object may be an error of its own.
    pub fn objects(
        &self,
        kind: &str,
    ) -> Result<impl Iterator<Item = Result<Value, ArchiveError>>, ArchiveError> {
        let path = self.path.clone();
        let objects = lines(&self.path)?.enumerate().map(move |(index, line)| {
            let line = line.map_err(|source| error(&path, source))?;
            serde_json::from_str(&line).map_err(|source| ArchiveError::Line {
                path: path.clone(),
                line: index + 1,
                source,
            })
        });
        let kind = kind.to_owned();
        Ok(objects
            .filter(move |object| object.as_ref().map_or(true, |object: &Value| object["kind"] == kind)))
    }
}

fn lines(path: &Path) -> Result<io::Lines<BufReader<File>>, ArchiveError> {
    File::open(path).map(|file| BufReader::new(file).lines()).map_err(|source| error(path, source))
}

fn error(path: &Path, source: io::Error) -> ArchiveError {
    ArchiveError::File { path: path.to_owned(), source }
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("time")
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("flashgate-{name}-{}", std::process::id()));
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("removed");
        }
        fs::create_dir_all(&folder).expect("folder");
        folder
    }

    fn write(folder: &Path, now: &str) -> PathBuf {
        let mut writer = Writer::create(folder, time(now)).expect("created");
        for (kind, name) in [("Subscription", "acme"), ("CreditLedger", "acme"), ("CreditLedger", "other")] {
            writer.add(kind, &json!({"kind": kind, "metadata": {"name": name}})).expect("added");
        }
        writer.finish(time(now)).expect("finished").0
    }

    #[test]
    fn a_backup_that_is_whole_gives_its_objects_by_kind() {
        let folder = folder("whole");
        let path = write(&folder, "2026-11-29T03:00:00Z");
        assert_eq!(path.file_name().expect("name"), "flashgate-billing-20261129T030000Z.jsonl");
        let archive = Archive::open(&path).expect("opened");
        assert_eq!(archive.seal.objects["CreditLedger"], 2);
        let ledgers: Vec<Value> =
            archive.objects("CreditLedger").expect("read").map(|object| object.expect("JSON")).collect();
        let names: Vec<&Value> = ledgers.iter().map(|ledger| &ledger["metadata"]["name"]).collect();
        assert_eq!(names, ["acme", "other"]);
    }

    #[test]
    fn a_backup_that_is_not_finished_has_no_name_of_a_backup() {
        let folder = folder("unfinished");
        let mut writer = Writer::create(&folder, time("2026-11-29T03:00:00Z")).expect("created");
        writer.add("CreditLedger", &json!({})).expect("added");
        drop(writer);
        let names: Vec<_> =
            fs::read_dir(&folder).expect("folder").map(|entry| entry.expect("entry").file_name()).collect();
        assert_eq!(names, ["flashgate-billing-20261129T030000Z.jsonl.partial"]);
    }

    #[test]
    fn a_backup_that_was_cut_off_or_changed_is_refused() {
        let folder = folder("damaged");
        let path = write(&folder, "2026-11-29T03:00:00Z");
        let whole = fs::read_to_string(&path).expect("read");
        let cut = whole.rsplitn(3, '\n').last().expect("lines");
        fs::write(&path, cut).expect("written");
        let error = Archive::open(&path).expect_err("cut off").to_string();
        assert!(error.contains("cut off"), "{error}");
        fs::write(&path, whole.replacen("other", "Other", 1)).expect("written");
        let error = Archive::open(&path).expect_err("changed").to_string();
        assert!(error.contains("was changed after it was written"), "{error}");
        fs::write(&path, whole.replace("\"formatVersion\":1", "\"formatVersion\":2")).expect("written");
        let error = Archive::open(&path).expect_err("later").to_string();
        assert!(error.contains("has the format 2"), "{error}");
    }

    #[test]
    fn the_newest_backups_are_kept_and_files_of_others_stay() {
        let folder = folder("pruned");
        for day in 1..=4 {
            write(&folder, &format!("2026-11-0{day}T03:00:00Z"));
        }
        fs::write(folder.join("flashgate-billing-20261101T020000Z.jsonl.partial"), "").expect("written");
        fs::write(folder.join("notes.txt"), "").expect("written");
        assert_eq!(prune(&folder, 2).expect("pruned"), 3);
        let mut names: Vec<_> =
            fs::read_dir(&folder).expect("folder").map(|entry| entry.expect("entry").file_name()).collect();
        names.sort();
        assert_eq!(
            names,
            [
                "flashgate-billing-20261103T030000Z.jsonl",
                "flashgate-billing-20261104T030000Z.jsonl",
                "notes.txt"
            ]
        );
    }
}
