//! Law 18, on the clock of each account.

use flashgate_api::{CreditPack, Payment};
use flashgate_testing::catalog::{monthly, yearly};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::{starter, starter_at};
use crate::world::wait_while;

#[tokio::test]
async fn the_first_invoice_gates_the_account_and_its_payment_dates_the_first_period() {
    let account = starter_at("clock-first", "2026-03-01T10:00:00Z").await;
    let invoice = account.invoice(0, "Open").await;
    account.status("/status/invoices/0/amount", "100").await;
    account.status("/status/invoices/0/reason", "Start of starter Monthly").await;
    account.status("/status/invoices/0/dueTime", "2026-03-04T10:00:00Z").await;
    account.status("/status/plan", Value::Null).await;
    account.status("/status/period", Value::Null).await;
    account.balance("0").await;
    account.buy("top-up", "plus-100").await;
    account.reason_is::<CreditPack>("top-up", "FirstPeriodAwaited").await;
    account.clock("2026-03-02T09:00:00Z").await;
    account.apply_payment("evt-1", &invoice, "Settled", "100").await;
    account.status("/status/plan", "starter").await;
    account.status("/status/period/startTime", "2026-03-02T09:00:00Z").await;
    account.status("/status/period/endTime", "2026-04-02T09:00:00Z").await;
    account.balance("1100").await;
    account.pack_is("top-up", "AwaitingPayment").await;
    let invoice = account.invoice(1, "Open").await;
    account.expect::<CreditPack>("top-up", "/status/invoice", invoice.as_str()).await;
    account.apply_payment("evt-2", &invoice, "Settled", "20").await;
    account.pack_is("top-up", "Granted").await;
    account.balance("1200").await;
}

#[tokio::test]
async fn a_pack_holds_its_place_until_its_payment_is_cancelled_or_overdue() {
    let account = starter_at("clock-places", "2026-03-01T10:00:00Z").await;
    account.apply_payment("evt-0", &account.invoice(0, "Open").await, "Settled", "100").await;
    for (name, index) in [("a", 1), ("b", 2), ("c", 3)] {
        account.buy(name, "plus-100").await;
        account.pack_is(name, "AwaitingPayment").await;
        account.invoice(index, "Open").await;
    }
    account.status("/status/packs/used", 3).await;
    account.buy("d", "plus-100").await;
    account.pack_is("d", "Refused").await;
    assert_eq!(account.ready::<CreditPack>("d").await.0, "PackLimitReached");
    account.apply_payment("evt-a", &account.invoice(1, "Open").await, "Settled", "20").await;
    account.pack_is("a", "Granted").await;
    // A failed attempt changes nothing: another can follow.
    account.apply_payment("evt-b-1", &account.invoice(2, "Open").await, "Failed", "20").await;
    account.pack_is("b", "AwaitingPayment").await;
    account.apply_payment("evt-b-2", &account.invoice(2, "Open").await, "Cancelled", "20").await;
    account.pack_is("b", "Refused").await;
    assert_eq!(account.ready::<CreditPack>("b").await.0, "PaymentCancelled");
    account.status("/status/packs/used", 2).await;
    account.invoice(2, "Void").await;
    account.buy("e", "plus-100").await;
    account.pack_is("e", "AwaitingPayment").await;
    account.status("/status/packs/used", 3).await;
    // Unpaid at its due time it is refused by itself, and its place is free.
    let overdue = account.invoice(3, "Open").await;
    account.clock("2026-03-04T10:00:00Z").await;
    account.pack_is("c", "Refused").await;
    assert_eq!(account.ready::<CreditPack>("c").await.0, "PaymentExpired");
    account.pack_is("e", "Refused").await;
    account.status("/status/packs/used", 1).await;
    account.balance("1200").await;
    // A later payment must be returned, and grants nothing.
    account.apply_payment("evt-c", &overdue, "Settled", "20").await;
    account.invoice(3, "RefundDue").await;
    account.pack_is("c", "Refused").await;
    account.balance("1200").await;
    account.apply_payment("evt-c-back", &overdue, "Refunded", "20").await;
    account.invoice(3, "Refunded").await;
    account.balance("1200").await;
}

#[tokio::test]
async fn a_refund_takes_what_is_left_and_shows_on_a_pack_granted_long_ago() {
    let account = starter_at("clock-refund", "2026-03-01T10:00:00Z").await;
    account.apply_payment("evt-0", &account.invoice(0, "Open").await, "Settled", "100").await;
    account.buy("top-up", "plus-500").await;
    let invoice = account.invoice(1, "Open").await;
    account.apply_payment("evt-1", &invoice, "Settled", "50").await;
    account.pack_is("top-up", "Granted").await;
    account.balance("1600").await;
    account.clock("2026-03-20T10:00:00Z").await;
    account.apply_payment("evt-2", &invoice, "Refunded", "50").await;
    account.pack_is("top-up", "Refunded").await;
    account.expect::<CreditPack>("top-up", "/status/grantTime", "2026-03-01T10:00:00Z").await;
    account.balance("1100").await;
    account.invoice(1, "Refunded").await;
    // A refund does not free the place, and there is one refund.
    account.status("/status/packs/used", 1).await;
    let (reason, message) = account.refused_payment("evt-3", &invoice, "Refunded", "50").await;
    assert_eq!(reason, "NotSettled");
    assert!(message.contains("Refunded"), "{message}");
    // The name stays the order's: created again, it shows the same.
    account.api::<CreditPack>().delete("top-up", &DeleteParams::default()).await.expect("deleted");
    wait_while("it is gone", async || account.get::<CreditPack>("top-up").await).await;
    account.buy("top-up", "plus-500").await;
    account.pack_is("top-up", "Refunded").await;
    account.balance("1100").await;
}

#[tokio::test]
async fn what_does_not_fit_its_invoice_is_refused_with_the_reason() {
    let account = starter("misfits").await;
    let invoice = account.invoice(0, "Open").await;
    let unknown = invoice.replace("-0001", "-0002");
    for (payment, invoice, state, amount, reason, says) in [
        ("unknown", &unknown, "Settled", "100", "UnknownInvoice", unknown.as_str()),
        ("too-little", &invoice, "Settled", "99.99", "WrongAmount", "100 USD"),
        ("too-much", &invoice, "Settled", "100.01", "WrongAmount", "100 USD"),
        ("failed-wrong", &invoice, "Failed", "1", "WrongAmount", "100 USD"),
        ("too-early", &invoice, "Refunded", "100", "NotSettled", "Open"),
    ] {
        let (given, message) = account.refused_payment(payment, invoice, state, amount).await;
        assert_eq!(given, reason, "{payment}");
        assert!(message.contains(says), "{payment}: {message}");
    }
    let payment = |amount: &str, currency: &str| {
        json!({
            "subscriptionRef": {"name": "acme"}, "invoice": invoice, "state": "Settled", "amount": amount,
            "currency": currency,
        })
    };
    account.create::<Payment>("euros", payment("100", "EUR")).await;
    account.state_is::<Payment>("euros", "Refused").await;
    account.balance("0").await;
    account.create::<Payment>("right", payment("100.00", "USD")).await;
    account.state_is::<Payment>("right", "Applied").await;
    account.balance("1100").await;
    for (payment, state) in [("again", "Settled"), ("failed-late", "Failed")] {
        let (reason, message) = account.refused_payment(payment, &invoice, state, "100").await;
        assert_eq!(reason, "AlreadySettled", "{payment}");
        assert!(message.contains(&invoice), "{message}");
    }
    account.balance("1100").await;
}

#[tokio::test]
async fn case_17_paid_twice_in_time_is_one_grant_and_paid_late_is_a_refund_due() {
    let now = "2026-03-01T10:00:00Z";
    let account = starter_at("clock-case-17", now).await;
    let invoice = account.invoice(0, "Open").await;
    account.clock("2026-03-04T10:00:00Z").await;
    account.invoice(0, "Void").await;
    account.apply_payment("evt-late", &invoice, "Settled", "100").await;
    account.invoice(0, "RefundDue").await;
    account.status("/status/plan", Value::Null).await;
    account.balance("0").await;
    let (reason, message) = account.ready::<Payment>("evt-late").await;
    assert_eq!(reason, "RefundDue");
    assert!(message.contains("return the money"), "{message}");
    account.apply_payment("evt-return", &invoice, "Refunded", "100").await;
    account.reason_is::<Payment>("evt-late", "Refunded").await;
    account.has_totals(&[("granted", "0")]).await;
    let account = starter_at("clock-late", now).await;
    let invoice = account.invoice(0, "Open").await;
    account.clock("2026-03-04T09:59:59Z").await;
    account.apply_payment("evt-1", &invoice, "Settled", "100").await;
    let (reason, _) = account.refused_payment("evt-2", &invoice, "Settled", "100").await;
    assert_eq!(reason, "AlreadySettled");
    account.balance("1100").await;
    account.has_totals(&[("granted", "1100")]).await;
}

#[tokio::test]
async fn a_renewal_runs_without_credits_until_it_is_paid_and_lapses_when_it_is_not() {
    let account = starter_at("clock-renewal", "2026-03-01T10:00:00Z").await;
    account.apply_payment("evt-1", &account.invoice(0, "Open").await, "Settled", "100").await;
    account.balance("1100").await;
    account.clock("2026-04-01T10:00:00Z").await;
    account.status("/status/period/number", 2).await;
    account.status("/status/plan", "starter").await;
    account.balance("0").await;
    let invoice = account.invoice(1, "Open").await;
    account.status("/status/invoices/1/dueTime", "2026-04-04T10:00:00Z").await;
    account.buy("unpaid", "plus-100").await;
    account.pack_is("unpaid", "Refused").await;
    assert_eq!(account.ready::<CreditPack>("unpaid").await.0, "PlanNotEligible");
    account.clock("2026-04-04T10:00:00Z").await;
    account.status("/status/plan", "organization-free").await;
    account.status("/status/period/number", 3).await;
    account.status("/status/period/startTime", "2026-04-04T10:00:00Z").await;
    account.balance("40").await;
    account.invoice(1, "Void").await;
    account.apply_payment("evt-2", &invoice, "Settled", "100").await;
    account.invoice(1, "RefundDue").await;
    account.balance("40").await;
}

#[tokio::test]
async fn a_first_payment_that_failed_can_be_tried_again_a_minute_later() {
    let start = "2026-03-01T10:00:00Z";
    let account = starter_at("clock-tried-again", start).await;
    let invoice = account.invoice(0, "Open").await;
    account.apply_payment("evt-1", &invoice, "Failed", "100").await;
    account.invoice(0, "Open").await;
    account.clock("2026-03-01T10:01:00Z").await;
    account.apply_payment("evt-2", &invoice, "Settled", "100").await;
    account.invoice(0, "Settled").await;
    account.balance("1100").await;
    let (reason, _) = account.refused_payment("evt-3", &invoice, "Cancelled", "100").await;
    assert_eq!(reason, "AlreadySettled");
}

#[tokio::test]
async fn a_renewal_that_failed_can_still_be_paid_until_it_is_due() {
    let start = "2026-03-01T10:00:00Z";
    let account = starter_at("clock-second-attempt", start).await;
    account.apply_payment("evt-1", &account.invoice(0, "Open").await, "Settled", "100").await;
    account.clock("2026-04-01T10:00:00Z").await;
    let invoice = account.invoice(1, "Open").await;
    account.apply_payment("evt-2", &invoice, "Failed", "100").await;
    account.invoice(1, "Open").await;
    account.clock("2026-04-03T10:00:00Z").await;
    account.apply_payment("evt-3", &invoice, "Settled", "100").await;
    account.balance("1100").await;
    account.status("/status/period/number", 2).await;
    account.clock("2026-04-05T10:00:00Z").await;
    account.status("/status/plan", "starter").await;
    account.status("/status/period/endTime", "2026-05-01T10:00:00Z").await;
    account.balance("1100").await;
}

#[tokio::test]
async fn an_upgrade_asked_while_a_renewal_is_unpaid_takes_its_place_but_not_its_due_time() {
    let start = "2026-03-01T10:00:00Z";
    let account = starter_at("clock-meanwhile", start).await;
    account.apply_payment("evt-1", &account.invoice(0, "Open").await, "Settled", "100").await;
    account.clock("2026-04-01T10:00:00Z").await;
    account.invoice(1, "Open").await;
    account.clock("2026-04-02T10:00:00Z").await;
    account.edit(monthly("growth")).await;
    account.invoice(1, "Void").await;
    account.invoice(2, "Open").await;
    account.status("/status/invoices/2/reason", "Upgrade to growth Monthly").await;
    account.status("/status/plan", "starter").await;
    // Unpaid at the renewal's due time, the period lapses all the same.
    account.clock("2026-04-04T10:00:00Z").await;
    account.status("/status/plan", "organization-free").await;
    account.balance("40").await;
    // Asked for once more, and paid.
    account.edit(yearly("growth")).await;
    let invoice = account.invoice(3, "Open").await;
    account.status("/status/invoices/3/amount", "3000").await;
    account.apply_payment("evt-2", &invoice, "Settled", "3000").await;
    account.status("/status/plan", "growth").await;
    account.balance("130000").await;
}
