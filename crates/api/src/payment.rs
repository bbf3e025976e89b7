//! Payment: a report that an invoice was paid, failed, cancelled or refunded.

use flashgate_ledger::facts::PaymentState;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::schema::{
    CURRENCY_PATTERN, INVOICE_NUMBER_LENGTH, MAX_INTEGER, STATED_AMOUNT_PATTERN, form, immutable, rule,
    stated_amount,
};
use super::{Amount, SubscriptionRef, condition};

/// A report about an invoice: settled, failed, cancelled or refunded.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "billing.flashgate.dev",
    version = "v1alpha1",
    kind = "Payment",
    plural = "payments",
    namespaced,
    shortname = "fgpay",
    category = "flashgate",
    status = "PaymentStatus",
    derive = "PartialEq",
    selectable = ".spec.subscriptionRef.name",
    selectable = ".status.state",
    doc = "A Payment reports the state of one invoice: it was settled, an attempt failed, it was cancelled, or it \
           was refunded. Payment agents write it. Use the identifier of the provider's event as its name: a repeated \
           delivery is then a conflict, not a second payment. \
           Never put card data or keys here.",
    printcolumn(
        name = "Subscription",
        type_ = "string",
        json_path = ".spec.subscriptionRef.name",
        description = "Subscription of the invoice"
    ),
    printcolumn(
        name = "Invoice",
        type_ = "string",
        json_path = ".spec.invoice",
        description = "Number of the invoice"
    ),
    printcolumn(
        name = "Reports",
        type_ = "string",
        json_path = ".spec.state",
        description = "Reported state of the invoice"
    ),
    printcolumn(
        name = "Amount",
        type_ = "string",
        json_path = ".spec.amount",
        description = "Amount that was paid"
    ),
    printcolumn(
        name = "Currency",
        type_ = "string",
        json_path = ".spec.currency",
        description = "Currency of the amount"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "The verdict"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1,
        description = "Reason of the Ready condition"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1,
        description = "Message of the Ready condition"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since creation"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(
    description = "A report about an invoice: settled, failed, cancelled or refunded. Immutable.",
    extend("x-kubernetes-validations" = [immutable("report what happened next as another Payment")])
)]
pub struct PaymentSpec {
    /// The Subscription that the invoice belongs to.
    pub subscription_ref: SubscriptionRef,
    /// Number of the invoice, as in `status.invoices` of the Subscription, such as `acme-1f3a9c2e-0007`.
    #[schemars(length(min = 1, max = INVOICE_NUMBER_LENGTH), extend("x-kubernetes-validations" = [form(
        "^[-.a-z0-9]+$",
        "the number of an invoice as the Subscription's `status.invoices` shows it, such as 'acme-1f3a9c2e-0007'",
    )]))]
    pub invoice: String,
    /// `Settled`: the invoice was paid in full. `Failed`: an attempt to pay it failed; it stays open until its
    /// due time, so another attempt can settle it. `Cancelled`: the provider ended the payment, for example
    /// because the checkout expired; the invoice becomes void immediately, or at its due time if it is for a
    /// renewal. `Refunded`: it was paid back in full, and the operator takes back the remaining credits.
    pub state: PaymentState,
    /// Amount in units of the currency, such as `"300"` or `"19.99"`. It must equal the amount of the invoice.
    #[schemars(schema_with = "stated_sum")]
    pub amount: Amount,
    /// Currency as an ISO 4217 code, such as `USD`. It must equal the currency of the invoice.
    #[schemars(length(max = 3), extend("x-kubernetes-validations" = [form(
        CURRENCY_PATTERN,
        "three capital letters, such as 'USD'",
    )]))]
    pub currency: String,
    /// Identifier of the payment at the provider, such as `pi_123`. The operator stores it and does not
    /// interpret it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub reference: Option<String>,
}

/// Returns the schema of the amount that was paid.
fn stated_sum(_: &mut SchemaGenerator) -> Schema {
    stated_amount(json!([form(
        STATED_AMOUNT_PATTERN,
        "a decimal below 10^15 with at most 9 fractional digits, such as '300' or '19.99'",
    )]))
}

/// The verdict.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "The verdict. Only the operator writes it.")]
pub struct PaymentStatus {
    /// The `metadata.generation` that this status describes; -1 until the operator has seen the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1, max = MAX_INTEGER))]
    pub observed_generation: Option<i64>,
    /// `Applied` or `Refused`. Both are final. Absent while the payment is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" =
        [rule("self == oldSelf", "must not change once it is set: a verdict is final")]))]
    pub state: Option<PaymentVerdict>,
    /// `Ready` is true when the payment is applied. `Stalled` is true when someone must act: the payment was
    /// refused, or it settled a void invoice and a refund is due.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition::conditions")]
    pub conditions: Vec<Condition>,
}

/// The verdict on a Payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[schemars(transform = super::schema::without_description)]
pub enum PaymentVerdict {
    /// The account contains its effect.
    Applied,
    /// It changed nothing. The condition `Ready` has the reason.
    Refused,
}
