//! What follows the period in force, as far as it is known now (Laws 11, 13, 16, 20).

use flashgate_ledger::catalog::{BillingPeriod, Catalog};
use flashgate_ledger::entry::PlanPeriod;
use flashgate_ledger::facts::Renewal;
use flashgate_ledger::ledger::{DecidedRequest, Ledger, Terms};
use jiff::Timestamp;

/// What follows the period in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Following {
    /// When the period in force ends.
    pub(super) time: Timestamp,
    /// Plan of the next one; absent where there is none.
    pub(super) plan: Option<PlanPeriod>,
    /// Whether the plan in force ends because `renewal: None` asks for it.
    pub(super) ends_as_asked: bool,
}

/// Returns what follows the period in force, or nothing while there is none.
pub(super) fn following(ledger: &Ledger, catalog: &Catalog) -> Option<Following> {
    let (terms, window) = (ledger.terms.as_ref()?, ledger.period.window?);
    let DecidedRequest { request, state } = ledger.request.as_ref()?;
    let in_force =
        || plan_on_offer(catalog, &terms.plan, terms.billing_period).or_else(|| lapse(terms, catalog));
    let does_not_renew = request.renewal == Renewal::None;
    let renews_by_itself =
        ledger.lapsed && (state.is_remembered() || (does_not_renew && !terms.are_of(request)));
    let plan = if renews_by_itself {
        in_force()
    } else if does_not_renew {
        lapse(terms, catalog)
    } else if state.is_remembered() {
        in_force()
    } else {
        plan_on_offer(catalog, &request.plan, request.billing_period).or_else(in_force)
    };
    Some(Following { time: window.end_time, plan, ends_as_asked: does_not_renew && !renews_by_itself })
}

/// Returns what the plan in force lapses to, if anything.
fn lapse(terms: &Terms, catalog: &Catalog) -> Option<PlanPeriod> {
    plan_on_offer(catalog, terms.lapses_to.as_deref()?, BillingPeriod::Monthly)
}

fn plan_on_offer(catalog: &Catalog, plan: &str, billing_period: BillingPeriod) -> Option<PlanPeriod> {
    let (_, plan) = catalog.plan(plan)?;
    plan.offer(billing_period)?;
    Some(PlanPeriod { plan: plan.name.clone(), billing_period })
}
