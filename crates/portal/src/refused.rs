//! Refused requests: the error codes, their statuses, and the body that clients read.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::json_response;
use crate::kubernetes::CallError;
use crate::number::Time;

/// The reason of an error in one word, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The header `Authorization` is missing or malformed, or Kubernetes refuses the token.
    Unauthorized,
    /// Kubernetes knows no user for the token.
    UserNotFound,
    /// The caller may not do this.
    Forbidden,
    /// The request comes from a page of another origin.
    ForeignOrigin,
    /// This server does not write objects: apply `manifest`.
    WritesByManifest,
    /// The path has no call.
    NotFound,
    /// The path has no call with this method.
    MethodNotAllowed,
    /// The Subscription does not exist.
    SubscriptionNotFound,
    /// The Subscription does not exist.
    NoOrganization,
    /// The Subscription does not exist.
    OrgNotFound,
    /// A parameter of the query or a header is invalid.
    InvalidParameter,
    /// A date is invalid.
    InvalidDate,
    /// The body is invalid.
    InvalidBody,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The body is too large.
    BodyTooLarge,
    /// The body was not complete in time.
    RequestTimeout,
    /// The token made too many requests.
    RateLimited,
    /// The catalog has no such pack.
    PackNotFound,
    /// Packs cannot be bought under the plan or the unpaid period in force.
    PlanNotEligible,
    /// The packs of the month are used up.
    PackLimitReached,
    /// The order was refused for another reason.
    OrderRefused,
    /// The catalog has no such plan and billing period.
    SubscriptionPeriodNotFound,
    /// The change of the plan was refused.
    ChangeRefused,
    /// The idempotency key was used with another body.
    IdempotencyKeyReused,
    /// Another client changed the object at the same time.
    Conflict,
    /// The account has no such session.
    InvalidSession,
    /// No plan invoice is open.
    NoPendingPayment,
    /// The open plan invoice cannot be cancelled.
    PaymentNotCancellable,
    /// The server failed.
    InternalError,
    /// The API server of Kubernetes did not answer.
    Unavailable,
    /// The request took too long.
    Timeout,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 31] = [
        Self::Unauthorized,
        Self::UserNotFound,
        Self::Forbidden,
        Self::ForeignOrigin,
        Self::WritesByManifest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::SubscriptionNotFound,
        Self::NoOrganization,
        Self::OrgNotFound,
        Self::InvalidParameter,
        Self::InvalidDate,
        Self::InvalidBody,
        Self::UnsupportedMediaType,
        Self::BodyTooLarge,
        Self::RequestTimeout,
        Self::RateLimited,
        Self::PackNotFound,
        Self::PlanNotEligible,
        Self::PackLimitReached,
        Self::OrderRefused,
        Self::SubscriptionPeriodNotFound,
        Self::ChangeRefused,
        Self::IdempotencyKeyReused,
        Self::Conflict,
        Self::InvalidSession,
        Self::NoPendingPayment,
        Self::PaymentNotCancellable,
        Self::InternalError,
        Self::Unavailable,
        Self::Timeout,
    ];

    /// Returns the HTTP status of answers with this code.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized | Self::UserNotFound => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::ForeignOrigin | Self::WritesByManifest | Self::PlanNotEligible => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound
            | Self::SubscriptionNotFound
            | Self::NoOrganization
            | Self::OrgNotFound
            | Self::PackNotFound
            | Self::NoPendingPayment => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::InvalidParameter
            | Self::InvalidDate
            | Self::InvalidBody
            | Self::OrderRefused
            | Self::SubscriptionPeriodNotFound
            | Self::ChangeRefused
            | Self::InvalidSession
            | Self::PaymentNotCancellable => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited | Self::PackLimitReached => StatusCode::TOO_MANY_REQUESTS,
            Self::IdempotencyKeyReused | Self::Conflict => StatusCode::CONFLICT,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failure {
    /// It is false.
    pub success: bool,
    /// The reason in one word.
    pub error_code: ErrorCode,
    /// The reason and the remedy in a sentence.
    pub message: String,
    /// Time from which the same request is allowed. Absent if waiting does not help.
    #[serde(rename = "nextAvailableAt", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub next_available_at: Option<Time>,
    /// The object to apply instead, as YAML. Absent if this server writes objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub manifest: Option<String>,
}

/// A request that is refused. Its message has no figures of an account and no part of a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The reason.
    pub code: ErrorCode,
    /// The reason and the remedy in a sentence.
    pub message: String,
    /// Time from which the same request is allowed.
    pub next_available_time: Option<Timestamp>,
    /// The object to apply instead.
    pub manifest: Option<String>,
}

impl Refused {
    /// Returns a refusal.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), next_available_time: None, manifest: None }
    }

    /// Returns the refusal of a parameter with the required value.
    #[must_use]
    pub fn parameter(name: &str, required: &str) -> Self {
        Self::new(ErrorCode::InvalidParameter, format!("`{name}` must be {required}"))
    }

    /// Returns the refusal with another code for a Subscription that does not exist.
    #[must_use]
    pub fn with_missing_as(self, code: ErrorCode) -> Self {
        if self.code == ErrorCode::SubscriptionNotFound { Self { code, ..self } } else { self }
    }

    /// Returns the refusal for a Subscription that does not exist.
    #[must_use]
    pub fn missing() -> Self {
        Self::new(
            ErrorCode::SubscriptionNotFound,
            "the Subscription does not exist: check namespace and name in the URL",
        )
    }
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unauthorized => Self::new(
                ErrorCode::Unauthorized,
                "Kubernetes does not accept the token: send a valid one as 'Authorization: Bearer TOKEN'",
            ),
            CallError::Forbidden { call } => Self::new(
                ErrorCode::Forbidden,
                format!("Kubernetes does not allow you to {call}: ask for a role such as 'flashgate-tenant'"),
            ),
            CallError::NotFound { call } => {
                Self::new(ErrorCode::NotFound, format!("an object does not exist: {call}"))
            }
            CallError::AlreadyExists { .. } | CallError::Conflict { .. } => Self::new(
                ErrorCode::Conflict,
                "another client changed the object at the same time: send the request again",
            ),
            CallError::Invalid { message, .. } => Self::new(ErrorCode::InvalidBody, message),
            CallError::Unavailable { call, detail } => {
                tracing::warn!(call, detail, "the API server did not answer");
                Self::new(ErrorCode::Unavailable, "Kubernetes does not answer: send the request again later")
            }
        }
    }
}

/// Returns the refusal for an error about the Subscription of the URL.
pub(crate) fn of_subscription(error: CallError) -> Refused {
    match error {
        CallError::NotFound { .. } => Refused::missing(),
        other => other.into(),
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self { code, message, next_available_time, manifest } = self;
        let next_available_at = next_available_time.map(Time);
        let failure = Failure { success: false, error_code: code, message, next_available_at, manifest };
        let mut response = json_response(code.status(), &failure);
        let headers = response.headers_mut();
        match code {
            ErrorCode::Unauthorized | ErrorCode::UserNotFound => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            ErrorCode::RateLimited | ErrorCode::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}
