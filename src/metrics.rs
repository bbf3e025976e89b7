//! The metrics of the operator. Labels have values from closed sets only.

pub mod description;
pub mod gate;
pub mod meters;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::decide::{Decision, ReportVerdict};
use flashgate_ledger::entry::{Detail, Entry, FactKind, LapseCause};
use flashgate_ledger::period::seconds_between;
use flashgate_ledger::refusal::RefusalReason;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};
use rust_decimal::prelude::ToPrimitive as _;

use self::description::Description;

/// Buckets of lateness, in seconds. They include the default settlement grace (2 hours) and the default
/// acceptance of late usage (35 days).
const LATENESS_SECONDS: [f64; 10] =
    [60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0, 604_800.0, 3_024_000.0];

/// Results of a callback: `Created` or `Known` if it is acknowledged, otherwise the error of the answer.
const CALLBACK_RESULTS: [&str; 13] = [
    "Created",
    "Known",
    "BodyNotUnderstood",
    "SignatureRefused",
    "NamespaceNotFound",
    "NamespaceNotSigned",
    "NoSuchEndpoint",
    "BodyUnfinished",
    "PaymentDiffers",
    "BodyTooLarge",
    "UnsupportedMediaType",
    "PaymentRefused",
    "Unavailable",
];

/// Results of a recording: `ok`, or the name of an error.
const RECORDING_RESULTS: [&str; 6] = ["ok", "Unavailable", "Refused", "Conflict", "Labels", "Entries"];

/// Servers that close connections by themselves.
const SERVERS: [&str; 2] = ["health", "payments"];

/// Reasons to close a connection.
const CUTS: [&str; 7] =
    ["HeadTimeout", "BodyTimeout", "HandlingTimeout", "SendingTimeout", "IdleTimeout", "Replaced", "Refused"];

/// The kind that the operator reconciles.
const RECONCILED_KIND: &str = "Subscription";

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Amounts = Family<Labels, Counter<f64, std::sync::atomic::AtomicU64>>;

/// The operator's counters, and the gauges about itself.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Counters,
    reconcile_seconds: Histogram,
    commits: Counter,
    entries: Counters,
    consumed: Amounts,
    purchases: Counters,
    lapses: Counters,
    refusals: Counters,
    gaps_closed: Counter,
    recordings: Counters,
    history_gaps: Counter,
    lateness_seconds: Histogram,
    violations: Counter,
    watch_errors: Counters,
    restores: Counter,
    set_aside: Counters,
    callbacks: Counters,
    events_held: Counter,
    connections_cut: Counters,
    clock_skew_seconds: Gauge,
    leader: Gauge,
    backup_time: Gauge,
    /// Maximum age of a backup. Unset without `--backup-lease`.
    backup_max_age_seconds: Arc<OnceLock<i64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            commits: Counter::default(),
            entries: Family::default(),
            consumed: Family::default(),
            purchases: Family::default(),
            lapses: Family::default(),
            refusals: Family::default(),
            gaps_closed: Counter::default(),
            recordings: Family::default(),
            history_gaps: Counter::default(),
            lateness_seconds: Histogram::new(LATENESS_SECONDS),
            violations: Counter::default(),
            watch_errors: Family::default(),
            restores: Counter::default(),
            set_aside: Family::default(),
            callbacks: Family::default(),
            events_held: Counter::default(),
            connections_cut: Family::default(),
            clock_skew_seconds: Gauge::default(),
            leader: Gauge::default(),
            backup_time: Gauge::default(),
            backup_max_age_seconds: Arc::default(),
        };
        // If a series began with its first event, `increase` would miss that event.
        for kind in Detail::KINDS {
            create_series(&metrics.entries, &description::ENTRIES, &[kind]);
        }
        for cause in LapseCause::ALL {
            create_series(&metrics.lapses, &description::LAPSES, &[cause.as_str()]);
        }
        for reason in RefusalReason::ALL {
            for kind in reason.kinds() {
                create_series(&metrics.refusals, &description::REFUSALS, &[kind.as_str(), reason.as_str()]);
            }
        }
        for result in RECORDING_RESULTS {
            create_series(&metrics.recordings, &description::RECORDINGS, &[result]);
        }
        for result in CALLBACK_RESULTS {
            create_series(&metrics.callbacks, &description::CALLBACKS, &[result]);
        }
        for cut in SERVERS.into_iter().flat_map(|server| CUTS.map(|reason| [server, reason])) {
            drop(metrics.connections_cut.get_or_create(&labels(&description::CONNECTIONS_CUT, &cut)));
        }
        metrics
    }
}

impl Metrics {
    /// Returns metrics with a series for each rate and pack of `catalog`.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        let metrics = Self::default();
        for rate in &catalog.rates {
            let name = rate_name(&rate.node_type, &rate.operation);
            drop(metrics.consumed.get_or_create(&labels(&description::CONSUMED, &[&name])));
        }
        for pack in &catalog.packs {
            create_series(&metrics.purchases, &description::PURCHASES, &[&pack.name]);
        }
        metrics
    }

    /// Counts a reconcile with its result, `ok` or the name of an error.
    pub fn count_reconcile(&self, result: &str, duration: Duration) {
        count(&self.reconciles, &description::RECONCILES, &[RECONCILED_KIND, result]);
        self.reconcile_seconds.observe(duration.as_secs_f64());
    }

    /// Counts a commit and its entries.
    pub fn count_commit(&self, decision: &Decision) {
        self.commits.inc();
        self.gaps_closed.inc_by(decision.closed_gaps.len().try_into().unwrap_or(u64::MAX));
        for entry in &decision.entries {
            self.count_entry(entry);
        }
        for verdict in &decision.reports {
            let ReportVerdict::Charged(charge) = &verdict.verdict else { continue };
            for line in &charge.lines {
                let rate = rate_name(&line.node_type, &line.operation);
                let consumed = self.consumed.get_or_create_owned(&labels(&description::CONSUMED, &[&rate]));
                consumed.inc_by(for_display(line.credits));
            }
        }
    }

    fn count_entry(&self, entry: &Entry) {
        // A refused report is counted with its receipt.
        if !entry.is_part_of_ledger() {
            return;
        }
        match &entry.detail {
            Detail::Refused { object, refusal } => self.count_refusal(object.kind, refusal.reason),
            Detail::Purchased { pack, .. } => count(&self.purchases, &description::PURCHASES, &[pack]),
            Detail::Lapsed { cause, .. } => count(&self.lapses, &description::LAPSES, &[cause.as_str()]),
            Detail::Charged { window, .. } => {
                let seconds = seconds_between(window.end_time, entry.time).to_f64();
                self.lateness_seconds.observe(seconds.unwrap_or_default());
            }
            _ => {}
        }
        count(&self.entries, &description::ENTRIES, &[entry.detail.kind()]);
    }

    /// Counts a recording in the history store with its result, and whether it left a gap: `Ok` with that, or the name
    /// of an error.
    pub fn count_recording(&self, result: Result<bool, &str>) {
        count(&self.recordings, &description::RECORDINGS, &[result.err().unwrap_or("ok")]);
        self.history_gaps.inc_by(u64::from(result == Ok(true)));
    }

    /// Counts a refusal of an object of `kind`.
    pub fn count_refusal(&self, kind: FactKind, reason: RefusalReason) {
        count(&self.refusals, &description::REFUSALS, &[kind.as_str(), reason.as_str()]);
    }

    /// Counts a callback of the payment webhook with its result, `Created`, `Known` or the word of a refusal.
    pub fn count_callback(&self, result: &str) {
        count(&self.callbacks, &description::CALLBACKS, &[result]);
    }

    /// Counts an Event that the rate limit held back.
    pub fn count_held_event(&self) {
        self.events_held.inc();
    }

    /// Counts a connection that `server` closed or refused by itself.
    pub fn count_cut(&self, server: &str, reason: &str) {
        count(&self.connections_cut, &description::CONNECTIONS_CUT, &[server, reason]);
    }

    /// Counts an account whose ledger must not be written.
    pub fn count_trouble(&self) {
        self.violations.inc();
    }

    /// Counts an interruption of the watch of `kind`.
    pub fn count_watch_error(&self, kind: &str) {
        count(&self.watch_errors, &description::WATCH_ERRORS, &[kind]);
    }

    /// Counts a time that the API server's data went back to an earlier state.
    pub fn count_restore(&self) {
        self.restores.inc();
    }

    /// Counts an object of `kind` that cannot be decoded.
    pub fn count_set_aside(&self, kind: &str) {
        count(&self.set_aside, &description::SET_ASIDE, &[kind]);
    }

    /// Sets the number of seconds by which the local clock is ahead of the API server's.
    pub fn show_clock_skew(&self, seconds: i64) {
        self.clock_skew_seconds.set(seconds);
    }

    /// Sets whether this operator leads.
    pub fn show_leading(&self, is_leading: bool) {
        self.leader.set(i64::from(is_leading));
    }

    /// Enables the metrics of backups, with the maximum age of a backup.
    pub fn follow_backups(&self, max_age_seconds: u32) {
        self.backup_max_age_seconds.get_or_init(|| i64::from(max_age_seconds));
    }

    /// Sets when the last successful backup finished, or `None` if there was none.
    pub fn show_backup(&self, time: Option<Timestamp>) {
        self.backup_time.set(time.map(Timestamp::as_second).unwrap_or_default());
    }

    /// Returns all metrics in the `OpenMetrics` text format, with those of `others`.
    ///
    /// # Errors
    /// When formatting fails.
    pub fn text(&self, others: impl Collector) -> Result<String, fmt::Error> {
        let Self {
            reconciles,
            reconcile_seconds,
            commits,
            entries,
            consumed,
            purchases,
            lapses,
            refusals,
            gaps_closed,
            recordings,
            history_gaps,
            lateness_seconds,
            violations,
            watch_errors,
            restores,
            set_aside,
            callbacks,
            events_held,
            connections_cut,
            clock_skew_seconds,
            leader,
            backup_time,
            backup_max_age_seconds,
        } = self.clone();
        let mut registry = Registry::with_prefix(description::PREFIX);
        register(&mut registry, &description::RECONCILES, reconciles);
        register(&mut registry, &description::RECONCILE_SECONDS, reconcile_seconds);
        register(&mut registry, &description::COMMITS, commits);
        register(&mut registry, &description::ENTRIES, entries);
        register(&mut registry, &description::CONSUMED, consumed);
        register(&mut registry, &description::PURCHASES, purchases);
        register(&mut registry, &description::LAPSES, lapses);
        register(&mut registry, &description::REFUSALS, refusals);
        register(&mut registry, &description::GAPS_CLOSED, gaps_closed);
        register(&mut registry, &description::RECORDINGS, recordings);
        register(&mut registry, &description::HISTORY_GAPS, history_gaps);
        register(&mut registry, &description::LATENESS_SECONDS, lateness_seconds);
        register(&mut registry, &description::VIOLATIONS, violations);
        register(&mut registry, &description::WATCH_ERRORS, watch_errors);
        register(&mut registry, &description::RESTORES, restores);
        register(&mut registry, &description::SET_ASIDE, set_aside);
        register(&mut registry, &description::CALLBACKS, callbacks);
        register(&mut registry, &description::EVENTS_HELD, events_held);
        register(&mut registry, &description::CONNECTIONS_CUT, connections_cut);
        register(&mut registry, &description::CLOCK_SKEW_SECONDS, clock_skew_seconds);
        register(&mut registry, &description::LEADER, leader);
        if let Some(seconds) = backup_max_age_seconds.get() {
            let max_age: Gauge = Gauge::default();
            max_age.set(*seconds);
            register(&mut registry, &description::BACKUP, backup_time);
            register(&mut registry, &description::BACKUP_MAX_AGE, max_age);
        }
        registry.register_collector(Box::new(others));
        text_of_all(&registry)
    }
}

/// Returns the metrics of a collector in the `OpenMetrics` text format.
///
/// # Errors
/// When formatting fails.
pub fn text_of(collector: impl Collector) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(description::PREFIX);
    registry.register_collector(Box::new(collector));
    text_of_all(&registry)
}

/// Returns all metrics of a registry in the `OpenMetrics` text format.
fn text_of_all(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}

/// A series: the values of its labels, and its value.
pub type Series<'a, V> = (Vec<&'a str>, V);

/// Writes the series of a gauge.
///
/// # Errors
/// When the text cannot be written.
pub fn show<'a, V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    description: &Description,
    series: impl IntoIterator<Item = Series<'a, V>>,
) -> fmt::Result {
    let Description { name, help, kind, .. } = *description;
    let mut metric = encoder.encode_descriptor(name, &format!("{help}."), None, kind)?;
    for (values, value) in series {
        // The encoder accepts a family only for metrics with labels.
        if description.labels.is_empty() {
            metric.encode_gauge(&value)?;
        } else {
            metric.encode_family(&description.labelled(&values))?.encode_gauge(&value)?;
        }
    }
    Ok(())
}

fn register(registry: &mut Registry, description: &Description, metric: impl Metric) {
    registry.register(description.name, description.help, metric);
}

fn labels(description: &Description, values: &[&str]) -> Labels {
    let labels = description.labelled(values).into_iter();
    labels.map(|(name, value)| (name, value.to_owned())).collect()
}

fn count(counters: &Counters, description: &Description, values: &[&str]) {
    counters.get_or_create(&labels(description, values)).inc();
}

/// Creates the series of a counter with the value 0.
fn create_series(counters: &Counters, description: &Description, values: &[&str]) {
    drop(counters.get_or_create(&labels(description, values)));
}

/// Returns the name of a rate in metrics.
#[must_use]
pub fn rate_name(node_type: &str, operation: &str) -> String {
    format!("{node_type}/{operation}")
}

/// Returns an amount as a float, which may be rounded. Metrics only: billing never uses it.
fn for_display(credits: Credits) -> f64 {
    credits.decimal().to_f64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::description::NothingElse;
    use super::*;

    #[test]
    fn every_series_exists_before_its_first_event() {
        let text = Metrics::of(&crate::catalog::shipped()).text(NothingElse).expect("text");
        for series in [
            r#"flashgate_billing_lapses_total{cause="PaymentOverdue"} 0"#,
            r#"flashgate_billing_refusals_total{kind="UsageReport",reason="TooLate"} 0"#,
            r#"flashgate_billing_refusals_total{kind="UsageReport",reason="GapClosed"} 0"#,
            r#"flashgate_billing_refusals_total{kind="CreditPack",reason="LedgerFull"} 0"#,
            "flashgate_billing_gaps_closed_total 0",
            r#"flashgate_billing_ledger_entries_total{kind="Charged"} 0"#,
            r#"flashgate_billing_credits_consumed_total{rate="Public/StorageEgress"} 0.0"#,
            r#"flashgate_billing_pack_purchases_total{pack="plus-100"} 0"#,
            r#"flashgate_billing_payment_callbacks_total{result="SignatureRefused"} 0"#,
        ] {
            assert!(text.lines().any(|line| line == series), "{series} is not in:\n{text}");
        }
    }

    #[test]
    fn backup_metrics_exist_only_if_backups_are_followed() {
        let metrics = Metrics::default();
        let text = || metrics.text(NothingElse).expect("text");
        assert!(!text().contains("backup"), "{}", text());
        metrics.follow_backups(93_600);
        assert!(text().contains("flashgate_billing_backup_last_success_timestamp_seconds 0\n"), "{}", text());
        assert!(text().contains("flashgate_billing_backup_max_age_seconds 93600\n"), "{}", text());
        metrics.show_backup(Some(Timestamp::from_second(1_796_007_600).expect("time")));
        assert!(
            text().contains("flashgate_billing_backup_last_success_timestamp_seconds 1796007600\n"),
            "{}",
            text()
        );
    }

    #[test]
    fn every_answer_of_the_webhook_has_a_series_from_the_start() {
        let reference = include_str!("../docs/reference/payment-webhook.md");
        let answers = reference.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5"));
        let mut answers: Vec<&str> = answers.filter_map(|line| line.split('`').nth(1)).collect();
        answers.extend(["Created", "Known"]);
        answers.sort_unstable();
        let mut results = CALLBACK_RESULTS;
        results.sort_unstable();
        assert_eq!(results.as_slice(), answers);
    }
}
