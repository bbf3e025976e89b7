//! The world that most tests share. Its operator runs as the chart installs it.

use serde_json::json;
use tokio::sync::OnceCell;

use crate::suite::chart;
use crate::world::{Operator, World};

/// Namespaces of the shared world in which Subscriptions may use a test clock.
pub const TEST_CLOCK_NAMESPACES: [&str; 33] = [
    "clock-renewal",
    "clock-packs",
    "clock-debt",
    "clock-late",
    "clock-waiting",
    "clock-deletion",
    "clock-upgrade",
    "clock-downtime",
    "clock-lapse",
    "clock-burn",
    "clock-start",
    "clock-held",
    "clock-month",
    "clock-anchor",
    "clock-growth",
    "clock-taken-back",
    "clock-downgrade",
    "clock-owing",
    "clock-thresholds",
    "clock-plans",
    "clock-free",
    "clock-year",
    "clock-preview",
    "clock-life-01-individual",
    "clock-life-02-free-to-paid",
    "clock-life-03-a-year-of-starter",
    "clock-life-04-yearly-scale",
    "clock-life-05-upgrade-twice",
    "clock-life-06-downgrade-and-back",
    "clock-life-07-lapse-and-return",
    "clock-life-08-debt-and-repayment",
    "clock-life-09-packs-to-the-limit",
    "clock-life-10-late-usage",
];

/// Returns the world that most tests share. Its operator always runs, with only the rights and options of the
/// chart.
pub async fn shared() -> &'static World {
    static SHARED: OnceCell<(World, Operator)> = OnceCell::const_new();
    let start = || async {
        let world = World::start().await;
        let (_, operator) = chart::install(&world, &TEST_CLOCK_NAMESPACES, json!({})).await;
        (world, operator)
    };
    &SHARED.get_or_init(start).await.0
}
