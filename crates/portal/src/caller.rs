//! The caller of an account: the token, and the Subscription that the URL names.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};
use crate::token::Token;

/// Longest name of a namespace.
const NAMESPACE_LENGTH: usize = 63;

/// Longest name of an object.
const NAME_LENGTH: usize = 253;

/// The caller of an account.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token.
    pub token: Token,
    /// Namespace in the URL.
    pub namespace: String,
    /// Name of the Subscription in the URL.
    pub name: String,
}

impl FromRequestParts<Portal> for Caller {
    type Rejection = Refused;

    /// Returns the caller. A request without a token learns nothing about names.
    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Refused> {
        let token = Token::of(&parts.headers)?;
        portal.admit(&token)?;
        Self::named(token, parts, portal).await
    }
}

impl Portal {
    /// Counts a request of a token.
    ///
    /// # Errors
    /// When the token made too many requests.
    pub(crate) fn admit(&self, token: &Token) -> Result<(), Refused> {
        if self.rates.admit(token) {
            return Ok(());
        }
        let message = format!(
            "the token made more than {} requests in a second: send fewer",
            self.settings.requests_per_second
        );
        Err(Refused::new(ErrorCode::RateLimited, message))
    }
}

impl Caller {
    /// Returns the caller with this token of the account that the path of a request names.
    ///
    /// # Errors
    /// When no Subscription can have these names.
    pub(crate) async fn named(token: Token, parts: &mut Parts, portal: &Portal) -> Result<Self, Refused> {
        let names = Path::<HashMap<String, String>>::from_request_parts(parts, portal).await;
        let Path(mut names) = names.map_err(|_| Refused::missing())?;
        let namespace = names.remove("namespace").filter(|name| is_namespace(name));
        let name = names.remove("subscription").filter(|name| is_object_name(name));
        match (namespace, name) {
            (Some(namespace), Some(name)) => Ok(Self { token, namespace, name }),
            _ => Err(Refused::missing()),
        }
    }
}

/// Returns whether a text can be the name of a namespace. It can then be a part of a URL of Kubernetes.
#[must_use]
pub fn is_namespace(text: &str) -> bool {
    is_label(text, NAMESPACE_LENGTH)
}

/// Returns whether a text is a label of a DNS name. It can then be a part of a URL of Kubernetes.
fn is_label(text: &str, length: usize) -> bool {
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= length
        && text.bytes().all(|byte| is_known(byte) || byte == b'-')
        && text.bytes().next().is_some_and(is_known)
        && text.bytes().next_back().is_some_and(is_known)
}

/// Returns whether a text can be the name of an object. It can then be a part of a URL of Kubernetes.
#[must_use]
pub fn is_object_name(text: &str) -> bool {
    text.len() <= NAME_LENGTH && text.split('.').all(|label| is_label(label, NAME_LENGTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kubernetes_are_accepted_and_parts_of_paths_are_not() {
        for name in ["acme", "a", "0", "acme.example.org", "a-b"] {
            assert!(is_object_name(name), "{name}");
        }
        let long = "a".repeat(254);
        for name in [
            "", ".", "..", "a..b", "-a", "a-", "A", "a_b", "a/b", "../a", "a?x=1", "a%2fb", "a\0", "é", &long,
        ] {
            assert!(!is_object_name(name), "{name}");
        }
        assert!(!is_label("a.b", NAMESPACE_LENGTH));
        assert!(!is_label(&"a".repeat(64), NAMESPACE_LENGTH));
    }
}
