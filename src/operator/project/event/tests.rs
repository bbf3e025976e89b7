//! Which occurrences are worth an Event, and that each gives one.

use flashgate_api::event::EventKind;
use flashgate_testing::TestAccount;
use serde_json::json;

use super::*;

const START: &str = "2026-01-31T10:00:00Z";

/// Returns a status with this Ready condition, and Stalled where that is False.
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
fn told(before: Option<&SubscriptionStatus>, after: &SubscriptionStatus) -> Option<String> {
    status_event(before, after).map(|event| format!("{}/{}", event.kind.as_str(), event.reason))
}

#[test]
fn what_stalls_a_subscription_is_told_when_it_begins_and_after_an_edit_that_changes_it() {
    let sound = status(1, true, "InForce", "plan 'starter' Monthly is in force");
    let unknown = status(2, false, "PlanNotFound", "the catalog has no plan 'gold'");
    let warning = Some("Warning/PlanNotFound".to_owned());
    assert_eq!(told(None, &sound), None);
    assert_eq!(told(Some(&sound), &unknown), warning);
    assert_eq!(told(None, &unknown), warning, "a new Subscription");
    assert_eq!(told(Some(&unknown), &unknown), None);
    let edited = status(3, false, "PlanNotFound", "the catalog has no plan 'gold'");
    assert_eq!(told(Some(&unknown), &edited), None, "an edit of something else");
    let other = status(4, false, "PlanNotFound", "the catalog has no plan 'silver'");
    assert_eq!(told(Some(&edited), &other), warning, "another plan");
    assert_eq!(told(Some(&other), &status(5, true, "InForce", "as before")), None);
}

#[test]
fn the_same_fault_in_other_words_is_not_told_again() {
    for reason in
        ["LedgerInconsistent", "LedgerMissing", "LedgerRegression", "LedgerNewerFormat", "CommitRefused"]
    {
        let (first, second) = (status(1, false, reason, "at 10:00"), status(1, false, reason, "at 10:01"));
        assert_eq!(told(None, &first), Some(format!("Warning/{reason}")));
        assert_eq!(told(Some(&first), &second), None);
    }
}

#[test]
fn what_is_put_off_to_the_end_of_the_period_is_told_as_normal() {
    let before = status(1, true, "InForce", "plan 'growth' Monthly is in force");
    let pending = status(2, true, "ChangePending", "plan 'growth' until March, then plan 'starter'");
    assert_eq!(told(Some(&before), &pending).as_deref(), Some("Normal/ChangePending"));
    assert_eq!(told(Some(&pending), &pending), None);
    let other = status(3, true, "ChangePending", "plan 'growth' until March, then plan 'individual'");
    assert_eq!(told(Some(&pending), &other).as_deref(), Some("Normal/ChangePending"));
    assert_eq!(told(Some(&other), &before), None, "it was taken back");
    let ends = status(4, true, "NotRenewing", "plan 'growth' until March, then no plan");
    assert_eq!(told(Some(&before), &ends).as_deref(), Some("Normal/NotRenewing"));
}

#[test]
fn a_resumed_account_tells_its_debt() {
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
fn a_refused_report_is_told_with_its_receipt_and_not_with_each_decision() {
    let mut account = TestAccount::on_plan("starter", START);
    account.until("2026-02-10T00:00:00Z");
    account.report_hour("now", "gw", "Unheard", "1");
    let decision = account.decision;
    assert_eq!(events(&decision), []);
    let Some(Detail::Refused { object, refusal }) = decision.entries.last().map(|entry| &entry.detail) else {
        unreachable!("no refusal in {:?}", decision.entries);
    };
    let event = refusal_event(&object.name, refusal);
    assert_eq!((event.kind, event.reason), (EventKind::Warning, Reason::UnknownRate));
    assert_eq!(event.object.as_ref(), Some(object));
    assert!(event.message.contains("no rate for 'Public/Unheard'"), "{}", event.message);
}
