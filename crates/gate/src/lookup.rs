//! Finds the account that a request names.
//!
//! Every doubt counts as no account: a header that is there twice, a comma, an empty or malformed name. Otherwise a client
//! could name one account for the gate and another one for the server behind it.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;

use crate::account_name::{is_account, is_namespace, is_object};
use crate::key_hash::KeyHash;
use crate::template::{Template, TemplateError};

#[cfg(test)]
mod tests;

/// Scheme of the header `Authorization`, in front of a key.
const BEARER: &str = "bearer ";

/// Headers in which proxies pass on the path of a request: nginx sets the first one by its usual configuration, Caddy and
/// Traefik set the second one.
const ORIGINAL_PATH: [HeaderName; 2] =
    [HeaderName::from_static("x-original-uri"), HeaderName::from_static("x-forwarded-uri")];

/// The part of a request that names its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A header with `namespace/name`.
    Header(HeaderName),
    /// A template over headers and the path.
    Template(Template),
    /// A header with an API key.
    ApiKey(HeaderName),
}

/// Why a lookup cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// A text is no name of a header.
    #[error("'{0}' is no name of a header: use letters, digits and '-', such as 'x-flashgate-account'")]
    Header(String),
    /// A text is no template.
    #[error("the template '{template}' cannot be used: {error}")]
    Template {
        /// The text.
        template: String,
        /// The error.
        error: TemplateError,
    },
}

/// An account as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// By `namespace/name`. The form is correct, but there may be no such account.
    Name(Cow<'a, str>),
    /// By an API key.
    Key(KeyHash),
}

/// The headers of a request.
pub trait RequestHeaders {
    /// Returns the value of a header, if it has exactly one, and that is a text.
    fn only_value<'a>(&'a self, name: &HeaderName) -> Option<&'a str>;
}

impl RequestHeaders for HeaderMap {
    fn only_value<'a>(&'a self, name: &HeaderName) -> Option<&'a str> {
        let mut values = self.get_all(name).into_iter();
        let value = values.next()?;
        if values.next().is_some() { None } else { value.to_str().ok() }
    }
}

/// Returns the value of a header that is not in doubt: several values may have been joined by commas.
pub(crate) fn value<'a>(headers: &'a impl RequestHeaders, name: &HeaderName) -> Option<&'a str> {
    headers.only_value(name).filter(|value| !value.is_empty() && !value.contains(','))
}

impl Lookup {
    /// Returns the lookup by a header with `namespace/name`.
    ///
    /// # Errors
    /// When the text is no name of a header.
    pub fn header(name: &str) -> Result<Self, LookupError> {
        header_name(name).map(Self::Header)
    }

    /// Returns the lookup by a template, see [`Template`].
    ///
    /// # Errors
    /// When the text is no template.
    pub fn template(template: &str) -> Result<Self, LookupError> {
        let parsed = template.parse();
        parsed
            .map(Self::Template)
            .map_err(|error| LookupError::Template { template: template.to_owned(), error })
    }

    /// Returns the lookup by a header with an API key.
    ///
    /// # Errors
    /// When the text is no name of a header.
    pub fn api_key(name: &str) -> Result<Self, LookupError> {
        header_name(name).map(Self::ApiKey)
    }

    /// Returns whether the lookup uses the path of a request.
    #[must_use]
    pub fn needs_path(&self) -> bool {
        matches!(self, Self::Template(template) if template.needs_path())
    }

    /// Returns the account that a request names, if it names exactly one.
    #[must_use]
    pub fn named<'a>(&self, headers: &'a impl RequestHeaders, path: Option<&str>) -> Option<Named<'a>> {
        match self {
            // A name has no comma and is not empty.
            Self::Header(name) => {
                headers.only_value(name).filter(|name| is_account(name)).map(|name| Named::Name(name.into()))
            }
            Self::Template(template) => template
                .expand(headers, path)
                .filter(|name| is_account(name))
                .map(|name| Named::Name(name.into())),
            Self::ApiKey(name) => {
                value(headers, name).and_then(key).map(|key| Named::Key(KeyHash::of_key(key)))
            }
        }
    }
}

fn header_name(name: &str) -> Result<HeaderName, LookupError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| LookupError::Header(name.to_owned()))
}

/// Returns the key in the value of a header. The case of a scheme does not matter (RFC 9110, section 11.1).
fn key(value: &str) -> Option<&str> {
    let key = match value.split_at_checked(BEARER.len()) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(BEARER) => key.trim_start_matches(' '),
        _ => value,
    };
    (!key.is_empty()).then_some(key)
}

/// Returns the account that a path names as `{namespace}/{name}`, each decoded once.
#[must_use]
pub fn named_by_path(path: &str) -> Option<Named<'_>> {
    if !path.contains('%') {
        return is_account(path).then_some(Named::Name(Cow::Borrowed(path)));
    }
    let (namespace, name) = path.split_once('/')?;
    let decoded = |part| percent_decode_str(part).decode_utf8().ok();
    let (namespace, name) = (decoded(namespace)?, decoded(name)?);
    (is_namespace(&namespace) && is_object(&name)).then(|| Named::Name(format!("{namespace}/{name}").into()))
}

/// Returns the path of the request about which a proxy asks, as its headers say. A client can send the header that the proxy
/// does not set, so two headers that differ give no path.
#[must_use]
pub fn original_path(headers: &HeaderMap) -> Option<&str> {
    let mut paths =
        ORIGINAL_PATH.into_iter().flat_map(|name| headers.get_all(name)).map(|path| path.to_str().ok());
    let first = paths.next()?;
    paths.all(|path| path == first).then_some(first)?
}
