//! The custom resources as users write them and as `kubectl explain` prints them.
//!
//! These types hold amounts, quantities and times as they were written. The operator parses them once into the
//! types of the ledger crate. Enums that users choose from are types of the ledger crate, so that one type
//! serves both. Doc comments of fields are user documentation: they become the descriptions of the CRDs.
#![expect(clippy::duplicated_attributes, reason = "every printer column has a type of its own")]

pub mod account_key;
pub mod amount;
pub mod condition;
pub mod credit_adjustment;
pub mod credit_ledger;
pub mod credit_pack;
pub mod definitions;
pub mod event;
pub mod fact;
pub mod payment;
pub mod quantity;
pub mod reason;
pub mod schema;
pub mod stated_time;
pub mod subscription;
pub mod usage_meter;
pub mod usage_report;

pub use account_key::AccountKey;
pub use amount::Amount;
pub use condition::{Condition, READY, RECONCILING, STALLED, condition};
pub use credit_adjustment::{
    CreditAdjustment, CreditAdjustmentSpec, CreditAdjustmentState, CreditAdjustmentStatus,
};
pub use credit_ledger::{CreditLedger, CreditLedgerSpec};
pub use credit_pack::{CreditPack, CreditPackSpec, CreditPackState, CreditPackStatus};
pub use payment::{Payment, PaymentSpec, PaymentStatus, PaymentVerdict};
pub use quantity::Quantity;
pub use subscription::{
    API_KEY_PREFIX, GATES_NAMESPACE, LedgerReference, Subscription, SubscriptionSpec, SubscriptionStatus,
    TEST_CLOCK,
};
pub use usage_meter::{UsageMeter, UsageMeterSpec, UsageMeterStatus};
pub use usage_report::{UsageReport, UsageReportSpec, UsageReportState, UsageReportStatus};

// Users choose from these enums, and the laws use them too: one type serves both.
pub use flashgate_ledger::catalog::{BillingPeriod, PackPurchases};
pub use flashgate_ledger::facts::{PaymentState, Renewal};
pub use flashgate_ledger::gate::GateReason;
pub use flashgate_ledger::invoice::InvoiceState;
pub use flashgate_ledger::ledger::RequestState;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use schema::{OBJECT_NAME_LENGTH, OBJECT_NAME_PATTERN, form};

/// API group of every kind.
pub const GROUP: &str = "billing.flashgate.dev";
/// API version of every kind.
pub const VERSION: &str = "v1alpha1";
/// Value of `apiVersion` of every object.
pub const API_VERSION: &str = "billing.flashgate.dev/v1alpha1";

/// A reference to a Subscription in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionRef {
    /// Name of a Subscription in the same namespace, such as `acme`. You can create it later: until then this
    /// object is pending.
    #[schemars(length(min = 1, max = OBJECT_NAME_LENGTH), extend("x-kubernetes-validations" = [form(
        OBJECT_NAME_PATTERN,
        "the name of a Subscription: lower-case letters, digits, '-' and '.', starting and ending with a letter or \
         digit, such as 'acme'",
    )]))]
    pub name: String,
}
