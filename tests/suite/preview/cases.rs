//! The numbered cases of the laws with two steps: the first is applied, and the second is previewed and then applied.

use super::{foreseen, settled};
use crate::suite::installed::shared;

/// A case: the name of its account, its first manifests, and the second ones. `$` stands for the account.
struct Case {
    name: &'static str,
    first: String,
    then: String,
}

/// Returns a Subscription on a test clock.
fn subscription(clock: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: billing.flashgate.dev/v1alpha1\nkind: Subscription\nmetadata: {{name: $, annotations: \
         {{billing.flashgate.dev/test-clock: '{clock}'}}}}\nspec: {{{spec}}}\n"
    )
}

fn pack(name: &str) -> String {
    format!(
        "---\napiVersion: billing.flashgate.dev/v1alpha1\nkind: CreditPack\nmetadata: {{name: $-{name}}}\nspec: \
         {{subscriptionRef: {{name: $}}, pack: plus-100}}\n"
    )
}

fn packs(names: &[&str]) -> String {
    names.iter().map(|name| pack(name)).collect()
}

/// Returns a report of the hour that begins at `hour` of the 1st of March 2026.
fn report(name: &str, hour: u32, lines: &[(&str, &str)]) -> String {
    let line = |(operation, quantity): &(&str, &str)| {
        format!("{{nodeType: Public, operation: {operation}, quantity: '{quantity}'}}")
    };
    let lines: Vec<String> = lines.iter().map(line).collect();
    format!(
        "---\napiVersion: billing.flashgate.dev/v1alpha1\nkind: UsageReport\nmetadata: {{name: $-{name}}}\nspec:\n  \
         subscriptionRef: {{name: $}}\n  source: gw\n  window: {{startTime: '2026-03-01T{hour:02}:00:00Z', endTime: \
         '2026-03-01T{:02}:00:00Z'}}\n  usage: [{}]\n",
        hour + 1,
        lines.join(", ")
    )
}

const EARLY: &str = "2026-03-01T09:00:00Z";
const NOON: &str = "2026-03-01T12:00:00Z";
const LATER: &str = "2026-03-11T09:00:00Z";
const NEXT: &str = "2026-04-02T00:00:00Z";
const STARTER: &str = "plan: starter";
const YEARLY: &str = "plan: starter, billingPeriod: Yearly";
const GROWTH: &str = "plan: growth";
const FREE: &str = "plan: organization-free";

fn cases() -> Vec<Case> {
    let case = |name, first: String, then: String| Case { name, first, then };
    let started = || subscription(EARLY, STARTER);
    let at_noon = || started() + &subscription(NOON, STARTER);
    let egress = |quantity| [("StorageEgress", quantity)];
    vec![
        case("boundary", started(), subscription(NEXT, STARTER)),
        case("usage", started(), subscription(NOON, STARTER) + &report("a", 10, &egress("12G"))),
        case("again", at_noon() + &report("a", 10, &egress("12G")), report("b", 10, &egress("12G"))),
        case("missed", started(), subscription("2026-06-01T12:00:00Z", STARTER)),
        case("upgrade", started(), subscription(LATER, GROWTH)),
        case("downgrade", subscription(EARLY, GROWTH), subscription(LATER, STARTER)),
        case("to-free", subscription(EARLY, GROWTH), subscription(LATER, FREE)),
        case("fourth", subscription(EARLY, YEARLY) + &packs(&["a", "b", "c"]), pack("d")),
        case("at-once", started(), packs(&["a", "b", "c", "d"])),
        case("ineligible", subscription(EARLY, "plan: individual"), pack("a")),
        case(
            "debt",
            subscription(EARLY, STARTER) + &subscription(NOON, STARTER) + &report("a", 9, &egress("113G")),
            pack("a"),
        ),
        case("renewal", at_noon() + &report("a", 9, &egress("310G")), subscription(NEXT, STARTER)),
        case("order", at_noon() + &pack("a"), report("a", 9, &egress("60G"))),
        case("no-renewal", started(), subscription(NEXT, "plan: starter, renewal: None")),
        case("bad-line", at_noon(), report("a", 10, &[("StorageEgress", "1G"), ("Teleport", "1")])),
        case("thresholds", at_noon() + &report("a", 9, &egress("87G")), report("b", 10, &egress("24G"))),
        case("plans", started() + &packs(&["a", "b", "c"]), subscription(EARLY, YEARLY) + &pack("d")),
        case("from-free", subscription(EARLY, FREE), subscription(LATER, STARTER)),
        case("unknown-plan", started(), subscription(EARLY, "plan: gold")),
    ]
}

#[tokio::test]
async fn each_case_with_two_steps_does_what_its_preview_foresees() {
    let namespace = shared().await.namespace("clock-preview").await;
    for Case { name, first, then } in cases() {
        // A test clock moves only forward, so the manifests of one object are applied one after the other.
        for manifest in first.replace('$', name).split("---\n").filter(|manifest| !manifest.is_empty()) {
            super::apply(&namespace, manifest).await;
            settled(&namespace).await;
        }
        let preview = foreseen(&namespace, &then.replace('$', name)).await;
        let account = &preview["accounts"][0];
        println!("{name}: {} -> {}", account["balanceBefore"], account["balanceAfter"]);
    }
}
