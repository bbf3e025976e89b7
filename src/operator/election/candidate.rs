//! The state of a candidate, and its next move. Pure: no client, no clock.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

/// Duration of a lease that was released. It has no effect, but the API requires a value.
const DURATION_OF_FREE_LEASE_SECONDS: i32 = 1;

/// A candidate in the election.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    duration: Duration,
    seen: Option<ObservedLease>,
    /// Whether the lease may have changed since it was seen.
    is_in_doubt: bool,
}

#[derive(Debug)]
struct ObservedLease {
    lease: Lease,
    /// When the candidate first saw this spec.
    since: Instant,
}

/// The next move of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Wait, because another candidate holds the lease.
    Wait,
    /// Create the Lease, as its holder.
    Create(Lease),
    /// Replace the version that was seen, and become or stay its holder.
    Replace(Lease),
}

impl Candidate {
    /// Returns a candidate that has not seen the lease yet. `duration` is the duration of its own lease.
    #[must_use]
    pub const fn new(identity: String, duration: Duration) -> Self {
        Self { identity, duration, seen: None, is_in_doubt: true }
    }

    /// Records the lease as the server has it, or its absence.
    ///
    /// Only a change of its spec counts as a renewal. Annotations and labels do not.
    pub fn observe(&mut self, lease: Option<Lease>, now: Instant) {
        let since = match (&self.seen, &lease) {
            (Some(seen), Some(lease)) if seen.lease.spec == lease.spec => seen.since,
            _ => now,
        };
        self.seen = lease.map(|lease| ObservedLease { lease, since });
        self.is_in_doubt = false;
    }

    /// Records that a call failed: the candidate must read the lease before its next move.
    pub const fn note_failure(&mut self) {
        self.is_in_doubt = true;
    }

    /// Returns whether the candidate must read the lease before a move. A holder whose last call succeeded need
    /// not.
    #[must_use]
    pub fn must_read(&self) -> bool {
        self.is_in_doubt || !self.holds()
    }

    /// Returns the holder of the lease when it was last seen.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().and_then(|seen| holder(&seen.lease))
    }

    fn holds(&self) -> bool {
        self.holder() == Some(&self.identity)
    }

    /// Returns the time until the lease of another holder expires if it is not renewed.
    #[must_use]
    pub fn time_to_expiry(&self, now: Instant) -> Duration {
        match &self.seen {
            Some(seen) if self.holder().is_some() && !self.holds() => {
                (seen.since + self.duration_of(&seen.lease)).saturating_duration_since(now)
            }
            _ => Duration::MAX,
        }
    }

    /// Returns the duration of the lease as its holder wrote it.
    fn duration_of(&self, lease: &Lease) -> Duration {
        let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(self.duration, Duration::from_secs)
    }

    /// Returns the next move for the lease called `name`. `time` is written to the lease for information only.
    #[must_use]
    pub fn decide(&self, name: &str, time: Timestamp, now: Instant) -> Move {
        let Some(seen) = &self.seen else {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            return Move::Create(Lease { metadata, spec: Some(self.acquired(&LeaseSpec::default(), time)) });
        };
        let before = seen.lease.spec.clone().unwrap_or_default();
        let spec = if self.holds() {
            LeaseSpec { renew_time: Some(MicroTime(time)), ..self.renewed(before) }
        } else if self.holder().is_none() || self.time_to_expiry(now).is_zero() {
            self.acquired(&before, time)
        } else {
            return Move::Wait;
        };
        Move::Replace(Lease { metadata: seen.lease.metadata.clone(), spec: Some(spec) })
    }

    /// Returns the released lease, if this candidate holds it.
    #[must_use]
    pub fn released(&self, time: Timestamp) -> Option<Lease> {
        let seen = self.seen.as_ref().filter(|_| self.holds())?;
        let spec = LeaseSpec {
            holder_identity: None,
            lease_duration_seconds: Some(DURATION_OF_FREE_LEASE_SECONDS),
            renew_time: Some(MicroTime(time)),
            ..seen.lease.spec.clone().unwrap_or_default()
        };
        Some(Lease { metadata: seen.lease.metadata.clone(), spec: Some(spec) })
    }

    fn renewed(&self, before: LeaseSpec) -> LeaseSpec {
        let seconds = i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds),
            ..before
        }
    }

    fn acquired(&self, before: &LeaseSpec, time: Timestamp) -> LeaseSpec {
        let transitions = before.lease_transitions.map_or(0, |count| count.saturating_add(1));
        LeaseSpec {
            acquire_time: Some(MicroTime(time)),
            renew_time: Some(MicroTime(time)),
            lease_transitions: Some(transitions),
            ..self.renewed(before.clone())
        }
    }
}

/// Returns the holder of a lease.
#[must_use]
pub fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
    holder.filter(|holder| !holder.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    fn candidate(identity: &str) -> Candidate {
        Candidate::new(identity.to_owned(), LEASE)
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    /// Returns the lease as the server would have it after a move.
    fn stored(decided: Move, version: u32) -> Lease {
        let (Move::Create(mut lease) | Move::Replace(mut lease)) = decided else {
            unreachable!("a move that writes")
        };
        lease.metadata.resource_version = Some(version.to_string());
        lease
    }

    /// Returns a lease that `identity` holds, as written at `second` of its own clock.
    fn held_by(identity: &str, second: i64, version: u32) -> Lease {
        let mut holder = candidate(identity);
        holder.observe(None, Instant::now());
        stored(holder.decide("lease", time(second), Instant::now()), version)
    }

    fn spec(lease: &Lease) -> LeaseSpec {
        lease.spec.clone().expect("spec")
    }

    #[test]
    fn a_missing_lease_is_created_with_its_holder() {
        let mut first = candidate("first");
        assert!(first.must_read());
        first.observe(None, Instant::now());
        let lease = stored(first.decide("lease", time(100), Instant::now()), 1);
        assert_eq!(lease.metadata.name.as_deref(), Some("lease"));
        assert_eq!(holder(&lease), Some("first"));
        assert_eq!(spec(&lease).lease_duration_seconds, Some(15));
        assert_eq!(spec(&lease).lease_transitions, Some(0));
    }

    #[test]
    fn a_holder_renews_without_a_read_unless_a_call_failed() {
        let mut leader = candidate("leader");
        leader.observe(Some(held_by("leader", 100, 7)), Instant::now());
        assert!(!leader.must_read());
        let renewed = stored(leader.decide("lease", time(102), Instant::now()), 8);
        assert_eq!(spec(&renewed).acquire_time, Some(MicroTime(time(100))));
        assert_eq!(spec(&renewed).renew_time, Some(MicroTime(time(102))));
        assert_eq!(spec(&renewed).lease_transitions, Some(0));
        leader.note_failure();
        assert!(leader.must_read());
    }

    #[test]
    fn a_standby_takes_a_lease_that_did_not_change_for_its_duration_whatever_the_clocks_say() {
        let start = Instant::now();
        // Written by a clock that is a day behind, and by one that is a day ahead.
        for written in [0, 200_000] {
            let mut standby = candidate("standby");
            let lease = held_by("leader", written, 7);
            standby.observe(Some(lease.clone()), start);
            let early = start + LEASE.saturating_sub(Duration::from_millis(1));
            standby.observe(Some(lease.clone()), early);
            assert_eq!(standby.time_to_expiry(early), Duration::from_millis(1));
            assert_eq!(standby.decide("lease", time(100_000), early), Move::Wait);
            let decided = standby.decide("lease", time(100_000), start + LEASE);
            let Move::Replace(taken) = decided else { unreachable!("{decided:?}") };
            assert_eq!(holder(&taken), Some("standby"));
            assert_eq!(spec(&taken).lease_transitions, Some(1));
            assert_eq!(taken.metadata.resource_version.as_deref(), Some("7"), "bound to what was seen");
        }
    }

    #[test]
    fn each_observed_renewal_restarts_the_lease_duration() {
        let start = Instant::now();
        let mut standby = candidate("standby");
        standby.observe(Some(held_by("leader", 100, 7)), start);
        standby.observe(Some(held_by("leader", 102, 8)), start + LEASE / 2);
        assert_eq!(standby.decide("lease", time(115), start + LEASE), Move::Wait);
        assert_eq!(standby.time_to_expiry(start + LEASE), LEASE / 2);
    }

    #[test]
    fn an_annotation_is_not_a_renewal() {
        let start = Instant::now();
        let mut standby = candidate("standby");
        standby.observe(Some(held_by("leader", 100, 7)), start);
        standby.observe(Some(held_by("leader", 100, 9)), start + LEASE / 2);
        let taken = stored(standby.decide("lease", time(115), start + LEASE), 10);
        assert_eq!(holder(&taken), Some("standby"));
    }

    #[test]
    fn the_duration_is_the_holders_own() {
        let start = Instant::now();
        let mut standby = Candidate::new("standby".to_owned(), Duration::from_secs(3));
        standby.observe(Some(held_by("leader", 100, 7)), start);
        assert_eq!(standby.time_to_expiry(start), LEASE);
    }

    #[test]
    fn a_lease_that_was_released_is_taken_at_once() {
        let start = Instant::now();
        let mut leader = candidate("leader");
        leader.observe(Some(held_by("leader", 100, 7)), start);
        let free = leader.released(time(101)).expect("held");
        assert_eq!(holder(&free), None);
        let mut standby = candidate("standby");
        standby.observe(Some(free), start);
        assert_eq!(holder(&stored(standby.decide("lease", time(101), start), 9)), Some("standby"));
        assert_eq!(standby.released(time(102)), None, "only the holder releases a lease");
    }

    #[test]
    fn a_leader_that_sees_another_holder_becomes_a_standby() {
        let start = Instant::now();
        let mut leader = candidate("leader");
        leader.observe(Some(held_by("leader", 100, 7)), start);
        leader.observe(Some(held_by("other", 120, 9)), start + LEASE * 2);
        assert_eq!(leader.decide("lease", time(130), start + LEASE * 2), Move::Wait);
        assert_eq!(leader.released(time(130)), None);
    }
}
