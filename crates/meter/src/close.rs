//! Reads what an account used in a window.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use crate::answer::{AnswerError, Labels, Series};
use crate::count::{Baseline, CountOverflow, count};
use crate::cursor::{Cursor, before};
use crate::lines::{Line, QuantityOverflow, lines, share};
use crate::readings::{Reading, Readings, SeriesId, TooManySeries};
use crate::sample::Sample;
use crate::selector::{NAME, Selector};
use crate::server::Server;
use crate::terms::{Terms, Unrated};

/// Time before a window in which a series without a reading is looked for.
const LOOKED_BACK: SignedDuration = SignedDuration::from_hours(35 * 24);

/// Time before a window in which most series that continue have a sample. It is asked first, because that is cheap.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// Most samples that one query should return.
const SAMPLES: i64 = 1_000_000;

/// Shortest time between two samples of a series that is expected.
const SCRAPE_SECONDS: i64 = 5;

/// Shortest part of a window that is read by one query. A server that refuses even that refuses the window.
const SHORTEST_PART: SignedDuration = SignedDuration::from_secs(60);

/// Most series that one request names.
const NAMED_SERIES: usize = 100;

/// The usage of an account in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Lines of the report, none of quantity 0.
    pub lines: Vec<Line>,
    /// Sum of the lines.
    pub total: Decimal,
    /// Readings at the end of the window, as the text of the report.
    pub readings: Readings,
    /// Number of series with a sample.
    pub series: usize,
    /// Number of series whose last reading is no longer on the server.
    pub too_short: usize,
    /// Labels of a series whose value exceeds 2^53, if there is one.
    pub inexact: Option<Labels>,
}

/// The decision about the first values of new series that exceed the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewSeries {
    /// Nothing was decided: the account is held.
    Undecided,
    /// They count from zero.
    FromZero,
    /// They count from their first sample.
    FromFirstSample,
}

/// Why a window cannot be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The server gives no answer that can be used.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// There are too many series.
    #[error(transparent)]
    TooManySeries(#[from] TooManySeries),
    /// A series has no rate.
    #[error(transparent)]
    Unrated(#[from] Unrated),
    /// New series begin with more usage than the limit.
    #[error(
        "{series} new series begin with {quantity}, and at most {limit} is accepted at once: probably their labels changed"
    )]
    SeriesReplaced {
        /// Number of the new series.
        series: usize,
        /// Sum of their first values, in the unit of the rate.
        quantity: Decimal,
        /// The limit.
        limit: Decimal,
    },
    /// A sum is too large.
    #[error(transparent)]
    Count(#[from] CountOverflow),
    /// A quantity is too large.
    #[error(transparent)]
    Quantity(#[from] QuantityOverflow),
}

/// A series while its samples are read.
struct Counted {
    labels: Labels,
    baseline: Baseline,
    /// The first sample that is counted.
    first: Option<Sample>,
    increment: Decimal,
    newest: Option<Sample>,
    /// True if the server still has samples up to the last reading.
    has_reading: bool,
}

/// Reads what an account used from its cursor to `end`.
///
/// # Errors
/// When the window cannot be closed. Nothing is lost: a later attempt reads the same samples.
pub async fn read_usage<S: Server>(
    server: &S,
    terms: &Terms,
    selector: &Selector,
    cursor: &Cursor,
    end: Timestamp,
    new_series: NewSeries,
) -> Result<Usage, Problem> {
    let counted = read(server, terms, selector, cursor, end, new_series).await?;
    usage(terms, cursor, end, &counted)
}

/// Returns what series counted from `start` to `end`, in the unit of the rate, whatever their rates are.
///
/// # Errors
/// When the samples cannot be read.
pub async fn read_total<S: Server>(
    server: &S,
    terms: &Terms,
    selector: &Selector,
    start: Timestamp,
    end: Timestamp,
) -> Result<Decimal, Problem> {
    let counted = read(server, terms, selector, &Cursor::begin(start), end, NewSeries::FromZero).await?;
    counted.values().try_fold(Decimal::ZERO, |sum, series| {
        let quantity = share(series.increment, terms.multiplier, Decimal::ZERO)?.quantity;
        Ok(sum.checked_add(quantity).ok_or(QuantityOverflow)?)
    })
}

/// Reads what each series counted since the cursor.
async fn read<S: Server>(
    server: &S,
    terms: &Terms,
    selector: &Selector,
    cursor: &Cursor,
    end: Timestamp,
    new_series: NewSeries,
) -> Result<BTreeMap<SeriesId, Counted>, Problem> {
    let mut counted = read_samples(server, selector, cursor, end).await?;
    begin_series(server, terms, selector, cursor, end, &mut counted, new_series).await?;
    Ok(counted)
}

/// Returns the lines and the readings of a window.
fn usage(
    terms: &Terms,
    cursor: &Cursor,
    end: Timestamp,
    counted: &BTreeMap<SeriesId, Counted>,
) -> Result<Usage, Problem> {
    let mut readings = cursor.readings.clone();
    let mut used = Vec::new();
    for (id, series) in counted {
        let Some(newest) = series.newest else { continue };
        let kept = cursor.readings.0.get(id).map(|reading| reading.remainder).unwrap_or_default();
        let share = share(series.increment, terms.multiplier, kept)?;
        readings
            .0
            .insert(*id, Reading { time: newest.time, value: newest.value, remainder: share.remainder });
        if !share.quantity.is_zero() {
            used.push((terms.group(&series.labels)?, share.quantity));
        }
    }
    readings.drop_silent(end);
    let total = used.iter().try_fold(Decimal::ZERO, |sum: Decimal, (_, quantity)| sum.checked_add(*quantity));
    let with_reading = counted.values().filter(|series| matches!(series.baseline, Baseline::Reading(_)));
    let seen = with_reading.filter(|series| series.has_reading).count();
    Ok(Usage {
        lines: lines(used)?,
        total: total.ok_or(QuantityOverflow)?,
        readings,
        series: counted.values().filter(|series| series.newest.is_some() || series.has_reading).count(),
        too_short: cursor.readings.0.len().saturating_sub(seen),
        inexact: counted
            .values()
            .find(|series| series.newest.is_some_and(|newest| newest.is_inexact()))
            .map(|series| series.labels.clone()),
    })
}

/// Reads the samples since the cursor, in parts that the server can answer, and adds up the increments of each series. A
/// series without a reading is counted from its first sample.
async fn read_samples<S: Server>(
    server: &S,
    selector: &Selector,
    cursor: &Cursor,
    end: Timestamp,
) -> Result<BTreeMap<SeriesId, Counted>, Problem> {
    let mut counted: BTreeMap<SeriesId, Counted> = BTreeMap::new();
    // The sample of the oldest reading must be part of the answer, to see whether the server still has it.
    let mut from = before(cursor.read_from(), SignedDuration::from_secs(1));
    let series = i64::try_from(cursor.readings.0.len().max(1)).unwrap_or(i64::MAX);
    let mut part =
        SignedDuration::from_secs((SAMPLES / series).saturating_mul(SCRAPE_SECONDS)).max(SHORTEST_PART);
    while from < end {
        let until = from.saturating_add(part).unwrap_or(Timestamp::MAX).min(end);
        let found = match server.samples(selector, from, until).await {
            Err(AnswerError::Refused { .. }) if part > SHORTEST_PART => {
                part = (part.min(end.duration_since(from)) / 2).max(SHORTEST_PART);
                continue;
            }
            found => found?,
        };
        for Series { labels, samples } in found {
            let id = id_of(&labels);
            let reading = cursor.readings.0.get(&id).copied();
            let series = counted.entry(id).or_insert_with(|| Counted {
                labels,
                baseline: reading.map_or(Baseline::FirstSample, Baseline::Reading),
                first: None,
                increment: Decimal::ZERO,
                newest: None,
                has_reading: false,
            });
            series.add(&samples, cursor.settled)?;
        }
        from = until;
    }
    Ok(counted)
}

impl Counted {
    /// Adds the next samples.
    fn add(&mut self, samples: &[Sample], settled: Timestamp) -> Result<(), CountOverflow> {
        if let Baseline::Reading(reading) = self.baseline {
            self.has_reading |= samples.first().is_some_and(|oldest| oldest.time <= reading.time);
        }
        let begin = match self.baseline {
            Baseline::Reading(_) => 0,
            // Samples up to this instant were counted before, or belong to no window.
            _ => samples.partition_point(|sample| sample.time <= settled),
        };
        let samples = samples.get(begin..).unwrap_or_default();
        let continued = self.newest.map(|Sample { time, value }| {
            Baseline::Reading(Reading { time, value, remainder: Decimal::ZERO })
        });
        let added = count(continued.unwrap_or(self.baseline), samples)?;
        self.increment = self.increment.checked_add(added.increment).ok_or(CountOverflow)?;
        self.first = self.first.or_else(|| samples.first().copied());
        self.newest = added.newest.or(self.newest);
        Ok(())
    }

    /// Adds the increment from a value to the first sample.
    fn begin_at(&mut self, value: Decimal) -> Result<(), CountOverflow> {
        let Some(first) = self.first else { return Ok(()) };
        let reading = Reading { time: Timestamp::MIN, value, remainder: Decimal::ZERO };
        let added = count(Baseline::Reading(reading), &[first])?;
        self.increment = self.increment.checked_add(added.increment).ok_or(CountOverflow)?;
        Ok(())
    }
}

/// Finds the value from which each series without a reading is counted: its last sample before, or zero if it is new.
async fn begin_series<S: Server>(
    server: &S,
    terms: &Terms,
    selector: &Selector,
    cursor: &Cursor,
    end: Timestamp,
    counted: &mut BTreeMap<SeriesId, Counted>,
    new_series: NewSeries,
) -> Result<(), Problem> {
    let begun = counted.iter().filter(|(_, series)| series.first.is_some());
    let without_reading = begun.filter(|(_, series)| series.baseline == Baseline::FirstSample);
    let mut unknown: BTreeMap<SeriesId, Labels> =
        without_reading.map(|(id, series)| (*id, series.labels.clone())).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    for (id, value) in earlier_values(server, selector, &unknown, cursor.settled).await? {
        if let Some(series) = counted.get_mut(&id) {
            series.begin_at(value)?;
            unknown.remove(&id);
        }
    }
    let created = creation_times(server, selector, &unknown, cursor.settled, end).await?;
    let is_older = |id: &SeriesId| created.get(id).is_some_and(|created| *created < cursor.settled);
    unknown.retain(|id, _| !is_older(id));
    let (mut quantity, mut replaced) = (Decimal::ZERO, 0_usize);
    let is_proved = |id: &SeriesId| created.contains_key(id);
    for id in unknown.keys().filter(|id| !is_proved(id)) {
        let first =
            counted.get(id).and_then(|series| series.first).map(|first| first.value).unwrap_or_default();
        quantity = quantity
            .checked_add(share(first, terms.multiplier, Decimal::ZERO)?.quantity)
            .ok_or(CountOverflow)?;
        replaced = replaced.saturating_add(1);
    }
    let limit = terms.new_series_limit(cursor.largest);
    if quantity > limit {
        match new_series {
            NewSeries::Undecided => {
                return Err(Problem::SeriesReplaced {
                    series: replaced,
                    quantity: quantity.normalize(),
                    limit,
                });
            }
            NewSeries::FromFirstSample => unknown.retain(|id, _| is_proved(id)),
            NewSeries::FromZero => {}
        }
    }
    for id in unknown.keys() {
        if let Some(series) = counted.get_mut(id) {
            series.begin_at(Decimal::ZERO)?;
        }
    }
    Ok(())
}

/// Returns the last value at or before `at` of each of these series that has one.
async fn earlier_values<S: Server>(
    server: &S,
    selector: &Selector,
    wanted: &BTreeMap<SeriesId, Labels>,
    at: Timestamp,
) -> Result<BTreeMap<SeriesId, Decimal>, AnswerError> {
    let mut values = BTreeMap::new();
    let keep = |values: &mut BTreeMap<SeriesId, Decimal>, found: Vec<Series>| {
        let found =
            found.into_iter().map(|Series { labels, samples }| (with_name(labels, selector), samples));
        for (id, samples) in found.filter(|(id, _)| wanted.contains_key(id)) {
            values.extend(samples.last().map(|last| (id, last.value)));
        }
    };
    keep(&mut values, server.last(selector, RECENT, at).await?);
    let rest: Vec<Labels> =
        wanted.iter().filter(|(id, _)| !values.contains_key(*id)).map(|(_, labels)| labels.clone()).collect();
    // Without a sample in the last hour most series are new, and the index of the server shows it without samples.
    let mut candidates = BTreeSet::new();
    for named in rest.chunks(NAMED_SERIES) {
        let selectors: Vec<Selector> =
            named.iter().map(|labels| Selector::of_series(&selector.counter, labels)).collect();
        let listed = server.series(&selectors, before(at, LOOKED_BACK), at).await?;
        candidates.extend(listed.iter().map(id_of));
    }
    for labels in rest.iter().filter(|labels| candidates.contains(&id_of(labels))) {
        let selector = Selector::of_series(&selector.counter, labels);
        keep(&mut values, server.last(&selector, LOOKED_BACK, at).await?);
    }
    Ok(values)
}

/// Returns the times at which these series began, as far as the program exposes them by a counter with the suffix
/// `_created` and the same labels.
async fn creation_times<S: Server>(
    server: &S,
    selector: &Selector,
    wanted: &BTreeMap<SeriesId, Labels>,
    from: Timestamp,
    end: Timestamp,
) -> Result<BTreeMap<SeriesId, Timestamp>, AnswerError> {
    let mut times = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(times);
    }
    let base = ["_total", "_sum", "_count"].iter().find_map(|suffix| selector.counter.strip_suffix(suffix));
    let created =
        Selector { counter: format!("{}_created", base.unwrap_or(&selector.counter)), ..selector.clone() };
    for Series { labels, samples } in server.last(&created, end.duration_since(from), end).await? {
        let id = with_name(labels, selector);
        let seconds = samples.last().and_then(|sample| sample.value.checked_mul(Decimal::ONE_THOUSAND));
        let milliseconds = seconds.and_then(|seconds| i64::try_from(seconds.trunc()).ok());
        let time = milliseconds.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok());
        if let Some(time) = time.filter(|_| wanted.contains_key(&id)) {
            times.insert(id, time);
        }
    }
    Ok(times)
}

/// Returns the identity of a series.
fn id_of(labels: &Labels) -> SeriesId {
    SeriesId::of(labels.iter().map(|(label, value)| (label.as_str(), value.as_str())))
}

/// Returns the identity of a series of the counter. Functions of PromQL remove the name.
fn with_name(mut labels: Labels, selector: &Selector) -> SeriesId {
    labels.insert(NAME.to_owned(), selector.counter.clone());
    id_of(&labels)
}
