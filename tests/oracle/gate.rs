//! Invariant I11: since when the credits of an account are exhausted, and the gate that its Subscription shows (Law 29).
//! It reads balances and times only, and not the code of the gate.

use flashgate_api::Subscription;
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::GatePolicy;
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::period::seconds_after;
use jiff::Timestamp;
use serde_json::Value;

use super::{TOLERANCE_SECONDS, Violation, amount, ensure};

/// Checks the time since which the credits are exhausted, by the balance after each entry of one commit.
pub fn check_since(name: &str, before: &Ledger, after: &Ledger, entries: &[Value]) -> Result<(), Violation> {
    let limit = limit(after);
    if before.sequence == 0 || limit != self::limit(before) {
        // Without an entry before, or with another overdraft, balances alone do not give the time.
        return Ok(());
    }
    let mut since = before.exhausted_since;
    for entry in entries {
        let time: Timestamp = entry["time"]
            .as_str()
            .and_then(|time| time.parse().ok())
            .ok_or_else(|| Violation(format!("an entry of {name} has no time: {entry}")))?;
        let balance = amount(entry, "/balance")?;
        since = (balance <= limit).then(|| since.unwrap_or(time));
    }
    ensure(since == after.exhausted_since, || {
        format!(
            "I11: the credits of {name} are exhausted since {since:?}, the ledger has {:?}",
            after.exhausted_since
        )
    })
}

/// Checks the gate of a Subscription at `now`, when the operator has nothing more to write.
pub fn check_shown(
    subscription: &Subscription,
    ledger: &Ledger,
    policy: GatePolicy,
    now: Timestamp,
) -> Result<(), Violation> {
    let metadata = &subscription.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let is_ahead = metadata.creation_timestamp.as_ref().is_some_and(|created| created.0 > now);
    if metadata.deletion_timestamp.is_some() || is_ahead {
        return Ok(());
    }
    let gate = subscription.status.as_ref().and_then(|status| status.gate.as_ref());
    let gate = gate.ok_or_else(|| Violation(format!("I11: {name} shows no gate")))?;
    let balance = ledger.balance().map_err(|error| Violation(error.to_string()))?;
    let shown = || format!("I11: {name} has a balance of {balance} at {now}, and shows {gate:?}");
    if ledger.terms.is_none() || balance > limit(ledger) {
        return ensure(gate.open == ledger.terms.is_some(), shown);
    }
    let since = gate.since.ok_or_else(|| Violation(shown()))?;
    let end = seconds_after(since, policy.grace_seconds.into());
    let is_over = seconds_after(now, -TOLERANCE_SECONDS) >= end;
    let is_running = seconds_after(now, TOLERANCE_SECONDS) < end;
    ensure(!(gate.open && is_over) && (gate.open || !is_running), shown)
}

fn limit(ledger: &Ledger) -> Credits {
    ledger.terms.as_ref().map_or(Credits::ZERO, |terms| terms.overdraft).negated()
}
