//! What is counted. Labels come from closed sets only.

use std::time::Duration;

use flashgate_ledger::entry::Entry;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The operator's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Family<ResultLabel, Counter>,
    reconcile_seconds: Histogram,
    commits: Counter,
    entries: Family<KindLabel, Counter>,
    violations: Counter,
    watch_errors: Family<KindLabel, Counter>,
    set_aside: Family<KindLabel, Counter>,
    callbacks: Family<ResultLabel, Counter>,
    clock_skew_seconds: Gauge,
    leader: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabel {
    result: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            reconcile_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            commits: Counter::default(),
            entries: Family::default(),
            violations: Counter::default(),
            watch_errors: Family::default(),
            set_aside: Family::default(),
            callbacks: Family::default(),
            clock_skew_seconds: Gauge::default(),
            leader: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Counts a reconcile with its result, `ok` or the name of an error.
    pub fn count_reconcile(&self, result: &str, duration: Duration) {
        self.reconciles.get_or_create(&ResultLabel { result: result.to_owned() }).inc();
        self.reconcile_seconds.observe(duration.as_secs_f64());
    }

    /// Counts a commit and what happened in it.
    pub fn count_commit(&self, entries: &[Entry]) {
        self.commits.inc();
        for entry in entries {
            self.entries.get_or_create(&KindLabel { kind: entry.detail.kind().to_owned() }).inc();
        }
    }

    /// Counts a callback of the payment webhook with its result, `Created`, `Known` or the word of a refusal.
    pub fn count_callback(&self, result: &str) {
        self.callbacks.get_or_create(&ResultLabel { result: result.to_owned() }).inc();
    }

    /// Counts an account whose book must not be written.
    pub fn count_trouble(&self) {
        self.violations.inc();
    }

    /// Counts an interruption of the watch of `kind`.
    pub fn count_watch_error(&self, kind: &str) {
        self.watch_errors.get_or_create(&KindLabel { kind: kind.to_owned() }).inc();
    }

    /// Counts an object of `kind` that cannot be understood.
    pub fn count_set_aside(&self, kind: &str) {
        self.set_aside.get_or_create(&KindLabel { kind: kind.to_owned() }).inc();
    }

    /// Shows by how many seconds the local clock is ahead of the API server's.
    pub fn show_clock_skew(&self, seconds: i64) {
        self.clock_skew_seconds.set(seconds);
    }

    /// Shows whether this operator leads.
    pub fn show_leading(&self, is_leading: bool) {
        self.leader.set(i64::from(is_leading));
    }

    /// Returns all metrics in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// When formatting fails.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let Self {
            reconciles,
            reconcile_seconds,
            commits,
            entries,
            violations,
            watch_errors,
            set_aside,
            callbacks,
            clock_skew_seconds,
            leader,
        } = self.clone();
        let mut registry = Registry::with_prefix("flashgate_billing");
        registry.register("reconcile", "Reconciles by result", reconciles);
        registry.register("reconcile_duration_seconds", "Time of a reconcile", reconcile_seconds);
        registry.register("commits", "Commits of ledgers", commits);
        registry.register("ledger_entries", "Committed entries by kind", entries);
        registry.register(
            "ledger_invariant_violations",
            "Accounts found that must not be written",
            violations,
        );
        registry.register("watch_errors", "Interruptions of watches by kind", watch_errors);
        registry.register("objects_set_aside", "Objects that cannot be understood by kind", set_aside);
        registry.register("payment_callbacks", "Callbacks of the payment webhook by result", callbacks);
        registry.register(
            "clock_skew_seconds",
            "Seconds by which the local clock is ahead of the API server's",
            clock_skew_seconds,
        );
        registry.register("leader", "1 while this operator leads, else 0", leader);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}
