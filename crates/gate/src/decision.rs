//! Decides whether a request may pass: a pure function of the account, the state of the watch and the policies.

use crate::configuration::{Policies, Policy};
use crate::figures::DecisionResult;
use crate::table::Found;

/// The account of a request, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Situation {
    /// The request names no account, or an API key that none or several have.
    Unnamed,
    /// The request names an account in the correct form, but none has this name.
    Absent,
    /// The request names this account.
    Known(Found),
}

/// Whether a request may pass, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The account is open.
    Allowed(Found),
    /// The account is closed.
    Spent(Found),
    /// No account is known.
    Unknown(Policy),
    /// The state is stale, so an account is neither open nor closed.
    Stale(Policy),
}

/// Decides whether a request may pass. A request without a name stays unknown while the state is stale: it would also be
/// unknown if the state were up to date.
#[must_use]
pub fn decide(situation: Situation, is_stale: bool, policies: Policies) -> Decision {
    match situation {
        Situation::Absent | Situation::Known(_) if is_stale => Decision::Stale(policies.stale),
        Situation::Unnamed | Situation::Absent => Decision::Unknown(policies.unknown),
        Situation::Known(found) if found.is_open => Decision::Allowed(found),
        Situation::Known(found) => Decision::Spent(found),
    }
}

impl Decision {
    /// Returns the result that the figures count.
    #[must_use]
    pub const fn result(&self) -> DecisionResult {
        match self {
            Self::Allowed(_) => DecisionResult::Allowed,
            Self::Spent(_) => DecisionResult::Spent,
            Self::Unknown(Policy::Allow) => DecisionResult::UnknownAllowed,
            Self::Unknown(Policy::Deny) => DecisionResult::UnknownDenied,
            Self::Stale(Policy::Allow) => DecisionResult::StaleAllowed,
            Self::Stale(Policy::Deny) => DecisionResult::StaleDenied,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::found;

    #[test]
    fn every_situation_has_one_result() {
        use DecisionResult::{Allowed, Spent, StaleAllowed, StaleDenied, UnknownAllowed, UnknownDenied};
        use Policy::{Allow, Deny};
        let known = |is_open| Situation::Known(found("team/acme", is_open));
        let (allow, deny) = (|stale| (Allow, stale), |stale| (Deny, stale));
        // One row a situation, one column a pair of policies (unknown, stale).
        let policies = [deny(Deny), deny(Allow), allow(Deny), allow(Allow)];
        for (situation, is_stale, results) in [
            (known(true), false, [Allowed; 4]),
            (known(false), false, [Spent; 4]),
            (Situation::Absent, false, [UnknownDenied, UnknownDenied, UnknownAllowed, UnknownAllowed]),
            (Situation::Unnamed, false, [UnknownDenied, UnknownDenied, UnknownAllowed, UnknownAllowed]),
            (known(true), true, [StaleDenied, StaleAllowed, StaleDenied, StaleAllowed]),
            (known(false), true, [StaleDenied, StaleAllowed, StaleDenied, StaleAllowed]),
            (Situation::Absent, true, [StaleDenied, StaleAllowed, StaleDenied, StaleAllowed]),
            (Situation::Unnamed, true, [UnknownDenied, UnknownDenied, UnknownAllowed, UnknownAllowed]),
        ] {
            for ((unknown, stale), result) in policies.into_iter().zip(results) {
                let decision = decide(situation.clone(), is_stale, Policies { unknown, stale });
                assert_eq!(
                    decision.result(),
                    result,
                    "{situation:?}, stale: {is_stale}, unknown: {unknown}, stale: {stale}"
                );
            }
        }
    }

    #[test]
    fn a_decision_about_an_account_has_its_state() {
        let policies = Policies { unknown: Policy::Deny, stale: Policy::Deny };
        for is_open in [true, false] {
            let account = found("team/acme", is_open);
            let decision = decide(Situation::Known(account.clone()), false, policies);
            assert_eq!(decision, if is_open { Decision::Allowed(account) } else { Decision::Spent(account) });
        }
    }
}
