//! Conventions that every CRD must follow, including those of future kinds.

use serde_json::Value;

use super::{Crd, crds};

/// Largest definition that client-side `kubectl apply` can keep in its annotation.
const LARGEST_APPLICABLE: usize = 256 * 1024;

fn all() -> Vec<Crd> {
    crds().expect("definitions")
}

/// Calls `check` with every node of a schema and its path.
fn each_node(path: &str, node: &Value, check: &mut impl FnMut(&str, &Value)) {
    check(path, node);
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        each_node(&format!("{path}.{name}"), child, check);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(child) = node.get(keyword) {
            each_node(&format!("{path}.{keyword}"), child, check);
        }
    }
}

fn each_node_of_all(mut check: impl FnMut(&str, &Value)) {
    for crd in all() {
        for section in ["spec", "status"] {
            if let Some(node) = crd.schema()["properties"].get(section) {
                each_node(&format!("{}.{section}", crd.kind), node, &mut check);
            }
        }
    }
}

#[test]
fn every_field_is_described() {
    each_node_of_all(|path, node| {
        let description = node["description"].as_str().unwrap_or_default();
        assert!(description.ends_with(['.', ':', ')']), "{path} has no description: '{description}'");
    });
}

#[test]
fn an_enum_is_described_by_its_field() {
    for crd in all() {
        let state = &crd.schema()["properties"]["status"]["properties"]["state"];
        let description = state["description"].as_str().unwrap_or("Absent");
        assert!(description.contains("Absent"), "{}: {description}", crd.kind);
    }
}

#[test]
fn no_message_to_a_user_quotes_a_bare_regular_expression() {
    for crd in all().into_iter().filter(|crd| crd.kind != "CreditLedger") {
        each_node(&crd.kind, &crd.schema()["properties"]["spec"], &mut |path, node| {
            assert!(
                node.get("pattern").is_none(),
                "{path}: the API server quotes a `pattern`; use `schema::form`"
            );
            for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let message = rule["message"].as_str().unwrap_or_default();
                assert!(message.starts_with("must ") && !message.contains("'^"), "{path}: {message}");
            }
        });
    }
}

#[test]
fn every_value_is_bounded() {
    each_node_of_all(|path, node| {
        if node["x-kubernetes-int-or-string"] == true {
            assert!(node["maxLength"].is_u64(), "{path}");
            return;
        }
        match node["type"].as_str() {
            Some("string") => assert!(node["maxLength"].is_u64(), "{path} has no maxLength"),
            Some("integer") => {
                assert!(node["minimum"].is_number() && node["maximum"].is_number(), "{path} has no bounds");
            }
            Some("array") => {
                assert!(node["maxItems"].is_u64(), "{path} has no maxItems");
                assert!(node["x-kubernetes-list-type"].is_string(), "{path} has no list type");
            }
            Some("object") => assert!(
                node["properties"].is_object() || node["maxProperties"].is_u64(),
                "{path} has no maxProperties"
            ),
            Some("boolean") => {}
            other => assert!(other.is_some(), "{path} has not exactly one type"),
        }
    });
}

#[test]
fn no_field_is_nullable_titled_floating_unsigned_or_open() {
    each_node_of_all(|path, node| {
        assert_ne!(node["type"], "number", "{path}");
        assert!(!node["format"].as_str().unwrap_or_default().starts_with("uint"), "{path}");
        for keyword in ["nullable", "title", "x-kubernetes-preserve-unknown-fields", "oneOf", "allOf", "$ref"]
        {
            assert!(node.get(keyword).is_none(), "{path} has {keyword}");
        }
    });
}

#[test]
fn every_rule_has_a_message_with_the_requirement() {
    each_node_of_all(|path, node| {
        for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(message.starts_with("must "), "{path}: '{message}'");
        }
    });
}

#[test]
fn a_new_object_is_seen_as_in_progress() {
    for crd in all().iter().filter(|crd| crd.kind != "CreditLedger") {
        assert_eq!(crd.schema()["properties"]["status"]["default"]["observedGeneration"], -1, "{}", crd.kind);
        assert!(crd.definition["spec"]["versions"][0]["subresources"]["status"].is_object(), "{}", crd.kind);
    }
}

#[test]
fn the_ledger_has_no_status_subresource() {
    let ledger = all().into_iter().find(|crd| crd.kind == "CreditLedger").expect("ledger");
    assert!(ledger.schema()["properties"].get("status").is_none());
    assert!(ledger.definition["spec"]["versions"][0]["subresources"].get("status").is_none());
    assert_eq!(ledger.schema()["properties"]["spec"]["x-kubernetes-map-type"], "atomic");
}

#[test]
fn short_names_are_unique_and_columns_fit() {
    let mut short_names: Vec<String> = Vec::new();
    for crd in all() {
        let names = &crd.definition["spec"]["names"];
        short_names.extend(names["shortNames"].as_array().expect("short names").iter().map(Value::to_string));
        assert_eq!(names["categories"], serde_json::json!(["flashgate"]));
        let columns = crd.definition["spec"]["versions"][0]["additionalPrinterColumns"].clone();
        let columns = columns.as_array().expect("columns");
        assert!(columns.iter().filter(|column| column["priority"].is_null()).count() <= 8, "{}", crd.kind);
        assert_eq!(columns.last().expect("column")["type"], "date", "{}", crd.kind);
    }
    let count = short_names.len();
    short_names.sort();
    short_names.dedup();
    assert_eq!(short_names.len(), count);
}

#[test]
fn every_definition_can_be_applied_by_kubectl() {
    for crd in all() {
        assert!(crd.definition.to_string().len() < LARGEST_APPLICABLE, "{}", crd.kind);
    }
}
