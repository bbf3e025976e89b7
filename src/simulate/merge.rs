//! The object that `kubectl apply` sends for a manifest.

use serde_json::{Map, Value};

/// Annotation with the manifest that was applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Returns the object that results when `manifest` is applied to `live`: fields of the manifest replace those of the
/// object, fields that only the last manifest had are removed, and all others stay. Lists are replaced as a whole, as for
/// every custom resource.
pub(super) fn merged(live: &Value, manifest: &Value) -> Value {
    let last = live.pointer("/metadata/annotations").and_then(|annotations| annotations.get(LAST_APPLIED));
    let last = last.and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok());
    merge(live, &last.unwrap_or_default(), manifest)
}

fn merge(live: &Value, last: &Value, manifest: &Value) -> Value {
    let (Value::Object(live), Value::Object(fields)) = (live, manifest) else { return manifest.clone() };
    let is_removed = |name: &str| last.get(name).is_some() && !fields.contains_key(name);
    let mut result: Map<String, Value> = live.clone();
    result.retain(|name, _| !is_removed(name));
    for (name, value) in fields {
        // A field that is null is removed.
        if value.is_null() {
            result.remove(name);
            continue;
        }
        let none = Value::Null;
        let before = (live.get(name).unwrap_or(&none), last.get(name).unwrap_or(&none));
        result.insert(name.clone(), merge(before.0, before.1, value));
    }
    Value::Object(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_others_stay_and_fields_that_left_the_manifest_go() {
        let last = json!({"spec": {"plan": "starter", "renewal": "None"}}).to_string();
        let live = json!({
            "metadata": {"name": "acme", "annotations": {LAST_APPLIED: last, "team": "a"}},
            "spec": {"plan": "starter", "renewal": "None", "billingPeriod": "Monthly", "list": [1, 2]},
        });
        let manifest = json!({"metadata": {"name": "acme"}, "spec": {"plan": "growth", "list": [3]}});
        let merged = merged(&live, &manifest);
        assert_eq!(
            merged["spec"],
            json!({"plan": "growth", "billingPeriod": "Monthly", "list": [3]}),
            "the default stays, and `renewal` goes"
        );
        assert_eq!(merged["metadata"]["annotations"]["team"], "a");
    }

    #[test]
    fn a_null_removes_its_field() {
        let live = json!({"spec": {"plan": "starter", "startTime": "2026-01-01T00:00:00Z"}});
        let manifest = json!({"spec": {"plan": "starter", "startTime": null}});
        assert_eq!(merged(&live, &manifest), json!({"spec": {"plan": "starter"}}));
    }
}
