//! The report of a window.

use std::collections::BTreeMap;

use flashgate_api::usage_meter::{
    METER_ACCOUNT, METER_LABEL, METER_LARGEST, METER_SELECTION, METER_SINCE, METER_SOURCE, METER_UID,
    METER_WINDOW_END,
};
use flashgate_api::usage_report::{UsageReportSpec, UsageWindow};
use flashgate_api::{AccountKey, SubscriptionRef, UsageReport};
use jiff::Timestamp;
use rust_decimal::Decimal;

use crate::close::Usage;
use crate::cursor::Cursor;
use crate::lines::{Group, Line};
use crate::readings::TooManySeries;
use crate::terms::{Terms, usage_line};

/// Returns the report of a window. A window without usage has one line of quantity 0, because a report has at least one.
///
/// # Errors
/// When the readings need too much room.
pub fn report(
    terms: &Terms,
    account: &AccountKey,
    cursor: &Cursor,
    end: Timestamp,
    usage: Usage,
) -> Result<UsageReport, TooManySeries> {
    let Usage { mut lines, total, readings, .. } = usage;
    if lines.is_empty() {
        let (node_type, operation) = cursor.rate.clone().unwrap_or_else(|| terms.some_rate());
        let group = Group { node_type, operation, labels: BTreeMap::new() };
        lines.push(Line { group, quantity: Decimal::ZERO });
    }
    let meter = terms.meter_for(account);
    let source = meter.source();
    let spec = UsageReportSpec {
        subscription_ref: SubscriptionRef { name: account.name.clone() },
        source: source.clone(),
        window: UsageWindow { start_time: cursor.start, end_time: end },
        usage: lines.into_iter().map(usage_line).collect(),
        readings: Some(readings.to_text(end)?),
    };
    let mut report = UsageReport::new(&meter.report(&account.name, cursor.start), spec);
    report.metadata.namespace = Some(account.namespace.clone());
    report.metadata.labels = Some(BTreeMap::from([(METER_LABEL.to_owned(), terms.name.clone())]));
    let annotations = [
        (METER_UID, terms.uid.clone()),
        (METER_ACCOUNT, account.name.clone()),
        (METER_SOURCE, source),
        (METER_WINDOW_END, end.to_string()),
        (METER_SELECTION, terms.selection.clone()),
        (METER_SINCE, cursor.since.to_string()),
        (METER_LARGEST, cursor.largest.max(total).normalize().to_string()),
    ];
    report.metadata.annotations =
        Some(annotations.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    Ok(report)
}
