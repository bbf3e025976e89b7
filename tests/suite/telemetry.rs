//! Metrics with a real Prometheus: each alert fires for its cause, and each dashboard query has data.

mod causes;
mod distance;
mod gates;
mod history;
mod meters;
mod usage;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use flashgate_api::{CreditLedger, Subscription};
use flashgate_billing::metrics::description;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use self::causes::{STRANGER, Scene};
use crate::suite::prometheus::{Prometheus, get, promtool};
use crate::world::{World, root, wait_while};

fn alerts_file() -> PathBuf {
    root().join("charts/flashgate-billing/files/alerts.yaml")
}

/// Returns the rules of the chart with short times. Each fires when its condition holds for a second, or when
/// an object is pending for two seconds. promtool tests the real times.
fn fast_rules() -> Value {
    let text = fs::read_to_string(alerts_file()).expect("alerts");
    let mut rules: Value = serde_yaml::from_str(&text).expect("YAML");
    for group in rules["groups"].as_array_mut().expect("groups") {
        for rule in group["rules"].as_array_mut().expect("rules") {
            rule["for"] = json!("1s");
            rule["expr"] = json!(with_short_age_limit(rule["expr"].as_str().expect("expression")));
        }
    }
    rules
}

/// Returns an expression with an age limit of two seconds.
fn with_short_age_limit(expression: &str) -> String {
    let fast = expression.split("time() - ").enumerate().map(|(index, part)| match part.split_once("> ") {
        Some((age, rest)) if index > 0 && rest.starts_with(|first: char| first.is_ascii_digit()) => {
            format!("{age}> 2{}", rest.trim_start_matches(|digit: char| digit.is_ascii_digit()))
        }
        _ => part.to_owned(),
    });
    fast.collect::<Vec<_>>().join("time() - ")
}

/// Returns the names of the alerts.
fn alerts(rules: &Value) -> Vec<String> {
    let groups = rules["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    rules.map(|rule| rule["alert"].as_str().expect("alert").to_owned()).collect()
}

#[test]
fn promtool_accepts_the_rules_and_their_tests_pass() {
    let file = alerts_file().display().to_string();
    for arguments in [["check", "rules", &file], ["test", "rules", "tests/alerts/alerts_test.yaml"]] {
        let output = promtool(&arguments);
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}{complained}");
    }
    let tested = fs::read_to_string(root().join("tests/alerts/alerts_test.yaml")).expect("tests");
    for alert in alerts(&fast_rules()) {
        let fires = [format!("alertname=\"{alert}\""), format!("alertname: {alert}\n")];
        assert!(fires.iter().any(|name| tested.contains(name)), "no test of {alert}");
    }
}

/// Writes the alert rules of a release into a file.
fn rules_of(release: &str, namespace: &str) -> PathBuf {
    let values =
        json!({"prometheusRule": {"enabled": true, "renderMode": "always"}, "fullnameOverride": release});
    let rendered = crate::suite::chart::render(namespace, &values);
    let rule = rendered.iter().find(|object| object["kind"] == "PrometheusRule").expect("rule");
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{namespace}-{release}-rules.yaml"));
    fs::write(&file, rule["spec"].to_string()).expect("written");
    file
}

#[test]
fn alerts_of_releases_in_one_cluster_are_independent() {
    let files = [rules_of("first", "one"), rules_of("second", "one"), rules_of("first", "two")];
    let pod = |metric: &str, namespace: &str, pod: &str, values: &str| {
        let series = format!("flashgate_billing_{metric}{{namespace=\"{namespace}\",pod=\"{pod}\"}}");
        json!({"series": series, "values": values})
    };
    let sample = |alert: &str, namespace: &str| {
        let labels = format!(
            "ALERTS{{alertname=\"{alert}\",alertstate=\"firing\",namespace=\"{namespace}\",severity=\"critical\"}}"
        );
        json!({"labels": labels, "value": 1})
    };
    let tests = json!({
        "rule_files": files,
        "tests": [{
            "interval": "1m",
            "input_series": [
                pod("commits_total", "one", "first-5d4f8-x2x4z", "0x20"),
                pod("leader", "one", "first-5d4f8-x2x4z", "1x20"),
                pod("commits_total", "one", "second-7bc9d-k8k9m", "0x20"),
                pod("leader", "one", "second-7bc9d-k8k9m", "0x20"),
            ],
            "promql_expr_test": [{
                "expr": "ALERTS{alertstate=\"firing\"}",
                "eval_time": "15m",
                // One alert is for an operator that is not scraped, the other for an operator without a
                // leader.
                "exp_samples": [sample("FlashgateOperatorDown", "two"), sample("FlashgateNoLeader", "one")],
            }],
        }],
    });
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("releases_test.yaml");
    fs::write(&file, tests.to_string()).expect("written");
    let output = promtool(&["test", "rules", &file.display().to_string()]);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_fires_for_its_cause_and_each_dashboard_query_has_data() {
    let rules = fast_rules();
    let world = World::start_with_users(&[STRANGER]).await;
    let mut scene = Scene::set(&world, &rules).await;
    scene.create_accounts().await;
    let early = scene.prometheus.query(r#"ALERTS{namespace=~"billing|tenants"}"#);
    assert!(early.is_empty(), "an alert fires too early: {early:?}");
    scene.use_credits().await;
    scene.cause_payment_alerts().await;
    scene.delete_ledger().await;
    scene.corrupt_ledger().await;
    scene.create_accounts_behind_relay().await;
    scene.report_refused_usage().await;
    scene.fill_a_ledger().await;
    scene.block_accounts().await;
    scene.store_future_object().await;
    scene.write_undecodable_payment().await;
    scene.change_a_history().await;
    meters::cause_alerts(&scene).await;
    gates::cause_alerts(&scene).await;
    for alert in alerts(&rules) {
        if !["FlashgateOperatorDown", "FlashgateMeterDown", "FlashgateGateDown"].contains(&alert.as_str()) {
            scene.fires(&alert).await;
        }
    }
    scene.each_cause_fires_its_alert().await;
    scene.runbooks_find_the_accounts_of_the_history().await;
    metrics_match_the_reference(&scene);
    dashboard_queries_have_data(&scene.prometheus);
    the_forecast_reaches_zero_at_the_displayed_time(&scene.prometheus);
    log_lines_name_the_account(&scene);
    metrics_of_an_account_end_with_it(&scene).await;
    scene.operators.clear();
    scene.fires("FlashgateOperatorDown").await;
    scene.fires("FlashgateMeterDown").await;
    scene.fires("FlashgateGateDown").await;
}

/// Compares the metrics of the operators with the reference.
fn metrics_match_the_reference(scene: &Scene<'_>) {
    let texts = scene.addresses.iter().map(|address| get(*address, "/metrics").expect("an answer").1);
    let scraped: String = texts.collect();
    let mut described = BTreeSet::new();
    for description in description::ALL {
        let kind =
            format!("# TYPE {}_{} {}\n", description::PREFIX, description.name, description.kind.as_str());
        assert!(scraped.contains(&kind), "no {kind}");
        for series in description.series() {
            let found: Vec<BTreeSet<&str>> =
                scraped.lines().filter_map(|line| labels_of(line, &series)).collect();
            assert!(!found.is_empty(), "{series} has no data");
            let labels: BTreeSet<&str> = description.labels.iter().copied().collect();
            assert!(found.iter().all(|found| *found == labels), "{series}: {found:?}");
            described.insert(series);
        }
    }
    for line in scraped.lines().filter(|line| line.starts_with(description::PREFIX)) {
        let name = line.split(['{', ' ']).next().expect("name");
        assert!(described.contains(name), "{name} is not in the reference");
    }
}

/// Returns the names of the labels of a line of `series`, without the bound of a histogram.
fn labels_of<'a>(line: &'a str, series: &str) -> Option<BTreeSet<&'a str>> {
    let rest = line.strip_prefix(series)?;
    if rest.starts_with(' ') {
        return Some(BTreeSet::new());
    }
    let labels = rest.strip_prefix('{')?.split_once('}')?.0;
    let names = labels.split("\",").map(|label| label.split('=').next().unwrap_or_default());
    Some(names.filter(|name| *name != "le").collect())
}

/// Queries Prometheus as each dashboard does in Grafana, for all namespaces and accounts.
fn dashboard_queries_have_data(prometheus: &Prometheus) {
    let mut asked = 0;
    for file in fs::read_dir(root().join("charts/flashgate-billing/files/dashboards")).expect("folder") {
        let text = fs::read_to_string(file.expect("entry").path()).expect("dashboard");
        let board: Value = serde_json::from_str(&text).expect("JSON");
        let panels = board["panels"].as_array().expect("panels").iter();
        let targets = panels.flat_map(|panel| panel["targets"].as_array().expect("targets"));
        let variables = board["templating"]["list"].as_array().expect("variables").iter();
        let queries = targets
            .map(|target| target["expr"].as_str().expect("query").to_owned())
            .chain(variables.filter_map(|variable| series_of(variable["query"]["query"].as_str()?)));
        for query in queries {
            let query = query.replace("$__rate_interval", "4m");
            let query = query.replace("$namespace", ".*").replace("$account", ".*");
            assert!(!query.contains('$'), "{query}");
            assert!(!prometheus.query(&query).is_empty(), "{}: no data for {query}", board["title"]);
            asked += 1;
        }
    }
    assert!(asked >= 40, "{asked} queries");
}

/// The forecast of the credits in 3 days stays at zero for an exhausted account.
fn the_forecast_reaches_zero_at_the_displayed_time(prometheus: &Prometheus) {
    let file = root().join("charts/flashgate-billing/files/dashboards/tenant.json");
    let board: Value = serde_json::from_str(&fs::read_to_string(file).expect("dashboard")).expect("JSON");
    let query = |name: &str| {
        let panels = board["panels"].as_array().expect("panels").iter();
        let targets = panels.flat_map(|panel| {
            let targets = panel["targets"].as_array().expect("targets").iter();
            targets.filter(|target| panel["title"] == name || target["legendFormat"] == name)
        });
        let query = targets.last().expect(name)["expr"].as_str().expect("query");
        query.replace("$namespace", "tenants").replace("$account", "low")
    };
    let (left, exhausts) = (query("{{namespace}}/{{account}} in 3 days"), query("Exhausts in"));
    let days = format!("- scalar({exhausts}) / 86400 *");
    assert!(left.contains("- 3 *"), "{left}");
    let left = prometheus.query(&left.replace("- 3 *", &days));
    let left: f64 = left[0]["value"][1].as_str().expect("value").parse().expect("number");
    // It has 5 credits, and its last charge was some seconds ago.
    assert!(left.abs() < 0.1, "{left}");
}

/// Returns a query that has data if a dashboard variable has values.
fn series_of(variable: &str) -> Option<String> {
    let (series, label) = variable.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(", ")?;
    Some(format!("count by ({label}) ({series})"))
}

/// Each committed entry is a line of JSON in the span of its reconcile.
fn log_lines_name_the_account(scene: &Scene<'_>) {
    let log = fs::read_to_string(&scene.log).expect("log");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let committed: Vec<Value> = lines.filter(|line| line["target"] == "ledger").collect();
    assert!(!committed.is_empty());
    for line in committed {
        let span = &line["span"];
        assert_eq!([&span["name"], &span["kind"]], ["reconcile", "Subscription"], "{line}");
        let entry: Value = serde_json::from_str(line["entry"].as_str().expect("entry")).expect("JSON");
        let account = format!(
            "{}/{}",
            span["namespace"].as_str().expect("namespace"),
            span["account"].as_str().expect("account")
        );
        assert_eq!(entry["subscription"], account, "{line}");
        assert!(span["generation"].is_i64() && span["sequence"].is_i64(), "{line}");
    }
}

/// The metrics of an account end with its Subscription, and other metrics stay.
async fn metrics_of_an_account_end_with_it(scene: &Scene<'_>) {
    let balance = |account: &str| format!(r#"flashgate_billing_credits_balance{{account="{account}"}}"#);
    scene.prometheus.expect(&balance("gone")).await;
    scene.tenants.api::<Subscription>().delete("gone", &DeleteParams::default()).await.expect("deleted");
    let shown = async || (!scene.prometheus.query(&balance("gone")).is_empty()).then_some(());
    wait_while("the account is not shown any more", shown).await;
    assert!(!scene.prometheus.query(&balance("low")).is_empty());
    assert!(scene.tenants.get::<CreditLedger>("gone").await.is_some(), "its ledger stays");
}
