//! The objects that unit tests share, and tests of the whole router with an API server in memory.

pub mod accounts;
mod contract;
mod data_pages;
mod fake;
mod limits;
mod pages;
mod purchases;
mod rights;
mod stored;

use std::convert::Infallible;

use axum::http::{Request, Response};
use flashgate_api::UsageReport;
use flashgate_cluster::clock::Clock;
use flashgate_testing::catalog::shipped;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::kubernetes::Kubernetes;
use crate::portal::{Portal, Settings, Writes};

/// The time of these tests, unless they say otherwise.
pub const NOW: &str = "2026-02-10T12:00:00Z";

/// Returns settings with the shipped catalog.
pub fn settings() -> Settings {
    Settings {
        catalog: shipped(),
        public_url: "http://127.0.0.1:8080".to_owned(),
        public_url_is_known: false,
        namespaces: Vec::new(),
        writes: Writes::Api,
        requests_per_second: 0,
    }
}

/// Returns a clock that stands at [`NOW`].
pub fn clock() -> Clock {
    Clock::from_fn(|| NOW.parse().expect("time"))
}

/// Returns a portal without a cluster. It needs a runtime.
pub fn portal() -> Portal {
    let nothing = tower::service_fn(async |_: Request<Body>| {
        Ok::<_, Infallible>(Response::builder().status(503).body(Body::empty()).expect("response"))
    });
    Portal::new(settings(), Kubernetes::new(Client::new(nothing, "default")), None, clock())
}

/// Returns a pending report with these lines.
pub fn report(lines: &Value) -> UsageReport {
    let object = json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReport",
        "metadata": {
            "name": "gw-1", "namespace": "team", "uid": "report", "creationTimestamp": "2026-02-10T10:00:00Z",
        },
        "spec": {
            "subscriptionRef": {"name": "acme"}, "source": "gw",
            "window": {"startTime": "2026-02-10T09:00:00Z", "endTime": "2026-02-10T10:00:00Z"}, "usage": lines,
        },
    });
    serde_json::from_value(object).expect("report")
}
