//! Signatures of callbacks: HMAC-SHA256 over the time and the body.
//!
//! The header is `Flashgate-Signature: t=UNIX,v1=HEX`, where `HEX` signs the bytes `UNIX.BODY`. While a secret is
//! being replaced a sender may give several `v1`, and the receiver may know several secrets: one match suffices.

use std::fmt;
use std::path::Path;

use axum::http::{HeaderMap, HeaderValue};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

/// Name of the header.
pub const HEADER: &str = "flashgate-signature";

/// How far the time of a signature may be from the present, either way: longer than clocks differ and networks
/// delay, shorter than what was overheard is of use.
pub const TOLERANCE_SECONDS: i64 = 300;

/// Least length of a secret: what HMAC-SHA256 makes use of in full.
pub const SECRET_BYTES: usize = 32;

/// Most signatures that are looked at in one header; a sender that replaces its secret gives two.
const MOST_SIGNATURES: usize = 8;

/// Length of an HMAC-SHA256.
const TAG_BYTES: usize = 32;

/// The secrets that senders may sign with. They are never shown.
#[derive(Clone)]
pub struct Secrets(Vec<Hmac<Sha256>>);

/// Says why there are no secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be read.
    #[error("'{file}' cannot be read")]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file says nothing.
    #[error(
        "'{file}' holds no secret; must hold one, or several while one is being replaced, each on a line"
    )]
    Empty {
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

/// Says why a callback is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no header.
    #[error("there is no header Flashgate-Signature; must be 't=UNIX,v1=HEX'")]
    Missing,
    /// The header says something else.
    #[error("the header Flashgate-Signature cannot be understood; must be given once, as 't=UNIX,v1=HEX'")]
    Malformed,
    /// It was signed long ago, or the clocks differ.
    #[error(
        "the signature's time is {} seconds {}; must be within {TOLERANCE_SECONDS} seconds of now: sign again, and \
         check the clock",
        .seconds_ago.unsigned_abs(),
        if *.seconds_ago > 0 { "ago" } else { "ahead" }
    )]
    OutOfTime {
        /// By how much it lies in the past; negative when in the future.
        seconds_ago: i64,
    },
    /// It was not signed with one of the secrets, or not this body at this time.
    #[error(
        "no signature fits; must be the HMAC-SHA256 of 'UNIX.BODY', in hexadecimal, with a secret of this webhook"
    )]
    Unfitting,
}

impl Secrets {
    /// Reads the secrets of a file: one a line, blanks around it and empty lines aside.
    ///
    /// # Errors
    /// When the file cannot be read, holds none, or one of them is short.
    pub fn load(path: &Path) -> Result<Self, SecretsError> {
        let file = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&file, &bytes),
            Err(source) => Err(SecretsError::Read { file, source }),
        }
    }

    /// Reads the secrets of what `file` holds.
    ///
    /// # Errors
    /// When it holds none, or one of them is short.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, SecretsError> {
        let mut keys = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let secret = line.trim_ascii();
            let is_short = secret.len() < SECRET_BYTES;
            if is_short && !secret.is_empty() {
                let (file, line) = (file.to_owned(), index.saturating_add(1));
                return Err(SecretsError::Short { file, line, bytes: secret.len() });
            }
            // HMAC takes keys of any length: the result has no other error.
            keys.extend((!is_short).then(|| Hmac::new_from_slice(secret).ok()).flatten());
        }
        if keys.is_empty() { Err(SecretsError::Empty { file: file.to_owned() }) } else { Ok(Self(keys)) }
    }

    /// Checks that `body` was signed with one of the secrets, and not long before `now`.
    ///
    /// # Guarantees
    /// How long the comparison takes tells nothing of the signature that would fit.
    ///
    /// # Errors
    /// Why the callback is not to be believed.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
        let mut given = headers.get_all(HEADER).iter();
        let header = match (given.next(), given.next()) {
            (None, _) => return Err(SignatureError::Missing),
            (Some(header), None) => header,
            (Some(_), Some(_)) => return Err(SignatureError::Malformed),
        };
        let signed = Signed::parse(header).ok_or(SignatureError::Malformed)?;
        let seconds_ago = now.as_second().saturating_sub(signed.second);
        if seconds_ago.saturating_abs() > TOLERANCE_SECONDS {
            return Err(SignatureError::OutOfTime { seconds_ago });
        }
        let fits = self.0.iter().any(|key| {
            let signed_bytes = key.clone().chain_update(signed.time).chain_update(".").chain_update(body);
            signed.tags.iter().any(|tag| signed_bytes.clone().verify_slice(tag).is_ok())
        });
        if fits { Ok(()) } else { Err(SignatureError::Unfitting) }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secrets({})", self.0.len())
    }
}

/// What the header says.
struct Signed<'a> {
    /// The time as it was written, since that is what was signed.
    time: &'a str,
    second: i64,
    tags: Vec<[u8; TAG_BYTES]>,
}

impl<'a> Signed<'a> {
    /// Reads `t=UNIX,v1=HEX[,v1=HEX…]`; schemes of other names are passed over.
    fn parse(header: &'a HeaderValue) -> Option<Self> {
        let mut time = None;
        let mut tags = Vec::new();
        for part in header.to_str().ok()?.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            match name {
                "t" if time.is_some() => return None,
                "t" => time = Some(value),
                "v1" if tags.len() == MOST_SIGNATURES => return None,
                "v1" => tags.push(tag(value)?),
                _ => {}
            }
        }
        let time = time?;
        let is_number = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
        let second = time.parse().ok().filter(|_| is_number)?;
        (!tags.is_empty()).then_some(Self { time, second, tags })
    }
}

/// Reads an HMAC-SHA256 in hexadecimal.
fn tag(text: &str) -> Option<[u8; TAG_BYTES]> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes?.try_into().ok()
}
