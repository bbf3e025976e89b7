//! The caller's token. It is sent to Kubernetes and to nothing else.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

use crate::refused::{ErrorCode, Refused};

/// Longest token, in characters. A server with longer heads of requests would hold too much memory.
pub const TOKEN_LENGTH: usize = 16 * 1_024;

/// The token of a caller. Its debug form does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    header: HeaderValue,
}

impl Token {
    /// Returns the token in the header `Authorization`.
    ///
    /// # Errors
    /// When the header is missing, is given twice, or has no bearer token.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(only), None) = (given.next(), given.next()) else {
            return Err(refused("send exactly one header 'Authorization: Bearer TOKEN'"));
        };
        only.to_str()
            .ok()
            .and_then(bearer)
            .and_then(Self::new)
            .ok_or_else(|| refused("the header 'Authorization' must be 'Bearer TOKEN'"))
    }

    /// Returns a token, unless the text cannot be one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
        let digits = text.trim_end_matches('=');
        if digits.is_empty() || text.len() > TOKEN_LENGTH || !digits.bytes().all(is_known) {
            return None;
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        Some(Self { header })
    }

    /// Returns the value of the header `Authorization` for Kubernetes. Its debug form is hidden, too.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Returns a hash that identifies the token in memory.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.header.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

/// Returns the text after the scheme `Bearer`, whose case does not matter.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

fn refused(message: &str) -> Refused {
    Refused::new(ErrorCode::Unauthorized, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<Token, Refused> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("value"));
        }
        Token::of(&headers)
    }

    #[test]
    fn a_bearer_token_is_accepted_in_any_case_of_its_scheme() {
        for value in ["Bearer abc", "bearer abc", "BEARER  abc"] {
            let token = of(&[value]).expect(value);
            assert_eq!(token.header(), "Bearer abc");
            assert!(token.header().is_sensitive());
        }
        assert!(of(&["Bearer eyJh.b-_~+/c=="]).is_ok());
    }

    #[test]
    fn other_headers_are_refused_and_not_repeated_in_the_message() {
        let long = format!("Bearer {}", "s3cret".repeat(TOKEN_LENGTH));
        for values in [
            vec![],
            vec![""],
            vec!["Bearer"],
            vec!["Bearer "],
            vec!["Bearer ="],
            vec!["Basic s3cret"],
            vec!["s3cret"],
            vec!["Bearer s3cret s3cret"],
            vec!["Bearer s3=cret"],
            vec!["Bearer s3cret\u{e9}"],
            vec!["Bearer\ts3cret"],
            vec!["Bearer s3cret", "Bearer s3cret"],
            vec![long.as_str()],
        ] {
            let refused = of(&values).expect_err("refused");
            assert_eq!(refused.code, ErrorCode::Unauthorized, "{values:?}");
            assert!(!refused.message.contains("s3cret"), "{refused}");
        }
    }

    #[test]
    fn the_debug_form_hides_the_token() {
        let token = of(&["Bearer s3cret"]).expect("token");
        assert_eq!(format!("{token:?} {:?}", token.header()), "Token Sensitive");
        assert_ne!(token.digest(), of(&["Bearer other"]).expect("token").digest());
    }
}
