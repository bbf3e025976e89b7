//! Coverage: the charged windows of each source, which never overlap (Law 9).
//!
//! Between two charged stretches is a gap, which a later report can fill. The number of stretches is bounded.
//! At the bound the oldest gap closes: a report that would fill it is refused as `GapClosed`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::period::{DAY_SECONDS, Window, seconds_after};

/// Most separate stretches of one source. Above it, the oldest gap of the source closes.
pub const STRETCHES_PER_SOURCE: usize = 1_024;

/// Most separate stretches of all sources of an account. Above it, the oldest gap of all closes.
pub const STRETCHES: usize = 4_096;

/// Most stored stretches of an account. Gaps that known reports are about to fill may exceed the other bounds
/// up to this one.
pub const STRETCHES_HELD: usize = 2 * STRETCHES;

/// Most sources that can have a report charged within the acceptance time.
pub const SOURCES: usize = 1_024;

/// Most stored sources, including those whose last charge is older than the acceptance time.
pub const SOURCES_HELD: usize = 2 * SOURCES;

/// Most closed gaps that are kept for one source. The newest are kept.
pub const CLOSED_GAPS_KEPT: usize = 16;

/// Most closed gaps that are stored for one account. Above it, the oldest of all is dropped.
pub const CLOSED_GAPS_HELD: usize = 4_096;

/// Longest window of a report in days. Admission refuses longer windows.
const LONGEST_WINDOW_DAYS: i64 = 31;

/// The windows charged so far, by source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Charged windows of each source.
    pub sources: BTreeMap<String, SourceCoverage>,
    /// Every window that starts before this instant counts as covered, because older windows are no longer
    /// stored.
    pub closed_before_time: Option<Timestamp>,
}

/// The charged windows of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCoverage {
    /// Time at which a report of this source was last charged.
    pub last_charge_time: Timestamp,
    /// Disjoint stretches in ascending order that do not touch. They contain the closed gaps.
    pub stretches: Vec<Window>,
    /// The newest closed gaps, in ascending order.
    pub closed_gaps: Vec<Window>,
    /// The closed gaps before this instant are no longer stored.
    pub blurred_before_time: Option<Timestamp>,
}

/// The reason why a window cannot be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// This part was charged.
    Charged(Window),
    /// This gap was closed, and nothing in it was charged.
    Closed(Window),
    /// Usage before this instant may have been charged or lie in a closed gap.
    Blurred(Timestamp),
    /// Usage before this instant is no longer stored and counts as charged.
    Forgotten(Timestamp),
}

/// A gap that closed, with its source.
pub type ClosedGap = (String, Window);

impl Coverage {
    /// Returns the reason if `window` of `source` cannot be charged.
    #[must_use]
    pub fn conflict(&self, source: &str, window: Window) -> Option<Conflict> {
        let known = self.sources.get(source).and_then(|coverage| coverage.conflict(window));
        let forgotten = self.closed_before_time.filter(|closed| window.start_time < *closed);
        match (known, forgotten) {
            (Some(Conflict::Charged(_)), _) | (_, None) => known,
            (_, Some(closed)) => Some(Conflict::Forgotten(closed)),
        }
    }

    /// Returns true if a report of `source` that takes effect at `at` would exceed the limit of sources.
    #[must_use]
    pub fn is_full_for(&self, source: &str, at: Timestamp, accept_for_seconds: u32) -> bool {
        let since = seconds_after(at, i64::from(accept_for_seconds).saturating_neg());
        let counts = |coverage: &SourceCoverage| coverage.last_charge_time >= since;
        if self.sources.get(source).is_some_and(counts) || self.sources.len() < SOURCES {
            return false;
        }
        self.sources.values().filter(|coverage| counts(coverage)).count() >= SOURCES
    }

    /// Records that `window` of `source` was charged at `at`. Returns the gaps that had to close.
    ///
    /// `is_awaited` is true for a gap that a known report is about to fill. Such a gap stays open while the
    /// account has fewer than [`STRETCHES_HELD`] stretches.
    pub fn cover(
        &mut self,
        source: &str,
        window: Window,
        at: Timestamp,
        is_awaited: impl Fn(&str, Window) -> bool,
    ) -> Vec<ClosedGap> {
        let coverage = self.sources.entry(source.to_owned()).or_insert_with(|| SourceCoverage::since(at));
        coverage.last_charge_time = coverage.last_charge_time.max(at);
        coverage.add(window);
        let mut closed = Vec::new();
        while coverage.stretches.len() > STRETCHES_PER_SOURCE
            && let Some(gap) = coverage.oldest_gap(|gap| !is_awaited(source, gap))
        {
            coverage.close(gap);
            closed.push((source.to_owned(), gap));
        }
        let mut stretches: usize = self.sources.values().map(|coverage| coverage.stretches.len()).sum();
        while stretches > STRETCHES
            && let Some((source, gap)) = self
                .oldest_gap(&is_awaited)
                .or_else(|| self.oldest_gap(|_, _| false).filter(|_| stretches > STRETCHES_HELD))
        {
            if let Some(coverage) = self.sources.get_mut(&source) {
                coverage.close(gap);
            }
            stretches = stretches.saturating_sub(1);
            closed.push((source, gap));
        }
        self.forget_surplus_gaps();
        closed
    }

    /// Drops the oldest closed gaps of an account that exceeds their limit.
    fn forget_surplus_gaps(&mut self) {
        let closed_gaps: usize = self.sources.values().map(|coverage| coverage.closed_gaps.len()).sum();
        for _ in CLOSED_GAPS_HELD..closed_gaps {
            let with_gaps = self.sources.values_mut().filter(|coverage| !coverage.closed_gaps.is_empty());
            let oldest = with_gaps.min_by_key(|coverage| coverage.closed_gaps.first().copied());
            if let Some(coverage) = oldest {
                coverage.forget_gaps(1);
            }
        }
    }

    /// Returns the oldest gap of all sources for which `is_awaited` is false.
    fn oldest_gap(&self, is_awaited: impl Fn(&str, Window) -> bool) -> Option<ClosedGap> {
        let oldest = self.sources.iter().filter_map(|(source, coverage)| {
            let gap = coverage.oldest_gap(|gap| !is_awaited(source, gap))?;
            Some((gap.start_time, source, gap))
        });
        oldest.min_by_key(|(start_time, ..)| *start_time).map(|(_, source, gap)| (source.clone(), gap))
    }

    /// Makes room for a new source, whose first report takes effect at `at`.
    pub fn make_room(&mut self, at: Timestamp, accept_for_seconds: u32) {
        // Otherwise a long period would collect the names of sources that no longer exist.
        self.forget_before(at, accept_for_seconds);
        while self.sources.len() >= SOURCES_HELD {
            let oldest = self.sources.iter().min_by_key(|(_, coverage)| coverage.last_charge_time);
            let Some(source) = oldest.map(|(source, _)| source.clone()) else { break };
            let forgotten = self.sources.remove(&source);
            let end_time = forgotten.and_then(|coverage| coverage.stretches.last().map(|last| last.end_time));
            self.closed_before_time = self.closed_before_time.max(end_time);
        }
    }

    /// Drops stretches that no report accepted at or after `at` can touch.
    ///
    /// The window of a report that takes effect at `at` or later starts at most the acceptance time before its
    /// arrival. It also starts at most the longest window before its end. One more day is kept, because clocks
    /// can differ.
    pub fn forget_before(&mut self, at: Timestamp, accept_for_seconds: u32) {
        let days = LONGEST_WINDOW_DAYS.saturating_add(1).saturating_mul(DAY_SECONDS);
        let horizon = seconds_after(at, days.saturating_add(i64::from(accept_for_seconds)).saturating_neg());
        let mut forgot = false;
        for coverage in self.sources.values_mut() {
            forgot |= coverage.forget_before(horizon);
        }
        if forgot {
            self.sources.retain(|_, coverage| !coverage.stretches.is_empty());
            self.closed_before_time = self.closed_before_time.max(Some(horizon));
        }
    }

    /// Returns true if invariant I2 holds: the stretches of each source are disjoint, ascending and not empty,
    /// they contain its closed gaps, and their number is within its bound.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let stretches: usize = self.sources.values().map(|coverage| coverage.stretches.len()).sum();
        stretches <= STRETCHES_HELD
            && self.sources.len() <= SOURCES_HELD
            && self.sources.values().all(SourceCoverage::is_sound)
    }
}

impl SourceCoverage {
    /// Returns the empty coverage of a source that is first charged at `at`.
    fn since(at: Timestamp) -> Self {
        Self {
            last_charge_time: at,
            stretches: Vec::new(),
            closed_gaps: Vec::new(),
            blurred_before_time: None,
        }
    }

    /// Returns the oldest open gap that `may_close`.
    fn oldest_gap(&self, may_close: impl Fn(Window) -> bool) -> Option<Window> {
        let mut gaps = self.stretches.windows(2).filter_map(|pair| match pair {
            [before, after] => Some(Window { start_time: before.end_time, end_time: after.start_time }),
            _ => None,
        });
        gaps.find(|gap| may_close(*gap))
    }

    /// Adds a window that overlaps nothing.
    fn add(&mut self, window: Window) {
        let stretches = &mut self.stretches;
        let first = stretches.partition_point(|stretch| stretch.end_time < window.start_time);
        let last = stretches.partition_point(|stretch| stretch.start_time <= window.end_time);
        let joined =
            stretches.get(first..last).unwrap_or_default().iter().fold(window, |sum, stretch| Window {
                start_time: sum.start_time.min(stretch.start_time),
                end_time: sum.end_time.max(stretch.end_time),
            });
        stretches.splice(first..last, [joined]);
    }

    /// Closes an open gap. If there are more closed gaps than the limit, drops the oldest one and moves the
    /// instant before which closed gaps are unknown.
    fn close(&mut self, gap: Window) {
        self.add(gap);
        let index = self.closed_gaps.partition_point(|closed| closed.start_time < gap.start_time);
        self.closed_gaps.insert(index, gap);
        self.forget_gaps(self.closed_gaps.len().saturating_sub(CLOSED_GAPS_KEPT));
    }

    /// Drops the `count` oldest closed gaps.
    fn forget_gaps(&mut self, count: usize) {
        let forgotten = self.closed_gaps.drain(..count).next_back().map(|closed| closed.end_time);
        let kept_from = self.closed_gaps.first().map(|closed| closed.start_time);
        if forgotten.is_some() {
            self.blurred_before_time = self.blurred_before_time.max(kept_from.or(forgotten));
        }
    }

    fn conflict(&self, window: Window) -> Option<Conflict> {
        let first = self.stretches.partition_point(|stretch| stretch.end_time <= window.start_time);
        let stretches = self.stretches.iter().skip(first).take_while(|stretch| stretch.overlaps(window));
        let mut conflict = None;
        for stretch in stretches {
            match self.conflict_in(*stretch, window) {
                charged @ Conflict::Charged(_) => return Some(charged),
                other => conflict = conflict.or(Some(other)),
            }
        }
        conflict
    }

    /// Returns the reason why a window that overlaps a stretch cannot be charged.
    fn conflict_in(&self, stretch: Window, window: Window) -> Conflict {
        let end_time = stretch.end_time.min(window.end_time);
        let known_from = stretch.start_time.max(self.blurred_before_time.unwrap_or(stretch.start_time));
        let mut charged = Window { start_time: known_from, end_time: stretch.end_time };
        let mut closed = None;
        // The parts between the closed gaps were charged.
        for gap in self.closed_gaps.iter().filter(|gap| gap.overlaps(stretch)) {
            charged.end_time = gap.start_time;
            if charged.start_time < charged.end_time && charged.overlaps(window) {
                return Conflict::Charged(charged);
            }
            if gap.overlaps(window) {
                closed = closed.or(Some(*gap));
            }
            charged = Window { start_time: gap.end_time.max(known_from), end_time: stretch.end_time };
        }
        if charged.start_time < end_time && charged.overlaps(window) {
            return Conflict::Charged(charged);
        }
        closed.map_or(Conflict::Blurred(known_from), Conflict::Closed)
    }

    /// Drops the stretches that ended at or before `horizon`. Returns true if there were any.
    fn forget_before(&mut self, horizon: Timestamp) -> bool {
        let old = self.stretches.partition_point(|stretch| stretch.end_time <= horizon);
        self.stretches.drain(..old);
        self.closed_gaps.retain(|gap| gap.end_time > horizon);
        self.blurred_before_time = self.blurred_before_time.filter(|blurred| *blurred > horizon);
        old > 0
    }

    fn is_sound(&self) -> bool {
        let ascend = |windows: &[Window]| {
            windows.iter().all(|window| window.start_time < window.end_time)
                && windows.windows(2).all(|pair| matches!(pair, [a, b] if a.end_time < b.start_time))
        };
        let holds = |gap: &Window| {
            let index = self.stretches.partition_point(|stretch| stretch.end_time <= gap.start_time);
            let stretch = self.stretches.get(index);
            stretch.is_some_and(|held| held.start_time < gap.start_time && gap.end_time < held.end_time)
        };
        !self.stretches.is_empty()
            && ascend(&self.stretches)
            && self.closed_gaps.len() <= CLOSED_GAPS_KEPT
            && ascend(&self.closed_gaps)
            && self.closed_gaps.iter().all(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> Window {
        let at = |second| Timestamp::from_second(second).expect("time");
        Window { start_time: at(start), end_time: at(end) }
    }

    fn time(second: i64) -> Timestamp {
        window(second, second).start_time
    }

    fn gateway(coverage: &Coverage) -> &SourceCoverage {
        coverage.sources.get("gateway").expect("source")
    }

    /// Charges the window and returns the gaps of the source that closed.
    fn cover(coverage: &mut Coverage, window: Window) -> Vec<Window> {
        let closed = coverage.cover("gateway", window, time(0), |_, _| false);
        assert!(coverage.is_sound());
        closed.into_iter().map(|(_, gap)| gap).collect()
    }

    /// Charges the first half of each of `count` tens of seconds.
    fn cover_halves(coverage: &mut Coverage, count: i64) -> Vec<Window> {
        (0..count).flat_map(|index| cover(coverage, window(index * 10, index * 10 + 5))).collect()
    }

    #[test]
    fn touching_windows_join_and_gaps_can_be_filled() {
        let mut coverage = Coverage::default();
        for part in [window(10, 11), window(12, 13)] {
            assert_eq!(coverage.conflict("gateway", part), None);
            assert_eq!(cover(&mut coverage, part), []);
        }
        assert_eq!(gateway(&coverage).stretches, [window(10, 11), window(12, 13)]);
        assert_eq!(coverage.conflict("gateway", window(11, 12)), None);
        cover(&mut coverage, window(11, 12));
        assert_eq!(gateway(&coverage).stretches, [window(10, 13)]);
        assert_eq!(coverage.conflict("gateway", window(9, 11)), Some(Conflict::Charged(window(10, 13))));
        assert_eq!(coverage.conflict("other", window(9, 11)), None);
    }

    #[test]
    fn the_oldest_gap_closes_beyond_the_bound() {
        let mut coverage = Coverage::default();
        assert_eq!(cover_halves(&mut coverage, 1_024), []);
        assert_eq!(cover(&mut coverage, window(10_240, 10_245)), [window(5, 10)]);
        assert_eq!(coverage.conflict("gateway", window(6, 7)), Some(Conflict::Closed(window(5, 10))));
        assert_eq!(coverage.conflict("gateway", window(4, 7)), Some(Conflict::Charged(window(0, 5))));
        assert_eq!(coverage.conflict("gateway", window(6, 11)), Some(Conflict::Charged(window(10, 15))));
        assert_eq!(coverage.conflict("gateway", window(15, 20)), None, "the next gap is open");
        assert_eq!(coverage.conflict("gateway", window(6, 21)), Some(Conflict::Charged(window(10, 15))));
    }

    #[test]
    fn only_the_newest_sixteen_closed_gaps_are_kept() {
        let mut coverage = Coverage::default();
        assert_eq!(cover_halves(&mut coverage, 1_024 + 20).len(), 20);
        let source = gateway(&coverage);
        assert_eq!(source.closed_gaps.len(), 16);
        assert_eq!(source.closed_gaps[0], window(45, 50));
        assert_eq!(coverage.conflict("gateway", window(46, 47)), Some(Conflict::Closed(window(45, 50))));
        for uncertain in [window(5, 10), window(0, 5), window(40, 45), window(40, 50)] {
            let conflict = coverage.conflict("gateway", uncertain);
            let expected = if uncertain.end_time > time(45) {
                Conflict::Closed(window(45, 50))
            } else {
                Conflict::Blurred(time(45))
            };
            assert_eq!(conflict, Some(expected), "{uncertain:?}");
        }
        assert_eq!(coverage.conflict("gateway", window(40, 51)), Some(Conflict::Charged(window(50, 55))));
        assert_eq!(coverage.conflict("gateway", window(-5, 0)), None, "before the first charge");
    }

    #[test]
    fn a_gap_that_a_known_report_is_about_to_fill_stays_open() {
        let mut coverage = Coverage::default();
        cover_halves(&mut coverage, 1_024);
        let awaited = |_: &str, gap: Window| gap == window(5, 10);
        let closed = coverage.cover("gateway", window(10_240, 10_245), time(0), awaited);
        assert_eq!(closed, [("gateway".to_owned(), window(15, 20))]);
        let all = |_: &str, _: Window| true;
        assert_eq!(coverage.cover("gateway", window(10_250, 10_255), time(0), all), []);
        assert_eq!(gateway(&coverage).stretches.len(), 1_025);
        assert_eq!(cover(&mut coverage, window(10_260, 10_265)), [window(5, 10), window(25, 30)]);
    }

    #[test]
    fn an_account_closes_the_oldest_gap_of_all_its_sources() {
        let mut coverage = Coverage::default();
        for index in 0..4_096 {
            let (source, start) = (format!("gw-{}", index % 8), 10_000 - index / 8 * 10);
            let part = window(start + index % 8, start + index % 8 + 1);
            assert_eq!(coverage.cover(&source, part, time(0), |_, _| false), []);
        }
        let closed = coverage.cover("other", window(0, 1), time(0), |_, _| false);
        let oldest = 10_000 - 511 * 10;
        assert_eq!(closed, [("gw-0".to_owned(), window(oldest + 1, oldest + 10))]);
        assert!(coverage.is_sound());
    }

    #[test]
    fn awaited_gaps_close_too_before_an_account_has_more_stretches_than_can_be_stored() {
        let mut coverage = Coverage::default();
        let mut closed = Vec::new();
        for index in 0..=8_192 {
            closed
                .extend(coverage.cover("gateway", window(index * 10, index * 10 + 5), time(0), |_, _| true));
        }
        assert_eq!(closed, [("gateway".to_owned(), window(5, 10))]);
        assert!(coverage.is_sound());
    }

    #[test]
    fn windows_that_are_no_longer_stored_count_as_charged() {
        let mut coverage = Coverage::default();
        let old = window(0, 3_600);
        cover(&mut coverage, old);
        let later = seconds_after(old.end_time, 100 * DAY_SECONDS);
        coverage.forget_before(later, 3_024_000);
        assert!(coverage.sources.is_empty());
        let horizon = coverage.closed_before_time.expect("a horizon");
        assert_eq!(coverage.conflict("gateway", old), Some(Conflict::Forgotten(horizon)));
        assert_eq!(coverage.conflict("new", window(7_200, 7_300)), Some(Conflict::Forgotten(horizon)));
    }

    #[test]
    fn a_source_whose_last_charge_is_older_than_the_acceptance_time_frees_its_place() {
        let mut coverage = Coverage::default();
        for index in 0..1_024 {
            coverage.cover(&format!("gateway-{index}"), window(0, 10), time(10), |_, _| false);
        }
        assert!(coverage.is_full_for("one-more", time(1_010), 1_000));
        assert!(!coverage.is_full_for("gateway-7", time(1_010), 1_000));
        assert!(!coverage.is_full_for("one-more", time(1_011), 1_000));
    }

    #[test]
    fn the_source_charged_longest_ago_is_dropped_above_the_limit() {
        let mut coverage = Coverage::default();
        for index in 0..3_000 {
            let source = format!("gateway-{index}");
            coverage.make_room(time(index * 10), 1_000);
            coverage.cover(&source, window(index * 10, index * 10 + 5), time(index * 10), |_, _| false);
            assert!(coverage.is_sound());
        }
        assert_eq!(coverage.sources.len(), 2_048);
        assert!(!coverage.sources.contains_key("gateway-951"));
        assert_eq!(coverage.closed_before_time, Some(time(9_515)));
        let old = coverage.conflict("gateway-951", window(9_510, 9_515));
        assert_eq!(old, Some(Conflict::Forgotten(time(9_515))));
    }
}
