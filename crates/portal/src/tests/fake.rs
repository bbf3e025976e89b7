//! An API server in memory: the objects of one account, the rights of its callers, and a log of the calls.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body as AxumBody;
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::contract::check_answer;
use crate::history::History;
use crate::kubernetes::Kubernetes;
use crate::portal::{Portal, Settings};

/// A token with all rights.
pub const TOKEN: &str = "t0ken-of-the-tenant";

/// The objects by plural and name, the verbs of each token, and the calls so far.
#[derive(Default)]
pub struct Content {
    /// Objects by `plural/name`.
    pub objects: BTreeMap<String, Value>,
    /// Calls that are refused with 403, such as `get creditledgers`.
    pub forbidden: Vec<&'static str>,
    /// Calls that conflict once, such as `patch subscriptions`.
    pub conflicts: Vec<&'static str>,
    /// The message with which admission refuses every patch.
    pub invalid: Option<&'static str>,
    /// The verdict that a new CreditPack gets.
    pub verdict: Option<Value>,
    /// Calls so far: verb, plural and name.
    pub calls: Vec<String>,
    /// Bodies of the writes so far.
    pub writes: Vec<Value>,
}

/// The API server, and a portal before it.
#[derive(Clone)]
pub struct Fake {
    content: Arc<Mutex<Content>>,
    router: Router,
}

/// An answer of the portal.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Value,
    /// The body as text, for pages.
    pub text: String,
}

impl Fake {
    /// Starts an API server with objects of the namespace `team`.
    pub fn start(settings: Settings, objects: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        Self::start_with(settings, objects, None)
    }

    /// Starts an API server with objects of the namespace `team`, and a portal with a history.
    pub fn start_with(
        settings: Settings,
        objects: impl IntoIterator<Item = (&'static str, Value)>,
        history: Option<Arc<dyn History>>,
    ) -> Self {
        let objects = objects.into_iter().map(|(path, object)| (path.to_owned(), object)).collect();
        let content = Arc::new(Mutex::new(Content { objects, ..Content::default() }));
        let served = Arc::clone(&content);
        let service = tower::service_fn(move |request: Request<Body>| {
            let served = Arc::clone(&served);
            async move { Ok::<_, Infallible>(answer(&served, request).await) }
        });
        let kubernetes = Kubernetes::new(Client::new(service, "default"));
        let portal = Portal::new(settings, kubernetes, history, super::clock());
        Self { content, router: crate::router(portal) }
    }

    /// Returns the content.
    pub fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("content")
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<AxumBody>) -> Answered {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.expect("answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.expect("body").to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let answered = Answered { status, headers, body, text };
        check_answer(&method, &path, &answered);
        answered
    }

    /// Sends a request of the tenant to a call of `team/acme`.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answered {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/team/acme/{path}"))
            .header("host", "127.0.0.1:8080")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(AxumBody::from(body.to_string())),
            None => request.body(AxumBody::empty()),
        };
        self.send(request.expect("request")).await
    }

    /// Reads a call of `team/acme` as the tenant.
    pub async fn get(&self, path: &str) -> Answered {
        self.call("GET", path, None, &[]).await
    }

    /// Posts to a call of `team/acme` as the tenant.
    pub async fn post(&self, path: &str, body: &Value) -> Answered {
        self.call("POST", path, Some(body), &[]).await
    }
}

fn status(code: u16, reason: &str) -> (StatusCode, Value) {
    let body =
        json!({"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": reason});
    (StatusCode::from_u16(code).expect("status"), body)
}

async fn answer(content: &Mutex<Content>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.expect("body").to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let (code, answer) = handle(&mut content.lock().expect("content"), &parts, &body);
    let answer = Body::from(answer.to_string().into_bytes());
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(answer)
        .expect("response")
}

fn handle(content: &mut Content, parts: &http::request::Parts, body: &Value) -> (StatusCode, Value) {
    let token = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let path = parts.uri.path();
    if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
        return review(content, token, body);
    }
    let path = path.strip_prefix("/apis/billing.flashgate.dev/v1alpha1/");
    // A path of all namespaces is `subscriptions`, and of the only one `namespaces/team/subscriptions`.
    let place = path.filter(|path| !path.starts_with("namespaces/")).map_or("", |_| " in all namespaces");
    let path = path.map(|path| path.strip_prefix("namespaces/team/").unwrap_or(path));
    let Some(path) = path.filter(|path| !path.starts_with("namespaces/")) else {
        return status(404, "NotFound");
    };
    let plural = path.split('/').next().unwrap_or_default();
    let is_list = !path.contains('/');
    let verb = match parts.method.as_str() {
        "GET" if is_list => "list",
        "GET" => "get",
        "POST" => "create",
        "PATCH" => "patch",
        other => unreachable!("the portal never sends {other}"),
    };
    content.calls.push(format!("{verb} {path}"));
    if token != Some(&format!("Bearer {TOKEN}")) {
        return status(401, "Unauthorized");
    }
    let call = format!("{verb} {plural}{place}");
    if content.forbidden.iter().any(|forbidden| *forbidden == call) {
        return status(403, "Forbidden");
    }
    if let Some(index) = content.conflicts.iter().position(|conflict| *conflict == call) {
        content.conflicts.remove(index);
        return status(409, "Conflict");
    }
    match verb {
        "list" => list(content, plural),
        "get" => content
            .objects
            .get(path)
            .map_or_else(|| status(404, "NotFound"), |found| (StatusCode::OK, found.clone())),
        "create" => create(content, plural, body),
        _ => patch(content, path, body),
    }
}

/// Answers whether a caller may make a call.
fn review(content: &mut Content, token: Option<&str>, body: &Value) -> (StatusCode, Value) {
    if token != Some(&format!("Bearer {TOKEN}")) {
        return status(401, "Unauthorized");
    }
    let attributes = &body["spec"]["resourceAttributes"];
    let call = ["verb", "resource"].map(|field| attributes[field].as_str().unwrap_or_default()).join(" ");
    let is_allowed = !content.forbidden.iter().any(|forbidden| *forbidden == call);
    let mut answer = body.clone();
    answer["status"] = json!({"allowed": is_allowed});
    (StatusCode::CREATED, answer)
}

fn list(content: &Content, plural: &str) -> (StatusCode, Value) {
    let of_kind = |path: &str| path.split('/').next() == Some(plural);
    let items: Vec<&Value> =
        content.objects.iter().filter(|(path, _)| of_kind(path)).map(|(_, object)| object).collect();
    let list =
        json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items});
    (StatusCode::OK, list)
}

fn create(content: &mut Content, plural: &str, body: &Value) -> (StatusCode, Value) {
    content.writes.push(body.clone());
    let path = format!("{plural}/{}", body["metadata"]["name"].as_str().expect("name"));
    if content.objects.contains_key(&path) {
        return status(409, "AlreadyExists");
    }
    let created = body.clone();
    let mut stored = created.clone();
    // The operator decides after the creation.
    if let Some(verdict) = &content.verdict {
        stored["status"] = verdict.clone();
    }
    content.objects.insert(path, stored);
    (StatusCode::CREATED, created)
}

fn patch(content: &mut Content, path: &str, body: &Value) -> (StatusCode, Value) {
    content.writes.push(body.clone());
    if let Some(message) = content.invalid {
        let (code, mut answer) = status(422, "Invalid");
        answer["message"] = json!(message);
        return (code, answer);
    }
    let Some(object) = content.objects.get_mut(path) else { return status(404, "NotFound") };
    if body["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
        return status(409, "Conflict");
    }
    if let Some(fields) = body["spec"].as_object() {
        for (name, value) in fields {
            object["spec"][name] = value.clone();
        }
        let generation = object["metadata"]["generation"].as_i64().expect("generation") + 1;
        object["metadata"]["generation"] = json!(generation);
        // The operator decides at once.
        object["status"]["observedGeneration"] = json!(generation);
    }
    if let Some(annotations) = body["metadata"]["annotations"].as_object() {
        for (name, value) in annotations {
            object["metadata"]["annotations"][name] = value.clone();
        }
    }
    let version: i64 =
        object["metadata"]["resourceVersion"].as_str().expect("version").parse().expect("number");
    object["metadata"]["resourceVersion"] = json!((version + 1).to_string());
    (StatusCode::OK, object.clone())
}
