//! Forms of the page: their fields, and the check that this page sent them to the visitor.

use axum::extract::{FromRequest, Request};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::secret::Secret;
use super::session::Session;
use crate::body;
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};

/// The fields of a form that a visitor sent.
pub(crate) struct Sent<T>(pub T);

/// The field with the secret of the visitor's forms.
#[derive(Deserialize)]
struct Checked {
    #[serde(default)]
    secret: String,
}

impl<T: DeserializeOwned> FromRequest<Portal> for Sent<T> {
    type Rejection = Problem;

    /// Returns the fields of a form of this page. A form from elsewhere is refused before its fields are read.
    async fn from_request(request: Request, portal: &Portal) -> Result<Self, Problem> {
        let Session { token, .. } = Session::of(portal, request.headers())?;
        let text = body::form(request).await?;
        let Checked { secret } = fields(&text)?;
        if Secret::of(&token).is_some_and(|known| known.accepts(&secret)) {
            Ok(Self(fields(&text)?))
        } else {
            let message =
                "the form was not made for this sign-in: open the page again, and send it from there";
            Err(Refused::new(ErrorCode::ForeignOrigin, message).into())
        }
    }
}

/// Returns the fields of a form.
///
/// # Errors
/// When one is missing, given twice, or has a wrong type.
pub(crate) fn fields<T: DeserializeOwned>(text: &[u8]) -> Result<T, Refused> {
    serde_urlencoded::from_bytes(text)
        .map_err(|error| Refused::new(ErrorCode::InvalidBody, format!("the form cannot be read: {error}")))
}

/// Returns the hidden field with the secret of a visitor's forms.
pub(crate) fn secret_field(secret: &str) -> Markup {
    html! { input type="hidden" name="secret" value=(secret); }
}
