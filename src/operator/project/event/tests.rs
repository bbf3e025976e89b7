//! Tests of the occurrences that have an Event: each has exactly one.

use flashgate_api::event::EventKind;
use flashgate_testing::TestAccount;
use serde_json::json;

use super::*;

const START: &str = "2026-01-31T10:00:00Z";

/// Returns a status with this Ready condition. If it is False, adds Stalled.
fn status(generation: i64, is_ready: bool, reason: &str, message: &str) -> SubscriptionStatus {
    let condition = |kind: &str, holds: bool| {
        json!({
            "type": kind, "status": if holds { "True" } else { "False" }, "reason": reason, "message": message,
            "lastTransitionTime": START,
        })
    };
    let mut conditions = vec![condition("Ready", is_ready)];
    if !is_ready {
        conditions.push(condition("Stalled", true));
    }
    serde_json::from_value(json!({"observedGeneration": generation, "conditions": conditions}))
        .expect("status")
}

/// Returns the Event about a change as `Type/Reason`.
fn event_name(before: Option<&SubscriptionStatus>, after: &SubscriptionStatus) -> Option<String> {
    status_event(before, after).map(|event| format!("{}/{}", event.kind.as_str(), event.reason))
}

#[test]
fn a_stalled_subscription_has_an_event_at_first_and_after_an_edit_that_changes_the_message() {
    let sound = status(1, true, "InForce", "plan 'starter' Monthly is in force");
    let unknown = status(2, false, "PlanNotFound", "the catalog has no plan 'gold'");
    let warning = Some("Warning/PlanNotFound".to_owned());
    assert_eq!(event_name(None, &sound), None);
    assert_eq!(event_name(Some(&sound), &unknown), warning);
    assert_eq!(event_name(None, &unknown), warning, "a new Subscription");
    assert_eq!(event_name(Some(&unknown), &unknown), None);
    let edited = status(3, false, "PlanNotFound", "the catalog has no plan 'gold'");
    assert_eq!(event_name(Some(&unknown), &edited), None, "an edit of something else");
    let other = status(4, false, "PlanNotFound", "the catalog has no plan 'silver'");
    assert_eq!(event_name(Some(&edited), &other), warning, "another plan");
    assert_eq!(event_name(Some(&other), &status(5, true, "InForce", "as before")), None);
}

#[test]
fn the_same_fault_with_another_message_has_no_second_event() {
    for reason in
        ["LedgerInconsistent", "LedgerMissing", "LedgerRegression", "LedgerNewerFormat", "CommitRefused"]
    {
        let (first, second) = (status(1, false, reason, "at 10:00"), status(1, false, reason, "at 10:01"));
        assert_eq!(event_name(None, &first), Some(format!("Warning/{reason}")));
        assert_eq!(event_name(Some(&first), &second), None);
    }
}

#[test]
fn a_postponed_change_has_a_normal_event() {
    let before = status(1, true, "InForce", "plan 'growth' Monthly is in force");
    let pending = status(2, true, "ChangePending", "plan 'growth' until March, then plan 'starter'");
    assert_eq!(event_name(Some(&before), &pending).as_deref(), Some("Normal/ChangePending"));
    assert_eq!(event_name(Some(&pending), &pending), None);
    let other = status(3, true, "ChangePending", "plan 'growth' until March, then plan 'individual'");
    assert_eq!(event_name(Some(&pending), &other).as_deref(), Some("Normal/ChangePending"));
    assert_eq!(event_name(Some(&other), &before), None, "it was taken back");
    let ends = status(4, true, "NotRenewing", "plan 'growth' until March, then no plan");
    assert_eq!(event_name(Some(&before), &ends).as_deref(), Some("Normal/NotRenewing"));
}

#[test]
fn the_event_of_a_resumed_account_has_its_debt() {
    let mut account = TestAccount::on_plan("starter", START);
    account.until("2026-02-10T00:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "1100000");
    let before = account.ledger().clone();
    assert_eq!(resumption_event(&before, account.ledger()), None, "the same Subscription");
    let resume = |account: &mut TestAccount, at: &str| {
        account.facts.subscription = None;
        account.until(at);
        let before = account.ledger().clone();
        account.subscribe("now", "starter");
        resumption_event(&before, account.ledger()).expect("resumed")
    };
    let event = resume(&mut account, "2026-02-10T01:00:00Z");
    assert_eq!((event.kind, event.reason), (EventKind::Normal, Reason::Resumed));
    account.until("2026-02-11T00:00:00Z");
    account.report_hour("now", "gw", "TokensOut", "25000");
    let event = resume(&mut account, "2026-02-11T01:00:00Z");
    assert_eq!((event.kind, event.reason), (EventKind::Warning, Reason::Resumed));
    assert!(event.message.contains("a debt of 25 credits"), "{}", event.message);
}

#[test]
fn a_refused_report_has_one_event_with_its_receipt() {
    let mut account = TestAccount::on_plan("starter", START);
    account.until("2026-02-10T00:00:00Z");
    account.report_hour("now", "gw", "Unheard", "1");
    let decision = account.decision;
    assert_eq!(events(&decision, Credits::ZERO), []);
    let Some(Detail::Refused { object, refusal }) = decision.entries.last().map(|entry| &entry.detail) else {
        unreachable!("no refusal in {:?}", decision.entries);
    };
    let event = refusal_event(&object.name, refusal);
    assert_eq!((event.kind, event.reason), (EventKind::Warning, Reason::UnknownRate));
    assert_eq!(event.object.as_ref(), Some(object));
    assert!(event.message.contains("no rate for 'Public/Unheard'"), "{}", event.message);
}
