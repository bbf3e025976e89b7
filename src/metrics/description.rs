//! The metrics by name, with their meaning and labels. `docs/reference/metrics.md` is generated from this list.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

/// Prefix of the name of every metric.
pub const PREFIX: &str = "flashgate_billing";

/// A metric by name.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Name, without the common prefix and without the suffix of its type.
    pub name: &'static str,
    /// The type of the metric.
    pub kind: MetricType,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// The help text, without a full stop.
    pub help: &'static str,
    /// The condition under which it is exported.
    pub shown: Shown,
}

/// The condition under which a metric is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// By every operator.
    Always,
    /// By every operator with `--backup-lease`.
    WithBackups,
    /// By the leader, about the objects that it watches.
    WhileLeading,
    /// By the leader, for each account, with `--account-metrics`.
    ByAccount,
    /// By the meter, for each UsageMeter.
    ByMeter,
    /// By the gate.
    ByGate,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Description {
    Description { name, kind: MetricType::Counter, labels, help, shown: Shown::Always }
}

const fn histogram(name: &'static str, help: &'static str) -> Description {
    Description { name, kind: MetricType::Histogram, labels: &[], help, shown: Shown::Always }
}

const fn gauge(
    shown: Shown,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Description {
    Description { name, kind: MetricType::Gauge, labels, help, shown }
}

/// Labels of the metrics of one UsageMeter.
const METER: &[&str] = &["namespace", "meter"];

/// Labels of the metrics of one account.
const ACCOUNT: &[&str] = &["namespace", "account"];

/// Reconciles.
pub const RECONCILES: Description = counter(
    "reconcile",
    &["kind", "result"],
    "Reconciles of accounts by result: `ok`, or the step that failed",
);
/// Time of a reconcile.
pub const RECONCILE_SECONDS: Description =
    histogram("reconcile_duration_seconds", "Duration of reconciles in seconds");
/// Commits.
pub const COMMITS: Description = counter("commits", &[], "Commits; each is one write of one CreditLedger");
/// Entries of ledgers.
pub const ENTRIES: Description =
    counter("ledger_entries", &["kind"], "Entries committed to CreditLedgers, by kind");
/// Credits consumed.
pub const CONSUMED: Description =
    counter("credits_consumed", &["rate"], "Credits charged, by rate, such as `Public/StorageEgress`");
/// Packs bought.
pub const PURCHASES: Description =
    counter("pack_purchases", &["pack"], "Packs whose credits were granted, by pack of the catalog");
/// Lapses.
pub const LAPSES: Description = counter("lapses", &["cause"], "Plans that lapsed, by cause");
/// Refusals.
pub const REFUSALS: Description =
    counter("refusals", &["kind", "reason"], "Refused objects, by kind and reason; a refusal is final");
/// Closed gaps.
pub const GAPS_CLOSED: Description = counter(
    "gaps_closed",
    &[],
    "Gaps between charged windows that were closed because a source or an account had too many",
);
/// Recordings in the history store.
pub const RECORDINGS: Description = counter(
    "history_recordings",
    &["result"],
    "Recordings of the entries of an account in the history store, by result: `ok`, or why they are tried again",
);
/// Gaps in the history.
pub const HISTORY_GAPS: Description = counter(
    "history_gaps",
    &[],
    "Gaps in the history of an account: its CreditLedger no longer had the entries when the store could record again",
);
/// Lateness of reports.
pub const LATENESS_SECONDS: Description = histogram(
    "usage_report_lateness_seconds",
    "Seconds from the end of a charged report's window to the report's arrival",
);
/// Accounts that must not be written.
pub const VIOLATIONS: Description = counter(
    "ledger_invariant_violations",
    &[],
    "Reconciles that wrote nothing because the CreditLedger is inconsistent or older than before; a deleted one does not \
     count",
);
/// Interruptions of watches.
pub const WATCH_ERRORS: Description = counter("watch_errors", &["kind"], "Interruptions of watches, by kind");
/// Restores of etcd.
pub const RESTORES: Description = counter(
    "server_restores",
    &[],
    "Restores of the API server's data to an earlier state, such as an etcd snapshot",
);
/// Objects that cannot be decoded.
pub const SET_ASIDE: Description = counter(
    "objects_set_aside",
    &["kind"],
    "Objects that could not be decoded, by kind; each read of an object counts",
);
/// Callbacks of the payment webhook.
pub const CALLBACKS: Description = counter(
    "payment_callbacks",
    &["result"],
    "Callbacks of the payment webhook, by result: `Created`, `Known`, or the reason of a refusal",
);
/// Events that the rate limit held back.
pub const EVENTS_HELD: Description = counter(
    "events_held_back",
    &[],
    "Events that the rate limit of an account and reason held back; a later Event tells their number",
);
/// Connections that a server closed.
pub const CONNECTIONS_CUT: Description = counter(
    "connections_cut",
    &["server", "reason"],
    "Connections that the server of `health` and metrics or that of `payments` closed or refused by itself, by reason",
);
/// Skew of the clock.
pub const CLOCK_SKEW_SECONDS: Description = gauge(
    Shown::Always,
    "clock_skew_seconds",
    &[],
    "Seconds by which the operator's clock is ahead of the API server's; beyond 60, either way, nothing is committed",
);
/// Leadership.
pub const LEADER: Description =
    gauge(Shown::Always, "leader", &[], "1 while this operator is the leader, else 0");
/// Time of the last successful backup.
pub const BACKUP: Description = gauge(
    Shown::WithBackups,
    "backup_last_success_timestamp_seconds",
    &[],
    "Time at which the last good backup finished; 0 while there is none",
);
/// Maximum age of a backup.
pub const BACKUP_MAX_AGE: Description = gauge(
    Shown::WithBackups,
    "backup_max_age_seconds",
    &[],
    "Greatest age of the last good backup (`--backup-max-age-seconds`)",
);

/// Subscriptions by their condition Ready.
pub const SUBSCRIPTIONS: Description = gauge(
    Shown::WhileLeading,
    "subscriptions",
    &["ready", "reason"],
    "Subscriptions, by status and reason of their Ready condition",
);
/// Facts without a verdict.
pub const PENDING: Description = gauge(
    Shown::WhileLeading,
    "pending_objects",
    &["kind"],
    "Objects without a final verdict, by kind, including packs that await payment",
);
/// Time since when the oldest fact is pending.
pub const PENDING_SINCE: Description = gauge(
    Shown::WhileLeading,
    "pending_oldest_timestamp_seconds",
    &["kind"],
    "Time from which the oldest object without a final verdict could have been judged, by kind; absent when there is \
     none",
);
/// Reports that could be charged now.
pub const CHARGEABLE: Description = gauge(
    Shown::WhileLeading,
    "chargeable_reports",
    &[],
    "UsageReports without a verdict whose window is over and whose account has begun",
);
/// Time since when the oldest report could be charged.
pub const CHARGEABLE_SINCE: Description = gauge(
    Shown::WhileLeading,
    "chargeable_report_oldest_timestamp_seconds",
    &[],
    "Time from which the oldest chargeable UsageReport could have been charged; absent when there is none",
);
/// Objects without a Subscription.
pub const ORPHANS: Description = gauge(
    Shown::WhileLeading,
    "orphaned_objects",
    &["kind"],
    "Objects without a verdict whose Subscription does not exist, by kind",
);
/// Creation time of the oldest object without a Subscription.
pub const ORPHAN_SINCE: Description = gauge(
    Shown::WhileLeading,
    "orphaned_object_oldest_timestamp_seconds",
    &["kind"],
    "Creation time of the oldest object whose Subscription does not exist, by kind; absent when there is none",
);
/// Objects whose creation time is in the future.
pub const FUTURE: Description = gauge(
    Shown::WhileLeading,
    "future_objects",
    &["kind"],
    "Objects whose creation time is more than 60 seconds ahead of the operator's clock, by kind",
);
/// Open invoices.
pub const OPEN_INVOICES: Description = gauge(Shown::WhileLeading, "open_invoices", &[], "Open invoices");
/// Issue time of the oldest open invoice.
pub const OPEN_INVOICE_SINCE: Description = gauge(
    Shown::WhileLeading,
    "open_invoice_oldest_timestamp_seconds",
    &[],
    "Issue time of the oldest open invoice; absent when there is none",
);

/// Balance of an account.
pub const BALANCE: Description =
    gauge(Shown::ByAccount, "credits_balance", ACCOUNT, "Credits left minus debt");
/// Debt of an account.
pub const DEBT: Description =
    gauge(Shown::ByAccount, "credits_debt", ACCOUNT, "Debt: consumption that no credits paid");
/// Share of the period's credits that is used.
pub const USED_RATIO: Description = gauge(
    Shown::ByAccount,
    "credits_used_ratio",
    ACCOUNT,
    "Consumed share of the period's credits; 1 is all of them",
);
/// Consumption of the period by rate.
pub const PERIOD_CONSUMED: Description = gauge(
    Shown::ByAccount,
    "period_credits_consumed",
    &["namespace", "account", "rate"],
    "Credits consumed in the current period, by rate",
);
/// Forecast rate.
pub const CREDITS_PER_DAY: Description = gauge(
    Shown::ByAccount,
    "forecast_credits_per_day",
    ACCOUNT,
    "Credits consumed per day, averaged over at most 7 days up to the last charge",
);
/// Forecast exhaustion.
pub const EXHAUSTION: Description = gauge(
    Shown::ByAccount,
    "forecast_exhaustion_timestamp_seconds",
    ACCOUNT,
    "Time at which the balance reaches zero at that rate; absent when it does not",
);
/// Next renewal.
pub const RENEWAL: Description = gauge(
    Shown::ByAccount,
    "renewal_timestamp_seconds",
    ACCOUNT,
    "Start of the next period; absent when there is none",
);
/// Packs bought in the month.
pub const PACKS_USED: Description =
    gauge(Shown::ByAccount, "packs_used", ACCOUNT, "Packs bought in the account's current month");
/// Packs allowed in the month.
pub const PACKS_LIMIT: Description =
    gauge(Shown::ByAccount, "packs_limit", ACCOUNT, "Packs that the account may buy per month");
/// Conditions of an account.
pub const CONDITION: Description = gauge(
    Shown::ByAccount,
    "account_condition",
    &["namespace", "account", "condition"],
    "1 while the condition of the Subscription is True, else 0",
);

/// Accounts of a meter.
pub const METER_ACCOUNTS: Description =
    gauge(Shown::ByMeter, "meter_accounts", METER, "Accounts that have series of the meter");
/// Series of a meter.
pub const METER_SERIES: Description = gauge(
    Shown::ByMeter,
    "meter_series",
    METER,
    "Series that the meter counted in the last window of each account",
);
/// Lag of a meter.
pub const METER_LAG_SECONDS: Description = gauge(
    Shown::ByMeter,
    "meter_lag_seconds",
    METER,
    "Seconds since the end of the oldest window that is due and not reported; 0 when none is",
);
/// Values without a Subscription.
pub const METER_UNMATCHED: Description = gauge(
    Shown::ByMeter,
    "meter_unmatched_values",
    METER,
    "Values of the account's label that name no Subscription; their usage is not charged",
);
/// Accounts that wait.
pub const METER_HELD: Description =
    gauge(Shown::ByMeter, "meter_held_accounts", METER, "Accounts whose windows cannot be closed");
/// Rejected reports of a meter.
pub const METER_REJECTED: Description = gauge(
    Shown::ByMeter,
    "meter_rejected_reports",
    METER,
    "Reports of the meter that the operator rejected, among those that exist and those since the start",
);
/// Created reports of a meter.
pub const METER_CREATED: Description =
    gauge(Shown::ByMeter, "meter_created_reports", METER, "Reports that the meter created since its start");
/// Meters that need somebody's action.
pub const METER_STALLED: Description = gauge(
    Shown::ByMeter,
    "meter_stalled",
    &["namespace", "meter", "reason"],
    "1 while somebody must act, by the reason of the UsageMeter's condition `Stalled`; absent otherwise",
);

/// Decisions of a gate.
pub const GATE_DECISIONS: Description = Description {
    name: "gate_decisions",
    kind: MetricType::Counter,
    labels: &["result"],
    help: "Checks by result: `allowed`, `spent`, and for requests without a known account, or while the state is stale, \
           `unknown_allowed`, `unknown_denied`, `stale_allowed`, `stale_denied`",
    shown: Shown::ByGate,
};
/// Accounts of a gate.
pub const GATE_ACCOUNTS: Description =
    gauge(Shown::ByGate, "gate_accounts", &[], "Accounts that the gate has in memory");
/// Closed accounts of a gate.
pub const GATE_ACCOUNTS_CLOSED: Description =
    gauge(Shown::ByGate, "gate_accounts_closed", &[], "Accounts that the gate stops");
/// Whether the state of a gate is stale.
pub const GATE_STALE: Description = gauge(
    Shown::ByGate,
    "gate_stale",
    &[],
    "1 while the gate has no contact with the API server, or no complete list; requests are then answered by `--stale`",
);
/// Time since the last contact of a gate.
pub const GATE_CONTACT_AGE_SECONDS: Description = gauge(
    Shown::ByGate,
    "gate_contact_age_seconds",
    &[],
    "Seconds since the last contact of the gate with the API server",
);
/// The owner's choice for failures.
pub const GATE_FAILS_OPEN: Description = gauge(
    Shown::ByGate,
    "gate_fails_open",
    &["failure"],
    "1 if requests are let through on the failure `stale` or `unknown`, else 0: the choice of `--stale` and `--unknown`",
);

/// Every metric, in the order of the reference.
pub const ALL: [&Description; 57] = [
    &RECONCILES,
    &RECONCILE_SECONDS,
    &COMMITS,
    &ENTRIES,
    &CONSUMED,
    &PURCHASES,
    &LAPSES,
    &REFUSALS,
    &GAPS_CLOSED,
    &RECORDINGS,
    &HISTORY_GAPS,
    &LATENESS_SECONDS,
    &VIOLATIONS,
    &WATCH_ERRORS,
    &RESTORES,
    &SET_ASIDE,
    &CALLBACKS,
    &EVENTS_HELD,
    &CONNECTIONS_CUT,
    &CLOCK_SKEW_SECONDS,
    &LEADER,
    &BACKUP,
    &BACKUP_MAX_AGE,
    &SUBSCRIPTIONS,
    &PENDING,
    &PENDING_SINCE,
    &CHARGEABLE,
    &CHARGEABLE_SINCE,
    &ORPHANS,
    &ORPHAN_SINCE,
    &FUTURE,
    &OPEN_INVOICES,
    &OPEN_INVOICE_SINCE,
    &BALANCE,
    &DEBT,
    &USED_RATIO,
    &PERIOD_CONSUMED,
    &CREDITS_PER_DAY,
    &EXHAUSTION,
    &RENEWAL,
    &PACKS_USED,
    &PACKS_LIMIT,
    &CONDITION,
    &METER_ACCOUNTS,
    &METER_SERIES,
    &METER_LAG_SECONDS,
    &METER_UNMATCHED,
    &METER_HELD,
    &METER_REJECTED,
    &METER_CREATED,
    &METER_STALLED,
    &GATE_DECISIONS,
    &GATE_ACCOUNTS,
    &GATE_ACCOUNTS_CLOSED,
    &GATE_STALE,
    &GATE_CONTACT_AGE_SECONDS,
    &GATE_FAILS_OPEN,
];

impl Description {
    /// Returns its labels with these values, in the order of their names.
    #[must_use]
    pub fn labelled<'a>(&self, values: &[&'a str]) -> Vec<(&'static str, &'a str)> {
        self.labels.iter().copied().zip(values.iter().copied()).collect()
    }

    /// Returns the names of its series in Prometheus.
    #[must_use]
    pub fn series(&self) -> Vec<String> {
        let suffixes: &[&str] = match self.kind {
            MetricType::Counter => &["_total"],
            MetricType::Histogram => &["_bucket", "_count", "_sum"],
            MetricType::Gauge | MetricType::Info | MetricType::Unknown => &[""],
        };
        suffixes.iter().map(|suffix| format!("{PREFIX}_{}{suffix}", self.name)).collect()
    }
}

/// A collector without metrics.
#[derive(Clone, Copy, Debug)]
pub struct NothingElse;

impl Collector for NothingElse {
    fn encode(&self, _: DescriptorEncoder) -> std::fmt::Result {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_habits_of_prometheus() {
        for description in ALL {
            let name = description.name;
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(!name.ends_with("_total"), "{name}: the kind adds it");
            assert!(!description.help.ends_with('.'), "{name}");
            assert_eq!(ALL.iter().filter(|other| other.name == name).count(), 1, "{name}");
        }
    }
}
