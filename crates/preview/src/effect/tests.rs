//! The effect of a change equals what the operator does when the change is made.

use flashgate_api::Subscription;
use flashgate_ledger::catalog::PaymentMode;
use flashgate_ledger::facts::{PaymentState, Subscription as SubscriptionFact};
use flashgate_ledger::period::{Window, seconds_after};
use flashgate_testing::TestAccount;
use flashgate_testing::action::InvoiceChoice;
use flashgate_testing::catalog::editions;
use flashgate_testing::random::Random;
use flashgate_testing::script::restless;
use flashgate_testing::values::{HOUR, credits, time};
use serde_json::json;

use super::*;

const START: &str = "2026-01-31T10:00";
const NOW: &str = "2026-02-10T10:00";

/// Returns the object of the account's Subscription.
fn subscription(account: &TestAccount) -> Subscription {
    let SubscriptionFact { uid, generation, arrival, request, start_time, .. } =
        account.facts.subscription.clone().expect("a Subscription");
    let object = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Subscription",
        "metadata": {
            "name": "acme", "namespace": "team", "uid": uid, "generation": generation,
            "creationTimestamp": arrival.to_string(),
        },
        "spec": {
            "plan": request.plan, "billingPeriod": request.billing_period, "renewal": request.renewal,
            "startTime": start_time.map(|time| time.to_string()),
        },
    });
    serde_json::from_value(object).expect("Subscription")
}

fn outcome(account: &TestAccount, change: &Change) -> Outcome {
    let subscription = subscription(account);
    let objects =
        Objects { subscription: &subscription, ledger: account.ledger.as_ref(), packs: &[], reports: &[] };
    let preview = Preview::of(&objects, &account.catalog, account.now).expect("a preview");
    preview.effect(change).expect("an outcome")
}

fn accepted(account: &TestAccount, change: &Change) -> Effect {
    match outcome(account, change) {
        Outcome::Accepted(effect) => effect,
        Outcome::Refused(reason) => unreachable!("refused: {reason}"),
    }
}

fn refused(account: &TestAccount, change: &Change) -> String {
    match outcome(account, change) {
        Outcome::Refused(reason) => reason,
        Outcome::Accepted(effect) => unreachable!("accepted: {effect:?}"),
    }
}

fn plan(name: &str) -> Change {
    Change::Plan { plan: name.to_owned(), billing_period: BillingPeriod::Monthly }
}

fn yearly(name: &str) -> Change {
    Change::Plan { plan: name.to_owned(), billing_period: BillingPeriod::Yearly }
}

fn pack(name: &str) -> Change {
    Change::Pack { pack: name.to_owned() }
}

/// Returns the amounts of an effect: granted, expired, kept and balance, then the amount of its invoice.
fn amounts(effect: &Effect) -> ([String; 4], Option<String>) {
    let Effect { granted, expired, kept, balance, invoice, .. } = effect;
    let owed = invoice.as_ref().map(|money| format!("{} {}", money.amount, money.currency));
    ([granted, expired, kept, balance].map(ToString::to_string), owed)
}

fn texts(amounts: [&str; 4]) -> [String; 4] {
    amounts.map(ToOwned::to_owned)
}

/// Returns an account on `starter` that consumed 100 of its 1,100 credits and has 100 more of a pack.
fn account() -> TestAccount {
    let mut account = TestAccount::on_plan("starter", START);
    account.buy("2026-02-01T10:00", "order-1", "plus-100");
    account.consume("2026-02-02T10:00", "100");
    account.until(NOW);
    account
}

#[test]
fn an_upgrade_begins_a_period_at_once_and_keeps_the_credits() {
    let effect = accepted(&account(), &plan("growth"));
    assert_eq!(effect.takes_effect, When::Now);
    assert_eq!(amounts(&effect), (texts(["9500", "0", "1100", "10600"]), Some("300 USD".into())));
    assert_eq!(effect.plan.as_deref(), Some("growth"));
    assert_eq!(effect.period_end, Some(time("2026-03-10T10:00")));
    let effect = accepted(&account(), &yearly("starter"));
    assert_eq!((effect.takes_effect, effect.granted), (When::Now, credits("15000")));
    assert_eq!(effect.period_end, Some(time("2027-02-10T10:00")));
}

#[test]
fn a_downgrade_takes_effect_when_the_period_ends() {
    let effect = accepted(&account(), &plan("individual"));
    assert_eq!(effect.takes_effect, When::At(time("2026-02-28T10:00")));
    assert_eq!(amounts(&effect), (texts(["10", "1000", "100", "110"]), None));
    assert_eq!(effect.plan.as_deref(), Some("individual"));
}

#[test]
fn the_plan_in_force_changes_nothing_unless_it_withdraws_a_pending_change() {
    let mut account = account();
    assert_eq!(accepted(&account, &plan("starter")).takes_effect, When::Never);
    account.ask(NOW, "individual");
    let effect = accepted(&account, &plan("starter"));
    assert_eq!((effect.takes_effect, effect.balance), (When::Now, credits("1100")));
}

#[test]
fn with_external_payments_an_upgrade_takes_effect_after_its_payment() {
    let mut account = TestAccount::unpaid("starter", START);
    account.pay(START, "evt-1", 1, PaymentState::Settled);
    account.until(NOW);
    let effect = accepted(&account, &plan("growth"));
    assert_eq!(effect.takes_effect, When::AfterPayment);
    assert_eq!(amounts(&effect), (texts(["9500", "0", "1100", "10600"]), Some("300 USD".into())));
}

#[test]
fn without_a_renewal_the_plan_lapses_when_its_period_ends() {
    let effect = accepted(&account(), &Change::Renewal(Renewal::None));
    assert_eq!(effect.takes_effect, When::At(time("2026-02-28T10:00")));
    assert_eq!(effect.plan.as_deref(), Some("organization-free"));
    assert_eq!(effect.balance, credits("140"));
    let same = accepted(&account(), &Change::Renewal(Renewal::Automatic));
    assert_eq!(same.takes_effect, When::Never);
}

#[test]
fn a_plan_is_requested_with_its_renewal_so_that_a_lapsed_account_returns() {
    let mut account = account();
    account.set_renewal(NOW, Renewal::None);
    let stays = accepted(&account, &plan("starter"));
    assert_eq!(stays.takes_effect, When::At(time("2026-02-28T10:00")));
    assert_eq!(stays.plan.as_deref(), Some("starter"));
    account.until("2026-03-05T10:00");
    let effect = accepted(&account, &plan("starter"));
    assert_eq!((effect.takes_effect, effect.granted), (When::Now, credits("1100")));
    assert_eq!(effect.plan.as_deref(), Some("starter"));
}

#[test]
fn a_pack_arrives_at_once_or_after_its_payment_or_with_the_first_period() {
    let effect = accepted(&account(), &pack("plus-500"));
    assert_eq!(effect.takes_effect, When::Now);
    assert_eq!(amounts(&effect), (texts(["500", "0", "1100", "1600"]), Some("50 USD".into())));
    let mut external = TestAccount::unpaid("starter", START);
    assert_eq!(accepted(&external, &pack("plus-500")).takes_effect, When::FirstPeriod);
    external.pay(START, "evt-1", 1, PaymentState::Settled);
    let effect = accepted(&external, &pack("plus-500"));
    assert_eq!((effect.takes_effect, effect.balance), (When::AfterPayment, credits("1600")));
}

#[test]
fn a_debt_is_repaid_by_what_arrives() {
    let mut account = TestAccount::on_plan("starter", START);
    account.consume(NOW, "1200");
    let effect = accepted(&account, &pack("plus-500"));
    assert_eq!(amounts(&effect), (texts(["500", "0", "-100", "400"]), Some("50 USD".into())));
}

#[test]
fn a_refusal_has_the_reason_that_the_operator_gives() {
    let mut account = account();
    for order in ["order-2", "order-3"] {
        account.buy(NOW, order, "plus-100");
    }
    let reason = refused(&account, &pack("plus-100"));
    assert!(reason.contains("3 of 3"), "{reason}");
    let Some(PackVerdict::Ordered(OrderState::Refused(real))) = Some(account.buy(NOW, "order-4", "plus-100"))
    else {
        unreachable!("the fourth pack of a month is refused");
    };
    assert_eq!(reason, real.message);
    let reason = refused(&TestAccount::on_plan("individual", START), &pack("plus-100"));
    assert!(reason.contains("individual"), "{reason}");
    assert_eq!(refused(&account, &plan("huge")), "the catalog has no plan 'huge'");
    let reason = refused(&account, &yearly("individual"));
    assert_eq!(reason, "plan 'individual' has no price for Yearly: choose Monthly");
}

#[test]
fn pending_reports_are_charged_before_the_change() {
    let account = account();
    let subscription = subscription(&account);
    let Window { start_time, end_time } =
        Window { start_time: seconds_after(account.now, -HOUR), end_time: account.now };
    let report: UsageReport = serde_json::from_value(json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReport",
        "metadata": {"name": "gw-1", "uid": "gw-1", "creationTimestamp": end_time.to_string()},
        "spec": {
            "subscriptionRef": {"name": "acme"}, "source": "gw",
            "window": {"startTime": start_time.to_string(), "endTime": end_time.to_string()},
            "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": "2G"}],
        },
    }))
    .expect("report");
    let objects = Objects {
        subscription: &subscription,
        ledger: account.ledger.as_ref(),
        packs: &[],
        reports: std::slice::from_ref(&report),
    };
    let later = seconds_after(account.now, 1);
    let preview = Preview::of(&objects, &account.catalog, later).expect("a preview");
    let Ok(Outcome::Accepted(effect)) = preview.effect(&plan("growth")) else {
        unreachable!("an upgrade");
    };
    assert_eq!(amounts(&effect).0, texts(["9500", "0", "1080", "10580"]));
}

#[test]
fn an_account_that_starts_later_changes_when_it_starts() {
    let mut account = TestAccount::new(flashgate_testing::catalog::shipped());
    account.subscribe_with(START, "starter", |subscription| {
        subscription.start_time = Some(time("2026-02-20T10:00"));
    });
    let effect = accepted(&account, &plan("growth"));
    assert_eq!(effect.takes_effect, When::At(time("2026-02-20T10:00")));
    assert_eq!(amounts(&effect), (texts(["9500", "0", "0", "9500"]), Some("300 USD".into())));
}

/// Makes a change on the account itself, pays its invoice, and advances to the time of its effect.
fn make(account: &mut TestAccount, change: &Change, takes_effect: When) {
    match change {
        Change::Plan { plan, billing_period } => {
            let (plan, billing_period) = (plan.clone(), *billing_period);
            account.edit("now", |subscription| {
                subscription.request = Request { plan, billing_period, renewal: Renewal::Automatic };
            });
        }
        Change::Renewal(renewal) => {
            account.set_renewal("now", *renewal);
        }
        Change::Pack { pack } => {
            account.buy("now", "changed", pack);
        }
    }
    if let When::At(time) = takes_effect {
        account.live_until(time);
    }
}

/// Pays the invoice that the entries from `first` on issued last, if it is open.
fn pay(account: &mut TestAccount, first: usize) {
    let ledger = account.ledger().clone();
    let issued = account.entries.iter().skip(first).rev().find_map(|entry| match &entry.detail {
        Detail::Invoiced { invoice, .. } => {
            ledger.invoice(invoice).filter(|invoice| invoice.state == InvoiceState::Open)
        }
        _ => None,
    });
    if let Some(invoice) = issued {
        account.apply(&flashgate_testing::Action::Pay {
            name: "changed".to_owned(),
            invoice: InvoiceChoice::Name(ledger.invoice_name(invoice.number)),
            state: PaymentState::Settled,
            amount: None,
        });
    }
}

#[test]
fn the_effect_on_random_accounts_is_what_happens_when_the_change_is_made() {
    let (mut compared, mut later) = (0, 0);
    for seed in 0..120 {
        let mut random = Random::new(seed, 15);
        let mode = random.pick(&[PaymentMode::Internal, PaymentMode::External]);
        let mut account = TestAccount::with_editions(&editions(mode));
        let script = restless(seed);
        let actions = script.actions.len();
        for (time, action) in script.actions.iter().take(1 + usize::try_from(seed).expect("seed") % actions) {
            account.live_until(*time);
            account.apply(action);
        }
        let facts = &account.facts;
        let is_quiet = facts.packs.is_empty()
            && facts.payments.is_empty()
            && facts.adjustments.is_empty()
            && facts.reports.iter().next().is_none();
        if facts.subscription.is_none() || account.ledger.is_none() || !is_quiet {
            continue;
        }
        let plans = &account.catalog.plans;
        let change = match random.below(4) {
            0 => Change::Renewal(random.pick(&[Renewal::None, Renewal::Automatic])),
            1 => pack("plus-500"),
            _ => Change::Plan {
                plan: plans[random.index(plans.len())].name.clone(),
                billing_period: random.pick(&[BillingPeriod::Monthly, BillingPeriod::Yearly]),
            },
        };
        let Outcome::Accepted(effect) = outcome(&account, &change) else { continue };
        let first = account.entries.len();
        make(&mut account, &change, effect.takes_effect);
        if effect.takes_effect != When::Never {
            pay(&mut account, first);
        }
        later += usize::from(matches!(effect.takes_effect, When::At(_)));
        compared += 1;
        let ledger = account.ledger();
        assert_eq!(effect.balance, ledger.balance().expect("balance"), "seed {seed}: {change:?} {effect:?}");
        let plan = ledger.terms.as_ref().map(|terms| terms.plan.clone());
        assert_eq!(effect.plan, plan, "seed {seed}: {change:?} {effect:?}");
    }
    assert!(compared > 30 && later > 5, "{compared} compared, {later} of them later");
}
