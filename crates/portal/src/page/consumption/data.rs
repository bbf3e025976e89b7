//! The data of the page: from the history, or what the ledger and the status keep.

use std::collections::{BTreeMap, HashMap};

use flashgate_ledger::Credits;
use flashgate_ledger::period::utc_date;
use jiff::SignedDuration;

use super::range::{By, PROPERTIES, Range, View};
use super::table::{Columns, Table, TableRow};
use crate::account::Account;
use crate::caller::Caller;
use crate::calls::log_history;
use crate::history::{AccountKey, Grouping, History, HistoryError, RateSum, UsageSum};
use crate::offers::STORAGE_EGRESS;
use crate::page::chart::{Bar, Bars, COLOURS};
use crate::page::rates::{quantity_text, rate_name};
use crate::portal::Portal;

/// Name of the usage that has not the label.
const UNLABELLED: &str = "(without this label)";

/// Why data are incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The history: the data are complete.
    History,
    /// The ledger: the days that it keeps.
    Ledger,
    /// The status: the current period.
    Status,
    /// Nothing is known without a history.
    Nothing,
    /// The caller may not read the ledger.
    Forbidden,
}

/// The consumption in a range of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Consumption {
    /// The source of the data.
    pub source: Source,
    /// The chart, if there is a series.
    pub bars: Option<Bars>,
    /// The table.
    pub table: Table,
}

/// Returns the consumption that a view shows.
pub(super) async fn read(portal: &Portal, caller: &Caller, account: &Account, view: &View) -> Consumption {
    if let Some((history, key)) = portal.with_history(caller, account)
        && let Ok(found) = of_history(history.as_ref(), &key, view).await.inspect_err(log_history)
    {
        return found;
    }
    match view.by {
        By::Time => of_ledger(account, &view.range),
        By::Rate => of_status(account),
        By::Label(_) => {
            Consumption { source: Source::Nothing, bars: None, table: table(view.by, Vec::new()) }
        }
    }
}

async fn of_history(
    history: &dyn History,
    key: &AccountKey,
    view: &View,
) -> Result<Consumption, HistoryError> {
    let range = &view.range;
    let all = history.usage(key, &range.query(None)).await?;
    let (bars, table) = match view.by {
        By::Time => over_time(range, &all),
        By::Rate => {
            let sums = history.usage(key, &range.query(Some(Grouping::Rate))).await?;
            let rates = history.rates(key, &range.query(None)).await?;
            by_rate(range, &sums, rates)
        }
        By::Label(label) => {
            let grouping = Grouping::Label(label.to_owned());
            let sums = history.usage(key, &range.query(Some(grouping))).await?;
            by_label(range, view.by, &all, &sums)
        }
    };
    Ok(Consumption { source: Source::History, bars: Some(bars), table })
}

fn over_time(range: &Range, all: &[UsageSum]) -> (Bars, Table) {
    let mut values = vec![[Credits::ZERO; 2]; range.buckets];
    for sum in all {
        if let Some(value) = values.get_mut(sum.bucket) {
            add(&mut value[usize::from(!sum.is_storage)], sum.credits);
        }
    }
    let bar = |(index, values): (usize, &[Credits; 2])| Bar {
        start: range.bucket_start(index),
        values: values.to_vec(),
    };
    let bars = Bars {
        title: if range.is_hourly() { "Consumption by hour" } else { "Consumption by day" }.to_owned(),
        groups: vec!["Storage".to_owned(), "AI".to_owned()],
        stacks: values.iter().enumerate().map(bar).collect(),
        length: range.bucket_length(),
    };
    let rows = values.iter().zip(&bars.stacks).rev();
    let rows = rows.map(|(values, bar)| time_row(&bars, bar, *values));
    let rows = rows.filter(|row| row.total().is_positive()).collect();
    (bars, table(By::Time, rows))
}

/// Returns the row of a bar.
fn time_row(bars: &Bars, bar: &Bar, values: [Credits; 2]) -> TableRow {
    TableRow { start: Some(bar.start), ..TableRow::split(&bars.name_of(bar), values) }
}

fn by_rate(range: &Range, sums: &[UsageSum], rates: Vec<RateSum>) -> (Bars, Table) {
    let mut rows: Vec<(String, TableRow)> = rates
        .into_iter()
        .map(|rate| (format!("{}/{}", rate.node_type, rate.operation), rate_row(&rate)))
        .collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.total()));
    let names: Vec<(String, String)> =
        rows.iter().map(|(group, row)| (group.clone(), row.name.clone())).collect();
    let bars = stacked(range, "Consumption by rate", &names, sums, &[]);
    (bars, table(By::Rate, rows.into_iter().map(|(_, row)| row).collect()))
}

fn rate_row(rate: &RateSum) -> TableRow {
    let is_storage = rate.operation == STORAGE_EGRESS;
    let part = |wanted: bool| if is_storage == wanted { rate.credits } else { Credits::ZERO };
    TableRow {
        name: rate_name(&rate.node_type, &rate.operation),
        start: None,
        quantity_text: quantity_text(&rate.operation, rate.quantity),
        quantity: rate.quantity,
        storage: part(true),
        ai: part(false),
    }
}

fn by_label(range: &Range, by: By, all: &[UsageSum], sums: &[UsageSum]) -> (Bars, Table) {
    let mut groups: BTreeMap<&str, [Credits; 2]> = BTreeMap::new();
    let mut rest = [Credits::ZERO; 2];
    for sum in all {
        add(&mut rest[usize::from(!sum.is_storage)], sum.credits);
    }
    for sum in sums {
        let part = usize::from(!sum.is_storage);
        add(&mut groups.entry(&sum.group).or_default()[part], sum.credits);
        add(&mut rest[part], sum.credits.negated());
    }
    let mut rows: Vec<TableRow> =
        groups.iter().map(|(name, values)| TableRow::split(name, *values)).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.total()));
    let names: Vec<(String, String)> = rows.iter().map(|row| (row.name.clone(), row.name.clone())).collect();
    let name = name_of(by);
    let bars = stacked(range, &format!("Consumption by {}", name.to_lowercase()), &names, sums, all);
    rows.extend(Some(TableRow::split(UNLABELLED, rest)).filter(|row| row.total().is_positive()));
    (bars, table(by, rows))
}

/// Returns bars with the first groups of `names`, each as its key and its name, and with all other usage of `all` or of
/// `sums` as the last group.
fn stacked(
    range: &Range,
    title: &str,
    names: &[(String, String)],
    sums: &[UsageSum],
    all: &[UsageSum],
) -> Bars {
    let shown = &names[..names.len().min(COLOURS)];
    let places: HashMap<&str, usize> = shown.iter().map(|(key, _)| key.as_str()).zip(0..).collect();
    let mut values = vec![vec![Credits::ZERO; shown.len() + 1]; range.buckets];
    for sum in if all.is_empty() { sums } else { all } {
        if let Some(value) = values.get_mut(sum.bucket) {
            add(&mut value[shown.len()], sum.credits);
        }
    }
    for sum in sums {
        if let Some((value, place)) = values.get_mut(sum.bucket).zip(places.get(sum.group.as_str())) {
            add(&mut value[*place], sum.credits);
            add(&mut value[shown.len()], sum.credits.negated());
        }
    }
    let mut groups: Vec<String> = shown.iter().map(|(_, name)| name.clone()).collect();
    if values.iter().any(|value| value[shown.len()].is_positive()) {
        groups.push("All other".to_owned());
    } else {
        for value in &mut values {
            value.truncate(shown.len());
        }
    }
    let bar = |(index, values): (usize, Vec<Credits>)| Bar { start: range.bucket_start(index), values };
    let stacks = values.into_iter().enumerate().map(bar).collect();
    Bars { title: title.to_owned(), groups, stacks, length: range.bucket_length() }
}

/// Returns the days that a ledger keeps, as far as they are in the range.
fn of_ledger(account: &Account, range: &Range) -> Consumption {
    let days = account.book.known().map(|book| book.ledger.daily_consumption.as_slice()).unwrap_or_default();
    let source = if account.book.missing_right().is_some() { Source::Forbidden } else { Source::Ledger };
    let (first, last) = range.days();
    let shown: Vec<_> = days.iter().filter(|(day, _)| (first..=last).contains(day)).collect();
    let credits_of = |start| {
        let day = utc_date(start);
        shown.iter().find(|(found, _)| *found == day).map_or(Credits::ZERO, |(_, credits)| *credits)
    };
    let length = SignedDuration::from_hours(24);
    let starts = (0..range.buckets).map(|index| range.bucket_start(index));
    let starts = starts.filter(|start| !range.is_hourly() || start.as_second() % length.as_secs() == 0);
    let stacks: Vec<Bar> = starts.map(|start| Bar { start, values: vec![credits_of(start)] }).collect();
    let groups = vec!["Consumption".to_owned()];
    let bars = Bars { title: "Consumption by day".to_owned(), groups, stacks, length };
    // A ledger does not split the days by operation.
    let row = |bar: &Bar| time_row(&bars, bar, [Credits::ZERO, bar.total()]);
    let rows = bars.stacks.iter().rev().map(row).filter(|row| row.total().is_positive()).collect();
    let table = Table { columns: Columns::Nothing, ..table(By::Time, rows) };
    Consumption { source, table, bars: Some(bars) }
}

/// Returns the usage of the current period by rate.
fn of_status(account: &Account) -> Consumption {
    let usage = account.status().this_period.map(|period| period.usage).unwrap_or_default();
    let row = |usage: flashgate_api::subscription::RatedUsage| {
        Some(rate_row(&RateSum {
            quantity: flashgate_ledger::Quantity::from_total(&usage.quantity).ok()?,
            credits: usage.credits.as_str().parse().ok()?,
            node_type: usage.node_type,
            operation: usage.operation,
        }))
    };
    let mut rows: Vec<TableRow> = usage.into_iter().filter_map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.total()));
    Consumption { source: Source::Status, bars: None, table: table(By::Rate, rows) }
}

fn table(by: By, rows: Vec<TableRow>) -> Table {
    let columns = if by == By::Rate { Columns::Quantity } else { Columns::Split };
    Table { name: name_of(by), columns, rows }
}

fn name_of(by: By) -> &'static str {
    PROPERTIES.iter().find(|(_, _, known)| *known == by).map_or("", |(_, name, _)| name)
}

fn add(sum: &mut Credits, credits: Credits) {
    // The sums of an account are within the exact range (Law 26).
    *sum = sum.checked_add(credits).unwrap_or(*sum);
}
