//! Requests by the names that failpoints give to the operator's calls: `replace-status/UsageReport`.

use std::fmt;

use flashgate_testing::simulated::ObjectKind;
use hyper::{Method, Uri};

/// A call of the operator, as the wire shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is done: `fetch`, `create-ledger`, `replace-ledger`, `replace-status`, `delete-report`, `publish`.
    verb: &'static str,
    /// The kind it is done to, where the verb does not say it.
    kind: Option<ObjectKind>,
    /// The object, where it has a name.
    pub object: String,
}

impl Call {
    /// Returns whether it may change an object.
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

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One object, read or written.
    Call(Call),
    /// All objects of a kind.
    List(ObjectKind),
    /// The changes of a kind.
    Watch(ObjectKind),
    /// Anything else.
    Other,
}

/// Returns what a request asks for.
pub fn asked(method: &Method, uri: &Uri) -> Asked {
    let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let ["apis", _, _, "namespaces", _, plural, names @ ..] = parts.as_slice() else { return Asked::Other };
    let call = |verb, kind| {
        let object = names.first().map_or_else(String::new, |name| (*name).to_owned());
        Asked::Call(Call { verb, kind, object })
    };
    if *plural == "events" {
        return call("publish", None);
    }
    let Some(kind) = ObjectKind::ALL.into_iter().find(|kind| plural_of(*kind) == *plural) else {
        return Asked::Other;
    };
    match (method, names) {
        (&Method::GET, []) if uri.query().unwrap_or_default().contains("watch=true") => Asked::Watch(kind),
        (&Method::GET, []) => Asked::List(kind),
        (&Method::GET, [_]) => call("fetch", Some(kind)),
        (&Method::POST, []) => call("create-ledger", None),
        (&Method::PUT, [_]) => call("replace-ledger", None),
        (&Method::PUT, [_, "status"]) => call("replace-status", Some(kind)),
        (&Method::DELETE, [_]) => call("delete-report", None),
        _ => Asked::Other,
    }
}

fn plural_of(kind: ObjectKind) -> String {
    format!("{}s", kind.as_str().to_lowercase())
}
