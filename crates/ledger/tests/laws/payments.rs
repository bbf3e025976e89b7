//! Law 18: invoices, payments by an agent, and their effects.

use flashgate_ledger::catalog::BillingPeriod::Yearly;
use flashgate_ledger::entry::Detail;
use flashgate_ledger::facts::PaymentState::{Cancelled, Failed, Refunded, Settled};
use flashgate_ledger::facts::{Payment, Renewal};
use flashgate_ledger::invoice::{ATTEMPTS_KEPT, VOID_INVOICES_KEPT};
use flashgate_ledger::period::seconds_after;
use flashgate_testing::catalog::{external, shipped};
use flashgate_testing::values::{DAY, credits, time, window};
use flashgate_testing::{Summary, TestAccount};

fn start(at: &str, plan: &str) -> TestAccount {
    let mut account = TestAccount::new(external());
    account.subscribe(at, plan);
    account
}

/// Returns an account of starter whose first period began with its payment on 2026-01-01.
fn paid() -> TestAccount {
    let mut account = start("2026-01-01", "starter");
    assert_eq!(account.pay("2026-01-01", "p1", 1, Settled).summary(), "applied");
    account
}

#[test]
fn internal_invoices_are_settled_as_they_are_issued() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.buy("2026-01-02", "a", "plus-100");
    account.ask("2026-01-03", "growth").until("2026-02-03");
    assert_eq!(
        account.invoices(),
        ["1:Start:Settled", "2:Pack:Settled", "3:Upgrade:Settled", "4:Renewal:Settled"]
    );
    assert_eq!(account.ledger().invoice_name(2), "acme-1f3a9c2e-0002");
}

#[test]
fn a_free_period_has_no_invoice() {
    let mut account = start("2026-01-01", "organization-free");
    account.catalog.packs[0].price = credits("0");
    account.catalog.plans[1].pack_purchases = flashgate_ledger::catalog::PackPurchases::Allowed;
    account.until("2026-02-01");
    assert_eq!(account.buy("2026-02-02", "a", "plus-100").summary(), "granted");
    assert_eq!((account.balance().as_str(), account.invoices().len()), ("140", 0));
}

#[test]
fn the_first_period_begins_with_its_payment_for_each_start_time() {
    let mut account = TestAccount::new(external());
    account.subscribe_with("2026-03-01", "starter", |subscription| {
        subscription.start_time = Some(time("2026-01-10"));
    });
    assert_eq!((account.plan(), account.ledger().period.number), ("", 0));
    assert_eq!(account.consume("2026-03-01T05:00", "30").summary(), "charged 30");
    assert_eq!(account.balance(), "-30");
    account.pay("2026-03-02T05:00", "p", 1, Settled);
    assert_eq!(account.period(), (1, window("2026-03-02T05:00", "2026-04-02T05:00")));
    assert_eq!(account.balance(), "1070");
}

#[test]
fn a_first_payment_at_the_due_time_is_in_time() {
    for (at, said) in [("2026-01-04", "applied"), ("2026-01-04T00:00:01", "refund due")] {
        let mut account = start("2026-01-01", "starter");
        assert_eq!(account.pay(at, "p", 1, Settled).summary(), said);
    }
}

#[test]
fn due_times_are_compared_with_the_payments_arrival() {
    let mut account = start("2026-01-01", "starter");
    account.operator_stops("2026-01-02");
    account.pay("2026-01-03", "p", 1, Settled);
    account.operator_starts("2026-02-20");
    assert_eq!(account.payments["p"].summary(), "applied");
    assert_eq!(account.times("Granted"), [time("2026-01-03"), time("2026-02-06")]);
    // The renewal of 02-03 was due on 02-06.
    assert_eq!(account.plan(), "organization-free");
}

#[test]
fn a_request_whose_invoice_became_void_is_remembered() {
    for end in ["cancelled", "overdue"] {
        let mut account = start("2026-01-01", "starter");
        if end == "cancelled" {
            assert_eq!(account.pay("2026-01-02", "p", 1, Cancelled).summary(), "applied");
        }
        account.until("2026-03-01");
        assert_eq!((account.plan(), account.invoices()), ("", vec!["1:Start:Void".to_owned()]));
        account.set_renewal("2026-03-02", Renewal::None);
        assert_eq!(account.invoices().len(), 1);
        account.set_renewal("2026-03-03", Renewal::Automatic);
        assert_eq!(account.invoices(), ["1:Start:Void", "2:Start:Open"]);
        account.pay("2026-03-04", "p2", 2, Settled);
        assert_eq!((account.period().0, account.balance().as_str()), (1, "1100"));
    }
}

#[test]
fn an_upgrade_waits_for_its_payment() {
    let mut account = paid();
    account.ask("2026-01-10", "growth");
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
    account.pay("2026-01-12T03:00", "p2", 2, Settled);
    assert_eq!((account.plan(), account.balance().as_str()), ("growth", "10600"));
    assert_eq!(account.period(), (2, window("2026-01-12T03:00", "2026-02-12T03:00")));
}

#[test]
fn an_upgrade_is_made_on_the_terms_of_its_invoice() {
    let mut account = paid();
    account.ask("2026-01-10", "growth");
    account.catalog.plans[3].monthly.as_mut().expect("monthly").credits = credits("1");
    account.pay("2026-01-12", "p2", 2, Settled);
    assert_eq!(account.balance(), "10600");
}

#[test]
fn a_new_request_voids_the_open_one() {
    let mut account = paid();
    account.ask("2026-01-10", "growth").ask("2026-01-11", "scale");
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Upgrade:Void", "3:Upgrade:Open"]);
    account.ask("2026-01-12", "starter");
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Upgrade:Void", "3:Upgrade:Void"]);
    assert_eq!(account.pay("2026-01-13", "late", 3, Settled).summary(), "refund due");
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
}

#[test]
fn a_boundary_voids_an_open_upgrade_and_renews_into_it() {
    let mut account = paid();
    account.ask("2026-01-31", "growth").until("2026-02-01");
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Upgrade:Void", "3:Renewal:Open"]);
    assert_eq!((account.plan(), account.balance().as_str()), ("growth", "0"));
    assert_eq!(account.period().1, window("2026-02-01", "2026-03-01"));
    account.pay("2026-02-02", "p3", 3, Settled);
    assert_eq!((account.balance().as_str(), account.period().0), ("9500", 2));
}

#[test]
fn an_upgrade_whose_payment_was_cancelled_does_not_come_at_the_boundary() {
    let mut account = paid();
    account.ask("2026-01-10", "growth");
    account.pay("2026-01-11", "c", 2, Cancelled);
    account.until("2026-02-01");
    assert_eq!(
        (account.plan(), account.invoices().last().cloned()),
        ("starter", Some("3:Renewal:Open".to_owned()))
    );
}

#[test]
fn a_renewal_runs_without_credits_until_it_is_paid() {
    let mut account = paid();
    account.until("2026-02-01");
    assert_eq!((account.period().0, account.balance().as_str()), (2, "0"));
    account.consume("2026-02-02", "30");
    account.pay("2026-02-04", "p2", 2, Settled);
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1070"));
    assert_eq!(account.times("Granted"), [time("2026-01-01"), time("2026-02-04")]);
    account.until("2026-03-01");
    assert_eq!(account.ledger().totals.expired.to_string(), "2170");
}

#[test]
fn a_renewal_stays_open_for_another_attempt_until_it_is_due() {
    for state in [Failed, Cancelled] {
        let mut account = paid();
        account.until("2026-02-01");
        assert_eq!(account.pay("2026-02-02", "f", 2, state).summary(), "applied");
        assert_eq!(account.invoices().last().cloned(), Some("2:Renewal:Open".to_owned()));
        let mut unpaid = account.clone();
        assert_eq!(account.pay("2026-02-03", "p2", 2, Settled).summary(), "applied");
        assert_eq!(account.balance(), "1100");
        unpaid.until("2026-02-04");
        assert_eq!(unpaid.plan(), "organization-free");
        assert_eq!(unpaid.invoices().last().cloned(), Some("2:Renewal:Void".to_owned()));
    }
}

#[test]
fn a_failed_attempt_leaves_the_invoice_open() {
    let mut account = start("2026-01-01", "starter");
    assert_eq!(account.pay("2026-01-02", "f1", 1, Failed).summary(), "applied");
    assert_eq!(account.pay("2026-01-02T00:01", "p1", 1, Settled).summary(), "applied");
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
    account.buy("2026-01-03", "a", "plus-100");
    assert_eq!(account.pay("2026-01-03", "f2", 2, Failed).summary(), "applied");
    assert_eq!(account.packs["a"].summary(), "awaits payment");
    assert_eq!(account.pay("2026-01-06", "p2", 2, Settled).summary(), "applied");
    assert_eq!(account.balance(), "1200");
    account.ask("2026-01-10", "growth");
    assert_eq!(account.pay("2026-01-10", "f3", 3, Failed).summary(), "applied");
    assert_eq!(account.pay("2026-01-13", "p3", 3, Settled).summary(), "applied");
    assert_eq!(account.plan(), "growth");
}

#[test]
fn an_invoice_whose_attempts_all_failed_is_void_at_its_due_time() {
    let mut account = paid();
    account.buy("2026-01-05", "a", "plus-100");
    account.pay("2026-01-06", "f1", 2, Failed);
    account.until("2026-01-07T23:59:59");
    assert_eq!(account.packs["a"].summary(), "awaits payment");
    account.until("2026-01-08");
    assert_eq!(account.packs["a"].summary(), "PaymentExpired");
    assert_eq!(account.invoices().last().cloned(), Some("2:Pack:Void".to_owned()));
}

#[test]
fn a_cancelled_payment_voids_the_invoice_at_once() {
    let mut account = start("2026-01-01", "starter");
    assert_eq!(account.pay("2026-01-02", "c1", 1, Cancelled).summary(), "applied");
    assert_eq!((account.plan(), account.invoices()), ("", vec!["1:Start:Void".to_owned()]));
    assert_eq!(account.pay("2026-01-02T00:01", "p1", 1, Settled).summary(), "refund due");
    let mut account = paid();
    account.buy("2026-01-05", "a", "plus-100");
    assert_eq!(account.pay("2026-01-06", "c2", 2, Cancelled).summary(), "applied");
    assert_eq!(account.packs["a"].summary(), "PaymentCancelled");
    account.ask("2026-01-10", "growth");
    assert_eq!(account.pay("2026-01-11", "c3", 3, Cancelled).summary(), "applied");
    assert_eq!(
        (account.plan(), account.invoices().last().cloned()),
        ("starter", Some("3:Upgrade:Void".to_owned()))
    );
}

#[test]
fn nothing_fails_or_is_cancelled_once_it_was_paid() {
    let mut account = paid();
    account.pay("2026-01-02", "r", 1, Refunded);
    account.ask("2026-01-03", "growth");
    account.pay("2026-01-04", "c", 2, Cancelled);
    account.pay("2026-01-05", "late", 2, Settled);
    account.buy("2026-01-06", "a", "plus-100");
    for (name, number) in [("refunded", 1), ("due", 2)] {
        for state in [Failed, Cancelled] {
            let name = format!("{name}-{}", state.as_str());
            assert_eq!(account.pay("2026-01-07", &name, number, state).summary(), "AlreadySettled");
        }
    }
    let mut account = paid();
    for state in [Failed, Cancelled] {
        assert_eq!(account.pay("2026-01-07", state.as_str(), 1, state).summary(), "AlreadySettled");
    }
    assert_eq!(
        account.pay_amount("2026-01-08", "w", "acme-1f3a9c2e-0001", Cancelled, "1").summary(),
        "WrongAmount"
    );
}

#[test]
fn a_payment_that_was_applied_shows_the_same_after_its_invoice_was_paid() {
    for state in [Failed, Cancelled] {
        let mut account = paid();
        account.until("2026-02-01");
        assert_eq!(account.pay("2026-02-02", "f", 2, state).summary(), "applied");
        assert_eq!(account.pay("2026-02-03", "p2", 2, Settled).summary(), "applied");
        assert_eq!(account.pay("2026-02-03", "f", 2, state).summary(), "applied", "its status was lost");
        assert_eq!(account.pay("2026-02-03", "f2", 2, state).summary(), "AlreadySettled");
        assert_eq!(account.ledger().invoices[1].attempts.count, 1);
    }
}

#[test]
fn an_invoice_keeps_the_last_names_of_its_attempts_and_their_count() {
    let mut account = start("2026-01-01", "starter");
    for index in 1..=20 {
        let at = format!("2026-01-02T00:{index:02}");
        assert_eq!(account.pay(&at, &format!("f{index}"), 1, Failed).summary(), "applied");
    }
    let attempts = account.ledger().invoices[0].attempts.clone();
    assert_eq!((attempts.count, attempts.names.len()), (20, ATTEMPTS_KEPT));
    assert_eq!(attempts.names.first().map(String::as_str), Some("f5"));
    account.pay("2026-01-03", "p", 1, Settled);
    // Their statuses were lost. Both were applied, and the name of one is no longer kept.
    for index in [1, 20] {
        account.facts.payments.push(Payment {
            name: format!("f{index}"),
            uid: format!("again-{index}"),
            arrival: time(&format!("2026-01-02T00:{index:02}")),
            invoice: "acme-1f3a9c2e-0001".to_owned(),
            state: Failed,
            amount: credits("100"),
            currency: "USD".to_owned(),
        });
        account.settle();
        assert_eq!(account.summaries[&format!("again-{index}")], "applied");
    }
    assert_eq!(account.ledger().invoices[0].attempts, attempts);
    assert_eq!(account.pay("2026-01-04", "f21", 1, Failed).summary(), "AlreadySettled");
}

#[test]
fn a_cancellation_with_the_name_of_a_failed_attempt_is_decided_on_its_own() {
    let mut account = start("2026-01-01", "starter");
    assert_eq!(account.pay("2026-01-02", "evt", 1, Failed).summary(), "applied");
    assert_eq!(account.pay("2026-01-03", "evt", 1, Cancelled).summary(), "applied");
    assert_eq!(account.invoices(), ["1:Start:Void"]);
}

#[test]
fn an_unpaid_renewal_lapses_also_when_an_upgrade_took_its_invoices_place() {
    let mut account = paid();
    account.until("2026-02-01").ask("2026-02-02", "growth");
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Renewal:Void", "3:Upgrade:Open"]);
    account.until("2026-02-04");
    assert_eq!(
        (account.plan(), account.invoices().last().cloned()),
        ("organization-free", Some("3:Upgrade:Void".to_owned()))
    );
    account.until("2026-02-20");
    assert_eq!((account.plan(), account.invoices().len()), ("organization-free", 3));
}

#[test]
fn an_upgrade_paid_by_the_renewals_due_time_takes_its_place() {
    let mut account = paid();
    account.until("2026-02-01").ask("2026-02-02", "growth");
    account.pay("2026-02-04", "p3", 3, Settled);
    assert_eq!((account.plan(), account.balance().as_str(), account.period().0), ("growth", "9500", 3));
    account.until("2026-02-20");
    assert_eq!((account.plan(), account.count("Granted")), ("growth", 2));
}

#[test]
fn an_upgrade_taken_back_brings_the_unpaid_renewals_invoice_back() {
    for plan in ["starter", "organization-free", "platinum"] {
        let mut account = paid();
        account.until("2026-02-01").ask("2026-02-02", "growth").ask("2026-02-03", plan);
        let invoices = ["1:Start:Settled", "2:Renewal:Void", "3:Upgrade:Void", "4:Renewal:Open"];
        assert_eq!(account.invoices(), invoices, "{plan}");
        assert_eq!(account.ledger().invoices[3].due_time, Some(time("2026-02-04")));
        account.pay("2026-02-04", "p4", 4, Settled);
        assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
    }
}

#[test]
fn a_downgrade_leaves_the_open_renewal_to_be_paid() {
    let mut account = paid();
    account.until("2026-02-01").ask("2026-02-02", "organization-free");
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Renewal:Open"]);
    account.pay("2026-02-03", "p2", 2, Settled);
    account.until("2026-02-28T23:59:59");
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
    account.until("2026-03-01");
    assert_eq!(account.plan(), "organization-free");
}

#[test]
fn a_reactivation_waits_for_its_payment() {
    let mut account = paid();
    account.set_renewal("2026-01-10", Renewal::None).until("2026-02-05");
    account.set_renewal("2026-02-10", Renewal::Automatic);
    assert_eq!(
        (account.plan(), account.invoices().last().cloned()),
        ("organization-free", Some("2:Reactivation:Open".to_owned()))
    );
    account.pay("2026-02-11", "p2", 2, Settled);
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
    assert_eq!(account.period().1.start_time, time("2026-02-11"));
}

#[test]
fn a_reactivation_that_is_not_paid_leaves_the_lapse_as_it_was() {
    let mut account = paid();
    account.set_renewal("2026-01-10", Renewal::None).until("2026-02-05");
    account.set_renewal("2026-02-10", Renewal::Automatic).until("2026-05-10");
    assert_eq!(
        (account.plan(), account.balance().as_str(), account.invoices().len()),
        ("organization-free", "40", 2)
    );
}

#[test]
fn a_lapse_voids_an_open_plan_invoice() {
    let mut account = paid();
    account.edit("2026-01-30", |subscription| {
        subscription.request.plan = "growth".to_owned();
        subscription.request.renewal = Renewal::None;
    });
    account.until("2026-02-01");
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Upgrade:Void"]);
    assert_eq!(account.plan(), "organization-free");
}

#[test]
fn payments_that_do_not_fit_are_refused() {
    let mut account = paid();
    assert_eq!(
        account.pay_amount("2026-01-02", "a", "acme-1f3a9c2e-0009", Settled, "100").summary(),
        "UnknownInvoice"
    );
    assert_eq!(
        account.pay_amount("2026-01-02", "b", "other-1f3a9c2e-0001", Settled, "100").summary(),
        "UnknownInvoice"
    );
    assert_eq!(
        account.pay_amount("2026-01-02", "c", "acme-1f3a9c2e-0001", Refunded, "99").summary(),
        "WrongAmount"
    );
    assert_eq!(account.pay("2026-01-02", "d", 1, Settled).summary(), "AlreadySettled");
    assert_eq!(account.pay("2026-01-02", "e", 1, Failed).summary(), "AlreadySettled");
    account.until("2026-02-01");
    assert_eq!(account.pay("2026-02-01", "f", 2, Refunded).summary(), "NotSettled");
    assert_eq!(account.balance(), "0");
}

#[test]
fn a_currency_that_differs_from_the_invoice_is_a_wrong_amount() {
    let mut account = start("2026-01-01", "starter");
    account.operator_stops("2026-01-02");
    account.pay("2026-01-02", "p", 1, Settled);
    account.facts.payments[0].currency = "EUR".to_owned();
    account.operator_starts("2026-01-02");
    assert_eq!(account.payments["p"].summary(), "WrongAmount");
    assert_eq!(account.plan(), "");
}

#[test]
fn a_void_invoice_names_the_payment_that_was_cancelled() {
    let object_of = |account: &TestAccount| match &account.all("Voided")[0].detail {
        Detail::Voided { object, .. } => object.as_ref().map(|object| object.name.clone()),
        _ => None,
    };
    let mut account = start("2026-01-01", "starter");
    account.pay("2026-01-02", "c", 1, Cancelled);
    assert_eq!(object_of(&account), Some("c".to_owned()));
    let mut account = start("2026-01-01", "starter");
    account.until("2026-01-04");
    assert_eq!(object_of(&account), None, "it ran out");
}

#[test]
fn an_attempt_to_pay_a_void_invoice_is_applied_and_only_recorded() {
    for state in [Failed, Cancelled] {
        let mut account = start("2026-01-01", "starter");
        account.pay("2026-01-02", "c1", 1, Cancelled);
        let mut before = account.ledger().clone();
        assert_eq!(account.pay("2026-01-03", "f2", 1, state).summary(), "applied");
        let after = account.ledger();
        before.sequence = after.sequence;
        before.clock_time = after.clock_time;
        before.invoices[0].attempts = after.invoices[0].attempts.clone();
        assert_eq!(*after, before);
        assert_eq!(after.invoices[0].attempts.names, ["c1", "f2"]);
    }
}

#[test]
fn a_payments_name_shows_the_same_again() {
    let mut account = paid();
    assert_eq!(account.pay("2026-01-02", "p1", 1, Settled).summary(), "applied");
    assert_eq!(account.pay("2026-01-02", "p2", 1, Settled).summary(), "AlreadySettled");
    assert_eq!(account.pay("2026-01-03", "p2", 1, Settled).summary(), "AlreadySettled");
    assert_eq!(account.count("Granted"), 1);
}

#[test]
fn a_payment_with_a_used_name_and_other_content_is_decided_on_its_own() {
    let mut account = paid();
    account.until("2026-02-01");
    assert_eq!(account.pay("2026-02-01T05:00", "p", 2, Failed).summary(), "applied");
    assert_eq!(account.pay("2026-02-01T06:00", "p", 2, Failed).summary(), "applied");
    assert_eq!(account.pay("2026-02-01T07:00", "p", 2, Settled).summary(), "applied");
    assert_eq!(account.pay("2026-02-01T08:00", "p", 2, Settled).summary(), "applied");
    assert_eq!((account.balance().as_str(), account.count("Granted")), ("1100", 2));
    assert_eq!(account.pay("2026-02-02", "p", 2, Refunded).summary(), "applied");
    assert_eq!(account.pay("2026-02-02", "p", 2, Refunded).summary(), "applied");
    assert_eq!((account.balance().as_str(), account.count("Refunded")), ("0", 1));
    assert_eq!(account.pay("2026-02-03", "p", 1, Settled).summary(), "AlreadySettled");
}

#[test]
fn a_refusal_is_no_verdict_on_other_content_with_the_same_name() {
    let mut account = start("2026-01-01", "starter");
    let invoice = "acme-1f3a9c2e-0001";
    assert_eq!(account.pay_amount("2026-01-01T05:00", "p", invoice, Settled, "99").summary(), "WrongAmount");
    assert_eq!(account.pay_amount("2026-01-01T06:00", "p", invoice, Settled, "99").summary(), "WrongAmount");
    assert_eq!(account.count("Refused"), 1);
    assert_eq!(account.pay_amount("2026-01-01T07:00", "p", invoice, Settled, "100").summary(), "applied");
    assert_eq!(account.pay_amount("2026-01-01T08:00", "p", invoice, Settled, "99").summary(), "WrongAmount");
    assert_eq!((account.balance().as_str(), account.count("Refused")), ("1100", 1));
}

#[test]
fn a_refused_payment_stays_refused_though_its_invoice_is_issued_later() {
    let mut account = paid();
    let early = |account: &mut TestAccount, at| {
        account.pay_amount(at, "p", "acme-1f3a9c2e-0002", Settled, "100").summary()
    };
    assert_eq!(early(&mut account, "2026-01-05"), "UnknownInvoice");
    assert_eq!(early(&mut account, "2026-02-02"), "UnknownInvoice");
    assert_eq!(account.balance(), "0");
}

#[test]
fn money_that_was_paid_late_under_a_used_name_is_due_back() {
    let mut account = paid();
    account.until("2026-02-01");
    account.pay("2026-02-02", "p", 2, Failed);
    account.until("2026-02-05");
    assert_eq!(account.pay("2026-02-05", "p", 2, Settled).summary(), "refund due");
    assert_eq!(account.pay("2026-02-06", "p1", 2, Refunded).summary(), "applied");
    assert_eq!(account.ledger().payments_returned_by("p1"), ["p"]);
}

#[test]
fn a_refund_takes_the_remaining_credits_once_and_the_plan_stays() {
    let mut account = paid();
    account.consume("2026-01-05", "300");
    assert_eq!(account.pay("2026-01-06", "r", 1, Refunded).summary(), "applied");
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "0"));
    assert_eq!(account.ledger().totals.refunded, credits("800"));
    assert_eq!(account.pay("2026-01-07", "r2", 1, Refunded).summary(), "NotSettled");
    assert_eq!(account.pay("2026-01-07", "s2", 1, Settled).summary(), "AlreadySettled");
    assert_eq!(account.period().0, 1);
    assert_eq!(account.ledger().totals.refunded, credits("800"));
}

#[test]
fn a_refund_takes_settling_credits_too_and_lowers_the_expired_ones() {
    let mut account = paid();
    account.consume("2026-01-05", "300");
    account.until("2026-02-01T01:00");
    assert_eq!(account.ledger().totals.expired, credits("800"));
    account.pay("2026-02-01T01:00", "r", 1, Refunded);
    let totals = account.ledger().totals;
    assert_eq!(
        (totals.expired, totals.refunded, account.settling().as_str()),
        (credits("0"), credits("800"), "0")
    );
    let last = account.all("Refunded")[0];
    assert_eq!((last.credits, account.balance().as_str()), (credits("0"), "0"));
}

#[test]
fn an_invoice_settled_at_its_issue_can_be_refunded() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.buy("2026-01-02", "a", "plus-100");
    account.pay("2026-01-03", "r1", 2, Refunded);
    assert_eq!((account.balance().as_str(), account.left("pack/a").as_str()), ("1100", "0"));
    account.pay("2026-01-04", "r2", 1, Refunded);
    assert_eq!((account.balance().as_str(), account.plan()), ("0", "starter"));
}

#[test]
fn unused_credits_can_be_refunded_at_any_age_of_their_invoice() {
    let mut account = TestAccount::on_plan("starter", "2022-01-01");
    account.buy("2022-01-02", "a", "plus-100");
    account.until("2026-01-02");
    assert_eq!(account.pay("2026-01-02", "r", 2, Refunded).summary(), "applied");
    assert_eq!((account.balance().as_str(), account.left("pack/a").as_str()), ("1100", "0"));
}

#[test]
fn every_invoice_of_24_months_is_known_however_many_there_are() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.until("2027-12-31T23:00");
    account.catalog.policies.pack_limit.max = 100;
    for index in 0..40 {
        account.buy("2027-12-31T23:00", &format!("a{index}"), "plus-100");
    }
    account.until("2028-01-01");
    assert_eq!(account.pay("2028-01-01", "again", 2, Settled).summary(), "AlreadySettled");
    account.until("2029-01-01");
    assert_eq!((account.ledger().invoices[0].number, account.ledger().invoices.len()), (14, 64));
}

#[test]
fn a_void_invoice_is_known_after_repeated_changes_of_the_plan() {
    let mut account = paid();
    for index in 0..60 {
        account.ask(&format!("2026-01-10T00:{index:02}"), ["growth", "scale"][index % 2]);
    }
    assert_eq!(account.pay("2026-01-11", "late", 2, Settled).summary(), "refund due");
}

#[test]
fn a_refund_after_the_settlement_closed_takes_nothing() {
    let mut account = paid();
    account.until("2026-02-02");
    assert_eq!(account.pay("2026-02-02", "r", 1, Refunded).summary(), "applied");
    assert_eq!(
        (account.ledger().totals.refunded, account.ledger().totals.expired),
        (credits("0"), credits("1100"))
    );
}

#[test]
fn money_that_is_due_back_can_be_returned() {
    let mut account = start("2026-01-01", "starter");
    account.until("2026-01-05");
    assert_eq!(account.pay("2026-01-05", "late", 1, Settled).summary(), "refund due");
    assert_eq!(account.pay("2026-01-05", "late2", 1, Settled).summary(), "AlreadySettled");
    assert_eq!(account.pay("2026-01-06", "back", 1, Refunded).summary(), "applied");
    assert_eq!((account.invoices(), account.balance().as_str()), (vec!["1:Start:Refunded".to_owned()], "0"));
}

#[test]
fn a_pack_waits_for_its_payment_as_sold() {
    let mut account = paid();
    account.buy("2026-01-05", "a", "plus-100");
    account.catalog.packs[0].credits = credits("7");
    account.until("2026-01-06");
    assert_eq!(account.balance(), "1100");
    account.pay("2026-01-08", "p2", 2, Settled);
    assert_eq!((account.balance().as_str(), account.packs["a"].summary().as_str()), ("1200", "granted"));
}

#[test]
fn a_pack_that_is_not_paid_in_time_is_refused() {
    let mut account = paid();
    account.buy("2026-01-05", "a", "plus-100");
    account.until("2026-01-08");
    assert_eq!(account.packs["a"].summary(), "PaymentExpired");
    assert_eq!(account.pay("2026-01-09", "late", 2, Settled).summary(), "refund due");
    assert_eq!(account.balance(), "1100");
    assert_eq!(account.pay("2026-01-10", "back", 2, Refunded).summary(), "applied");
    assert_eq!(account.packs["a"].summary(), "PaymentExpired");
}

#[test]
fn payments_of_one_instant_settle_an_invoice_once() {
    let mut account = start("2026-01-01", "starter");
    account.operator_stops("2026-01-02");
    for name in ["c", "a", "b"] {
        account.pay("2026-01-02", name, 1, Settled);
    }
    account.operator_starts("2026-01-02");
    let said = ["a", "b", "c"].map(|name| account.payments[name].summary());
    assert_eq!(said, ["applied", "AlreadySettled", "AlreadySettled"]);
    assert_eq!(account.count("Granted"), 1);
}

#[test]
fn invoice_numbers_never_have_gaps() {
    let mut account = paid();
    account.buy("2026-01-02", "a", "plus-100");
    account.ask("2026-01-03", "growth").ask_for("2026-01-03T01:00", "growth", Yearly);
    account.until("2026-02-01").until("2026-02-10");
    let numbers: Vec<u32> = account.ledger().invoices.iter().map(|invoice| invoice.number).collect();
    let expected: Vec<u32> = (1..account.ledger().next_invoice).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn plans_requested_alternately_do_not_fill_the_ledger() {
    let mut account = paid();
    for turn in 0..200 {
        let at = seconds_after(time("2026-01-10"), turn * 60).to_string();
        account.ask(&at[..19], if turn % 2 == 0 { "growth" } else { "scale" });
    }
    assert_eq!(account.ledger().invoices.len(), VOID_INVOICES_KEPT + 2);
    assert_eq!((account.ledger().next_invoice, account.invoice_states.len()), (202, 201));
    assert_eq!(account.pay("2026-01-12", "r", 1, Refunded).summary(), "applied");
    assert_eq!(account.pay("2026-01-12", "p", 201, Settled).summary(), "applied");
    assert_eq!(account.plan(), "scale");
}

#[test]
fn a_due_time_longer_than_the_period_still_ends_the_plan() {
    let mut catalog = external();
    catalog.policies.payments.due_within_seconds = u32::try_from(45 * DAY).expect("seconds");
    let mut account = TestAccount::new(catalog);
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p1", 1, Settled);
    account.until("2026-03-01");
    assert_eq!(account.invoices(), ["1:Start:Settled", "2:Renewal:Void", "3:Renewal:Open"]);
    account.live_until(seconds_after(time("2026-02-01"), 45 * DAY));
    assert_eq!(account.plan(), "organization-free");
}

#[test]
fn a_change_from_external_to_internal_settles_new_invoices() {
    let mut account = paid();
    account.catalog.policies = shipped().policies;
    account.until("2026-02-01");
    assert_eq!(account.balance(), "1100");
}

#[test]
fn a_wait_ends_after_the_second_in_which_more_facts_may_arrive() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-03-01", "starter");
    account.facts.instant_is_open = true;
    let due = "2026-03-04";
    account.until(due);
    assert_eq!(account.invoices(), ["1:Start:Open"], "its due second is not over");
    // A payment that is seen late in that second arrived in time (Laws 0, 18).
    assert_eq!(account.pay(due, "in-time", 1, Settled).summary(), "applied");
    assert_eq!((account.plan(), account.balance()), ("starter", "1100".to_owned()));
    let mut account = TestAccount::new(external());
    account.facts.instant_is_open = true;
    account.subscribe("2026-03-01", "starter");
    account.until("2026-03-04T00:00:01");
    assert_eq!(account.invoices(), ["1:Start:Void"], "its due second is over");
}

#[test]
fn money_for_a_void_invoice_is_refund_due_until_it_is_returned() {
    let mut account = start("2026-01-01", "starter");
    assert_eq!(account.pay("2026-01-05", "late", 1, Settled).summary(), "refund due");
    assert_eq!(account.pay("2026-01-05", "late", 1, Settled).summary(), "refund due");
    assert_eq!(account.pay("2026-01-06", "back", 1, Refunded).summary(), "applied");
    assert_eq!(account.pay("2026-01-06", "late", 1, Settled).summary(), "returned");
    assert_eq!(account.ledger().payments_returned_by("back"), ["late"]);
    assert!(account.ledger().payments_returned_by("late").is_empty());
}

#[test]
fn money_that_is_returned_before_a_decision_is_not_refund_due() {
    let mut account = start("2026-01-01", "starter");
    account.operator_stops("2026-01-05");
    account.pay("2026-01-05", "late", 1, Settled);
    account.pay("2026-01-06", "back", 1, Refunded);
    account.operator_starts("2026-01-07");
    assert_eq!(account.payments["late"].summary(), "returned");
}
