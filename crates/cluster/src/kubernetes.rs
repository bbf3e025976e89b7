//! The implementation of the trait by a Kubernetes client.

pub mod pages;

use std::sync::Arc;
use std::time::Duration;

use flashgate_api::event::Event;
use flashgate_api::usage_meter::MeterReport;
use flashgate_api::{CreditLedger, UsageReport};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as StoredEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Status};
use kube::api::{DeleteParams, PartialObjectMeta, PostParams, Preconditions, Request};
use kube::client::Body;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::pages::{Lister, Listing};
use crate::clock::Clock;
use crate::server_clock::ServerClock;
use crate::trimmed::Trimmed;
use crate::{CallError, Cluster, Cursor, EventObject, Kind, SettledReport, SettledReports, Version};

/// Field manager of the operator, which the API server stores in `managedFields`.
pub const FIELD_MANAGER: &str = "flashgate-billing";

/// Time limit of one call. The client library has no limit for replies, so a call without a reply would block
/// its account permanently.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);

/// The API server.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    clock: Clock,
    namespaces: Vec<String>,
    instance: String,
    server_clock: Arc<ServerClock>,
    lister: Lister,
}

impl Kubernetes {
    /// Returns the cluster of `client`, limited to `namespaces` unless the list is empty.
    #[must_use]
    pub fn new(client: Client, clock: Clock, namespaces: Vec<String>, instance: String) -> Self {
        let server_clock = Arc::new(ServerClock::new(clock.clone()));
        let lister = Lister::new(client.clone());
        Self { client, clock, namespaces, instance, server_clock, lister }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        call: &str,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<T, CallError> {
        let call = || call.to_owned();
        let request =
            request.map_err(|source| CallError::Transport { call: call(), source: source.into() })?;
        let exchange = async {
            let response = self
                .client
                .send(request.map(Body::from))
                .await
                .map_err(|source| CallError::Transport { call: call(), source: source.into() })?;
            self.note_clock(response.headers());
            let (code, retry_after) = (response.status(), retry_after(response.headers()));
            let bytes = response
                .into_body()
                .collect()
                .await
                .map_err(|source| CallError::Transport { call: call(), source: source.into() })?
                .to_bytes();
            if code.is_success() {
                serde_json::from_slice(&bytes).map_err(|source| CallError::Decode { call: call(), source })
            } else {
                Err(refusal(call(), code.as_u16(), retry_after, &bytes))
            }
        };
        tokio::time::timeout(CALL_LIMIT, exchange)
            .await
            .unwrap_or_else(|_| Err(CallError::TimedOut { call: call(), limit: CALL_LIMIT }))
    }

    /// Reads the server's time from the Date header of a reply, which has whole seconds.
    fn note_clock(&self, headers: &http::HeaderMap) {
        let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
            self.server_clock.note_reply(date.timestamp());
        }
    }

    /// Reads one object, and keeps only the fields that the operator reads.
    async fn call_for<K: Kind>(
        &self,
        call: &str,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<K, CallError> {
        let Trimmed(object) = self.call(call, request).await?;
        object.map_err(|undecoded| CallError::Decode {
            call: call.to_owned(),
            source: serde::de::Error::custom(undecoded),
        })
    }
}

impl Cluster for Kubernetes {
    async fn fetch<K: Kind>(&self, namespace: &str, name: &str) -> Result<K, CallError> {
        let request =
            Request::new(K::url_path(&(), Some(namespace))).get(name, &kube::api::GetParams::default());
        self.call_for(&format!("get {} {namespace}/{name}", K::kind(&())), request).await
    }

    async fn create_ledger(&self, ledger: &CreditLedger) -> Result<CreditLedger, CallError> {
        let namespace = ledger.namespace().unwrap_or_default();
        let call = format!("create CreditLedger {namespace}/{}", ledger.name_any());
        let body = encode(&call, ledger)?;
        let url = CreditLedger::url_path(&(), Some(&namespace));
        self.call(&call, Request::new(url).create(&writes(), body).map(strict)).await
    }

    async fn replace_ledger(&self, ledger: &CreditLedger) -> Result<CreditLedger, CallError> {
        let (namespace, name) = (ledger.namespace().unwrap_or_default(), ledger.name_any());
        let call = format!("replace CreditLedger {namespace}/{name}");
        let body = encode(&call, ledger)?;
        let url = CreditLedger::url_path(&(), Some(&namespace));
        self.call(&call, Request::new(url).replace(&name, &writes(), body).map(strict)).await
    }

    async fn replace_status<K: Kind, S: Serialize + Sync>(
        &self,
        version: &Version,
        status: &S,
    ) -> Result<K, CallError> {
        let Version { namespace, name, uid, resource_version } = version;
        let call = format!("replace status of {} {namespace}/{name}", K::kind(&()));
        let object = serde_json::json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": resource_version},
            "status": status,
        });
        let body = encode(&call, &object)?;
        let request = Request::new(K::url_path(&(), Some(namespace)));
        self.call_for(&call, request.replace_subresource("status", name, &writes(), body)).await
    }

    async fn delete_report(&self, version: &Version) -> Result<(), CallError> {
        let Version { namespace, name, uid, resource_version } = version;
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.clone()),
                resource_version: Some(resource_version.clone()),
            }),
            ..DeleteParams::default()
        };
        let request = Request::new(UsageReport::url_path(&(), Some(namespace))).delete(name, &params);
        let reply: Result<serde_json::Value, _> =
            self.call(&format!("delete UsageReport {namespace}/{name}"), request).await;
        match reply {
            Ok(_) | Err(CallError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn list_settled_reports(&self, state: &str, cursor: &Cursor) -> Result<SettledReports, CallError> {
        let namespace = self.namespaces.get(cursor.list).map(String::as_str);
        let url = UsageReport::url_path(&(), namespace);
        let mut listing = Listing::of(url, Some(&format!("status.state={state}"))).of_metadata();
        if cursor.limit > 0 {
            listing = listing.with_limit(cursor.limit);
        }
        listing.continue_token.clone_from(&cursor.continue_token);
        let mut reports = Vec::new();
        let mut take = |report: PartialObjectMeta<UsageReport>| reports.push(settled_report(&report));
        self.lister.next_page(&mut listing, &mut take).await?;
        let (limit, continue_token) = (listing.limit(), listing.continue_token);
        let next = match continue_token {
            Some(_) => Some(Cursor { list: cursor.list, continue_token, limit }),
            None if cursor.list + 1 < self.namespaces.len() => {
                Some(Cursor { list: cursor.list + 1, continue_token: None, limit })
            }
            None => None,
        };
        Ok(SettledReports { reports, next })
    }

    fn clock_skew_seconds(&self) -> Option<i64> {
        self.server_clock.skew_seconds()
    }

    async fn publish(&self, event: &Event<EventObject>) -> Result<(), CallError> {
        let Event { object: EventObject { api_version, kind, version }, kind: event_kind, reason, message } =
            event;
        let event = StoredEvent {
            action: Some("Decide".to_owned()),
            event_time: Some(MicroTime(self.clock.now())),
            metadata: ObjectMeta {
                generate_name: Some(event_name(&version.name)),
                namespace: Some(version.namespace.clone()),
                ..ObjectMeta::default()
            },
            note: Some(message.chars().take(1_024).collect()),
            reason: Some(reason.as_str().to_owned()),
            regarding: Some(ObjectReference {
                api_version: Some(api_version.clone()),
                kind: Some(kind.clone()),
                name: Some(version.name.clone()),
                namespace: Some(version.namespace.clone()),
                uid: Some(version.uid.clone()),
                ..ObjectReference::default()
            }),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(event_kind.as_str().to_owned()),
            ..StoredEvent::default()
        };
        let call = format!("create Event about {kind} {}/{}", version.namespace, version.name);
        let body = encode(&call, &event)?;
        let request =
            Request::new(StoredEvent::url_path(&(), Some(&version.namespace))).create(&writes(), body);
        self.call::<serde_json::Value>(&call, request).await.map(|_| ())
    }
}

/// Returns the `generateName` of an Event about the object called `name`.
fn event_name(name: &str) -> String {
    let fits: String = name.chars().take(200).collect();
    format!("{}-", fits.trim_end_matches(['.', '-']))
}

fn writes() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) }
}

fn encode(call: &str, object: &impl Serialize) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(object).map_err(|source| CallError::Decode { call: call.to_owned(), source })
}

/// Requests strict field validation: the server then rejects unknown fields instead of dropping them. An old
/// CRD must never drop a part of a ledger.
fn strict(mut request: http::Request<Vec<u8>>) -> http::Request<Vec<u8>> {
    let separator = if request.uri().query().is_some() { "&" } else { "?" };
    if let Ok(uri) = format!("{}{separator}fieldValidation=Strict", request.uri()).parse() {
        *request.uri_mut() = uri;
    }
    request
}

fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn refusal(call: String, code: u16, retry_after: Option<Duration>, body: &[u8]) -> CallError {
    let status: Option<Status> = serde_json::from_slice(body).ok();
    let message = status
        .and_then(|status| status.message)
        .unwrap_or_else(|| String::from_utf8_lossy(body).chars().take(1_024).collect());
    match code {
        404 => CallError::NotFound { call },
        409 => CallError::Conflict { call, message },
        429 | 500..=599 => CallError::Unavailable { call, code, message, retry_after },
        _ => CallError::Refused { call, code, message },
    }
}

/// Returns the time of the last write of a report's status, which is the time of its verdict.
fn settled_report(report: &PartialObjectMeta<UsageReport>) -> SettledReport {
    let metadata = report.meta();
    let written = metadata.managed_fields.iter().flatten().filter(|fields| {
        fields.subresource.as_deref() == Some("status") && fields.manager.as_deref() == Some(FIELD_MANAGER)
    });
    let written = written.filter_map(|fields| fields.time.as_ref().map(|time| time.0)).max();
    let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
    SettledReport {
        version: Version {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
        },
        verdict_time: written.or(created).unwrap_or(Timestamp::MAX),
        meter: MeterReport::of(metadata),
    }
}
