//! The answers to callbacks.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::callback::{CallbackError, NamespaceError};
use super::record::{RecordError, Recorded};
use super::signature::SignatureError;

/// Why a callback is not acknowledged. Its sender should correct it and send it again.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The path, method or both are not this webhook's.
    #[error("not found; must be POST /v1/payments/NAMESPACE")]
    Elsewhere(StatusCode),
    /// It is not JSON.
    #[error("the content type is not understood; must be 'application/json'")]
    MediaType,
    /// It is too large.
    #[error("the body is too large; must be at most {0} bytes")]
    TooLarge(usize),
    /// It was not complete in time.
    #[error("the body was not complete in time; must be sent at once")]
    Unfinished,
    /// Its signature is not accepted.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Its body is invalid.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// It is not valid in this namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// It could not be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Refused {
    /// Returns the HTTP status and the error word for programs.
    #[must_use]
    pub fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Elsewhere(status) => (*status, "NoSuchEndpoint"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "BodyTooLarge"),
            Self::Unfinished => (StatusCode::REQUEST_TIMEOUT, "BodyUnfinished"),
            Self::Signature(_) => (StatusCode::UNAUTHORIZED, "SignatureRefused"),
            Self::Callback(_) => (StatusCode::BAD_REQUEST, "BodyNotUnderstood"),
            Self::Namespace(_) => (StatusCode::FORBIDDEN, "NamespaceNotSigned"),
            Self::Record(RecordError::NamespaceNotFound { .. }) => {
                (StatusCode::NOT_FOUND, "NamespaceNotFound")
            }
            Self::Record(RecordError::Differs { .. }) => (StatusCode::CONFLICT, "PaymentDiffers"),
            Self::Record(RecordError::Refused { .. }) => (StatusCode::UNPROCESSABLE_ENTITY, "PaymentRefused"),
            Self::Record(RecordError::Unavailable { .. }) => (StatusCode::SERVICE_UNAVAILABLE, "Unavailable"),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, error) = self.status();
        answer(status, &json!({"error": error, "message": self.to_string()}))
    }
}

impl IntoResponse for Recorded {
    fn into_response(self) -> Response {
        let status = if self.is_new { StatusCode::CREATED } else { StatusCode::OK };
        answer(status, &json!({"namespace": self.namespace, "payment": self.name}))
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
