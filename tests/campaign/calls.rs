//! Names the operator's requests as failpoints do, for example `replace-status/UsageReport`.

use std::fmt;

use flashgate_testing::simulated::ObjectKind;
use hyper::{Method, Uri};

/// A call of the operator, decoded from its HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The verb: `fetch`, `create-ledger`, `replace-ledger`, `replace-status`, `delete-report`, `publish`.
    verb: &'static str,
    /// The kind, unless the verb implies it.
    kind: Option<ObjectKind>,
    /// The name of the object; empty if it has none.
    pub object: String,
}

impl Call {
    /// Returns whether the call may change an object.
    pub fn is_write(&self) -> bool {
        self.verb != "fetch"
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            None => formatter.write_str(self.verb),
            Some(kind) => write!(formatter, "{}/{}", self.verb, kind.as_str()),
        }
    }
}

/// The type of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestType {
    /// A read or write of one object.
    Call(Call),
    /// A list of all objects of a kind.
    List(ObjectKind),
    /// A watch of a kind.
    Watch(ObjectKind),
    /// Any other request.
    Other,
}

/// Returns the type of a request.
pub fn request_type(method: &Method, uri: &Uri) -> RequestType {
    let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let ["apis", _, _, "namespaces", _, plural, names @ ..] = parts.as_slice() else {
        return RequestType::Other;
    };
    let call = |verb, kind| {
        let object = names.first().map_or_else(String::new, |name| (*name).to_owned());
        RequestType::Call(Call { verb, kind, object })
    };
    if *plural == "events" {
        return call("publish", None);
    }
    let Some(kind) = ObjectKind::ALL.into_iter().find(|kind| plural_of(*kind) == *plural) else {
        return RequestType::Other;
    };
    match (method, names) {
        (&Method::GET, []) if uri.query().unwrap_or_default().contains("watch=true") => {
            RequestType::Watch(kind)
        }
        (&Method::GET, []) => RequestType::List(kind),
        (&Method::GET, [_]) => call("fetch", Some(kind)),
        (&Method::POST, []) => call("create-ledger", None),
        (&Method::PUT, [_]) => call("replace-ledger", None),
        (&Method::PUT, [_, "status"]) => call("replace-status", Some(kind)),
        (&Method::DELETE, [_]) => call("delete-report", None),
        _ => RequestType::Other,
    }
}

fn plural_of(kind: ObjectKind) -> String {
    format!("{}s", kind.as_str().to_lowercase())
}
