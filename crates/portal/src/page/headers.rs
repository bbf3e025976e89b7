//! The headers of every page: nothing is stored, framed, or loaded from elsewhere.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

/// The content that a page may load, and the places to which its forms may be sent. It allows no script.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Adds the headers of a page to a response.
pub(crate) async fn protect(mut response: Response) -> Response {
    insert(response.headers_mut());
    response
}

/// Adds the headers of a page.
pub(crate) fn insert(headers: &mut HeaderMap) {
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        // A stricter policy would make browsers send `Origin: null` with forms.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
