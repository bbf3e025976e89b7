//! Exports: every format has the same rows, and sums equal those of the ledger.

use std::collections::BTreeMap;
use std::process::Command;

use flashgate_history::export::{self, FocusVersion, Format};
use flashgate_history::verify::verify;
use flashgate_history::{Filter, Store, chain};
use flashgate_ledger::Credits;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};

use crate::on_both_stores;
use crate::stores::ledger::{Ledger, amount, time};
use crate::stores::place::{self, Place};
use crate::stores::recording::{ledger_of, lines, record};

async fn exported(store: &Store, format: Format, filter: &Filter) -> Vec<u8> {
    let mut output = Vec::new();
    let mut last = 0;
    let count = export::write(store, format, filter, &mut output, &mut |rows| last = rows).await.unwrap();
    assert_eq!(count, last);
    output
}

fn records(csv: &[u8]) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_reader(csv).deserialize().map(Result::unwrap).collect()
}

/// Returns a ledger with an entry of each kind that moves credits or money.
fn ledger_of_every_kind() -> Ledger {
    let mut ledger = Ledger::new("acme");
    let money = |invoice: &str, extra: Value| {
        let mut detail = json!({"amount": "49", "currency": "USD", "invoice": invoice});
        detail.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        detail
    };
    let due = "2026-03-02T10:00:00Z";
    ledger.commit("Invoiced", "0", money("acme-1", json!({"reason": "Start", "dueTime": due})));
    ledger.commit("Settled", "0", money("acme-1", json!({"state": "Settled"})));
    ledger.grant("100");
    ledger.commit(
        "Invoiced",
        "0",
        money("acme-2", json!({"reason": "Renewal", "dueTime": due, "amount": "0.5"})),
    );
    ledger.commit("Voided", "0", money("acme-2", json!({"cause": "Superseded", "amount": "0.5"})));
    ledger.commit("Settled", "0", money("acme-2", json!({"state": "RefundDue", "amount": "0.5"})));
    let object =
        |name: &str| json!({"amount": "20", "object": name, "pack": "small", "reason": "outage, \"long\""});
    ledger.commit("Purchased", "20", object("CreditPack/a"));
    ledger.commit("Adjusted", "20", object("CreditAdjustment/a"));
    ledger.charge(
        "r1",
        &[("TokensOut", &[("model", "a\u{0}")], "5000", "1.5"), ("StorageEgress", &[], "0.5", "7")],
    );
    ledger.charge("r2", &[]);
    ledger.commit("Expired", "-10", json!({"amount": "10", "grant": "plan/1"}));
    ledger.commit("Refunded", "-2", json!({"amount": "2", "invoice": "acme-2", "object": "Payment/p"}));
    ledger
}

async fn json_lines_are_entries_of_the_schema_with_sequence_and_index(place: Place) {
    let mut ledger = ledger_of(1);
    ledger.charge("r1", &[("TokensOut", &[], "5", "1.5")]);
    record(&place.store, &ledger).await;
    let text =
        String::from_utf8(exported(&place.store, Format::JsonLines, &Filter::default()).await).unwrap();
    let first = r#"{"time":"2026-03-01T10:00:00Z","subscription":"team/acme","kind":"Granted","credits":"100","balance":"100","detail":{"#;
    assert!(text.starts_with(first), "{text}");
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/entries.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let lines = lines(&place.store).await;
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert!(validator.is_valid(line), "{line}");
        assert!(line["index"] == 0 && line["sequence"].as_i64() > Some(0));
    }
    assert!(!validator.is_valid(&json!({"kind": "Granted"})));
}

async fn a_filter_selects_times_and_a_subscription(place: Place) {
    for name in ["acme", "acme2"] {
        let mut ledger = ledger_of(4);
        ledger.id.name = name.to_owned();
        "2".clone_into(&mut ledger.id.account);
        let subscription = ledger.id.subscription();
        ledger.entries.iter_mut().fold(String::new(), |before, entry| {
            entry.hash = chain::hash(&before, &subscription, entry);
            entry.hash.clone()
        });
        record(&place.store, &ledger).await;
    }
    let shown = async |filter: Filter| {
        let csv = exported(&place.store, Format::Csv, &filter).await;
        let shown = |row: &BTreeMap<String, String>| format!("{} {}", row["subscription"], row["number"]);
        records(&csv).iter().map(shown).collect::<Vec<_>>()
    };
    let (from, to) = (Some(time("2026-03-01T11:00:00Z")), Some(time("2026-03-01T13:00:00Z")));
    let subscription = Some(("team".to_owned(), "acme2".to_owned()));
    assert_eq!(
        shown(Filter { from, to, subscription: None }).await,
        ["team/acme 2", "team/acme 3", "team/acme2 2", "team/acme2 3"]
    );
    assert_eq!(
        shown(Filter { from, to, subscription: subscription.clone() }).await,
        ["team/acme2 2", "team/acme2 3"]
    );
    assert_eq!(shown(Filter { subscription, ..Filter::default() }).await.len(), 4);
    let from = Some(time("2026-03-01T13:00:00.000000001Z"));
    assert_eq!(shown(Filter { from, ..Filter::default() }).await, [] as [String; 0]);
}

async fn csv_and_parquet_have_the_rows_of_json_lines(place: Place) {
    let mut ledger = ledger_of(700);
    place.store.record(&[ledger.batch_of(2, 3)]).await.unwrap();
    ledger.charge("r1", &[("TokensOut", &[], "5", "0.000000001")]);
    ledger.drop_to(5);
    record(&place.store, &ledger).await;
    let lines = lines(&place.store).await;
    let csv = exported(&place.store, Format::Csv, &Filter::default()).await;
    let parquet = exported(&place.store, Format::Parquet, &Filter::default()).await;
    let reader = SerializedFileReader::new(bytes::Bytes::from(parquet)).unwrap();
    let rows: Vec<Value> =
        reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_json_value()).collect();
    assert_eq!((lines.len(), records(&csv).len(), rows.len()), (699, 699, 699));
    for ((line, csv), row) in lines.iter().zip(records(&csv)).zip(&rows) {
        for key in ["subscription", "kind", "sequence", "index", "credits", "balance", "time"] {
            let expected = line[key].as_str().map_or_else(|| line[key].to_string(), ToOwned::to_owned);
            assert_eq!(csv[key], expected, "{key}");
        }
        assert_eq!(serde_json::from_str::<Value>(&csv["detail"]).unwrap(), line["detail"]);
        assert_eq!(row["number"].to_string(), csv["number"]);
        assert_eq!(row["sequence"], line["sequence"]);
        for key in ["account", "hash", "detail", "kind"] {
            assert_eq!(row[key], csv[key], "{key}");
        }
        for key in ["credits", "balance"] {
            assert_eq!(amount(row[key].as_str().unwrap()), amount(&csv[key]), "{key}");
        }
    }
}

/// Returns sums of a column of the rows of a category.
fn sum(
    rows: &[BTreeMap<String, String>],
    column: &str,
    is_included: impl Fn(&BTreeMap<String, String>) -> bool,
) -> Credits {
    Credits::sum(rows.iter().filter(|row| is_included(row)).map(|row| amount(&row[column]))).unwrap()
}

async fn the_sums_of_focus_equal_those_of_the_ledger(place: Place) {
    record(&place.store, &ledger_of_every_kind()).await;
    let totals = verify(&place.store).await.unwrap()[0].totals;
    for version in [FocusVersion::V1_0, FocusVersion::V1_2] {
        let rows = records(&exported(&place.store, Format::Focus(version), &Filter::default()).await);
        let of = |kind: &'static str| move |row: &BTreeMap<String, String>| row["x_EntryKind"] == kind;
        assert_eq!(sum(&rows, "x_Credits", of("Charged")), totals.consumed);
        assert_eq!(sum(&rows, "EffectiveCost", of("Charged")), amount("8.5"));
        assert_eq!(sum(&rows, "x_Credits", of("Purchased")), totals.purchased);
        assert_eq!(sum(&rows, "x_Credits", of("Adjusted")), totals.adjusted);
        // The first invoice was paid. The second was void, paid and paid back.
        assert_eq!(sum(&rows, "BilledCost", |row| row["BillingCurrency"] == "USD"), amount("49"));
        assert_eq!(sum(&rows, "BilledCost", |row| row["BillingCurrency"] == "XXX"), Credits::ZERO);
        let tags = rows.iter().find(|row| row["ConsumedUnit"] == "TokensOut").map(|row| row["Tags"].as_str());
        assert_eq!(tags, Some(r#"{"model":"a\u0000"}"#));
        assert!(rows.iter().all(|row| row["BillingPeriodStart"] == "2026-03-01T00:00:00Z"));
        assert!(rows.iter().all(|row| row["BillingPeriodEnd"] == "2026-04-01T00:00:00Z"));
        assert_eq!(rows.iter().filter(|row| row["ChargeClass"] == "Correction").count(), 2);
    }
}

on_both_stores!(
    json_lines_are_entries_of_the_schema_with_sequence_and_index,
    a_filter_selects_times_and_a_subscription,
    csv_and_parquet_have_the_rows_of_json_lines,
    the_sums_of_focus_equal_those_of_the_ledger,
);

/// Returns what the validator prints if it refuses `csv`.
fn refusal(csv: &[u8]) -> Option<String> {
    let file = tempfile::NamedTempFile::with_suffix(".csv").unwrap();
    std::fs::write(file.path(), csv).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/focus-validator.sh");
    let output = Command::new(script).arg(file.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() || text.contains("Validation failed"), "{output:?}");
    (!output.status.success()).then_some(text)
}

/// Returns whether Python is installed, which the validator needs. CI must have it.
fn has_python() -> bool {
    let is_there =
        Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "python3 must be installed in CI");
    if !is_there {
        eprintln!("skipped, but CI runs it: python3 is not installed");
    }
    is_there
}

#[tokio::test]
async fn the_validator_of_focus_accepts_the_export() {
    if !has_python() {
        return;
    }
    let place = place::sqlite().await;
    let mut ledger = ledger_of_every_kind();
    record(&place.store, &ledger).await;
    let csv = exported(&place.store, Format::Focus(FocusVersion::V1_0), &Filter::default()).await;
    assert_eq!(refusal(&csv), None);
    // Names of digits, and whole numbers only.
    ledger = Ledger::new("12345");
    ledger.charge("1", &[("TokensOut", &[], "5", "2")]);
    let place = place::sqlite().await;
    record(&place.store, &ledger).await;
    let csv = exported(&place.store, Format::Focus(FocusVersion::V1_0), &Filter::default()).await;
    assert_eq!(refusal(&csv), None);

    let broken = String::from_utf8(csv).unwrap().replace("Usage-Based", "Sometimes");
    let refusal = refusal(broken.as_bytes()).unwrap_or_default();
    assert!(refusal.contains("ChargeFrequency_Enum"), "{refusal}");
}

#[tokio::test]
async fn the_export_of_focus_1_2_follows_its_schema() {
    let place = place::sqlite().await;
    record(&place.store, &ledger_of_every_kind()).await;
    let csv = exported(&place.store, Format::Focus(FocusVersion::V1_2), &Filter::default()).await;
    let schema = include_str!("focus-1.2.schema.json");
    let validator = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let rows = records(&csv);
    assert_eq!(rows.len(), 10);
    for row in rows {
        let row = json!(row);
        let problems: Vec<String> = validator.iter_errors(&row).map(|error| error.to_string()).collect();
        assert_eq!(problems, [] as [String; 0], "{row}");
        let mut broken = row.clone();
        broken["ChargePeriodStart"] = json!("2026-03-01");
        assert!(!validator.is_valid(&broken));
    }
}
