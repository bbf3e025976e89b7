//! The API calls of the meter, by a Kubernetes client.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use flashgate_api::usage_meter::{METER_LABEL, MeterReport};
use flashgate_api::{AccountKey, CreditLedger, UsageMeter, UsageMeterStatus, UsageReport};
use jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cluster::{CallError, Cluster, Creation};

/// Field manager that the API server stores in `managedFields`.
pub const FIELD_MANAGER: &str = "flashgate-meter";

/// Time limit of one call.
const LIMIT: Duration = Duration::from_secs(30);

/// Number of objects in one page of a list.
const PAGE: u32 = 500;

/// The API server.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    namespaces: Vec<String>,
}

impl Kubernetes {
    /// Returns the API server of `client`. Lists of all namespaces are limited to `namespaces` unless that is empty.
    #[must_use]
    pub const fn new(client: Client, namespaces: Vec<String>) -> Self {
        Self { client, namespaces }
    }

    /// Returns the namespaces of a list of one namespace or of all, each of which is a list of its own.
    #[must_use]
    pub fn lists<'a>(&'a self, namespace: Option<&'a str>) -> Vec<Option<&'a str>> {
        match namespace {
            Some(namespace) => vec![Some(namespace)],
            None if self.namespaces.is_empty() => vec![None],
            None => self.namespaces.iter().map(|namespace| Some(namespace.as_str())).collect(),
        }
    }

    /// Returns the objects of a kind in a namespace or in all.
    #[must_use]
    pub fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// Writes the status of a meter.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn write_status(&self, meter: &UsageMeter, status: &UsageMeterStatus) -> Result<(), CallError> {
        let (namespace, name) = (meter.namespace().unwrap_or_default(), meter.name_any());
        let api = self.api::<UsageMeter>(Some(&namespace));
        let object = json!({
            "apiVersion": flashgate_api::API_VERSION, "kind": "UsageMeter",
            "metadata": {"uid": meter.uid()}, "status": status,
        });
        let patch = Patch::Apply(object);
        let writes = PatchParams::apply(FIELD_MANAGER).force();
        limited(
            &format!("write the status of UsageMeter {namespace}/{name}"),
            api.patch_status(&name, &writes, &patch),
        )
        .await
        .map(|_| ())
    }
}

impl Cluster for Kubernetes {
    async fn reports(&self, meter: &str, namespace: Option<&str>) -> Result<Vec<MeterReport>, CallError> {
        let list = ListParams::default().labels(&format!("{METER_LABEL}={meter}"));
        let call = format!("list UsageReports of meter {meter}");
        let mut reports = Vec::new();
        for namespace in self.lists(namespace) {
            let api = self.api::<UsageReport>(namespace);
            let found = paged(&call, list.clone(), async |page| api.list_metadata(&page).await).await?;
            reports.extend(found.iter().filter_map(|report| MeterReport::of(&report.metadata)));
        }
        Ok(reports)
    }

    async fn rejected(&self, meter: &str, namespace: Option<&str>) -> Result<Vec<UsageReport>, CallError> {
        let list =
            ListParams::default().labels(&format!("{METER_LABEL}={meter}")).fields("status.state=Rejected");
        let call = format!("list rejected UsageReports of meter {meter}");
        let mut reports = Vec::new();
        for namespace in self.lists(namespace) {
            let api = self.api::<UsageReport>(namespace);
            reports.extend(paged(&call, list.clone(), async |page| api.list(&page).await).await?);
        }
        Ok(reports)
    }

    async fn report(&self, namespace: &str, name: &str) -> Result<Option<UsageReport>, CallError> {
        let api = self.api(Some(namespace));
        limited(&format!("get UsageReport {namespace}/{name}"), api.get_opt(name)).await
    }

    async fn create(&self, report: &UsageReport) -> Result<Creation, CallError> {
        let namespace = report.namespace().unwrap_or_default();
        let call = format!("create UsageReport {namespace}/{}", report.name_any());
        let api = self.api::<UsageReport>(Some(&namespace));
        let writes = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let creation = async {
            match api.create(&writes, report).await {
                Ok(_) => Ok(Creation::Created),
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Creation::Existed),
                Err(error) => Err(error),
            }
        };
        limited(&call, creation).await
    }

    async fn covered_until(
        &self,
        account: &AccountKey,
        source: &str,
    ) -> Result<Option<Timestamp>, CallError> {
        let api = self.api::<CreditLedger>(Some(&account.namespace));
        let ledger = limited(&format!("get CreditLedger {account}"), api.get_opt(&account.name)).await?;
        Ok(ledger.and_then(|ledger| ledger.spec.covered_until(source)))
    }
}

/// Makes a call with a time limit.
async fn limited<T>(call: &str, made: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    let failed = |detail: String| CallError { call: call.to_owned(), detail };
    match tokio::time::timeout(LIMIT, made).await {
        Ok(made) => made.map_err(|error| failed(detail(&error))),
        Err(_) => Err(failed(format!("no answer within {} seconds", LIMIT.as_secs()))),
    }
}

/// Returns what an error says: the message of the API server if there is one.
#[must_use]
pub fn detail(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Makes the calls of a list in pages.
async fn paged<T, F>(
    call: &str,
    mut list: ListParams,
    page: impl Fn(ListParams) -> F,
) -> Result<Vec<T>, CallError>
where
    T: Clone + Debug + DeserializeOwned,
    F: Future<Output = Result<kube::core::ObjectList<T>, kube::Error>>,
{
    list.limit = Some(PAGE);
    let mut all = Vec::new();
    loop {
        let found = limited(call, page(list.clone())).await?;
        all.extend(found.items);
        match found.metadata.continue_ {
            Some(next) if !next.is_empty() => list.continue_token = Some(next),
            _ => return Ok(all),
        }
    }
}
