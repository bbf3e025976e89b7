//! Names of reports and of their source.
//!
//! A repeated tick, a restart and a second meter give the report of a window the same name, so it is created once.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

/// Most characters of an object's name.
const NAME_LENGTH: usize = 253;

/// Hexadecimal digits of the hash in a name that is shortened.
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
    /// Returns the source of the meter's reports: `meter.NAME` or `meter.NAMESPACE.NAME`.
    #[must_use]
    pub fn source(&self) -> String {
        format!("meter.{}", self.prefix())
    }

    /// Returns the name of the report of an account's window: meter, account, and start of the window.
    #[must_use]
    pub fn report(&self, account: &str, window_start: Timestamp) -> String {
        let start = window_start.to_zoned(TimeZone::UTC).strftime("%Y%m%d%H%M%S").to_string();
        shortened(&format!("{}.{account}", self.prefix()), &start)
    }

    fn prefix(&self) -> String {
        self.namespace.map_or_else(|| self.name.to_owned(), |namespace| format!("{namespace}.{}", self.name))
    }
}

/// Joins the parts. If that is too long for a name, the first part is cut and followed by its hash.
fn shortened(first: &str, last: &str) -> String {
    let whole = format!("{first}.{last}");
    if whole.len() <= NAME_LENGTH {
        return whole;
    }
    let digest = Sha256::digest(first);
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = hash.get(..HASH_DIGITS).unwrap_or(&hash);
    let room = NAME_LENGTH.saturating_sub(hash.len() + last.len() + 2);
    // Names of objects are ASCII. A part of a name ends with a letter or a digit.
    let cut: String = first.chars().take(room).collect();
    format!("{}.{hash}.{last}", cut.trim_end_matches(['.', '-']))
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
