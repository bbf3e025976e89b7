//! Grants: credits that an account received, their burn order, and their settlement (Laws 4, 5, 7).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Credits;
use crate::text::as_text;

/// Seconds for which a settlement stays open after the grace, so that the operator has seen every report that
/// arrived in time (Law 7).
pub const SETTLEMENT_CLOSES_AFTER_SECONDS: i64 = 60;

/// The source of a grant, in the burn order of grants with the same expiration (Law 5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantSource {
    /// The plan, for one period.
    Plan {
        /// Number of the period.
        period_number: u32,
    },
    /// An administrator, by a CreditAdjustment of this name.
    Adjustment {
        /// Name of the CreditAdjustment.
        name: Arc<str>,
    },
    /// A purchase, by a CreditPack of this name.
    Pack {
        /// Name of the CreditPack.
        name: Arc<str>,
    },
}

impl fmt::Display for GrantSource {
    /// Writes the grant's id, such as `plan/4` or `pack/march-top-up`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan { period_number } => write!(formatter, "plan/{period_number}"),
            Self::Adjustment { name } => write!(formatter, "adjustment/{name}"),
            Self::Pack { name } => write!(formatter, "pack/{name}"),
        }
    }
}

/// The error for a text that is not the id of a grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no id of a grant")]
pub struct ParseGrantSourceError(String);

impl FromStr for GrantSource {
    type Err = ParseGrantSourceError;

    /// Parses the id of a grant, as it is displayed.
    fn from_str(id: &str) -> Result<Self, Self::Err> {
        let refused = || ParseGrantSourceError(id.to_owned());
        match id.split_once('/').ok_or_else(refused)? {
            ("plan", number) => Ok(Self::Plan { period_number: number.parse().map_err(|_| refused())? }),
            ("adjustment", name) => Ok(Self::Adjustment { name: name.into() }),
            ("pack", name) => Ok(Self::Pack { name: name.into() }),
            _ => Err(refused()),
        }
    }
}

as_text!(GrantSource, str::parse);

impl GrantSource {
    const fn burn_rank(&self) -> u8 {
        match self {
            Self::Plan { .. } => 0,
            Self::Adjustment { .. } => 1,
            Self::Pack { .. } => 2,
        }
    }

    /// Returns a hash of the source, to compare many sources quickly.
    pub(crate) fn fingerprint(&self) -> u64 {
        let kind = u64::from(self.burn_rank());
        match self {
            Self::Plan { period_number } => mix(kind, u64::from(*period_number)),
            Self::Adjustment { name } | Self::Pack { name } => {
                let bytes = name.as_bytes();
                let mix_all = |words: &[[u8; 8]]| {
                    words.iter().fold(kind, |sum, word| mix(sum, u64::from_le_bytes(*word)))
                };
                match bytes.last_chunk() {
                    Some(last) => mix(mix_all(bytes.as_chunks().0), u64::from_le_bytes(*last)),
                    None => bytes.iter().fold(kind, |sum, byte| mix(sum, u64::from(*byte))),
                }
            }
        }
    }
}

const fn mix(sum: u64, word: u64) -> u64 {
    // Multiplicative hashing needs an odd factor with many bits.
    (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Granted credits, and how much of them remains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grant {
    /// Its source, which is also its identity.
    pub source: GrantSource,
    /// Credits given.
    pub credits: Credits,
    /// Remaining credits. After the expiration, the credits that late usage may still claim.
    pub remaining: Credits,
    /// Instant from which it counts.
    pub effective_time: Timestamp,
    /// Expiration of the remaining credits. Absent if they never expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Expiration>,
}

/// The expiration of a grant, and the time in which late usage may claim its rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expiration {
    /// Instant of the expiration.
    pub time: Timestamp,
    /// Seconds after the expiration in which earlier usage may still arrive.
    pub grace_seconds: u32,
    /// True if the expiration is booked, so the rest is settling.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passed: bool,
}

impl Expiration {
    /// Returns the last instant at which usage from before the expiration may arrive.
    #[must_use]
    pub fn settles_until(self) -> Timestamp {
        crate::period::seconds_after(self.time, i64::from(self.grace_seconds))
    }

    /// Returns the instant at which the rest can no longer be used.
    #[must_use]
    pub fn settlement_end_time(self) -> Timestamp {
        crate::period::seconds_after(self.settles_until(), SETTLEMENT_CLOSES_AFTER_SECONDS)
    }
}

impl Grant {
    /// Returns true if the rest is part of the balance.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.expiration.is_none_or(|expiration| !expiration.passed)
    }

    /// Returns true if the rest is settling.
    #[must_use]
    pub fn is_settling(&self) -> bool {
        !self.is_current()
    }

    /// Returns true if the grant may pay usage whose window ended at `window_end` and that arrived at `arrival`
    /// (Law 7).
    #[must_use]
    pub fn may_pay(&self, window_end: Timestamp, arrival: Timestamp) -> bool {
        self.expiration.is_none_or(|expiration| {
            !expiration.passed || (window_end <= expiration.time && arrival <= expiration.settles_until())
        })
    }

    /// Compares grants in burn order (Law 5): the earliest expiration first, then plan before adjustment before
    /// pack, then the earlier effective time, then the id.
    #[must_use]
    pub fn burn_order(&self, other: &Self) -> Ordering {
        let expiration = |grant: &Self| grant.expiration.map_or(Timestamp::MAX, |expiration| expiration.time);
        expiration(self)
            .cmp(&expiration(other))
            .then_with(|| self.expiration.is_none().cmp(&other.expiration.is_none()))
            .then_with(|| self.source.burn_rank().cmp(&other.source.burn_rank()))
            .then_with(|| self.effective_time.cmp(&other.effective_time))
            .then_with(|| self.source.cmp(&other.source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(source: GrantSource, effective: i64, expires: Option<i64>) -> Grant {
        let at = |second| Timestamp::from_second(second).expect("time");
        let credits = "10".parse().expect("amount");
        Grant {
            source,
            credits,
            remaining: credits,
            effective_time: at(effective),
            expiration: expires.map(|second| Expiration {
                time: at(second),
                grace_seconds: 0,
                passed: false,
            }),
        }
    }

    #[test]
    fn grants_burn_by_expiration_then_kind_then_age_then_id() {
        let pack = |name: &str| GrantSource::Pack { name: name.into() };
        let ordered = [
            grant(pack("early"), 9, Some(50)),
            grant(GrantSource::Plan { period_number: 7 }, 8, Some(60)),
            grant(GrantSource::Adjustment { name: "a".into() }, 7, Some(60)),
            grant(pack("z"), 1, Some(60)),
            grant(pack("a"), 2, Some(60)),
            grant(pack("b"), 2, Some(60)),
            grant(GrantSource::Adjustment { name: "a".into() }, 7, None),
            grant(pack("a"), 1, None),
        ];
        let mut shuffled: Vec<Grant> = ordered.iter().rev().cloned().collect();
        shuffled.sort_by(Grant::burn_order);
        assert_eq!(shuffled, ordered);
    }
}
