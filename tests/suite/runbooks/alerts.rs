//! The runbooks of alerts about usage that is not charged or not metered, and about credits that are not
//! granted. Their commands find the cause.

use flashgate_api::{CreditLedgerSpec, Subscription, UsageReport};
use flashgate_preview::convert::hash_of;
use flashgate_testing::action::UsageLine;
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::{HOUR, at};
use serde_json::json;

use super::{OPERATOR_NAMESPACE, Runbook};
use crate::cluster_account::{ClusterAccount, LONG_AGO, now, seconds};
use crate::suite::chart::{list, render};
use crate::suite::meter::{Samples, charged_reports, create_meter, once, spec};
use crate::suite::prometheus::Prometheus;
use crate::world::{Namespace, World, wait_until};

/// Name of the meter's Deployment.
const METER: &str = "flashgate-billing-meter";

/// Number of adjustments: more than an account may have open.
const ADJUSTMENTS: usize = 60;

/// Opens an account of a free plan.
async fn account<'a>(namespace: &Namespace<'a>, name: &str) -> ClusterAccount<'a> {
    let account = namespace.account(name);
    account.subscribe(monthly("organization-free"), Some(LONG_AGO)).await;
    account.balance("40").await;
    account
}

/// Reports one unit of the same hour of one source under a name.
async fn report(account: &ClusterAccount<'_>, name: &str, operation: &str, end: i64) {
    account.report(name, seconds(end - 3_600, 3_600), vec![UsageLine::new("Public", operation, "1")]).await;
}

/// Gives one adjustment more than fits, and more.
async fn fill(account: &ClusterAccount<'_>) {
    for number in 0..ADJUSTMENTS {
        account.adjust(&format!("gift-{number}"), "1").await;
    }
    wait_until("one is refused", async || {
        let listed = account.kubectl(&["get", "events", "--field-selector", "reason=LedgerFull"], None).await;
        listed.stdout.contains("LedgerFull")
    })
    .await;
}

/// Overwrites a ledger as a later version of the operator does.
async fn write_newer(account: &ClusterAccount<'_>) {
    let later = |spec: &mut CreditLedgerSpec| {
        spec.format_version = 99;
        spec.hash = hash_of(spec);
    };
    account.edit_ledger(later).await;
    account.reason_is::<Subscription>("newer", "LedgerNewerFormat").await;
}

#[tokio::test]
async fn the_runbooks_find_the_cause_of_uncharged_usage() {
    let world = World::start().await;
    let _operator = world.operator(&[]);
    let namespace = world.namespace("team").await;
    let acme = account(&namespace, "acme").await;
    write_newer(&account(&namespace, "newer").await).await;
    let full = account(&namespace, "full").await;
    let end = now();
    report(&acme, "first", "TokensOut", end).await;
    namespace.state_is::<UsageReport>("first", "Charged").await;
    for (name, account) in [("twice", "acme"), ("stranded", "no-account"), ("waiting", "newer")] {
        report(&namespace.account(account), name, "TokensOut", end).await;
    }
    report(&acme, "unheard", "Unheard", end - 3_600).await;
    for name in ["twice", "unheard"] {
        namespace.state_is::<UsageReport>(name, "Rejected").await;
    }
    let missing = "SubscriptionMissing";
    namespace.expect::<UsageReport>("stranded", "/status/conditions/0/reason", missing).await;
    fill(&full).await;
    let variables = [
        ("NAMESPACE", "team".to_owned()),
        ("SUBSCRIPTION", "full".to_owned()),
        ("REASON", "UnknownRate".to_owned()),
    ];
    let pages = [
        ("FlashgateAccountStuck.md", "team/newer LedgerNewerFormat: "),
        ("FlashgateLedgerFull.md", " open grant\n"),
        ("FlashgateArrivalInFuture.md", "gift-"),
        ("FlashgateUsageNotCharged.md", "waiting"),
        ("FlashgateSubscriptionMissing.md", "no-account"),
        ("FlashgateUsageRefused.md", "unheard"),
        ("FlashgateUsageDuplicated.md", "1 team"),
    ];
    for (name, finds) in pages {
        let page = Runbook::open(name, &world, &variables);
        let printed = page.walk("Diagnosis").await;
        assert!(printed.contains(finds), "{name} finds no '{finds}':\n{printed}");
        page.assert_complete();
    }
}

/// Installs the Deployment of the meter. The private control plane has no nodes to run its pod.
async fn install_meter(world: &World) {
    let meter = json!({"enabled": true, "servers": {"default": {"url": "http://prometheus"}}});
    let mut rendered = render(OPERATOR_NAMESPACE, &json!({"meter": meter}));
    rendered.retain(|object| object["metadata"]["name"] == METER && object["kind"] == "Deployment");
    let namespace = world.namespace(OPERATOR_NAMESPACE).await;
    let applied = namespace.kubectl(&["apply", "--filename", "-"], Some(&list(&rendered))).await;
    applied.succeeded().expect("applied");
}

/// Creates a meter for each cause: a rejected report, an unknown account, a query that Prometheus refuses, and
/// series with a high first value.
async fn create_meters(namespace: &Namespace<'_>, start: i64) {
    let causes = [
        ("rejected", json!({"usage": {"nodeType": {"value": "Public"}, "operation": {"value": "Unheard"}}})),
        ("unmatched", json!({"counter": "bytes_total"})),
        ("refused", json!({"selector": "{org=}"})),
        ("replaced", json!({"counter": "busy_total"})),
    ];
    for (name, change) in causes {
        let spec = spec(|spec| {
            spec["startTime"] = at(start).to_string().into();
            let fields = spec.as_object_mut().expect("fields");
            fields.extend(change.as_object().expect("change").clone());
        });
        create_meter(namespace, name, spec).await.expect("created");
    }
}

/// Runs the commands of a diagnosis. Asserts that they print these texts.
async fn diagnose(page: &Runbook, finds: &[&str]) {
    let printed = page.walk("Diagnosis").await;
    for text in finds {
        assert!(printed.contains(text), "{} finds no '{text}':\n{printed}", page.name);
    }
}

#[tokio::test]
async fn the_runbooks_find_the_cause_of_unmetered_usage() {
    let world = World::start().await;
    let _operator = world.operator(&[]);
    let namespace = world.namespace("team").await;
    account(&namespace, "acme").await;
    install_meter(&world).await;
    let start = (now() - 3 * HOUR) / HOUR * HOUR;
    let mut samples = Samples::default();
    samples.add("tokens_total{org=\"acme\"}", 1_200, at(start + 600));
    samples.add("bytes_total{org=\"stranger\"}", 5, at(start + 600));
    samples.add("busy_total{org=\"acme\"}", 5_000_000, at(start + 600));
    samples.add("busy_total{org=\"acme\"}", 5_000_100, at(start + 1_200));
    let folder = tempfile::tempdir().expect("folder");
    let prometheus = Prometheus::of_samples(folder.path(), &samples.text, &[]).await;
    create_meters(&namespace, start).await;
    let run_meter = async || {
        let mut meter = once(&world.plane.kubeconfig(), &prometheus.url(), &["team"]);
        let output = tokio::task::spawn_blocking(move || meter.output()).await.expect("task");
        assert_eq!(output.expect("started").status.code(), Some(1), "a query is refused");
    };
    run_meter().await;
    let window = at(start).to_string().replace(['-', ':', 'T', 'Z'], "");
    let name = format!("rejected.acme.{window}");
    namespace.state_is::<UsageReport>(&name, "Rejected").await;
    // The meter shows the rejection in its status when it reads its reports.
    run_meter().await;
    let rejected = format!(
        "team/rejected ReportsRejected: The operator rejected 1 of the reports; their usage is \
                            not charged. The last is team/{name}: UnknownRate: "
    );
    let replaced = "team/replaced SeriesReplaced: Account team/acme: ";
    let variables = [
        ("NAMESPACE", "team".to_owned()),
        ("METER", "replaced".to_owned()),
        ("WINDOW", format!("team/acme/{window}")),
    ];
    let stalled = Runbook::open("FlashgateMeterStalled.md", &world, &variables);
    let refused = "team/refused QueryFailed: Prometheus 'default' refuses a query";
    diagnose(&stalled, &[&rejected, refused, replaced]).await;
    stalled.walk("Decide about new series").await;
    stalled.assert_complete();
    run_meter().await;
    let reports = charged_reports(&namespace, "replaced").await;
    let quantities = reports.iter().flat_map(|report| &report.spec.usage).map(|line| line.quantity.as_str());
    assert_eq!(quantities.collect::<Vec<_>>(), ["100"]);
    let pages = [
        ("FlashgateMeterDown.md", ["Replicas:", METER, "app.kubernetes.io/component=meter"]),
        ("FlashgateMeterLagging.md", ["LAG", "refused", "QueryFailed"]),
        ("FlashgateMeterReportsRejected.md", [&name, "meter.rejected", "Rejected"]),
        ("FlashgateUsageUnmatched.md", ["team/unmatched stranger=5\n", "team/refused\n", "team/rejected\n"]),
    ];
    for (name, finds) in pages {
        let page = Runbook::open(name, &world, &[]);
        diagnose(&page, &finds).await;
        page.assert_complete();
    }
}
