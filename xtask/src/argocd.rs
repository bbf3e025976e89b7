//! The settings of the kinds in Argo CD's `argocd-cm`, generated from `resource_customizations/`, which has Argo CD's own
//! layout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flashgate_api::GROUP;

/// Fields that each charge changes and that do not affect health or comparison. Argo CD ignores them; otherwise
/// each charge would refresh the Application. Conditions are not ignored, because they determine the health.
const CHURN: [(&str, &str); 2] = [
    ("CreditLedger", "jsonPointers:\n- /spec\n"),
    (
        "Subscription",
        r#"jsonPointers:
- /status/credits
- /status/forecast
- /status/gate/worstOvershoot
- /status/ledger
- /status/thisPeriod
jqPathExpressions:
- .status.conditions[]? | select(.type == "CreditsLow" or .type == "CreditsExhausted") | .message
"#,
    ),
];

/// A link to the chart's dashboard for tenants.
const LINKS: &str = r#"- title: Credits
  description: Balance, burn-down and forecast of the account
  icon.class: fa-chart-line
  url: https://grafana.example.org/d/flashgate-billing-tenant?var-namespace={{ .resource.metadata.namespace }}&var-account={{ .resource.metadata.name }}
  if: resource.kind == "Subscription" && resource.apiVersion startsWith "billing.flashgate.dev/"
"#;

/// Text before the data of the `ConfigMap`.
const CONFIG_MAP: &str = "\
# Settings of the kinds for Argo CD: health checks, actions of a Subscription, ignored status updates, and a link.
# Generated from resource_customizations/ by `make generate`. Set the host of your Grafana, and apply it:
#
#   kubectl apply --server-side -f argocd-cm.yaml
#
# `resource.links` is one list for all of Argo CD. With links of your own, add this one to them.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
";

/// Text before the values.
const HELM_VALUES: &str = "\
# The same as argocd-cm.yaml, for an Argo CD that was installed by its Helm chart: values of `argo/argo-cd`.
# Generated from resource_customizations/ by `make generate`.
configs:
  cm:
";

/// The error for a file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read {}", path.display())]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

/// The settings of one kind in `argocd-cm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customization {
    /// The kind.
    pub kind: String,
    /// Script that returns the health of an object.
    pub health: String,
    /// Actions on an object.
    pub actions: Option<Actions>,
}

/// The actions on an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actions {
    /// Script that returns the available actions.
    pub discovery: String,
    /// Names and scripts of the actions.
    pub definitions: Vec<(String, String)>,
}

/// Returns the settings of the kinds in a folder of Argo CD's layout, by name.
///
/// # Errors
/// Returns an error if a file of the layout is missing or is not text.
pub fn customizations(folder: &Path) -> Result<Vec<Customization>, ReadError> {
    let group = folder.join(GROUP);
    let kinds = folders(&group)?;
    let customization = |kind: String| {
        let folder = group.join(&kind);
        let actions = folder.join("actions");
        Ok(Customization {
            health: script(&folder.join("health.lua"))?,
            actions: actions.is_dir().then(|| read_actions(&actions)).transpose()?,
            kind,
        })
    };
    kinds.into_iter().map(customization).collect()
}

fn read_actions(folder: &Path) -> Result<Actions, ReadError> {
    let names = folders(folder)?.into_iter().filter(|name| name != "testdata");
    let definition = |name: String| Ok((name.clone(), script(&folder.join(name).join("action.lua"))?));
    Ok(Actions {
        discovery: script(&folder.join("discovery.lua"))?,
        definitions: names.map(definition).collect::<Result<_, _>>()?,
    })
}

fn script(file: &Path) -> Result<String, ReadError> {
    fs::read_to_string(file).map_err(|source| ReadError { path: file.to_owned(), source })
}

/// Returns the sorted names of the folders in a folder.
fn folders(folder: &Path) -> Result<Vec<String>, ReadError> {
    let failed = |source| ReadError { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Returns the `ConfigMap`: `examples/argocd/argocd-cm.yaml`.
#[must_use]
pub fn config_map(customizations: &[Customization]) -> String {
    CONFIG_MAP.to_owned() + &indented(&settings(customizations), 2)
}

/// Returns the values for Argo CD's Helm chart: `examples/argocd/argocd-values.yaml`.
#[must_use]
pub fn helm_values(customizations: &[Customization]) -> String {
    HELM_VALUES.to_owned() + &indented(&settings(customizations), 4)
}

/// Returns the settings as keys with texts.
fn settings(customizations: &[Customization]) -> String {
    let health = customizations.iter().map(|Customization { kind, health, .. }| {
        setting(&format!("resource.customizations.health.{GROUP}_{kind}"), health)
    });
    let actions = customizations.iter().filter_map(|Customization { kind, actions, .. }| {
        Some(setting(
            &format!("resource.customizations.actions.{GROUP}_{kind}"),
            &definitions(actions.as_ref()?),
        ))
    });
    let churn = CHURN.iter().map(|(kind, fields)| {
        setting(&format!("resource.customizations.ignoreResourceUpdates.{GROUP}_{kind}"), fields)
    });
    health.chain(actions).chain(churn).chain([setting("resource.links", LINKS)]).collect()
}

/// Returns actions in the form of the `ConfigMap`.
fn definitions(actions: &Actions) -> String {
    let Actions { discovery, definitions } = actions;
    let definitions = definitions.iter().map(|(name, script)| {
        let script = indented(&setting("action.lua", script), 2);
        format!("- name: {name}\n{script}")
    });
    format!("{}definitions:\n{}", setting("discovery.lua", discovery), definitions.collect::<String>())
}

/// Returns a YAML key with a block of lines.
fn setting(key: &str, text: &str) -> String {
    format!("{key}: |\n{}", indented(text, 2))
}

/// Returns a text with `spaces` before each line that is not empty.
fn indented(text: &str, spaces: usize) -> String {
    let indent = " ".repeat(spaces);
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn committed() -> Vec<Customization> {
        customizations(&crate::root().join("resource_customizations")).expect("the layout")
    }

    fn parsed(text: &str) -> Value {
        serde_yaml::from_str(text).expect("YAML")
    }

    #[test]
    fn the_settings_contain_each_script_unchanged() {
        let map = parsed(&config_map(&committed()));
        let committed = committed();
        assert_eq!(committed.len(), 7);
        for Customization { kind, health, actions } in committed {
            let of =
                |what: &str| map["data"][format!("resource.customizations.{what}.{GROUP}_{kind}")].clone();
            assert_eq!(of("health"), json!(health), "{kind}");
            let Some(Actions { discovery, definitions }) = actions else {
                assert!(of("actions").is_null(), "{kind}");
                continue;
            };
            let actions = parsed(of("actions").as_str().expect("actions"));
            assert_eq!(actions["discovery.lua"], json!(discovery), "{kind}");
            let action = |(name, script)| json!({"name": name, "action.lua": script});
            let definitions: Vec<Value> = definitions.into_iter().map(action).collect();
            assert_eq!(actions["definitions"], json!(definitions), "{kind}");
        }
    }

    #[test]
    fn both_forms_hold_the_same_settings() {
        let (map, values) = (parsed(&config_map(&committed())), parsed(&helm_values(&committed())));
        assert_eq!(map["data"], values["configs"]["cm"]);
    }

    #[test]
    fn the_ignored_fields_exist_in_the_definitions() {
        for crd in super::super::crds().expect("definitions") {
            for (_, fields) in CHURN.iter().filter(|(kind, _)| *kind == crd.kind) {
                for pointer in parsed(fields)["jsonPointers"].as_array().expect("pointers") {
                    let path = pointer.as_str().expect("text").replace('/', "/properties/");
                    assert!(crd.schema().pointer(&path).is_some(), "{} has no {pointer}", crd.kind);
                }
            }
        }
    }
}
