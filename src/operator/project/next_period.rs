//! The expected outcome at the end of the current period.

use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::entry::{LapseCause, PlanPeriod};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::renewal;
use jiff::Timestamp;

/// The outcome at the end of the current period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NextPeriod {
    /// When the current period ends.
    pub(super) time: Timestamp,
    /// Plan of the next period, or `None` if there is no next period.
    pub(super) plan: Option<PlanPeriod>,
    /// Whether the current plan ends because of `renewal: None`.
    pub(super) ends_as_asked: bool,
}

/// Returns the outcome at the end of the current period if the request stays the same. Returns `None` without a
/// period.
pub(super) fn next_period(ledger: &Ledger, catalog: &Catalog) -> Option<NextPeriod> {
    let (window, decided) = (ledger.period.window?, ledger.request.as_ref()?);
    let next = ledger.following(&decided.request, catalog)?;
    Some(NextPeriod {
        time: window.end_time,
        plan: next.terms().map(PlanPeriod::of),
        ends_as_asked: matches!(next, renewal::Following::Lapses { cause: LapseCause::RenewalNone, .. }),
    })
}
