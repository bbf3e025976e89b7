//! The point up to which an account is reported. The newest report of a meter about the account has it.

use flashgate_api::usage_meter::{METER_LARGEST, METER_SELECTION, METER_SINCE, METER_UID};
use flashgate_api::{AccountKey, UsageReport};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use rust_decimal::Decimal;

use crate::readings::{ParseReadingError, Readings, SILENCE};
use crate::terms::Terms;

/// The point up to which an account is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Start of the next window.
    pub start: Timestamp,
    /// Readings of series at the end of the last window.
    pub readings: Readings,
    /// Time from which these series are counted: earlier usage belongs to no window.
    pub since: Timestamp,
    /// A series without a reading begins at its last sample at or before this instant, if it has one.
    pub settled: Timestamp,
    /// Largest usage of a window so far.
    pub largest: Decimal,
    /// Node type and operation of a line of the last report.
    pub rate: Option<(String, String)>,
    /// Name of the last report.
    pub report: Option<String>,
}

impl Cursor {
    /// Returns the cursor of an account that has no report. Existing series begin at their last sample before the start.
    #[must_use]
    pub fn begin(start: Timestamp) -> Self {
        Self {
            start,
            readings: Readings::default(),
            since: start,
            settled: start,
            largest: Decimal::ZERO,
            rate: None,
            report: None,
        }
    }

    /// Returns the cursor after a report.
    ///
    /// A series that is missing in the readings of the report is new, or was silent for [`SILENCE`] when a window ended.
    /// So all its samples after that time are not counted yet.
    ///
    /// # Errors
    /// When the readings have another form.
    pub fn after(report: &UsageReport, terms: &Terms) -> Result<Self, ParseReadingError> {
        let end = report.spec.window.end_time;
        let readings = Readings::from_text(report.spec.readings.as_deref().unwrap_or_default(), end)?;
        let annotation = |name: &str| report.annotations().get(name).map(String::as_str);
        // Series that the meter selects since a change of its spec have no readings, though they have samples.
        let is_complete =
            report.spec.readings.is_some() && annotation(METER_SELECTION) == Some(terms.selection.as_str());
        let since = annotation(METER_SINCE).and_then(|text| text.parse().ok()).filter(|_| is_complete);
        let since = since.unwrap_or(end);
        let settled = before(end, SILENCE).max(since);
        let largest = annotation(METER_LARGEST).and_then(|text| Decimal::from_str_exact(text).ok());
        let rate = report.spec.usage.first().map(|line| (line.node_type.clone(), line.operation.clone()));
        let largest = largest.unwrap_or_default();
        let report = Some(report.name_any());
        if terms.start > end {
            // The meter was created again, or its start was moved: earlier usage does not count.
            return Ok(Self { largest, rate, report, ..Self::begin(terms.start) });
        }
        Ok(Self { start: end, readings, since, settled, largest, rate, report })
    }

    /// Returns the cursor with a later start, if reports of windows that start earlier would be refused as too late. The
    /// usage since the readings is still counted.
    #[must_use]
    pub fn not_before(self, earliest: Timestamp) -> Self {
        Self { start: self.start.max(earliest), ..self }
    }

    /// Returns the instant from which samples are read.
    #[must_use]
    pub fn read_from(&self) -> Timestamp {
        let oldest = self.readings.0.values().map(|reading| reading.time).min();
        oldest.map_or(self.settled, |oldest| oldest.min(self.settled))
    }
}

/// Returns the instant before another by a time.
#[must_use]
pub fn before(instant: Timestamp, time: SignedDuration) -> Timestamp {
    instant.saturating_sub(time).unwrap_or(Timestamp::MIN)
}

/// Returns the instant after another by a time.
#[must_use]
pub fn after(instant: Timestamp, time: SignedDuration) -> Timestamp {
    instant.saturating_add(time).unwrap_or(Timestamp::MAX)
}

/// Returns whether a report is of this meter and account: another object may have its name.
#[must_use]
pub fn is_of(report: &UsageReport, terms: &Terms, account: &AccountKey) -> bool {
    let uid = report.annotations().get(METER_UID);
    report.spec.source == terms.meter_for(account).source()
        && report.spec.subscription_ref.name == account.name
        && report.namespace().as_deref() == Some(account.namespace.as_str())
        && uid == Some(&terms.uid)
}
