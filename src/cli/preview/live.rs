//! Reads the objects of an account that decide about changes: what is pending, and what the changes name.

use std::fmt;

use anyhow::Context as _;
use flashgate_api::fact::FactObject;
use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::preview::Changes;
use crate::simulate::resumed::LiveAccount;
use crate::simulate::step::Kind;

/// Objects of one page.
const PAGE: u32 = 500;

/// Returns the objects of the account of `changes`. The ledger is read last, so no other object is newer than it.
///
/// # Errors
/// When an object cannot be read.
pub async fn read(client: &Client, changes: &Changes) -> anyhow::Result<LiveAccount> {
    let reader = Reader { client, changes };
    let mut objects = Vec::new();
    reader.facts::<UsageReport>(Kind::UsageReport, &mut objects).await?;
    reader.facts::<CreditPack>(Kind::CreditPack, &mut objects).await?;
    reader.facts::<Payment>(Kind::Payment, &mut objects).await?;
    reader.facts::<CreditAdjustment>(Kind::CreditAdjustment, &mut objects).await?;
    if let Some(subscription) = reader.get::<Subscription>(&changes.name).await? {
        objects.push(serde_json::to_value(subscription)?);
    }
    let ledger = reader.get::<CreditLedger>(&changes.name).await?;
    Ok(LiveAccount { objects, ledger })
}

struct Reader<'a> {
    client: &'a Client,
    changes: &'a Changes,
}

impl Reader<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.changes.namespace)
    }

    async fn get<K>(&self, name: &str) -> anyhow::Result<Option<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + fmt::Debug + DeserializeOwned,
    {
        let found = self.api::<K>().get_opt(name).await;
        found.with_context(|| format!("cannot read {} {}/{name}", K::kind(&()), self.changes.namespace))
    }

    /// Adds the pending objects of the account, and those that the changes name.
    async fn facts<K>(&self, kind: Kind, objects: &mut Vec<Value>) -> anyhow::Result<()>
    where
        K: FactObject
            + Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let api = self.api::<K>();
        let mut names: Vec<&str> = self
            .changes
            .steps
            .iter()
            .filter(|step| step.key.kind == kind)
            .map(|step| step.key.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        let mut params = ListParams::default().fields(&K::pending_selector()).limit(PAGE);
        loop {
            let page = api.list(&params).await;
            let page = page.with_context(|| {
                format!("cannot list the {}s of namespace {}", K::kind(&()), self.changes.namespace)
            })?;
            for object in page.items {
                if object.subscription_name() == self.changes.name {
                    names.retain(|name| *name != object.name_any());
                    objects.push(serde_json::to_value(object)?);
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => break,
            }
        }
        for name in names {
            if let Some(object) = self.get::<K>(name).await? {
                objects.push(serde_json::to_value(object)?);
            }
        }
        Ok(())
    }
}
