//! The phases of a connection, and the current one of a connection with its start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Cut, Limits};

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the head of a request.
    Head,
    /// Waiting for the body of a request.
    Body,
    /// Handling the request.
    Handling,
    /// Producing and sending the answer.
    Sending,
    /// The answer is complete, and the rest of it is being sent.
    Flushing,
    /// The answer was sent, and the client may send another request.
    Idle,
}

impl Phase {
    const ALL: [Self; 6] =
        [Self::Head, Self::Body, Self::Handling, Self::Sending, Self::Flushing, Self::Idle];

    /// Returns whether a connection in this phase may be closed for a new one: its request is incomplete or
    /// answered.
    pub const fn can_be_replaced(self) -> bool {
        !matches!(self, Self::Handling)
    }

    /// Returns the time limit of the phase, and the reason when it is exceeded.
    pub const fn limit(self, limits: &Limits) -> (Duration, Cut) {
        match self {
            Self::Head => (limits.head, Cut::HeadTimeout),
            Self::Body => (limits.body, Cut::BodyTimeout),
            Self::Handling => (limits.handling, Cut::HandlingTimeout),
            Self::Sending | Self::Flushing => (limits.sending, Cut::SendingTimeout),
            Self::Idle => (limits.idle, Cut::IdleTimeout),
        }
    }
}

/// A phase, and its start as the time since the server started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub phase: Phase,
    pub since: Duration,
}

/// Bits of a word that hold the phase.
const PHASE_BITS: u32 = 3;

/// The word of a connection that is closed. No phase has this number.
const CLOSED: u64 = 0;

impl Seen {
    /// Returns the start in microseconds, and in the lowest bits the number of the phase, from 1.
    fn word(self) -> u64 {
        let micros = u64::try_from(self.since.as_micros()).unwrap_or(u64::MAX >> PHASE_BITS);
        (micros << PHASE_BITS) | (self.phase as u64).saturating_add(1)
    }

    fn of(word: u64) -> Option<Self> {
        let number = word & ((1 << PHASE_BITS) - 1);
        let phase = Phase::ALL.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        Some(Self { phase: *phase, since: Duration::from_micros(word >> PHASE_BITS) })
    }
}

/// The current phase of a connection. Its connection changes it without a lock, since it changes several times in each
/// request.
pub struct CurrentPhase(AtomicU64);

impl CurrentPhase {
    /// Returns the first phase of a connection that was opened at `now`.
    pub fn new(now: Duration) -> Self {
        Self(AtomicU64::new(Seen { phase: Phase::Head, since: now }.word()))
    }

    /// Returns the phase, or `None` if the connection is closed.
    pub fn read(&self) -> Option<Seen> {
        Seen::of(self.0.load(Ordering::Acquire))
    }

    /// Begins a phase at `now`, unless the connection is closed.
    pub fn enter(&self, phase: Phase, now: Duration) {
        let next = Seen { phase, since: now }.word();
        self.update(|_| Some(next));
    }

    /// Begins the phase `to` if the connection is in `from`. The change from `Sending` to `Flushing` keeps the start.
    pub fn advance(&self, from: Phase, to: Phase, now: impl Fn() -> Duration) {
        self.update(|seen| {
            let since = || if to == Phase::Flushing { seen.since } else { now() };
            (seen.phase == from).then(|| Seen { phase: to, since: since() }.word())
        });
    }

    /// Closes the connection if its phase is still the one that was seen. Returns whether it did.
    pub fn close(&self, seen: Seen) -> bool {
        self.0.compare_exchange(seen.word(), CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn update(&self, next: impl Fn(Seen) -> Option<u64>) {
        // An error means that there is no next phase: the connection is closed, or in another phase.
        let _unchanged =
            self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| Seen::of(word).and_then(&next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(phase: Phase, seconds: u64) -> Seen {
        Seen { phase, since: Duration::from_secs(seconds) }
    }

    fn now() -> Duration {
        Duration::from_secs(9)
    }

    #[test]
    fn each_phase_and_its_start_fit_into_a_word() {
        for phase in Phase::ALL {
            let current = CurrentPhase::new(Duration::ZERO);
            current.enter(phase, Duration::from_hours(1_000_000));
            assert_eq!(current.read(), Some(at(phase, 3_600_000_000)));
        }
    }

    #[test]
    fn a_phase_advances_only_from_the_named_one_and_flushing_keeps_the_start() {
        let current = CurrentPhase::new(Duration::from_secs(1));
        current.advance(Phase::Idle, Phase::Head, now);
        assert_eq!(current.read(), Some(at(Phase::Head, 1)));
        current.enter(Phase::Sending, Duration::from_secs(2));
        current.advance(Phase::Sending, Phase::Flushing, now);
        assert_eq!(current.read(), Some(at(Phase::Flushing, 2)));
        current.advance(Phase::Flushing, Phase::Idle, now);
        assert_eq!(current.read(), Some(at(Phase::Idle, 9)));
    }

    #[test]
    fn a_connection_that_began_a_request_since_it_was_seen_is_not_closed() {
        let current = CurrentPhase::new(Duration::ZERO);
        let seen = current.read().expect("open");
        current.enter(Phase::Handling, Duration::ZERO);
        assert!(!current.close(seen));
        assert_eq!(current.read(), Some(at(Phase::Handling, 0)));
    }

    #[test]
    fn a_closed_connection_enters_no_phase() {
        let current = CurrentPhase::new(Duration::ZERO);
        assert!(current.close(at(Phase::Head, 0)));
        current.enter(Phase::Handling, now());
        current.advance(Phase::Head, Phase::Idle, now);
        assert_eq!(current.read(), None);
    }
}
