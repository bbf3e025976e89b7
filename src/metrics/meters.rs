//! The metrics of meters, from their figures at each scrape.

use std::fmt;
use std::sync::Arc;

use flashgate_meter::figures::{Figures, MeterFigures};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::description::{self, Description};
use super::show;

/// The metrics of all meters of a process.
#[derive(Clone, Debug)]
pub struct MeterMetrics {
    figures: Arc<Figures>,
}

impl MeterMetrics {
    /// Returns the metrics of these figures.
    #[must_use]
    pub const fn new(figures: Arc<Figures>) -> Self {
        Self { figures }
    }
}

impl Collector for MeterMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let all = self.figures.all();
        let mut of = |description: &Description, value: &dyn Fn(&MeterFigures) -> i64| {
            let series = all.iter().map(|(meter, figures)| {
                (vec![meter.namespace.as_str(), meter.name.as_str()], value(figures))
            });
            show(&mut encoder, description, series)
        };
        of(&description::METER_ACCOUNTS, &|figures| figures.accounts)?;
        of(&description::METER_SERIES, &|figures| figures.series)?;
        of(&description::METER_LAG_SECONDS, &|figures| figures.lag_seconds)?;
        of(&description::METER_UNMATCHED, &|figures| figures.unmatched)?;
        of(&description::METER_HELD, &|figures| figures.held)?;
        of(&description::METER_REJECTED, &|figures| figures.rejected)?;
        of(&description::METER_CREATED, &|figures| i64::try_from(figures.created).unwrap_or(i64::MAX))?;
        let stalled = all.iter().filter_map(|(meter, figures)| {
            let reason = figures.stalled.as_deref()?;
            Some((vec![meter.namespace.as_str(), meter.name.as_str(), reason], 1_i64))
        });
        show(&mut encoder, &description::METER_STALLED, stalled)
    }
}
