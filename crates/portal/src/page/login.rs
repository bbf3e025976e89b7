//! The sign-in by pasting a token, and the sign-out.

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;

use super::forms::{Sent, fields, secret_field};
use super::layout::{Site, bare};
use super::problem::{Problem, sentence};
use super::session;
use crate::body;
use crate::calls::buy_pack::no_random_numbers;
use crate::hash::short_hash;
use crate::kubernetes::CallError;
use crate::portal::Portal;
use crate::refused::Refused;

/// Returns the routes of the sign-in and the sign-out.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/-/login", get(show).post(sign_in)).route("/-/logout", post(sign_out))
}

/// Bytes of the secret that binds a form to a browser.
const SECRET_BYTES: usize = 32;

/// The page that a visitor wanted.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    next: String,
}

/// The form of the sign-in.
#[derive(Deserialize)]
struct SignInForm {
    #[serde(default)]
    secret: String,
    #[serde(default)]
    next: String,
    #[serde(default)]
    token: String,
}

/// Returns the path of the sign-in that leads to `wanted` afterwards.
pub(crate) fn login_path(base: &str, wanted: &str) -> String {
    let next = serde_urlencoded::to_string([("next", wanted)]).unwrap_or_default();
    format!("{base}/-/login?{next}")
}

/// Returns the path if it is one of this site, and `/` otherwise.
fn local(next: &str) -> &str {
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_path = next.starts_with('/') && !next.starts_with("//") && next.parse::<PathAndQuery>().is_ok();
    if is_plain && is_path { next } else { "/" }
}

/// Shows the form, or leads on if the visitor is signed in.
async fn show(State(portal): State<Portal>, Query(wanted): Query<Wanted>, headers: HeaderMap) -> Response {
    let next = local(&wanted.next);
    let Some(token) = session::token_of_cookies(&portal, &headers) else {
        return form(&portal, &headers, StatusCode::OK, next, None);
    };
    match portal.kubernetes.check_token(&token).await {
        Ok(()) => to(&portal, next),
        Err(CallError::Unauthorized) => {
            let message = "Kubernetes does not accept your token any more. Paste a new one.";
            let mut response = form(&portal, &headers, StatusCode::OK, next, Some(message));
            session::sign_out(&portal, response.headers_mut());
            response
        }
        Err(_) => form(&portal, &headers, StatusCode::OK, next, None),
    }
}

/// Leads to a path of this site.
fn to(portal: &Portal, path: &str) -> Response {
    Redirect::to(&format!("{}{path}", portal.base_path())).into_response()
}

/// Returns the form of the sign-in. Forms in several tabs have the same secret.
fn form(
    portal: &Portal,
    headers: &HeaderMap,
    status: StatusCode,
    next: &str,
    message: Option<&str>,
) -> Response {
    let known = session::login_form(portal, headers).filter(|known| known.len() == 2 * SECRET_BYTES);
    let secret = match known {
        Some(known) => known.to_owned(),
        None => match new_secret() {
            Ok(secret) => secret,
            Err(refused) => return Problem(refused).into_response(),
        },
    };
    let site = Site::of(portal);
    let content = content(&site, &secret, next, message);
    let mut response = (status, bare(&site, "Sign in", &content)).into_response();
    session::bind_login_form(portal, response.headers_mut(), &secret);
    response
}

/// Returns random bytes in hexadecimal.
fn new_secret() -> Result<String, Refused> {
    let mut random = [0_u8; SECRET_BYTES];
    getrandom::fill(&mut random).map_err(|_| no_random_numbers())?;
    Ok(short_hash(random, SECRET_BYTES))
}

fn content(site: &Site, secret: &str, next: &str, message: Option<&str>) -> Markup {
    html! {
        section class="narrow card" {
            h1 { "Sign in" }
            p class="muted" { "This page acts with your own rights in Kubernetes, and with no others." }
            @if let Some(message) = message { p class="notice bad" role="alert" id="problem" { (message) } }
            form method="post" action=(site.path("/-/login")) {
                (secret_field(secret))
                input type="hidden" name="next" value=(next);
                div class="field" {
                    label for="token" { "Token" }
                    input id="token" name="token" type="password" required autocomplete="off" spellcheck="false"
                        maxlength=(session::COOKIE_TOKEN_LENGTH) aria-describedby="token-hint"
                        aria-invalid=[message.map(|_| "true")];
                    p class="hint" id="token-hint" {
                        "Create one with " code { "kubectl create token NAME" }
                        ". It stays in this browser for at most one hour."
                    }
                }
                button class="button primary" type="submit" { "Sign in" }
            }
        }
    }
}

/// Signs a visitor in, if Kubernetes accepts the token.
async fn sign_in(State(portal): State<Portal>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let SignInForm { secret, next, token } = fields(&body::form(request).await?)?;
    let next = local(&next);
    if session::login_form(&portal, &headers).is_none_or(|bound| bound != secret) {
        let message = "The form was too old. Paste the token again.";
        return Ok(form(&portal, &headers, StatusCode::FORBIDDEN, next, Some(message)));
    }
    let token = token.trim();
    let token = token.strip_prefix("Bearer ").unwrap_or(token);
    let mut cookies = HeaderMap::new();
    let token = match session::sign_in(&portal, token, &mut cookies) {
        Ok(token) => token,
        Err(refused) => {
            let message = sentence(&refused.message);
            return Ok(form(&portal, &headers, StatusCode::BAD_REQUEST, next, Some(&message)));
        }
    };
    portal.admit(&token)?;
    match portal.kubernetes.check_token(&token).await {
        Ok(()) => Ok((cookies, to(&portal, next)).into_response()),
        Err(CallError::Unauthorized) => {
            let message = "Kubernetes does not accept this token. It may be expired, or of another cluster.";
            Ok(form(&portal, &headers, StatusCode::UNAUTHORIZED, next, Some(message)))
        }
        Err(error) => Err(error.into()),
    }
}

/// The form of the sign-out, which has no fields of its own.
#[derive(Deserialize)]
struct SignOutForm {}

async fn sign_out(State(portal): State<Portal>, Sent(SignOutForm {}): Sent<SignOutForm>) -> Response {
    let mut response = to(&portal, "/-/login");
    session::sign_out(&portal, response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_site_are_followed_after_the_sign_in() {
        for next in ["/", "/team/acme/", "/team/acme/history?kind=Charged&from=2026-01-01", "/%2e%2e/"] {
            assert_eq!(local(next), next);
        }
        for next in [
            "",
            "team",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a b",
            "/a\r\nSet-Cookie: a=b",
            "/\t/evil.example",
            "/é",
            " //evil.example",
        ] {
            assert_eq!(local(next), "/", "{next}");
        }
    }

    #[test]
    fn the_wanted_page_is_encoded_in_the_path_of_the_sign_in() {
        assert_eq!(
            login_path("/base", "/team/acme/?a=1&b=2"),
            "/base/-/login?next=%2Fteam%2Facme%2F%3Fa%3D1%26b%3D2"
        );
    }
}
