//! The readiness of an account, as one condition with one message.

use flashgate_api::Subscription;
use flashgate_api::reason::Reason;
use flashgate_ledger::bounds::OPEN_GRANTS_LIMIT;
use flashgate_ledger::catalog::{BillingPeriod, Catalog};
use flashgate_ledger::entry::PlanPeriod;
use flashgate_ledger::facts::{Renewal, Request};
use flashgate_ledger::invoice::{Invoice, InvoiceState, Purpose};
use flashgate_ledger::ledger::{DecidedRequest, Ledger, RequestState};
use jiff::Timestamp;

use super::condition::{Readiness, arrival_in_future};
use super::next_period::NextPeriod;

/// Returns the readiness of an account whose ledger does not exist yet.
pub(super) fn before_opening(subscription: &Subscription, now: Timestamp) -> Readiness {
    if let Some(readiness) = absent(subscription, now) {
        return readiness;
    }
    match subscription.spec.start_time {
        Some(start) if start > now => Readiness::waits(
            Reason::NotStarted,
            format!("the account starts at {start}; nothing happens before it"),
        ),
        _ => Readiness::waits(Reason::Starting, "the account is about to be opened".to_owned()),
    }
}

/// Returns the readiness of an account whose Subscription counts as absent. Either it is being deleted (Law
/// 19), or its creation time is in the future (Law 0).
pub(super) fn absent(subscription: &Subscription, now: Timestamp) -> Option<Readiness> {
    if subscription.metadata.deletion_timestamp.is_some() {
        let finalizers = subscription.metadata.finalizers.as_deref().unwrap_or_default().join(", ");
        let message = format!(
            "the Subscription is being deleted, so nothing renews and nothing is invoiced; the deletion waits for the \
             finalizers: {finalizers}"
        );
        return Some(Readiness::waits(Reason::Deleting, message));
    }
    let created = subscription.metadata.creation_timestamp.as_ref()?.0;
    (created > now).then(|| Readiness::waits(Reason::ArrivalInFuture, arrival_in_future(created)))
}

/// Returns the readiness of an account, with remarks that a user should know.
pub(super) fn readiness(
    ledger: &Ledger,
    subscription: &Subscription,
    catalog: &Catalog,
    following: Option<&NextPeriod>,
) -> Readiness {
    let mut readiness =
        unanswered(ledger, catalog).or_else(|| unpaid(ledger)).unwrap_or_else(|| answered(ledger, following));
    let is_ignored = |start: &Timestamp| *start != ledger.start_time;
    if let Some(start) = subscription.spec.start_time.filter(is_ignored) {
        let since = ledger.start_time;
        readiness.add(&format!(
            "`spec.startTime` {start} is ignored: the Subscription resumes an account that started at {since}"
        ));
    }
    for invoice in ledger.invoices.iter().filter(|invoice| invoice.state == InvoiceState::RefundDue) {
        let number = ledger.invoice_name(invoice.number);
        readiness.add(&format!(
            "invoice {number} was paid although it was void: return {} {} and report it with a Payment of state \
             'Refunded'",
            invoice.amount, invoice.currency
        ));
    }
    readiness
}

/// Returns the readiness of a request that needs an action of the user, if there is one.
fn unanswered(ledger: &Ledger, catalog: &Catalog) -> Option<Readiness> {
    let DecidedRequest { request, state } = ledger.request.as_ref()?;
    let asked = describe(&request.plan, request.billing_period);
    match state {
        RequestState::PlanNotFound => Some(plan_not_found(ledger, request, catalog)),
        RequestState::BillingPeriodNotOffered => Some(not_offered(ledger, request, catalog)),
        RequestState::Voided => Some(Readiness::stuck(
            Reason::PaymentOverdue,
            format!(
                "the payment for {asked} was cancelled or overdue, so its invoice is void, and {}; to get a new invoice, \
                 set `spec.renewal` to 'None' and then to 'Automatic' again, or ask for another plan",
                in_force(ledger)
            ),
        )),
        // With `renewal: None` the user asked for the lapse.
        RequestState::Lapsed if request.renewal == Renewal::Automatic => {
            if catalog.plan(&request.plan).is_none() {
                return Some(plan_not_found(ledger, request, catalog));
            }
            Some(Readiness::stuck(
                Reason::PaymentOverdue,
                format!(
                    "the renewal of {asked} was not paid in time, so it lapsed, and {}; to return, set `spec.renewal` \
                     to 'None' and then to 'Automatic' again, or ask for another plan",
                    in_force(ledger)
                ),
            ))
        }
        RequestState::LedgerFull => Some(Readiness::stuck(
            Reason::LedgerFull,
            format!(
                "{asked} waits, since the account has {} open grants and that of a change may be at most the \
                 {OPEN_GRANTS_LIMIT}th; it begins when usage or an expiration closes one of them, or when the \
                 period ends; until then {}",
                ledger.grants.len(),
                in_force(ledger)
            ),
        )),
        RequestState::Lapsed | RequestState::Decided => None,
    }
}

fn plan_not_found(ledger: &Ledger, request: &Request, catalog: &Catalog) -> Readiness {
    let known: Vec<&str> = catalog.plans.iter().map(|plan| plan.name.as_str()).collect();
    let message = format!(
        "the catalog has no plan '{}'; `spec.plan` must be one of {}; until then {}",
        request.plan,
        known.join(", "),
        in_force(ledger)
    );
    Readiness::stuck(Reason::PlanNotFound, message)
}

fn not_offered(ledger: &Ledger, request: &Request, catalog: &Catalog) -> Readiness {
    let plan = catalog.plan(&request.plan).map(|(_, plan)| plan);
    let offered = [BillingPeriod::Monthly, BillingPeriod::Yearly]
        .into_iter()
        .filter(|period| plan.is_some_and(|plan| plan.offer(*period).is_some()))
        .map(BillingPeriod::as_str);
    let message = format!(
        "plan '{}' is not offered {}; `spec.billingPeriod` must be {}; until then {}",
        request.plan,
        request.billing_period.as_str(),
        offered.collect::<Vec<_>>().join(" or "),
        in_force(ledger)
    );
    Readiness::stuck(Reason::BillingPeriodNotOffered, message)
}

/// Returns the readiness of an account whose plan invoice is open, if there is one.
fn unpaid(ledger: &Ledger) -> Option<Readiness> {
    let invoice = ledger.invoices.iter().find(|invoice| invoice.is_open_plan_invoice())?;
    let Invoice { number, amount, currency, due_time, .. } = invoice;
    let due = due_time.map(|due| format!(", due at {due}")).unwrap_or_default();
    let effect = match &invoice.purpose {
        Purpose::Change { terms, .. } => {
            format!(
                "{} begins when a Payment reports it as settled",
                describe(&terms.plan, terms.billing_period)
            )
        }
        Purpose::Renewal { .. } | Purpose::Pack { .. } => {
            "the period's credits arrive when a Payment reports it as settled, else the plan lapses"
                .to_owned()
        }
    };
    let number = ledger.invoice_name(*number);
    let message = format!("invoice {number} over {amount} {currency} is open{due}; {effect}");
    Some(Readiness::waits(Reason::AwaitingPayment, message))
}

/// Returns the readiness of a request that is served.
fn answered(ledger: &Ledger, following: Option<&NextPeriod>) -> Readiness {
    let Some(following) = following else {
        let message = "no plan is in force and usage becomes debt; ask for a plan with `renewal: Automatic`";
        return if ledger.lapsed {
            Readiness::done(Reason::Lapsed, format!("the plan lapsed: {message}"))
        } else {
            Readiness::waits(Reason::FirstPeriodAwaited, message.to_owned())
        };
    };
    let time = following.time;
    if ledger.lapsed {
        let message = format!(
            "the plan that was asked for lapsed, and {}; ask for a plan with `renewal: Automatic` to return",
            in_force(ledger)
        );
        return Readiness::done(Reason::Lapsed, message);
    }
    let in_force = in_force(ledger);
    if following.ends_as_asked {
        let then = following.plan.as_ref().map_or_else(|| "no plan".to_owned(), describe_plan);
        let message =
            format!("{in_force} until {time}, then {then}; `renewal: Automatic` before then keeps it");
        return Readiness::done(Reason::NotRenewing, message);
    }
    match &ledger.pending_change {
        Some(change) => {
            let then = describe(&change.plan, change.billing_period);
            let message = format!("{in_force} until {}, then {then}", change.effective_time);
            Readiness::done(Reason::ChangePending, message)
        }
        None => Readiness::done(Reason::InForce, in_force),
    }
}

/// Returns a text with the plan that is in force.
pub(super) fn in_force(ledger: &Ledger) -> String {
    match &ledger.terms {
        Some(terms) => format!("{} is in force", describe(&terms.plan, terms.billing_period)),
        None => "no plan is in force".to_owned(),
    }
}

/// Returns a text with a plan and its billing period.
pub(super) fn describe_plan(plan: &PlanPeriod) -> String {
    describe(&plan.plan, plan.billing_period)
}

fn describe(plan: &str, billing_period: BillingPeriod) -> String {
    format!("plan '{plan}' {}", billing_period.as_str())
}
