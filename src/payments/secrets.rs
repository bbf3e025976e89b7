//! The signing secrets of senders, and the namespaces in which each is valid.
//!
//! The secrets are in files, which are read again when a callback arrives, at most once a second. So a change
//! of a mounted Secret needs no restart. An unusable file counts as empty, so that deleting a file revokes its
//! secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flashgate_cluster::clock::Clock;
use hmac::{Hmac, KeyInit as _};
use sha2::{Digest as _, Sha256};

/// Minimum length of a secret, in bytes: the output length of HMAC-SHA256.
pub const SECRET_BYTES: usize = 32;

/// Minimum length of the key in a secret of Standard Webhooks, in bytes, by that specification.
pub const STANDARD_KEY_BYTES: usize = 24;

/// Prefix of a secret of Standard Webhooks. Its key follows in base64.
const STANDARD_PREFIX: &[u8] = b"whsec_";

/// Base64 with or without padding, because senders use both.
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Largest number of secrets in a file. A rotation needs two.
const MOST_SECRETS: usize = 16;

/// Largest file with secrets, in bytes.
const FILE_BYTES: u64 = 64 * 1_024;

/// Minimum time between two reads of the files.
const READ_PERIOD: Duration = Duration::from_secs(1);

/// The files with secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFiles {
    /// File with secrets for all namespaces.
    pub file: Option<PathBuf>,
    /// Folder with a folder for each namespace, whose files have secrets for that namespace only.
    pub folder: Option<PathBuf>,
    /// The billed namespace, if there is only one. The secrets of `file` then belong to it.
    pub only_namespace: Option<String>,
}

/// Why secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A file or folder cannot be read.
    #[error("'{file}' cannot be read")]
    Read {
        /// The file.
        file: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file has no secret.
    #[error("'{file}' holds no secret; write one on each line, several while one is being replaced")]
    Empty {
        /// The file.
        file: String,
    },
    /// The file has too many secrets.
    #[error(
        "'{file}' has more than {MOST_SECRETS} secrets or {FILE_BYTES} bytes; remove the secrets that are replaced"
    )]
    TooMany {
        /// The file.
        file: String,
    },
    /// A secret is too short.
    #[error(
        "the secret on line {line} of '{file}' has {bytes} bytes; must have at least {SECRET_BYTES}, such as what \
         `openssl rand -hex 32` prints"
    )]
    Short {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// Length of the secret.
        bytes: usize,
    },
}

/// The scope of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// It is valid only in the namespace of the request.
    OneNamespace,
    /// It is valid in other namespaces too, so the signed body must name the namespace.
    SeveralNamespaces,
}

/// A secret, ready to check signatures.
#[derive(Clone)]
pub struct Key {
    /// HMAC with the text of the secret as the key.
    pub text: Hmac<Sha256>,
    /// HMAC with the decoded base64 after `whsec_` as the key, for a secret of Standard Webhooks.
    pub standard: Option<Hmac<Sha256>>,
    /// Its scope.
    pub scope: Scope,
    fingerprint: [u8; 32],
}

/// The current secrets. They are never printed.
#[derive(Clone, Default)]
pub struct Keyring {
    everywhere: Vec<Key>,
    by_namespace: BTreeMap<String, Vec<Key>>,
}

impl Keyring {
    /// Returns the secrets in `bytes` of `file`, for all namespaces.
    ///
    /// # Errors
    /// When there are none or too many, or one of them is too short.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, SecretsError> {
        let mut keyring = Self { everywhere: parse(file, bytes)?, by_namespace: BTreeMap::new() };
        keyring.mark_scope();
        Ok(keyring)
    }

    /// Returns the keys that are valid in `namespace`.
    pub fn keys(&self, namespace: &str) -> impl Iterator<Item = &Key> {
        self.by_namespace.get(namespace).into_iter().flatten().chain(&self.everywhere)
    }

    /// Marks the keys that are valid in more than one namespace.
    fn mark_scope(&mut self) {
        let mut seen = BTreeSet::new();
        let mut several: BTreeSet<[u8; 32]> = self.everywhere.iter().map(|key| key.fingerprint).collect();
        for keys in self.by_namespace.values() {
            let here: BTreeSet<[u8; 32]> = keys.iter().map(|key| key.fingerprint).collect();
            several.extend(here.into_iter().filter(|fingerprint| !seen.insert(*fingerprint)));
        }
        for key in self.by_namespace.values_mut().flatten().chain(&mut self.everywhere) {
            let is_shared = several.contains(&key.fingerprint);
            key.scope = if is_shared { Scope::SeveralNamespaces } else { Scope::OneNamespace };
        }
    }

    /// Returns the number of secrets by namespace. The key `*` has those for all namespaces.
    fn counts(&self) -> BTreeMap<&str, usize> {
        let by_namespace = self.by_namespace.iter().map(|(namespace, keys)| (namespace.as_str(), keys.len()));
        by_namespace.chain([("*", self.everywhere.len())]).filter(|(_, count)| *count > 0).collect()
    }

    fn fingerprints(&self) -> Vec<(&str, [u8; 32])> {
        let named = self.by_namespace.iter().map(|(namespace, keys)| (namespace.as_str(), keys));
        named
            .chain([("*", &self.everywhere)])
            .flat_map(|(n, keys)| keys.iter().map(move |k| (n, k.fingerprint)))
            .collect()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keyring({:?})", self.counts())
    }
}

impl SecretFiles {
    /// Reads the secrets. Unusable files are left out and returned as errors.
    fn read(&self) -> (Keyring, Vec<SecretsError>) {
        let (mut keyring, mut problems) = (Keyring::default(), Vec::new());
        if let Some(file) = &self.file {
            match read_file(file) {
                Ok(keys) => match &self.only_namespace {
                    Some(namespace) => {
                        keyring.by_namespace.entry(namespace.clone()).or_default().extend(keys);
                    }
                    None => keyring.everywhere.extend(keys),
                },
                Err(problem) => problems.push(problem),
            }
        }
        if let Some(folder) = &self.folder {
            match visible_entries(folder) {
                Ok(namespaces) => {
                    for (namespace, path) in namespaces {
                        let keys = keyring.by_namespace.entry(namespace).or_default();
                        read_namespace(&path, keys, &mut problems);
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        keyring.by_namespace.retain(|_, keys| !keys.is_empty());
        keyring.mark_scope();
        (keyring, problems)
    }
}

/// Reads the secrets of one namespace.
fn read_namespace(folder: &Path, keys: &mut Vec<Key>, problems: &mut Vec<SecretsError>) {
    let files = match visible_entries(folder) {
        Ok(files) => files,
        Err(problem) => return problems.push(problem),
    };
    for (_, file) in files {
        match read_file(&file) {
            Ok(read) => keys.extend(read),
            Err(problem) => problems.push(problem),
        }
    }
}

/// Returns the entries of a folder by name, without the hidden ones that a mounted Secret has.
fn visible_entries(folder: &Path) -> Result<BTreeMap<String, PathBuf>, SecretsError> {
    let failed = |source| SecretsError::Read { file: folder.display().to_string(), source };
    let mut entries = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A name that is not UTF-8 is not a namespace.
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            entries.insert(name, entry.path());
        }
    }
    Ok(entries)
}

fn read_file(path: &Path) -> Result<Vec<Key>, SecretsError> {
    let file = path.display().to_string();
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|open| open.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => parse(&file, &bytes),
        Err(source) => Err(SecretsError::Read { file, source }),
    }
}

/// Reads the secrets of `file`, one per line. Ignores surrounding blanks and empty lines.
///
/// # Errors
/// When there are none or too many, or one of them is too short.
fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Key>, SecretsError> {
    let file = || file.to_owned();
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES) {
        return Err(SecretsError::TooMany { file: file() });
    }
    let mut keys = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let (secret, line) = (line.trim_ascii(), index.saturating_add(1));
        if secret.is_empty() {
            continue;
        }
        if secret.len() < SECRET_BYTES {
            return Err(SecretsError::Short { file: file(), line, bytes: secret.len() });
        }
        // HMAC accepts keys of any length, so there is always a key.
        keys.extend(Key::of(secret));
    }
    match keys.len() {
        0 => Err(SecretsError::Empty { file: file() }),
        1..=MOST_SECRETS => Ok(keys),
        _ => Err(SecretsError::TooMany { file: file() }),
    }
}

impl Key {
    fn of(secret: &[u8]) -> Option<Self> {
        let key = secret.strip_prefix(STANDARD_PREFIX).and_then(|encoded| BASE64.decode(encoded).ok());
        let key = key.filter(|key| key.len() >= STANDARD_KEY_BYTES);
        Some(Self {
            text: Hmac::new_from_slice(secret).ok()?,
            standard: key.and_then(|key| Hmac::new_from_slice(&key).ok()),
            scope: Scope::OneNamespace,
            fingerprint: Sha256::digest(secret).into(),
        })
    }
}

/// The current secrets of a webhook.
#[derive(Clone)]
pub struct Secrets {
    files: Arc<SecretFiles>,
    clock: Clock,
    known: Arc<Mutex<Known>>,
}

struct Known {
    read_at: Duration,
    keyring: Arc<Keyring>,
    problems: Vec<String>,
}

impl Secrets {
    /// Reads the secrets. An unusable file of one namespace is logged and does not affect other namespaces.
    ///
    /// # Errors
    /// When the file for all namespaces cannot be used, or the folder cannot be read.
    pub fn open(files: SecretFiles, clock: Clock) -> Result<Self, SecretsError> {
        if let Some(file) = &files.file {
            read_file(file)?;
        }
        if let Some(folder) = &files.folder {
            visible_entries(folder)?;
        }
        let known = Known { read_at: clock.uptime(), keyring: Arc::default(), problems: Vec::new() };
        let secrets = Self { files: Arc::new(files), clock, known: Arc::new(Mutex::new(known)) };
        secrets.learn(secrets.files.read());
        Ok(secrets)
    }

    /// Returns the secrets of the files, as read at most one second ago.
    pub async fn current(&self) -> Arc<Keyring> {
        let now = self.clock.uptime();
        {
            let mut known = self.lock();
            if now.saturating_sub(known.read_at) < READ_PERIOD {
                return Arc::clone(&known.keyring);
            }
            // Callbacks that arrive during the read use the known secrets.
            known.read_at = now;
        }
        let files = Arc::clone(&self.files);
        match tokio::task::spawn_blocking(move || files.read()).await {
            Ok(read) => self.learn(read),
            Err(error) => {
                tracing::error!(%error, "the secrets of the payment webhook could not be read again");
            }
        }
        Arc::clone(&self.lock().keyring)
    }

    /// Replaces the known secrets by those that were read, and logs changes.
    fn learn(&self, (keyring, problems): (Keyring, Vec<SecretsError>)) {
        let problems: Vec<String> = problems.iter().map(with_source).collect();
        let mut known = self.lock();
        for problem in problems.iter().filter(|problem| !known.problems.contains(problem)) {
            tracing::warn!(
                problem,
                "a file of payment secrets is not used; callbacks that it would allow are refused"
            );
        }
        if keyring.fingerprints() != known.keyring.fingerprints() {
            tracing::info!(secrets = ?keyring.counts(), "payment secrets read");
        }
        known.problems = problems;
        known.keyring = Arc::new(keyring);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().keyring.fmt(formatter)
    }
}

fn with_source(error: &SecretsError) -> String {
    match error {
        SecretsError::Read { source, .. } => format!("{error}: {source}"),
        other => other.to_string(),
    }
}
