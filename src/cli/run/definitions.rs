//! Compares the CRDs in the cluster with those of this program.

use std::collections::BTreeSet;
use std::time::Duration;

use flashgate_api::API_VERSION;
use flashgate_api::definitions::crds;
use kube::Client;
use serde_json::Value;

/// The remedy for CRDs of another version.
const REMEDY: &str = "apply the definitions of this version (`crds/`, or the chart with `crds.enabled`)";

/// Path of the API server's `OpenAPI` schemas, which every authenticated client may read.
const SCHEMAS: &str = "/openapi/v3/apis/";

/// Number of reads of the schemas before something is reported as missing, and the pause between. An API server
/// publishes the schemas of new CRDs after some seconds, and they may have been applied together with this
/// program.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(3);

/// Logs the kinds and fields of this program that the cluster does not know. The API server drops such fields,
/// or refuses writes with strict validation. No wrong value is written, but features that need the fields may
/// not work.
pub async fn log_missing_fields(client: Client) {
    let mut missing_fields = Ok(Vec::new());
    for look in 0..ATTEMPTS {
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        missing_fields = fetch_schemas(&client).await.map(|schemas| missing(&schemas));
        if missing_fields.as_ref().is_ok_and(Vec::is_empty) {
            return;
        }
    }
    let missing_fields = match missing_fields {
        Ok(missing_fields) => missing_fields,
        Err(error) => {
            let error: &dyn std::error::Error = &*error;
            tracing::warn!(error, "the definitions in the cluster could not be compared with this program's");
            return;
        }
    };
    for (kind, missing) in missing_fields {
        let fields = missing.join(", ");
        if fields.is_empty() {
            tracing::error!(kind, "the cluster does not know this kind; {REMEDY}");
        } else {
            tracing::error!(kind, fields, "the cluster's definition is older than this program; {REMEDY}");
        }
    }
}

async fn fetch_schemas(client: &Client) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
    let request = http::Request::get(format!("{SCHEMAS}{API_VERSION}")).body(Vec::new())?;
    match client.request::<Value>(request).await {
        Ok(schemas) => Ok(schemas),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Value::Null),
        Err(error) => Err(error.into()),
    }
}

/// Returns the kinds with missing fields, each with these fields. The list is empty if the kind itself is
/// missing.
fn missing(schemas: &Value) -> Vec<(String, Vec<String>)> {
    let name = |kind: &str| {
        let (group, version) = API_VERSION.split_once('/').unwrap_or((API_VERSION, ""));
        let reversed: Vec<&str> = group.split('.').rev().collect();
        format!("{}.{version}.{kind}", reversed.join("."))
    };
    let of_kind = |kind: &str| schemas.pointer("/components/schemas")?.get(name(kind));
    let mut found = Vec::new();
    for crd in crds().unwrap_or_default() {
        let Some(held) = of_kind(&crd.kind) else {
            found.push((crd.kind, Vec::new()));
            continue;
        };
        let held = fields(held);
        let missing_fields: Vec<String> = fields(crd.schema()).difference(&held).cloned().collect();
        if !missing_fields.is_empty() {
            found.push((crd.kind, missing_fields));
        }
    }
    found
}

/// Returns the paths of all fields that a schema knows.
fn fields(schema: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    collect(schema, "", &mut paths);
    paths
}

fn collect(schema: &Value, path: &str, paths: &mut BTreeSet<String>) {
    for (name, below) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(below, &path, paths);
        paths.insert(path);
    }
    if let Some(items) = schema.get("items") {
        collect(items, &format!("{path}[]"), paths);
    }
    if let Some(values) = schema.get("additionalProperties") {
        collect(values, &format!("{path}{{}}"), paths);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Returns the schemas of an API server with the CRDs of this program.
    fn schemas() -> Value {
        let crds = crds().expect("definitions");
        let schemas = crds
            .iter()
            .map(|crd| (format!("dev.flashgate.billing.v1alpha1.{}", crd.kind), crd.schema().clone()));
        json!({"components": {"schemas": schemas.collect::<serde_json::Map<_, _>>()}})
    }

    #[test]
    fn crds_of_this_program_have_no_missing_fields() {
        assert_eq!(missing(&schemas()), []);
    }

    #[test]
    fn a_field_and_a_kind_that_the_cluster_does_not_know_are_named() {
        let mut schemas = schemas();
        let known = schemas["components"]["schemas"].as_object_mut().expect("schemas");
        known.remove("dev.flashgate.billing.v1alpha1.Payment").expect("known");
        let ledger = &mut known["dev.flashgate.billing.v1alpha1.CreditLedger"];
        let period = ledger.pointer_mut("/properties/spec/properties/period/properties").expect("period");
        period.as_object_mut().expect("fields").remove("number").expect("known");
        let missing = missing(&schemas);
        let missing_fields =
            |kind: &str| missing.iter().find(|(of, _)| of == kind).map(|(_, fields)| fields.as_slice());
        assert_eq!(missing_fields("CreditLedger"), Some(["spec.period.number".to_owned()].as_slice()));
        assert_eq!(missing_fields("Payment"), Some([].as_slice()));
        assert_eq!(missing.len(), 2, "{missing:?}");
    }
}
