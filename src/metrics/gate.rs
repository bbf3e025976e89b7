//! The metrics of a gate, from its figures at each scrape.

use std::fmt;

use flashgate_gate::figures::{DecisionResult, Figures};
use flashgate_gate::gate::Gate;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;

use super::description::{self, Description};
use super::show;

/// The metrics of the gate of a process.
#[derive(Clone)]
pub struct GateMetrics {
    gate: Gate,
}

impl fmt::Debug for GateMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("GateMetrics").finish_non_exhaustive()
    }
}

impl GateMetrics {
    /// Returns the metrics of this gate.
    #[must_use]
    pub const fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

impl Collector for GateMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let figures = self.gate.figures();
        show_decisions(&mut encoder, &figures)?;
        let mut single =
            |description: &Description, value: i64| show(&mut encoder, description, [(Vec::new(), value)]);
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        single(&description::GATE_ACCOUNTS, count(figures.accounts))?;
        single(&description::GATE_ACCOUNTS_CLOSED, count(figures.accounts_closed))?;
        single(&description::GATE_STALE, i64::from(figures.is_stale))?;
        let age = i64::try_from(figures.contact_age.as_secs()).unwrap_or(i64::MAX);
        single(&description::GATE_CONTACT_AGE_SECONDS, age)?;
        let failures =
            [("stale", figures.fails_open_when_stale), ("unknown", figures.fails_open_when_unknown)];
        let series = failures.map(|(failure, is_open)| (vec![failure], i64::from(is_open)));
        show(&mut encoder, &description::GATE_FAILS_OPEN, series)
    }
}

/// Writes the number of decisions by their result.
fn show_decisions(encoder: &mut DescriptorEncoder<'_>, figures: &Figures) -> fmt::Result {
    let description = &description::GATE_DECISIONS;
    let Description { name, help, kind, .. } = *description;
    let mut metric = encoder.encode_descriptor(name, &format!("{help}."), None, kind)?;
    for result in DecisionResult::ALL {
        let labels = description.labelled(&[result.as_str()]);
        let counter = ConstCounter::new(figures.decisions(result));
        prometheus_client::encoding::EncodeMetric::encode(&counter, metric.encode_family(&labels)?)?;
    }
    Ok(())
}
