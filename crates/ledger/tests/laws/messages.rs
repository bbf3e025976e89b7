//! The messages of refusals: the cause, the figures and the remedy.

use flashgate_ledger::facts::PaymentState::Settled;
use flashgate_testing::catalog::{external, shipped};
use flashgate_testing::{Summary, TestAccount};

fn message(verdict: &impl Summary) -> String {
    verdict.refusal().expect("is refused").message.clone()
}

#[test]
fn a_pack_refused_under_an_earlier_plan_says_when_and_under_which() {
    let mut account = TestAccount::on_plan("individual", "2026-03-01");
    let refused = "refused on 2026-03-02 under plan 'individual', which does not allow packs; this name stays refused: \
                   use a new name to buy under a paid period of starter, growth, scale";
    assert_eq!(message(&account.buy("2026-03-02", "a", "plus-100")), refused);
    account.ask("2026-03-05", "starter");
    assert_eq!(message(&account.buy("2026-03-06", "a", "plus-100")), refused);
}

#[test]
fn an_unknown_pack_is_refused_with_its_date_and_the_packs_there_are() {
    let mut account = TestAccount::on_plan("starter", "2026-03-01");
    assert_eq!(
        message(&account.buy("2026-03-02", "a", "plus-9")),
        "the catalog had no pack 'plus-9', only plus-100, plus-500, plus-1000; use a new name \
         to buy one of them"
    );
}

#[test]
fn an_unknown_invoice_is_answered_with_the_open_ones() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    let wrong = account.pay_amount("2026-01-01", "p", "acme-1f3a9c2e-0009", Settled, "100");
    assert_eq!(
        message(&wrong),
        "this account has no invoice 'acme-1f3a9c2e-0009'; open invoices are acme-1f3a9c2e-0001: report the payment \
         again under a new name, with the number of its invoice"
    );
    account.pay("2026-01-02", "q", 1, Settled);
    let wrong = message(&account.pay_amount("2026-01-02", "r", "acme-1f3a9c2e-0009", Settled, "100"));
    assert!(
        wrong.contains("no invoice is open, and those that are closed are in `status.invoices`"),
        "{wrong}"
    );
}

#[test]
fn an_invoice_of_an_account_that_never_began_is_refused_with_the_name_to_correct() {
    let mut account = TestAccount::new(shipped());
    account.pay_amount("2026-01-01", "p", "acme-1f3a9c2e-0001", Settled, "100");
    account.until("2026-01-03");
    assert_eq!(
        message(&account.payments["p"]),
        "no account of Subscription 'acme' began within 24 hours, so there is no invoice 'acme-1f3a9c2e-0001'; correct \
         `spec.subscriptionRef.name` and report the payment under a new name"
    );
}

#[test]
fn many_open_invoices_are_counted_beyond_what_a_message_holds() {
    let mut account = TestAccount::new(external());
    account.catalog.policies.pack_limit.max = 30;
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p", 1, Settled);
    for index in 0..30 {
        account.buy("2026-01-02", &format!("pack-{index:02}"), "plus-100");
    }
    let wrong = message(&account.pay_amount("2026-01-02", "q", "acme-1f3a9c2e-0099", Settled, "100"));
    assert!(wrong.contains("acme-1f3a9c2e-0017 and 14 more: report"), "{wrong}");
}
