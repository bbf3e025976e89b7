//! Law 18: invoices, payments by an agent, and what each can bring about.

use flashgate_ledger::catalog::BillingPeriod::Yearly;
use flashgate_ledger::entry::Detail;
use flashgate_ledger::facts::PaymentState::{Cancelled, Failed, Refunded, Settled};
use flashgate_ledger::facts::{Payment, Renewal};
use flashgate_ledger::invoice::{ATTEMPTS_KEPT, VOID_INVOICES_KEPT};

use crate::kit::{DAY, Life, Said, after, credits, external, shipped, time, window};

fn start(at: &str, plan: &str) -> Life {
    let mut life = Life::new(external());
    life.subscribe(at, plan);
    life
}

/// An account of starter whose first period began with its payment on 2026-01-01.
fn paid() -> Life {
    let mut life = start("2026-01-01", "starter");
    assert_eq!(life.pay("2026-01-01", "p1", 1, Settled).said(), "applied");
    life
}

#[test]
fn internal_invoices_are_settled_as_they_are_issued() {
    let mut life = Life::of("starter", "2026-01-01");
    life.buy("2026-01-02", "a", "plus-100");
    life.ask("2026-01-03", "growth").until("2026-02-03");
    assert_eq!(
        life.invoices(),
        ["1:Start:Settled", "2:Pack:Settled", "3:Upgrade:Settled", "4:Renewal:Settled"]
    );
    assert_eq!(life.book().invoice_name(2), "acme-1f3a9c2e-0002");
}

#[test]
fn what_is_free_has_no_invoice() {
    let mut life = start("2026-01-01", "organization-free");
    life.catalog.packs[0].price = credits("0");
    life.catalog.plans[1].pack_purchases = flashgate_ledger::catalog::PackPurchases::Allowed;
    life.until("2026-02-01");
    assert_eq!(life.buy("2026-02-02", "a", "plus-100").said(), "granted");
    assert_eq!((life.balance().as_str(), life.invoices().len()), ("140", 0));
}

#[test]
fn the_first_period_begins_with_its_payment_wherever_the_start_lies() {
    let mut life = Life::new(external());
    life.subscribe_with("2026-03-01", "starter", |subscription| {
        subscription.start_time = Some(time("2026-01-10"));
    });
    assert_eq!((life.plan(), life.book().period.number), ("", 0));
    assert_eq!(life.consume("2026-03-01T05:00", "30").said(), "charged 30");
    assert_eq!(life.balance(), "-30");
    life.pay("2026-03-02T05:00", "p", 1, Settled);
    assert_eq!(life.period(), (1, window("2026-03-02T05:00", "2026-04-02T05:00")));
    assert_eq!(life.balance(), "1070");
}

#[test]
fn a_first_payment_at_the_due_time_is_in_time() {
    for (at, said) in [("2026-01-04", "applied"), ("2026-01-04T00:00:01", "refund due")] {
        let mut life = start("2026-01-01", "starter");
        assert_eq!(life.pay(at, "p", 1, Settled).said(), said);
    }
}

#[test]
fn due_times_are_judged_at_the_payments_arrival() {
    let mut life = start("2026-01-01", "starter");
    life.goes_down("2026-01-02");
    life.pay("2026-01-03", "p", 1, Settled);
    life.comes_back("2026-02-20");
    assert_eq!(life.payments["p"].said(), "applied");
    assert_eq!(life.times("Granted"), [time("2026-01-03"), time("2026-02-06")]);
    // The renewal of 02-03 was due on 02-06.
    assert_eq!(life.plan(), "organization-free");
}

#[test]
fn a_request_whose_invoice_became_void_is_remembered() {
    for end in ["cancelled", "overdue"] {
        let mut life = start("2026-01-01", "starter");
        if end == "cancelled" {
            assert_eq!(life.pay("2026-01-02", "p", 1, Cancelled).said(), "applied");
        }
        life.until("2026-03-01");
        assert_eq!((life.plan(), life.invoices()), ("", vec!["1:Start:Void".to_owned()]));
        life.set_renewal("2026-03-02", Renewal::None);
        assert_eq!(life.invoices().len(), 1);
        life.set_renewal("2026-03-03", Renewal::Automatic);
        assert_eq!(life.invoices(), ["1:Start:Void", "2:Start:Open"]);
        life.pay("2026-03-04", "p2", 2, Settled);
        assert_eq!((life.period().0, life.balance().as_str()), (1, "1100"));
    }
}

#[test]
fn an_upgrade_waits_for_its_payment() {
    let mut life = paid();
    life.ask("2026-01-10", "growth");
    assert_eq!((life.plan(), life.balance().as_str()), ("starter", "1100"));
    life.pay("2026-01-12T03:00", "p2", 2, Settled);
    assert_eq!((life.plan(), life.balance().as_str()), ("growth", "10600"));
    assert_eq!(life.period(), (2, window("2026-01-12T03:00", "2026-02-12T03:00")));
}

#[test]
fn an_upgrade_is_made_on_the_terms_of_its_invoice() {
    let mut life = paid();
    life.ask("2026-01-10", "growth");
    life.catalog.plans[3].monthly.as_mut().expect("monthly").credits = credits("1");
    life.pay("2026-01-12", "p2", 2, Settled);
    assert_eq!(life.balance(), "10600");
}

#[test]
fn a_new_request_voids_the_open_one() {
    let mut life = paid();
    life.ask("2026-01-10", "growth").ask("2026-01-11", "scale");
    assert_eq!(life.invoices(), ["1:Start:Settled", "2:Upgrade:Void", "3:Upgrade:Open"]);
    life.ask("2026-01-12", "starter");
    assert_eq!(life.invoices(), ["1:Start:Settled", "2:Upgrade:Void", "3:Upgrade:Void"]);
    assert_eq!(life.pay("2026-01-13", "late", 3, Settled).said(), "refund due");
    assert_eq!((life.plan(), life.balance().as_str()), ("starter", "1100"));
}

#[test]
fn a_boundary_voids_an_open_upgrade_and_renews_into_it() {
    let mut life = paid();
    life.ask("2026-01-31", "growth").until("2026-02-01");
    assert_eq!(life.invoices(), ["1:Start:Settled", "2:Upgrade:Void", "3:Renewal:Open"]);
    assert_eq!((life.plan(), life.balance().as_str()), ("growth", "0"));
    assert_eq!(life.period().1, window("2026-02-01", "2026-03-01"));
    life.pay("2026-02-02", "p3", 3, Settled);
    assert_eq!((life.balance().as_str(), life.period().0), ("9500", 2));
}

#[test]
fn an_upgrade_whose_payment_was_cancelled_does_not_come_at_the_boundary() {
    let mut life = paid();
    life.ask("2026-01-10", "growth");
    life.pay("2026-01-11", "c", 2, Cancelled);
    life.until("2026-02-01");
    assert_eq!(
        (life.plan(), life.invoices().last().cloned()),
        ("starter", Some("3:Renewal:Open".to_owned()))
    );
}

#[test]
fn a_renewal_runs_without_credits_until_it_is_paid() {
    let mut life = paid();
    life.until("2026-02-01");
    assert_eq!((life.period().0, life.balance().as_str()), (2, "0"));
    life.consume("2026-02-02", "30");
    life.pay("2026-02-04", "p2", 2, Settled);
    assert_eq!((life.plan(), life.balance().as_str()), ("starter", "1070"));
    assert_eq!(life.times("Granted"), [time("2026-01-01"), time("2026-02-04")]);
    life.until("2026-03-01");
    assert_eq!(life.book().totals.expired.to_string(), "2170");
}

#[test]
fn a_renewal_stays_open_for_another_attempt_until_it_is_due() {
    for state in [Failed, Cancelled] {
        let mut life = paid();
        life.until("2026-02-01");
        assert_eq!(life.pay("2026-02-02", "f", 2, state).said(), "applied");
        assert_eq!(life.invoices().last().cloned(), Some("2:Renewal:Open".to_owned()));
        let mut unpaid = life.clone();
        assert_eq!(life.pay("2026-02-03", "p2", 2, Settled).said(), "applied");
        assert_eq!(life.balance(), "1100");
        unpaid.until("2026-02-04");
        assert_eq!(unpaid.plan(), "organization-free");
        assert_eq!(unpaid.invoices().last().cloned(), Some("2:Renewal:Void".to_owned()));
    }
}

#[test]
fn a_failed_attempt_leaves_the_invoice_open() {
    let mut life = start("2026-01-01", "starter");
    assert_eq!(life.pay("2026-01-02", "f1", 1, Failed).said(), "applied");
    assert_eq!(life.pay("2026-01-02T00:01", "p1", 1, Settled).said(), "applied");
    assert_eq!((life.plan(), life.balance().as_str()), ("starter", "1100"));
    life.buy("2026-01-03", "a", "plus-100");
    assert_eq!(life.pay("2026-01-03", "f2", 2, Failed).said(), "applied");
    assert_eq!(life.packs["a"].said(), "awaits payment");
    assert_eq!(life.pay("2026-01-06", "p2", 2, Settled).said(), "applied");
    assert_eq!(life.balance(), "1200");
    life.ask("2026-01-10", "growth");
    assert_eq!(life.pay("2026-01-10", "f3", 3, Failed).said(), "applied");
    assert_eq!(life.pay("2026-01-13", "p3", 3, Settled).said(), "applied");
    assert_eq!(life.plan(), "growth");
}

#[test]
fn an_invoice_whose_attempts_all_failed_is_void_at_its_due_time() {
    let mut life = paid();
    life.buy("2026-01-05", "a", "plus-100");
    life.pay("2026-01-06", "f1", 2, Failed);
    life.until("2026-01-07T23:59:59");
    assert_eq!(life.packs["a"].said(), "awaits payment");
    life.until("2026-01-08");
    assert_eq!(life.packs["a"].said(), "PaymentExpired");
    assert_eq!(life.invoices().last().cloned(), Some("2:Pack:Void".to_owned()));
}

#[test]
fn a_cancelled_payment_voids_the_invoice_at_once() {
    let mut life = start("2026-01-01", "starter");
    assert_eq!(life.pay("2026-01-02", "c1", 1, Cancelled).said(), "applied");
    assert_eq!((life.plan(), life.invoices()), ("", vec!["1:Start:Void".to_owned()]));
    assert_eq!(life.pay("2026-01-02T00:01", "p1", 1, Settled).said(), "refund due");
    let mut life = paid();
    life.buy("2026-01-05", "a", "plus-100");
    assert_eq!(life.pay("2026-01-06", "c2", 2, Cancelled).said(), "applied");
    assert_eq!(life.packs["a"].said(), "PaymentCancelled");
    life.ask("2026-01-10", "growth");
    assert_eq!(life.pay("2026-01-11", "c3", 3, Cancelled).said(), "applied");
    assert_eq!(
        (life.plan(), life.invoices().last().cloned()),
        ("starter", Some("3:Upgrade:Void".to_owned()))
    );
}

#[test]
fn nothing_fails_or_is_cancelled_once_it_was_paid() {
    let mut life = paid();
    life.pay("2026-01-02", "r", 1, Refunded);
    life.ask("2026-01-03", "growth");
    life.pay("2026-01-04", "c", 2, Cancelled);
    life.pay("2026-01-05", "late", 2, Settled);
    life.buy("2026-01-06", "a", "plus-100");
    for (name, number) in [("refunded", 1), ("due", 2)] {
        for state in [Failed, Cancelled] {
            let name = format!("{name}-{}", state.as_str());
            assert_eq!(life.pay("2026-01-07", &name, number, state).said(), "AlreadySettled");
        }
    }
    let mut life = paid();
    for state in [Failed, Cancelled] {
        assert_eq!(life.pay("2026-01-07", state.as_str(), 1, state).said(), "AlreadySettled");
    }
    assert_eq!(
        life.pay_amount("2026-01-08", "w", "acme-1f3a9c2e-0001", Cancelled, "1").said(),
        "WrongAmount"
    );
}

#[test]
fn a_payment_that_was_applied_shows_the_same_after_its_invoice_was_paid() {
    for state in [Failed, Cancelled] {
        let mut life = paid();
        life.until("2026-02-01");
        assert_eq!(life.pay("2026-02-02", "f", 2, state).said(), "applied");
        assert_eq!(life.pay("2026-02-03", "p2", 2, Settled).said(), "applied");
        assert_eq!(life.pay("2026-02-03", "f", 2, state).said(), "applied", "its status was lost");
        assert_eq!(life.pay("2026-02-03", "f2", 2, state).said(), "AlreadySettled");
        assert_eq!(life.book().invoices[1].attempts.count, 1);
    }
}

#[test]
fn an_invoice_keeps_the_last_names_of_its_attempts_and_their_count() {
    let mut life = start("2026-01-01", "starter");
    for index in 1..=20 {
        let at = format!("2026-01-02T00:{index:02}");
        assert_eq!(life.pay(&at, &format!("f{index}"), 1, Failed).said(), "applied");
    }
    let attempts = life.book().invoices[0].attempts.clone();
    assert_eq!((attempts.count, attempts.names.len()), (20, ATTEMPTS_KEPT));
    assert_eq!(attempts.names.first().map(String::as_str), Some("f5"));
    life.pay("2026-01-03", "p", 1, Settled);
    // Their statuses were lost: both were applied, one under a name that is no longer kept.
    for index in [1, 20] {
        life.facts.payments.push(Payment {
            name: format!("f{index}"),
            uid: format!("again-{index}"),
            arrival: time(&format!("2026-01-02T00:{index:02}")),
            invoice: "acme-1f3a9c2e-0001".to_owned(),
            state: Failed,
            amount: credits("100"),
            currency: "USD".to_owned(),
        });
        life.settle();
        assert_eq!(life.said[&format!("again-{index}")], "applied");
    }
    assert_eq!(life.book().invoices[0].attempts, attempts);
    assert_eq!(life.pay("2026-01-04", "f21", 1, Failed).said(), "AlreadySettled");
}

#[test]
fn a_cancellation_under_the_name_of_a_failed_attempt_is_judged_by_itself() {
    let mut life = start("2026-01-01", "starter");
    assert_eq!(life.pay("2026-01-02", "evt", 1, Failed).said(), "applied");
    assert_eq!(life.pay("2026-01-03", "evt", 1, Cancelled).said(), "applied");
    assert_eq!(life.invoices(), ["1:Start:Void"]);
}

#[test]
fn an_unpaid_renewal_lapses_also_when_an_upgrade_took_its_invoices_place() {
    let mut life = paid();
    life.until("2026-02-01").ask("2026-02-02", "growth");
    assert_eq!(life.invoices(), ["1:Start:Settled", "2:Renewal:Void", "3:Upgrade:Open"]);
    life.until("2026-02-04");
    assert_eq!(
        (life.plan(), life.invoices().last().cloned()),
        ("organization-free", Some("3:Upgrade:Void".to_owned()))
    );
    life.until("2026-02-20");
    assert_eq!((life.plan(), life.invoices().len()), ("organization-free", 3));
}

#[test]
fn an_upgrade_paid_by_the_renewals_due_time_takes_its_place() {
    let mut life = paid();
    life.until("2026-02-01").ask("2026-02-02", "growth");
    life.pay("2026-02-04", "p3", 3, Settled);
    assert_eq!((life.plan(), life.balance().as_str(), life.period().0), ("growth", "9500", 3));
    life.until("2026-02-20");
    assert_eq!((life.plan(), life.count("Granted")), ("growth", 2));
}

#[test]
fn an_upgrade_taken_back_brings_the_unpaid_renewals_invoice_back() {
    for plan in ["starter", "organization-free", "platinum"] {
        let mut life = paid();
        life.until("2026-02-01").ask("2026-02-02", "growth").ask("2026-02-03", plan);
        let invoices = ["1:Start:Settled", "2:Renewal:Void", "3:Upgrade:Void", "4:Renewal:Open"];
        assert_eq!(life.invoices(), invoices, "{plan}");
        assert_eq!(life.book().invoices[3].due_time, Some(time("2026-02-04")));
        life.pay("2026-02-04", "p4", 4, Settled);
        assert_eq!((life.plan(), life.balance().as_str()), ("starter", "1100"));
    }
}

#[test]
fn a_downgrade_leaves_the_open_renewal_to_be_paid() {
    let mut life = paid();
    life.until("2026-02-01").ask("2026-02-02", "organization-free");
    assert_eq!(life.invoices(), ["1:Start:Settled", "2:Renewal:Open"]);
    life.pay("2026-02-03", "p2", 2, Settled);
    life.until("2026-02-28T23:59:59");
    assert_eq!((life.plan(), life.balance().as_str()), ("starter", "1100"));
    life.until("2026-03-01");
    assert_eq!(life.plan(), "organization-free");
}

#[test]
fn a_reactivation_waits_for_its_payment() {
    let mut life = paid();
    life.set_renewal("2026-01-10", Renewal::None).until("2026-02-05");
    life.set_renewal("2026-02-10", Renewal::Automatic);
    assert_eq!(
        (life.plan(), life.invoices().last().cloned()),
        ("organization-free", Some("2:Reactivation:Open".to_owned()))
    );
    life.pay("2026-02-11", "p2", 2, Settled);
    assert_eq!((life.plan(), life.balance().as_str()), ("starter", "1100"));
    assert_eq!(life.period().1.start_time, time("2026-02-11"));
}

#[test]
fn a_reactivation_that_is_not_paid_leaves_the_lapse_as_it_was() {
    let mut life = paid();
    life.set_renewal("2026-01-10", Renewal::None).until("2026-02-05");
    life.set_renewal("2026-02-10", Renewal::Automatic).until("2026-05-10");
    assert_eq!((life.plan(), life.balance().as_str(), life.invoices().len()), ("organization-free", "40", 2));
}

#[test]
fn a_lapse_voids_an_open_plan_invoice() {
    let mut life = paid();
    life.edit("2026-01-30", |subscription| {
        subscription.request.plan = "growth".to_owned();
        subscription.request.renewal = Renewal::None;
    });
    life.until("2026-02-01");
    assert_eq!(life.invoices(), ["1:Start:Settled", "2:Upgrade:Void"]);
    assert_eq!(life.plan(), "organization-free");
}

#[test]
fn payments_that_do_not_fit_are_refused() {
    let mut life = paid();
    assert_eq!(
        life.pay_amount("2026-01-02", "a", "acme-1f3a9c2e-0009", Settled, "100").said(),
        "UnknownInvoice"
    );
    assert_eq!(
        life.pay_amount("2026-01-02", "b", "other-1f3a9c2e-0001", Settled, "100").said(),
        "UnknownInvoice"
    );
    assert_eq!(
        life.pay_amount("2026-01-02", "c", "acme-1f3a9c2e-0001", Refunded, "99").said(),
        "WrongAmount"
    );
    assert_eq!(life.pay("2026-01-02", "d", 1, Settled).said(), "AlreadySettled");
    assert_eq!(life.pay("2026-01-02", "e", 1, Failed).said(), "AlreadySettled");
    life.until("2026-02-01");
    assert_eq!(life.pay("2026-02-01", "f", 2, Refunded).said(), "NotSettled");
    assert_eq!(life.balance(), "0");
}

#[test]
fn a_currency_that_is_not_the_invoices_is_a_wrong_amount() {
    let mut life = start("2026-01-01", "starter");
    life.goes_down("2026-01-02");
    life.pay("2026-01-02", "p", 1, Settled);
    life.facts.payments[0].currency = "EUR".to_owned();
    life.comes_back("2026-01-02");
    assert_eq!(life.payments["p"].said(), "WrongAmount");
    assert_eq!(life.plan(), "");
}

#[test]
fn a_void_invoice_names_the_payment_that_was_cancelled() {
    let object_of = |life: &Life| match &life.all("Voided")[0].detail {
        Detail::Voided { object, .. } => object.as_ref().map(|object| object.name.clone()),
        _ => None,
    };
    let mut life = start("2026-01-01", "starter");
    life.pay("2026-01-02", "c", 1, Cancelled);
    assert_eq!(object_of(&life), Some("c".to_owned()));
    let mut life = start("2026-01-01", "starter");
    life.until("2026-01-04");
    assert_eq!(object_of(&life), None, "it ran out");
}

#[test]
fn an_attempt_of_what_is_void_is_applied_and_changes_nothing_but_its_record() {
    for state in [Failed, Cancelled] {
        let mut life = start("2026-01-01", "starter");
        life.pay("2026-01-02", "c1", 1, Cancelled);
        let mut before = life.book().clone();
        assert_eq!(life.pay("2026-01-03", "f2", 1, state).said(), "applied");
        let after = life.book();
        before.sequence = after.sequence;
        before.clock_time = after.clock_time;
        before.invoices[0].attempts = after.invoices[0].attempts.clone();
        assert_eq!(*after, before);
        assert_eq!(after.invoices[0].attempts.names, ["c1", "f2"]);
    }
}

#[test]
fn a_payments_name_shows_the_same_again() {
    let mut life = paid();
    assert_eq!(life.pay("2026-01-02", "p1", 1, Settled).said(), "applied");
    assert_eq!(life.pay("2026-01-02", "p2", 1, Settled).said(), "AlreadySettled");
    assert_eq!(life.pay("2026-01-03", "p2", 1, Settled).said(), "AlreadySettled");
    assert_eq!(life.count("Granted"), 1);
}

#[test]
fn another_statement_under_a_used_name_is_judged_by_itself() {
    let mut life = paid();
    life.until("2026-02-01");
    assert_eq!(life.pay("2026-02-01T05:00", "p", 2, Failed).said(), "applied");
    assert_eq!(life.pay("2026-02-01T06:00", "p", 2, Failed).said(), "applied");
    assert_eq!(life.pay("2026-02-01T07:00", "p", 2, Settled).said(), "applied");
    assert_eq!(life.pay("2026-02-01T08:00", "p", 2, Settled).said(), "applied");
    assert_eq!((life.balance().as_str(), life.count("Granted")), ("1100", 2));
    assert_eq!(life.pay("2026-02-02", "p", 2, Refunded).said(), "applied");
    assert_eq!(life.pay("2026-02-02", "p", 2, Refunded).said(), "applied");
    assert_eq!((life.balance().as_str(), life.count("Refunded")), ("0", 1));
    assert_eq!(life.pay("2026-02-03", "p", 1, Settled).said(), "AlreadySettled");
}

#[test]
fn what_was_refused_is_no_verdict_on_another_statement_of_that_name() {
    let mut life = start("2026-01-01", "starter");
    let invoice = "acme-1f3a9c2e-0001";
    assert_eq!(life.pay_amount("2026-01-01T05:00", "p", invoice, Settled, "99").said(), "WrongAmount");
    assert_eq!(life.pay_amount("2026-01-01T06:00", "p", invoice, Settled, "99").said(), "WrongAmount");
    assert_eq!(life.count("Refused"), 1);
    assert_eq!(life.pay_amount("2026-01-01T07:00", "p", invoice, Settled, "100").said(), "applied");
    assert_eq!(life.pay_amount("2026-01-01T08:00", "p", invoice, Settled, "99").said(), "WrongAmount");
    assert_eq!((life.balance().as_str(), life.count("Refused")), ("1100", 1));
}

#[test]
fn a_refused_payment_stays_refused_though_its_invoice_is_issued_later() {
    let mut life = paid();
    let early = |life: &mut Life, at| life.pay_amount(at, "p", "acme-1f3a9c2e-0002", Settled, "100").said();
    assert_eq!(early(&mut life, "2026-01-05"), "UnknownInvoice");
    assert_eq!(early(&mut life, "2026-02-02"), "UnknownInvoice");
    assert_eq!(life.balance(), "0");
}

#[test]
fn money_that_was_paid_late_under_a_used_name_is_due_back() {
    let mut life = paid();
    life.until("2026-02-01");
    life.pay("2026-02-02", "p", 2, Failed);
    life.until("2026-02-05");
    assert_eq!(life.pay("2026-02-05", "p", 2, Settled).said(), "refund due");
    assert_eq!(life.pay("2026-02-06", "p1", 2, Refunded).said(), "applied");
    assert_eq!(life.book().payments_returned_by("p1"), ["p"]);
}

#[test]
fn a_refund_takes_what_is_left_once_and_the_plan_stays() {
    let mut life = paid();
    life.consume("2026-01-05", "300");
    assert_eq!(life.pay("2026-01-06", "r", 1, Refunded).said(), "applied");
    assert_eq!((life.plan(), life.balance().as_str()), ("starter", "0"));
    assert_eq!(life.book().totals.refunded, credits("800"));
    assert_eq!(life.pay("2026-01-07", "r2", 1, Refunded).said(), "NotSettled");
    assert_eq!(life.pay("2026-01-07", "s2", 1, Settled).said(), "AlreadySettled");
    assert_eq!(life.period().0, 1);
    assert_eq!(life.book().totals.refunded, credits("800"));
}

#[test]
fn a_refund_takes_what_is_settling_too_and_lowers_what_expired() {
    let mut life = paid();
    life.consume("2026-01-05", "300");
    life.until("2026-02-01T01:00");
    assert_eq!(life.book().totals.expired, credits("800"));
    life.pay("2026-02-01T01:00", "r", 1, Refunded);
    let totals = life.book().totals;
    assert_eq!(
        (totals.expired, totals.refunded, life.settling().as_str()),
        (credits("0"), credits("800"), "0")
    );
    let last = life.all("Refunded")[0];
    assert_eq!((last.credits, life.balance().as_str()), (credits("0"), "0"));
}

#[test]
fn what_was_settled_as_it_was_issued_can_be_refunded_too() {
    let mut life = Life::of("starter", "2026-01-01");
    life.buy("2026-01-02", "a", "plus-100");
    life.pay("2026-01-03", "r1", 2, Refunded);
    assert_eq!((life.balance().as_str(), life.left("pack/a").as_str()), ("1100", "0"));
    life.pay("2026-01-04", "r2", 1, Refunded);
    assert_eq!((life.balance().as_str(), life.plan()), ("0", "starter"));
}

#[test]
fn credits_that_are_not_used_up_can_be_refunded_however_old_their_invoice_is() {
    let mut life = Life::of("starter", "2022-01-01");
    life.buy("2022-01-02", "a", "plus-100");
    life.until("2026-01-02");
    assert_eq!(life.pay("2026-01-02", "r", 2, Refunded).said(), "applied");
    assert_eq!((life.balance().as_str(), life.left("pack/a").as_str()), ("1100", "0"));
}

#[test]
fn every_invoice_of_24_months_is_known_however_many_there_are() {
    let mut life = Life::of("starter", "2026-01-01");
    life.until("2027-12-31T23:00");
    life.catalog.policies.pack_limit.max = 100;
    for index in 0..40 {
        life.buy("2027-12-31T23:00", &format!("a{index}"), "plus-100");
    }
    life.until("2028-01-01");
    assert_eq!(life.pay("2028-01-01", "again", 2, Settled).said(), "AlreadySettled");
    life.until("2029-01-01");
    assert_eq!((life.book().invoices[0].number, life.book().invoices.len()), (14, 64));
}

#[test]
fn a_void_invoice_is_known_though_the_plan_was_changed_back_and_forth() {
    let mut life = paid();
    for index in 0..60 {
        life.ask(&format!("2026-01-10T00:{index:02}"), ["growth", "scale"][index % 2]);
    }
    assert_eq!(life.pay("2026-01-11", "late", 2, Settled).said(), "refund due");
}

#[test]
fn a_refund_after_the_settlement_closed_takes_nothing() {
    let mut life = paid();
    life.until("2026-02-02");
    assert_eq!(life.pay("2026-02-02", "r", 1, Refunded).said(), "applied");
    assert_eq!((life.book().totals.refunded, life.book().totals.expired), (credits("0"), credits("1100")));
}

#[test]
fn money_that_is_due_back_can_be_returned() {
    let mut life = start("2026-01-01", "starter");
    life.until("2026-01-05");
    assert_eq!(life.pay("2026-01-05", "late", 1, Settled).said(), "refund due");
    assert_eq!(life.pay("2026-01-05", "late2", 1, Settled).said(), "AlreadySettled");
    assert_eq!(life.pay("2026-01-06", "back", 1, Refunded).said(), "applied");
    assert_eq!((life.invoices(), life.balance().as_str()), (vec!["1:Start:Refunded".to_owned()], "0"));
}

#[test]
fn a_pack_waits_for_its_payment_as_sold() {
    let mut life = paid();
    life.buy("2026-01-05", "a", "plus-100");
    life.catalog.packs[0].credits = credits("7");
    life.until("2026-01-06");
    assert_eq!(life.balance(), "1100");
    life.pay("2026-01-08", "p2", 2, Settled);
    assert_eq!((life.balance().as_str(), life.packs["a"].said().as_str()), ("1200", "granted"));
}

#[test]
fn a_pack_that_is_not_paid_in_time_is_refused() {
    let mut life = paid();
    life.buy("2026-01-05", "a", "plus-100");
    life.until("2026-01-08");
    assert_eq!(life.packs["a"].said(), "PaymentExpired");
    assert_eq!(life.pay("2026-01-09", "late", 2, Settled).said(), "refund due");
    assert_eq!(life.balance(), "1100");
    assert_eq!(life.pay("2026-01-10", "back", 2, Refunded).said(), "applied");
    assert_eq!(life.packs["a"].said(), "PaymentExpired");
}

#[test]
fn payments_of_one_instant_settle_an_invoice_once() {
    let mut life = start("2026-01-01", "starter");
    life.goes_down("2026-01-02");
    for name in ["c", "a", "b"] {
        life.pay("2026-01-02", name, 1, Settled);
    }
    life.comes_back("2026-01-02");
    let said = ["a", "b", "c"].map(|name| life.payments[name].said());
    assert_eq!(said, ["applied", "AlreadySettled", "AlreadySettled"]);
    assert_eq!(life.count("Granted"), 1);
}

#[test]
fn invoices_have_no_gaps_whatever_happens() {
    let mut life = paid();
    life.buy("2026-01-02", "a", "plus-100");
    life.ask("2026-01-03", "growth").ask_for("2026-01-03T01:00", "growth", Yearly);
    life.until("2026-02-01").until("2026-02-10");
    let numbers: Vec<u32> = life.book().invoices.iter().map(|invoice| invoice.number).collect();
    let expected: Vec<u32> = (1..life.book().next_invoice).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn plans_asked_for_in_turns_do_not_fill_the_ledger() {
    let mut life = paid();
    for turn in 0..200 {
        let at = after(time("2026-01-10"), turn * 60).to_string();
        life.ask(&at[..19], if turn % 2 == 0 { "growth" } else { "scale" });
    }
    assert_eq!(life.book().invoices.len(), VOID_INVOICES_KEPT + 2);
    assert_eq!((life.book().next_invoice, life.invoice_states.len()), (202, 201));
    assert_eq!(life.pay("2026-01-12", "r", 1, Refunded).said(), "applied");
    assert_eq!(life.pay("2026-01-12", "p", 201, Settled).said(), "applied");
    assert_eq!(life.plan(), "scale");
}

#[test]
fn a_due_time_longer_than_the_period_still_ends_the_plan() {
    let mut catalog = external();
    catalog.policies.payments.due_within_seconds = u32::try_from(45 * DAY).expect("seconds");
    let mut life = Life::new(catalog);
    life.subscribe("2026-01-01", "starter");
    life.pay("2026-01-01", "p1", 1, Settled);
    life.until("2026-03-01");
    assert_eq!(life.invoices(), ["1:Start:Settled", "2:Renewal:Void", "3:Renewal:Open"]);
    life.live_until(after(time("2026-02-01"), 45 * DAY));
    assert_eq!(life.plan(), "organization-free");
}

#[test]
fn going_from_external_to_internal_settles_what_comes() {
    let mut life = paid();
    life.catalog.policies = shipped().policies;
    life.until("2026-02-01");
    assert_eq!(life.balance(), "1100");
}

#[test]
fn what_runs_out_waits_for_the_end_of_a_second_in_which_more_may_arrive() {
    let mut life = Life::new(external());
    life.subscribe("2026-03-01", "starter");
    life.facts.instant_is_open = true;
    let due = "2026-03-04";
    life.until(due);
    assert_eq!(life.invoices(), ["1:Start:Open"], "its due second is not over");
    // The payment that is seen late in that second arrived in time (Laws 0, 18).
    assert_eq!(life.pay(due, "in-time", 1, Settled).said(), "applied");
    assert_eq!((life.plan(), life.balance()), ("starter", "1100".to_owned()));
    let mut life = Life::new(external());
    life.facts.instant_is_open = true;
    life.subscribe("2026-03-01", "starter");
    life.until("2026-03-04T00:00:01");
    assert_eq!(life.invoices(), ["1:Start:Void"], "its due second is over");
}

#[test]
fn money_that_bought_nothing_is_due_back_until_it_is_returned() {
    let mut life = start("2026-01-01", "starter");
    assert_eq!(life.pay("2026-01-05", "late", 1, Settled).said(), "refund due");
    assert_eq!(life.pay("2026-01-05", "late", 1, Settled).said(), "refund due");
    assert_eq!(life.pay("2026-01-06", "back", 1, Refunded).said(), "applied");
    assert_eq!(life.pay("2026-01-06", "late", 1, Settled).said(), "returned");
    assert_eq!(life.book().payments_returned_by("back"), ["late"]);
    assert!(life.book().payments_returned_by("late").is_empty());
}

#[test]
fn money_that_is_returned_before_anybody_looked_is_not_due_back() {
    let mut life = start("2026-01-01", "starter");
    life.goes_down("2026-01-05");
    life.pay("2026-01-05", "late", 1, Settled);
    life.pay("2026-01-06", "back", 1, Refunded);
    life.comes_back("2026-01-07");
    assert_eq!(life.payments["late"].said(), "returned");
}
