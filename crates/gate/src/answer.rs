//! Answers to proxies: a status, headers, and a body in JSON that says what to do.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use flashgate_api::GateReason;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use crate::configuration::{Configuration, Policy};
use crate::decision::Decision;
use crate::lookup::Lookup;
use crate::table::Found;

#[cfg(test)]
mod tests;

/// Header with the account.
pub const ACCOUNT: HeaderName = HeaderName::from_static("x-flashgate-account");
/// Header with the balance of the account.
pub const BALANCE: HeaderName = HeaderName::from_static("x-flashgate-balance");
/// Header with the plan of the account.
pub const PLAN: HeaderName = HeaderName::from_static("x-flashgate-plan");
/// Header with the reason of the answer.
pub const REASON: HeaderName = HeaderName::from_static("x-flashgate-reason");
/// Header that warns of few credits.
pub const LOW: HeaderName = HeaderName::from_static("x-flashgate-low");

/// Reason of answers to requests without a known account.
pub const UNKNOWN_ACCOUNT: &str = "UnknownAccount";
/// Reason of answers while the state is stale.
pub const STALE: &str = "Stale";

/// Most headers of an answer.
const HEADERS: usize = 6;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200, 402 or 403.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// JSON of a refusal. Empty if the request may pass.
    pub body: Bytes,
}

/// Makes answers. One text serves all requests without a known account, so that no client can find out names.
#[derive(Clone, Debug)]
pub struct Answers {
    unknown: Bytes,
    stale: Bytes,
    billing_page: Option<String>,
}

/// The body of a refusal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renewal_time: Option<&'a str>,
    message: &'a str,
    remedy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_page: Option<&'a str>,
}

impl Refusal<'_> {
    fn json(&self) -> Bytes {
        // Texts always become JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

impl Answers {
    /// Returns the answers of a gate with this configuration.
    #[must_use]
    pub fn new(configuration: &Configuration) -> Self {
        let fixed = |reason, message: &str, remedy: &str| {
            Refusal {
                account: None,
                reason,
                balance: None,
                plan: None,
                renewal_time: None,
                message,
                remedy,
                billing_page: None,
            }
            .json()
        };
        let remedy = match &configuration.lookup {
            Lookup::Header(name) => format!("send it in the header {name} as namespace/name"),
            // The names of these headers can be internal to the gateway.
            Lookup::Template(_) => {
                "check the address of the request, or ask the operator of this gateway for your account"
                    .to_owned()
            }
            Lookup::ApiKey(name) => format!("send the API key of the account in the header {name}"),
        };
        Self {
            unknown: fixed(UNKNOWN_ACCOUNT, "the request names no account with a Subscription", &remedy),
            stale: fixed(
                STALE,
                "the gate has lost its connection to the cluster",
                "try again later, or ask the operator of this gateway",
            ),
            billing_page: configuration.billing_page.clone(),
        }
    }

    /// Returns the answer that states a decision.
    #[must_use]
    pub fn answer(&self, decision: Decision) -> Answer {
        match decision {
            Decision::Allowed(found) => {
                let mut headers = HeaderMap::with_capacity(HEADERS);
                if let Some(plan) = found.plan.as_ref().and_then(|plan| plan.header.clone()) {
                    headers.insert(PLAN, plan);
                }
                if found.is_low {
                    headers.insert(LOW, HeaderValue::from_static("true"));
                }
                describe(&mut headers, found);
                Answer { status: StatusCode::OK, headers, body: Bytes::new() }
            }
            Decision::Spent(found) => {
                let mut headers = refused();
                let body = self.refusal(&found);
                describe(&mut headers, found);
                Answer { status: StatusCode::PAYMENT_REQUIRED, headers, body }
            }
            Decision::Unknown(policy) => unjudged(policy, UNKNOWN_ACCOUNT, &self.unknown),
            Decision::Stale(policy) => unjudged(policy, STALE, &self.stale),
        }
    }

    fn refusal(&self, found: &Found) -> Bytes {
        let balance = found.balance.map(|balance| balance.to_string());
        let renewal = found.renewal.and_then(|second| Timestamp::from_second(second).ok());
        let renewal = renewal.map(|time| time.to_string());
        let reason = found.reason.as_ref().map_or(GateReason::NotStarted.as_str(), |reason| &reason.text);
        let (message, remedy) = advice(reason, balance.as_deref(), renewal.as_deref());
        Refusal {
            account: Some(&found.name),
            reason,
            balance: balance.as_deref(),
            plan: found.plan.as_ref().map(|plan| plan.text.as_str()),
            renewal_time: renewal.as_deref(),
            message: &message,
            remedy: &remedy,
            billing_page: self.billing_page.as_deref(),
        }
        .json()
    }
}

impl Answer {
    /// Returns the answer with 403 instead of 402. nginx makes an error of 402.
    #[must_use]
    pub fn with_403(mut self) -> Self {
        if self.status == StatusCode::PAYMENT_REQUIRED {
            self.status = StatusCode::FORBIDDEN;
        }
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        // The response of a tuple would have a content type without a body.
        let body = if self.body.is_empty() { Body::empty() } else { Body::from(self.body) };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// Adds the headers that describe an account.
fn describe(headers: &mut HeaderMap, found: Found) {
    if let Ok(name) = HeaderValue::try_from(found.name) {
        headers.insert(ACCOUNT, name);
    }
    if let Some(balance) = found.balance.and_then(|balance| HeaderValue::try_from(balance.to_string()).ok()) {
        headers.insert(BALANCE, balance);
    }
    if let Some(reason) = found.reason.as_ref().and_then(|reason| reason.header.clone()) {
        headers.insert(REASON, reason);
    }
}

/// Returns the headers of a refusal.
fn refused() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}

fn unjudged(policy: Policy, reason: &'static str, body: &Bytes) -> Answer {
    let (status, mut headers, body) = match policy {
        Policy::Allow => (StatusCode::OK, HeaderMap::with_capacity(1), Bytes::new()),
        Policy::Deny => (StatusCode::FORBIDDEN, refused(), body.clone()),
    };
    headers.insert(REASON, HeaderValue::from_static(reason));
    Answer { status, headers, body }
}

/// Returns the message about a closed account, and its remedy.
fn advice(reason: &str, balance: Option<&str>, renewal: Option<&str>) -> (String, String) {
    let is = |known: GateReason| known.as_str() == reason;
    if is(GateReason::CreditsExhausted) {
        let balance = balance.map(|balance| format!(": the balance is {balance}")).unwrap_or_default();
        let renewal = renewal.map(|time| format!("; the credits renew at {time}")).unwrap_or_default();
        return (
            format!("the credits are exhausted{balance}"),
            format!("buy a credit pack or upgrade the plan{renewal}"),
        );
    }
    let (message, remedy) = if is(GateReason::NoPlan) {
        ("the account has no plan in force", "subscribe to a plan")
    } else if is(GateReason::NotStarted) {
        ("the account has not started", "wait until it starts, or ask the operator of this gateway")
    } else if is(GateReason::Deleting) {
        ("the account is being deleted", "create the Subscription again, or use another account")
    } else {
        return (format!("the account is closed: {reason}"), "ask the operator of this gateway".to_owned());
    };
    (message.to_owned(), remedy.to_owned())
}
