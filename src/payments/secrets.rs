//! The secrets that senders sign with, and the namespaces in which each is believed.
//!
//! They lie in files, which are read again when a callback comes, at most once a second: a Secret that is mounted needs
//! no restart. A file that cannot be used counts as holding no secret, so that deleting one revokes it.

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

/// Least length of a secret: what HMAC-SHA256 makes use of in full.
pub const SECRET_BYTES: usize = 32;

/// Least length of the key in a secret of Standard Webhooks, by that specification.
pub const STANDARD_KEY_BYTES: usize = 24;

/// Prefix of a secret of Standard Webhooks; its key follows in base64.
const STANDARD_PREFIX: &[u8] = b"whsec_";

/// Base64 with or without padding: senders write both.
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Most secrets in a file; two while one is being replaced.
const MOST_SECRETS: usize = 16;

/// Largest file with secrets.
const FILE_BYTES: u64 = 64 * 1_024;

/// Least time between two readings of the files.
const READ_PERIOD: Duration = Duration::from_secs(1);

/// Where the secrets lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretFiles {
    /// File with secrets for all namespaces.
    pub file: Option<PathBuf>,
    /// Folder with a folder for each namespace, with files of secrets for it alone.
    pub folder: Option<PathBuf>,
    /// The namespace that is billed, if it is only one: the secrets of `file` are then its own.
    pub only_namespace: Option<String>,
}

/// Explains why secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// A file or folder cannot be read.
    #[error("'{file}' cannot be read")]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file says nothing.
    #[error("'{file}' holds no secret; write one on each line, several while one is being replaced")]
    Empty {
        /// The file.
        file: String,
    },
    /// The file says too much.
    #[error(
        "'{file}' has more than {MOST_SECRETS} secrets or {FILE_BYTES} bytes; remove the secrets that are replaced"
    )]
    TooMany {
        /// The file.
        file: String,
    },
    /// A secret could be guessed.
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

/// How far a secret reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is believed in the namespace at hand alone.
    OneNamespace,
    /// It is believed in other namespaces as well, so only the signed body can say which one is meant.
    SeveralNamespaces,
}

/// A secret, ready to check signatures.
#[derive(Clone)]
pub struct Key {
    /// Keyed by the text of the secret.
    pub text: Hmac<Sha256>,
    /// Keyed by the base64 that follows `whsec_`, in a secret of Standard Webhooks.
    pub standard: Option<Hmac<Sha256>>,
    /// How far it reaches.
    pub reach: Reach,
    fingerprint: [u8; 32],
}

/// The secrets that are known at a time. They are never shown.
#[derive(Clone, Default)]
pub struct Keyring {
    everywhere: Vec<Key>,
    by_namespace: BTreeMap<String, Vec<Key>>,
}

impl Keyring {
    /// Returns the secrets that `bytes` of `file` hold, for all namespaces.
    ///
    /// # Errors
    /// When it holds none or too many, or one of them is short.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, SecretsError> {
        let mut keyring = Self { everywhere: parse(file, bytes)?, by_namespace: BTreeMap::new() };
        keyring.mark_reach();
        Ok(keyring)
    }

    /// Returns the keys that are believed in `namespace`.
    pub fn keys(&self, namespace: &str) -> impl Iterator<Item = &Key> {
        self.by_namespace.get(namespace).into_iter().flatten().chain(&self.everywhere)
    }

    /// Marks the keys that more than one namespace believes.
    fn mark_reach(&mut self) {
        let mut seen = BTreeSet::new();
        let mut several: BTreeSet<[u8; 32]> = self.everywhere.iter().map(|key| key.fingerprint).collect();
        for keys in self.by_namespace.values() {
            let here: BTreeSet<[u8; 32]> = keys.iter().map(|key| key.fingerprint).collect();
            several.extend(here.into_iter().filter(|fingerprint| !seen.insert(*fingerprint)));
        }
        for key in self.by_namespace.values_mut().flatten().chain(&mut self.everywhere) {
            let is_shared = several.contains(&key.fingerprint);
            key.reach = if is_shared { Reach::SeveralNamespaces } else { Reach::OneNamespace };
        }
    }

    /// Returns how many secrets there are by namespace; those for all namespaces are under `*`.
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
    /// Reads the secrets; what cannot be used is left out, with the reason.
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
        keyring.mark_reach();
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
        // What is no text is no name of a namespace either.
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

/// Reads the secrets of what `file` holds: one a line. Blanks around it and empty lines do not count.
///
/// # Errors
/// When it holds none or too many, or one of them is short.
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
        // HMAC takes keys of any length: there is always a key.
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
            reach: Reach::OneNamespace,
            fingerprint: Sha256::digest(secret).into(),
        })
    }
}

/// The secrets of a webhook, as their files are now.
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
    /// Reads the secrets. One namespace's file that cannot be used is logged and holds up no other namespace.
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

    /// Returns the secrets as the files have them, or had them up to a second ago.
    pub async fn current(&self) -> Arc<Keyring> {
        let now = self.clock.uptime();
        {
            let mut known = self.lock();
            if now.saturating_sub(known.read_at) < READ_PERIOD {
                return Arc::clone(&known.keyring);
            }
            // Callbacks that come meanwhile are checked by what is known.
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

    /// Takes over what was read, and logs what is new.
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
