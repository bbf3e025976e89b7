//! Pages of entries and invoices, balances over time, and sums by rate.

use flashgate_history::query::Buckets;
use flashgate_history::query::entries::{EntryFilter, EntryPage, Kinds, Place as At};
use flashgate_history::query::invoices::InvoicePlace;
use flashgate_history::{RowContent, Store, StoredAccount};
use serde_json::json;

use crate::on_both_stores;
use crate::stores::ledger::{Ledger, amount, time};
use crate::stores::place::Place;

on_both_stores!(
    pages_of_entries_join_without_a_gap_in_both_directions,
    kinds_times_and_texts_select_their_entries,
    a_text_of_any_characters_selects_exactly_what_begins_with_it,
    charges_have_their_usage_and_no_other_rows_have_any,
    rows_that_stand_for_lost_entries_say_which,
    superseded_entries_are_on_no_page,
    pages_of_invoices_are_in_the_order_of_their_numbers,
    balances_are_those_after_the_last_entry_of_each_bucket,
    sums_by_rate_are_exact,
);

/// Returns a ledger with 8 entries: 3 charges among 5 others.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new("acme");
    ledger.grant("1100");
    ledger.charge(
        "gw-1",
        &[
            ("StorageEgress", &[("repo", "media")], "12000000000", "120"),
            ("TokensOut", &[("repo", "chat")], "1000", "1"),
        ],
    );
    ledger.commit("Purchased", "100", json!({"amount": "100", "pack": "plus-100", "grant": "pack/order-7"}));
    ledger.charge("gw-2", &[("StorageEgress", &[("repo", "media")], "1000000000", "10")]);
    ledger.commit("Expired", "-5", json!({"amount": "5", "grant": "plan/1"}));
    ledger.commit("Adjusted", "7", json!({"amount": "7", "reason": "out\"age\\ 50%_"}));
    ledger.charge("gw-10", &[("TokensOut", &[], "500", "0.5")]);
    ledger.grant("2");
    ledger
}

async fn recorded(place: &Place, ledger: &Ledger) -> StoredAccount {
    place.store.record(&[ledger.batch()]).await.unwrap();
    place.store.account_of("team", "acme", Some("1f3a9c2e")).await.unwrap().unwrap()
}

fn numbers(page: &EntryPage) -> Vec<i64> {
    page.rows.iter().map(|row| row.row.number()).collect()
}

async fn page(store: &Store, account: &StoredAccount, at: At, limit: u32) -> (Vec<i64>, bool) {
    let page = store.entry_page(account, &EntryFilter::default(), at, limit).await.unwrap();
    (numbers(&page), page.has_more)
}

async fn pages_of_entries_join_without_a_gap_in_both_directions(place: Place) {
    let account = recorded(&place, &ledger()).await;
    let store = &place.store;
    assert_eq!(page(store, &account, At::Newest, 3).await, (vec![8, 7, 6], true));
    assert_eq!(page(store, &account, At::Before(6), 3).await, (vec![5, 4, 3], true));
    assert_eq!(page(store, &account, At::Before(3), 3).await, (vec![2, 1], false));
    assert_eq!(page(store, &account, At::Before(1), 3).await, (vec![], false));
    assert_eq!(page(store, &account, At::After(2), 3).await, (vec![5, 4, 3], true));
    assert_eq!(page(store, &account, At::After(5), 3).await, (vec![8, 7, 6], false));
    assert_eq!(page(store, &account, At::After(8), 3).await, (vec![], false));
    assert_eq!(page(store, &account, At::Newest, 8).await, (vec![8, 7, 6, 5, 4, 3, 2, 1], false));
}

async fn kinds_times_and_texts_select_their_entries(place: Place) {
    let ledger = ledger();
    let account = recorded(&place, &ledger).await;
    let select = async |filter: EntryFilter| {
        let found = place.store.entry_page(&account, &filter, At::Newest, 50).await.unwrap();
        // The same filter in the other direction selects the same.
        let newer = place.store.entry_page(&account, &filter, At::After(-1), 50).await.unwrap();
        assert_eq!(numbers(&found), numbers(&newer), "{filter:?}");
        numbers(&found)
    };
    for (kind, expected) in
        [("Charged", vec![7, 4, 2]), ("Granted", vec![8, 1]), ("Adjusted", vec![6]), ("Voided", vec![])]
    {
        let filter = EntryFilter { kinds: Kinds::Only(kind.into()), ..EntryFilter::default() };
        assert_eq!(select(filter).await, expected, "{kind}");
    }
    let filter = EntryFilter { kinds: Kinds::BesidesCharges, ..EntryFilter::default() };
    assert_eq!(select(filter).await, [8, 6, 5, 3, 1]);
    for (text, expected) in [
        ("gw-1", vec![7, 2]),
        ("gw-10", vec![7]),
        ("UsageReport/gw-2", vec![4]),
        ("order", vec![3]),
        ("plus-", vec![3]),
        ("media", vec![4, 2]),
        ("chat", vec![2]),
        ("edia", vec![]),
        ("amount", vec![]),
        ("object", vec![]),
    ] {
        let filter = EntryFilter { text: Some(text.into()), ..EntryFilter::default() };
        assert_eq!(select(filter).await, expected, "{text}");
    }
    let at = |index: usize| Some(ledger.entries[index].time);
    for (from, to, expected) in [
        (at(2), at(4), vec![5, 4, 3]),
        (at(6), None, vec![8, 7]),
        (None, at(1), vec![2, 1]),
        (Some(time("2100-01-01T00:00:00Z")), None, vec![]),
        (None, Some(time("2000-01-01T00:00:00Z")), vec![]),
    ] {
        let filter = EntryFilter { from, to, ..EntryFilter::default() };
        assert_eq!(select(filter).await, expected, "{from:?} {to:?}");
        let charges =
            EntryFilter { from, to, kinds: Kinds::Only("Charged".into()), ..EntryFilter::default() };
        let expected: Vec<i64> = expected.into_iter().filter(|number| [7, 4, 2].contains(number)).collect();
        assert_eq!(select(charges).await, expected, "charges, {from:?} {to:?}");
    }
}

async fn a_text_of_any_characters_selects_exactly_what_begins_with_it(place: Place) {
    let account = recorded(&place, &ledger()).await;
    for (text, expected) in [
        ("out\"age", 1),
        ("out\"age\\ 50%_", 1),
        ("out%", 0),
        ("out_age", 0),
        ("'", 0),
        ("\\", 0),
        ("' OR ''='", 0),
    ] {
        let filter = EntryFilter { text: Some(text.into()), ..EntryFilter::default() };
        let found = place.store.entry_page(&account, &filter, At::Newest, 50).await.unwrap();
        assert_eq!(found.rows.len(), expected, "{text}");
    }
}

async fn charges_have_their_usage_and_no_other_rows_have_any(place: Place) {
    let account = recorded(&place, &ledger()).await;
    let page = place.store.entry_page(&account, &EntryFilter::default(), At::Newest, 50).await.unwrap();
    let usage: Vec<(i64, usize)> = page.rows.iter().map(|row| (row.row.number(), row.usage.len())).collect();
    assert_eq!(usage, [(8, 0), (7, 1), (6, 0), (5, 0), (4, 1), (3, 0), (2, 2), (1, 0)]);
    assert_eq!(page.rows[4].usage[0].quantity.to_string(), "1000000000");
    // Charges that are far from each other are read by a query each.
    let mut ledger = ledger();
    for _ in 0..40 {
        ledger.grant("1");
    }
    ledger.charge("gw-1-late", &[("TokensOut", &[("repo", "chat")], "5", "1")]);
    let account = recorded(&place, &ledger).await;
    let filter = EntryFilter { text: Some("chat".into()), ..EntryFilter::default() };
    let page = place.store.entry_page(&account, &filter, At::Newest, 50).await.unwrap();
    assert_eq!(numbers(&page), [49, 2]);
    assert_eq!([page.rows[0].usage.len(), page.rows[1].usage.len()], [1, 2]);
}

async fn rows_that_stand_for_lost_entries_say_which(place: Place) {
    let mut ledger = ledger();
    ledger.drop_to(2);
    place.store.record(&[ledger.batch_of(2, 4)]).await.unwrap();
    place.store.record(&[ledger.batch_of(6, 8)]).await.unwrap();
    let account = place.store.account_of("team", "acme", None).await.unwrap().unwrap();
    let all = place.store.entry_page(&account, &EntryFilter::default(), At::Newest, 50).await.unwrap();
    assert_eq!(numbers(&all), [8, 7, 6, 4, 3, 2]);
    let RowContent::Gap(gap, _) = &all.rows[2].row.content else { unreachable!("{:?}", all.rows[2]) };
    assert_eq!((gap.first, gap.last), (5, 6));
    assert!(matches!(all.rows[5].row.content, RowContent::Opening(_)));
    let filter = EntryFilter { kinds: Kinds::Only("Opening".into()), ..EntryFilter::default() };
    let openings = place.store.entry_page(&account, &filter, At::Newest, 50).await.unwrap();
    assert_eq!(numbers(&openings), [6, 2]);
    assert_eq!(openings.rows[0], all.rows[2]);
}

async fn superseded_entries_are_on_no_page(place: Place) {
    let mut ledger = ledger();
    recorded(&place, &ledger).await;
    ledger.accept(2, "00000000000000aa", "979");
    ledger.grant("3");
    let account = recorded(&place, &ledger).await;
    assert_eq!(page(&place.store, &account, At::Newest, 50).await, (vec![4, 3, 2, 1], false));
}

async fn pages_of_invoices_are_in_the_order_of_their_numbers(place: Place) {
    let mut ledger = Ledger::new("acme");
    let named = |number: u32| format!("acme-1f3a9c2e-{number:04}");
    // The numbers from 9,998 to 10,002 have four and five digits.
    for number in 9_998..=10_002 {
        let detail = json!({
            "amount": "20", "currency": "USD", "invoice": named(number), "reason": "Pack",
            "dueTime": "2026-04-01T10:00:00Z",
        });
        ledger.commit("Invoiced", "0", detail);
    }
    let account = recorded(&place, &ledger).await;
    let read = async |at: InvoicePlace<'_>| {
        let page = place.store.invoice_page(&account, at, 2).await.unwrap();
        (page.invoices.into_iter().map(|invoice| invoice.number).collect::<Vec<_>>(), page.has_more)
    };
    let expected = |numbers: &[u32]| numbers.iter().copied().map(named).collect::<Vec<_>>();
    assert_eq!(read(InvoicePlace::Newest).await, (expected(&[10_002, 10_001]), true));
    assert_eq!(read(InvoicePlace::Before(&named(10_001))).await, (expected(&[10_000, 9_999]), true));
    assert_eq!(read(InvoicePlace::Before(&named(9_999))).await, (expected(&[9_998]), false));
    assert_eq!(read(InvoicePlace::After(&named(9_998))).await, (expected(&[10_000, 9_999]), true));
    assert_eq!(read(InvoicePlace::After(&named(10_001))).await, (expected(&[10_002]), false));
}

async fn balances_are_those_after_the_last_entry_of_each_bucket(place: Place) {
    let ledger = ledger();
    let account = recorded(&place, &ledger).await;
    // The entries are at 10:00, 11:00 and so on. A bucket excludes its start.
    let buckets = Buckets { start: time("2026-03-01T10:00:00Z"), seconds: 7_200, count: 4 };
    let found = place.store.balances_by_bucket(&account, buckets).await.unwrap();
    let shown: Vec<(i64, String)> =
        found.iter().map(|balance| (balance.bucket, balance.balance.to_string())).collect();
    let expected = [(0, "1079"), (1, "1064"), (2, "1070.5"), (3, "1072.5")];
    assert_eq!(shown, expected.map(|(bucket, balance)| (bucket, balance.to_owned())));
    assert_eq!(found[0].time, time("2026-03-01T12:00:00Z"));
    let later = Buckets { start: time("2026-04-01T00:00:00Z"), seconds: 60, count: 10 };
    assert_eq!(place.store.balances_by_bucket(&account, later).await.unwrap(), []);
}

async fn sums_by_rate_are_exact(place: Place) {
    let account = recorded(&place, &ledger()).await;
    let sums = async |start: &str| {
        let buckets = Buckets { start: time(start), seconds: 3_600, count: 1 };
        let mut sums = place.store.usage_by_rate(&account, buckets).await.unwrap();
        sums.sort_by(|one, other| one.operation.cmp(&other.operation));
        sums.into_iter()
            .map(|sum| (sum.operation, sum.charges, sum.quantity.to_string(), sum.credits))
            .collect::<Vec<_>>()
    };
    // All windows end at 09:00, which is the end of this bucket.
    let expected = [
        ("StorageEgress".to_owned(), 2, "13000000000".to_owned(), amount("130")),
        ("TokensOut".to_owned(), 2, "1500".to_owned(), amount("1.5")),
    ];
    assert_eq!(sums("2026-03-01T08:00:00Z").await, expected);
    assert_eq!(sums("2026-03-01T09:00:00Z").await, []);
}
