//! The measurements of a soak test.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::soak::chaos::{Chaos, Pair, RESTARTS, lock};
use crate::soak::ledger_totals::LedgerTotals;
use crate::soak::load::Load;

/// Time between two measurements.
const INTERVAL: Duration = Duration::from_secs(5);

/// One measurement. Counters start at the beginning of the test.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Seconds since the start.
    pub seconds: u64,
    /// Resident memory of both operators, in KiB; 0 for an operator that does not run.
    pub memory_kib: [u64; 2],
    /// Number of reports charged.
    pub charged: i64,
    /// Number of commits.
    pub commits: i64,
    /// Number of times that an operator or the API server was stopped.
    pub restarts: u64,
    /// Number of requests that failed.
    pub faults: u64,
}

/// All measurements.
#[derive(Default)]
pub struct Samples(Mutex<Vec<Sample>>);

impl Samples {
    /// Measures until `end`.
    pub async fn take_until(&self, end: Instant, pair: &Pair, totals: &LedgerTotals, chaos: &Chaos) {
        let begin = Instant::now();
        let (charged, commits) = (totals.consumed(), totals.commits());
        let mut ticks = tokio::time::interval(INTERVAL);
        while Instant::now() < end {
            ticks.tick().await;
            let counts = chaos.counts();
            let restarts: u64 = RESTARTS.iter().filter_map(|what| counts.get(what)).sum();
            let sample = Sample {
                seconds: begin.elapsed().as_secs(),
                memory_kib: pair.memory_kib(),
                charged: totals.consumed() - charged,
                commits: totals.commits() - commits,
                restarts,
                faults: counts.values().sum::<u64>() - restarts,
            };
            lock(&self.0).push(sample);
        }
    }

    /// Returns the measurements so far.
    pub fn all(&self) -> Vec<Sample> {
        lock(&self.0).clone()
    }

    /// Returns the measurements as CSV.
    pub fn csv(&self) -> String {
        let mut text =
            "seconds,memory_first_kib,memory_second_kib,reports_charged,commits,restarts,faults\n".to_owned();
        for sample in self.all() {
            let Sample { seconds, memory_kib: [first, second], charged, commits, restarts, faults } = sample;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{seconds},{first},{second},{charged},{commits},{restarts},{faults}");
        }
        text
    }

    /// Returns the mean memory of an operator in the middle third and in the last third, in KiB.
    pub fn memory_kib(&self) -> (u64, u64) {
        let all = self.all();
        let third = all.len() / 3;
        let mean = |samples: &[Sample]| {
            let values: Vec<u64> =
                samples.iter().flat_map(|sample| sample.memory_kib).filter(|memory| *memory > 0).collect();
            values.iter().sum::<u64>() / u64::try_from(values.len().max(1)).unwrap_or(1)
        };
        (mean(&all[third..2 * third]), mean(&all[2 * third..]))
    }

    /// Says what came of it.
    pub fn summary(&self, time: Duration, load: &Load<'_>, chaos: &Chaos) -> String {
        let (middle, last) = self.memory_kib();
        let most = self.all().iter().flat_map(|sample| sample.memory_kib).max().unwrap_or_default();
        let mut text = format!(
            "{} s, {load}: exact\nmemory of an operator: {middle} KiB in the middle third, {last} KiB in the last, at \
             most {most} KiB\n",
            time.as_secs(),
        );
        for (what, count) in chaos.counts() {
            let _ = writeln!(text, "  {what}: {count}");
        }
        text
    }
}
