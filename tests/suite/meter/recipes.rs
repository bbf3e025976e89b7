//! The recipes of `docs/how-to/usage`: each UsageMeter reads what its program exposes.

use std::collections::BTreeMap;
use std::fs;

use flashgate_api::UsageMeter;
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::HOUR;
use jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use rust_decimal::Decimal;
use serde_json::Value;

use super::{Samples, charged_reports, close_windows, decimal};
use crate::cluster_account::{LONG_AGO, now};
use crate::suite::prometheus::Prometheus;
use crate::world::{Namespace, World, root};

/// Most lines of a UsageMeter in a recipe.
const LINES: usize = 15;

/// Returns the text of the UsageMeter on a page.
pub fn meter_on(page: &str) -> String {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let found: Vec<&str> = blocks.filter(|block| block.contains("kind: UsageMeter")).collect();
    assert_eq!(found.len(), 1, "a recipe has one UsageMeter");
    found[0].to_owned()
}

/// A line by node type, operation and labels, with its quantity.
type Lines = BTreeMap<(String, String, BTreeMap<String, String>), Decimal>;

fn expected_lines(expected: &Value) -> Lines {
    let lines = expected["lines"].as_array().expect("lines").iter().map(|line| {
        let text = |field: &str| line[field].as_str().expect("a text").to_owned();
        let labels = serde_json::from_value(line["labels"].clone()).unwrap_or_default();
        ((text("nodeType"), text("operation"), labels), decimal(&text("quantity")))
    });
    lines.collect()
}

#[tokio::test]
async fn each_recipe_counts_what_its_program_exposes() {
    let world = World::start().await;
    let _operator = world.operator(&[]);
    let read = |file: &str| {
        fs::read_to_string(root().join("tests/suite/meter/expositions").join(file)).expect("file")
    };
    let expected: BTreeMap<String, Value> = serde_yaml::from_str(&read("expected.yaml")).expect("YAML");
    assert!(expected.len() >= 6, "one entry a recipe");
    let start = (now() - 3 * HOUR) / HOUR * HOUR;
    let time = |second: i64| Timestamp::from_second(start + second).expect("time");
    let mut samples = Samples::default();
    for name in expected.keys() {
        samples.add_scrape(&read(&format!("{name}-1.txt")), time(-300));
        samples.add_scrape(&read(&format!("{name}-2.txt")), time(1_800));
    }
    let folder = tempfile::tempdir().expect("folder");
    let prometheus = Prometheus::of_samples(folder.path(), &samples.text, &[]).await;
    let account = world.namespace("team-a").await;
    account.account("acme").subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let mut meters = BTreeMap::new();
    for name in expected.keys() {
        let page = fs::read_to_string(root().join(format!("docs/how-to/usage/{name}.md"))).expect("page");
        let text = meter_on(&page);
        assert!(text.trim().lines().count() <= LINES, "{name} has a UsageMeter of at most {LINES} lines");
        let mut meter: UsageMeter = serde_yaml::from_str(&text).expect("a UsageMeter");
        // Several recipes use the same name.
        meter.metadata.name = Some(name.clone());
        meter.spec.start_time = Some(time(0));
        meter.spec.delay_seconds = 0;
        let namespace = meter.metadata.namespace.clone().unwrap_or_else(|| "team-a".to_owned());
        let api: Api<UsageMeter> = Api::namespaced(account.client.clone(), &namespace);
        if namespace != "team-a"
            && !meters
                .values()
                .any(|known: &UsageMeter| known.metadata.namespace.as_deref() == Some(&namespace))
        {
            world.namespace(&namespace).await;
        }
        meters.insert(name.clone(), api.create(&PostParams::default(), &meter).await.expect("created"));
    }
    let mut namespaces: Vec<&str> =
        meters.values().filter_map(|meter| meter.metadata.namespace.as_deref()).collect();
    namespaces.extend(["team-a"]);
    namespaces.sort_unstable();
    namespaces.dedup();
    close_windows(&world, &prometheus.url(), &namespaces).await;
    for (name, meter) in &meters {
        check(&account, name, meter, &expected[name]).await;
    }
}

/// Compares the reports and the status of a meter with what is expected.
async fn check(account: &Namespace<'_>, name: &str, meter: &UsageMeter, expected: &Value) {
    let meter_name = meter.metadata.name.clone().expect("a name");
    let reports = charged_reports(account, &meter_name).await;
    let mut lines = Lines::new();
    for line in reports.iter().flat_map(|report| &report.spec.usage) {
        let key = (line.node_type.clone(), line.operation.clone(), line.labels.clone());
        *lines.entry(key).or_default() += decimal(line.quantity.as_str());
    }
    assert_eq!(lines, expected_lines(expected), "{name}");
    let namespace = meter.metadata.namespace.clone().unwrap_or_default();
    let api: Api<UsageMeter> = Api::namespaced(account.client.clone(), &namespace);
    let status = api.get(&meter_name).await.expect("meter").status.expect("status");
    let mut unmatched: Vec<String> = status.unmatched.into_iter().map(|usage| usage.value).collect();
    unmatched.sort_unstable();
    let mut values: Vec<String> = expected["unmatched"]
        .as_array()
        .expect("values")
        .iter()
        .map(|usage| usage["value"].as_str().expect("a value").to_owned())
        .collect();
    values.sort_unstable();
    assert_eq!(unmatched, values, "{name}");
}
