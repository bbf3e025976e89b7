//! What is seen of the operator, by the real Prometheus: each alert is caused, each query of a dashboard answered.

mod causes;
mod distance;
mod prometheus;
mod usage;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use flashgate_api::{CreditLedger, Subscription};
use flashgate_billing::metrics::description;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use self::causes::{STRANGER, Scene};
use self::prometheus::{Prometheus, get, promtool};
use crate::world::{World, root, wait_while};

fn alerts_file() -> PathBuf {
    root().join("charts/flashgate-billing/files/alerts.yaml")
}

/// Returns the rules of the chart with short times: each fires when its condition holds for a second, or when an object is
/// pending for two. promtool tests the real times.
fn hasty_rules() -> Value {
    let text = fs::read_to_string(alerts_file()).expect("alerts");
    let mut rules: Value = serde_yaml::from_str(&text).expect("YAML");
    for group in rules["groups"].as_array_mut().expect("groups") {
        for rule in group["rules"].as_array_mut().expect("rules") {
            rule["for"] = json!("1s");
            rule["expr"] = json!(without_patience(rule["expr"].as_str().expect("expression")));
        }
    }
    rules
}

/// Returns an expression that compares the age of what waits with two seconds.
fn without_patience(expression: &str) -> String {
    let hasty = expression.split("time() - ").enumerate().map(|(index, part)| match part.split_once("> ") {
        Some((age, rest)) if index > 0 && rest.starts_with(|first: char| first.is_ascii_digit()) => {
            format!("{age}> 2{}", rest.trim_start_matches(|digit: char| digit.is_ascii_digit()))
        }
        _ => part.to_owned(),
    });
    hasty.collect::<Vec<_>>().join("time() - ")
}

/// Returns the names of the alerts.
fn alerts(rules: &Value) -> Vec<String> {
    let groups = rules["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    rules.map(|rule| rule["alert"].as_str().expect("alert").to_owned()).collect()
}

#[test]
fn the_rules_are_what_promtool_accepts_and_fire_when_their_tests_say() {
    let file = alerts_file().display().to_string();
    for arguments in [["check", "rules", &file], ["test", "rules", "tests/alerts/alerts_test.yaml"]] {
        let output = promtool(&arguments);
        let (said, complained) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said}{complained}");
    }
    let tested = fs::read_to_string(root().join("tests/alerts/alerts_test.yaml")).expect("tests");
    for alert in alerts(&hasty_rules()) {
        let fires = [format!("alertname=\"{alert}\""), format!("alertname: {alert}\n")];
        assert!(fires.iter().any(|name| tested.contains(name)), "no test of {alert}");
    }
}

/// Writes the rules that a release installs into a file.
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
fn releases_of_one_cluster_do_not_speak_for_each_other() {
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
                // One alert for the operator that is not scraped, and one for the operator without a leader.
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
async fn each_alert_fires_by_its_cause_and_each_query_of_a_dashboard_is_answered() {
    let rules = hasty_rules();
    let world = World::start_with_users(&[STRANGER]).await;
    let mut scene = Scene::set(&world, &rules).await;
    scene.accounts_begin().await;
    let early = scene.prometheus.query(r#"ALERTS{namespace=~"billing|tenants"}"#);
    assert!(early.is_empty(), "nothing is wrong yet: {early:?}");
    scene.credits_go().await;
    scene.payments_fail().await;
    scene.a_ledger_is_lost().await;
    scene.a_ledger_is_tampered_with().await;
    scene.begin_behind_the_relay().await;
    scene.usage_is_refused().await;
    scene.a_ledger_is_full().await;
    scene.accounts_are_stuck().await;
    scene.an_object_comes_from_the_future().await;
    scene.a_payment_is_odd().await;
    for alert in alerts(&rules) {
        if alert != "FlashgateOperatorDown" {
            scene.fires(&alert).await;
        }
    }
    scene.each_cause_has_its_own_alert().await;
    each_metric_is_seen_as_it_is_described(&scene);
    dashboards_are_answered(&scene.prometheus);
    the_line_of_the_forecast_ends_when_the_board_says_so(&scene.prometheus);
    lines_of_the_log_tell_the_account(&scene);
    an_account_is_shown_as_long_as_it_is_there(&scene).await;
    scene.operators.clear();
    scene.fires("FlashgateOperatorDown").await;
}

/// Compares what the operators show with what the reference says of it.
fn each_metric_is_seen_as_it_is_described(scene: &Scene<'_>) {
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
            assert!(!found.is_empty(), "{series} is not seen");
            let labels: BTreeSet<&str> = description.labels.iter().copied().collect();
            assert!(found.iter().all(|found| *found == labels), "{series}: {found:?}");
            described.insert(series);
        }
    }
    for line in scraped.lines().filter(|line| line.starts_with(description::PREFIX)) {
        let name = line.split(['{', ' ']).next().expect("name");
        assert!(described.contains(name), "{name} is not described");
    }
}

/// Returns the names of the labels of a line, if it is one of `series`; that of a histogram's bound aside.
fn labels_of<'a>(line: &'a str, series: &str) -> Option<BTreeSet<&'a str>> {
    let rest = line.strip_prefix(series)?;
    if rest.starts_with(' ') {
        return Some(BTreeSet::new());
    }
    let labels = rest.strip_prefix('{')?.split_once('}')?.0;
    let names = labels.split("\",").map(|label| label.split('=').next().unwrap_or_default());
    Some(names.filter(|name| *name != "le").collect())
}

/// Asks Prometheus each query of each dashboard, as Grafana would for all namespaces and accounts.
fn dashboards_are_answered(prometheus: &Prometheus) {
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

/// Where an account is exhausted, the line that says what is left in 3 days would be at zero.
fn the_line_of_the_forecast_ends_when_the_board_says_so(prometheus: &Prometheus) {
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
    // It has 5 credits, and its last charge is some seconds old.
    assert!(left.abs() < 0.1, "{left}");
}

/// Returns a query that is answered where a variable of a dashboard has values.
fn series_of(variable: &str) -> Option<String> {
    let (series, label) = variable.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(", ")?;
    Some(format!("count by ({label}) ({series})"))
}

/// Each committed entry is a line of JSON, within the span of its reconcile.
fn lines_of_the_log_tell_the_account(scene: &Scene<'_>) {
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

/// Series of an account end with its Subscription, and only they.
async fn an_account_is_shown_as_long_as_it_is_there(scene: &Scene<'_>) {
    let balance = |account: &str| format!(r#"flashgate_billing_credits_balance{{account="{account}"}}"#);
    scene.prometheus.expect(&balance("gone")).await;
    scene.tenants.api::<Subscription>().delete("gone", &DeleteParams::default()).await.expect("deleted");
    let shown = async || (!scene.prometheus.query(&balance("gone")).is_empty()).then_some(());
    wait_while("the account is not shown any more", shown).await;
    assert!(!scene.prometheus.query(&balance("low")).is_empty());
    assert!(scene.tenants.get::<CreditLedger>("gone").await.is_some(), "its ledger stays");
}
