//! Copies to another store, and retention.

use flashgate_history::copy::{CopyReport, copy};
use flashgate_history::prune::prune;
use flashgate_history::verify::verify;
use flashgate_history::{RecordError, StoreError};
use futures::TryStreamExt;
use jiff::ToSpan;

use crate::on_both_stores;
use crate::stores::ledger::{Ledger, amount};
use crate::stores::place::{self, Place};
use crate::stores::recording::{ledger_of, lines, only_account, record, summary};

/// Returns a ledger with a former branch, a gap, usage and more than one page of entries.
async fn varied(place: &Place) -> Ledger {
    let mut ledger = ledger_of(3);
    record(&place.store, &ledger).await;
    ledger.accept(2, "00000000000000aa", "70");
    ledger.grant("1");
    ledger.charge("r1", &[("TokensOut", &[("model", "a\u{0}")], "5", "1.5"), ("TokensOut", &[], "5", "0.5")]);
    record(&place.store, &ledger).await;
    for _ in 0..600 {
        ledger.grant("0.1");
    }
    ledger.drop_to(7);
    record(&place.store, &ledger).await;
    ledger
}

async fn a_copy_equals_its_source(source: Place) {
    varied(&source).await;
    for target in [place::sqlite().await, place::postgres().await] {
        for _ in 0..2 {
            let mut seen = 0;
            let report = copy(&source.store, &target.store, &mut |entries| seen = entries).await.unwrap();
            assert_eq!(report, CopyReport { accounts: 1, entries: 604, problems: vec![] });
            assert_eq!(seen, 604);
            assert_eq!(lines(&target.store).await, lines(&source.store).await);
            assert_eq!(verify(&target.store).await.unwrap(), verify(&source.store).await.unwrap());
        }
        let (from, to) = (only_account(&source.store).await, only_account(&target.store).await);
        let usage = source.store.usage(&from, 0, 999).await.unwrap();
        assert_eq!(usage.len(), 2);
        assert_eq!(target.store.usage(&to, 0, 999).await.unwrap(), usage);
        assert_eq!(target.execute("UPDATE entries SET kind = kind WHERE superseded").await, 1);
    }
}

async fn a_copy_replaces_the_opening_of_a_store_that_began_later(source: Place) {
    let ledger = varied(&source).await;
    let target = place::sqlite().await;
    let mut newer = ledger.clone();
    newer.grant("3");
    newer.drop_to(600);
    record(&target.store, &newer).await;
    assert_eq!(summary(&target.store).await[0], format!("Opening ..600 {}", newer.entries[599].balance));
    let report = copy(&source.store, &target.store, &mut |_| ()).await.unwrap();
    assert_eq!(report.problems, [] as [String; 0]);
    let mut expected = summary(&source.store).await;
    expected.push(format!("Granted {}", newer.balance()));
    assert_eq!(summary(&target.store).await, expected);
}

async fn a_copy_of_another_history_is_a_conflict(source: Place) {
    record(&source.store, &ledger_of(3)).await;
    let target = place::sqlite().await;
    let mut other = ledger_of(2);
    other.grant("1");
    record(&target.store, &other).await;
    let error = copy(&source.store, &target.store, &mut |_| ()).await.unwrap_err();
    assert!(matches!(error, StoreError::Record(RecordError::Conflict { number: 3, .. })), "{error}");
}

async fn retention_keeps_the_last_row_before_the_cut(place: Place) {
    let mut ledger = ledger_of(9);
    ledger.charge("r1", &[("TokensOut", &[], "5", "2")]);
    // The entries are one hour apart.
    for _ in 0..20 {
        ledger.charge("r2", &[("TokensOut", &[], "5", "1")]);
    }
    record(&place.store, &ledger).await;
    let now = ledger.entries[10].time.checked_add(24.hours()).unwrap();
    assert_eq!(prune(&place.store, now, 0).await.unwrap(), 0);
    assert_eq!(prune(&place.store, now, 1).await.unwrap(), 9);
    assert_eq!(prune(&place.store, now, 1).await.unwrap(), 0);

    let report = verify(&place.store).await.unwrap().remove(0);
    assert_eq!((report.problems, report.entries, report.begins_after), (vec![], 21, Some(10)));
    assert_eq!((report.totals, report.balance), (ledger.totals(30), amount("878")));
    let account = only_account(&place.store).await;
    assert_eq!(place.store.usage(&account, 0, 99).await.unwrap().len(), 21);
    let all = flashgate_history::Filter::default();
    let rows: Vec<_> = place.store.rows(&account, &all).try_collect().await.unwrap();
    assert_eq!(rows[0].number(), 10);

    // The ledger still holds entries that are pruned.
    ledger.grant("1");
    assert_eq!(record(&place.store, &ledger).await.number, 31);
    assert_eq!(summary(&place.store).await.len(), 22);
    let target = place::sqlite().await;
    assert_eq!(copy(&place.store, &target.store, &mut |_| ()).await.unwrap().problems, [] as [String; 0]);
    assert_eq!(verify(&target.store).await.unwrap()[0].totals, ledger.totals(31));
    // An account without newer rows keeps its last one.
    let much_later = now.checked_add(2400.hours()).unwrap();
    prune(&place.store, much_later, 1).await.unwrap();
    assert_eq!(summary(&place.store).await, ["Granted 879"]);
}

async fn retention_keeps_open_invoices(place: Place) {
    let mut ledger = Ledger::new("acme");
    for (number, kind) in [("a-1", "Invoiced"), ("a-2", "Invoiced"), ("a-1", "Settled"), ("a-3", "Invoiced")]
    {
        let due = if kind == "Invoiced" { "2026-03-09T10:00:00Z" } else { "" };
        let detail = serde_json::json!({
            "amount": "5", "currency": "EUR", "invoice": number, "reason": "Pack", "dueTime": due, "state": "Settled",
        });
        ledger.commit(kind, "0", detail);
    }
    record(&place.store, &ledger).await;
    let later = ledger.entries[3].time.checked_add(240.hours()).unwrap();
    prune(&place.store, later, 1).await.unwrap();
    let account = only_account(&place.store).await;
    let kept: Vec<String> =
        place.store.invoices(&account, "").await.unwrap().into_iter().map(|invoice| invoice.number).collect();
    assert_eq!(kept, ["a-2", "a-3"]);
}

on_both_stores!(
    a_copy_equals_its_source,
    a_copy_replaces_the_opening_of_a_store_that_began_later,
    a_copy_of_another_history_is_a_conflict,
    retention_keeps_the_last_row_before_the_cut,
    retention_keeps_open_invoices,
);
