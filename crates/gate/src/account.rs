//! The state of one account, as its Subscription shows it.

use flashgate_api::GateReason;
use flashgate_ledger::Credits;
use jiff::Timestamp;

use crate::account_name::is_account;
use crate::decode::{Seen, Status};
use crate::key_hash::KeyHash;

/// Longest reason, in bytes.
const REASON_BYTES: usize = 64;

/// Longest name of a plan, in bytes.
const PLAN_BYTES: usize = 256;

/// Condition that warns of few credits.
const CREDITS_LOW: &str = "CreditsLow";

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// `namespace/name`.
    pub name: String,
    /// True if it may spend.
    pub is_open: bool,
    /// Why, in a word of letters and digits. A later version of the operator can have further reasons.
    pub reason: String,
    /// True if few credits are left.
    pub is_low: bool,
    /// Credits that can be used.
    pub balance: Option<Credits>,
    /// Plan in force.
    pub plan: Option<String>,
    /// Second at which the next period begins, since 1970.
    pub renewal: Option<i64>,
    /// Hashes of its API keys: sorted, each once.
    pub key_hashes: Vec<KeyHash>,
}

/// Returns the name of the account of a Subscription, unless its metadata is unreadable.
#[must_use]
pub fn name_of(seen: &Seen) -> Option<String> {
    let (namespace, name) = (seen.metadata.namespace.text()?, seen.metadata.name.text()?);
    Some(format!("{namespace}/{name}")).filter(|name| is_account(name))
}

impl Account {
    /// Returns the account of a Subscription, unless its metadata is unreadable. An account without a readable
    /// `status.gate` is closed: the operator has not started it, or something else wrote its status.
    #[must_use]
    pub fn of(seen: Seen) -> Option<Self> {
        let name = name_of(&seen)?;
        let Seen { metadata, status } = seen;
        let mut key_hashes = metadata.labels.0.0;
        key_hashes.sort_unstable();
        key_hashes.dedup();
        let (is_open, reason) =
            gate(&status).unwrap_or_else(|| (false, GateReason::NotStarted.as_str().to_owned()));
        let renewal = status.renewal_time.text().and_then(|time| time.parse().ok()).map(Timestamp::as_second);
        Some(Self {
            name,
            is_open,
            reason,
            is_low: is_low(&status),
            balance: status.credits.0.0.balance.text().and_then(|balance| balance.parse().ok()),
            plan: status.plan.0.0.filter(|plan| (1..=PLAN_BYTES).contains(&plan.len())),
            renewal,
            key_hashes,
        })
    }
}

/// Returns whether the account is open, and why.
fn gate(status: &Status) -> Option<(bool, String)> {
    let gate = &status.gate.0.0;
    let is_word = |reason: &&str| {
        (1..=REASON_BYTES).contains(&reason.len()) && reason.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let reason = gate.reason.text().filter(is_word)?;
    Some((gate.open.0.0?, reason.to_owned()))
}

fn is_low(status: &Status) -> bool {
    let conditions = &status.conditions.0.0;
    conditions.iter().any(|condition| {
        condition.r#type.text() == Some(CREDITS_LOW) && condition.status.text() == Some("True")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn decoded(object: &Value) -> Option<Account> {
        Account::of(serde_json::from_str(&object.to_string()).expect("lenient"))
    }

    fn full() -> Value {
        json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Subscription",
            "metadata": {
                "namespace": "team", "name": "acme", "resourceVersion": "7", "generation": 3,
                "labels": {
                    "app": "x",
                    "api-key.billing.flashgate.dev/b": "2c70e12b7a0646f92279f427c7b38e7334d8e538",
                    "api-key.billing.flashgate.dev/a": "2c70e12b7a0646f92279f427c7b38e7334d8e538",
                    "api-key.billing.flashgate.dev/odd": "key",
                },
            },
            "spec": {"plan": "starter", "alertThresholdsPercent": [50, 80]},
            "status": {
                "plan": "starter", "renewalTime": "2026-12-01T00:00:00Z",
                "credits": {"balance": "12.5", "plan": "12.5"},
                "gate": {"open": true, "reason": "CreditsLeft", "worstOvershoot": "3"},
                "conditions": [
                    {"type": "Ready", "status": "True"}, {"type": "CreditsLow", "status": "True"},
                ],
            },
        })
    }

    #[test]
    fn the_fields_that_the_gate_needs_are_read() {
        let account = decoded(&full()).expect("account");
        assert_eq!(
            account,
            Account {
                name: "team/acme".to_owned(),
                is_open: true,
                reason: "CreditsLeft".to_owned(),
                is_low: true,
                balance: "12.5".parse().ok(),
                plan: Some("starter".to_owned()),
                renewal: Some(1_796_083_200),
                key_hashes: vec![KeyHash::of_key("key")],
            }
        );
    }

    /// Returns the full object with another value at a place.
    fn with(place: &str, value: Value) -> Option<Account> {
        let mut object = full();
        *object.pointer_mut(place).expect(place) = value;
        decoded(&object)
    }

    #[test]
    fn an_account_without_a_readable_gate_is_closed() {
        let closed = (false, "NotStarted".to_owned());
        let odd =
            [json!(null), json!("x"), json!(1), json!(-1), json!(1.5), json!([{"a": 1}]), json!({"a": {}})];
        for value in &odd {
            for place in ["/status", "/status/gate", "/status/gate/open", "/status/gate/reason"] {
                if (place, value) == ("/status/gate/reason", &json!("x")) {
                    continue;
                }
                let account = with(place, value.clone()).expect("account");
                assert_eq!((account.is_open, account.reason), closed, "{place}: {value}");
            }
        }
        for reason in ["", "Credits Left", "Credits\nLeft", "Ä", &"x".repeat(65)] {
            let account = with("/status/gate/reason", json!(reason)).expect("account");
            assert_eq!((account.is_open, account.reason), closed, "{reason:?}");
        }
    }

    #[test]
    fn a_reason_of_a_later_operator_is_kept() {
        let account = with("/status/gate/reason", json!("PaymentOverdue")).expect("account");
        assert_eq!((account.is_open, account.reason.as_str()), (true, "PaymentOverdue"));
        let account = with("/status/gate", json!({"open": false, "reason": "Paused"})).expect("account");
        assert_eq!((account.is_open, account.reason.as_str()), (false, "Paused"));
    }

    #[test]
    fn other_odd_values_count_as_absent_and_change_nothing_else() {
        let places = [
            "/metadata/labels",
            "/spec",
            "/status/plan",
            "/status/renewalTime",
            "/status/credits",
            "/status/credits/balance",
            "/status/conditions",
            "/status/conditions/1",
        ];
        for place in places {
            for value in [json!(null), json!(true), json!(3), json!([1, "x"]), json!({"x": [{}]})] {
                let account = with(place, value.clone()).expect("account");
                assert!(account.is_open, "{place}: {value}");
                assert_eq!(account.plan.is_none(), place == "/status/plan", "{place}: {value}");
                assert_eq!(account.renewal.is_none(), place == "/status/renewalTime", "{place}: {value}");
                assert_eq!(
                    account.balance.is_none(),
                    place.starts_with("/status/credits"),
                    "{place}: {value}"
                );
                assert_eq!(account.is_low, !place.starts_with("/status/conditions"), "{place}: {value}");
                assert_eq!(account.key_hashes.is_empty(), place == "/metadata/labels", "{place}: {value}");
            }
        }
        assert_eq!(with("/status/credits/balance", json!("many")).expect("account").balance, None);
        assert_eq!(with("/status/renewalTime", json!("soon")).expect("account").renewal, None);
        assert_eq!(with("/status/plan", json!("x".repeat(257))).expect("account").plan, None);
        assert!(!with("/status/conditions/1/status", json!("False")).expect("account").is_low);
    }

    #[test]
    fn an_object_without_readable_metadata_is_no_account() {
        for value in [json!(null), json!(1), json!("Team"), json!("a/b"), json!({"a": 1})] {
            for place in ["/metadata", "/metadata/name", "/metadata/namespace"] {
                assert_eq!(with(place, value.clone()), None, "{place}: {value}");
            }
        }
        for object in [json!(null), json!([]), json!("x"), json!({})] {
            assert_eq!(decoded(&object), None);
        }
    }
}
