//! Refused requests as pages, with the next step.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::layout::{Site, bare};
use super::login::login_path;
use super::session::Session;
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};
use crate::token::Token;

/// A refused request. [`show_problems`] makes a page of it.
#[derive(Clone, Debug)]
pub(crate) struct Problem(pub Refused);

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self(refused)
    }
}

impl From<crate::kubernetes::CallError> for Problem {
    fn from(error: crate::kubernetes::CallError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Replaces each problem by its page, or by the sign-in if a token of a cookie is missing or not accepted.
pub(crate) async fn show_problems(State(portal): State<Portal>, request: Request, next: Next) -> Response {
    let is_signed_in_by_proxy = Token::of(request.headers()).is_ok();
    let session = Session::of(&portal, request.headers());
    let site = session.map_or_else(|_| Site::of(&portal), |session| Site::of_session(&portal, &session));
    let uri = request.uri();
    // A form cannot be sent again after the sign-in, so its page is shown.
    let wanted = if *request.method() == Method::GET {
        uri.path_and_query().map_or(uri.path(), |both| both.as_str()).to_owned()
    } else {
        uri.path().to_owned()
    };
    let mut response = next.run(request).await;
    let Some(Problem(refused)) = response.extensions_mut().remove::<Problem>() else { return response };
    if refused.code == ErrorCode::Unauthorized && !is_signed_in_by_proxy {
        return Redirect::to(&login_path(portal.base_path(), &wanted)).into_response();
    }
    page(&site, &refused)
}

/// Returns the page of a refused request. It shows nothing about an account.
pub(crate) fn page(site: &Site, refused: &Refused) -> Response {
    let status = refused.code.status();
    let content = content(site, status, refused);
    let mut response = (status, bare(site, title(status), &content)).into_response();
    let headers = response.headers_mut();
    match refused.code {
        ErrorCode::Unauthorized => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        ErrorCode::RateLimited | ErrorCode::Unavailable => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

fn content(site: &Site, status: StatusCode, refused: &Refused) -> Markup {
    html! {
        section class="problem" {
            p class="problem-code" { (status.as_u16()) }
            h1 { (title(status)) }
            p { (sentence(&refused.message)) }
            @if let Some(remedy) = remedy(refused.code) { p { (remedy) } }
            p { a class="button" href=(site.path("/")) { "Show my accounts" } }
        }
    }
}

/// Returns a message as a sentence: with a capital letter at its start and a period at its end.
pub(crate) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let Some(first) = letters.next() else { return String::new() };
    let end = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{end}", first.to_uppercase(), letters.as_str())
}

fn title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 413 | 415 => "The request cannot be accepted",
        401 => "You are not signed in",
        403 => "You may not do this",
        404 => "Not found",
        405 => "This page does not accept that",
        408 | 504 => "That took too long",
        409 => "Something changed at the same time",
        429 => "Too many requests",
        503 => "Kubernetes does not answer",
        _ => "The server failed",
    }
}

fn remedy(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::Unauthorized => Some(
            "The proxy in front of this page sent the token. Sign in again there, or ask its administrator whether it \
             passes a token of this cluster.",
        ),
        ErrorCode::Forbidden => {
            Some("Ask the administrator of the namespace for the role, or sign in as another user.")
        }
        ErrorCode::SubscriptionNotFound => {
            Some("Check namespace and name in the address. The list shows the accounts that you may see.")
        }
        ErrorCode::RateLimited => Some("Wait a second, and load the page again."),
        ErrorCode::Unavailable => Some("Your account is not affected. Load the page again in a minute."),
        _ => None,
    }
}
