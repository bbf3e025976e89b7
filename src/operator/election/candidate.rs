//! What a candidate knows of the lease, and what it may do: pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::time::Instant;

/// Duration of a lease that was given back, which is free in any case; the API wants one.
const DURATION_OF_FREE_LEASE_SECONDS: i32 = 1;

/// One who stands for election.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    duration: Duration,
    seen: Option<ObservedLease>,
    /// Whether the lease may have another version than the one that was seen.
    is_in_doubt: bool,
}

#[derive(Debug)]
struct ObservedLease {
    lease: Lease,
    /// When it was first seen to say this.
    since: Instant,
}

/// What a candidate may do.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Nothing: another holds the lease.
    Wait,
    /// Create the Lease, as its holder.
    Create(Lease),
    /// Replace the version that was seen, as its holder.
    Replace(Lease),
}

impl Candidate {
    /// Returns a candidate that has seen nothing yet, with the duration that its own lease would have.
    #[must_use]
    pub const fn new(identity: String, duration: Duration) -> Self {
        Self { identity, duration, seen: None, is_in_doubt: true }
    }

    /// Takes note of the lease as the server has it, or that there is none.
    ///
    /// What its spec says counts as a sign of life, and nothing else that is written on it.
    pub fn see(&mut self, lease: Option<Lease>, now: Instant) {
        let since = match (&self.seen, &lease) {
            (Some(seen), Some(lease)) if seen.lease.spec == lease.spec => seen.since,
            _ => now,
        };
        self.seen = lease.map(|lease| ObservedLease { lease, since });
        self.is_in_doubt = false;
    }

    /// Takes note that a call failed: the lease is to be looked at before anything else.
    pub const fn doubt(&mut self) {
        self.is_in_doubt = true;
    }

    /// Returns whether the lease must be looked at before a move: a holder who has no doubt need not.
    #[must_use]
    pub fn must_look(&self) -> bool {
        self.is_in_doubt || !self.holds()
    }

    /// Returns who held the lease when it was last seen.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().and_then(|seen| holder(&seen.lease))
    }

    fn holds(&self) -> bool {
        self.holder() == Some(&self.identity)
    }

    /// Returns after what time the lease of another runs out, if it says nothing until then.
    #[must_use]
    pub fn patience(&self, now: Instant) -> Duration {
        match &self.seen {
            Some(seen) if self.holder().is_some() && !self.holds() => {
                (seen.since + self.duration_of(&seen.lease)).saturating_duration_since(now)
            }
            _ => Duration::MAX,
        }
    }

    /// Returns how long its holder promised to keep the lease without a sign of life.
    fn duration_of(&self, lease: &Lease) -> Duration {
        let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(self.duration, Duration::from_secs)
    }

    /// Returns what may be done about the lease called `name`. `time` is only written, for people to read.
    #[must_use]
    pub fn decide(&self, name: &str, time: Timestamp, now: Instant) -> Move {
        let Some(seen) = &self.seen else {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            return Move::Create(Lease { metadata, spec: Some(self.taken(&LeaseSpec::default(), time)) });
        };
        let before = seen.lease.spec.clone().unwrap_or_default();
        let spec = if self.holds() {
            LeaseSpec { renew_time: Some(MicroTime(time)), ..self.kept(before) }
        } else if self.holder().is_none() || self.patience(now).is_zero() {
            self.taken(&before, time)
        } else {
            return Move::Wait;
        };
        Move::Replace(Lease { metadata: seen.lease.metadata.clone(), spec: Some(spec) })
    }

    /// Returns the lease as given back, where this candidate holds it.
    #[must_use]
    pub fn given_back(&self, time: Timestamp) -> Option<Lease> {
        let seen = self.seen.as_ref().filter(|_| self.holds())?;
        let spec = LeaseSpec {
            holder_identity: None,
            lease_duration_seconds: Some(DURATION_OF_FREE_LEASE_SECONDS),
            renew_time: Some(MicroTime(time)),
            ..seen.lease.spec.clone().unwrap_or_default()
        };
        Some(Lease { metadata: seen.lease.metadata.clone(), spec: Some(spec) })
    }

    fn kept(&self, before: LeaseSpec) -> LeaseSpec {
        let seconds = i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds),
            ..before
        }
    }

    fn taken(&self, before: &LeaseSpec, time: Timestamp) -> LeaseSpec {
        let transitions = before.lease_transitions.map_or(0, |count| count.saturating_add(1));
        LeaseSpec {
            acquire_time: Some(MicroTime(time)),
            renew_time: Some(MicroTime(time)),
            lease_transitions: Some(transitions),
            ..self.kept(before.clone())
        }
    }
}

/// Returns who holds a lease.
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
        holder.see(None, Instant::now());
        stored(holder.decide("lease", time(second), Instant::now()), version)
    }

    fn spec(lease: &Lease) -> LeaseSpec {
        lease.spec.clone().expect("spec")
    }

    #[test]
    fn a_lease_that_is_not_there_is_created_with_its_holder() {
        let mut first = candidate("first");
        assert!(first.must_look());
        first.see(None, Instant::now());
        let lease = stored(first.decide("lease", time(100), Instant::now()), 1);
        assert_eq!(lease.metadata.name.as_deref(), Some("lease"));
        assert_eq!(holder(&lease), Some("first"));
        assert_eq!(spec(&lease).lease_duration_seconds, Some(15));
        assert_eq!(spec(&lease).lease_transitions, Some(0));
    }

    #[test]
    fn a_holder_renews_without_looking_unless_a_call_failed() {
        let mut leader = candidate("leader");
        leader.see(Some(held_by("leader", 100, 7)), Instant::now());
        assert!(!leader.must_look());
        let renewed = stored(leader.decide("lease", time(102), Instant::now()), 8);
        assert_eq!(spec(&renewed).acquire_time, Some(MicroTime(time(100))));
        assert_eq!(spec(&renewed).renew_time, Some(MicroTime(time(102))));
        assert_eq!(spec(&renewed).lease_transitions, Some(0));
        leader.doubt();
        assert!(leader.must_look());
    }

    #[test]
    fn a_standby_takes_a_lease_that_did_not_change_for_its_duration_whatever_the_clocks_say() {
        let start = Instant::now();
        // Written by a clock that is a day behind, and by one that is a day ahead.
        for written in [0, 200_000] {
            let mut standby = candidate("standby");
            let lease = held_by("leader", written, 7);
            standby.see(Some(lease.clone()), start);
            let early = start + LEASE.saturating_sub(Duration::from_millis(1));
            standby.see(Some(lease.clone()), early);
            assert_eq!(standby.patience(early), Duration::from_millis(1));
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
        standby.see(Some(held_by("leader", 100, 7)), start);
        standby.see(Some(held_by("leader", 102, 8)), start + LEASE / 2);
        assert_eq!(standby.decide("lease", time(115), start + LEASE), Move::Wait);
        assert_eq!(standby.patience(start + LEASE), LEASE / 2);
    }

    #[test]
    fn an_annotation_is_no_sign_of_life() {
        let start = Instant::now();
        let mut standby = candidate("standby");
        standby.see(Some(held_by("leader", 100, 7)), start);
        standby.see(Some(held_by("leader", 100, 9)), start + LEASE / 2);
        let taken = stored(standby.decide("lease", time(115), start + LEASE), 10);
        assert_eq!(holder(&taken), Some("standby"));
    }

    #[test]
    fn the_duration_is_the_holders_own() {
        let start = Instant::now();
        let mut standby = Candidate::new("standby".to_owned(), Duration::from_secs(3));
        standby.see(Some(held_by("leader", 100, 7)), start);
        assert_eq!(standby.patience(start), LEASE);
    }

    #[test]
    fn a_lease_that_was_given_back_is_taken_at_once() {
        let start = Instant::now();
        let mut leader = candidate("leader");
        leader.see(Some(held_by("leader", 100, 7)), start);
        let free = leader.given_back(time(101)).expect("held");
        assert_eq!(holder(&free), None);
        let mut standby = candidate("standby");
        standby.see(Some(free), start);
        assert_eq!(holder(&stored(standby.decide("lease", time(101), start), 9)), Some("standby"));
        assert_eq!(standby.given_back(time(102)), None, "what one does not hold, one does not give back");
    }

    #[test]
    fn a_leader_that_sees_another_in_its_place_stands_by() {
        let start = Instant::now();
        let mut leader = candidate("leader");
        leader.see(Some(held_by("leader", 100, 7)), start);
        leader.see(Some(held_by("other", 120, 9)), start + LEASE * 2);
        assert_eq!(leader.decide("lease", time(130), start + LEASE * 2), Move::Wait);
        assert_eq!(leader.given_back(time(130)), None);
    }
}
