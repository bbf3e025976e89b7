//! Reports without a verdict, sorted in every order that the laws need. The cost of a decision depends on the
//! reports that are due, not on all pending ones.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::period::Window;
use crate::report::Report;

/// The reports of one account that have no verdict yet.
///
/// A clone shares everything with its original until one of both changes.
#[derive(Clone, Default)]
pub struct Reports(Arc<Orders>);

/// The same reports in several orders.
#[derive(Clone, Default)]
struct Orders {
    name: BTreeSet<Placed<Name>>,
    effect: BTreeSet<Placed<Effect>>,
    arrival: BTreeSet<Placed<Arrival>>,
    start: BTreeSet<Placed<Start>>,
    end: BTreeSet<Placed<End>>,
    lead: BTreeSet<Placed<Lead>>,
    source: BTreeSet<Placed<Source>>,
}

impl Orders {
    fn all(&mut self) -> [&mut dyn Sorted; 7] {
        let Self { name, effect, arrival, start, end, lead, source } = self;
        [name, effect, arrival, start, end, lead, source]
    }
}

/// Reports in some order.
trait Sorted {
    fn insert(&mut self, report: &Arc<Report>);

    fn remove(&mut self, report: &Arc<Report>);
}

impl<O: Order> Sorted for BTreeSet<Placed<O>> {
    fn insert(&mut self, report: &Arc<Report>) {
        self.insert(Placed::of(Arc::clone(report)));
    }

    fn remove(&mut self, report: &Arc<Report>) {
        self.remove(&Placed::of(Arc::clone(report)));
    }
}

/// The sort key of reports. Reports with equal keys are sorted by name and UID.
trait Order {
    type Key<'r>: Ord;

    fn key(report: &Report) -> Self::Key<'_>;
}

/// Name and UID.
enum Name {}

/// When the report takes effect, then its arrival and the start of its window (Law 0).
enum Effect {}

/// Arrival, then the start of the window.
enum Arrival {}

/// Start of the window, from which the acceptance time counts (Law 8).
enum Start {}

/// End of the window.
enum End {}

/// Seconds by which the window ends after the arrival (Law 8).
enum Lead {}

/// Source, then window (Law 9).
enum Source {}

impl Order for Name {
    type Key<'r> = ();

    fn key(_: &Report) {}
}

impl Order for Effect {
    type Key<'r> = (Timestamp, Timestamp, Timestamp);

    fn key(report: &Report) -> Self::Key<'_> {
        (report.effect_time(), report.arrival, report.window.start_time)
    }
}

impl Order for Arrival {
    type Key<'r> = (Timestamp, Timestamp);

    fn key(report: &Report) -> Self::Key<'_> {
        (report.arrival, report.window.start_time)
    }
}

impl Order for Start {
    type Key<'r> = Timestamp;

    fn key(report: &Report) -> Timestamp {
        report.window.start_time
    }
}

impl Order for End {
    type Key<'r> = Timestamp;

    fn key(report: &Report) -> Timestamp {
        report.window.end_time
    }
}

impl Order for Lead {
    type Key<'r> = i64;

    fn key(report: &Report) -> i64 {
        report.lead_seconds()
    }
}

impl Order for Source {
    type Key<'r> = (&'r str, Window);

    fn key(report: &Report) -> Self::Key<'_> {
        (&report.source, report.window)
    }
}

/// A report with its position in an order.
struct Placed<O>(Arc<Report>, PhantomData<O>);

impl<O> Placed<O> {
    const fn of(report: Arc<Report>) -> Self {
        Self(report, PhantomData)
    }
}

impl<O> Clone for Placed<O> {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.0))
    }
}

impl<O: Order> Ord for Placed<O> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_key = O::key(&self.0).cmp(&O::key(&other.0));
        by_key.then_with(|| self.0.identity().cmp(&other.0.identity()))
    }
}

impl<O: Order> PartialOrd for Placed<O> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<O: Order> PartialEq for Placed<O> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<O: Order> Eq for Placed<O> {}

/// Returns a report with an empty name, which sorts before every other report with the same key.
fn place(source: &str, arrival: Timestamp, window: Window) -> Report {
    let (source, usage) = (source.to_owned(), Vec::new());
    Report { name: String::new(), uid: String::new(), arrival, source, window, usage }
}

/// Returns the position before all reports that take effect at `time`.
fn before(time: Timestamp) -> Report {
    // Its window ends after its arrival, so that all of its keys are the earliest of that time.
    place("", Timestamp::MIN, Window { start_time: Timestamp::MIN, end_time: time })
}

/// Returns the position before all reports that arrive at `time`.
fn arriving(time: Timestamp) -> Report {
    place("", time, Window { start_time: Timestamp::MIN, end_time: Timestamp::MIN })
}

/// Returns the position before all reports whose window starts at `time`.
fn starting(time: Timestamp) -> Report {
    place("", time, Window { start_time: time, end_time: time })
}

/// Returns the next instant after `time`.
fn next(time: Timestamp) -> Timestamp {
    time.checked_add(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX)
}

/// Returns the reports from `first` on.
fn from<O: Order>(reports: &BTreeSet<Placed<O>>, first: Report) -> impl DoubleEndedIterator<Item = &Report> {
    reports.range(Placed::of(Arc::new(first))..).map(|placed| &*placed.0)
}

/// Returns the reports before `end`.
fn until<O: Order>(reports: &BTreeSet<Placed<O>>, end: Report) -> impl DoubleEndedIterator<Item = &Report> {
    reports.range(..Placed::of(Arc::new(end))).map(|placed| &*placed.0)
}

impl Reports {
    /// Adds a report. It replaces a report with the same name and UID.
    pub fn insert(&mut self, report: impl Into<Arc<Report>>) {
        let report = report.into();
        self.remove(&report.name, &report.uid);
        Arc::make_mut(&mut self.0).all().into_iter().for_each(|order| order.insert(&report));
    }

    /// Removes the report with this name and UID, if there is one.
    pub fn remove(&mut self, name: &str, uid: &str) {
        let Some(report) = self.held(name, uid).map(Arc::clone) else { return };
        Arc::make_mut(&mut self.0).all().into_iter().for_each(|order| order.remove(&report));
    }

    /// Removes the reports for which `keeps` returns false.
    pub fn retain(&mut self, keeps: impl Fn(&Report) -> bool) {
        let dropped: Vec<Arc<Report>> = self.held_all().filter(|report| !keeps(report)).cloned().collect();
        for report in dropped {
            self.remove(&report.name, &report.uid);
        }
    }

    /// Returns the report with this name and UID, if there is one.
    #[must_use]
    pub fn get(&self, name: &str, uid: &str) -> Option<&Report> {
        self.held(name, uid).map(|report| &**report)
    }

    /// Returns all reports, by name and UID.
    pub fn iter(&self) -> impl Iterator<Item = &Report> {
        self.held_all().map(|report| &**report)
    }

    /// Returns the number of reports.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.name.len()
    }

    /// Returns true if there are no reports.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.name.is_empty()
    }

    /// Returns the latest arrival up to `time`, if there is one.
    #[must_use]
    pub fn last_arrival_until(&self, time: Timestamp) -> Option<Timestamp> {
        until(&self.0.arrival, arriving(next(time))).next_back().map(|last| last.arrival)
    }

    /// Returns the reports that take effect from `time` on, in the order of Law 0.
    pub(crate) fn effective_from(&self, time: Timestamp) -> impl Iterator<Item = &Report> {
        from(&self.0.effect, before(time))
    }

    /// Returns the reports that take effect before `time`, in the order of Law 0.
    pub(crate) fn effective_before(&self, time: Timestamp) -> impl Iterator<Item = &Report> {
        until(&self.0.effect, before(time))
    }

    /// Returns the reports that arrived before `time`, in the order of arrival.
    pub(crate) fn arrived_before(&self, time: Timestamp) -> impl Iterator<Item = &Report> {
        until(&self.0.arrival, arriving(time))
    }

    /// Returns the reports that arrive after `time`, in the order of arrival.
    pub fn arriving_after(&self, time: Timestamp) -> impl Iterator<Item = &Report> {
        from(&self.0.arrival, arriving(next(time)))
    }

    /// Returns the reports whose window starts before `time`, the earliest first.
    pub(crate) fn started_before(&self, time: Timestamp) -> impl Iterator<Item = &Report> {
        until(&self.0.start, starting(time))
    }

    /// Returns the reports whose window starts at `time` or later, the earliest first.
    pub(crate) fn starting_from(&self, time: Timestamp) -> impl Iterator<Item = &Report> {
        from(&self.0.start, starting(time))
    }

    /// Returns the reports whose window ends at `time` or earlier, the earliest first.
    pub(crate) fn ended_by(&self, time: Timestamp) -> impl Iterator<Item = &Report> {
        until(&self.0.end, before(next(time)))
    }

    /// Returns the reports whose window ends more than `seconds` after they arrived.
    pub(crate) fn ahead_by_more_than(&self, seconds: u32) -> impl Iterator<Item = &Report> {
        let latest_first = self.0.lead.iter().rev().map(|placed| &*placed.0);
        latest_first.take_while(move |report| report.lead_seconds() > i64::from(seconds))
    }

    /// Returns the reports of `source` whose window starts within `window`, the earliest first.
    pub(crate) fn of_source<'a>(
        &'a self,
        source: &'a str,
        window: Window,
    ) -> impl Iterator<Item = &'a Report> {
        let first = Window { start_time: window.start_time, end_time: window.start_time };
        from(&self.0.source, place(source, Timestamp::MIN, first))
            .take_while(move |report| report.source == source && report.window.start_time < window.end_time)
    }

    fn held(&self, name: &str, uid: &str) -> Option<&Arc<Report>> {
        let sought = Report { name: name.to_owned(), uid: uid.to_owned(), ..before(Timestamp::MIN) };
        self.0.name.get(&Placed::of(Arc::new(sought))).map(|placed| &placed.0)
    }

    fn held_all(&self) -> impl Iterator<Item = &Arc<Report>> {
        self.0.name.iter().map(|placed| &placed.0)
    }
}

impl<R: Into<Arc<Report>>> Extend<R> for Reports {
    fn extend<I: IntoIterator<Item = R>>(&mut self, reports: I) {
        for report in reports {
            self.insert(report);
        }
    }
}

impl<R: Into<Arc<Report>>> FromIterator<R> for Reports {
    fn from_iter<I: IntoIterator<Item = R>>(reports: I) -> Self {
        let mut all = Self::default();
        all.extend(reports);
        all
    }
}

impl PartialEq for Reports {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Reports {}

impl fmt::Debug for Reports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    /// A report of `source` that arrived at `arrival`, about the seconds from `start` to `end`.
    fn report(name: &str, source: &str, arrival: i64, start: i64, end: i64) -> Report {
        let (name, uid, source) = (name.to_owned(), format!("{name}-uid"), source.to_owned());
        let window = Window { start_time: second(start), end_time: second(end) };
        Report { name, uid, arrival: second(arrival), source, window, usage: Vec::new() }
    }

    fn some() -> Reports {
        let reports = [
            report("late", "b", 50, 10, 20),
            report("again", "b", 50, 0, 10),
            report("ahead", "a", 5, 30, 90),
            report("first", "a", 20, 0, 20),
            report("same", "a", 20, 0, 20),
        ];
        reports.into_iter().collect()
    }

    fn names<'a>(reports: impl Iterator<Item = &'a Report>) -> Vec<&'a str> {
        reports.map(|report| report.name.as_str()).collect()
    }

    #[test]
    fn reports_take_effect_at_their_window_end_or_arrival_then_by_start_and_name() {
        let reports = some();
        let in_order = ["first", "same", "again", "late", "ahead"];
        assert_eq!(names(reports.effective_from(second(20))), in_order);
        assert_eq!(names(reports.effective_from(second(21))), in_order[2..]);
        assert_eq!(names(reports.effective_before(second(50))), in_order[..2]);
        assert_eq!(names(reports.effective_before(second(91))), in_order);
    }

    #[test]
    fn a_position_in_an_order_is_before_all_reports_of_its_instant() {
        let reports = some();
        assert_eq!(names(reports.arrived_before(second(20))), ["ahead"]);
        assert_eq!(names(reports.arrived_before(second(21))), ["ahead", "first", "same"]);
        assert_eq!(names(reports.arriving_after(second(20))), ["again", "late"]);
        assert_eq!(names(reports.arriving_after(second(50))), [""; 0]);
        assert_eq!(reports.last_arrival_until(second(20)), Some(second(20)));
        assert_eq!(reports.last_arrival_until(second(4)), None);
        assert_eq!(names(reports.started_before(second(10))), ["again", "first", "same"]);
        assert_eq!(names(reports.starting_from(second(10))), ["late", "ahead"]);
        assert_eq!(names(reports.ended_by(second(19))), ["again"]);
        assert_eq!(names(reports.ended_by(second(20))), ["again", "first", "late", "same"]);
        assert_eq!(names(reports.ahead_by_more_than(84)), ["ahead"]);
        assert_eq!(names(reports.ahead_by_more_than(85)), [""; 0]);
        let window = |start, end| Window { start_time: second(start), end_time: second(end) };
        assert_eq!(names(reports.of_source("b", window(0, 10))), ["again"]);
        assert_eq!(names(reports.of_source("b", window(1, 11))), ["late"]);
        assert_eq!(names(reports.of_source("a", window(0, 31))), ["first", "same", "ahead"]);
    }

    #[test]
    fn a_changed_report_replaces_its_earlier_version_in_all_orders() {
        let mut reports = some();
        reports.insert(report("first", "c", 70, 60, 65));
        assert_eq!(reports.len(), 5);
        assert_eq!(names(reports.effective_from(second(60))), ["first", "ahead"]);
        assert_eq!(
            names(reports.of_source("a", Window { start_time: second(0), end_time: second(9) })),
            ["same"]
        );
        let mut others = reports.clone();
        others.retain(|report| report.source == "a");
        assert_eq!(names(others.iter()), ["ahead", "same"]);
        assert_eq!(reports.len(), 5, "a clone is a copy");
        for name in ["late", "again", "ahead", "first", "same"] {
            reports.remove(name, "of another object");
            assert!(reports.get(name, &format!("{name}-uid")).is_some());
            reports.remove(name, &format!("{name}-uid"));
        }
        assert!(reports.is_empty());
        assert_eq!(names(reports.effective_from(Timestamp::MIN)), [""; 0]);
        assert_eq!(names(reports.arriving_after(Timestamp::MIN)), [""; 0]);
        assert_eq!(names(reports.starting_from(Timestamp::MIN)), [""; 0]);
        assert_eq!(names(reports.ended_by(Timestamp::MAX)), [""; 0]);
        assert_eq!(names(reports.ahead_by_more_than(0)), [""; 0]);
    }
}
