//! The metrics by name: what each tells, and which labels it has. `docs/reference/metrics.md` is made of this list.

use std::fmt::Write as _;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

/// What the name of every metric begins with.
pub const PREFIX: &str = "flashgate_billing";

/// A metric by name.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Name, without what every name begins with and without what its kind adds.
    pub name: &'static str,
    /// What kind of metric it is.
    pub kind: MetricType,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells, without a full stop.
    pub help: &'static str,
    /// When it is shown.
    pub shown: Shown,
}

/// When a metric is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// By every operator.
    Always,
    /// By every operator that `--backup-lease` tells of backups.
    WithBackups,
    /// By the operator that leads, of what it watches.
    WhileLeading,
    /// By the operator that leads, for each account, when `--account-metrics` asks for it.
    ByAccount,
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

/// Labels of what is told of one account.
const ACCOUNT: &[&str] = &["namespace", "account"];

/// Reconciles.
pub const RECONCILES: Description = counter(
    "reconcile",
    &["kind", "result"],
    "Reconciles of accounts by result: `ok`, or the step that failed",
);
/// Time of a reconcile.
pub const RECONCILE_SECONDS: Description =
    histogram("reconcile_duration_seconds", "Seconds that a reconcile took");
/// Commits.
pub const COMMITS: Description = counter("commits", &[], "Commits; each is one write of one CreditLedger");
/// Entries of ledgers.
pub const ENTRIES: Description = counter("ledger_entries", &["kind"], "Committed entries of ledgers by kind");
/// Credits consumed.
pub const CONSUMED: Description =
    counter("credits_consumed", &["rate"], "Credits charged by rate, such as `Public/StorageEgress`");
/// Packs bought.
pub const PURCHASES: Description =
    counter("pack_purchases", &["pack"], "Packs whose credits were granted, by pack of the catalog");
/// Lapses.
pub const LAPSES: Description = counter("lapses", &["cause"], "Plans that lapsed, by cause");
/// Refusals.
pub const REFUSALS: Description =
    counter("refusals", &["reason"], "Reports, packs, payments and adjustments that were refused, by reason");
/// Closed gaps.
pub const GAPS_CLOSED: Description = counter(
    "gaps_closed",
    &[],
    "Gaps between charged windows that were closed because a source or an account had too many",
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
    "Times that an account was left alone because its ledger is wrong or older than it was; deletion is not counted",
);
/// Interruptions of watches.
pub const WATCH_ERRORS: Description = counter("watch_errors", &["kind"], "Interruptions of watches by kind");
/// Restores of etcd.
pub const RESTORES: Description = counter(
    "server_restores",
    &[],
    "Times that the API server's data went back to an earlier state, as after a restore of etcd",
);
/// Objects that cannot be understood.
pub const SET_ASIDE: Description =
    counter("objects_set_aside", &["kind"], "Times that an object could not be understood, by kind");
/// Callbacks of the payment webhook.
pub const CALLBACKS: Description = counter(
    "payment_callbacks",
    &["result"],
    "Callbacks of the payment webhook: `Created`, `Known`, or the word of a refusal",
);
/// Events that the rate limit held back.
pub const EVENTS_HELD: Description = counter(
    "events_held_back",
    &[],
    "Events that the rate limit of an account and reason held back; a later Event tells their number",
);
/// Connections that a server closed by itself.
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
    "Seconds by which the local clock is ahead of the API server's; commits hold beyond 60 either way",
);
/// Leadership.
pub const LEADER: Description = gauge(Shown::Always, "leader", &[], "1 while this operator leads, else 0");
/// When the last good backup was taken.
pub const BACKUP: Description = gauge(
    Shown::WithBackups,
    "backup_last_success_timestamp_seconds",
    &[],
    "When the last good backup was finished; 0 while there was none",
);
/// How old a backup may become.
pub const BACKUP_MAX_AGE: Description = gauge(
    Shown::WithBackups,
    "backup_max_age_seconds",
    &[],
    "How old the last good backup may be, as `--backup-max-age-seconds` says",
);

/// Subscriptions by what their condition Ready says.
pub const SUBSCRIPTIONS: Description = gauge(
    Shown::WhileLeading,
    "subscriptions",
    &["ready", "reason"],
    "Subscriptions by status and reason of their condition Ready",
);
/// Facts without a verdict.
pub const PENDING: Description = gauge(
    Shown::WhileLeading,
    "pending_objects",
    &["kind"],
    "Objects without a final verdict by kind; a pack that awaits its payment is one",
);
/// Since when the oldest fact waits.
pub const PENDING_SINCE: Description = gauge(
    Shown::WhileLeading,
    "pending_oldest_timestamp_seconds",
    &["kind"],
    "When the oldest object without a final verdict could be judged first, by kind; absent when there is none",
);
/// Open invoices.
pub const OPEN_INVOICES: Description =
    gauge(Shown::WhileLeading, "open_invoices", &[], "Invoices that are to be paid");
/// Since when the oldest invoice is open.
pub const OPEN_INVOICE_SINCE: Description = gauge(
    Shown::WhileLeading,
    "open_invoice_oldest_timestamp_seconds",
    &[],
    "When the oldest invoice that is to be paid was issued; absent when there is none",
);

/// Balance of an account.
pub const BALANCE: Description =
    gauge(Shown::ByAccount, "credits_balance", ACCOUNT, "Credits left, minus debt");
/// Debt of an account.
pub const DEBT: Description =
    gauge(Shown::ByAccount, "credits_debt", ACCOUNT, "Consumption that no credits could pay");
/// Share of the period's credits that is used.
pub const USED_RATIO: Description = gauge(
    Shown::ByAccount,
    "credits_used_ratio",
    ACCOUNT,
    "Share of the period's credits that is consumed; 1 is all of them",
);
/// Consumption of the period by rate.
pub const PERIOD_CONSUMED: Description = gauge(
    Shown::ByAccount,
    "period_credits_consumed",
    &["namespace", "account", "rate"],
    "Credits consumed in the current period by rate",
);
/// Forecast rate.
pub const CREDITS_PER_DAY: Description = gauge(
    Shown::ByAccount,
    "forecast_credits_per_day",
    ACCOUNT,
    "Credits consumed a day, over at most the last seven days with its last charge",
);
/// Forecast exhaustion.
pub const EXHAUSTION: Description = gauge(
    Shown::ByAccount,
    "forecast_exhaustion_timestamp_seconds",
    ACCOUNT,
    "When the balance reaches zero at that rate; absent when it will not",
);
/// Next renewal.
pub const RENEWAL: Description = gauge(
    Shown::ByAccount,
    "renewal_timestamp_seconds",
    ACCOUNT,
    "When the next period begins; absent when none will",
);
/// Packs bought in the month.
pub const PACKS_USED: Description =
    gauge(Shown::ByAccount, "packs_used", ACCOUNT, "Packs bought in the account's current month");
/// Packs allowed in the month.
pub const PACKS_LIMIT: Description =
    gauge(Shown::ByAccount, "packs_limit", ACCOUNT, "Packs that the account may buy in a month");
/// Conditions of an account.
pub const CONDITION: Description = gauge(
    Shown::ByAccount,
    "account_condition",
    &["namespace", "account", "condition"],
    "1 while the condition of the Subscription is True, else 0",
);

/// Every metric, in the order of the reference.
pub const ALL: [&Description; 36] = [
    &RECONCILES,
    &RECONCILE_SECONDS,
    &COMMITS,
    &ENTRIES,
    &CONSUMED,
    &PURCHASES,
    &LAPSES,
    &REFUSALS,
    &GAPS_CLOSED,
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
];

impl Description {
    /// Returns its labels with these values, in the order of their names.
    #[must_use]
    pub fn labelled<'a>(&self, values: &[&'a str]) -> Vec<(&'static str, &'a str)> {
        self.labels.iter().copied().zip(values.iter().copied()).collect()
    }

    /// Returns the names of the series that Prometheus keeps of it.
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

/// Shows nothing but what is counted.
#[derive(Clone, Copy, Debug)]
pub struct NothingElse;

impl Collector for NothingElse {
    fn encode(&self, _: DescriptorEncoder) -> std::fmt::Result {
        Ok(())
    }
}

/// Returns the table of metrics: `docs/reference/metrics.md`.
#[must_use]
pub fn metrics_markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\nWhat `/metrics` shows (`--metrics-addr`), in the OpenMetrics text format. This page is generated \
         from\n`src/metrics/description.rs` by `make generate`. Numbers are floats and for display alone: what is \
         exact is in the\nledgers. Labels come from closed sets, but for `namespace` and `account`.\n",
    );
    let sections = [
        (Shown::Always, "Every operator", "A standby counts what it does itself."),
        (
            Shown::WithBackups,
            "Backups",
            "Only with `--backup-lease` (`backup.enabled` of the chart), by every operator.",
        ),
        (
            Shown::WhileLeading,
            "The operator that leads",
            "Of everything that it watches, as it stands at the scrape; a standby shows none of these.",
        ),
        (
            Shown::ByAccount,
            "Accounts",
            "Only with `--account-metrics` (`metrics.accounts` of the chart), by the operator that leads: about 15 \
             series an\naccount, with the numbers of the Subscription's status. They end with the Subscription.\n\n\
             `namespace` is the account's. A scrape must keep it (`honor_labels: true`, as the chart's \
             ServiceMonitor says), or\nPrometheus calls it `exported_namespace` and neither alerts nor dashboards \
             find it.",
        ),
    ];
    for (shown, heading, text) in sections {
        // Writing to a String cannot fail.
        let _ =
            write!(page, "\n## {heading}\n{text}\n\n| metric | kind | labels | tells |\n|---|---|---|---|\n");
        for description in ALL.iter().filter(|description| description.shown == shown) {
            let suffix = if matches!(description.kind, MetricType::Counter) { "_total" } else { "" };
            let labels: Vec<String> = description.labels.iter().map(|label| format!("`{label}`")).collect();
            let _ = writeln!(
                page,
                "| `{PREFIX}_{}{suffix}` | {} | {} | {} |",
                description.name,
                description.kind.as_str(),
                labels.join(", "),
                description.help
            );
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_of_metrics_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/metrics.md");
        let committed = std::fs::read_to_string(path).expect("docs/reference/metrics.md");
        assert!(committed == metrics_markdown(), "run `make generate`");
    }

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
