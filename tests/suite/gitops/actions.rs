//! Argo CD's resource actions on a Subscription.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::states::{KINDS, STATES, named};
use super::{customizations, verdicts, yaml};

/// Actions with the recorded state that they start from, and the file with the expected result.
pub const RESULTS: [(&str, &str, &str); 2] = [
    ("stop-renewal", "in_force", "testdata/stopped.yaml"),
    ("resume-renewal", "not_renewing", "testdata/resumed.yaml"),
];

/// Returns the value of `spec.renewal` after an action. An action changes nothing else.
pub fn renewal_after(action: &str) -> &'static str {
    if action == "stop-renewal" { "None" } else { "Automatic" }
}

/// Returns the folder of the actions.
pub fn folder() -> PathBuf {
    customizations("Subscription").join("actions")
}

fn script(name: &str) -> String {
    folder().join(name).display().to_string()
}

/// Returns the output of an action's script for a file.
fn acted(action: &str, file: PathBuf) -> Value {
    verdicts(&["lua", &script(&format!("{action}/action.lua"))], &[file]).remove(0)
}

#[test]
fn every_discovery_test_of_the_layout_passes() {
    let tests = yaml(&folder().join("action_test.yaml"));
    let tests = tests["discoveryTests"].as_array().expect("tests").clone();
    assert_eq!(tests.len(), 4);
    for test in tests {
        let input = folder().join(test["inputPath"].as_str().expect("path"));
        let found = verdicts(&["lua", &script("discovery.lua")], &[input]).remove(0);
        let actions = test["result"].as_array().expect("result").iter().map(|action| {
            let mut action = action.clone();
            let name = action.as_object_mut().expect("action").remove("name").expect("name");
            // Argo CD omits actions that are not disabled.
            action["disabled"] = json!(action["disabled"] == true);
            (name.as_str().expect("name").to_owned(), action)
        });
        assert_eq!(found, Value::Object(actions.collect()), "{}", test["inputPath"]);
    }
}

#[test]
fn every_action_test_of_the_layout_passes() {
    let tests = yaml(&folder().join("action_test.yaml"));
    let tests = tests["actionTests"].as_array().expect("tests").clone();
    assert_eq!(tests.len(), RESULTS.len() + 2);
    for test in tests {
        let text = |field: &str| test[field].as_str();
        let action = text("action").expect("action");
        let returned = acted(action, folder().join(text("inputPath").expect("path")));
        let expected = match text("expectedErrorMessage") {
            Some(message) => json!({"error": message}),
            None => yaml(&folder().join(text("expectedOutputPath").expect("path"))),
        };
        assert_eq!(without_empty(returned), without_empty(expected), "{action} {}", test["inputPath"]);
    }
}

/// Removes empty tables. Lua has one type of empty table, and Argo CD restores the original type.
fn without_empty(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for field in fields.values_mut() {
                *field = without_empty(field.take());
            }
            fields.retain(|_, field| *field != json!([]) && *field != json!({}));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = without_empty(item.take())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    value
}

#[test]
fn no_action_can_start_a_period_and_buy_one() {
    for state in STATES.iter().filter(|state| state.kind == "Subscription") {
        let returned = acted("resume-renewal", state.file());
        let may_resume = state.name == named("Subscription", "not_renewing").name;
        assert_eq!(returned["error"].is_null(), may_resume, "{}: {returned}", state.name);
    }
}

#[test]
fn only_a_subscription_has_actions() {
    let with_actions = KINDS.iter().filter(|kind| customizations(kind).join("actions").exists());
    assert_eq!(with_actions.collect::<Vec<_>>(), [&"Subscription"]);
}
