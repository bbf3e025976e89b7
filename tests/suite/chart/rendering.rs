//! The rendered manifests for different values, and values that the chart rejects. No cluster is used.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use flashgate_billing::metrics::description;
use serde_json::{Value, json};

use super::{RELEASE, chart, examples, helm, object, render, tool, values_of};
use crate::world::root;

#[test]
fn the_chart_passes_a_strict_lint() {
    let chart = chart().display().to_string();
    for values in examples().iter().map(|file| values_of(file)).chain([json!({})]) {
        let said = helm(&["lint", "--strict", &chart, "--values", "-"], &values);
        assert!(said.success, "{values}: {}{}", said.stdout, said.stderr);
    }
}

#[test]
fn the_templates_pass_their_unit_tests() {
    let chart = chart().display().to_string();
    let said = tool("helm-unittest", &["--strict", &chart], Path::new("/dev/null"), "");
    assert!(said.success, "{}{}", said.stdout, said.stderr);
}

#[test]
fn rendering_twice_gives_the_same_result() {
    for values in examples().iter().map(|file| values_of(file)).chain([json!({})]) {
        assert_eq!(render("billing", &values), render("billing", &values));
    }
}

#[test]
fn the_chart_and_its_image_have_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    let described = values_of(&chart().join("Chart.yaml"));
    assert_eq!([&described["version"], &described["appVersion"]], [version, version]);
    let rendered = render("billing", &json!({}));
    let containers = &object(&rendered, "Deployment", RELEASE)["spec"]["template"]["spec"]["containers"];
    let image = containers[0]["image"].as_str().expect("image");
    assert!(image.ends_with(&format!(":{version}")), "{image}");
    let listed = described["annotations"]["artifacthub.io/images"].as_str().expect("images");
    assert!(listed.contains(image), "{listed}");
}

#[test]
fn an_unknown_value_is_rejected_by_name() {
    let refused = [
        (json!({"replicacount": 2}), "'replicacount'"),
        (json!({"crds": {"kep": true}}), "'kep'"),
        (json!({"leaderElection": {"enable": true}}), "'enable'"),
        (json!({"logging": {"format": "xml"}}), "/logging/format"),
        (json!({"concurrency": 0}), "/concurrency"),
        (json!({"namespaces": ["Team_A"]}), "/namespaces/0"),
        (json!({"namespaces": ["team.a"]}), "/namespaces/0"),
        (json!({"namespaceOverride": "team.a"}), "/namespaceOverride"),
        (json!({"test": {"plan": "a'b"}}), "/test/plan"),
        (json!({"commonLabels": {"team": 1}}), "/commonLabels/team"),
        (json!({"image": {"digest": "sha256:12"}}), "/image/digest"),
        (json!({"serviceMonitor": {"renderMode": "sometimes"}}), "/serviceMonitor/renderMode"),
        (json!({"prometheusRule": {"disabledAlerts": ["FlashgateNoLeeder"]}}), "'FlashgateNoLeader'"),
        (json!({"payments": {"enabled": true}}), "/payments/existingSecret"),
        (json!({"payments": {"enabled": true}}), "/payments/secrets"),
        (json!({"payments": {"secrets": [{"namespace": "team.a"}]}}), "/payments/secrets/0"),
        (json!({"connections": {"max": 0}}), "/connections/max"),
        (json!({"backup": {"enabled": true}}), "/backup/persistentVolumeClaim"),
        (json!({"deletionGuard": {"labels": ["o'brien"]}}), "/deletionGuard/labels/0"),
        (json!({"quantityWarnings": {"moreThan": "much"}}), "/quantityWarnings/moreThan"),
        (json!({"leaderElection": {"enabled": false}, "replicaCount": 2}), "/replicaCount"),
        (json!({"sourceGuard": {"exemptUsers": ["o'brien"]}}), "/sourceGuard/exemptUsers/0"),
        (json!({"history": {"mode": "mysql"}}), "/history/mode"),
        (json!({"history": {"mode": "postgres"}}), "/history/postgres/existingSecret"),
        (json!({"history": {"postgres": {"url": "postgres://u:p@db/x"}}}), "'url'"),
        (json!({"history": {"keepDays": -1}}), "/history/keepDays"),
        (json!({"history": {"sqlite": {"accessModes": ["ReadWriteMany"]}}}), "/history/sqlite/accessModes/0"),
        (json!({"history": {"sqlite": {"size": "large"}}}), "/history/sqlite/size"),
        (json!({"networkPolicy": {"postgresPorts": []}}), "/networkPolicy/postgresPorts"),
        (json!({"portal": {"writes": "git"}}), "/portal/writes"),
        (json!({"portal": {"publicURL": "billing.example.com"}}), "/portal/publicURL"),
        (json!({"portal": {"publicURL": "https://user@billing.example.com"}}), "/portal/publicURL"),
        (json!({"portal": {"requestsPerSecond": -1}}), "/portal/requestsPerSecond"),
        (json!({"portal": {"ingress": {"hosts": []}}}), "'hosts'"),
        (json!({"portal": {"podDisruptionBudget": {"maxUnavailable": 0}}}), "/portal/podDisruptionBudget"),
        (json!({"portal": {"enabled": true, "replicas": 2}}), "set history.mode to postgres, or to none"),
        (json!({"portal": {"enabled": true, "httpRoute": {"enabled": true}}}), "need portal.publicURL"),
    ];
    for (values, named) in refused {
        refused_naming(&values, named);
    }
}

#[test]
fn several_replicas_with_a_history_in_a_file_are_rejected_with_the_remedy() {
    let two = json!({"replicaCount": 2});
    refused_naming(&two, "at '/history/mode': value must be one of 'postgres', 'none'");
    let chart = chart().display().to_string();
    // Helm checks the schema before it renders the templates.
    let said = helm(&["template", &chart, "--skip-schema-validation", "--values", "-"], &two);
    assert!(!said.success, "{}", said.stdout);
    assert!(said.stderr.contains("set history.mode to postgres, or to none"), "{}", said.stderr);
    for mode in [json!({"mode": "none"}), json!({"mode": "postgres", "postgres": {"existingSecret": "s"}})] {
        let rendered = render("billing", &json!({"replicaCount": 2, "history": mode}));
        assert!(!rendered.iter().any(|object| object["kind"] == "PersistentVolumeClaim"), "{mode}");
    }
}

#[test]
fn an_invalid_catalog_is_rejected_before_the_installation() {
    let plan = json!({"name": "team", "monthly": {"credits": "1000", "price": "90"}});
    let catalog = |change: &dyn Fn(&mut Value)| {
        let mut catalog = json!({"currency": "EUR", "plans": [plan]});
        change(&mut catalog);
        json!({"catalog": catalog})
    };
    let said = helm(&["template", &chart().display().to_string(), "--values", "-"], &catalog(&|_| ()));
    assert!(said.success, "{}", said.stderr);
    refused_naming(&catalog(&|catalog| catalog["currency"] = json!("euro")), "/catalog/currency");
    refused_naming(&catalog(&|catalog| catalog["plans"] = json!([])), "/catalog/plans");
    refused_naming(&catalog(&|catalog| catalog["plan"] = json!([])), "'plan'");
    let a_number = catalog(&|catalog| catalog["plans"][0]["monthly"]["credits"] = json!(1000));
    refused_naming(&a_number, "/catalog/plans/0/monthly/credits");
    let a_control = catalog(&|catalog| catalog["plans"][0]["displayName"] = json!("a\u{7}b"));
    refused_naming(&a_control, "/catalog/plans/0/displayName");
}

/// Asserts that the chart rejects values with a message that contains `named`.
pub fn refused_naming(values: &Value, named: &str) {
    let said = helm(&["template", &chart().display().to_string(), "--values", "-"], values);
    assert!(!said.success, "{values} is taken");
    assert!(said.stderr.contains(named), "{values}: {}", said.stderr);
}

#[test]
fn every_value_is_in_the_schema_and_in_the_readme() {
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(chart().join("values.schema.json")).expect("schema"))
            .expect("JSON");
    let values = values_of(&chart().join("values.yaml"));
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("map").keys().filter(|name| *name != "global").cloned().collect()
    };
    assert_eq!(names(&schema["properties"]), names(&values));
    for (name, part) in schema["properties"].as_object().expect("properties") {
        if let Some(properties) = part.get("properties") {
            assert_eq!(names(properties), names(&values[name]), "{name}");
        }
    }
    let readme = fs::read_to_string(chart().join("README.md")).expect("README");
    for row in readme.lines().filter(|line| line.starts_with("| `")) {
        assert!(!row.ends_with("|  |"), "a value without a description: {row}");
    }
}

#[test]
fn the_readme_is_up_to_date() {
    let arguments = ["--chart-search-root", "charts", "--sort-values-order", "file", "--dry-run"];
    let said = tool("helm-docs", &arguments, Path::new("/dev/null"), "");
    let readme = fs::read_to_string(chart().join("README.md")).expect("README");
    assert_eq!(said.stdout.trim(), readme.trim(), "outdated; run: make generate-chart");
}

#[test]
fn the_kustomize_base_equals_the_rendered_chart() {
    for (part, file) in [("definitions", "definitions.yaml"), ("operator", "operator.yaml")] {
        let script = root().join("deploy/render.sh");
        let output = std::process::Command::new(script).arg(part).output().expect("render.sh");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let committed = fs::read_to_string(root().join("deploy/kustomize").join(file)).expect(file);
        assert_eq!(String::from_utf8_lossy(&output.stdout), committed, "outdated; run: make generate-chart");
    }
}

/// Returns the names of the series in a text.
fn asked_for(text: &str) -> BTreeSet<String> {
    let rests = text.match_indices("flashgate_billing_").map(|(start, _)| &text[start..]);
    rests
        .map(|rest| rest.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_').next())
        .map(|name| name.unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn alerts_and_dashboards_use_only_series_of_the_operator() {
    let shown: BTreeSet<String> = description::ALL.iter().flat_map(|metric| metric.series()).collect();
    let dashboards = fs::read_dir(chart().join("files/dashboards")).expect("folder");
    let dashboards: Vec<_> = dashboards.map(|entry| entry.expect("entry").path()).collect();
    assert_eq!(dashboards.len(), 2);
    for file in dashboards.iter().chain([&chart().join("files/alerts.yaml")]) {
        let text = fs::read_to_string(file).expect("file");
        let asked = asked_for(&text);
        assert!(!asked.is_empty(), "{}", file.display());
        for name in asked {
            assert!(shown.contains(&name), "{} uses {name}", file.display());
        }
        assert!(file.extension().is_some_and(|kind| kind == "yaml") || is_json(&text), "{}", file.display());
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

/// Returns the rules of all groups.
fn rules_of(groups: &Value) -> Vec<Value> {
    let groups = groups["groups"].as_array().expect("groups").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

#[test]
fn every_alert_has_a_severity_a_description_and_a_runbook() {
    let values = json!({"prometheusRule": {"enabled": true, "renderMode": "always"}});
    let rendered = render("billing", &values);
    let rules = rules_of(&object(&rendered, "PrometheusRule", RELEASE)["spec"]);
    assert_eq!(rules.len(), rules_of(&values_of(&chart().join("files/alerts.yaml"))).len());
    assert!(rules.len() >= 8, "{} alerts", rules.len());
    for rule in rules {
        let name = rule["alert"].as_str().expect("alert");
        assert!(
            name.starts_with("Flashgate"),
            "{name}: the name must begin with the product, to be unique in a cluster"
        );
        assert!(rule["for"].is_string(), "{name} has no duration");
        let runbook = format!("https://flashgate.dev/billing/docs/runbooks/{name}.md");
        assert_eq!(rule["annotations"]["runbook_url"], runbook, "{name}");
        let severity = rule["labels"]["severity"].as_str().expect("severity");
        assert!(["critical", "warning", "info"].contains(&severity), "{name}");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].is_string(), "{name} has no {annotation}");
        }
        let runbook = root().join(format!("docs/runbooks/{name}.md"));
        let runbook = fs::read_to_string(&runbook).unwrap_or_else(|_| unreachable!("no runbook of {name}"));
        for heading in ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"] {
            assert!(runbook.contains(heading), "the runbook of {name} has no {heading}");
        }
    }
}
