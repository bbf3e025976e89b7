//! The request of a visitor who chose a plan or a pack.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::problem::Problem;
use super::visitor::Visitor;
use crate::account::Account;
use crate::parameters::parsed;
use crate::portal::Portal;

/// A visitor at the page of a choice.
pub(super) struct Chosen {
    /// The visitor.
    pub visitor: Visitor,
    /// The account, which the visitor may see.
    pub account: Account,
    /// Id of a billing period, or name of a pack.
    pub choice: String,
    /// The parameters of the page.
    pub format: Format,
}

/// The names in the path.
#[derive(Deserialize)]
struct ChoicePath {
    choice: String,
}

/// The parameters of the page of a choice.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Format {
    /// `yaml` for the object to apply as a file.
    #[serde(default)]
    format: String,
    /// The idempotency key, which names the object of an order.
    #[serde(default)]
    pub key: String,
}

impl Format {
    /// Returns whether the object to apply is requested.
    pub(super) fn is_yaml(&self) -> bool {
        self.format == "yaml"
    }
}

/// The form of a confirmation.
#[derive(Deserialize)]
pub(super) struct ConfirmForm {
    /// The key that all repetitions of this form have.
    pub key: String,
}

impl FromRequestParts<Portal> for Chosen {
    type Rejection = Problem;

    /// Reads the account with the visitor's token. A visitor who may not see it learns nothing about the choice.
    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Problem> {
        let visitor = Visitor::from_request_parts(parts, portal).await?;
        let account = portal.account(&visitor.caller).await?;
        let path = Path::<ChoicePath>::from_request_parts(parts, portal).await;
        let choice = path.map(|Path(ChoicePath { choice })| choice).unwrap_or_default();
        let format = parsed(Query::<Format>::from_request_parts(parts, portal).await)?;
        Ok(Self { visitor, account, choice, format })
    }
}

impl Chosen {
    /// Leads to the outcome of a confirmed choice.
    pub(super) fn outcome(&self, session: &str) -> Response {
        Redirect::to(&self.visitor.path(&format!("outcome/{session}"))).into_response()
    }
}
