//! Which gaps known reports are about to fill: those close last (Law 9).

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::facts::Report;
use crate::period::Window;

/// The windows of the reports that are known and not decided.
pub(crate) struct Awaited<'a> {
    reports: &'a [Report],
    /// By source, in ascending order. Made at the first question: few accounts ever have that many gaps.
    windows: OnceCell<BTreeMap<&'a str, BTreeSet<(Window, &'a str)>>>,
    /// UIDs of the reports that were decided since.
    decided: BTreeSet<&'a str>,
}

impl<'a> Awaited<'a> {
    /// Returns the windows of `reports`, none of which is decided.
    pub(crate) const fn of(reports: &'a [Report]) -> Self {
        Self { reports, windows: OnceCell::new(), decided: BTreeSet::new() }
    }

    /// Takes note that the report with `uid` was decided.
    pub(crate) fn decide(&mut self, uid: &'a str) {
        self.decided.insert(uid);
    }

    /// Returns whether a report of `source` that is not decided lies within `gap`.
    pub(crate) fn fills(&self, source: &str, gap: Window) -> bool {
        let windows = self.windows.get_or_init(|| by_source(self.reports));
        let from = Window { start_time: gap.start_time, end_time: gap.start_time };
        let of_source = windows.get(source).into_iter().flat_map(|windows| windows.range((from, "")..));
        of_source
            .take_while(|(window, _)| window.start_time < gap.end_time)
            .any(|(window, uid)| window.end_time <= gap.end_time && !self.decided.contains(uid))
    }
}

fn by_source(reports: &[Report]) -> BTreeMap<&str, BTreeSet<(Window, &str)>> {
    let mut windows: BTreeMap<&str, BTreeSet<(Window, &str)>> = BTreeMap::new();
    for report in reports {
        windows.entry(&report.source).or_default().insert((report.window, &report.uid));
    }
    windows
}
