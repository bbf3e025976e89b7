//! Names of reports and of their source.
//!
//! A repeated tick, a restart and a second meter give the report of a window the same name, so it is created once.

use flashgate_api::AccountKey;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

/// Most characters of an object's name.
const NAME_LENGTH: usize = 253;

/// Most characters of a source.
const SOURCE_LENGTH: usize = 63;

/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 16;

/// A meter as its reports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter<'a> {
    /// Namespace of the meter, if the account is in another one.
    pub namespace: Option<&'a str>,
    /// Name of the meter.
    pub name: &'a str,
}

impl Meter<'_> {
    /// Returns the source of the meter's reports: `meter.NAME` or `meter.NAMESPACE.NAME`. If that is too long for a source,
    /// it is cut and followed by its hash.
    #[must_use]
    pub fn source(&self) -> String {
        let source = format!("meter.{}", self.prefix());
        if source.len() <= SOURCE_LENGTH {
            return source;
        }
        let room = SOURCE_LENGTH.saturating_sub(HASH_DIGITS + 1);
        format!("{}.{}", cut(&source, room), hash_of(&source))
    }

    /// Returns the name of the report of an account's window: meter, account, and start of the window.
    #[must_use]
    pub fn report(&self, account: &str, window_start: Timestamp) -> String {
        shortened(&format!("{}.{account}", self.prefix()), &start_of(window_start))
    }

    fn prefix(&self) -> String {
        self.namespace.map_or_else(|| self.name.to_owned(), |namespace| format!("{namespace}.{}", self.name))
    }
}

/// Returns the window of an account as the annotation names it.
#[must_use]
pub fn window_of(account: &AccountKey, start: Timestamp) -> String {
    format!("{account}/{}", start_of(start))
}

/// Returns the start of a window as names have it.
fn start_of(window: Timestamp) -> String {
    window.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string()
}

/// Joins the parts. If that is too long for a name, the first part is cut and followed by its hash.
fn shortened(first: &str, last: &str) -> String {
    let whole = format!("{first}.{last}");
    if whole.len() <= NAME_LENGTH {
        return whole;
    }
    let room = NAME_LENGTH.saturating_sub(HASH_DIGITS + last.len() + 2);
    format!("{}.{}.{last}", cut(first, room), hash_of(first))
}

/// Returns the beginning of a name. Names of objects are ASCII, and a part of a name ends with a letter or a digit.
fn cut(name: &str, room: usize) -> &str {
    name.get(..room).unwrap_or(name).trim_end_matches(['.', '-'])
}

/// Returns the first 64 bits of the SHA-256 of a text, in hexadecimal digits.
#[must_use]
pub fn hash_of(text: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let first = digest.first_chunk().copied().unwrap_or_default();
    format!("{:0HASH_DIGITS$x}", u64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-03-01T10:00:00Z".parse().expect("time")
    }

    #[test]
    fn a_report_is_named_after_meter_account_and_start() {
        let meter = Meter { namespace: None, name: "tokens" };
        assert_eq!(meter.source(), "meter.tokens");
        assert_eq!(meter.report("acme", start()), "tokens.acme.20260301100000");
        let elsewhere = Meter { namespace: Some("gateways"), name: "tokens" };
        assert_eq!(elsewhere.source(), "meter.gateways.tokens");
        assert_eq!(elsewhere.report("acme", start()), "gateways.tokens.acme.20260301100000");
    }

    #[test]
    fn a_source_has_at_most_63_characters() {
        let (namespace, name) = ("n".repeat(63), "m".repeat(63));
        let sources = ["x", "y"].map(|last| {
            let name = format!("{}{last}", &name[1..]);
            Meter { namespace: Some(&namespace), name: &name }.source()
        });
        assert_ne!(sources[0], sources[1]);
        assert_eq!(sources[0].len(), SOURCE_LENGTH);
    }

    #[test]
    fn long_names_stay_valid_and_different() {
        let (one, other) = ("a".repeat(253), format!("{}b", "a".repeat(252)));
        let meter = Meter { namespace: None, name: "tokens" };
        let names = [&one, &other].map(|account| meter.report(account, start()));
        assert_ne!(names[0], names[1]);
        for name in names {
            assert_eq!(name.len(), NAME_LENGTH);
            assert!(name.ends_with(".20260301100000"), "{name}");
        }
        let dotted = format!("{}.{}", "a".repeat(210), "b".repeat(42));
        let name = meter.report(&dotted, start());
        assert!(!name.contains("..") && !name.contains("-."), "{name}");
    }
}
