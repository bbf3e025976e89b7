//! Tests of answers: the exact headers and JSON that proxies and their clients see.

use serde_json::{Value, json};

use super::*;
use crate::tests::{configuration, found, name};

fn configured(lookup: Lookup) -> Configuration {
    let billing_page = Some("https://billing.example.com".to_owned());
    Configuration { lookup, billing_page, ..configuration() }
}

fn answers() -> Answers {
    Answers::new(&configured(configuration().lookup))
}

/// Returns the status, the headers in alphabetical order, and the body.
fn parts(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
    let mut headers: Vec<_> =
        answer.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    headers.sort_unstable();
    let body = if answer.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&answer.body).expect("JSON")
    };
    (answer.status.as_u16(), headers, body)
}

fn headers(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn an_open_account_passes_with_its_state_in_headers() {
    let account = found("team/acme", true);
    let expected = [
        ("x-flashgate-account", "team/acme"),
        ("x-flashgate-balance", "12.5"),
        ("x-flashgate-plan", "starter"),
        ("x-flashgate-reason", "CreditsLeft"),
    ];
    let answer = answers().answer(Decision::Allowed(account.clone()));
    assert_eq!(parts(&answer), (200, headers(&expected), Value::Null));
    let low = Found { is_low: true, reason: Some(name("InGrace")), plan: None, balance: None, ..account };
    let expected = [
        ("x-flashgate-account", "team/acme"),
        ("x-flashgate-low", "true"),
        ("x-flashgate-reason", "InGrace"),
    ];
    assert_eq!(parts(&answers().answer(Decision::Allowed(low))), (200, headers(&expected), Value::Null));
}

#[test]
fn a_plan_that_is_no_value_of_a_header_is_left_out_of_the_headers_only() {
    let plan = Some(name("gr\u{f6}\u{df}er"));
    let answer =
        answers().answer(Decision::Allowed(Found { plan: plan.clone(), ..found("team/acme", true) }));
    assert!(!answer.headers.contains_key(PLAN));
    let answer = answers().answer(Decision::Spent(Found { plan, ..found("team/acme", false) }));
    assert_eq!(parts(&answer).2["plan"], "gr\u{f6}\u{df}er");
}

#[test]
fn a_spent_account_is_refused_with_the_remedy() {
    let answer = answers().answer(Decision::Spent(found("team/acme", false)));
    let expected = [
        ("content-type", "application/json"),
        ("x-flashgate-account", "team/acme"),
        ("x-flashgate-balance", "-3.5"),
        ("x-flashgate-reason", "CreditsExhausted"),
    ];
    let body = json!({
        "account": "team/acme", "reason": "CreditsExhausted", "balance": "-3.5", "plan": "starter",
        "renewalTime": "2026-12-01T00:00:00Z", "message": "the credits are exhausted: the balance is -3.5",
        "remedy": "buy a credit pack or upgrade the plan; the credits renew at 2026-12-01T00:00:00Z",
        "billingPage": "https://billing.example.com",
    });
    assert_eq!(parts(&answer), (402, headers(&expected), body));
}

#[test]
fn absent_values_are_left_out_of_a_refusal() {
    let account = Found { balance: None, plan: None, renewal: None, ..found("team/acme", false) };
    let answers = Answers::new(&configuration());
    let (status, headers_of, body) = parts(&answers.answer(Decision::Spent(account)));
    assert_eq!(status, 402);
    assert_eq!(headers_of.len(), 3);
    let expected = json!({
        "account": "team/acme", "reason": "CreditsExhausted", "message": "the credits are exhausted",
        "remedy": "buy a credit pack or upgrade the plan",
    });
    assert_eq!(body, expected);
}

#[test]
fn each_reason_has_its_message_and_remedy() {
    for (reason, message, remedy) in [
        ("NoPlan", "the account has no plan in force", "subscribe to a plan"),
        (
            "NotStarted",
            "the account has not started",
            "wait until it starts, or ask the operator of this gateway",
        ),
        ("Deleting", "the account is being deleted", "create the Subscription again, or use another account"),
        ("PaymentOverdue", "the account is closed: PaymentOverdue", "ask the operator of this gateway"),
        ("CreditsLeft", "the account is closed: CreditsLeft", "ask the operator of this gateway"),
    ] {
        let account = Found { reason: Some(name(reason)), ..found("team/acme", false) };
        let (status, headers, body) = parts(&answers().answer(Decision::Spent(account)));
        assert_eq!(status, 402);
        assert!(headers.contains(&("x-flashgate-reason".to_owned(), reason.to_owned())), "{headers:?}");
        assert_eq!(
            (&body["reason"], &body["message"], &body["remedy"]),
            (&json!(reason), &json!(message), &json!(remedy))
        );
    }
    for reason in GateReason::ALL.into_iter().filter(|reason| !reason.is_open()) {
        let (message, _) = advice(reason.as_str(), None, None);
        assert!(!message.contains(reason.as_str()), "{reason:?} has no message of its own");
    }
}

#[test]
fn requests_without_a_known_account_get_one_text() {
    let reason = ("x-flashgate-reason", "UnknownAccount");
    let allowed = answers().answer(Decision::Unknown(Policy::Allow));
    assert_eq!(parts(&allowed), (200, headers(&[reason]), Value::Null));
    let denied = answers().answer(Decision::Unknown(Policy::Deny));
    let body = json!({
        "reason": "UnknownAccount", "message": "the request names no account with a Subscription",
        "remedy": "send it in the header x-flashgate-account as namespace/name",
    });
    assert_eq!(parts(&denied), (403, headers(&[("content-type", "application/json"), reason]), body));
    for (lookup, remedy) in [
        (Lookup::api_key("Authorization"), "send the API key of the account in the header authorization"),
        (
            Lookup::template("{header:x-internal}/{path:1}"),
            "check the address of the request, or ask the operator of this gateway for your account",
        ),
    ] {
        let answers = Answers::new(&configured(lookup.expect("lookup")));
        assert_eq!(parts(&answers.answer(Decision::Unknown(Policy::Deny))).2["remedy"], remedy);
    }
}

#[test]
fn a_stale_state_is_never_an_error_of_the_server() {
    let reason = ("x-flashgate-reason", "Stale");
    let allowed = answers().answer(Decision::Stale(Policy::Allow));
    assert_eq!(parts(&allowed), (200, headers(&[reason]), Value::Null));
    let denied = answers().answer(Decision::Stale(Policy::Deny));
    let body = json!({
        "reason": "Stale", "message": "the gate has lost its connection to the cluster",
        "remedy": "try again later, or ask the operator of this gateway",
    });
    assert_eq!(parts(&denied), (403, headers(&[("content-type", "application/json"), reason]), body));
}

#[test]
fn only_402_becomes_403_on_request() {
    let spent = answers().answer(Decision::Spent(found("team/acme", false)));
    let (_, headers, body) = parts(&spent);
    assert_eq!(parts(&spent.with_403()), (403, headers, body));
    for (decision, status) in [
        (Decision::Allowed(found("team/acme", true)), 200),
        (Decision::Unknown(Policy::Allow), 200),
        (Decision::Unknown(Policy::Deny), 403),
        (Decision::Stale(Policy::Deny), 403),
    ] {
        assert_eq!(answers().answer(decision).with_403().status, status);
    }
}
