//! Values that the tests of several modules share.

pub mod api_server;
mod logs;

use std::sync::Arc;
use std::time::Duration;

use flashgate_ledger::Credits;

use crate::account::Account;
use crate::configuration::{Configuration, Policies, Policy};
use crate::gate::Gate;
use crate::key_hash::KeyHash;
use crate::lookup::Lookup;
use crate::names::{Name, Names};
use crate::table::Found;
use crate::tests::api_server::api_server;

/// Returns the shared form of a name.
pub fn name(text: &str) -> Arc<Name> {
    let mut names = Names::default();
    let id = names.id_of(text);
    names.get(id).expect("name")
}

/// Returns an account with credits, or one whose credits are exhausted.
pub fn account(name: &str, is_open: bool, keys: &[&str]) -> Account {
    let (balance, reason) = if is_open { ("12.5", "CreditsLeft") } else { ("-3.5", "CreditsExhausted") };
    let mut key_hashes: Vec<_> = keys.iter().map(|key| KeyHash::of_key(key)).collect();
    key_hashes.sort_unstable();
    Account {
        name: name.to_owned(),
        is_open,
        reason: reason.to_owned(),
        is_low: false,
        balance: Some(balance.parse::<Credits>().expect("credits")),
        plan: Some("starter".to_owned()),
        renewal: Some(1_796_083_200),
        key_hashes,
    }
}

/// Returns the same account as it is found.
pub fn found(account_name: &str, is_open: bool) -> Found {
    let account = account(account_name, is_open, &[]);
    Found {
        name: account.name,
        is_open,
        reason: Some(name(&account.reason)),
        is_low: false,
        balance: account.balance,
        plan: account.plan.as_deref().map(name),
        renewal: account.renewal,
    }
}

/// Returns the default configuration.
pub fn configuration() -> Configuration {
    Configuration {
        lookup: Lookup::header("x-flashgate-account").expect("lookup"),
        policies: Policies { unknown: Policy::Deny, stale: Policy::Deny },
        stale_after: Duration::from_mins(1),
        billing_page: None,
        namespaces: Vec::new(),
    }
}

/// Returns a gate that has listed an open account `team/acme` with the API key `sk-acme`, and a spent one `team/spent` with
/// the API key `sk-spent`. Both have the API key `sk-both`.
pub fn listed_gate(configuration: Configuration) -> Gate {
    let (client, _) = api_server();
    let gate = Gate::new(client, configuration).expect("gate");
    let (accounts, freshness) = gate.inner();
    accounts.put(&account("team/acme", true, &["sk-acme", "sk-both"]));
    accounts.put(&account("team/spent", false, &["sk-spent", "sk-both"]));
    freshness.listed(0);
    gate
}

/// Waits until a condition is true that other tasks make true without a passing of time.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    assert!(condition(), "{what}");
}
