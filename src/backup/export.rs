//! Writes the objects of a cluster to a backup.

use kube::Client;
use kube::api::{DynamicObject, ListParams};
use kube::core::ApiResource;
use serde_json::Value;

use super::archive::{ArchiveError, Writer};
use super::{objects, resources};

/// Objects of one page of a list. It bounds the memory: an object has at most 1.5 MiB.
const PAGE: u32 = 50;

/// Metadata that has no meaning in another cluster.
const OF_THE_CLUSTER: [&str; 3] = ["managedFields", "resourceVersion", "selfLink"];

/// Why a backup could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A list failed.
    #[error("{kind} cannot be listed in {}", .namespace.as_deref().unwrap_or("all namespaces"))]
    List {
        /// The kind.
        kind: String,
        /// The namespace, or `None` for all.
        namespace: Option<String>,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// The file could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Adds every object of [`resources`] in `namespaces` to a backup. Without namespaces, adds those of all.
///
/// # Errors
/// When a list fails or the file cannot be written.
pub async fn export(client: &Client, namespaces: &[String], writer: &mut Writer) -> Result<(), ExportError> {
    let places: Vec<Option<&str>> = match namespaces {
        [] => vec![None],
        named => named.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    for resource in resources() {
        for place in &places {
            add_all(client, &resource, *place, writer).await?;
        }
    }
    Ok(())
}

async fn add_all(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    writer: &mut Writer,
) -> Result<(), ExportError> {
    let api = objects(client, resource, namespace);
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(|source| ExportError::List {
            kind: resource.kind.clone(),
            namespace: namespace.map(str::to_owned),
            source: Box::new(source),
        })?;
        for object in &page.items {
            writer.add(&resource.kind, &portable(resource, object))?;
        }
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            _ => return Ok(()),
        }
    }
}

/// Returns an object in the form of a backup: with its kind, and without the metadata of this cluster.
fn portable(resource: &ApiResource, object: &DynamicObject) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = resource.api_version.clone().into();
    value["kind"] = resource.kind.clone().into();
    if let Some(metadata) = value["metadata"].as_object_mut() {
        for field in OF_THE_CLUSTER {
            metadata.remove(field);
        }
    }
    value
}
