//! The generated parts of the Helm chart: the templates of the CRDs, and the schema of the values.

use flashgate_api::definitions::{Crd, CrdError};
use serde_json::{Map, Value, json};

/// Text before the spec in the template of a CRD. The values determine whether Helm keeps the CRD at an
/// uninstall, and which annotations it has.
const ENVELOPE: &str = r#"{{- if .Values.crds.enabled }}
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: NAME
  labels:
    {{- include "flashgate-billing.labels" . | nindent 4 }}
  annotations:
    billing.flashgate.dev/generator: GENERATOR
    {{- if .Values.crds.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
    {{- with .Values.crds.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
"#;

/// Returns the chart's template of a definition.
///
/// # Errors
/// Returns the errors of [`Crd::yaml`].
pub fn template(crd: &Crd) -> Result<String, CrdError> {
    let failed = |source| CrdError::Serialize { kind: crd.kind.clone(), source };
    let metadata = &crd.definition["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let envelope = ENVELOPE
        .replace("NAME", &text(&metadata["name"]))
        .replace("GENERATOR", &text(&metadata["annotations"]["billing.flashgate.dev/generator"]));
    let specification = serde_yaml::to_string(&json!({ "spec": crd.definition["spec"] }))
        .map_err(|source| failed(source.into()))?;
    Ok(format!("{envelope}{}{{{{- end }}}}\n", literal(&specification)))
}

/// Returns a text that a template prints unchanged.
fn literal(text: &str) -> String {
    text.replace("{{", r#"{{ "{{" }}"#)
}

/// Returns the JSON Schema of the chart's values: `written`, in YAML, with the catalog's schema as `$defs.Catalog`
/// and the names of `alerts` as `$defs.Alert`.
///
/// # Errors
/// Returns an error if `written` is not YAML.
pub fn values_schema(written: &str, catalog: &Value, alerts: &[String]) -> Result<String, CrdError> {
    let failed = |source| CrdError::Serialize { kind: "values".to_owned(), source };
    let mut schema: Value = serde_yaml::from_str(written).map_err(|source| failed(source.into()))?;
    let mut catalog = catalog.clone();
    // The definitions of both schemas are in one map, so references in the catalog's schema stay valid.
    let of_catalog = catalog.as_object_mut().map(take_definitions).unwrap_or_default();
    if let Some(definitions) = schema["$defs"].as_object_mut() {
        definitions.extend(of_catalog);
        definitions.insert("Catalog".to_owned(), catalog);
        definitions.insert("Alert".to_owned(), json!({ "enum": alerts }));
    }
    let text = serde_json::to_string_pretty(&schema).map_err(|source| failed(source.into()))?;
    Ok(text + "\n")
}

/// Returns the names of the alerts in a file of Prometheus rules.
///
/// # Errors
/// Returns an error if it is not YAML.
pub fn alerts(rules: &str) -> Result<Vec<String>, CrdError> {
    let rules: Value = serde_yaml::from_str(rules)
        .map_err(|source| CrdError::Serialize { kind: "alerts".to_owned(), source: source.into() })?;
    let groups = rules["groups"].as_array().into_iter().flatten();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    Ok(rules.filter_map(|rule| rule["alert"].as_str().map(str::to_owned)).collect())
}

/// Removes the definitions from a schema, and the keywords that only a root schema has.
fn take_definitions(schema: &mut Map<String, Value>) -> Map<String, Value> {
    schema.remove("$schema");
    match schema.remove("$defs") {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use flashgate_api::definitions::crds;

    use super::*;

    #[test]
    fn a_template_prints_braces_unchanged() {
        assert_eq!(literal("a {{b}} c"), r#"a {{ "{{" }}b}} c"#);
        assert_eq!(literal("{b}"), "{b}");
    }

    #[test]
    fn a_template_contains_the_whole_definition_and_can_be_disabled() {
        for crd in crds().expect("definitions") {
            let template = template(&crd).expect("template");
            assert!(template.starts_with("{{- if .Values.crds.enabled }}\n"), "{template}");
            assert!(template.ends_with("{{- end }}\n"), "{template}");
            let (_, specification) = template.split_once("\nspec:").expect("specification");
            let specification = format!("spec:{}", specification.trim_end_matches("{{- end }}\n"));
            let read: Value =
                serde_yaml::from_str(&specification.replace(r#"{{ "{{" }}"#, "{{")).expect("YAML");
            assert_eq!(read["spec"], crd.definition["spec"], "{}", crd.kind);
            assert!(template.contains(&format!("  name: {}.billing.flashgate.dev\n", crd.plural)));
        }
    }

    #[test]
    fn definitions_of_the_catalog_never_hide_those_of_the_values() {
        let written = include_str!("../../charts/values.schema.yaml");
        let catalog: Value =
            serde_json::from_str(include_str!("../../docs/reference/catalog.schema.json")).expect("schema");
        let own: Value = serde_yaml::from_str(written).expect("schema");
        for name in own["$defs"].as_object().expect("definitions").keys() {
            assert!(catalog["$defs"].get(name).is_none(), "{name} has two meanings");
        }
        let merged: Value =
            serde_json::from_str(&values_schema(written, &catalog, &["A".to_owned()]).expect("schema"))
                .expect("JSON");
        assert_eq!(merged["$defs"]["Catalog"]["required"], json!(["currency", "plans"]));
        assert!(merged["$defs"]["Plan"].is_object());
        assert_eq!(merged["$defs"]["Alert"]["enum"], json!(["A"]));
    }
}
