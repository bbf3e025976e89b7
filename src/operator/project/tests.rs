//! The statuses, conditions and messages that users and tools see.

use flashgate_api::definitions::crds;
use flashgate_api::{self as api, SubscriptionStatus};
use flashgate_ledger::catalog::{BillingPeriod, PackLimitScope};
use flashgate_ledger::decide::{
    AdjustmentVerdict, Decision, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, Wait,
};
use flashgate_ledger::facts::{PaymentState, Renewal};
use flashgate_ledger::gate::GateReason;
use flashgate_ledger::invoice::Invoice;
use flashgate_ledger::period::{Window, seconds_after};
use flashgate_ledger::purchase::{OrderState, PurchaseState};
use flashgate_preview::convert::{Commit, ledger_to_wire};
use flashgate_testing::TestAccount;
use flashgate_testing::catalog::shipped;
use flashgate_testing::script::any_account;
use flashgate_testing::values::time;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::core::ObjectMeta;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const START: &str = "2026-01-31T10:00:00Z";

/// Returns the Subscription of an account as the API server would return it.
fn subscription(account: &TestAccount) -> api::Subscription {
    let fact = account.facts.subscription.clone().expect("a Subscription");
    api::Subscription {
        metadata: ObjectMeta {
            name: Some("acme".to_owned()),
            uid: Some(fact.uid),
            generation: Some(fact.generation),
            creation_timestamp: Some(Time(fact.arrival)),
            ..ObjectMeta::default()
        },
        spec: api::SubscriptionSpec {
            plan: fact.request.plan,
            billing_period: fact.request.billing_period,
            renewal: fact.request.renewal,
            start_time: fact.start_time,
            ..api::SubscriptionSpec::default()
        },
        status: None,
    }
}

fn ledger_state(account: &TestAccount) -> LedgerState<'_> {
    match &account.ledger {
        None => LedgerState::Absent,
        Some(ledger) => {
            let hash = ledger_to_wire(ledger, None, &[], Commit::of("default/acme", "operator-0")).hash;
            let reference = LedgerReference { uid: "ledger-1".to_owned(), sequence: ledger.sequence, hash };
            LedgerState::Sound { ledger, reference }
        }
    }
}

fn shown_after(before: Option<&SubscriptionStatus>, account: &TestAccount) -> SubscriptionStatus {
    subscription_status(before, &subscription(account), ledger_state(account), &account.catalog, account.now)
}

fn shown(account: &TestAccount) -> SubscriptionStatus {
    shown_after(None, account)
}

fn of<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Returns the conditions as texts such as `Ready=False/AwaitingPayment`.
fn condition_summaries(conditions: &[Condition]) -> Vec<String> {
    conditions
        .iter()
        .map(|condition| format!("{}={}/{}", condition.type_, condition.status, condition.reason))
        .collect()
}

/// Returns the summaries of `CreditsLow` and `CreditsExhausted`.
fn warnings(account: &TestAccount) -> Vec<String> {
    condition_summaries(&shown(account).conditions).split_off(2)
}

fn message(conditions: &[Condition]) -> &str {
    of(conditions, "Ready").map(|condition| condition.message.as_str()).expect("Ready")
}

fn json_of(status: impl serde::Serialize) -> Value {
    serde_json::to_value(status).expect("JSON")
}

#[test]
fn a_subscription_shows_what_is_in_force_and_what_is_left() {
    let mut account = TestAccount::on_plan("starter", START);
    account.buy("now", "top-up", "plus-500");
    account.adjust("now", "outage", "250", None);
    account.until("2026-02-10T10:00:00Z");
    account.report_hour("now", "gw-eu-1", "StorageEgress", "12G");
    let mut status = json_of(shown(&account));
    let conditions = status["conditions"].take();
    assert_eq!(conditions.as_array().map(Vec::len), Some(4));
    assert!(status["ledger"]["hash"].take().as_str().is_some_and(|hash| hash.len() == 64));
    let number = |last: u32| format!("acme-{}-{last:04}", account.ledger().account_id);
    assert_eq!(
        status,
        json!({
            "observedGeneration": 1,
            "plan": "starter",
            "billingPeriod": "Monthly",
            "period": {"number": 1, "startTime": START, "endTime": "2026-02-28T10:00:00Z"},
            "renewalTime": "2026-02-28T10:00:00Z",
            "credits": {
                "balance": "1730", "plan": "980", "packs": "500", "adjustments": "250", "debt": "0", "settling": "0",
            },
            "thisPeriod": {
                "opening": "0", "granted": "1100", "purchased": "500", "adjusted": "250", "consumed": "120",
                "refunded": "0", "expired": "0", "usedPercent": "6.49",
                "usage": [
                    {"nodeType": "Public", "operation": "StorageEgress", "quantity": "12000000000", "credits": "120"},
                ],
            },
            "packs": {
                "limit": 3, "used": 1, "usedOfLimit": "1/3", "windowStartTime": START,
                "windowEndTime": "2026-02-28T10:00:00Z",
            },
            "forecast": {
                "asOfTime": "2026-02-10T10:00:00Z", "creditsPerDay": "17.142857143",
                "exhaustionTime": "2026-05-22T07:59:59Z", "exhaustsBeforeRenewal": false,
            },
            "gate": {"open": true, "reason": "CreditsLeft", "worstOvershoot": "120"},
            "invoices": [
                {
                    "number": number(1), "time": START, "reason": "Start of starter Monthly", "amount": "100",
                    "currency": "USD", "state": "Settled",
                },
                {
                    "number": number(2), "time": START, "reason": "Pack plus-500, order 'top-up'", "amount": "50",
                    "currency": "USD", "state": "Settled",
                },
            ],
            "ledger": {"uid": "ledger-1", "sequence": 4, "hash": null},
            "conditions": null,
        })
    );
}

#[test]
fn done_is_ready_alone_with_what_is_in_force_and_what_is_left() {
    let account = TestAccount::on_plan("starter", START);
    let status = shown(&account);
    assert_eq!(
        condition_summaries(&status.conditions),
        [
            "Ready=True/InForce",
            "Active=True/PlanInForce",
            "CreditsLow=False/BelowThreshold",
            "CreditsExhausted=False/CreditsLeft"
        ]
    );
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(1)));
    assert_eq!(message(&status.conditions), "plan 'starter' Monthly is in force");
}

#[test]
fn an_account_with_a_future_start_waits() {
    let account = TestAccount::on_plan("starter", START);
    let mut early = subscription(&account);
    early.spec.start_time = Some(time("2026-03-01T00:00:00Z"));
    let status = subscription_status(None, &early, LedgerState::Absent, &account.catalog, account.now);
    assert_eq!(
        condition_summaries(&status.conditions),
        ["Ready=False/NotStarted", "Reconciling=True/NotStarted"]
    );
    assert_eq!(
        message(&status.conditions),
        "the account starts at 2026-03-01T00:00:00Z; nothing happens before it"
    );
    assert_eq!((status.observed_generation, status.credits), (Some(1), None));
    let status = subscription_status(
        None,
        &subscription(&account),
        LedgerState::Absent,
        &account.catalog,
        account.now,
    );
    assert_eq!(
        condition_summaries(&status.conditions),
        ["Ready=False/Starting", "Reconciling=True/Starting"]
    );
}

#[test]
fn an_unpaid_first_period_waits_without_a_plan() {
    let account = TestAccount::unpaid("starter", START);
    let status = shown(&account);
    assert_eq!(
        condition_summaries(&status.conditions),
        ["Ready=False/AwaitingPayment", "Reconciling=True/AwaitingPayment", "Active=False/NoPlan"]
    );
    let invoice = account.ledger().invoice_name(1);
    assert_eq!(
        message(&status.conditions),
        format!(
            "invoice {invoice} over 100 USD is open, due at 2026-02-03T10:00:00Z; plan 'starter' Monthly begins when \
             a Payment reports it as settled"
        )
    );
    let SubscriptionStatus { plan, billing_period, period, renewal_time, this_period, .. } = status;
    assert_eq!((plan, billing_period, period, renewal_time, this_period), (None, None, None, None, None));
}

#[test]
fn an_overdue_invoice_stalls_with_a_remedy() {
    let mut account = TestAccount::unpaid("starter", START);
    account.until("2026-02-04T00:00:00Z");
    let status = shown(&account);
    assert_eq!(
        condition_summaries(&status.conditions)[..2],
        ["Ready=False/PaymentOverdue", "Stalled=True/PaymentOverdue"]
    );
    // The remedy of the message works.
    account.set_renewal("now", Renewal::None);
    account.set_renewal("now", Renewal::Automatic);
    assert_eq!(condition_summaries(&shown(&account).conditions)[0], "Ready=False/AwaitingPayment");
}

#[test]
fn a_renewal_waits_for_its_payment_and_then_stalls_with_what_it_lapsed_to() {
    let mut account = TestAccount::unpaid("starter", START);
    account.pay("now", "payment-1", 1, PaymentState::Settled);
    account.until("2026-02-28T10:00:00Z");
    let status = shown(&account);
    assert_eq!(
        condition_summaries(&status.conditions)[..3],
        ["Ready=False/AwaitingPayment", "Reconciling=True/AwaitingPayment", "Active=True/PlanInForce"]
    );
    assert!(
        message(&status.conditions).ends_with("when a Payment reports it as settled, else the plan lapses")
    );
    account.until("2026-03-04T00:00:00Z");
    let status = shown(&account);
    assert_eq!(
        condition_summaries(&status.conditions)[..3],
        ["Ready=False/PaymentOverdue", "Stalled=True/PaymentOverdue", "Active=True/PlanInForce"]
    );
    assert!(message(&status.conditions).contains("lapsed, and plan 'organization-free' Monthly is in force"));
    assert_eq!(status.plan.as_deref(), Some("organization-free"));
    // The remedy of the message works.
    account.set_renewal("now", Renewal::None);
    assert_eq!(condition_summaries(&shown(&account).conditions)[0], "Ready=True/Lapsed");
    account.set_renewal("now", Renewal::Automatic);
    assert_eq!(condition_summaries(&shown(&account).conditions)[0], "Ready=False/AwaitingPayment");
}

#[test]
fn an_unknown_plan_stalls_and_names_those_that_are_known() {
    let mut account = TestAccount::on_plan("gold", START);
    let status = shown(&account);
    assert_eq!(
        condition_summaries(&status.conditions)[..3],
        ["Ready=False/PlanNotFound", "Stalled=True/PlanNotFound", "Active=False/NoPlan"]
    );
    assert_eq!(
        message(&status.conditions),
        "the catalog has no plan 'gold'; `spec.plan` must be one of individual, organization-free, starter, growth, \
         scale; until then no plan is in force"
    );
    account.ask("now", "starter");
    account.ask("now", "gold");
    assert!(message(&shown(&account).conditions).ends_with("until then plan 'starter' Monthly is in force"));
}

#[test]
fn a_billing_period_that_is_not_offered_stalls() {
    let mut account = TestAccount::on_plan("starter", START);
    account.ask_for("now", "individual", BillingPeriod::Yearly);
    let status = shown(&account);
    assert_eq!(
        condition_summaries(&status.conditions)[..2],
        ["Ready=False/BillingPeriodNotOffered", "Stalled=True/BillingPeriodNotOffered"]
    );
    assert_eq!(
        message(&status.conditions),
        "plan 'individual' is not offered Yearly; `spec.billingPeriod` must be Monthly; until then plan 'starter' \
         Monthly is in force"
    );
}

#[test]
fn a_downgrade_is_ready_and_pending_until_the_period_ends() {
    let mut account = TestAccount::on_plan("growth", START);
    account.ask("now", "starter");
    let status = shown(&account);
    assert_eq!(condition_summaries(&status.conditions)[0], "Ready=True/ChangePending");
    assert_eq!(
        json_of(status.pending_change),
        json!({"plan": "starter", "billingPeriod": "Monthly", "effectiveTime": "2026-02-28T10:00:00Z"})
    );
    assert_eq!(
        message(&status.conditions),
        "plan 'growth' Monthly is in force until 2026-02-28T10:00:00Z, then plan 'starter' Monthly"
    );
    account.ask("now", "growth");
    assert_eq!(shown(&account).pending_change, None);
    assert_eq!(condition_summaries(&shown(&account).conditions)[0], "Ready=True/InForce");
}

#[test]
fn renewal_none_shows_the_lapse_that_comes_and_then_what_follows_by_itself() {
    let mut account = TestAccount::on_plan("starter", START);
    account.set_renewal("now", Renewal::None);
    let status = shown(&account);
    assert_eq!(condition_summaries(&status.conditions)[0], "Ready=True/NotRenewing");
    assert_eq!(
        json_of(status.pending_change),
        json!({"plan": "organization-free", "billingPeriod": "Monthly", "effectiveTime": "2026-02-28T10:00:00Z"})
    );
    assert_eq!(status.renewal_time, Some(time("2026-02-28T10:00:00Z")));
    account.until("2026-03-01T00:00:00Z");
    let status = shown(&account);
    assert_eq!(
        condition_summaries(&status.conditions)[..2],
        ["Ready=True/Lapsed", "Active=True/PlanInForce"]
    );
    assert_eq!((status.plan.as_deref(), status.pending_change), (Some("organization-free"), None));
    assert_eq!(status.renewal_time, Some(time("2026-03-28T10:00:00Z")));
}

#[test]
fn a_plan_that_lapses_to_nothing_has_no_renewal_and_then_no_plan() {
    let mut account = TestAccount::on_plan("individual", START);
    account.set_renewal("now", Renewal::None);
    let status = shown(&account);
    assert_eq!(condition_summaries(&status.conditions)[0], "Ready=True/NotRenewing");
    assert_eq!((status.renewal_time, status.pending_change), (None, None));
    assert!(message(&status.conditions).contains("until 2026-02-28T10:00:00Z, then no plan"));
    account.until("2026-03-01T00:00:00Z");
    let status = shown(&account);
    assert_eq!(condition_summaries(&status.conditions)[..2], ["Ready=True/Lapsed", "Active=False/NoPlan"]);
    let SubscriptionStatus { plan, billing_period, period, renewal_time, .. } = status;
    assert_eq!((plan, billing_period, period, renewal_time), (None, None, None, None));
}

#[test]
fn a_renewal_is_shown_as_long_as_the_catalog_can_serve_it() {
    let mut account = TestAccount::on_plan("starter", START);
    account.catalog.plans.retain(|plan| plan.name != "starter");
    assert_eq!(shown(&account).renewal_time, Some(time("2026-02-28T10:00:00Z")));
    account.catalog.plans.retain(|plan| plan.name != "organization-free");
    assert_eq!(shown(&account).renewal_time, None);
}

#[test]
fn credits_are_low_from_the_first_threshold_and_exhausted_at_zero() {
    let mut account = TestAccount::on_plan("organization-free", START);
    account.until("2026-02-01T00:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "31999");
    assert_eq!(warnings(&account), ["CreditsLow=False/BelowThreshold", "CreditsExhausted=False/CreditsLeft"]);
    account.until("2026-02-01T02:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "1");
    assert_eq!(
        warnings(&account),
        ["CreditsLow=True/ThresholdReached", "CreditsExhausted=False/CreditsLeft"]
    );
    account.until("2026-02-01T04:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "38000");
    assert_eq!(
        warnings(&account),
        ["CreditsLow=True/ThresholdReached", "CreditsExhausted=True/CreditsExhausted"]
    );
    let status = shown(&account);
    let text = |kind: &str| of(&status.conditions, kind).expect("condition").message.clone();
    assert_eq!(
        text("CreditsLow"),
        "175 % of the period's credits are used; the first alert threshold is 80 %"
    );
    assert_eq!(
        text("CreditsExhausted"),
        "the balance is -30: usage becomes debt until credits arrive; buy a pack or upgrade"
    );
    let credits = status.credits.expect("credits");
    assert_eq!((credits.balance.as_str(), credits.debt.as_str()), ("-30", "30"));
}

#[test]
fn the_subscriptions_own_thresholds_count() {
    let mut account = TestAccount::on_plan("organization-free", START);
    account.until("2026-02-01T00:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "20000");
    let mut own = subscription(&account);
    own.spec.alert_thresholds_percent = Some(vec![90, 50]);
    let status = subscription_status(None, &own, ledger_state(&account), &account.catalog, account.now);
    assert_eq!(of(&status.conditions, "CreditsLow").expect("condition").status, "True");
}

#[test]
fn settling_credits_are_shown_apart_from_the_balance() {
    let mut account = TestAccount::on_plan("starter", START);
    account.until("2026-02-28T10:30:00Z");
    let credits = shown(&account).credits.expect("credits");
    assert_eq!(
        (credits.balance.as_str(), credits.plan.as_str(), credits.settling.as_str()),
        ("1100", "1100", "1100")
    );
}

#[test]
fn a_resumed_account_reports_that_its_start_time_is_ignored() {
    let mut account = TestAccount::on_plan("starter", START);
    let mut resumed = subscription(&account);
    resumed.spec.start_time = Some(time("2026-03-01T00:00:00Z"));
    let status = subscription_status(None, &resumed, ledger_state(&account), &account.catalog, account.now);
    assert!(message(&status.conditions).ends_with(
        "; `spec.startTime` 2026-03-01T00:00:00Z is ignored: the Subscription resumes an account that started at \
         2026-01-31T10:00:00Z"
    ));
    account.facts.subscription.as_mut().expect("a Subscription").start_time = Some(time(START));
    assert!(!message(&shown(&account).conditions).contains("ignored"));
}

#[test]
fn an_invoice_that_was_paid_although_void_is_reported() {
    let mut account = TestAccount::unpaid("starter", START);
    account.until("2026-02-04T00:00:00Z");
    account.pay("now", "payment-2", 1, PaymentState::Settled);
    let status = shown(&account);
    assert!(message(&status.conditions).contains("was paid although it was void: return 100 USD"));
    assert_eq!(status.invoices[0].state, api::InvoiceState::RefundDue);
}

#[test]
fn packs_are_counted_in_the_month_of_now_from_the_accounts_start() {
    let mut account = TestAccount::on_plan("starter", START);
    for name in ["a", "b", "c"] {
        account.buy("now", name, "plus-100");
    }
    let packs = json_of(shown(&account).packs);
    assert_eq!(
        (&packs["usedOfLimit"], &packs["nextAvailableTime"]),
        (&json!("3/3"), &json!("2026-02-28T10:00:00Z"))
    );
    account.until("2026-02-28T10:00:00Z");
    assert_eq!(
        json_of(shown(&account).packs),
        json!({
            "limit": 3, "used": 0, "usedOfLimit": "0/3", "windowStartTime": "2026-02-28T10:00:00Z",
            "windowEndTime": "2026-03-31T10:00:00Z",
        })
    );
}

#[test]
fn with_a_limit_for_each_pack_the_most_bought_one_is_shown() {
    let mut account = TestAccount::on_plan("starter", START);
    account.catalog.policies.pack_limit.scope = PackLimitScope::PerPack;
    for (name, pack) in [("a", "plus-100"), ("b", "plus-500"), ("c", "plus-500"), ("d", "plus-1000")] {
        account.buy("now", name, pack);
    }
    assert_eq!(shown(&account).packs.expect("packs").used, 2);
}

#[test]
fn open_invoices_and_the_last_twelve_are_shown_oldest_first() {
    let mut account = TestAccount::unpaid("starter", START);
    account.pay("now", "payment-3", 1, PaymentState::Settled);
    account.catalog.policies.payments.due_within_seconds = 100_000_000;
    account.buy("now", "unpaid", "plus-100");
    account.catalog.policies.payments.mode = flashgate_ledger::catalog::PaymentMode::Internal;
    account.until("2027-03-01T00:00:00Z");
    let status = shown(&account);
    let numbers: Vec<&str> =
        status.invoices.iter().map(|invoice| invoice.number.rsplit('-').next().expect("number")).collect();
    assert_eq!(
        numbers,
        [
            "0002", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012", "0013", "0014",
            "0015"
        ]
    );
    assert_eq!(status.invoices[12].reason, "Renewal of starter Monthly, period 14");
}

#[test]
fn the_last_three_ended_periods_have_statements_that_close_where_the_next_opens() {
    use api::subscription::StatementState::{Final, Open};
    let mut account = TestAccount::on_plan("starter", START);
    account.until("2026-06-30T11:00:00Z");
    let status = shown(&account);
    let statements: Vec<_> = status
        .statements
        .iter()
        .map(|statement| {
            (statement.number, statement.state, statement.opening.as_str(), statement.closing.as_str())
        })
        .collect();
    assert_eq!(statements, [(3, Final, "0", "0"), (4, Final, "0", "0"), (5, Open, "0", "0")]);
    assert_eq!(status.statements[2].expired.as_str(), "1100");
}

#[test]
fn in_trouble_only_conditions_change_and_the_ledger_reference_is_kept() {
    let account = TestAccount::on_plan("starter", START);
    let before = shown(&account);
    let cases = [
        (Trouble::Inconsistent("conservation: …".to_owned()), "LedgerInconsistent"),
        (Trouble::Regression { held: 3, shown: 7 }, "LedgerRegression"),
        (Trouble::Missing { uid: "ledger-1".to_owned() }, "LedgerMissing"),
        (Trouble::NewerFormat(2), "LedgerNewerFormat"),
        (Trouble::Undecodable("`spec.debt`: …".to_owned()), "Undecodable"),
        (Trouble::Refused("no ledgers in this cluster".to_owned()), "CommitRefused"),
    ];
    for (trouble, reason) in cases {
        let text = trouble.to_string();
        let ledger_state = LedgerState::Troubled(trouble);
        let status = subscription_status(
            Some(&before),
            &subscription(&account),
            ledger_state,
            &account.catalog,
            account.now,
        );
        assert_eq!(
            condition_summaries(&status.conditions)[..3],
            [
                format!("Ready=False/{reason}"),
                format!("Stalled=True/{reason}"),
                "Active=True/PlanInForce".to_owned()
            ]
        );
        assert_eq!(message(&status.conditions), text);
        let unchanged = SubscriptionStatus { conditions: before.conditions.clone(), ..status };
        assert_eq!(unchanged, before);
    }
}

#[test]
fn a_transition_time_moves_only_with_the_status() {
    let mut account = TestAccount::on_plan("starter", START);
    let before = shown(&account);
    account.until("2026-02-01T00:00:00Z");
    account.set_renewal("now", Renewal::None);
    let after = shown_after(Some(&before), &account);
    let since = |status: &SubscriptionStatus, kind: &str| {
        of(&status.conditions, kind).expect(kind).last_transition_time.0
    };
    assert_eq!(condition_summaries(&after.conditions)[0], "Ready=True/NotRenewing");
    assert_eq!(since(&after, "Ready"), time(START));
    account.ask("now", "gold");
    account.set_renewal("now", Renewal::Automatic);
    let stalled = shown_after(Some(&after), &account);
    assert_eq!((since(&stalled, "Ready"), since(&stalled, "Stalled")), (account.now, account.now));
    assert_eq!(since(&stalled, "Active"), time(START));
}

/// Returns the verdict on the only object of its kind.
fn only<T>(verdicts: &[Verdict<T>]) -> &T {
    assert_eq!(verdicts.len(), 1);
    &verdicts[0].verdict
}

#[test]
fn a_charged_report_shows_its_receipt() {
    let mut account = TestAccount::on_plan("starter", START);
    account.until("2026-02-10T10:00:00Z");
    let verdict = account.report_hour("now", "gw-eu-1", "StorageEgress", "12G");
    let status = report_status(None, 1, &verdict, account.now);
    assert_eq!(
        json_of(&status),
        json!({
            "observedGeneration": 1,
            "state": "Charged",
            "credits": "120",
            "lines": [
                {"nodeType": "Public", "operation": "StorageEgress", "quantity": "12000000000", "credits": "120"},
            ],
            "periodNumber": 1,
            "chargeTime": "2026-02-10T10:00:00Z",
            "conditions": [{
                "type": "Ready", "status": "True", "observedGeneration": 1, "reason": "Charged",
                "message": "charged 120 credits, booked in period 1", "lastTransitionTime": "2026-02-10T10:00:00Z",
            }],
        })
    );
    let again =
        charge_status(Some(&status), 1, &account.ledger().unacknowledged[0], time("2026-03-01T00:00:00Z"));
    assert_eq!(again, status);
}

#[test]
fn a_rejected_report_shows_the_rule_and_the_remedy_and_charges_nothing() {
    let mut account = TestAccount::on_plan("starter", START);
    let window = Window { start_time: time(START), end_time: time("2026-01-31T11:00:00Z") };
    let verdict = account.report_of("now", "gw", window, &[("Public", "Unknown", "1")]);
    let waiting = report_status(None, 1, &verdict, account.now);
    assert_eq!(
        condition_summaries(&waiting.conditions),
        ["Ready=False/WindowNotOver", "Reconciling=True/WindowNotOver"]
    );
    account.until("2026-02-01T00:00:00Z");
    let status = report_status(None, 1, only(&account.decision.reports), account.now);
    assert_eq!(
        condition_summaries(&status.conditions),
        ["Ready=False/UnknownRate", "Stalled=True/UnknownRate"]
    );
    assert_eq!((status.state, status.credits), (Some(api::UsageReportState::Rejected), None));
}

#[test]
fn a_pending_object_shows_its_reason_and_deadline() {
    let until = time("2026-02-01T00:00:00Z");
    let cases = [
        (
            Wait::WindowNotOver(until),
            "WindowNotOver",
            "the window ends at 2026-02-01T00:00:00Z; it is charged then",
        ),
        (
            Wait::NoSubscription(until),
            "SubscriptionMissing",
            "Subscription not found; create it before 2026-02-01T00:00:00Z",
        ),
        (
            Wait::NotStarted(until),
            "NotStarted",
            "the account starts at 2026-02-01T00:00:00Z; the object is processed then",
        ),
        (
            Wait::ArrivalInFuture(until),
            "ArrivalInFuture",
            "it was created at 2026-02-01T00:00:00Z, which is ahead of the operator's clock; it is decided then: check \
             the clocks of the API servers",
        ),
        (
            Wait::FirstPeriod,
            "FirstPeriodAwaited",
            "the account's first period has not begun; it begins with its payment, or when a known plan is asked for",
        ),
        (
            Wait::SubscriptionBack,
            "SubscriptionMissing",
            "the Subscription was deleted; create it again to continue",
        ),
        (
            Wait::Receipts,
            "ReceiptsAwaited",
            "the statuses of earlier charges are not written yet; the report is processed right after",
        ),
    ];
    for (wait, reason, text) in cases {
        let now = time(START);
        let expected = [format!("Ready=False/{reason}"), format!("Reconciling=True/{reason}")];
        let report = report_status(None, 1, &ReportVerdict::Waits(wait), now);
        let pack = pack_status(None, 1, &PackVerdict::Waits(wait), None, now);
        let payment = payment_status(None, 1, &PaymentVerdict::Waits(wait), now);
        let adjustment = adjustment_status(None, 1, &AdjustmentVerdict::Waits(wait), now);
        for conditions in [&report.conditions, &pack.conditions, &payment.conditions, &adjustment.conditions]
        {
            assert_eq!(condition_summaries(conditions), expected);
            assert_eq!(message(conditions), text);
        }
        assert_eq!((report.state, pack.state, payment.state, adjustment.state), (None, None, None, None));
    }
}

fn pack_shown(account: &TestAccount) -> api::CreditPackStatus {
    pack_status(None, 1, only(&account.decision.packs), account.ledger.as_ref(), account.now)
}

#[test]
fn a_pack_goes_from_its_invoice_to_its_grant_to_its_refund() {
    let mut account = TestAccount::unpaid("starter", START);
    account.pay("now", "payment-4", 1, PaymentState::Settled);
    account.buy("now", "top-up", "plus-500");
    let invoice = account.ledger().invoice_name(2);
    let waiting = pack_shown(&account);
    assert_eq!(
        condition_summaries(&waiting.conditions),
        ["Ready=False/AwaitingPayment", "Reconciling=True/AwaitingPayment"]
    );
    assert_eq!(
        message(&waiting.conditions),
        format!(
            "invoice {invoice} over 50 USD is open, due at 2026-02-03T10:00:00Z; 500 credits are granted when a \
             Payment reports it as settled"
        )
    );
    account.until("2026-02-01T00:00:00Z");
    account.pay("now", "payment-5", 2, PaymentState::Settled);
    let mut granted = json_of(pack_shown(&account));
    let conditions: Vec<Condition> =
        serde_json::from_value(granted["conditions"].take()).expect("conditions");
    assert_eq!(condition_summaries(&conditions), ["Ready=True/Granted"]);
    assert_eq!(message(&conditions), "granted 2026-02-01 as order 'top-up'; use a new name to buy again");
    assert_eq!(
        granted,
        json!({
            "observedGeneration": 1, "state": "Granted", "credits": "500", "price": "50", "currency": "USD",
            "invoice": invoice, "grantTime": "2026-02-01T00:00:00Z", "conditions": null,
        })
    );
    account.pay("now", "payment-6", 2, PaymentState::Refunded);
    account.buy("now", "top-up", "plus-500");
    let refunded = pack_shown(&account);
    assert_eq!(refunded.state, Some(api::CreditPackState::Refunded));
    assert_eq!(condition_summaries(&refunded.conditions), ["Ready=True/Refunded"]);
    assert_eq!(refunded.grant_time, Some(time("2026-02-01T00:00:00Z")));
}

#[test]
fn a_pack_over_the_limit_says_when_the_next_may_be_bought() {
    let mut account = TestAccount::on_plan("starter", START);
    for name in ["a", "b", "c"] {
        account.buy("now", name, "plus-100");
    }
    account.buy("now", "d", "plus-100");
    let status = pack_shown(&account);
    assert_eq!(
        condition_summaries(&status.conditions),
        ["Ready=False/PackLimitReached", "Stalled=True/PackLimitReached"]
    );
    assert_eq!(status.state, Some(api::CreditPackState::Refused));
    assert_eq!(status.next_available_time, Some(time("2026-02-28T10:00:00Z")));
    assert!(message(&status.conditions).starts_with("used 3 of 3 packs of this month"));
}

#[test]
fn an_order_of_long_ago_still_shows_granted() {
    let order = PackVerdict::Ordered(OrderState::GrantedLongAgo);
    let status = pack_status(None, 1, &order, None, time(START));
    assert_eq!((status.state, status.credits), (Some(api::CreditPackState::Granted), None));
    assert!(message(&status.conditions).ends_with("use a new name to buy again"));
}

#[test]
fn a_payment_is_applied_refused_or_due_to_be_returned() {
    let mut account = TestAccount::unpaid("starter", START);
    let status = |verdict: &PaymentVerdict| payment_status(None, 1, verdict, time(START));
    let applied = status(&account.pay("now", "payment-7", 1, PaymentState::Cancelled));
    assert_eq!(condition_summaries(&applied.conditions), ["Ready=True/Applied"]);
    let due = status(&account.pay("now", "payment-8", 1, PaymentState::Settled));
    assert_eq!(condition_summaries(&due.conditions), ["Ready=False/RefundDue", "Stalled=True/RefundDue"]);
    assert_eq!(due.state, Some(api::PaymentVerdict::Applied));
    let returned = PaymentVerdict::Judged(flashgate_ledger::payment::PaymentOutcome::Returned);
    let returned = payment_status(Some(&due), 1, &returned, time(START));
    assert_eq!(condition_summaries(&returned.conditions), ["Ready=True/Refunded"]);
    assert_eq!(returned.state, Some(api::PaymentVerdict::Applied));
    let refused = status(&account.pay("now", "payment-9", 1, PaymentState::Settled));
    assert_eq!(
        condition_summaries(&refused.conditions),
        ["Ready=False/AlreadySettled", "Stalled=True/AlreadySettled"]
    );
    assert_eq!(refused.state, Some(api::PaymentVerdict::Refused));
}

#[test]
fn an_adjustment_is_granted_or_refused() {
    let mut account = TestAccount::on_plan("starter", START);
    let verdict = account.adjust("now", "outage", "250", None);
    let status = adjustment_status(None, 1, &verdict, account.now);
    assert_eq!(condition_summaries(&status.conditions), ["Ready=True/Granted"]);
    assert_eq!(message(&status.conditions), "granted 250 credits 2026-01-31; use a new name to give more");
    let verdict = account.adjust("now", "outage", "251", None);
    let status = adjustment_status(None, 1, &verdict, account.now);
    assert_eq!(
        condition_summaries(&status.conditions),
        ["Ready=False/NameAlreadyUsed", "Stalled=True/NameAlreadyUsed"]
    );
}

/// Returns events as `Kind/name Type/Reason`.
fn noted(decision: &Decision) -> Vec<String> {
    let shown = |event: &AccountEvent| {
        let object = event.object.as_ref().map_or_else(
            || "Subscription".to_owned(),
            |object| format!("{}/{}", object.kind.as_str(), object.name),
        );
        format!("{object} {}/{}", event.kind.as_str(), event.reason)
    };
    events(decision, Credits::ZERO).iter().map(shown).collect()
}

#[test]
fn events_report_transitions_and_no_ordinary_charge() {
    let mut account = TestAccount::new(shipped());
    let granted = "Subscription Normal/Granted";
    account.subscribe(START, "organization-free");
    assert_eq!(noted(&account.decision), [granted]);
    account.buy("now", "a", "plus-100");
    assert_eq!(noted(&account.decision), ["CreditPack/a Warning/PlanNotEligible"]);
    account.until("2026-02-01T00:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "1000");
    assert_eq!(noted(&account.decision), [""; 0]);
    account.report_hour("now", "gw", "TokensOut", "1000");
    assert_eq!(noted(&account.decision), [""; 0], "the receipt publishes the Event of a refusal");
    account.until("2026-02-01T02:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "40000");
    assert_eq!(
        noted(&account.decision),
        [
            "Subscription Warning/ThresholdReached",
            "Subscription Warning/ThresholdReached",
            "Subscription Warning/CreditsExhausted"
        ]
    );
    account.ask("now", "starter");
    assert_eq!(noted(&account.decision), ["Subscription Normal/PlanChanged", granted]);
    account.buy("now", "b", "plus-100");
    assert_eq!(noted(&account.decision), ["CreditPack/b Normal/Purchased"]);
    account.set_renewal("now", Renewal::None);
    account.until("2026-03-01T10:00:00Z");
    assert_eq!(noted(&account.decision), ["Subscription Warning/Lapsed", granted]);
    account.until("2026-04-01T10:00:00Z");
    assert_eq!(noted(&account.decision), ["Subscription Normal/Renewed", granted]);
}

#[test]
fn a_closed_gap_has_an_event_with_its_consequence() {
    let mut account = TestAccount::on_plan("starter", START);
    account.until("2026-02-10T00:00:00Z");
    let gap = Window { start_time: time("2026-02-01T00:00:00Z"), end_time: time("2026-02-02T00:00:00Z") };
    let mut decision = account.decide();
    decision.closed_gaps.push(("gw".to_owned(), gap));
    assert_eq!(noted(&decision), ["Subscription Warning/GapClosed"]);
    let message = &events(&decision, Credits::ZERO)[0].message;
    assert!(message.contains("from 2026-02-01T00:00:00Z to 2026-02-02T00:00:00Z"), "{message}");
    assert!(message.contains("refused as GapClosed"), "{message}");
}

/// Returns the gate of a status as JSON.
fn shown_gate(status: &SubscriptionStatus) -> Value {
    json_of(&status.gate)
}

#[test]
fn the_gate_is_shown_with_its_grace_and_the_status_changes_when_the_grace_ends() {
    let mut account = TestAccount::on_plan("starter", START);
    account.catalog.policies.gate.grace_seconds = 600;
    account.until("2026-02-10T10:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "1100000");
    let policy = account.catalog.policies.gate;
    let since = "2026-02-10T10:00:00Z";
    assert_eq!(
        shown_gate(&shown(&account)),
        json!({"open": true, "since": since, "reason": "InGrace", "worstOvershoot": "1100"})
    );
    assert_eq!(shown_until(account.ledger(), policy, account.now), time("2026-02-10T10:10:00Z"));
    account.until("2026-02-10T10:10:00Z");
    assert_eq!(
        shown_gate(&shown(&account)),
        json!({"open": false, "since": since, "reason": "CreditsExhausted", "worstOvershoot": "1100"})
    );
    assert_eq!(shown_until(account.ledger(), policy, account.now), time("2026-02-28T10:00:00Z"));
}

#[test]
fn the_gate_is_closed_before_the_start_without_a_plan_and_while_the_subscription_is_deleted() {
    let mut account = TestAccount::new(shipped());
    let waiting = |subscription: &mut flashgate_ledger::facts::Subscription| {
        subscription.start_time = Some(time("2026-03-01T00:00:00Z"));
    };
    account.subscribe_with(START, "starter", waiting);
    assert_eq!(shown_gate(&shown(&account)), json!({"open": false, "reason": "NotStarted"}));
    let account = TestAccount::on_plan("no-such-plan", START);
    assert_eq!(shown_gate(&shown(&account)), json!({"open": false, "since": START, "reason": "NoPlan"}));
    let account = TestAccount::on_plan("starter", START);
    let mut deleted = subscription(&account);
    deleted.metadata.deletion_timestamp = Some(Time(account.now));
    let status = subscription_status(None, &deleted, ledger_state(&account), &account.catalog, account.now);
    assert_eq!(shown_gate(&status), json!({"open": false, "reason": "Deleting"}));
}

#[test]
fn credits_are_exhausted_at_the_overdraft_of_the_plan() {
    let mut catalog = shipped();
    catalog.plans[2].overdraft = "50".parse().expect("credits");
    let mut account = TestAccount::new(catalog);
    account.subscribe(START, "starter");
    account.until("2026-02-10T10:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "1149000");
    assert_eq!(
        warnings(&account),
        ["CreditsLow=True/ThresholdReached", "CreditsExhausted=False/CreditsLeft"]
    );
    account.until("2026-02-10T12:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "1000");
    assert_eq!(
        warnings(&account),
        ["CreditsLow=True/ThresholdReached", "CreditsExhausted=True/CreditsExhausted"]
    );
    let events = events(&account.decision, account.ledger().exhaustion_limit());
    assert_eq!(events.last().map(|event| event.reason), Some(Reason::CreditsExhausted));
}

#[test]
fn a_renewal_that_replaces_what_expires_exhausts_nothing() {
    let mut account = TestAccount::on_plan("starter", START);
    account.until("2026-02-28T10:00:00Z");
    let told = noted(&account.decision);
    assert!(!told.contains(&"Subscription Warning/CreditsExhausted".to_owned()), "{told:?}");
}

fn schema(kind: &str, section: &str) -> jsonschema::Validator {
    let crds = crds().expect("definitions");
    let crd = crds.iter().find(|crd| crd.kind == kind).expect("a kind");
    jsonschema::validator_for(&crd.schema()["properties"][section]).expect("a schema")
}

fn assert_follows(
    schema: &jsonschema::Validator,
    object: impl serde::Serialize,
) -> Result<(), TestCaseError> {
    let object = json_of(object);
    let errors: Vec<String> = schema.iter_errors(&object).map(|error| error.to_string()).collect();
    prop_assert!(errors.is_empty(), "{object}: {errors:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn projecting_again_changes_nothing_and_time_alone_only_the_month_of_the_packs_and_the_grace(
        (mut account, script) in any_account(), hours in 0..2_000_i64,
    ) {
        for (time, action) in &script.actions {
            account.now = *time;
            account.apply(action);
            if account.facts.subscription.is_none() {
                continue;
            }
            let status = shown(&account);
            prop_assert_eq!(&shown_after(Some(&status), &account), &status);
            let mut later = account.clone();
            later.now = seconds_after(account.now, hours * 3_600);
            let then = shown_after(Some(&status), &later);
            let SubscriptionStatus { packs, gate, .. } = status.clone();
            let later_reason = then.gate.as_ref().map(|gate| gate.reason);
            let has_closed = gate.as_ref().is_some_and(|gate| gate.reason == GateReason::InGrace)
                && later_reason == Some(GateReason::CreditsExhausted);
            prop_assert!(has_closed || then.gate == gate, "{:?} {:?}", then.gate, gate);
            prop_assert_eq!(SubscriptionStatus { packs, gate, ..then }, status);
        }
    }

    #[test]
    fn the_shown_next_period_is_the_one_that_follows((mut account, script) in any_account()) {
        for (time, action) in &script.actions {
            account.now = *time;
            account.apply(action);
            let is_settled = !account.ledger().invoices.iter().any(Invoice::is_open_plan_invoice);
            let follows = next_period::next_period(account.ledger(), &account.catalog);
            if let (Some(follows), true, true) = (follows, is_settled, account.facts.subscription.is_some()) {
                let mut later = account.clone();
                later.jump_to(follows.time);
                let terms = later.ledger().terms.as_ref();
                let then = terms.map(|terms| (terms.plan.clone(), terms.billing_period));
                prop_assert_eq!(follows.plan.map(|plan| (plan.plan, plan.billing_period)), then);
            }
        }
    }

    #[test]
    fn every_status_and_every_ledger_follows_its_schema((mut account, script) in any_account()) {
        let (subscriptions, packs) = (schema("Subscription", "status"), schema("CreditPack", "status"));
        let (reports, ledgers) = (schema("UsageReport", "status"), schema("CreditLedger", "spec"));
        for (time, action) in &script.actions {
            account.now = *time;
            account.apply(action);
            let decision = &account.decision;
            if account.facts.subscription.is_some() {
                assert_follows(&subscriptions, shown(&account))?;
            }
            for pack in &decision.packs {
                assert_follows(&packs, pack_status(None, 1, &pack.verdict, account.ledger.as_ref(), account.now))?;
            }
            for report in &decision.reports {
                assert_follows(&reports, report_status(None, 1, &report.verdict, account.now))?;
            }
            assert_follows(&ledgers, ledger_to_wire(account.ledger(), None, &account.decision.entries, Commit::of("default/acme", "operator-0")))?;
        }
    }

    #[test]
    fn a_purchase_of_each_state_shows_when_it_was_granted((mut account, script) in any_account()) {
        for (time, action) in &script.actions {
            account.now = *time;
            account.apply(action);
        }
        for sold in &account.ledger().purchases.records {
            let order = match sold.state {
                PurchaseState::AwaitingPayment => OrderState::AwaitingPayment(sold.clone()),
                PurchaseState::Granted { .. } => OrderState::Granted(sold.clone()),
                PurchaseState::Refunded { .. } => OrderState::Refunded(sold.clone()),
                PurchaseState::Refused { .. } => continue,
            };
            let is_granted = !matches!(order, OrderState::AwaitingPayment(_));
            let status = pack_status(None, 1, &PackVerdict::Ordered(order), account.ledger.as_ref(), account.now);
            prop_assert_eq!(status.grant_time.is_some(), is_granted);
        }
    }
}
