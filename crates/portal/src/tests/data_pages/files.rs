//! Files with comma-separated values.

use super::super::stored::usage;
use super::*;

async fn file(fake: &Fake, path: &str) -> String {
    let answered = part(fake, path).await;
    assert_eq!(answered.status, 200, "{path}: {}", answered.text);
    assert_eq!(answered.headers["content-type"], "text/csv; charset=utf-8");
    answered.text
}

#[tokio::test]
async fn a_file_of_consumption_has_all_rows_and_no_formula() {
    let rows = vec![
        usage(
            "2026-02-10T09:00:00Z",
            ["Public", "StorageEgress", "12G", "120"],
            &[("repo", "=cmd|' /C calc'!A0")],
        ),
        usage("2026-02-10T09:00:00Z", ["Private", "TokensOut", "250k", "12.5"], &[("repo", "a,b")]),
    ];
    let items = [
        ("2026-02-10T08:00:00Z", "Granted", "200", json!({"amount": "200"})),
        ("2026-02-10T08:00:00Z", "Granted", "200", json!({"amount": "200"})),
        (
            "2026-02-10T11:30:00Z",
            "Charged",
            "-132.5",
            json!({"amount": "132.5", "object": "UsageReport/gw-1"}),
        ),
    ];
    let (fake, _folder) = recorded(&items, rows).await;
    assert_eq!(
        file(&fake, "consumption?by=repo&format=csv").await,
        "repository,storage_credits,ai_credits,credits\n'=cmd|' /C calc'!A0,120,0,120\n\"a,b\",0,12.5,12.5\n"
    );
    assert_eq!(
        file(&fake, "consumption?by=rate&format=csv").await,
        "rate,quantity,credits\nStorage egress on public nodes,12000000000,120\nTokens out on private nodes,250000,12.5\n"
    );
    assert_eq!(
        file(&fake, "consumption?from=2026-02-08&to=2026-02-10&format=csv").await,
        "time,storage_credits,ai_credits,credits\n2026-02-10T00:00:00Z,120,12.5,132.5\n"
    );
    let answered = part(&fake, "consumption?format=csv").await;
    assert_eq!(answered.headers["content-disposition"], "attachment; filename=\"acme-consumption.csv\"");
}

#[tokio::test]
async fn a_file_of_the_history_has_every_selected_entry_and_numbers_stay_numbers() {
    let mut items: Vec<_> = (0..1_200)
        .map(|_| {
            (
                "2026-02-10T08:00:00Z",
                "Granted",
                "1",
                json!({"amount": "1", "plan": "starter", "periodNumber": 1}),
            )
        })
        .collect();
    let reason = json!({"amount": "0.5", "reason": "=1+1", "object": "=HYPERLINK(1)"});
    items.push(("2026-02-10T09:00:00Z", "Adjusted", "0.5", reason));
    items.push(("2026-02-10T10:00:00Z", "Expired", "-1300", json!({"amount": "1300", "grant": "plan/1"})));
    let (fake, _folder) = recorded(&items, Vec::new()).await;
    let whole = file(&fake, "history?format=csv").await;
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 1_203);
    assert_eq!(lines[0], "number,time,kind,credits,balance,description");
    assert_eq!(
        lines[1],
        "1202,2026-02-10T10:00:00Z,Expired,-1300,-99.5,\"1,300 credits of plan period 1 expired.\""
    );
    assert!(
        lines[2].starts_with("1201,2026-02-10T09:00:00Z,Adjusted,0.5,1200.5,'=HYPERLINK(1)"),
        "{}",
        lines[2]
    );
    assert!(lines[1_202].starts_with("1,2026-02-10T08:00:00Z,Granted,1,1,"), "{}", lines[1_202]);
    let selected = file(&fake, "history?kind=Expired&format=csv&before=5").await;
    assert_eq!(selected.lines().count(), 2, "the place of the page has no effect: {selected}");
}

#[tokio::test]
async fn without_a_history_a_file_has_the_entries_of_the_ledger() {
    let fake = Fake::start(settings(), objects(&accounts::status("1100")));
    let whole = file(&fake, "history?format=csv").await;
    assert!(whole.contains(",Granted,1100,1100,"), "{whole}");
    fake.content().forbidden = vec!["get creditledgers"];
    assert_eq!(file(&fake, "history?format=csv").await, "number,time,kind,credits,balance,description\n");
}
