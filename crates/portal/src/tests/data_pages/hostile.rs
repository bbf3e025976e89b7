//! Data that try to be more than text.

use super::super::stored::usage;
use super::*;

/// A text that would run a script where it is not escaped.
const SCRIPT: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'=1+1";

#[tokio::test]
async fn texts_of_labels_reasons_and_billing_details_stay_texts() {
    let number = "acme-1f3a9c2e-0077";
    let detail = json!({
        "amount": "20", "currency": "USD", "invoice": number, "reason": SCRIPT, "dueTime": "2026-02-13T11:40:00Z",
        "lines": [{"plan": SCRIPT, "billingPeriod": SCRIPT, "credits": "1", "amount": "20"}],
        "billingDetails": {"name": SCRIPT, "email": SCRIPT, "taxID": SCRIPT, "address": SCRIPT},
    });
    let items = [
        ("2026-02-10T10:00:00Z", "Adjusted", "5", json!({"amount": "5", "reason": SCRIPT, "object": SCRIPT})),
        ("2026-02-10T10:00:00Z", "Invoiced", "0", detail),
        (
            "2026-02-10T10:00:00Z",
            "Charged",
            "-1",
            json!({"amount": "1", "object": SCRIPT, "paidBy": [{"grant": SCRIPT, "amount": "1"}]}),
        ),
        (SCRIPT_TIME, SCRIPT, "0", json!({})),
    ];
    let labels = [("repo", SCRIPT), ("model", SCRIPT)];
    let rows = vec![usage("2026-02-10T09:00:00Z", [SCRIPT, SCRIPT, "1", "1"], &labels)];
    let (fake, _folder) = recorded(&items, rows).await;
    let encoded = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let paths = [
        "history".to_owned(),
        format!("history?text={encoded}"),
        "consumption".to_owned(),
        "consumption?by=rate".to_owned(),
        "consumption?by=repo".to_owned(),
        "invoices".to_owned(),
        format!("invoices/{number}"),
    ];
    for path in paths {
        let text = shown(&fake, &path).await;
        assert!(!text.contains("<script") && !text.contains("<img src=x"), "{path}: {text}");
        assert!(text.contains("alert(1)") || path == "consumption", "{path} shows it as text: {text}");
    }
    for path in
        [format!("history?kind={encoded}"), format!("rates?rate={encoded}"), format!("invoices/{encoded}")]
    {
        let answered = part(&fake, &path).await;
        assert!(matches!(answered.status, 400 | 404), "{path}");
        assert!(!answered.text.contains("<script"), "{path}: {}", answered.text);
    }
}

/// The time of the last entry.
const SCRIPT_TIME: &str = "2026-02-10T10:00:00Z";

#[tokio::test]
async fn long_names_are_shown_whole() {
    let long = "n".repeat(253);
    let rows = vec![usage("2026-02-10T09:00:00Z", ["Public", "TokensOut", "1", "1"], &[("repo", &long)])];
    let charge = json!({"amount": "1", "object": format!("UsageReport/{long}")});
    let items = [
        ("2026-02-10T10:00:00Z", "Granted", "5", json!({"amount": "5"})),
        ("2026-02-10T10:00:00Z", "Granted", "5", json!({"amount": "5"})),
        ("2026-02-10T10:00:00Z", "Charged", "-1", charge),
    ];
    let (fake, _folder) = recorded(&items, rows).await;
    for path in ["history", "consumption?by=repo"] {
        let text = shown(&fake, path).await;
        assert!(text.contains(&long), "{path}: {text}");
    }
}

#[tokio::test]
async fn another_callers_account_stays_unknown() {
    let (fake, _folder) = started().await;
    fake.content().objects.clear();
    for path in PARTS.into_iter().chain([
        "invoices/acme-1f3a9c2e-0000",
        "history?format=csv",
        "consumption?format=csv",
    ]) {
        let answered = part(&fake, path).await;
        assert_eq!(answered.status, 404, "{path}");
        assert!(!answered.text.contains("133.5"), "{path}: {}", answered.text);
    }
}
