//! What was charged of each source: windows of one source never overlap (Law 9).

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::period::{DAY_SECONDS, Window, seconds_after};

/// Separate stretches that are kept for one source; beyond that the oldest gap closes.
pub const STRETCHES_PER_SOURCE: usize = 64;

/// Sources that may have a report charged within the acceptance time.
pub const SOURCES: usize = 256;

/// Longest window of a report in days; admission refuses longer ones.
const LONGEST_WINDOW_DAYS: i64 = 31;

/// The windows charged so far, by source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Charged windows of each source.
    pub sources: BTreeMap<String, SourceCoverage>,
    /// Everything that starts before this instant counts as covered: what lay before it was forgotten.
    pub closed_before_time: Option<Timestamp>,
}

/// The charged windows of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCoverage {
    /// When a report of this source was charged last.
    pub last_charge_time: Timestamp,
    /// Disjoint stretches in ascending order; none touches the next.
    pub stretches: Vec<Window>,
}

impl Coverage {
    /// Returns the part of what was charged that `window` of `source` overlaps, if any.
    #[must_use]
    pub fn overlap(&self, source: &str, window: Window) -> Option<Window> {
        if let Some(closed) = self.closed_before_time
            && window.start_time < closed
        {
            return Some(Window { start_time: window.start_time, end_time: closed });
        }
        let stretches = &self.sources.get(source)?.stretches;
        let first = stretches.partition_point(|stretch| stretch.end_time <= window.start_time);
        stretches.get(first).copied().filter(|stretch| stretch.overlaps(window))
    }

    /// Returns whether a report of `source`, taking effect at `at`, would be one source too many.
    #[must_use]
    pub fn is_full_for(&self, source: &str, at: Timestamp, accept_for_seconds: u32) -> bool {
        let since = seconds_after(at, i64::from(accept_for_seconds).saturating_neg());
        let counts = |coverage: &SourceCoverage| coverage.last_charge_time >= since;
        if self.sources.get(source).is_some_and(counts) || self.sources.len() < SOURCES {
            return false;
        }
        self.sources.values().filter(|coverage| counts(coverage)).count() >= SOURCES
    }

    /// Records that `window` of `source` was charged at `at`; returns the gap that had to close, if any.
    pub fn cover(&mut self, source: &str, window: Window, at: Timestamp) -> Option<Window> {
        let coverage = self
            .sources
            .entry(source.to_owned())
            .or_insert_with(|| SourceCoverage { last_charge_time: at, stretches: Vec::new() });
        coverage.last_charge_time = coverage.last_charge_time.max(at);
        let stretches = &mut coverage.stretches;
        let first = stretches.partition_point(|stretch| stretch.end_time < window.start_time);
        let last = stretches.partition_point(|stretch| stretch.start_time <= window.end_time);
        let joined =
            stretches.get(first..last).unwrap_or_default().iter().fold(window, |sum, stretch| Window {
                start_time: sum.start_time.min(stretch.start_time),
                end_time: sum.end_time.max(stretch.end_time),
            });
        stretches.splice(first..last, [joined]);
        if stretches.len() <= STRETCHES_PER_SOURCE {
            return None;
        }
        let oldest = stretches.remove(0);
        let next = stretches.first_mut()?;
        let gap = Window { start_time: oldest.end_time, end_time: next.start_time };
        next.start_time = oldest.start_time;
        Some(gap)
    }

    /// Forgets stretches that no report accepted at or after `at` can touch.
    ///
    /// A report that takes effect at `at` or later started at most the acceptance time before it arrived, and at
    /// most the longest window before it ended; one day more is kept against clocks that disagree.
    pub fn forget_before(&mut self, at: Timestamp, accept_for_seconds: u32) {
        let days = LONGEST_WINDOW_DAYS.saturating_add(1).saturating_mul(DAY_SECONDS);
        let horizon = seconds_after(at, days.saturating_add(i64::from(accept_for_seconds)).saturating_neg());
        let mut forgot = false;
        for coverage in self.sources.values_mut() {
            let old = coverage.stretches.partition_point(|stretch| stretch.end_time <= horizon);
            forgot |= old > 0;
            coverage.stretches.drain(..old);
        }
        if forgot {
            self.sources.retain(|_, coverage| !coverage.stretches.is_empty());
            self.closed_before_time = self.closed_before_time.max(Some(horizon));
        }
    }

    /// Returns whether every source's stretches are disjoint, ascending and not empty (invariant I2).
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.sources.values().all(|coverage| {
            let stretches = &coverage.stretches;
            !stretches.is_empty()
                && stretches.len() <= STRETCHES_PER_SOURCE
                && stretches.iter().all(|stretch| stretch.start_time < stretch.end_time)
                && stretches.windows(2).all(|pair| matches!(pair, [a, b] if a.end_time < b.start_time))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> Window {
        let at = |second| Timestamp::from_second(second).expect("time");
        Window { start_time: at(start), end_time: at(end) }
    }

    fn stretches(coverage: &Coverage) -> Vec<Window> {
        coverage.sources.get("gateway").expect("source").stretches.clone()
    }

    #[test]
    fn touching_windows_join_and_gaps_can_be_filled() {
        let mut coverage = Coverage::default();
        let at = window(0, 0).start_time;
        for part in [window(10, 11), window(12, 13)] {
            assert_eq!(coverage.overlap("gateway", part), None);
            assert_eq!(coverage.cover("gateway", part, at), None);
        }
        assert_eq!(stretches(&coverage), [window(10, 11), window(12, 13)]);
        assert_eq!(coverage.overlap("gateway", window(11, 12)), None);
        coverage.cover("gateway", window(11, 12), at);
        assert_eq!(stretches(&coverage), [window(10, 13)]);
        assert_eq!(coverage.overlap("gateway", window(9, 11)), Some(window(10, 13)));
        assert_eq!(coverage.overlap("other", window(9, 11)), None);
        assert!(coverage.is_sound());
    }

    #[test]
    fn the_oldest_gap_closes_beyond_the_bound() {
        let mut coverage = Coverage::default();
        let at = window(0, 0).start_time;
        for index in 0..64 {
            assert_eq!(coverage.cover("gateway", window(index * 10, index * 10 + 5), at), None);
        }
        assert_eq!(coverage.cover("gateway", window(640, 645), at), Some(window(5, 10)));
        assert_eq!(coverage.overlap("gateway", window(6, 7)), Some(window(0, 15)));
        assert!(coverage.is_sound());
    }

    #[test]
    fn what_was_forgotten_counts_as_covered() {
        let mut coverage = Coverage::default();
        let old = window(0, 3_600);
        coverage.cover("gateway", old, old.end_time);
        let later = seconds_after(old.end_time, 100 * DAY_SECONDS);
        coverage.forget_before(later, 3_024_000);
        assert!(coverage.sources.is_empty());
        assert!(coverage.overlap("gateway", old).is_some());
        assert!(coverage.overlap("new", window(7_200, 7_300)).is_some());
        assert_eq!(
            coverage.overlap("new", Window { start_time: old.end_time, ..old }),
            coverage.overlap("new", old).map(|closed| Window { start_time: old.end_time, ..closed })
        );
    }

    #[test]
    fn a_source_whose_last_charge_is_older_than_the_acceptance_time_frees_its_place() {
        let mut coverage = Coverage::default();
        for index in 0..256 {
            coverage.cover(&format!("gateway-{index}"), window(0, 10), window(10, 10).start_time);
        }
        assert!(coverage.is_full_for("one-more", window(1_010, 0).start_time, 1_000));
        assert!(!coverage.is_full_for("gateway-7", window(1_010, 0).start_time, 1_000));
        assert!(!coverage.is_full_for("one-more", window(1_011, 0).start_time, 1_000));
    }
}
