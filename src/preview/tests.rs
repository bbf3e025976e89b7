//! Previews on the objects at the end of a simulation.

use serde_json::{Value, json};

use super::output::{exit_code, to_json};
use super::*;
use crate::catalog::shipped;
use crate::simulate::manifest::manifests;
use crate::simulate::{TimeRange, play};

const TEAM: &str = "team";

/// A subscription to `growth` since the 10th of January, with one pack.
const CLUSTER: &str = "
apiVersion: billing.flashgate.dev/v1alpha1
kind: Subscription
metadata: {name: acme, namespace: team, annotations: {billing.flashgate.dev/at: '2026-01-10T00:00:00Z'}}
spec: {plan: growth}
---
apiVersion: billing.flashgate.dev/v1alpha1
kind: CreditPack
metadata: {name: january, namespace: team}
spec: {subscriptionRef: {name: acme}, pack: plus-100}
";

fn now() -> Timestamp {
    "2026-01-20T00:00:00Z".parse().expect("time")
}

fn pack(name: &str) -> String {
    format!(
        "---\napiVersion: billing.flashgate.dev/v1alpha1\nkind: CreditPack\nmetadata: {{name: {name}}}\nspec: \
         {{subscriptionRef: {{name: acme}}, pack: plus-100}}\n"
    )
}

fn subscription(spec: &str) -> String {
    format!(
        "---\napiVersion: billing.flashgate.dev/v1alpha1\nkind: Subscription\nmetadata: {{name: acme}}\nspec: {spec}\n"
    )
}

/// Returns the objects of a cluster in which these manifests were applied.
fn cluster(text: &str) -> LiveAccount {
    let range = TimeRange { from: None, until: Some(now()) };
    let outcome = play(manifests("cluster.yaml", text), &shipped(), range).expect("simulated");
    let (ledgers, objects): (Vec<Value>, Vec<Value>) =
        outcome.objects.into_iter().partition(|object| object["kind"] == "CreditLedger");
    let ledger = ledgers.into_iter().next().map(|ledger| serde_json::from_value(ledger).expect("ledger"));
    LiveAccount { objects, ledger }
}

/// Returns the preview of the only account that the manifests touch.
fn previewed(live: &LiveAccount, before: &str, after: &str) -> AccountPreview {
    let (before, after) = (manifests("before.yaml", before), manifests("after.yaml", after));
    let (changes, _) = changes(before, after, TEAM).expect("readable");
    let [changes] = changes.as_slice() else { unreachable!("one account: {changes:?}") };
    let (catalog, admission) = (shipped(), Arc::new(Admission::new().expect("admission")));
    let conditions =
        Conditions { catalog: &catalog, admission: &admission, wall_time: now(), allows_test_clock: false };
    preview(live, changes, conditions).expect("previewed")
}

fn kinds(account: &AccountPreview) -> Vec<&'static str> {
    account.entries.iter().map(|entry| entry.detail.kind()).collect()
}

fn credits(account: &AccountPreview) -> [String; 2] {
    [account.balance_before, account.balance_after].map(|balance| balance.to_string())
}

#[test]
fn a_new_pack_is_a_new_purchase() {
    let account = previewed(&cluster(CLUSTER), "", &pack("february"));
    assert_eq!(credits(&account), ["9600", "9700"]);
    assert_eq!(kinds(&account), ["Invoiced", "Settled", "Purchased"]);
    assert_eq!((account.new_purchases, account.refused.len()), (1, 0));
}

#[test]
fn objects_that_stay_as_they_are_change_nothing() {
    let account = previewed(&cluster(CLUSTER), "", CLUSTER);
    assert!(account.changes_nothing(), "{account:?}");
    assert_eq!(exit_code(&[account]), 0);
}

#[test]
fn a_fourth_pack_of_the_month_is_refused() {
    let packs: String = ["b", "c", "d"].iter().map(|name| pack(name)).collect();
    let account = previewed(&cluster(CLUSTER), "", &packs);
    assert_eq!(account.new_purchases, 2);
    let [refused] = account.refused.as_slice() else { unreachable!("{:?}", account.refused) };
    assert_eq!((refused.object.as_str(), refused.reason.as_str()), ("CreditPack/d", "PackLimitReached"));
    assert_eq!(exit_code(&[account]), 1);
}

#[test]
fn an_upgrade_is_now_and_a_downgrade_at_the_end_of_the_period() {
    let live = cluster(CLUSTER);
    let upgrade = previewed(&live, "", &subscription("{plan: scale}"));
    assert!(kinds(&upgrade).contains(&"PlanChanged"), "{:?}", kinds(&upgrade));
    let downgrade = previewed(&live, "", &subscription("{plan: starter}"));
    assert_eq!(credits(&downgrade), ["9600", "9600"]);
    let change =
        downgrade.later.iter().find(|later| later.what.starts_with("PlanChanged")).expect("a change");
    assert_eq!(change.time.to_string(), "2026-02-10T00:00:00Z");
}

#[test]
fn a_plan_that_the_catalog_does_not_have_is_refused() {
    let account = previewed(&cluster(CLUSTER), "", &subscription("{plan: gold}"));
    let [refused] = account.refused.as_slice() else { unreachable!("{:?}", account.refused) };
    assert_eq!((refused.object.as_str(), refused.reason.as_str()), ("Subscription/acme", "PlanNotFound"));
}

#[test]
fn an_object_that_the_api_server_refuses_is_refused_as_invalid() {
    let account = previewed(&cluster(CLUSTER), "", &subscription("{plan: growth, billingPeriod: Weekly}"));
    let [refused] = account.refused.as_slice() else { unreachable!("{:?}", account.refused) };
    assert_eq!(refused.reason, "Invalid");
    assert!(refused.message.contains("billingPeriod"), "{}", refused.message);
}

#[test]
fn a_renamed_pack_is_a_new_purchase_and_the_old_one_is_not_refunded() {
    let account = previewed(&cluster(CLUSTER), &pack("january"), &pack("team-january"));
    assert_eq!((account.new_purchases, credits(&account)), (1, ["9600".to_owned(), "9700".to_owned()]));
    let note = account.notes.join("\n");
    assert!(
        note.starts_with("CreditPack/january is deleted") && note.contains("nothing is refunded"),
        "{note}"
    );
}

#[test]
fn a_name_that_was_bought_before_buys_nothing() {
    let mut live = cluster(CLUSTER);
    live.objects.retain(|object| object["kind"] != "CreditPack");
    let account = previewed(&live, "", &pack("january"));
    assert_eq!((account.new_purchases, account.reused_names.as_slice()), (0, &["january".to_owned()][..]));
    assert_eq!(credits(&account), ["9600", "9600"]);
}

#[test]
fn a_deleted_subscription_keeps_its_ledger() {
    let account = previewed(&cluster(CLUSTER), CLUSTER, &pack("january"));
    let note = account.notes.join("\n");
    assert!(note.contains("Subscription/acme is deleted: its ledger stays, nothing is refunded"), "{note}");
}

#[test]
fn a_new_account_gets_the_credits_of_its_plan() {
    let account = previewed(&LiveAccount::default(), "", &subscription("{plan: starter}"));
    assert_eq!(credits(&account), ["0", "1100"]);
}

#[test]
fn a_new_pack_for_an_account_that_does_not_exist_waits_and_is_refused_later() {
    let account = previewed(&LiveAccount::default(), "", &pack("early"));
    assert_eq!((account.new_purchases, account.entries.len()), (1, 0));
}

#[test]
fn the_json_has_the_fields_of_the_contract() {
    let account = previewed(&cluster(CLUSTER), "", &pack("february"));
    let shown = to_json(&[account], "the built-in catalog", &[]);
    assert_eq!(shown["exit"], 0);
    let account = &shown["accounts"][0];
    assert_eq!(account["subscription"], "team/acme");
    assert_eq!((&account["balanceBefore"], &account["newPurchases"]), (&json!("9600"), &json!(1)));
    assert_eq!(account["entries"][2]["kind"], "Purchased");
    assert_eq!(account["later"][0]["time"], "2026-02-10T00:00:00Z");
}

#[test]
fn a_comment_cannot_be_broken_by_a_message() {
    let mut account = previewed(&cluster(CLUSTER), "", &pack("february"));
    account.notes.push("a | b <img> `c` @team\n# title".to_owned());
    let text = markdown::render(&[account], "x", &[]);
    assert!(text.starts_with(markdown::MARKER), "{text}");
    assert!(text.contains("a \\| b &lt;img&gt; \\`c\\` &#64;team \\# title"), "{text}");
}

#[test]
fn objects_of_other_kinds_are_left_out_and_ledgers_are_refused() {
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let (found, others) = changes([], manifests("a.yaml", other), TEAM).expect("readable");
    assert_eq!((found.len(), others), (0, 1));
    let ledger = "apiVersion: billing.flashgate.dev/v1alpha1\nkind: CreditLedger\nmetadata: {name: a}\n";
    let error = changes([], manifests("a.yaml", ledger), TEAM).expect_err("refused");
    assert!(error.to_string().contains("the operator alone writes"), "{error}");
}
