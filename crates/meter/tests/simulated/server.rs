//! A server of Prometheus in memory.

use std::sync::Mutex;

use flashgate_meter::answer::{AnswerError, Labels, Series};
use flashgate_meter::sample::Sample;
use flashgate_meter::selector::{NAME, Selector};
use flashgate_meter::server::Server;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

/// A series with the instants from which its samples can be read.
#[derive(Clone, Debug)]
pub struct SimulatedSeries {
    /// Labels with the name of the counter.
    pub labels: Labels,
    samples: Vec<(Sample, Timestamp)>,
}

impl SimulatedSeries {
    /// Returns a series of the counter `tokens_total` without samples.
    pub fn new(labels: &[(&str, &str)]) -> Self {
        let mut all: Labels =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        all.insert(NAME.to_owned(), "tokens_total".to_owned());
        all.entry("org".to_owned()).or_default();
        Self { labels: all, samples: Vec::new() }
    }

    /// Adds a sample that can be read from an instant on.
    pub fn add(&mut self, time: Timestamp, value: Decimal, readable: Timestamp) {
        self.samples.push((Sample { time, value }, readable));
    }

    /// Returns the sum of the increments after `start`, from the last sample before, or from zero.
    pub fn increments_since(&self, start: Timestamp) -> Decimal {
        let (mut before, mut sum) = (Decimal::ZERO, Decimal::ZERO);
        for (sample, _) in &self.samples {
            if sample.time > start {
                sum += if sample.value >= before { sample.value - before } else { sample.value };
            }
            before = sample.value;
        }
        sum
    }
}

#[derive(Debug, Default)]
struct State {
    now: Timestamp,
    is_down: bool,
    is_refusing: bool,
    forgotten: Option<Timestamp>,
    seconds_ahead: i64,
}

/// A server of Prometheus in memory.
#[derive(Debug)]
pub struct SimulatedServer {
    series: Vec<SimulatedSeries>,
    state: Mutex<State>,
}

impl SimulatedServer {
    pub fn new(series: Vec<SimulatedSeries>) -> Self {
        Self { series, state: Mutex::default() }
    }

    pub fn set_now(&self, now: Timestamp) {
        self.state.lock().expect("state").now = now;
    }

    pub fn set_down(&self, is_down: bool) {
        self.state.lock().expect("state").is_down = is_down;
    }

    pub fn set_refusing(&self, is_refusing: bool) {
        self.state.lock().expect("state").is_refusing = is_refusing;
    }

    pub fn set_ahead(&self, seconds: i64) {
        self.state.lock().expect("state").seconds_ahead = seconds;
    }

    /// Removes the samples before an instant, as a short retention does.
    pub fn forget_before(&self, instant: Timestamp) {
        self.state.lock().expect("state").forgotten = Some(instant);
    }

    fn ready(&self) -> Result<(), AnswerError> {
        let state = self.state.lock().expect("state");
        if state.is_down {
            return Err(AnswerError::Unavailable { status: 503, body: String::new() });
        }
        if state.is_refusing {
            return Err(AnswerError::Refused {
                kind: "execution".to_owned(),
                message: "too many samples".to_owned(),
            });
        }
        Ok(())
    }

    /// Returns the samples of the series that match, from an instant on and up to another.
    fn found(&self, selector: &Selector, from: Timestamp, until: Timestamp) -> Vec<Series> {
        let state = self.state.lock().expect("state");
        let given = selector.given.split(',').filter_map(|condition| condition.split_once('='));
        let given: Vec<(&str, &str)> = given.map(|(label, value)| (label, value.trim_matches('"'))).collect();
        let matches = |series: &&SimulatedSeries| {
            let has = |label: &str, value: &str| series.labels.get(label).map_or("", String::as_str) == value;
            series.labels[NAME] == selector.counter
                && selector.labels.iter().all(|(label, value)| has(label, value))
                && given.iter().all(|(label, value)| has(label, value))
        };
        let is_kept = |time: Timestamp| state.forgotten.is_none_or(|forgotten| time >= forgotten);
        let readable = |series: &SimulatedSeries| Series {
            labels: series.labels.clone(),
            samples: series
                .samples
                .iter()
                .filter(|(sample, readable)| {
                    *readable <= state.now && (from..=until).contains(&sample.time) && is_kept(sample.time)
                })
                .map(|(sample, _)| *sample)
                .collect(),
        };
        self.series.iter().filter(matches).map(readable).filter(|series| !series.samples.is_empty()).collect()
    }
}

impl Server for SimulatedServer {
    async fn samples(
        &self,
        selector: &Selector,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Series>, AnswerError> {
        self.ready()?;
        Ok(self.found(selector, after, until))
    }

    async fn last(
        &self,
        selector: &Selector,
        range: SignedDuration,
        at: Timestamp,
    ) -> Result<Vec<Series>, AnswerError> {
        self.ready()?;
        let mut found = self.found(selector, at - range, at);
        for series in &mut found {
            series.labels.remove(NAME);
            let last = series.samples.last().copied();
            series.samples = last.map(|last| Sample { time: at, ..last }).into_iter().collect();
        }
        Ok(found)
    }

    async fn series(
        &self,
        selectors: &[Selector],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Labels>, AnswerError> {
        self.ready()?;
        let found = selectors.iter().flat_map(|selector| self.found(selector, from, until));
        Ok(found.map(|series| series.labels).collect())
    }

    fn seconds_ahead(&self) -> Option<i64> {
        Some(self.state.lock().expect("state").seconds_ahead)
    }
}
