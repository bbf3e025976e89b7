//! The token of a visitor: from the header `Authorization` that a proxy sets, or from the cookies of the sign-in.

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, header};
use cookie::time::Duration;
use cookie::{Cookie, SameSite};

use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};
use crate::token::Token;

/// Characters of a token in one cookie. Browsers accept 4,096 bytes with the name.
const PIECE: usize = 3_500;

/// Largest number of cookies for one token. All of them and the other headers of a request fit into the server's
/// limit of 16 KiB.
const PIECES: usize = 4;

/// Longest token that the sign-in accepts, in characters.
pub(crate) const COOKIE_TOKEN_LENGTH: usize = PIECE * PIECES;

/// Time after which a visitor signs in again.
const LIFETIME: Duration = Duration::hours(1);

/// The token of a visitor, and its origin.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The token.
    pub token: Token,
    /// Whether it comes from cookies. A visitor can sign out then.
    pub has_cookies: bool,
}

impl Session {
    /// Returns the token of a request. A bearer token in the header is preferred to cookies.
    ///
    /// # Errors
    /// When the request has no token, or a malformed one.
    pub(crate) fn of(portal: &Portal, headers: &HeaderMap) -> Result<Self, Refused> {
        let of_header = Token::of(headers);
        let of_cookies = || token_of_cookies(portal, headers).map(|token| Self { token, has_cookies: true });
        match of_header {
            Ok(token) => Ok(Self { token, has_cookies: false }),
            Err(refused) => of_cookies().ok_or(refused),
        }
    }
}

/// Returns the name of a cookie. Browsers accept the prefix `__Host-` only from this host by TLS.
fn cookie_name(portal: &Portal, name: &str) -> String {
    let prefix = if portal.is_secure() { "__Host-" } else { "" };
    format!("{prefix}flashgate-{name}")
}

fn piece_name(portal: &Portal, index: usize) -> String {
    cookie_name(portal, &format!("token-{index}"))
}

/// Returns the value of a cookie of a request.
fn value_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let given = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = given.flat_map(Cookie::split_parse).filter_map(Result::ok);
    let found = cookies.find(|cookie| cookie.name() == name)?;
    found.value_raw()
}

/// Returns the token in the cookies of a request.
pub(crate) fn token_of_cookies(portal: &Portal, headers: &HeaderMap) -> Option<Token> {
    let pieces = (0..PIECES).map_while(|index| value_of(headers, &piece_name(portal, index)));
    Token::new(&pieces.collect::<String>())
}

/// Adds the cookies of a token, which scripts cannot read and other sites cannot send.
///
/// # Errors
/// When the token is malformed or too long for cookies. The message does not show it.
pub(crate) fn sign_in(portal: &Portal, token: &str, headers: &mut HeaderMap) -> Result<Token, Refused> {
    let refused = |message: String| Refused::new(ErrorCode::InvalidBody, message);
    if token.len() > COOKIE_TOKEN_LENGTH {
        let message = format!(
            "the token has {} characters, and the sign-in accepts at most {COOKIE_TOKEN_LENGTH}: use a proxy that \
             sends it as 'Authorization: Bearer TOKEN'",
            token.len()
        );
        return Err(refused(message));
    }
    let known = Token::new(token).ok_or_else(|| {
        refused("this is not a token: paste the output of 'kubectl create token NAME'".to_owned())
    })?;
    let mut rest = token;
    for index in 0..PIECES {
        let (piece, remaining) = rest.split_at_checked(PIECE).unwrap_or((rest, ""));
        set_cookie(portal, headers, piece_name(portal, index), piece, LIFETIME);
        rest = remaining;
    }
    Ok(known)
}

/// Removes the cookies of a sign-in.
pub(crate) fn sign_out(portal: &Portal, headers: &mut HeaderMap) {
    for index in 0..PIECES {
        set_cookie(portal, headers, piece_name(portal, index), "", LIFETIME);
    }
}

/// The name of the cookie that binds the form of the sign-in to a browser.
const LOGIN_FORM: &str = "login-form";

/// Adds the cookie of a form of the sign-in.
pub(crate) fn bind_login_form(portal: &Portal, headers: &mut HeaderMap, secret: &str) {
    set_cookie(portal, headers, cookie_name(portal, LOGIN_FORM), secret, LIFETIME);
}

/// Returns the secret of the form of the sign-in that a browser was shown.
pub(crate) fn login_form<'a>(portal: &Portal, headers: &'a HeaderMap) -> Option<&'a str> {
    value_of(headers, &cookie_name(portal, LOGIN_FORM)).filter(|value| !value.is_empty())
}

/// Adds a cookie. An empty value removes it.
fn set_cookie(portal: &Portal, headers: &mut HeaderMap, name: String, value: &str, lifetime: Duration) {
    let cookie = Cookie::build((name, value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(portal.is_secure())
        .max_age(if value.is_empty() { Duration::ZERO } else { lifetime });
    if let Ok(mut value) = HeaderValue::from_str(&cookie.to_string()) {
        value.set_sensitive(true);
        headers.append(SET_COOKIE, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::portal;

    /// Returns the token that a browser sends after a sign-in with `token`.
    fn kept(token: &str) -> Result<Option<Token>, Refused> {
        let (portal, mut answer) = (portal(), HeaderMap::new());
        sign_in(&portal, token, &mut answer)?;
        let mut request = HeaderMap::new();
        for cookie in answer.get_all(SET_COOKIE) {
            let pair = cookie.to_str().expect("cookie").split(';').next().expect("pair");
            assert!(pair.len() <= 4_096, "browsers drop longer cookies");
            request.append(COOKIE, HeaderValue::from_str(pair).expect("pair"));
        }
        Ok(token_of_cookies(&portal, &request))
    }

    #[tokio::test]
    async fn a_token_is_split_over_cookies_and_joined_again() {
        for length in [1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, COOKIE_TOKEN_LENGTH] {
            let token: String = ('a'..='z').cycle().take(length).collect();
            assert_eq!(kept(&token), Ok(Token::new(&token)), "{length}");
        }
    }

    #[tokio::test]
    async fn a_longer_token_is_refused_and_not_shown() {
        let refused = kept(&"s3cret".repeat(COOKIE_TOKEN_LENGTH)).expect_err("refused");
        assert!(
            refused.message.contains("at most 14000") && !refused.message.contains("s3cret"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_bearer_token_of_a_proxy_is_preferred_to_cookies() {
        let portal = portal();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("other=1; flashgate-token-0=cookie"));
        let of = |headers: &HeaderMap| {
            Session::of(&portal, headers).map(|session| (session.token, session.has_cookies))
        };
        assert_eq!(of(&headers), Ok((Token::new("cookie").expect("token"), true)));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        assert_eq!(of(&headers), Ok((Token::new("cookie").expect("token"), true)));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer proxy"));
        assert_eq!(of(&headers), Ok((Token::new("proxy").expect("token"), false)));
        assert!(of(&HeaderMap::new()).is_err());
    }
}
