//! CRD upgrades: new CRDs accept every value that older CRDs accepted.

use serde_json::{Value, json};

use super::{documents, helm, values_of};
use crate::world::root;

/// An older chart, packaged. Its CreditLedger has the current fields, because the test cannot run the older
/// program.
pub const OLDER: &str = "tests/golden/chart/flashgate-billing-0.0.1.tgz";

/// Schema keywords that are upper limits.
const UPPER: [&str; 4] = ["maximum", "maxItems", "maxLength", "maxProperties"];

/// Schema keywords that are lower limits.
const LOWER: [&str; 4] = ["minimum", "minItems", "minLength", "minProperties"];

/// The schema keyword for CEL rules.
const RULES: &str = "x-kubernetes-validations";

/// Returns the CRDs of the older chart.
fn older() -> Vec<Value> {
    let older = root().join(OLDER).display().to_string();
    let said = helm(&["template", "older", &older], &json!({}));
    assert!(said.success, "{}", said.stderr);
    let rendered = documents(&said.stdout).into_iter();
    rendered.filter(|object| object["kind"] == "CustomResourceDefinition").collect()
}

/// Returns the schema of the only version of a CRD.
fn schema(definition: &Value) -> &Value {
    assert_eq!(definition["spec"]["versions"].as_array().map(Vec::len), Some(1));
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Returns whether the pattern or a rule of the older schema contains each condition of a rule.
fn is_restated(rule: &Value, older: &Value) -> bool {
    let text = rule["rule"].as_str().unwrap_or_default();
    let pattern = older["pattern"].as_str().unwrap_or_default().replace("\\.", "[.]").replace("\\+", "[+]");
    let rest = text.replace(&format!("self.matches('{pattern}')"), "");
    let rules = older[RULES].as_array().into_iter().flatten();
    let stated: Vec<&str> = rules.filter_map(|rule| rule["rule"].as_str()).collect();
    let mut conditions = rest.split("&&").flat_map(|part| part.split([':', '?'])).map(str::trim);
    conditions.all(|condition| condition.is_empty() || stated.iter().any(|rule| rule.contains(condition)))
}

/// Returns the places where a schema is stricter than an older one.
fn tightened(older: &Value, newer: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    if newer.is_null() {
        return vec![format!("{path} is gone")];
    }
    for same in ["type", "format"] {
        if !newer[same].is_null() && newer[same] != older[same] {
            found.push(format!("{path} has another {same}"));
        }
    }
    if !newer["pattern"].is_null() && newer["pattern"] != older["pattern"] {
        found.push(format!("{path} has another pattern"));
    }
    for (bounds, sign) in [(UPPER, 1.0), (LOWER, -1.0)] {
        for bound in bounds {
            let (now, then) = (newer[bound].as_f64(), older[bound].as_f64());
            if now.is_some_and(|now| then.is_none_or(|then| (now - then) * sign < 0.0)) {
                found.push(format!("{path} has a closer {bound}"));
            }
        }
    }
    let missing = |of: &Value, from: &Value, list: &str| -> Vec<Value> {
        let of = of[list].as_array().cloned().unwrap_or_default();
        let from = from[list].as_array().cloned().unwrap_or_default();
        of.into_iter().filter(|entry| !from.contains(entry)).collect()
    };
    let values = missing(older, newer, "enum");
    if !newer["enum"].is_null() && (older["enum"].is_null() || !values.is_empty()) {
        found.push(format!("{path} has other values: {values:?}"));
    }
    found
        .extend(missing(newer, older, "required").iter().map(|entry| format!("{path} has required {entry}")));
    let rules = missing(newer, older, RULES).into_iter().filter(|rule| !is_restated(rule, older));
    found.extend(rules.map(|rule| format!("{path} has {RULES} {rule}")));
    for (name, property) in older["properties"].as_object().into_iter().flatten() {
        found.extend(tightened(property, &newer["properties"][name], &format!("{path}.{name}")));
    }
    for part in ["items", "additionalProperties"] {
        if older[part].is_object() {
            found.extend(tightened(&older[part], &newer[part], &format!("{path}[]")));
        }
    }
    found
}

#[test]
fn the_crds_accept_everything_that_older_crds_accepted() {
    let older = older();
    assert_eq!(older.len(), 6);
    let mut new = 0;
    for older in older {
        let plural = older["spec"]["names"]["plural"].as_str().expect("plural");
        let newer = values_of(&root().join(format!("crds/{plural}.yaml")));
        assert_eq!(older["metadata"]["name"], newer["metadata"]["name"]);
        let found = tightened(schema(&older), schema(&newer), "");
        assert!(found.is_empty(), "{plural}: {found:#?}");
        new += tightened(schema(&newer), schema(&older), "").len();
    }
    assert!(new > 0, "the older chart equals the current chart, so the upgrade tests nothing");
}

#[test]
fn a_stricter_crd_is_detected() {
    let older = json!({
        "type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "maxLength": 9, "enum": ["a", "b"]},
            "list": {"type": "array", "maxItems": 3, "items": {"type": "integer", "minimum": 0}},
        },
    });
    assert!(tightened(&older, &older, "").is_empty());
    for (pointer, value, what) in [
        ("/properties/name", json!(null), ".name is gone"),
        ("/properties/name/maxLength", json!(8), "closer maxLength"),
        ("/properties/name/pattern", json!("^a$"), "another pattern"),
        ("/properties/name/enum", json!(["a"]), "other values"),
        ("/properties/list/items/minimum", json!(1), ".list[] has a closer minimum"),
        ("/properties/list/items/maximum", json!(9), ".list[] has a closer maximum"),
        ("/properties/list/type", json!("object"), "another type"),
        ("/required", json!(["name", "list"]), r#"has required "list""#),
        ("/x-kubernetes-validations", json!([{"rule": "false"}]), "has x-kubernetes-validations"),
    ] {
        let mut newer = older.clone();
        let (parent, name) = pointer.rsplit_once('/').expect("pointer");
        newer.pointer_mut(parent).expect("parent")[name] = value;
        let found = tightened(&older, &newer, "");
        assert!(found.len() == 1 && found[0].contains(what), "{pointer}: {found:?}");
    }
    let pattern = json!({"type": "string", "pattern": r"^[0-9]+\.$", RULES: [{"rule": "size(self) > 1"}]});
    let rule = |rule: &str| json!({"type": "string", RULES: [{"rule": rule}]});
    assert!(tightened(&pattern, &rule("self.matches('^[0-9]+[.]$') && size(self) > 1"), "").is_empty());
    assert_eq!(tightened(&pattern, &rule("self.matches('^[0-9][.]$')"), "").len(), 1);
    let mut looser = older.clone();
    looser["properties"]["name"] = json!({"type": "string", "maxLength": 10, "enum": ["a", "b", "c"]});
    looser["properties"]["more"] = json!({"type": "string", "maxLength": 1});
    assert!(tightened(&older, &looser, "").is_empty());
}
