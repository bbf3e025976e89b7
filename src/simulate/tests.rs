//! The cases of billing (Laws 0 to 25), simulated from manifests. The expected statements are in
//! `tests/golden`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use flashgate_api::CreditLedgerSpec;
use flashgate_ledger::catalog::Catalog;
use flashgate_preview::convert::{entry_schema, entry_to_json, ledger_from_wire};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::manifest::manifests;
use super::table::render;
use super::{Outcome, SimulateError, TimeRange, play};
use crate::admission::Admission;
use crate::catalog::{self, SHIPPED};
use crate::grid::Layout;

/// Cases with a golden statement, and the end of those that continue after their last document.
const CASES: [(&str, Option<&str>); 24] = [
    ("case-01-month-ends", Some("2026-05-31T10:00:00Z")),
    ("case-02-rates", None),
    ("case-03-duplicate", None),
    ("case-04-gaps", None),
    ("case-05-renewals", Some("2026-04-30T13:00:00Z")),
    ("case-06-upgrade", Some("2026-04-11T10:00:00Z")),
    ("case-07-downgrade-taken-back", None),
    ("case-08-downgrade", Some("2026-05-01T10:00:00Z")),
    ("case-09-pack-limit", None),
    ("case-10-packs-at-once", None),
    ("case-11-packs-need-a-paid-plan", None),
    ("case-12-debt", None),
    ("case-13-debt-at-renewal", Some("2026-02-15T09:00:00Z")),
    ("case-14-burn-order", None),
    ("case-15-settlement", Some("2026-02-15T09:00:00Z")),
    ("case-16-lapse", Some("2026-04-15T09:00:00Z")),
    ("case-17-external-payments", Some("2026-01-25T09:00:00Z")),
    ("case-18-deleted-and-back", None),
    ("case-19-objects-created-again", None),
    ("case-21-all-or-nothing", None),
    ("case-22-start-in-the-past", None),
    ("case-23-thresholds", None),
    ("case-24-packs-over-plans", None),
    ("case-25-upgrade-from-free", None),
];

fn golden(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/simulate")).join(file)
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("is a time")
}

fn to(until: Option<&str>) -> TimeRange {
    TimeRange { from: None, until: until.map(time) }
}

/// The shipped catalog, with external payments.
fn external() -> Catalog {
    let text = SHIPPED.replace("mode: Internal", "mode: External");
    catalog::parse(&text, "external.yaml").expect("is a catalog")
}

fn play_text(text: &str, until: Option<&str>) -> Result<Outcome, SimulateError> {
    play(manifests("acme.yaml", text), &catalog::shipped(), to(until))
}

/// The cases of [`CASES`], each simulated once for all tests.
static PLAYED: LazyLock<BTreeMap<&str, Outcome>> =
    LazyLock::new(|| CASES.into_iter().map(|(name, until)| (name, play_case_until(name, until))).collect());

/// Returns the outcome of a case of [`CASES`], which must have no notes.
fn play_case(name: &str) -> &'static Outcome {
    let outcome = PLAYED.get(name).expect("is a case");
    assert_eq!(outcome.notes, Vec::<String>::new());
    outcome
}

fn play_case_until(name: &str, until: Option<&str>) -> Outcome {
    let text = fs::read_to_string(golden(&format!("{name}.yaml"))).expect("case is there");
    let catalog = if name.contains("external") { external() } else { catalog::shipped() };
    play(manifests(name, &text), &catalog, to(until)).expect("is played")
}

fn object<'o>(outcome: &'o Outcome, kind: &str, name: &str) -> &'o Value {
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    outcome.objects.iter().find(is_it).expect("object exists")
}

fn status<'o>(outcome: &'o Outcome, kind: &str, name: &str) -> &'o Value {
    &object(outcome, kind, name)["status"]
}

fn balance(outcome: &Outcome) -> &Value {
    &status(outcome, "Subscription", "acme")["credits"]["balance"]
}

/// Returns the state of an object, and the reason of its condition Ready.
fn verdict(outcome: &Outcome, kind: &str, name: &str) -> (String, String) {
    let status = status(outcome, kind, name);
    let conditions = status["conditions"].as_array().expect("has conditions");
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").expect("has Ready");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&status["state"]), text(&ready["reason"]))
}

fn entries(outcome: &Outcome, kind: &str) -> Vec<Value> {
    let all = outcome.entries.iter().map(|line| entry_to_json(&line.subscription, &line.entry));
    all.filter(|entry| entry["kind"] == kind).collect()
}

/// Returns one field of each entry of a kind.
fn each(outcome: &Outcome, kind: &str, path: &str) -> Vec<Value> {
    entries(outcome, kind).iter().map(|entry| entry.pointer(path).cloned().unwrap_or_default()).collect()
}

fn texts(values: &[&str]) -> Vec<Value> {
    values.iter().map(|text| json!(text)).collect()
}

const LAYOUT: Layout = Layout { width: 100, is_styled: false };

#[test]
fn every_case_reads_as_its_golden_statement() {
    for (name, _) in CASES {
        let printed = render(play_case(name), true, LAYOUT);
        let expected = fs::read_to_string(golden(&format!("{name}.txt"))).unwrap_or_default();
        assert_eq!(
            printed, expected,
            "{name}: run the ignored test write_the_golden_statements and read its diff"
        );
    }
}

#[test]
#[ignore = "writes tests/golden/simulate/*.txt"]
fn write_the_golden_statements() {
    for (name, _) in CASES {
        let printed = render(play_case(name), true, LAYOUT);
        fs::write(golden(&format!("{name}.txt")), printed).expect("is written");
    }
}

#[test]
fn case_1_periods_keep_the_day_of_the_anchor() {
    let outcome = play_case("case-01-month-ends");
    let starts =
        ["2026-02-28T10:00:00Z", "2026-03-31T10:00:00Z", "2026-04-30T10:00:00Z", "2026-05-31T10:00:00Z"];
    assert_eq!(each(outcome, "Renewed", "/time"), texts(&starts));
    let period = &status(outcome, "Subscription", "acme")["period"];
    assert_eq!(period["number"], 5);
    assert_eq!(period["startTime"], "2026-05-31T10:00:00Z");
}

#[test]
fn case_2_and_3_usage_is_charged_once_at_the_published_rates() {
    let first = play_case("case-02-rates");
    assert_eq!(status(first, "UsageReport", "first")["credits"], "370");
    assert_eq!(*balance(first), "730");
    let again = play_case("case-03-duplicate");
    assert_eq!(verdict(again, "UsageReport", "again"), ("Rejected".into(), "DuplicateWindow".into()));
    assert_eq!(*balance(again), "730");
}

#[test]
fn case_4_gaps_may_be_filled_and_overlaps_are_refused() {
    let outcome = play_case("case-04-gaps");
    for charged in ["ten", "eleven", "twelve"] {
        assert_eq!(verdict(outcome, "UsageReport", charged).0, "Charged");
    }
    assert_eq!(verdict(outcome, "UsageReport", "overlap"), ("Rejected".into(), "DuplicateWindow".into()));
    assert_eq!(*balance(outcome), "1070");
}

#[test]
fn case_5_every_boundary_renews_once() {
    let outcome = play_case("case-05-renewals");
    assert_eq!(each(outcome, "Granted", "/credits"), texts(&["1100"; 4]));
    assert_eq!(each(outcome, "Expired", "/credits"), texts(&["-1100"; 3]));
    assert_eq!(each(outcome, "SettlementClosed", "/credits"), texts(&["0"; 3]));
    assert_eq!(*balance(outcome), "1100");
}

#[test]
fn case_6_an_upgrade_keeps_what_is_left_of_the_paid_period_until_its_end() {
    let at_once = play_case_until("case-06-upgrade", None);
    assert_eq!(*balance(&at_once), "10400");
    let later = play_case("case-06-upgrade");
    let expired: Vec<_> =
        each(later, "Expired", "/time").into_iter().zip(each(later, "Expired", "/credits")).collect();
    let expected = [("2026-04-01T10:00:00Z", "-900"), ("2026-04-11T10:00:00Z", "-9500")];
    assert_eq!(expired, expected.map(|(time, credits)| (json!(time), json!(credits))));
}

#[test]
fn case_7_a_downgrade_taken_back_leaves_no_trace() {
    let pending = play_case_until("case-07-downgrade-taken-back", Some("2026-03-06T10:00:00Z"));
    let change =
        json!({"plan": "starter", "billingPeriod": "Monthly", "effectiveTime": "2026-04-01T10:00:00Z"});
    assert_eq!(status(&pending, "Subscription", "acme")["pendingChange"], change);
    let outcome = play_case("case-07-downgrade-taken-back");
    assert_eq!(status(outcome, "Subscription", "acme")["pendingChange"], Value::Null);
    assert_eq!(each(outcome, "Granted", "/credits"), texts(&["9500"]));
    assert_eq!(entries(outcome, "Invoiced").len(), 1);
}

#[test]
fn case_8_a_downgrade_keeps_the_credits_of_the_paid_period() {
    let outcome = play_case("case-08-downgrade");
    assert_eq!(each(outcome, "Granted", "/credits"), texts(&["9500", "40", "40"]));
    assert_eq!(each(outcome, "PlanChanged", "/time"), texts(&["2026-04-01T10:00:00Z"]));
    assert_eq!(*balance(outcome), "40");
}

#[test]
fn case_9_a_fourth_pack_waits_for_the_next_month_of_the_account() {
    let outcome = play_case("case-09-pack-limit");
    assert_eq!(entries(outcome, "Purchased").len(), 3);
    assert_eq!(verdict(outcome, "CreditPack", "pack-4"), ("Refused".into(), "PackLimitReached".into()));
    assert_eq!(status(outcome, "CreditPack", "pack-4")["nextAvailableTime"], "2026-03-15T09:00:00Z");
}

#[test]
fn case_10_the_first_three_packs_by_name_are_granted() {
    let outcome = play_case("case-10-packs-at-once");
    let states = ["alpha", "bravo", "charlie", "delta"].map(|name| verdict(outcome, "CreditPack", name).0);
    assert_eq!(states, ["Granted", "Granted", "Granted", "Refused"]);
}

#[test]
fn case_11_packs_need_a_plan_that_allows_them() {
    let outcome = play_case("case-11-packs-need-a-paid-plan");
    assert_eq!(verdict(outcome, "CreditPack", "too-early"), ("Refused".into(), "PlanNotEligible".into()));
    assert_eq!(verdict(outcome, "CreditPack", "extra").0, "Granted");
}

#[test]
fn case_12_and_13_debt_is_repaid_by_the_next_credits() {
    let outcome = play_case("case-12-debt");
    assert_eq!(each(outcome, "Charged", "/balance"), texts(&["30", "-30"]));
    assert_eq!(*balance(outcome), "70");
    assert_eq!(*balance(play_case("case-13-debt-at-renewal")), "-900");
}

#[test]
fn case_14_what_expires_first_burns_first() {
    let outcome = play_case("case-14-burn-order");
    let credits = &status(outcome, "Subscription", "acme")["credits"];
    assert_eq!((&credits["plan"], &credits["packs"]), (&json!("0"), &json!("80")));
}

#[test]
fn case_15_late_usage_is_paid_by_the_expired_period_within_the_grace() {
    let outcome = play_case("case-15-settlement");
    assert_eq!(each(outcome, "Charged", "/detail/amount"), texts(&["20", "20"]));
    assert_eq!(each(outcome, "Charged", "/credits"), texts(&["0", "-20"]));
    assert_eq!(each(outcome, "SettlementClosed", "/detail/amount"), texts(&["1080"]));
}

#[test]
fn case_16_a_lapsed_plan_renews_by_itself_and_packs_keep_their_credits() {
    let outcome = play_case("case-16-lapse");
    assert_eq!(each(outcome, "Granted", "/credits"), texts(&["1100", "40", "40", "40"]));
    assert_eq!(*balance(outcome), "140");
    assert_eq!(status(outcome, "Subscription", "acme")["plan"], "organization-free");
}

#[test]
fn case_17_an_invoice_is_settled_once_and_late_money_is_returned() {
    let outcome = play_case("case-17-external-payments");
    let of = |name: &str| format!("default/{name}");
    let granted = entries(outcome, "Granted");
    assert_eq!(granted.len(), 1);
    assert_eq!(granted[0]["subscription"], of("acme"));
    assert_eq!(verdict(outcome, "Payment", "acme-again"), ("Refused".into(), "AlreadySettled".into()));
    assert_eq!(verdict(outcome, "Payment", "late").1, "RefundDue");
}

#[test]
fn case_18_a_subscription_that_comes_back_goes_on_where_it_was() {
    let soon = play_case("case-18-deleted-and-back");
    assert_eq!(
        each(soon, "Granted", "/time"),
        texts(&["2026-01-15T09:00:00Z", "2026-02-15T09:00:00Z", "2026-04-20T09:00:00Z",])
    );
    let status = status(soon, "Subscription", "acme");
    assert_eq!(status["period"]["number"], 3);
    assert_eq!(status["credits"]["balance"], "1200");
    assert_eq!(object(soon, "CreditPack", "extra")["status"]["state"], "Granted");
}

#[test]
fn case_19_what_is_created_again_long_after_changes_nothing() {
    let outcome = play_case("case-19-objects-created-again");
    assert_eq!(verdict(outcome, "CreditPack", "extra").0, "Granted");
    assert_eq!(verdict(outcome, "UsageReport", "used"), ("Rejected".into(), "DuplicateWindow".into()));
    assert_eq!(entries(outcome, "Purchased").len(), 1);
    assert_eq!(*balance(outcome), "1190");
}

#[test]
fn case_20_a_thousand_small_reports_cost_what_their_sum_costs() {
    let subscription = fs::read_to_string(golden("case-01-month-ends.yaml")).expect("is there");
    let minute = |minute: u32| format!("2026-02-01T{:02}:{:02}:00Z", minute / 60, minute % 60);
    let reports = (0..1_000).map(|index| {
        let (source, start, end) = (index / 500, minute(index % 500), minute(index % 500 + 1));
        format!(
            "---\n{{apiVersion: billing.flashgate.dev/v1alpha1, kind: UsageReport, metadata: {{name: r-{index}, \
             annotations: {{billing.flashgate.dev/at: \"2026-02-02T00:00:00Z\"}}}}, spec: {{subscriptionRef: {{name: \
             acme}}, source: gw-{source}, window: {{startTime: \"{start}\", endTime: \"{end}\"}}, usage: \
             [{{nodeType: Private, operation: StorageEgress, quantity: 1M}}]}}}}\n"
        )
    });
    let text = format!("{subscription}{}", reports.collect::<String>());
    let outcome = play_text(&text, None).expect("is played");
    assert_eq!(entries(&outcome, "Charged").len(), 1_000);
    assert_eq!(*balance(&outcome), "1099");
}

#[test]
fn case_21_one_unknown_line_refuses_the_whole_report() {
    let outcome = play_case("case-21-all-or-nothing");
    assert_eq!(verdict(outcome, "UsageReport", "mixed"), ("Rejected".into(), "UnknownRate".into()));
    let message = &each(outcome, "Refused", "/detail/message")[0];
    assert!(message.as_str().is_some_and(|message| message.contains("usage[1]")), "{message}");
    assert_eq!(*balance(outcome), "1100");
}

#[test]
fn case_22_a_start_in_the_past_grants_the_current_period_alone() {
    let outcome = play_case("case-22-start-in-the-past");
    assert_eq!(each(outcome, "Granted", "/detail/periodNumber"), [json!(3)]);
    assert_eq!(status(outcome, "Subscription", "acme")["period"]["number"], 3);
}

#[test]
fn case_23_each_threshold_is_reported_once() {
    assert_eq!(
        each(play_case("case-23-thresholds"), "Threshold", "/detail/percent"),
        [json!(80), json!(100)]
    );
}

#[test]
fn case_24_and_25_changes_of_plan_bring_no_further_packs_and_end_free_credits() {
    assert_eq!(entries(play_case("case-24-packs-over-plans"), "Purchased").len(), 3);
    assert_eq!(*balance(play_case("case-25-upgrade-from-free")), "1100");
}

#[test]
fn two_runs_are_equal_and_every_entry_and_ledger_has_its_form() {
    let schema: Value = serde_json::from_str(&entry_schema()).expect("is JSON");
    let validator = jsonschema::validator_for(&schema).expect("is a schema");
    let admission = Admission::new().expect("is built");
    for (name, until) in CASES {
        let outcome = play_case(name);
        assert_eq!(*outcome, play_case_until(name, until));
        for line in &outcome.entries {
            let entry = entry_to_json(&line.subscription, &line.entry);
            assert!(validator.is_valid(&entry), "{name}: {entry}");
        }
        for object in &outcome.objects {
            let admitted = admission.admit(object, None).expect("the API server would take it");
            assert_eq!(admitted, *object);
            if object["kind"] == "CreditLedger" {
                let spec: CreditLedgerSpec =
                    serde_json::from_value(object["spec"].clone()).expect("is a ledger");
                ledger_from_wire("acme", &spec).expect("the operator would read it");
            }
        }
    }
}

#[test]
fn simulating_in_two_steps_equals_simulating_in_one() {
    for (name, until) in CASES {
        let once = play_case(name);
        let end = until.map_or_else(|| once.end_time.expect("has an end").to_string(), str::to_owned);
        let text = fs::read_to_string(golden(&format!("{name}.yaml"))).expect("case is there");
        let nudge =
            "---\n{apiVersion: billing.flashgate.dev/v1alpha1, kind: Subscription, metadata: {name: other, \
                     annotations: {billing.flashgate.dev/at: AT}}, spec: {plan: individual, startTime: \
                     \"2090-01-01T00:00:00Z\"}}\n"
                .replace("AT", &format!("\"{end}\""));
        let catalog = if name.contains("external") { external() } else { catalog::shipped() };
        let played = play(manifests(name, &format!("{text}{nudge}")), &catalog, to(None)).expect("is played");
        assert_eq!(played.entries, once.entries, "{name}");
    }
}

const SUBSCRIPTION: &str = "{apiVersion: billing.flashgate.dev/v1alpha1, kind: Subscription, metadata: {name: acme, \
                            annotations: {billing.flashgate.dev/at: \"2026-01-15T09:00:00Z\"}}, spec: {plan: starter}}\n";

fn refusal(text: &str) -> String {
    play_text(text, None).expect_err("is refused").to_string()
}

#[test]
fn the_first_document_must_have_a_time_and_time_never_goes_back() {
    let pack = "{apiVersion: billing.flashgate.dev/v1alpha1, kind: CreditPack, metadata: {name: extra}, spec: \
                {subscriptionRef: {name: acme}, pack: plus-100}}\n";
    assert!(refusal(pack).contains("the first document must say when it is applied"));
    let started = SUBSCRIPTION
        .replace("annotations: {billing.flashgate.dev/at: \"2026-01-15T09:00:00Z\"}", "")
        .replace("plan: starter", "plan: starter, startTime: \"2026-01-15T09:00:00Z\"");
    let outcome = play_text(&format!("{started}---\n{pack}"), None).expect("a startTime is enough");
    assert_eq!(outcome.end_time, Some(time("2026-01-15T09:00:00Z")));
    assert_eq!(verdict(&outcome, "CreditPack", "extra").0, "Granted");
    let back = SUBSCRIPTION.replace("2026-01-15T09", "2026-01-15T08");
    assert!(refusal(&format!("{SUBSCRIPTION}---\n{back}")).contains("must not be earlier"));
}

#[test]
fn a_refusal_of_admission_names_the_place_and_object() {
    let wrong = SUBSCRIPTION.replace("plan: starter", "plan: starter, billingPeriod: Weekly");
    let message = refusal(&wrong);
    assert!(
        message.starts_with("acme.yaml:1: document 1: Subscription default/acme: spec.billingPeriod:"),
        "{message}"
    );
    let pack = "---\n{apiVersion: billing.flashgate.dev/v1alpha1, kind: CreditPack, metadata: {name: extra}, spec: \
                {subscriptionRef: {name: acme}, pack: plus-100}}\n";
    let changed = pack.replace("plus-100", "plus-500");
    let message = refusal(&format!("{SUBSCRIPTION}{pack}{changed}"));
    assert!(message.contains("document 3: CreditPack default/extra: spec:"), "{message}");
    assert!(message.contains("must not change after creation"), "{message}");
}

#[test]
fn documents_after_the_end_are_not_applied_with_a_note() {
    let later = SUBSCRIPTION.replace("2026-01-15T09", "2026-03-15T09").replace("starter", "growth");
    let outcome =
        play_text(&format!("{SUBSCRIPTION}---\n{later}"), Some("2026-02-01T00:00:00Z")).expect("is played");
    assert_eq!(status(&outcome, "Subscription", "acme")["plan"], "starter");
    let note = "1 of the documents are for a time after 2026-02-01T00:00:00Z and were not applied";
    assert_eq!(outcome.notes, [note]);
}

#[test]
fn a_report_is_gone_once_it_was_kept_long_enough_after_its_verdict() {
    let text = fs::read_to_string(golden("case-02-rates.yaml")).expect("is there");
    let count = |until: &str| {
        let outcome = play_text(&text, Some(until)).expect("is played");
        outcome.objects.iter().filter(|object| object["kind"] == "UsageReport").count()
    };
    assert_eq!(count("2026-02-08T10:59:59Z"), 1);
    assert_eq!(count("2026-02-08T11:00:00Z"), 0);
}

#[test]
fn an_object_keeps_its_identity_and_a_new_one_of_its_name_gets_another() {
    let outcome = play_case("case-18-deleted-and-back");
    let metadata = &object(outcome, "Subscription", "acme")["metadata"];
    assert_eq!(
        (&metadata["generation"], &metadata["creationTimestamp"]),
        (&json!(1), &json!("2026-04-20T09:00:00Z"))
    );
    let before = play_case_until("case-18-deleted-and-back", Some("2026-01-26T00:00:00Z"));
    assert_ne!(object(&before, "Subscription", "acme")["metadata"]["uid"], metadata["uid"]);
    let ledger_uid = |outcome: &Outcome| object(outcome, "CreditLedger", "acme")["metadata"]["uid"].clone();
    assert_eq!(ledger_uid(&before), ledger_uid(outcome));
    let changed = play_case("case-16-lapse");
    let metadata = &object(changed, "Subscription", "acme")["metadata"];
    assert_eq!(
        (&metadata["generation"], &metadata["creationTimestamp"]),
        (&json!(2), &json!("2026-01-15T09:00:00Z"))
    );
}

/// Returns the first block of `text` after `start`, up to the end of the block.
fn block<'t>(text: &'t str, start: &str) -> &'t str {
    let (_, rest) = text.split_once(start).expect("block begins");
    rest.split_once("\n```").expect("block ends").0
}

#[test]
fn the_example_of_the_documentation_prints_what_it_says() {
    let page = include_str!("../../docs/reference/simulate.md");
    let outcome = play_text(block(page, "```yaml\n"), None).expect("is played");
    let printed = render(&outcome, true, LAYOUT);
    assert_eq!(block(page, "$ flashgate-billing simulate acme.yaml --events\n"), printed.trim_end());
}

#[test]
fn a_pack_shows_its_receipt_unchanged_until_it_is_refunded() {
    let text = fs::read_to_string(golden("case-11-packs-need-a-paid-plan.yaml")).expect("is there");
    let soon = play_text(&text, None).expect("is played");
    let years_later = play_text(&text, Some("2029-01-01T00:00:00Z")).expect("is played");
    assert_eq!(status(&soon, "CreditPack", "extra"), status(&years_later, "CreditPack", "extra"));
}
