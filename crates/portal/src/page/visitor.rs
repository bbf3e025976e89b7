//! The visitor of a page: the caller, the account of the URL, and the links of it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::layout::{Part, Site};
use super::problem::Problem;
use super::session::Session;
use crate::caller::Caller;
use crate::portal::Portal;
use crate::token::Token;

/// A signed-in visitor of a page that is not about one account.
#[derive(Clone)]
pub(crate) struct Guest {
    /// The token.
    pub token: Token,
    /// The site as this visitor sees it.
    pub site: Site,
}

impl FromRequestParts<Portal> for Guest {
    type Rejection = Problem;

    /// Returns the visitor. A request without a token leads to the sign-in.
    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Problem> {
        let session = Session::of(portal, &parts.headers)?;
        portal.admit(&session.token)?;
        Ok(Self { site: Site::of_session(portal, &session), token: session.token })
    }
}

/// A signed-in visitor of a page about an account.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// The caller, with the token, namespace and name for calls.
    pub caller: Caller,
    /// The site as this visitor sees it.
    pub site: Site,
}

impl FromRequestParts<Portal> for Visitor {
    type Rejection = Problem;

    /// Returns the visitor. A request without a token leads to the sign-in, and learns nothing about names.
    async fn from_request_parts(parts: &mut Parts, portal: &Portal) -> Result<Self, Problem> {
        let Guest { token, site } = Guest::from_request_parts(parts, portal).await?;
        let caller = Caller::named(token, parts, portal).await?;
        Ok(Self { caller, site })
    }
}

impl Visitor {
    /// Returns the path of a part of this account's page.
    pub(crate) fn part(&self, part: Part) -> String {
        self.path(part.path())
    }

    /// Returns a path below this account, such as `invoices/acme-1f3a9c2e-0001`.
    pub(crate) fn path(&self, below: &str) -> String {
        self.site.path(&format!("/{}/{}/{below}", self.caller.namespace, self.caller.name))
    }
}
