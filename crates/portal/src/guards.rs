//! The checks that every request passes: its origin, its length and its time.

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::body::check_length;
use crate::page;
use crate::portal::{Portal, Settings};
use crate::refused::{ErrorCode, Refused};

/// Longest time to handle a request.
pub const REQUEST_TIME: Duration = Duration::from_secs(30);

/// Header of browsers with the relation between the page and this server.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Checks a request, handles it within the time limit, and logs it. Neither its query nor its headers are logged.
pub(crate) async fn guard(State(portal): State<Portal>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let uri = request.uri().clone();
    let checked = check_origin(&portal.settings, &request).and_then(|()| check_length(&request));
    let handled = match checked {
        Ok(()) => tokio::time::timeout(REQUEST_TIME, next.run(request)).await.map_err(|_| timed_out()),
        Err(refused) => Err(refused),
    };
    let mut response = handled.unwrap_or_else(|refused| page::refusal(&portal, uri.path(), refused));
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    tracing::debug!(%method, path, status = response.status().as_u16(), "request handled");
    response
}

fn timed_out() -> Refused {
    let message = format!("the request took more than {} seconds", REQUEST_TIME.as_secs());
    Refused::new(ErrorCode::Timeout, message)
}

/// Refuses a request that changes something and comes from a page of another origin. The API reads no cookie, and the
/// forms of the page have their own secret, so this is a second line of defence.
fn check_origin(settings: &Settings, request: &Request) -> Result<(), Refused> {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let headers = request.headers();
    let is_cross_site = headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site");
    let has_foreign_origin =
        headers.get_all(header::ORIGIN).iter().any(|origin| !is_own(settings, headers, origin));
    if is_cross_site || has_foreign_origin {
        let message = "requests from pages of another origin are refused";
        return Err(Refused::new(ErrorCode::ForeignOrigin, message));
    }
    Ok(())
}

/// Returns whether an origin is the portal's: that of its public URL, or of the address that the client uses.
fn is_own(settings: &Settings, headers: &HeaderMap, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    if settings.public_url_is_known {
        return origin_of(&settings.public_url).is_some_and(|own| own.eq_ignore_ascii_case(origin));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

/// Returns scheme, host and port of a URL.
fn origin_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::tests::settings;

    fn check(public_url: Option<&str>, method: Method, headers: &[(&str, &str)]) -> bool {
        let mut settings = settings();
        if let Some(url) = public_url {
            (settings.public_url, settings.public_url_is_known) = (url.to_owned(), true);
        }
        let request = Request::builder().method(method).uri("/").header("host", "billing.example:8443");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        check_origin(&settings, &request.body(Body::empty()).expect("request")).is_ok()
    }

    #[test]
    fn a_change_from_a_page_of_another_origin_is_refused() {
        let own = "https://billing.example:8443";
        for (public_url, origin, is_accepted) in [
            (None, own, true),
            (None, "https://BILLING.example:8443", true),
            (None, "https://billing.example", false),
            (None, "https://evil.example", false),
            (None, "https://billing.example:8443.evil.example", false),
            (None, "null", false),
            (None, "", false),
            (Some("https://billing.example:8443/base"), own, true),
            (Some("https://public.example"), "https://public.example", true),
            (Some("https://public.example"), "http://public.example", false),
            (Some("https://public.example"), own, false),
        ] {
            for method in [Method::POST, Method::DELETE, Method::PUT, Method::PATCH] {
                assert_eq!(
                    check(public_url, method, &[("origin", origin)]),
                    is_accepted,
                    "{public_url:?} {origin}"
                );
            }
            assert!(check(public_url, Method::GET, &[("origin", origin)]));
        }
    }

    #[test]
    fn a_change_that_a_browser_marks_as_cross_site_is_refused() {
        for (site, is_accepted) in
            [("cross-site", false), ("same-origin", true), ("same-site", true), ("none", true)]
        {
            assert_eq!(check(None, Method::POST, &[("sec-fetch-site", site)]), is_accepted, "{site}");
            assert!(check(None, Method::GET, &[("sec-fetch-site", site)]), "{site}");
        }
        assert!(check(None, Method::POST, &[]), "programs send neither header");
    }
}
