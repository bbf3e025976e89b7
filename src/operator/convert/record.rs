//! Records of a ledger as compact JSON, one text each: the API server charges for nodes, not for bytes.
//!
//! Each type here mirrors one of the ledger's (`remote`): a field or variant that is added there and not here does
//! not compile, so nothing is lost on the way.

use flashgate_ledger::catalog::{BillingPeriod, PackPurchases};
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::grant::{Expiration, Grant, GrantSource};
use flashgate_ledger::invoice::{Attempts, ChangeReason, Invoice, InvoiceState, Purpose};
use flashgate_ledger::ledger::{AdjustmentRecord, Charge, RatedUsage, RefusalRecord, Terms};
use flashgate_ledger::purchase::{Purchase, PurchaseState};
use flashgate_ledger::refusal::{Refusal, RefusalReason};
use flashgate_ledger::statement::{Book, Statement};
use flashgate_ledger::{Credits, Quantity};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Something that a ledger holds as one text.
pub(super) trait Record: Sized {
    /// Returns the text.
    ///
    /// # Panics
    /// Never: every record has a form in JSON.
    fn write(&self) -> String;

    /// Reads the text.
    fn read(text: &str) -> Result<Self, serde_json::Error>;
}

/// Makes a mirrored type a [`Record`].
macro_rules! records {
    ($($held:ty as $mirror:ty),* $(,)?) => {$(
        impl Record for $held {
            fn write(&self) -> String {
                let mut text = Vec::with_capacity(256);
                <$mirror>::serialize(self, &mut serde_json::Serializer::new(&mut text)).expect(HAS_FORM);
                String::from_utf8(text).expect(HAS_FORM)
            }

            fn read(text: &str) -> Result<Self, serde_json::Error> {
                let mut reader = serde_json::Deserializer::from_str(text);
                let record = <$mirror>::deserialize(&mut reader)?;
                reader.end()?;
                Ok(record)
            }
        }
    )*};
}

/// What is promised of every record.
const HAS_FORM: &str = "a record has a form in JSON";

records! {
    Grant as GrantRecord,
    Purchase as PurchaseRecord,
    RefusalRecord as RefusalMirror,
    Invoice as InvoiceRecord,
    RatedUsage as RatedUsageRecord,
    Book as BookRecord,
    Statement as StatementRecord,
    Charge as ChargeRecord,
    Adjustment as Adjustment,
    Day as Day,
}

/// An adjustment with its name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Adjustment {
    pub(super) name: String,
    #[serde(with = "AdjustmentMirror")]
    pub(super) given: AdjustmentRecord,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "AdjustmentRecord", rename_all = "camelCase", deny_unknown_fields)]
struct AdjustmentMirror {
    #[serde(with = "amount")]
    credits: Credits,
    time: Timestamp,
}

/// What was consumed on a day.
#[derive(Serialize, Deserialize)]
pub(super) struct Day(pub(super) Date, #[serde(with = "amount")] pub(super) Credits);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Grant", rename_all = "camelCase", deny_unknown_fields)]
struct GrantRecord {
    #[serde(with = "source")]
    source: GrantSource,
    #[serde(with = "amount")]
    credits: Credits,
    #[serde(with = "amount")]
    remaining: Credits,
    effective_time: Timestamp,
    #[serde(with = "expiration", default, skip_serializing_if = "Option::is_none")]
    expiration: Option<Expiration>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Expiration", rename_all = "camelCase", deny_unknown_fields)]
struct ExpirationRecord {
    time: Timestamp,
    grace_seconds: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    passed: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Purchase", rename_all = "camelCase", deny_unknown_fields)]
struct PurchaseRecord {
    name: String,
    pack: String,
    arrival: Timestamp,
    #[serde(with = "amount")]
    credits: Credits,
    #[serde(with = "amount")]
    price: Credits,
    currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_after_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice: Option<u32>,
    #[serde(with = "PurchaseStateRecord")]
    state: PurchaseState,
}

#[derive(Serialize, Deserialize)]
#[serde(
    remote = "PurchaseState",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
enum PurchaseStateRecord {
    AwaitingPayment,
    Granted {
        time: Timestamp,
    },
    Refused {
        #[serde(with = "refusal_reason")]
        reason: RefusalReason,
    },
    Refunded {
        grant_time: Timestamp,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RefusalRecord", rename_all = "camelCase", deny_unknown_fields)]
struct RefusalMirror {
    #[serde(with = "FactKindRecord")]
    kind: FactKind,
    name: String,
    /// Called after what was kept first; a Payment's statement came later.
    #[serde(rename = "pack", skip_serializing_if = "Option::is_none")]
    stated: Option<String>,
    #[serde(with = "RefusalText")]
    refusal: Refusal,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Refusal", rename_all = "camelCase", deny_unknown_fields)]
struct RefusalText {
    #[serde(with = "refusal_reason")]
    reason: RefusalReason,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_available_time: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "FactKind")]
enum FactKindRecord {
    UsageReport,
    CreditPack,
    Payment,
    CreditAdjustment,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Invoice", rename_all = "camelCase", deny_unknown_fields)]
struct InvoiceRecord {
    number: u32,
    time: Timestamp,
    #[serde(rename = "for", with = "PurposeRecord")]
    purpose: Purpose,
    #[serde(with = "amount")]
    amount: Credits,
    currency: String,
    #[serde(with = "InvoiceStateRecord")]
    state: InvoiceState,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_time: Option<Timestamp>,
    #[serde(with = "optional_source", default, skip_serializing_if = "Option::is_none")]
    grant: Option<GrantSource>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    payments: Vec<String>,
    #[serde(with = "AttemptsRecord", default, skip_serializing_if = "has_none")]
    attempts: Attempts,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Attempts", rename_all = "camelCase", deny_unknown_fields)]
struct AttemptsRecord {
    count: u32,
    names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_time: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Purpose", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum PurposeRecord {
    Change {
        #[serde(with = "ChangeReasonRecord")]
        reason: ChangeReason,
        #[serde(with = "TermsRecord")]
        terms: Terms,
    },
    Renewal {
        period_number: u32,
    },
    Pack {
        name: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ChangeReason")]
enum ChangeReasonRecord {
    Start,
    Upgrade,
    Reactivation,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "InvoiceState")]
enum InvoiceStateRecord {
    Open,
    Settled,
    Void,
    RefundDue,
    Refunded,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Terms", rename_all = "camelCase", deny_unknown_fields)]
struct TermsRecord {
    plan: String,
    #[serde(with = "BillingPeriodRecord")]
    billing_period: BillingPeriod,
    #[serde(with = "amount")]
    credits: Credits,
    #[serde(with = "amount")]
    price: Credits,
    rank: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    lapses_to: Option<String>,
    #[serde(with = "PackPurchasesRecord")]
    pack_purchases: PackPurchases,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "BillingPeriod")]
enum BillingPeriodRecord {
    Monthly,
    Yearly,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PackPurchases")]
enum PackPurchasesRecord {
    Allowed,
    Refused,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RatedUsage", rename_all = "camelCase", deny_unknown_fields)]
struct RatedUsageRecord {
    node_type: String,
    operation: String,
    #[serde(with = "total")]
    quantity: Quantity,
    #[serde(with = "amount")]
    credits: Credits,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Statement", rename_all = "camelCase", deny_unknown_fields)]
struct StatementRecord {
    period_number: u32,
    start_time: Timestamp,
    end_time: Timestamp,
    plan: String,
    #[serde(with = "BillingPeriodRecord")]
    billing_period: BillingPeriod,
    #[serde(skip_serializing_if = "Option::is_none")]
    final_time: Option<Timestamp>,
    #[serde(rename = "final", default, skip_serializing_if = "std::ops::Not::not")]
    is_final: bool,
    #[serde(with = "BookRecord")]
    book: Book,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Book", rename_all = "camelCase", deny_unknown_fields)]
struct BookRecord {
    #[serde(with = "amount", default, skip_serializing_if = "is_zero")]
    opening: Credits,
    #[serde(with = "amount", default, skip_serializing_if = "is_zero")]
    granted: Credits,
    #[serde(with = "amount", default, skip_serializing_if = "is_zero")]
    purchased: Credits,
    #[serde(with = "amount", default, skip_serializing_if = "is_zero")]
    adjusted: Credits,
    #[serde(with = "amount", default, skip_serializing_if = "is_zero")]
    refunded: Credits,
    #[serde(with = "amount", default, skip_serializing_if = "is_zero")]
    consumed: Credits,
    #[serde(with = "amount", default, skip_serializing_if = "is_zero")]
    expired: Credits,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Charge", rename_all = "camelCase", deny_unknown_fields)]
struct ChargeRecord {
    name: String,
    uid: String,
    #[serde(with = "amount")]
    credits: Credits,
    #[serde(with = "lines")]
    lines: Vec<RatedUsage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period_number: Option<u32>,
    charge_time: Timestamp,
}

/// Returns whether nothing is lost by leaving attempts out.
fn has_none(attempts: &Attempts) -> bool {
    *attempts == Attempts::default()
}

/// Returns whether nothing is lost by leaving an amount out.
fn is_zero(amount: &Credits) -> bool {
    amount.is_zero()
}

/// Amounts, as decimals in text.
mod amount {
    use flashgate_ledger::Credits;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(amount: &Credits, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Credits, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Sums of quantities, as decimals in text.
mod total {
    use flashgate_ledger::Quantity;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(total: &Quantity, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(total)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        Quantity::from_total(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Ids of grants, such as `plan/4`.
mod source {
    use flashgate_ledger::grant::GrantSource;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(source: &GrantSource, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(source)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GrantSource, D::Error> {
        let id = String::deserialize(deserializer)?;
        parse(&id).ok_or_else(|| D::Error::custom(format!("'{id}' is no id of a grant")))
    }

    fn parse(id: &str) -> Option<GrantSource> {
        match id.split_once('/')? {
            ("plan", number) => Some(GrantSource::Plan { period_number: number.parse().ok()? }),
            ("adjustment", name) => Some(GrantSource::Adjustment { name: name.into() }),
            ("pack", name) => Some(GrantSource::Pack { name: name.into() }),
            _ => None,
        }
    }
}

/// Ids of grants where there may be none.
mod optional_source {
    use flashgate_ledger::grant::GrantSource;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize, Serialize)]
    struct Held(#[serde(with = "super::source")] GrantSource);

    #[expect(clippy::ref_option, reason = "serde hands out the field as it is held")]
    pub(super) fn serialize<S: Serializer>(
        held: &Option<GrantSource>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        held.clone().map(Held).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<GrantSource>, D::Error> {
        Ok(Option::<Held>::deserialize(deserializer)?.map(|Held(source)| source))
    }
}

/// Expirations where there may be none.
mod expiration {
    use flashgate_ledger::grant::Expiration;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize, Serialize)]
    struct Held(#[serde(with = "super::ExpirationRecord")] Expiration);

    #[expect(clippy::ref_option, reason = "serde hands out the field as it is held")]
    pub(super) fn serialize<S: Serializer>(
        held: &Option<Expiration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        held.map(Held).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Expiration>, D::Error> {
        Ok(Option::<Held>::deserialize(deserializer)?.map(|Held(expiration)| expiration))
    }
}

/// Totals by rate.
mod lines {
    use flashgate_ledger::ledger::RatedUsage;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize, Serialize)]
    struct Held(#[serde(with = "super::RatedUsageRecord")] RatedUsage);

    pub(super) fn serialize<S: Serializer>(lines: &[RatedUsage], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(lines.iter().cloned().map(Held))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<RatedUsage>, D::Error> {
        Ok(Vec::<Held>::deserialize(deserializer)?.into_iter().map(|Held(line)| line).collect())
    }
}

/// Reasons of refusals, by name.
mod refusal_reason {
    use flashgate_ledger::refusal::RefusalReason;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out the field by reference")]
    pub(super) fn serialize<S: Serializer>(reason: &RefusalReason, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(reason.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RefusalReason, D::Error> {
        let name = String::deserialize(deserializer)?;
        RefusalReason::from_name(&name)
            .ok_or_else(|| D::Error::custom(format!("'{name}' is no reason of a refusal")))
    }
}
