//! Meters with a real Prometheus, an operator, and a real control plane.

mod envoy;
mod exact;
mod killed;
mod live;
mod recipes;
mod states;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Output};

use flashgate_api::usage_meter::METER_LABEL;
use flashgate_api::{UsageMeter, UsageReport, UsageReportState};
use jiff::Timestamp;
use kube::api::{ListParams, PostParams};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::world::{Namespace, World, wait_for};

/// Samples in the format of `OpenMetrics`.
#[derive(Default)]
pub struct Samples {
    /// The lines, without the last line `# EOF`.
    pub text: String,
}

impl Samples {
    /// Adds a sample of a series such as `tokens_total{org="acme"}`.
    pub fn add(&mut self, series: &str, value: impl std::fmt::Display, time: Timestamp) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{series} {value} {}", time.as_second());
    }

    /// Adds all samples of a scrape.
    pub fn add_scrape(&mut self, scrape: &str, time: Timestamp) {
        for line in scrape.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            self.add(series, value, time);
        }
    }
}

/// Returns the spec of a meter of `tokens_total` by the label `org`.
pub fn spec(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "counter": "tokens_total", "account": {"label": "org"}, "delaySeconds": 0,
        "usage": {"nodeType": {"value": "Public"}, "operation": {"value": "TokensOut"}},
    });
    change(&mut spec);
    spec
}

/// Creates a meter in a namespace.
pub async fn create_meter(namespace: &Namespace<'_>, name: &str, spec: Value) -> kube::Result<UsageMeter> {
    let object = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageMeter", "metadata": {"name": name}, "spec": spec,
    });
    let meter: UsageMeter = serde_json::from_value(object).expect("a meter");
    namespace.api().create(&PostParams::default(), &meter).await
}

/// Returns `meter --once` of some namespaces.
pub fn once(kubeconfig: &std::path::Path, url: &str, namespaces: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"));
    command.args(["meter", "--once", "--prometheus", &format!("default={url}"), "--namespace"]);
    command.args(namespaces).env("KUBECONFIG", kubeconfig);
    command
}

/// Closes the windows that are due, and returns the output. Asserts that all could be closed.
pub async fn close_windows(world: &World, url: &str, namespaces: &[&str]) -> String {
    let mut command = once(&world.plane.kubeconfig(), url, namespaces);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("task").expect("started");
    let logged = log_of(&output);
    assert!(output.status.success(), "{logged}");
    logged
}

fn log_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the reports of a meter once all are charged.
pub async fn charged_reports(namespace: &Namespace<'_>, meter: &str) -> Vec<UsageReport> {
    let list = ListParams::default().labels(&format!("{METER_LABEL}={meter}"));
    wait_for("all reports of the meter are charged", async || {
        let reports = namespace.api::<UsageReport>().list(&list).await.expect("list").items;
        let is_charged = |report: &UsageReport| {
            let state = report.status.as_ref().and_then(|status| status.state);
            assert_ne!(state, Some(UsageReportState::Rejected), "{report:#?}");
            state == Some(UsageReportState::Charged)
        };
        reports.iter().all(is_charged).then_some(reports)
    })
    .await
}

/// Returns the sums of the quantities of reports by account.
fn quantities(reports: &[UsageReport]) -> BTreeMap<String, Decimal> {
    let mut sums: BTreeMap<String, Decimal> = BTreeMap::new();
    for report in reports {
        let sum = sums.entry(report.spec.subscription_ref.name.clone()).or_default();
        *sum += report.spec.usage.iter().map(|line| decimal(line.quantity.as_str())).sum::<Decimal>();
    }
    sums
}

fn decimal(text: &str) -> Decimal {
    Decimal::from_str_exact(text).expect("a decimal")
}

/// Returns type, status, reason and message of a condition of a meter.
async fn condition_of(namespace: &Namespace<'_>, meter: &str, kind: &str) -> (String, String, String) {
    let meter = namespace.api::<UsageMeter>().get(meter).await.expect("meter");
    let conditions = meter.status.map(|status| status.conditions).unwrap_or_default();
    let condition = conditions.into_iter().find(|condition| condition.type_ == kind).expect("condition");
    (condition.status, condition.reason, condition.message)
}
