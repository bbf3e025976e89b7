//! Signatures of callbacks: HMAC-SHA256 over the time and the body, in one of two forms.
//!
//! The first form is the header `Flashgate-Signature: t=UNIX,v1=HEX`, where `HEX` signs the bytes `UNIX.BODY`.
//! The second form is that of [Standard Webhooks](https://www.standardwebhooks.com): `webhook-id`,
//! `webhook-timestamp` and `webhook-signature: v1,BASE64`, which signs `ID.UNIX.BODY`. During a rotation a
//! sender may send several signatures, and the receiver may have several secrets. One match is enough.

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use super::secrets::{BASE64, Key, Keyring, Scope};

/// Name of the header of the first form.
pub const HEADER: &str = "flashgate-signature";

/// Names of the headers of Standard Webhooks: of the event's id, of the time, of the signatures.
pub const STANDARD_HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// Largest difference, in seconds, between the time of a signature and the current time. It allows for clock
/// skew and delays, and limits replays of recorded callbacks.
pub const TOLERANCE_SECONDS: i64 = 300;

/// Largest number of signatures in one header. A sender needs two during a rotation.
const MOST_SIGNATURES: usize = 8;

/// Length of an HMAC-SHA256, in bytes.
const TAG_BYTES: usize = 32;

/// Why the signature of a callback is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no header.
    #[error(
        "the callback is not signed; must be, by the header Flashgate-Signature, or by webhook-id, webhook-timestamp and \
         webhook-signature"
    )]
    Missing,
    /// The header `Flashgate-Signature` is malformed.
    #[error("the header Flashgate-Signature cannot be understood; must be given once, as 't=UNIX,v1=HEX'")]
    Malformed,
    /// The headers of Standard Webhooks are malformed, or one is missing.
    #[error(
        "the headers of Standard Webhooks cannot be understood; must be webhook-id, webhook-timestamp as seconds since \
         1970, and webhook-signature as 'v1,BASE64', each once"
    )]
    MalformedStandard,
    /// It was signed too long ago, or the clocks differ.
    #[error(
        "the signature's time is {} seconds {}; must be within {TOLERANCE_SECONDS} seconds of now: sign again, and \
         check the clock",
        .seconds_ago.unsigned_abs(),
        if *.seconds_ago > 0 { "ago" } else { "ahead" }
    )]
    OutOfTime {
        /// Age of the signature in seconds. Negative if its time is in the future.
        seconds_ago: i64,
    },
    /// No signature matches the body and time with one of the secrets.
    #[error(
        "no signature fits; must be the HMAC-SHA256 of 'UNIX.BODY', in hexadecimal, with a secret of this webhook for the \
         namespace of the path"
    )]
    Unfitting,
    /// The same, in the form of Standard Webhooks.
    #[error(
        "no signature fits; must be the HMAC-SHA256 of 'ID.UNIX.BODY', in base64, with a secret of this webhook for the \
         namespace of the path that begins with whsec_ and goes on in base64"
    )]
    UnfittingStandard,
}

impl Keyring {
    /// Checks that `body` was signed with a secret that is valid in `namespace`, at a time close to `now`.
    /// Returns the scope of that secret.
    ///
    /// # Guarantees
    /// The comparison takes constant time, so its duration does not reveal the right signature.
    ///
    /// # Errors
    /// Why the signature is not accepted.
    pub fn verify(
        &self,
        namespace: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Scope, SignatureError> {
        let signed = Signed::of(headers)?;
        let seconds_ago = now.as_second().saturating_sub(signed.second);
        if seconds_ago.saturating_abs() > TOLERANCE_SECONDS {
            return Err(SignatureError::OutOfTime { seconds_ago });
        }
        let fitting = self.keys(namespace).find(|key| signed.fits(key, body));
        fitting.map(|key| key.scope).ok_or(match signed.form {
            Form::Own => SignatureError::Unfitting,
            Form::Standard => SignatureError::UnfittingStandard,
        })
    }
}

/// The form of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Own,
    Standard,
}

/// The content of the headers.
struct Signed {
    form: Form,
    /// The signed prefix of the body, as received.
    prefix: String,
    second: i64,
    tags: Vec<[u8; TAG_BYTES]>,
}

impl Signed {
    /// Reads the header `Flashgate-Signature`. If there is none, reads those of Standard Webhooks.
    fn of(headers: &HeaderMap) -> Result<Self, SignatureError> {
        if headers.contains_key(HEADER) {
            return once(headers, HEADER).and_then(Self::parse).ok_or(SignatureError::Malformed);
        }
        if !STANDARD_HEADERS.iter().any(|name| headers.contains_key(*name)) {
            return Err(SignatureError::Missing);
        }
        let [id, time, signatures] = STANDARD_HEADERS.map(|name| once(headers, name));
        let signed = id.zip(time).zip(signatures);
        let signed = signed.and_then(|((id, time), signatures)| Self::parse_standard(id, time, signatures));
        signed.ok_or(SignatureError::MalformedStandard)
    }

    /// Reads `t=UNIX,v1=HEX[,v1=HEX…]`. Ignores other schemes.
    fn parse(header: &str) -> Option<Self> {
        let mut time = None;
        let mut tags = Vec::new();
        for part in header.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            match name {
                "t" if time.is_some() => return None,
                "t" => time = Some(value),
                "v1" if tags.len() == MOST_SIGNATURES => return None,
                "v1" => tags.push(hexadecimal(value)?),
                _ => {}
            }
        }
        let (form, time) = (Form::Own, time?);
        let (prefix, second) = (format!("{time}."), unix_second(time)?);
        (!tags.is_empty()).then_some(Self { form, prefix, second, tags })
    }

    /// Reads `v1,BASE64[ v1,BASE64…]`. Ignores other schemes.
    fn parse_standard(id: &str, time: &str, signatures: &str) -> Option<Self> {
        let mut tags = Vec::new();
        for signature in signatures.split_ascii_whitespace() {
            match signature.split_once(',')? {
                ("v1", _) if tags.len() == MOST_SIGNATURES => return None,
                ("v1", tag) => tags.push(BASE64.decode(tag).ok()?.try_into().ok()?),
                _ => {}
            }
        }
        let (form, second) = (Form::Standard, unix_second(time)?);
        let prefix = format!("{id}.{time}.");
        (!id.is_empty() && !tags.is_empty()).then_some(Self { form, prefix, second, tags })
    }

    /// Returns whether one of the signatures matches `body` with `key`.
    fn fits(&self, key: &Key, body: &[u8]) -> bool {
        let mac = match self.form {
            Form::Own => Some(&key.text),
            Form::Standard => key.standard.as_ref(),
        };
        mac.is_some_and(|mac: &Hmac<Sha256>| {
            let signed_bytes = mac.clone().chain_update(&self.prefix).chain_update(body);
            self.tags.iter().any(|tag| signed_bytes.clone().verify_slice(tag).is_ok())
        })
    }
}

/// Returns the text of a header that occurs exactly once.
fn once<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut given = headers.get_all(name).iter();
    let header: &HeaderValue = given.next()?;
    given.next().is_none().then_some(header)?.to_str().ok()
}

fn unix_second(time: &str) -> Option<i64> {
    let is_number = !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit());
    time.parse().ok().filter(|_| is_number)
}

/// Reads an HMAC-SHA256 in hexadecimal.
fn hexadecimal(text: &str) -> Option<[u8; TAG_BYTES]> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes?.try_into().ok()
}
