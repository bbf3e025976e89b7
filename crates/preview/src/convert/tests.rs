//! Conversion to the wire and back loses nothing, and every change of a stored ledger is detected.

use std::path::Path;

use flashgate_api as api;
use flashgate_api::usage_report::UsageLine;
use flashgate_ledger::coverage::{STRETCHES_HELD, SourceCoverage};
use flashgate_ledger::entry::{Detail, Entry, FactKind, ObjectName};
use flashgate_ledger::facts::PaymentState;
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::period::Window;
use flashgate_ledger::purchase::OrderName;
use flashgate_ledger::quantity::ParseQuantityError;
use flashgate_testing::TestAccount;
use flashgate_testing::script::any_account;
use flashgate_testing::values::time;
use kube::core::ObjectMeta;
use proptest::prelude::*;
use serde_json::json;

use super::*;

mod forms;
mod history;

fn stored(account: &TestAccount, previous: Option<&CreditLedgerSpec>) -> CreditLedgerSpec {
    ledger_to_wire(
        account.ledger(),
        previous,
        &account.decision.entries,
        Commit::of("default/acme", "operator-0"),
    )
}

/// Returns the ledger as the API server would return it.
fn through_json(spec: &CreditLedgerSpec) -> CreditLedgerSpec {
    let text = serde_json::to_string(spec).expect("JSON");
    serde_json::from_str(&text).expect("a ledger")
}

fn rich_account() -> TestAccount {
    let mut account = TestAccount::unpaid("starter", "2026-01-31T10:00:00Z");
    account.pay("now", "payment-1", 1, PaymentState::Settled);
    account.buy("now", "march-top-up", "plus-500");
    account.buy("now", "march-top-up", "plus-100");
    account.pay("now", "payment-2", 2, PaymentState::Settled);
    account.adjust("now", "outage", "250", Some("2026-05-01"));
    account.until("2026-02-10T00:00:00Z");
    account.report_hour("now", "gw-eu-1", "StorageEgress", "12G");
    account.report_hour("now", "gw-eu-1", "StorageEgress", "12G");
    account.ask("now", "growth");
    account
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_ledger_comes_back_from_the_wire_as_it_was((mut account, script) in any_account()) {
        let mut previous = stored(&account, None);
        for (time, action) in &script.actions {
            let sequence = account.ledger().sequence;
            account.now = *time;
            account.apply(action);
            if account.ledger().sequence == sequence {
                continue;
            }
            let spec = through_json(&stored(&account, Some(&previous)));
            prop_assert_eq!(&ledger_from_wire("acme", &spec).expect("a ledger"), account.ledger());
            prop_assert_eq!(&spec.previous_hash, &previous.hash);
            prop_assert!(spec.entries.len() <= ENTRIES_KEPT);
            previous = spec;
        }
    }

    #[test]
    fn every_tampered_field_is_found((mut account, script) in any_account(), at in any::<prop::sample::Index>()) {
        for (time, action) in &script.actions {
            account.now = *time;
            account.apply(action);
        }
        let spec = stored(&account, None);
        let mut tampered = serde_json::to_value(&spec).expect("JSON");
        let fields = tampered.as_object_mut().expect("an object");
        let names: Vec<String> =
            fields.keys().filter(|name| !["hash", "formatVersion"].contains(&name.as_str())).cloned().collect();
        fields.remove(&names[at.index(names.len())]);
        // If a field is missing, the ledger does not decode or its hash does not match.
        if let Ok(tampered) = serde_json::from_value::<CreditLedgerSpec>(tampered) {
            let is_found = matches!(ledger_from_wire("acme", &tampered), Err(ConvertError::WrongHash { .. }));
            prop_assert!(is_found);
        }
    }

    #[test]
    fn every_admitted_quantity_parses(
        text in proptest::string::string_regex(api::quantity::QUANTITY_PATTERN.trim_matches(['^', '$']))
            .expect("a pattern"),
    ) {
        let mut report = report();
        report.spec.usage[0].quantity = api::Quantity(text.clone());
        match report_fact(&report) {
            Ok(fact) => prop_assert_eq!(fact.usage.len(), 2),
            // The pattern accepts these, but the CEL rule does not.
            Err(ConvertError::Field { problem: Problem::Quantity(ParseQuantityError::TooLarge(_)), .. }) => {}
            Err(error) => prop_assert!(false, "{}: {}", text, error),
        }
    }

    #[test]
    fn no_quantity_makes_conversion_panic(text in any::<String>()) {
        let mut report = report();
        report.spec.usage[0].quantity = api::Quantity(text);
        let _ = report_fact(&report);
    }
}

#[test]
fn the_hash_is_over_the_sorted_content_without_itself() {
    let spec = stored(&rich_account(), None);
    let mut content = serde_json::to_value(&spec).expect("JSON");
    content.as_object_mut().expect("an object").remove("hash");
    assert!(content.to_string().starts_with(r#"{"account":""#));
    assert_eq!(spec.hash, sha256(content.to_string()));
    assert_eq!(hash_of(&CreditLedgerSpec { hash: "other".to_owned(), ..spec.clone() }), spec.hash);
    assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn an_amount_in_another_form_is_found_by_the_hash() {
    let mut spec = stored(&rich_account(), None);
    spec.debt = "0.0".into();
    assert!(matches!(ledger_from_wire("acme", &spec), Err(ConvertError::WrongHash { .. })));
    assert_eq!(accepted_ledger_from_wire("acme", &spec).as_ref(), Ok(rich_account().ledger()));
}

#[test]
fn a_ledger_of_a_later_version_is_distinguished_from_a_broken_one() {
    let mut spec = stored(&rich_account(), None);
    spec.format_version = FORMAT_VERSION + 1;
    assert_eq!(ledger_from_wire("acme", &spec), Err(ConvertError::NewerFormat { found: FORMAT_VERSION + 1 }));
    assert_eq!(
        accepted_ledger_from_wire("acme", &spec),
        Err(ConvertError::NewerFormat { found: FORMAT_VERSION + 1 })
    );
}

/// The ledger of an account as 0.1.0 stored it.
fn ledger_of_0_1_0() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/ledgers/0.1.0.json");
    let object: Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("the ledger of 0.1.0")).expect("JSON");
    object["spec"].clone()
}

/// Returns `content` with its hash, as another version would store it.
fn hashed(mut content: Value) -> CreditLedgerSpec {
    let fields = content.as_object_mut().expect("an object");
    fields.remove("hash");
    let hash = sha256(content.to_string());
    content["hash"] = hash.into();
    serde_json::from_value(content).expect("a ledger")
}

#[test]
fn a_ledger_of_0_1_0_is_read_as_it_is_and_becomes_one_of_format_2_with_its_next_commit() {
    let spec: CreditLedgerSpec = serde_json::from_value(ledger_of_0_1_0()).expect("a ledger");
    assert_eq!((spec.format_version, hash_of(&spec)), (1, spec.hash.clone()));
    let ledger = ledger_from_wire("acme", &spec).expect("what 0.1.0 wrote");
    assert_eq!(ledger.balance().expect("balance").to_string(), "-75");
    assert_eq!(ledger.refusals.len(), 2);
    let next = Ledger { sequence: ledger.sequence + 1, ..ledger };
    let written =
        through_json(&ledger_to_wire(&next, Some(&spec), &[], Commit::of("default/acme", "operator-0")));
    assert_eq!((written.format_version, &written.previous_hash), (2, &spec.hash));
    assert_eq!(ledger_from_wire("acme", &written).expect("what this version wrote"), next);
}

#[test]
fn a_field_of_a_later_version_is_hashed_and_preserved() {
    let mut content = serde_json::to_value(stored(&rich_account(), None)).expect("JSON");
    content["laterNumber"] = json!(7);
    content["laterList"] = json!(["2026-02"]);
    let spec = hashed(content);
    let ledger = ledger_from_wire("acme", &spec).expect("its hash is right");
    let next = ledger_to_wire(&ledger, Some(&spec), &[], Commit::of("default/acme", "operator-0"));
    let written = serde_json::to_value(&next).expect("JSON");
    assert_eq!((&written["laterNumber"], &written["laterList"]), (&json!(7), &json!(["2026-02"])));
    let mut read = through_json(&next);
    assert!(ledger_from_wire("acme", &read).is_ok());
    read.other.insert("laterNumber".to_owned(), json!(8));
    assert!(matches!(ledger_from_wire("acme", &read), Err(ConvertError::WrongHash { .. })));
}

#[test]
fn a_ledger_with_a_newer_field_that_cannot_be_preserved_is_refused() {
    let spec = stored(&rich_account(), None);
    let mut in_terms = serde_json::to_value(&spec).expect("JSON");
    in_terms["terms"]["discount"] = json!("5");
    let mut in_a_record = serde_json::to_value(&spec).expect("JSON");
    let grant = in_a_record["grants"][0].as_str().expect("a grant").replacen('{', r#"{"label":"x","#, 1);
    in_a_record["grants"][0] = grant.into();
    for (content, path) in [(in_terms, "spec.terms.discount"), (in_a_record, "spec.grants[0]")] {
        let error = ledger_from_wire("acme", &hashed(content)).expect_err("it would lose a field");
        assert_eq!(error, ConvertError::NewerField { path: path.to_owned() });
    }
}

#[test]
fn the_ledger_keeps_fewer_entries_where_they_are_long() {
    let mut account = rich_account();
    let object = ObjectName { kind: FactKind::CreditPack, name: "n".repeat(253) };
    let mut refusal = account.ledger().refusals[0].refusal.clone();
    refusal.message = "m".repeat(10_000);
    let entry = Entry {
        time: account.now,
        credits: flashgate_ledger::Credits::ZERO,
        balance: flashgate_ledger::Credits::ZERO,
        detail: Detail::Refused { object, refusal },
    };
    account.decision.entries = vec![entry; 20];
    let bytes: usize = stored(&account, None).entries.iter().map(String::len).sum();
    assert!((10_000..=ENTRY_BYTES).contains(&bytes), "{bytes} bytes");
}

#[test]
fn every_field_that_does_not_decode_is_named() {
    type Tamper = fn(&mut CreditLedgerSpec);
    let cases: [(&str, Tamper); 9] = [
        ("spec.debt", |spec| spec.debt = "1e3".into()),
        ("spec.grants[0]", |spec| spec.grants[0] = "{}".to_owned()),
        ("spec.grants[1]", |spec| spec.grants[1].push('x')),
        ("spec.grants[0]", |spec| spec.grants[0] = spec.grants[0].replacen("plan/", "plane/", 1)),
        ("spec.coverage[gw-eu-1]", |spec| {
            spec.coverage.insert("gw-eu-1".to_owned(), "2026-01-01T00:00:00Z|1-".to_owned());
        }),
        ("spec.purchaseNames", |spec| spec.purchase_names = "0123".to_owned()),
        ("spec.nextInvoice", |spec| spec.next_invoice = -1),
        ("spec.period.endTime", |spec| spec.period.end_time = None),
        ("spec.period.endTime", |spec| spec.period.end_time = spec.period.start_time),
    ];
    for (expected, tamper) in cases {
        let mut spec = stored(&rich_account(), None);
        tamper(&mut spec);
        spec.hash = hash_of(&spec);
        let found = match ledger_from_wire("acme", &spec) {
            Err(ConvertError::Field { path, .. }) => path,
            other => format!("{other:?}"),
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn a_record_is_compact_json_and_a_source_one_text() {
    let spec = stored(&rich_account(), None);
    assert_eq!(
        spec.grants[0],
        r#"{"source":"plan/1","credits":"1100","remaining":"980","effectiveTime":"2026-01-31T10:00:00Z","expiration":{"time":"2026-02-28T10:00:00Z","graceSeconds":7200}}"#
    );
    assert_eq!(spec.coverage["gw-eu-1"], "2026-02-10T00:00:00Z|1770678000-1770681600");
    assert!(spec.invoices[2].contains(r#""for":{"change":{"reason":"Upgrade","terms":{"plan":"growth""#));
}

#[test]
fn closed_gaps_are_kept_with_the_second_before_which_more_were_closed() {
    let mut ledger: Ledger = rich_account().ledger().clone();
    let source = ledger.coverage.sources.get_mut("gw-eu-1").expect("source");
    let window = |start: i64, end: i64| Window { start_time: second(start), end_time: second(end) };
    source.stretches = vec![window(0, 30), window(40, 50)];
    source.closed_gaps = vec![window(10, 12), window(20, 21)];
    for (blurred, gaps, stored) in [
        (None, 2, "2026-02-10T00:00:00Z|0-30,40-50|10-12,20-21"),
        (Some(second(10)), 2, "2026-02-10T00:00:00Z|0-30,40-50|10-12,20-21|10"),
        (Some(second(-5)), 0, "2026-02-10T00:00:00Z|0-30,40-50||-5"),
        (None, 0, "2026-02-10T00:00:00Z|0-30,40-50"),
    ] {
        let source = ledger.coverage.sources.get_mut("gw-eu-1").expect("source");
        source.closed_gaps.truncate(gaps);
        source.blurred_before_time = blurred;
        let spec = ledger_to_wire(&ledger, None, &[], Commit::of("default/acme", "operator-0"));
        assert_eq!(spec.coverage["gw-eu-1"], stored);
        assert_eq!(ledger_from_wire("acme", &spec).as_ref(), Ok(&ledger));
    }
}

#[test]
fn the_most_that_can_be_covered_fits_the_definition() {
    let longest = |count: i64| -> Vec<Window> {
        let at = |index: i64| second(9_999_000_000 + index);
        (0..count).map(|index| Window { start_time: at(index * 4), end_time: at(index * 4 + 2) }).collect()
    };
    let held = i64::try_from(STRETCHES_HELD).expect("few");
    let coverage = SourceCoverage {
        last_charge_time: second(9_999_000_000),
        stretches: longest(held),
        closed_gaps: longest(16),
        blurred_before_time: Some(second(9_999_000_000)),
    };
    let mut ledger: Ledger = rich_account().ledger().clone();
    ledger.coverage.sources.insert("gw".to_owned(), coverage);
    let spec = ledger_to_wire(&ledger, None, &[], Commit::of("default/acme", "operator-0"));
    assert!(spec.coverage["gw"].len() <= 262_144, "{} bytes", spec.coverage["gw"].len());
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("time")
}

#[test]
fn names_of_old_orders_have_a_fixed_width() {
    let mut ledger: Ledger = rich_account().ledger().clone();
    ledger.purchases.names =
        vec![OrderName { name: 1, pack: 2 }, OrderName { name: u64::MAX, pack: u16::MAX }].into();
    let spec = ledger_to_wire(&ledger, None, &[], Commit::of("default/acme", "operator-0"));
    assert_eq!(spec.purchase_names, "00000000000000010002ffffffffffffffffffff");
    assert_eq!(ledger_from_wire("acme", &spec).as_ref(), Ok(&ledger));
}

#[test]
fn the_time_of_the_last_waiting_pack_is_preserved() {
    let mut ledger: Ledger = rich_account().ledger().clone();
    ledger.last_waiting_pack_time = Some(ledger.start_time);
    let spec = ledger_to_wire(&ledger, None, &[], Commit::of("default/acme", "operator-0"));
    assert_eq!(ledger_from_wire("acme", &through_json(&spec)).as_ref(), Ok(&ledger));
}

#[test]
fn the_ledger_keeps_the_last_entries_but_no_refused_reports() {
    let mut account = TestAccount::on_plan("starter", "2026-01-31T10:00:00Z");
    let mut spec = stored(&account, None);
    assert_eq!(spec.entries.len(), account.decision.entries.len());
    account.report_hour("now", "gw", "Unknown", "1");
    assert_eq!(account.decision.entries.len(), 1);
    assert_eq!(stored(&account, Some(&spec)).entries, spec.entries);
    for name in 0..30 {
        account.adjust("now", &format!("gift-{name}"), "1", None);
        spec = stored(&account, Some(&spec));
    }
    assert_eq!(spec.entries.len(), ENTRIES_KEPT);
    assert!(spec.entries[0].contains("adjustment/gift-10"));
    assert!(spec.entries[19].contains("adjustment/gift-29"));
}

#[test]
fn an_entry_has_decimals_as_text_and_objects_by_kind_and_name() {
    let mut account = TestAccount::on_plan("starter", "2026-02-09T22:00:00Z");
    account.until("2026-02-10T00:00:00Z");
    account.report_hour("now", "gw-eu-1", "StorageEgress", "12G");
    assert_eq!(
        entry_to_json("default/acme", &account.decision.entries[0]),
        json!({
            "time": "2026-02-10T00:00:00Z",
            "subscription": "default/acme",
            "kind": "Charged",
            "credits": "-120",
            "balance": "980",
            "detail": {
                "amount": "120",
                "object": "UsageReport/report-1",
                "source": "gw-eu-1",
                "window": {"startTime": "2026-02-09T23:00:00Z", "endTime": "2026-02-10T00:00:00Z"},
                "periodNumber": 1,
                "paidBy": [{"grant": "plan/1", "amount": "120"}],
                "debt": "0",
            },
        })
    );
    account.buy("now", "top-up", "plus-9");
    let refused = entry_to_json("default/acme", &account.decision.entries[0]);
    assert_eq!(refused["kind"], "Refused");
    assert_eq!(refused["detail"]["object"], "CreditPack/top-up");
    assert_eq!(refused["detail"]["reason"], "UnknownPack");
    assert!(refused["detail"].get("nextAvailableTime").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_entry_follows_its_schema((mut account, script) in any_account()) {
        let schema = serde_json::from_str(&entry_schema()).expect("JSON");
        let schema = jsonschema::validator_for(&schema).expect("a schema");
        for (time, action) in &script.actions {
            account.now = *time;
            account.apply(action);
            for entry in &account.decision.entries {
                let entry = entry_to_json("default/acme", entry);
                let errors: Vec<String> = schema.iter_errors(&entry).map(|error| error.to_string()).collect();
                prop_assert!(errors.is_empty(), "{entry}: {errors:?}");
            }
        }
    }
}

fn metadata() -> ObjectMeta {
    ObjectMeta {
        name: Some("gw-eu-1-0800".to_owned()),
        uid: Some("uid-1".to_owned()),
        generation: Some(1),
        creation_timestamp: Some(condition_time("2026-03-01T09:00:05Z")),
        ..ObjectMeta::default()
    }
}

fn condition_time(text: &str) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(time(text))
}

fn report() -> api::UsageReport {
    api::UsageReport {
        metadata: metadata(),
        spec: serde_json::from_value(json!({
            "subscriptionRef": {"name": "acme"},
            "source": "gw-eu-1",
            "window": {"startTime": "2026-03-01T08:00:00Z", "endTime": "2026-03-01T09:00:00Z"},
            "usage": [
                {"nodeType": "Public", "operation": "StorageEgress", "quantity": "12G", "labels": {"repo": "media"}},
                {"nodeType": "Private", "operation": "TokensOut", "quantity": 2_500_000},
                {"nodeType": "Public", "operation": "StorageEgress", "quantity": "500m"},
            ],
        }))
        .expect("a report"),
        status: None,
    }
}

#[test]
fn lines_are_summed_by_rate_in_the_order_of_the_first() {
    let fact = report_fact(&report()).expect("a fact");
    let usage: Vec<_> = fact
        .usage
        .iter()
        .map(|total| (total.node_type.as_str(), total.quantity.to_string(), total.first_line))
        .collect();
    assert_eq!(usage, [("Public", "12000000000.5".to_owned(), 0), ("Private", "2500000".to_owned(), 1)]);
    assert_eq!(
        fact.window,
        Window { start_time: time("2026-03-01T08:00:00Z"), end_time: time("2026-03-01T09:00:00Z") }
    );
    assert_eq!((fact.arrival, fact.uid.as_str()), (time("2026-03-01T09:00:05Z"), "uid-1"));
}

#[test]
fn of_a_report_with_more_pairs_than_a_catalog_has_rates_only_one_more_is_kept() {
    let mut report = report();
    let line = report.spec.usage[0].clone();
    report.spec.usage = (0..1_000)
        .map(|index| UsageLine { operation: format!("op-{}", index % 500), ..line.clone() })
        .collect();
    let usage = report_fact(&report).expect("a fact").usage;
    assert_eq!(usage.len(), 257);
    assert_eq!(usage.last().map(|total| (total.operation.as_str(), total.first_line)), Some(("op-256", 256)));
    assert!(usage.iter().all(|total| total.quantity.to_string() == "24000000000"), "{usage:?}");
}

#[test]
fn an_invalid_report_is_refused_with_the_path_of_the_field() {
    type Tamper = fn(&mut api::UsageReport);
    let cases: [(Tamper, &str); 5] = [
        (
            |report| report.metadata.uid = None,
            "`metadata.uid`: it is missing; the API server must have set it",
        ),
        (
            |report| report.spec.usage[1].quantity = api::Quantity("-1".to_owned()),
            "`spec.usage[1].quantity`: '-1' is negative: a quantity must not be negative",
        ),
        (
            |report| report.spec.usage[2].quantity = api::Quantity("2P".to_owned()),
            "`spec.usage[2].quantity`: '2P' is too large: a quantity must be at most 10^15 (1P)",
        ),
        (
            |report| report.spec.window.end_time = time("2026-03-01T08:00:00.5Z"),
            "`spec.window.endTime`: '2026-03-01T08:00:00.5Z' is not a whole second; it must be a time such as \
             '2026-01-31T10:00:00Z'",
        ),
        (
            |report| report.spec.window.end_time = time("2026-03-01T08:00:00Z"),
            "`spec.window.endTime`: '2026-03-01T08:00:00Z' is not later than `startTime`; it must be",
        ),
    ];
    for (tamper, message) in cases {
        let mut report = report();
        tamper(&mut report);
        assert_eq!(report_fact(&report).expect_err(message).to_string(), message);
    }
}

#[test]
fn a_thousand_full_lines_still_have_a_sum() {
    let mut report = report();
    let line = UsageLine { quantity: api::Quantity("1P".to_owned()), ..report.spec.usage[0].clone() };
    report.spec.usage = vec![line; 1000];
    assert_eq!(report_fact(&report).expect("a fact").usage[0].quantity.to_string(), "1000000000000000000");
}

#[test]
fn a_subscription_is_taken_with_its_defaults() {
    let subscription = api::Subscription {
        metadata: metadata(),
        spec: serde_json::from_value(json!({"plan": "growth", "alertThresholdsPercent": [50]}))
            .expect("a spec"),
        status: None,
    };
    let fact = subscription_fact(&subscription).expect("a fact");
    assert_eq!((fact.request.plan.as_str(), fact.request.billing_period.as_str()), ("growth", "Monthly"));
    assert_eq!((fact.request.renewal.as_str(), fact.start_time), ("Automatic", None));
    assert_eq!(fact.alert_thresholds_percent, Some(vec![50]));
}

#[test]
fn payments_and_adjustments_are_taken_with_exact_amounts() {
    let payment = api::Payment {
        metadata: metadata(),
        spec: serde_json::from_value(json!({
            "subscriptionRef": {"name": "acme"}, "invoice": "acme-1f3a9c2e-0007", "state": "Settled",
            "amount": "19.99", "currency": "USD", "reference": "pi_123",
        }))
        .expect("a spec"),
        status: None,
    };
    let fact = payment_fact(&payment).expect("a fact");
    assert_eq!((fact.amount.to_string().as_str(), fact.state), ("19.99", PaymentState::Settled));
    let mut adjustment = api::CreditAdjustment {
        metadata: metadata(),
        spec: serde_json::from_value(json!({
            "subscriptionRef": {"name": "acme"}, "credits": "250", "reason": "outage",
        }))
        .expect("a spec"),
        status: None,
    };
    assert_eq!(adjustment_fact(&adjustment).expect("a fact").credits.to_string(), "250");
    adjustment.spec.credits = "0.0".into();
    let refused = adjustment_fact(&adjustment).expect_err("nothing to give");
    assert_eq!(refused.to_string(), "`spec.credits`: '0' is not above 0; it must be greater than 0");
}

#[test]
fn a_new_account_gets_an_id_of_its_own() {
    let id = new_account_id("uid-1", time("2026-03-01T00:00:00Z"));
    assert_eq!(id, sha256("uid-1/2026-03-01T00:00:00Z")[..8]);
    assert_ne!(id, new_account_id("uid-1", time("2026-03-01T00:00:01Z")));
}
