//! A client of the HTTP API. It checks every answer against the OpenAPI document.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use flashgate_portal::openapi::answer_schema;
use serde_json::Value;

/// A client, most often of an account.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    base: String,
    token: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Value,
}

impl Answer {
    /// Returns the status and the error code.
    pub fn error(&self) -> (u16, &str) {
        (self.status, self.body["error_code"].as_str().unwrap_or_default())
    }

    /// Returns the body of a successful answer.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.body
    }
}

impl Client {
    /// Returns a client of a server.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, base: String::new(), token: None }
    }

    /// Returns a client of the account `acme` in a namespace, with a token.
    pub fn of(self, namespace: &str, token: &str) -> Self {
        Self { base: format!("/api/{namespace}/acme/"), token: Some(token.to_owned()), ..self }
    }

    /// Returns the client without a token.
    pub fn anonymous(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// Returns the status of `/healthz`, or nothing while the server does not answer.
    pub async fn health(&self) -> Option<u16> {
        let (address, path) = (self.address, "/healthz".to_owned());
        let sent = move || exchange(address, "GET", &path, &[], "").ok();
        Some(tokio::task::spawn_blocking(sent).await.expect("sent")?.0)
    }

    /// Reads a call.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, &[]).await
    }

    /// Posts to a call.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body), &[]).await
    }

    /// Posts to a call with an idempotency key.
    pub async fn post_once(&self, path: &str, body: &Value, key: &str) -> Answer {
        self.send("POST", path, Some(body), &[("Idempotency-Key", key)]).await
    }

    /// Sends a request, and checks the answer against the document.
    pub async fn send(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        lines.extend(self.token.iter().map(|token| format!("Authorization: Bearer {token}")));
        lines.extend(body.map(|_| "Content-Type: application/json".to_owned()));
        let (address, path) = (self.address, format!("{}{path}", self.base));
        let text = body.map(ToString::to_string).unwrap_or_default();
        let sent = {
            let path = path.clone();
            move || exchange(address, method, &path, &lines, &text).expect("answer")
        };
        let (status, headers, text) = tokio::task::spawn_blocking(sent).await.expect("sent");
        let answer = Answer { status, headers, body: serde_json::from_str(&text).unwrap_or_default() };
        if status != 304 && path.starts_with("/api/") {
            check(method, path.split('?').next().unwrap_or_default(), &answer);
        }
        answer
    }
}

fn check(method: &str, path: &str, answer: &Answer) {
    let schema = answer_schema(method, path, answer.status).expect("document");
    let schema = schema.unwrap_or_else(|| unreachable!("{method} {path}: not documented: {answer:?}"));
    let validator = jsonschema::draft202012::new(&schema).expect("schema");
    let errors: Vec<String> = validator
        .iter_errors(&answer.body)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{method} {path}: {errors:#?}\n{:#}", answer.body);
}

/// Sends a request, and returns status, headers and body of the answer.
pub fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[String],
    body: &str,
) -> std::io::Result<(u16, BTreeMap<String, String>, String)> {
    let mut stream = TcpStream::connect(address)?;
    let headers = headers.iter().fold(String::new(), |headers, line| format!("{headers}{line}\r\n"));
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{length}{headers}\r\n{body}"
    )?;
    read_answer(&mut stream)
}

/// Reads an answer until the server closes the connection.
pub fn read_answer(stream: &mut TcpStream) -> std::io::Result<(u16, BTreeMap<String, String>, String)> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let invalid = || std::io::Error::other(format!("not an answer: {text:?}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(invalid)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(invalid)?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Ok((status, headers, body.to_owned()))
}
