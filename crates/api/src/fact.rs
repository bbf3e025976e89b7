//! The four kinds that state a fact about an account and get a verdict: reports, orders, payments and
//! adjustments.

use std::fmt;

use kube::Resource;
use serde::Serialize;

use crate::{
    Condition, CreditAdjustment, CreditAdjustmentState, CreditAdjustmentStatus, CreditPack, CreditPackState,
    CreditPackStatus, Payment, PaymentStatus, PaymentVerdict, UsageReport, UsageReportState,
    UsageReportStatus,
};

/// A kind that states a fact about an account.
pub trait FactObject: Resource<DynamicType = ()> {
    /// Its status.
    type Status: FactStatus + Clone + fmt::Debug + PartialEq + Serialize + Send + Sync + 'static;

    /// Returns the name of the Subscription whose account the fact is about.
    fn subscription_name(&self) -> &str;

    /// Returns the stored status. The API server sets a default before the operator has seen the object.
    fn status(&self) -> Option<&Self::Status>;

    /// Takes the status out of the object, if the operator has written one.
    fn take_written_status(&mut self) -> Option<Self::Status>;

    /// Returns true if the object has no final verdict.
    fn is_pending(&self) -> bool {
        let state = self.status().and_then(FactStatus::state);
        state.is_none_or(|state| !<Self::Status as FactStatus>::State::FINAL.contains(&state))
    }

    /// Returns the field selector by which the API server selects the objects that have no final verdict.
    #[must_use]
    fn pending_selector() -> String {
        let others = <Self::Status as FactStatus>::State::FINAL.iter();
        let terms: Vec<String> = others.map(|state| format!("status.state!={}", state.as_str())).collect();
        terms.join(",")
    }
}

/// The status of such a kind.
pub trait FactStatus {
    /// The verdict in one word.
    type State: FactState;

    /// Returns the verdict, or `None` while the object is pending.
    fn state(&self) -> Option<Self::State>;

    /// Returns the conditions.
    fn conditions(&self) -> &[Condition];
}

/// A verdict in one word: `status.state`.
pub trait FactState: Copy + PartialEq + 'static {
    /// The verdicts after which the operator decides nothing more about the object.
    const FINAL: &'static [Self];

    /// Returns the word.
    #[must_use]
    fn as_str(self) -> &'static str;
}

/// Declares a kind with its states. The operator decides nothing more in the states after `final`.
macro_rules! fact_object {
    ($kind:ident, $status:ident, $state:ident { $($name:ident),+ } final { $($final:ident),+ }) => {
        impl FactObject for $kind {
            type Status = $status;

            fn subscription_name(&self) -> &str {
                &self.spec.subscription_ref.name
            }

            fn status(&self) -> Option<&$status> {
                self.status.as_ref()
            }

            fn take_written_status(&mut self) -> Option<$status> {
                self.status.take().filter(|status| status.observed_generation != Some(-1))
            }
        }

        impl FactStatus for $status {
            type State = $state;

            fn state(&self) -> Option<$state> {
                self.state
            }

            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }
        }

        impl FactState for $state {
            const FINAL: &'static [Self] = &[$(Self::$final),+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

fact_object!(UsageReport, UsageReportStatus, UsageReportState { Charged, Rejected } final { Charged, Rejected });
fact_object!(
    CreditPack, CreditPackStatus,
    CreditPackState { AwaitingPayment, Granted, Refused, Refunded } final { Granted, Refused, Refunded }
);
fact_object!(Payment, PaymentStatus, PaymentVerdict { Applied, Refused } final { Applied, Refused });
fact_object!(
    CreditAdjustment, CreditAdjustmentStatus,
    CreditAdjustmentState { Granted, Refused } final { Granted, Refused }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_pending_until_it_is_granted_or_refused() {
        let mut pack = CreditPack::new("top-up", crate::CreditPackSpec::default());
        assert!(pack.is_pending());
        let mut show = |state| {
            pack.status = Some(CreditPackStatus { state: Some(state), ..CreditPackStatus::default() });
            pack.is_pending()
        };
        assert!(show(CreditPackState::AwaitingPayment));
        assert!(!show(CreditPackState::Granted), "the refund is shown when its Payment is");
        assert!(!show(CreditPackState::Refunded));
    }

    #[test]
    fn the_field_selector_selects_pending_objects() {
        assert_eq!(UsageReport::pending_selector(), "status.state!=Charged,status.state!=Rejected");
        assert_eq!(
            CreditPack::pending_selector(),
            "status.state!=Granted,status.state!=Refused,status.state!=Refunded"
        );
    }

    #[test]
    fn a_state_is_written_as_its_name() {
        let word = serde_json::to_value(CreditPackState::AwaitingPayment).expect("a word");
        assert_eq!(word, CreditPackState::AwaitingPayment.as_str());
    }
}
