//! The expected outcome at the end of the current period.

use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::entry::{LapseCause, PlanPeriod};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::renewal;
use jiff::Timestamp;

/// The outcome at the end of the current period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NextPeriod {
    /// When the period in force ends.
    pub(super) time: Timestamp,
    /// Plan of the next one; absent where there is none.
    pub(super) plan: Option<PlanPeriod>,
    /// Whether the plan in force ends because `renewal: None` asks for it.
    pub(super) ends_as_asked: bool,
}

/// Returns what follows the period in force if nothing else is asked for, or nothing while there is none.
pub(super) fn next_period(ledger: &Ledger, catalog: &Catalog) -> Option<NextPeriod> {
    let (window, decided) = (ledger.period.window?, ledger.request.as_ref()?);
    let next = ledger.following(&decided.request, catalog)?;
    Some(NextPeriod {
        time: window.end_time,
        plan: next.terms().map(PlanPeriod::of),
        ends_as_asked: matches!(next, renewal::Following::Lapses { cause: LapseCause::RenewalNone, .. }),
    })
}
