//! The place of a history, as given by `--history`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// The place of a history.
///
/// ```
/// use flashgate_history::HistoryUrl;
/// let url: HistoryUrl = "postgres://billing:secret@db:5432/history".parse()?;
/// assert_eq!(url.to_string(), "postgres://billing:***@db:5432/history");
/// # Ok::<(), flashgate_history::ParseUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum HistoryUrl {
    /// No history is kept.
    None,
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A database of PostgreSQL: a URL that begins with `postgres://` or `postgresql://`.
    Postgres(String),
}

/// The error for a text that is not the place of a history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUrlError {
    /// It has none of the known forms.
    #[error("the history must be 'none', 'sqlite:PATH' or 'postgres://USER:PASSWORD@HOST/DATABASE'")]
    UnknownForm,
    /// The path of the file is missing.
    #[error(
        "'sqlite:' must be followed by the path of a file, such as 'sqlite:/var/lib/flashgate-billing/history.db'"
    )]
    NoPath,
    /// The URL of PostgreSQL is malformed. The message does not repeat it, because it can have a password.
    #[error("the URL of PostgreSQL is malformed: {0}")]
    Malformed(String),
}

impl FromStr for HistoryUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::None);
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            // `sqlite:///path` is a common form of the same.
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(ParseUrlError::NoPath) } else { Ok(Self::Sqlite(path.into())) };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            PgConnectOptions::from_str(text).map_err(|error| ParseUrlError::Malformed(error.to_string()))?;
            return Ok(Self::Postgres(text.to_owned()));
        }
        Err(ParseUrlError::UnknownForm)
    }
}

impl fmt::Display for HistoryUrl {
    /// Writes the place with `***` instead of the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Self::Postgres(url) => formatter.write_str(&masked(url)),
        }
    }
}

impl fmt::Debug for HistoryUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Replaces each password of a URL by `***`.
fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    // The password ends at the last `@`, in case that one in the password is not encoded.
    let place = match place.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@{host}"),
            None => format!("{user}@{host}"),
        },
        None => place.to_owned(),
    };
    let masked_pair = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if key.to_ascii_lowercase().contains("pass") => format!("{key}=***"),
        _ => pair.to_owned(),
    };
    let query = query.map(|query| query.split('&').map(masked_pair).collect::<Vec<_>>().join("&"));
    match query {
        Some(query) => format!("{scheme}://{place}?{query}"),
        None => format!("{scheme}://{place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_parsed() {
        assert_eq!("none".parse(), Ok(HistoryUrl::None));
        assert_eq!("sqlite:/data/history.db".parse(), Ok(HistoryUrl::Sqlite("/data/history.db".into())));
        assert_eq!("sqlite:///data/history.db".parse(), Ok(HistoryUrl::Sqlite("/data/history.db".into())));
        assert_eq!("sqlite:history.db".parse(), Ok(HistoryUrl::Sqlite("history.db".into())));
        let postgres = "postgresql://db/history?sslmode=verify-full&sslrootcert=/ca.crt";
        assert_eq!(postgres.parse(), Ok(HistoryUrl::Postgres(postgres.to_owned())));
    }

    #[test]
    fn other_forms_are_refused() {
        assert_eq!("".parse::<HistoryUrl>(), Err(ParseUrlError::UnknownForm));
        assert_eq!("mysql://db".parse::<HistoryUrl>(), Err(ParseUrlError::UnknownForm));
        assert_eq!("sqlite:".parse::<HistoryUrl>(), Err(ParseUrlError::NoPath));
        for url in ["postgres://secret@db:port/x", "postgres://u:secret@db/x?sslmode=never"] {
            let error = url.parse::<HistoryUrl>().expect_err("malformed");
            assert!(matches!(error, ParseUrlError::Malformed(_)), "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn passwords_are_masked_wherever_they_are() {
        let shown = |url: &str| HistoryUrl::Postgres(url.to_owned()).to_string();
        assert_eq!(shown("postgres://u:p@ss@db/x"), "postgres://u:***@db/x");
        assert_eq!(shown("postgres://u@db/x"), "postgres://u@db/x");
        assert_eq!(
            shown("postgres://db/x?user=u&password=s&sslmode=require"),
            "postgres://db/x?user=u&password=***&sslmode=require"
        );
        assert!(
            !format!("{:?}", HistoryUrl::Postgres("postgres://u:secret@db/x".to_owned())).contains("secret")
        );
    }
}
