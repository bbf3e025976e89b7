//! The configuration of a gate.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::account_name::is_namespace;
use crate::lookup::Lookup;

/// Shortest and longest time without contact after which the state is stale.
const STALE_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24));

/// The answer to requests that the gate cannot judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They are let through.
    Allow,
    /// They are refused.
    Deny,
}

impl Policy {
    /// Every policy.
    pub const ALL: [Self; 2] = [Self::Allow, Self::Deny];

    /// Returns the word of the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Policy {
    type Err = ConfigurationError;

    fn from_str(text: &str) -> Result<Self, ConfigurationError> {
        let found = Self::ALL.into_iter().find(|policy| policy.as_str() == text);
        found.ok_or_else(|| ConfigurationError::Policy(text.to_owned()))
    }
}

/// The answers to requests that the gate cannot judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// For requests that name no known account.
    pub unknown: Policy,
    /// For requests while the state is stale.
    pub stale: Policy,
}

/// The configuration of a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The part of a request that names its account.
    pub lookup: Lookup,
    /// The answers to requests that the gate cannot judge.
    pub policies: Policies,
    /// Time without contact with the API server after which the state is stale.
    pub stale_after: Duration,
    /// Address of the page on which customers can pay, for the answers.
    pub billing_page: Option<String>,
    /// Namespaces of the accounts. All if it is empty.
    pub namespaces: Vec<String>,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationError {
    /// A word is no policy.
    #[error("'{0}' is no policy: use 'allow' or 'deny'")]
    Policy(String),
    /// The time is too short or too long.
    #[error("the state must count as stale after 1 second to 24 hours, not after {0:?}")]
    StaleAfter(Duration),
    /// A text is no name of a namespace.
    #[error(
        "'{0}' is no name of a namespace: use lower-case letters, digits and '-', starting and ending with a letter or digit"
    )]
    Namespace(String),
    /// A text is no address of a page.
    #[error("'{0}' is no address of a page: it must begin with 'https://' or 'http://' and have no spaces")]
    BillingPage(String),
}

impl Configuration {
    /// Returns the configuration in which each namespace is named once.
    ///
    /// # Errors
    /// When a value is not allowed.
    pub fn checked(mut self) -> Result<Self, ConfigurationError> {
        let (shortest, longest) = STALE_AFTER;
        if !(shortest..=longest).contains(&self.stale_after) {
            return Err(ConfigurationError::StaleAfter(self.stale_after));
        }
        self.namespaces.sort_unstable();
        self.namespaces.dedup();
        if let Some(namespace) = self.namespaces.iter().find(|namespace| !is_namespace(namespace)) {
            return Err(ConfigurationError::Namespace(namespace.clone()));
        }
        if let Some(page) = self.billing_page.as_ref().filter(|page| !is_address(page)) {
            return Err(ConfigurationError::BillingPage(page.clone()));
        }
        Ok(self)
    }

    /// Returns the namespaces, each to be listed and watched on its own. `None` stands for all.
    #[must_use]
    pub fn lists(&self) -> Vec<Option<&str>> {
        if self.namespaces.is_empty() {
            return vec![None];
        }
        self.namespaces.iter().map(|namespace| Some(namespace.as_str())).collect()
    }
}

fn is_address(page: &str) -> bool {
    let host = ["https://", "http://"].iter().find_map(|scheme| page.strip_prefix(scheme));
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::configuration;

    #[test]
    fn a_policy_is_one_of_two_words() {
        assert_eq!("allow".parse(), Ok(Policy::Allow));
        assert_eq!("deny".parse(), Ok(Policy::Deny));
        for text in ["", "Allow", "DENY", "yes"] {
            assert_eq!(text.parse::<Policy>(), Err(ConfigurationError::Policy(text.to_owned())));
        }
        assert_eq!(
            "yes".parse::<Policy>().expect_err("error").to_string(),
            "'yes' is no policy: use 'allow' or 'deny'"
        );
    }

    #[test]
    fn the_time_until_the_state_is_stale_has_limits() {
        for (time, is_allowed) in [
            (Duration::from_millis(999), false),
            (Duration::from_secs(1), true),
            (Duration::from_hours(24), true),
            (Duration::from_secs(24 * 3_600 + 1), false),
        ] {
            let checked = Configuration { stale_after: time, ..configuration() }.checked();
            assert_eq!(checked.is_ok(), is_allowed, "{time:?}");
        }
        let checked = Configuration { stale_after: Duration::ZERO, ..configuration() }.checked();
        assert_eq!(
            checked.expect_err("error").to_string(),
            "the state must count as stale after 1 second to 24 hours, not after 0ns"
        );
    }

    #[test]
    fn a_namespace_is_listed_once() {
        assert_eq!(configuration().checked().expect("configuration").lists(), [None]);
        let namespaces = ["b", "a", "b"].map(str::to_owned).to_vec();
        let checked = Configuration { namespaces, ..configuration() }.checked().expect("configuration");
        assert_eq!(checked.lists(), [Some("a"), Some("b")]);
        for odd in ["", "A", "a/b", "a.b", "-a"] {
            let namespaces = vec!["a".to_owned(), odd.to_owned()];
            let checked = Configuration { namespaces, ..configuration() }.checked();
            assert_eq!(checked, Err(ConfigurationError::Namespace(odd.to_owned())));
        }
    }

    #[test]
    fn a_billing_page_is_an_address() {
        let checked = |page: &str| {
            Configuration { billing_page: Some(page.to_owned()), ..configuration() }.checked().is_ok()
        };
        for page in ["https://billing.example.com", "http://localhost:8080/accounts?x=1"] {
            assert!(checked(page), "{page}");
        }
        for page in [
            "",
            "billing.example.com",
            "https://",
            "javascript:alert(1)",
            "https://a b",
            "https://ä",
            "http://a\n",
        ] {
            assert!(!checked(page), "{page:?}");
        }
    }
}
