//! Accounts in known states.

use flashgate_api::{CreditLedger, Subscription};
use flashgate_ledger::facts::PaymentState;
use flashgate_preview::convert::{Commit, ledger_to_wire};
use flashgate_testing::TestAccount;
use kube::core::ObjectMeta;
use serde_json::{Value, json};

use super::NOW;
use crate::account::Account;
use crate::book::{Book, BookState};

/// The start of each account.
const START: &str = "2026-01-31T10:00:00Z";

/// Returns the Subscription `team/acme` with a status.
pub fn subscription(plan: &str, status: &Value) -> Subscription {
    let object = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Subscription",
        "metadata": {
            "name": "acme", "namespace": "team", "uid": "acme-uid", "resourceVersion": "7", "generation": 1,
            "creationTimestamp": START,
        },
        "spec": {"plan": plan}, "status": status,
    });
    serde_json::from_value(object).expect("Subscription")
}

/// Returns the status of an account on `starter` with this balance.
pub fn status(balance: &str) -> Value {
    let credits = json!({
        "balance": balance, "plan": balance, "packs": "0", "adjustments": "0", "debt": "0", "settling": "0",
    });
    json!({
        "observedGeneration": 1, "plan": "starter", "billingPeriod": "Monthly", "credits": credits,
        "period": {"number": 1, "startTime": START, "endTime": "2026-02-28T10:00:00Z"},
    })
}

/// Returns the ledger object of an account.
pub fn ledger(account: &TestAccount) -> CreditLedger {
    let ledger = account.ledger.as_ref().expect("begun");
    CreditLedger {
        metadata: ObjectMeta {
            name: Some("acme".to_owned()),
            namespace: Some("team".to_owned()),
            resource_version: Some("9".to_owned()),
            ..ObjectMeta::default()
        },
        spec: ledger_to_wire(ledger, None, &account.entries, Commit::of("team/acme", "test")),
    }
}

fn account(subscription: Subscription, book: BookState) -> Account {
    Account { subscription, book, now: NOW.parse().expect("time") }
}

/// Returns an account with a known ledger.
fn with_ledger(test: &TestAccount, plan: &str, status: &Value) -> Account {
    let book = Book::of("acme", &ledger(test)).expect("ledger");
    account(subscription(plan, status), BookState::Known(Box::new(book)))
}

/// Returns an account that just began on a monthly plan.
pub fn known(plan: &str) -> Account {
    with_ledger(&TestAccount::on_plan(plan, START), plan, &status("1100"))
}

/// Returns an account on `starter` whose ledger the caller may not read.
pub fn forbidden(balance: &str) -> Account {
    account(subscription("starter", &status(balance)), BookState::Forbidden)
}

/// Returns an account that the operator has not seen.
pub fn without_ledger() -> Account {
    account(subscription("starter", &Value::Null), BookState::Absent)
}

/// Returns an account whose first period is not paid.
pub fn unpaid(plan: &str) -> Account {
    with_ledger(&TestAccount::unpaid(plan, START), plan, &json!({"observedGeneration": 1}))
}

/// Returns a paid account that requests a higher plan, whose invoice is open.
pub fn upgrading(from: &str, to: &str) -> Account {
    let mut test = TestAccount::unpaid(from, START);
    test.pay(START, "evt-1", 1, PaymentState::Settled);
    test.ask("2026-02-05T10:00:00Z", to);
    with_ledger(&test, to, &status("1100"))
}
