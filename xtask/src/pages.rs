//! Generated pages of the reference: metrics and reasons.

use std::fmt::Write as _;

use flashgate_api::reason::Reason;
use flashgate_billing::metrics::description::{ALL, PREFIX, Shown};
use prometheus_client::metrics::MetricType;

/// Returns the table of metrics: `docs/reference/metrics.md`.
#[must_use]
pub fn metrics_markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\nThe metrics that `/metrics` serves (`--metrics-addr`), in the OpenMetrics text format. This page is \
         generated from\n`src/metrics/description.rs` by `make generate`. Values are floats for display; exact amounts \
         are in the CreditLedgers.\nLabel values come from closed sets, except `namespace` and `account`.\n",
    );
    let sections = [
        (Shown::Always, "Every operator", "Each process counts its own work; a standby does too."),
        (
            Shown::WithBackups,
            "Backups",
            "Only with `--backup-lease` (`backup.enabled` of the chart), by every operator.",
        ),
        (
            Shown::WhileLeading,
            "The leader",
            "The current state of all objects that it watches; a standby shows none of these.",
        ),
        (
            Shown::ByAccount,
            "Accounts",
            "Only with `--account-metrics` (`metrics.accounts` of the chart), by the leader: about 15 series per \
             account, with the\nvalues of the Subscription's status. They end with the Subscription.\n\n\
             `namespace` is the account's. A scrape must keep it (`honor_labels: true`, as in the chart's \
             ServiceMonitor). Otherwise\nPrometheus renames it to `exported_namespace`, and alerts and dashboards \
             do not find it.",
        ),
        (
            Shown::ByMeter,
            "Meters",
            "By `flashgate-billing meter` (`meter.enabled` of the chart), for each UsageMeter. `namespace` is that of the \
             UsageMeter.",
        ),
        (Shown::ByGate, "Gate", "By `flashgate-billing gate` (`gate.enabled` of the chart), for each pod."),
    ];
    for (shown, heading, text) in sections {
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "\n## {heading}\n{text}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"
        );
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

/// Returns the table of reasons: `docs/reference/reasons.md`.
#[must_use]
pub fn reasons_markdown() -> String {
    let mut page = String::from(
        "# Reasons\n\nEvery reason that a condition or an event can show; metrics use the same words. This page is \
         generated from\n`crates/api/src/reason.rs` by `make generate`.\n\n| reason | meaning, and what to do |\n|---|---|\n",
    );
    for reason in Reason::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{reason}` | {} |", reason.description());
    }
    page
}
