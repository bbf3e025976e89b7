//! The consequences for programs, as JSON.

use flashgate_preview::convert::entry_to_json;
use serde_json::{Value, json};

use super::AccountPreview;

/// Returns `{"accounts": […], "exit": 0|1, "catalog": …, "notes": […]}`. Amounts are texts, so that no digit is lost.
/// `catalog` names the catalog, and `notes` are about the input.
#[must_use]
pub fn to_json(accounts: &[AccountPreview], catalog: &str, notes: &[String]) -> Value {
    let shown: Vec<Value> = accounts.iter().map(account).collect();
    json!({"accounts": shown, "exit": exit_code(accounts), "catalog": catalog, "notes": notes})
}

/// Returns 1 if an object is refused, otherwise 0.
#[must_use]
pub fn exit_code(accounts: &[AccountPreview]) -> u8 {
    u8::from(accounts.iter().any(|account| !account.refused.is_empty()))
}

fn account(account: &AccountPreview) -> Value {
    let AccountPreview {
        subscription,
        balance_before,
        balance_after,
        entries,
        later,
        refused,
        new_purchases,
        plan_change,
        reused_names,
        notes,
    } = account;
    let entries: Vec<Value> = entries.iter().map(|entry| entry_to_json(subscription, entry)).collect();
    let later: Vec<Value> =
        later.iter().map(|later| json!({"time": later.time, "what": later.what})).collect();
    let refused: Vec<Value> = refused
        .iter()
        .map(
            |refused| json!({"object": refused.object, "reason": refused.reason, "message": refused.message}),
        )
        .collect();
    json!({
        "subscription": subscription,
        "balanceBefore": balance_before.to_string(),
        "balanceAfter": balance_after.to_string(),
        "entries": entries,
        "later": later,
        "refused": refused,
        "newPurchases": new_purchases,
        "planChange": plan_change,
        "reusedNames": reused_names,
        "notes": notes,
    })
}
