//! The API calls of the meter, by a Kubernetes client.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use flashgate_api::usage_meter::METER_LABEL;
use flashgate_api::{AccountKey, CreditLedger, UsageMeter, UsageMeterStatus, UsageReport};
use jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cluster::{CallError, Cluster, Creation};
use crate::cursor::ReportMetadata;

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
}

impl Kubernetes {
    /// Returns the API server of `client`.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    fn api<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}

impl Cluster for Kubernetes {
    async fn reports(&self, meter: &str, namespace: Option<&str>) -> Result<Vec<ReportMetadata>, CallError> {
        let api = self.api::<UsageReport>(namespace);
        let list = ListParams::default().labels(&format!("{METER_LABEL}={meter}"));
        let call = format!("list UsageReports of meter {meter}");
        let pages = paged(&call, list, async |page| api.list_metadata(&page).await);
        Ok(pages.await?.iter().filter_map(|report| ReportMetadata::of(&report.metadata)).collect())
    }

    async fn rejected(&self, meter: &str, namespace: Option<&str>) -> Result<Vec<UsageReport>, CallError> {
        let api = self.api::<UsageReport>(namespace);
        let list =
            ListParams::default().labels(&format!("{METER_LABEL}={meter}")).fields("status.state=Rejected");
        let call = format!("list rejected UsageReports of meter {meter}");
        paged(&call, list, async |page| api.list(&page).await).await
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

    async fn write_status(&self, meter: &UsageMeter, status: &UsageMeterStatus) -> Result<(), CallError> {
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

/// Makes a call with a time limit.
async fn limited<T>(call: &str, made: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    let failed = |detail: String| CallError { call: call.to_owned(), detail };
    match tokio::time::timeout(LIMIT, made).await {
        Ok(made) => made.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {} seconds", LIMIT.as_secs()))),
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
