//! Calls to Kubernetes. Each one has the token of its caller: this process has no rights of its own.

use std::time::Duration;

use flashgate_api::fact::FactObject;
use flashgate_cluster::Kind;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{GetParams, ListParams, ObjectList, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::core::{Request as Requests, request};
use kube::{Client, Resource as _};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::token::Token;

/// Time limit of one call.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Field manager that the API server stores in `managedFields`.
pub const FIELD_MANAGER: &str = "flashgate-portal";

/// Number of objects in one page of a list.
const PAGE: u32 = 100;

/// Returns the field selector of the objects about an account that have no final verdict.
#[must_use]
pub fn pending_fields<K: FactObject>(subscription: &str) -> String {
    format!("spec.subscriptionRef.name={subscription},{}", K::pending_selector())
}

/// The API server. Connections are shared; the token of each call is not.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
}

/// An error of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The token is not accepted.
    #[error("the token is not accepted")]
    Unauthorized,
    /// The caller has no right to make the call.
    #[error("the caller may not {call}")]
    Forbidden {
        /// The call.
        call: String,
    },
    /// The object does not exist.
    #[error("cannot {call}: it does not exist")]
    NotFound {
        /// The call.
        call: String,
    },
    /// An object with this name exists.
    #[error("cannot {call}: it exists")]
    AlreadyExists {
        /// The call.
        call: String,
    },
    /// The object changed since it was read.
    #[error("cannot {call}: it changed since it was read")]
    Conflict {
        /// The call.
        call: String,
    },
    /// The API server rejected the object.
    #[error("cannot {call}: {message}")]
    Invalid {
        /// The call.
        call: String,
        /// The message of the API server.
        message: String,
    },
    /// There was no usable answer.
    #[error("cannot {call}: {detail}")]
    Unavailable {
        /// The call.
        call: String,
        /// The cause.
        detail: String,
    },
}

type Prepared = Result<Request<Vec<u8>>, request::Error>;

impl Kubernetes {
    /// Returns the API server of `client`, which must send no credentials of its own.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Reads one object.
    ///
    /// # Errors
    /// When the call fails, or the object does not exist.
    pub async fn get<K: Kind>(&self, token: &Token, namespace: &str, name: &str) -> Result<K, CallError> {
        let request = Requests::new(K::url_path(&(), Some(namespace))).get(name, &GetParams::default());
        self.send(token, &format!("get {} {namespace}/{name}", K::kind(&())), request).await
    }

    /// Lists the objects that `fields` selects, page by page, and gives each one to `take`.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn list<K: Kind>(
        &self,
        token: &Token,
        namespace: &str,
        fields: &str,
        mut take: impl FnMut(K) + Send,
    ) -> Result<(), CallError> {
        let mut more = String::new();
        loop {
            let list: ObjectList<K> = self.list_page(token, Some(namespace), fields, &more).await?;
            list.items.into_iter().for_each(&mut take);
            match list.metadata.continue_ {
                Some(next) if !next.is_empty() => more = next,
                _ => return Ok(()),
            }
        }
    }

    /// Lists one page of the objects that `fields` selects, in a namespace or in all of them. `more` is the text
    /// `continue` of the page before, or empty for the first one.
    ///
    /// # Errors
    /// When the call fails, or `more` is too old.
    pub async fn list_page<K: Kind>(
        &self,
        token: &Token,
        namespace: Option<&str>,
        fields: &str,
        more: &str,
    ) -> Result<ObjectList<K>, CallError> {
        let place = namespace
            .map_or_else(|| "all namespaces".to_owned(), |namespace| format!("namespace {namespace}"));
        let call = format!("list {} in {place}", K::plural(&()));
        let mut page = ListParams::default().fields(fields).limit(PAGE);
        page.continue_token = Some(more.to_owned()).filter(|more| !more.is_empty());
        self.send(token, &call, Requests::new(K::url_path(&(), namespace)).list(&page)).await
    }

    /// Creates an object.
    ///
    /// # Errors
    /// When the call fails, or an object with this name exists.
    pub async fn create<K: Kind + Serialize>(
        &self,
        token: &Token,
        namespace: &str,
        name: &str,
        object: &K,
    ) -> Result<K, CallError> {
        let call = format!("create {} {namespace}/{name}", K::kind(&()));
        let body = encode(&call, object)?;
        let writes = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        self.send(token, &call, Requests::new(K::url_path(&(), Some(namespace))).create(&writes, body)).await
    }

    /// Changes an object by a JSON merge patch. `patch` should have the resourceVersion that it is based on.
    ///
    /// # Errors
    /// When the call fails, or the object has another resourceVersion.
    pub async fn patch<K: Kind>(
        &self,
        token: &Token,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<K, CallError> {
        let call = format!("patch {} {namespace}/{name}", K::kind(&()));
        let writes = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let requests = Requests::new(K::url_path(&(), Some(namespace)));
        self.send(token, &call, requests.patch(name, &writes, &Patch::Merge(patch))).await
    }

    /// Returns whether the caller may make a call about objects of a kind in a namespace. Where callers may not ask
    /// that, the answer is yes, and the call itself finds out.
    ///
    /// # Errors
    /// When the token is not accepted, or there is no answer.
    pub async fn may<K: Kind>(
        &self,
        token: &Token,
        verb: &str,
        namespace: &str,
        name: &str,
    ) -> Result<bool, CallError> {
        let attributes = ResourceAttributes {
            group: Some(K::group(&()).into_owned()),
            resource: Some(K::plural(&()).into_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        match self.review(token, attributes).await {
            Ok(review) => Ok(review.status.is_none_or(|status| status.allowed)),
            Err(CallError::Forbidden { .. } | CallError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Checks that a token is accepted.
    ///
    /// # Errors
    /// When it is not, or there is no answer.
    pub async fn check_token(&self, token: &Token) -> Result<(), CallError> {
        match self.review(token, ResourceAttributes::default()).await {
            Ok(_)
            | Err(CallError::Forbidden { .. } | CallError::NotFound { .. } | CallError::Invalid { .. }) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn review(
        &self,
        token: &Token,
        attributes: ResourceAttributes,
    ) -> Result<SelfSubjectAccessReview, CallError> {
        let call = "create SelfSubjectAccessReview";
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let body = encode(call, &SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() })?;
        let requests = Requests::new(SelfSubjectAccessReview::url_path(&(), None));
        self.send(token, call, requests.create(&PostParams::default(), body)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        token: &Token,
        call: &str,
        request: Prepared,
    ) -> Result<T, CallError> {
        let unavailable = |detail: String| CallError::Unavailable { call: call.to_owned(), detail };
        let mut request = request.map_err(|error| unavailable(error.to_string()))?;
        request.headers_mut().insert(header::AUTHORIZATION, token.header());
        let exchange = async {
            let sent = self.client.send(request.map(Body::from)).await;
            let response = sent.map_err(|error| unavailable(error.to_string()))?;
            let status = response.status();
            let body = response.into_body().collect().await;
            let body = body.map_err(|error| unavailable(error.to_string()))?.to_bytes();
            if status.is_success() {
                serde_json::from_slice(&body).map_err(|error| unavailable(error.to_string()))
            } else {
                Err(refusal(call, status, &body))
            }
        };
        let limit = || unavailable(format!("no answer within {} seconds", CALL_LIMIT.as_secs()));
        tokio::time::timeout(CALL_LIMIT, exchange).await.unwrap_or_else(|_| Err(limit()))
    }
}

fn encode(call: &str, object: &impl Serialize) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(object)
        .map_err(|error| CallError::Unavailable { call: call.to_owned(), detail: error.to_string() })
}

/// Returns the error of an answer with an error status.
fn refusal(call: &str, status: StatusCode, body: &[u8]) -> CallError {
    let call = call.to_owned();
    let answered: Status = serde_json::from_slice(body).unwrap_or_default();
    let message = answered.message.unwrap_or_default();
    match status.as_u16() {
        401 => CallError::Unauthorized,
        403 => CallError::Forbidden { call },
        404 => CallError::NotFound { call },
        409 if answered.reason.as_deref() == Some("AlreadyExists") => CallError::AlreadyExists { call },
        409 => CallError::Conflict { call },
        400 | 422 => CallError::Invalid { call, message },
        code => CallError::Unavailable { call, detail: format!("status {code}: {message}") },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_error_status_has_its_error() {
        let of = |status: u16, reason: &str| {
            let status = StatusCode::from_u16(status).expect("status");
            let body = json!({"kind": "Status", "apiVersion": "v1", "reason": reason, "message": "why"});
            refusal("get it", status, body.to_string().as_bytes())
        };
        let call = || "get it".to_owned();
        assert_eq!(of(401, "Unauthorized"), CallError::Unauthorized);
        assert_eq!(of(403, "Forbidden"), CallError::Forbidden { call: call() });
        assert_eq!(of(404, "NotFound"), CallError::NotFound { call: call() });
        assert_eq!(of(409, "AlreadyExists"), CallError::AlreadyExists { call: call() });
        assert_eq!(of(409, "Conflict"), CallError::Conflict { call: call() });
        let invalid = CallError::Invalid { call: call(), message: "why".to_owned() };
        assert_eq!((of(422, "Invalid"), of(400, "BadRequest")), (invalid.clone(), invalid));
        for status in [429, 500, 503] {
            assert!(matches!(of(status, ""), CallError::Unavailable { .. }), "{status}");
        }
    }
}
