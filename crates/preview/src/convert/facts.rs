//! Converts the objects that users and agents create to facts of an account.

use std::collections::BTreeMap;

use flashgate_api as api;
use flashgate_api::subscription::BillingDetails;
use flashgate_api::usage_report::{UsageLine, UsageWindow};
use flashgate_ledger::facts;
use flashgate_ledger::period::Window;
use flashgate_ledger::{Credits, Quantity};
use jiff::Timestamp;
use kube::core::ObjectMeta;

use super::{ConvertError, Problem};

/// Returns the fact that a Subscription states.
///
/// # Errors
/// The first field with an invalid value.
pub fn subscription_fact(subscription: &api::Subscription) -> Result<facts::Subscription, ConvertError> {
    let Origin { name: _, uid, arrival } = Origin::of(&subscription.metadata)?;
    let api::SubscriptionSpec {
        plan,
        billing_period,
        renewal,
        start_time,
        billing_details,
        alert_thresholds_percent,
    } = &subscription.spec;
    let thresholds = alert_thresholds_percent.as_deref();
    Ok(facts::Subscription {
        uid,
        generation: subscription
            .metadata
            .generation
            .ok_or_else(|| ConvertError::at("metadata.generation", Problem::Missing))?,
        arrival,
        request: facts::Request { plan: plan.clone(), billing_period: *billing_period, renewal: *renewal },
        start_time: start_time.map(|time| whole_second("spec.startTime", time)).transpose()?,
        alert_thresholds_percent: thresholds.map(thresholds_percent).transpose()?,
        billing_details: billing_details.as_ref().map(on_invoices),
    })
}

/// Returns billing details as invoices carry them.
fn on_invoices(details: &BillingDetails) -> facts::BillingDetails {
    let BillingDetails { name, email, tax_id, address } = details.clone();
    facts::BillingDetails { name, email, tax_id, address }
}

/// Returns the fact that a UsageReport states, with quantities summed per pair of node type and operation.
///
/// # Errors
/// The first field with an invalid value.
pub fn report_fact(report: &api::UsageReport) -> Result<facts::Report, ConvertError> {
    let Origin { name, uid, arrival } = Origin::of(&report.metadata)?;
    let api::UsageReportSpec { subscription_ref: _, source, window, usage, readings: _ } = &report.spec;
    let UsageWindow { start_time, end_time } = window;
    let window = Window {
        start_time: whole_second("spec.window.startTime", *start_time)?,
        end_time: whole_second("spec.window.endTime", *end_time)?,
    };
    if window.end_time <= window.start_time {
        return Err(ConvertError::at("spec.window.endTime", Problem::NotLater(window.end_time)));
    }
    Ok(facts::Report { name, uid, arrival, source: source.clone(), window, usage: sum_usage(usage)? })
}

/// Returns the fact that a CreditPack states.
///
/// # Errors
/// The first field with an invalid value.
pub fn pack_fact(pack: &api::CreditPack) -> Result<facts::PackOrder, ConvertError> {
    let Origin { name, uid, arrival } = Origin::of(&pack.metadata)?;
    let api::CreditPackSpec { subscription_ref: _, pack } = &pack.spec;
    Ok(facts::PackOrder { name, uid, arrival, pack: pack.clone() })
}

/// Returns the fact that a Payment states.
///
/// # Errors
/// The first field with an invalid value.
pub fn payment_fact(payment: &api::Payment) -> Result<facts::Payment, ConvertError> {
    let Origin { name, uid, arrival } = Origin::of(&payment.metadata)?;
    let api::PaymentSpec { subscription_ref: _, invoice, state, amount, currency, reference: _ } =
        &payment.spec;
    Ok(facts::Payment {
        name,
        uid,
        arrival,
        invoice: invoice.clone(),
        state: *state,
        amount: credits("spec.amount", amount)?,
        currency: currency.clone(),
    })
}

/// Returns the fact that a CreditAdjustment states.
///
/// # Errors
/// The first field with an invalid value.
pub fn adjustment_fact(adjustment: &api::CreditAdjustment) -> Result<facts::Adjustment, ConvertError> {
    let Origin { name, uid, arrival } = Origin::of(&adjustment.metadata)?;
    let api::CreditAdjustmentSpec { subscription_ref: _, credits: given, reason, expiration_time } =
        &adjustment.spec;
    let given = credits("spec.credits", given)?;
    if !given.is_positive() {
        return Err(ConvertError::at("spec.credits", Problem::NotPositive(given.to_string())));
    }
    Ok(facts::Adjustment {
        name,
        uid,
        arrival,
        credits: given,
        reason: reason.clone(),
        expiration_time: expiration_time.map(|time| whole_second("spec.expirationTime", time)).transpose()?,
    })
}

/// The identity and creation time of the object that states a fact.
struct Origin {
    name: String,
    uid: String,
    arrival: Timestamp,
}

impl Origin {
    fn of(metadata: &ObjectMeta) -> Result<Self, ConvertError> {
        let missing = |field: &str| ConvertError::at(format!("metadata.{field}"), Problem::Missing);
        Ok(Self {
            name: metadata.name.clone().ok_or_else(|| missing("name"))?,
            uid: metadata.uid.clone().ok_or_else(|| missing("uid"))?,
            arrival: metadata.creation_timestamp.as_ref().ok_or_else(|| missing("creationTimestamp"))?.0,
        })
    }
}

/// Returns `time` if it is a whole second. The laws use no smaller unit.
fn whole_second(path: &str, time: Timestamp) -> Result<Timestamp, ConvertError> {
    if time.subsec_nanosecond() == 0 {
        Ok(time)
    } else {
        Err(ConvertError::at(path, Problem::FractionOfSecond(time)))
    }
}

fn credits(path: &str, amount: &api::Amount) -> Result<Credits, ConvertError> {
    amount.as_str().parse().map_err(|error| ConvertError::at(path, Problem::Amount(error)))
}

fn thresholds_percent(percents: &[i32]) -> Result<Vec<u32>, ConvertError> {
    let read = |(index, percent): (usize, &i32)| {
        u32::try_from(*percent).map_err(|_| {
            let range = Problem::OutOfRange { value: (*percent).into(), least: 1, most: 1_000 };
            ConvertError::at(format!("spec.alertThresholdsPercent[{index}]"), range)
        })
    };
    percents.iter().enumerate().map(read).collect()
}

/// Number of pairs of node type and operation that are kept for one report: one more than the most rates of a
/// catalog. A report with more pairs has an unknown one among those that are kept, and is refused because of
/// it.
const PAIRS: usize = 257;

/// Sums quantities per pair of node type and operation, in the order of their first lines.
fn sum_usage(lines: &[UsageLine]) -> Result<Vec<facts::UsageTotal>, ConvertError> {
    let summed = summed(lines, PAIRS, |line| (&line.node_type, &line.operation))?;
    let totals = summed.into_iter().map(|Summed { first_line, line, quantity }| facts::UsageTotal {
        node_type: line.node_type.clone(),
        operation: line.operation.clone(),
        quantity,
        first_line,
    });
    Ok(totals.collect())
}

/// The sum of lines with the same key.
pub(super) struct Summed<'l> {
    /// Index of the first of them.
    pub(super) first_line: usize,
    /// The first of them.
    pub(super) line: &'l UsageLine,
    /// Sum of their quantities.
    pub(super) quantity: Quantity,
}

/// Sums the quantities of lines with the same `key`, in the order of their first lines. Lines of further keys than
/// `most` are left out.
pub(super) fn summed<'l, K: Ord>(
    lines: &'l [UsageLine],
    most: usize,
    key: impl Fn(&'l UsageLine) -> K,
) -> Result<Vec<Summed<'l>>, ConvertError> {
    let mut sums: Vec<Summed<'l>> = Vec::new();
    let mut known: BTreeMap<K, usize> = BTreeMap::new();
    for (first_line, line) in lines.iter().enumerate() {
        let path = || format!("spec.usage[{first_line}].quantity");
        let parsed = line.quantity.as_str().parse();
        let quantity: Quantity =
            parsed.map_err(|error| ConvertError::at(path(), Problem::Quantity(error)))?;
        let place = *known.entry(key(line)).or_insert(sums.len());
        match sums.get_mut(place) {
            Some(sum) => {
                sum.quantity = sum.quantity.checked_add(quantity).map_err(|_| {
                    let (node_type, operation) = (line.node_type.clone(), line.operation.clone());
                    ConvertError::at(path(), Problem::SumTooLarge { node_type, operation })
                })?;
            }
            None if place >= most => {}
            None => sums.push(Summed { first_line, line, quantity }),
        }
    }
    Ok(sums)
}
