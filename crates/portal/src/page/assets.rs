//! The static files of the page: part of the program, with their hash in the URL.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use crate::hash::short_hash;
use crate::lists::FixedBody;
use crate::portal::Portal;

/// Bytes of the hash in a URL.
const HASH_BYTES: usize = 8;

/// Cache rule of a URL with the hash of its content: another content has another URL.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Cache rule of a URL without the right hash.
const REVALIDATED: &str = "no-cache";

/// A static file.
pub(crate) struct Asset {
    path: &'static str,
    hash: String,
    body: FixedBody,
}

impl Asset {
    fn new(path: &'static str, content: &str, content_type: &'static str) -> Self {
        let hash = short_hash(content, HASH_BYTES);
        Self { path, hash, body: FixedBody::new(content.as_bytes().to_vec(), content_type) }
    }

    /// Returns the URL of the file, below the path of a proxy.
    pub(crate) fn url(&self, base: &str) -> String {
        format!("{base}{}?v={}", self.path, self.hash)
    }

    fn answer(&self, version: &Version, headers: &HeaderMap) -> Response {
        let is_current = version.v.as_ref() == Some(&self.hash);
        let mut response = self.body.answer_for(headers, if is_current { IMMUTABLE } else { REVALIDATED });
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
        response
    }
}

/// The version in the URL of a file.
#[derive(Deserialize)]
struct Version {
    v: Option<String>,
}

/// The style sheet.
pub(crate) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let content = concat!(include_str!("../../static/style.css"), include_str!("../../static/data.css"));
    Asset::new("/-/style.css", content, "text/css; charset=utf-8")
});

/// The icon.
pub(crate) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("/-/icon.svg", include_str!("../../static/icon.svg"), "image/svg+xml"));

/// Returns the routes of the files.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/-/style.css", get(style)).route("/-/icon.svg", get(icon))
}

async fn style(State(_): State<Portal>, Query(version): Query<Version>, headers: HeaderMap) -> Response {
    STYLE.answer(&version, &headers)
}

async fn icon(State(_): State<Portal>, Query(version): Query<Version>, headers: HeaderMap) -> Response {
    ICON.answer(&version, &headers)
}
