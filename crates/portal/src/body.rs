//! Bodies of requests: bounded in size and in time: JSON, or a form.

use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest as _, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::answer::JSON;
use crate::refused::{ErrorCode, Refused};

/// Largest body, in bytes.
pub const BODY_BYTES: usize = 64 * 1_024;

/// Content type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// Longest time that a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Returns the JSON body of a request. The content type may be missing.
///
/// # Errors
/// When it is too large, incomplete, of another type, or not of the form of `T`.
pub async fn json<T: DeserializeOwned>(request: Request) -> Result<T, Refused> {
    if !may_be_json(request.headers()) {
        let message = "the content type must be 'application/json'";
        return Err(Refused::new(ErrorCode::UnsupportedMediaType, message));
    }
    let body = read(request).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let message = format!("the body must be a JSON object with the documented fields: {error}");
        Refused::new(ErrorCode::InvalidBody, message)
    })
}

/// Returns the fields of a form, as text.
///
/// # Errors
/// When it is too large, incomplete, or of another content type.
pub(crate) async fn form(request: Request) -> Result<Bytes, Refused> {
    if essence(request.headers()).is_none_or(|essence| essence != FORM) {
        let message = format!("the content type must be '{FORM}'");
        return Err(Refused::new(ErrorCode::UnsupportedMediaType, message));
    }
    read(request).await
}

async fn read(request: Request) -> Result<Bytes, Refused> {
    match tokio::time::timeout(BODY_TIME, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)))) => {
            Err(too_large())
        }
        Ok(Err(_)) | Err(_) => {
            let message = "the body was not complete in time: send it at once";
            Err(Refused::new(ErrorCode::RequestTimeout, message))
        }
    }
}

/// Refuses a request whose declared length is too large, before any of it is read.
///
/// # Errors
/// When it is.
pub fn check_length(request: &Request) -> Result<(), Refused> {
    let least = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
    if least > BODY_BYTES { Err(too_large()) } else { Ok(()) }
}

fn too_large() -> Refused {
    Refused::new(ErrorCode::BodyTooLarge, format!("the body must have at most {BODY_BYTES} bytes"))
}

/// Returns whether the content type is JSON or missing, without parameters such as a charset.
fn may_be_json(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::CONTENT_TYPE) || essence(headers).is_some_and(|essence| essence == JSON)
}

/// Returns the content type in lower case and without parameters.
fn essence(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(given.split(';').next()?.trim().to_ascii_lowercase())
}
