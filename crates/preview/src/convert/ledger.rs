//! Converts between the stored form of a ledger and the type of the laws.
//!
//! Both directions name every field. If either side gets a field, the code does not compile until the field is
//! converted.

use std::collections::BTreeMap;

use flashgate_api::credit_ledger::{
    LedgerAcceptance, LedgerAnchor, LedgerPendingChange, LedgerPeriod, LedgerPlanOrigin, LedgerRequest,
    LedgerSubscription, LedgerTerms, LedgerTotals, Unknown,
};
use flashgate_api::{Amount, CreditLedgerSpec};
use flashgate_history::Opening;
use flashgate_ledger::Credits;
use flashgate_ledger::coverage::Coverage;
use flashgate_ledger::entry::Entry;
use flashgate_ledger::facts::Request;
use flashgate_ledger::ledger::{
    AdjustmentRecord, Charge, DecidedRequest, Ledger, PendingChange, PeriodState, SubscriptionIdentity,
    Terms, Totals,
};
use flashgate_ledger::month::Months;
use flashgate_ledger::period::{Anchor, Window};
use flashgate_ledger::purchase::{OrderName, Purchases};
use flashgate_ledger::statement::{Book, Statements};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::history::{Held, Recording, new_branch};
use super::{ConvertError, FORMAT_VERSION, Problem, coverage, hash_of};

/// Reads the ledger of the account `name`.
///
/// # Errors
/// When a later operator wrote it, when its hash does not match, or when a field is not of this format.
pub fn ledger_from_wire(name: &str, spec: &CreditLedgerSpec) -> Result<Ledger, ConvertError> {
    let found = spec.format_version;
    if found > FORMAT_VERSION {
        return Err(ConvertError::NewerFormat { found });
    }
    let computed = hash_of(spec);
    if computed != spec.hash {
        return Err(ConvertError::WrongHash { stored: spec.hash.clone(), computed });
    }
    accepted_ledger_from_wire(name, spec)
}

/// Reads the ledger of the account `name` without checking its hash, because an administrator accepted its
/// content.
///
/// # Errors
/// When a later operator wrote it, or when a field is not of this format.
#[expect(clippy::too_many_lines, reason = "one line for each field of both sides, so that none is forgotten")]
pub fn accepted_ledger_from_wire(name: &str, spec: &CreditLedgerSpec) -> Result<Ledger, ConvertError> {
    #[cfg(feature = "effort")]
    super::effort::READS_OF_FIELDS.set(super::effort::READS_OF_FIELDS.get() + 1);
    let CreditLedgerSpec {
        format_version,
        sequence,
        previous_hash: _, // only the hash chain and the log need it
        hash: _,
        writer: _,
        clock_time,
        account,
        subscription: LedgerSubscription { uid, generation, other: _ },
        test_clock_time,
        start_time,
        terms,
        anchor,
        period,
        request,
        plan_origin,
        pending_change,
        debt,
        grants,
        coverage,
        usage_closed_before_time,
        purchases,
        purchase_names,
        last_waiting_pack_time,
        adjustments,
        adjustment_names,
        refusals,
        invoices,
        next_invoice,
        usage,
        exhausted_since_time,
        daily_consumption,
        daily_peaks,
        crossed_thresholds_percent,
        forecast_time,
        last_balance_change_time,
        carried,
        totals,
        statements,
        months,
        // The history. No decision depends on it.
        entries: _,
        entry_number: _,
        entry_hash: _,
        entry_branch: _,
        entries_opening: _,
        history_store: _,
        recorded_sequence: _,
        unacknowledged,
        accepted: _, // checked before each decision
        other: _,    // fields of a later version: preserved
    } = spec;
    if *format_version > FORMAT_VERSION {
        return Err(ConvertError::NewerFormat { found: *format_version });
    }
    refuse_newer_fields(spec)?;
    Ok(Ledger {
        sequence: *sequence,
        clock_time: *clock_time,
        account_id: account.clone(),
        name: name.to_owned(),
        subscription: SubscriptionIdentity { uid: uid.clone(), generation: *generation },
        test_clock_time: *test_clock_time,
        start_time: *start_time,
        terms: terms.as_ref().map(read_terms).transpose()?,
        anchor: anchor.as_ref().map(read_anchor).transpose()?,
        period: read_period(period)?,
        request: request.as_ref().map(read_request),
        lapsed: *plan_origin == LedgerPlanOrigin::LapsedInto,
        pending_change: pending_change.as_ref().map(read_pending_change),
        grants: read_records("grants", grants)?,
        debt: read_amount("debt", debt)?,
        coverage: read_coverage(coverage, *usage_closed_before_time)?,
        purchases: read_purchases(purchases, purchase_names)?,
        last_waiting_pack_time: *last_waiting_pack_time,
        adjustments: read_records("adjustments", adjustments)?
            .into_iter()
            .map(|Adjustment { name, given }| (name, given))
            .collect::<BTreeMap<_, _>>()
            .into(),
        adjustment_names: read_names("adjustmentNames", adjustment_names)?.into(),
        refusals: read_records("refusals", refusals)?.into(),
        invoices: read_records("invoices", invoices)?.into(),
        next_invoice: read_number("nextInvoice", *next_invoice)?,
        usage: read_records("usage", usage)?,
        exhausted_since: *exhausted_since_time,
        daily_consumption: read_records("dailyConsumption", daily_consumption)?,
        daily_peaks: read_records("dailyPeaks", daily_peaks)?,
        last_charge_time: *forecast_time,
        last_balance_change_time: *last_balance_change_time,
        crossed_thresholds_percent: crossed_thresholds_percent
            .iter()
            .map(|percent| read_number("crossedThresholdsPercent", *percent))
            .collect::<Result<_, _>>()?,
        totals: read_totals(totals)?,
        statements: Statements {
            kept: read_records("statements", statements)?,
            next: carried.as_deref().map_or(Ok(Book::default()), |book| read_record("carried", book))?,
        },
        months: Months::from(read_records("months", months)?).into(),
        unacknowledged: read_records("unacknowledged", unacknowledged)?,
    })
}

/// The context of a commit.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The account, as `namespace/name` of its Subscription.
    pub subscription: &'a str,
    /// The process that commits.
    pub writer: &'a str,
    /// The known state of the recording of earlier entries. Absent if there is no history store.
    pub recording: Option<&'a Recording>,
}

impl<'a> Commit<'a> {
    /// Returns a commit without a history store.
    #[must_use]
    pub const fn of(subscription: &'a str, writer: &'a str) -> Self {
        Self { subscription, writer, recording: None }
    }
}

/// Returns the stored form of a ledger: the commit after `previous`, with `entries` added to the last entries.
#[must_use]
pub fn ledger_to_wire(
    ledger: &Ledger,
    previous: Option<&CreditLedgerSpec>,
    entries: &[Entry],
    commit: Commit<'_>,
) -> CreditLedgerSpec {
    let mut held = Held::of(previous);
    held.add(entries, ledger.sequence, commit.subscription);
    stored_form(ledger, previous, held, commit)
}

/// Returns the stored form of a ledger that holds the entries `held`.
#[expect(clippy::too_many_lines, reason = "one line for each field of both sides, so that none is forgotten")]
fn stored_form(
    ledger: &Ledger,
    previous: Option<&CreditLedgerSpec>,
    mut held: Held,
    commit: Commit<'_>,
) -> CreditLedgerSpec {
    let Commit { subscription: _, writer, recording } = commit;
    held.forget(recording);
    let Ledger {
        sequence,
        clock_time,
        account_id,
        name: _, // the name of the object
        subscription: SubscriptionIdentity { uid, generation },
        test_clock_time,
        start_time,
        terms,
        anchor,
        period,
        request,
        lapsed,
        pending_change,
        grants,
        debt,
        coverage: Coverage { sources, closed_before_time },
        purchases: Purchases { records, names },
        last_waiting_pack_time,
        adjustments,
        adjustment_names,
        refusals,
        invoices,
        next_invoice,
        usage,
        exhausted_since,
        daily_consumption,
        daily_peaks,
        last_charge_time,
        last_balance_change_time,
        crossed_thresholds_percent,
        totals,
        statements: Statements { kept, next },
        months,
        unacknowledged,
    } = ledger;
    let mut spec = CreditLedgerSpec {
        format_version: FORMAT_VERSION,
        sequence: *sequence,
        previous_hash: previous.map(|previous| previous.hash.clone()).unwrap_or_default(),
        hash: String::new(),
        writer: writer.to_owned(),
        clock_time: *clock_time,
        account: account_id.clone(),
        subscription: LedgerSubscription {
            uid: uid.clone(),
            generation: *generation,
            other: Unknown::default(),
        },
        test_clock_time: *test_clock_time,
        start_time: *start_time,
        terms: terms.as_ref().map(write_terms),
        anchor: anchor.map(|Anchor { time, months }| LedgerAnchor {
            time,
            months: months.into(),
            other: Unknown::default(),
        }),
        period: write_period(*period),
        request: request.as_ref().map(write_request),
        plan_origin: if *lapsed { LedgerPlanOrigin::LapsedInto } else { LedgerPlanOrigin::Asked },
        pending_change: pending_change.as_ref().map(write_pending_change),
        debt: amount(*debt),
        grants: write_records(grants),
        coverage: sources
            .iter()
            .map(|(source, charged)| (source.clone(), coverage::write_source(charged)))
            .collect(),
        usage_closed_before_time: *closed_before_time,
        purchases: write_records(records),
        purchase_names: coverage::write_order_names(names),
        last_waiting_pack_time: *last_waiting_pack_time,
        adjustments: adjustments
            .iter()
            .map(|(name, given)| write_record(&Adjustment { name: name.clone(), given: given.clone() }))
            .collect(),
        adjustment_names: coverage::write_order_names(adjustment_names),
        refusals: write_records(refusals),
        invoices: write_records(invoices),
        next_invoice: (*next_invoice).into(),
        usage: write_records(usage),
        exhausted_since_time: *exhausted_since,
        daily_consumption: write_records(daily_consumption),
        daily_peaks: write_records(daily_peaks),
        crossed_thresholds_percent: crossed_thresholds_percent.iter().copied().map(i64::from).collect(),
        forecast_time: *last_charge_time,
        last_balance_change_time: *last_balance_change_time,
        carried: (*next != Book::default()).then(|| write_record(next)),
        totals: write_totals(*totals),
        statements: write_records(kept),
        months: months.iter().map(write_record).collect(),
        entry_number: Some(held.number),
        entry_hash: Some(held.hash.clone()),
        entry_branch: held.branch.clone(),
        entries_opening: (held.opening != Opening::default()).then(|| write_record(&held.opening)),
        entries: held.records(),
        history_store: match recording {
            Some(recording) => recording.store.clone(),
            None => previous.and_then(|previous| previous.history_store.clone()),
        },
        recorded_sequence: match recording {
            Some(recording) => Some(recording.sequence),
            None => previous.and_then(|previous| previous.recorded_sequence),
        },
        unacknowledged: write_records(unacknowledged),
        accepted: previous.and_then(|previous| previous.accepted.clone()),
        other: previous.map(|previous| previous.other.clone()).unwrap_or_default(),
    };
    spec.hash = hash_of(&spec);
    spec
}

/// Returns the next commit of a ledger whose content an administrator accepted. The ledger may be older than
/// the one with `shown_hash`, which the status shows. A new branch of its history begins.
#[must_use]
pub fn accepted_ledger_to_wire(
    ledger: &Ledger,
    previous: &CreditLedgerSpec,
    accepted: &Entry,
    shown_hash: &str,
    commit: Commit<'_>,
) -> CreditLedgerSpec {
    let branch = new_branch(previous, shown_hash, commit.writer);
    let mut held = Held::from_now(previous, Some(branch));
    held.add(std::slice::from_ref(accepted), ledger.sequence, commit.subscription);
    let mut spec = stored_form(ledger, Some(previous), held, commit);
    spec.accepted = Some(LedgerAcceptance {
        sequence: previous.sequence,
        shown_hash: shown_hash.to_owned(),
        other: Unknown::default(),
    });
    spec.hash = hash_of(&spec);
    spec
}

/// Returns credits as an amount of the custom resources.
pub(super) fn amount(credits: Credits) -> Amount {
    Amount(credits.to_string())
}

/// An adjustment with its name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adjustment {
    name: String,
    given: AdjustmentRecord,
}

fn write_records<T: Serialize>(records: &[T]) -> Vec<String> {
    records.iter().map(write_record).collect()
}

/// Returns a record as compact JSON. The API server's costs grow with the number of JSON nodes, not of bytes.
///
/// # Panics
/// Never: every record has a form in JSON.
fn write_record<T: Serialize>(record: &T) -> String {
    serde_json::to_string(record).expect("a record has a form in JSON")
}

fn read_records<T: DeserializeOwned>(field: &str, texts: &[String]) -> Result<Vec<T>, ConvertError> {
    let read = |(index, text): (usize, &String)| read_record(&format!("{field}[{index}]"), text);
    texts.iter().enumerate().map(read).collect()
}

pub(super) fn read_record<T: DeserializeOwned>(field: &str, text: &str) -> Result<T, ConvertError> {
    serde_json::from_str(text).map_err(|error| {
        let problem = error.to_string();
        // The hash matched, so an operator wrote the field.
        if problem.starts_with("unknown field") || problem.starts_with("unknown variant") {
            ConvertError::NewerField { path: format!("spec.{field}") }
        } else {
            at(field, Problem::Record(problem))
        }
    })
}

fn read_amount(field: &str, amount: &Amount) -> Result<Credits, ConvertError> {
    amount.as_str().parse().map_err(|error| at(field, Problem::Amount(error)))
}

fn read_number(field: &str, value: i64) -> Result<u32, ConvertError> {
    let range = Problem::OutOfRange { value, least: 0, most: u32::MAX.into() };
    u32::try_from(value).map_err(|_| at(field, range))
}

fn at(field: &str, problem: Problem) -> ConvertError {
    ConvertError::at(format!("spec.{field}"), problem)
}

fn read_terms(terms: &LedgerTerms) -> Result<Terms, ConvertError> {
    let LedgerTerms {
        plan,
        billing_period,
        credits,
        price,
        rank,
        lapses_to,
        pack_purchases,
        overdraft,
        other: _,
    } = terms;
    Ok(Terms {
        plan: plan.clone(),
        billing_period: *billing_period,
        credits: read_amount("terms.credits", credits)?,
        price: read_amount("terms.price", price)?,
        rank: read_number("terms.rank", *rank)?,
        lapses_to: lapses_to.clone(),
        pack_purchases: *pack_purchases,
        overdraft: overdraft
            .as_ref()
            .map_or(Ok(Credits::ZERO), |overdraft| read_amount("terms.overdraft", overdraft))?,
    })
}

fn write_terms(terms: &Terms) -> LedgerTerms {
    let Terms { plan, billing_period, credits, price, rank, lapses_to, pack_purchases, overdraft } = terms;
    LedgerTerms {
        plan: plan.clone(),
        billing_period: *billing_period,
        credits: amount(*credits),
        price: amount(*price),
        rank: (*rank).into(),
        lapses_to: lapses_to.clone(),
        pack_purchases: *pack_purchases,
        overdraft: (!overdraft.is_zero()).then(|| amount(*overdraft)),
        other: Unknown::default(),
    }
}

fn read_anchor(anchor: &LedgerAnchor) -> Result<Anchor, ConvertError> {
    let LedgerAnchor { time, months, other: _ } = anchor;
    Ok(Anchor { time: *time, months: read_number("anchor.months", *months)? })
}

fn read_period(period: &LedgerPeriod) -> Result<PeriodState, ConvertError> {
    let LedgerPeriod { number, start_time, end_time, payment_due_time, other: _ } = period;
    let window = match (*start_time, *end_time) {
        (Some(start_time), Some(end_time)) if start_time < end_time => Some(Window { start_time, end_time }),
        (Some(_), Some(end_time)) => return Err(at("period.endTime", Problem::NotLater(end_time))),
        (None, None) => None,
        (None, Some(_)) => return Err(at("period.startTime", Problem::Missing)),
        (Some(_), None) => return Err(at("period.endTime", Problem::Missing)),
    };
    Ok(PeriodState {
        number: read_number("period.number", *number)?,
        window,
        payment_due_time: *payment_due_time,
    })
}

fn write_period(period: PeriodState) -> LedgerPeriod {
    let PeriodState { number, window, payment_due_time } = period;
    LedgerPeriod {
        number: number.into(),
        start_time: window.map(|window| window.start_time),
        end_time: window.map(|window| window.end_time),
        payment_due_time,
        other: Unknown::default(),
    }
}

fn read_request(request: &LedgerRequest) -> DecidedRequest {
    let LedgerRequest { plan, billing_period, renewal, state, other: _ } = request;
    let request = Request { plan: plan.clone(), billing_period: *billing_period, renewal: *renewal };
    DecidedRequest { request, state: *state }
}

fn write_request(decided: &DecidedRequest) -> LedgerRequest {
    let DecidedRequest { request: Request { plan, billing_period, renewal }, state } = decided;
    LedgerRequest {
        plan: plan.clone(),
        billing_period: *billing_period,
        renewal: *renewal,
        state: *state,
        other: Unknown::default(),
    }
}

fn read_pending_change(change: &LedgerPendingChange) -> PendingChange {
    let LedgerPendingChange { plan, billing_period, effective_time, other: _ } = change;
    PendingChange { plan: plan.clone(), billing_period: *billing_period, effective_time: *effective_time }
}

fn write_pending_change(change: &PendingChange) -> LedgerPendingChange {
    let PendingChange { plan, billing_period, effective_time } = change;
    LedgerPendingChange {
        plan: plan.clone(),
        billing_period: *billing_period,
        effective_time: *effective_time,
        other: Unknown::default(),
    }
}

fn read_coverage(
    sources: &BTreeMap<String, String>,
    closed_before_time: Option<Timestamp>,
) -> Result<Coverage, ConvertError> {
    let read = |(source, text): (&String, &String)| match coverage::read_source(text) {
        Some(charged) => Ok((source.clone(), charged)),
        None => Err(at(&format!("coverage[{source}]"), Problem::Record(format!("'{text}'")))),
    };
    Ok(Coverage { sources: sources.iter().map(read).collect::<Result<_, _>>()?, closed_before_time })
}

fn read_purchases(records: &[String], names: &str) -> Result<Purchases, ConvertError> {
    let (records, names) = (read_records("purchases", records)?, read_names("purchaseNames", names)?);
    Ok(Purchases { records: records.into(), names: names.into() })
}

fn read_names(field: &str, names: &str) -> Result<Vec<OrderName>, ConvertError> {
    let not_written = || at(field, Problem::Record("20 hexadecimal digits for each".to_owned()));
    coverage::read_order_names(names).ok_or_else(not_written)
}

/// Refuses a ledger with unknown fields inside the parts that this operator writes: the next commit would drop
/// them. Unknown fields at the top level are preserved.
fn refuse_newer_fields(spec: &CreditLedgerSpec) -> Result<(), ConvertError> {
    let terms = spec.terms.as_ref().map(|terms| &terms.other);
    let anchor = spec.anchor.as_ref().map(|anchor| &anchor.other);
    let request = spec.request.as_ref().map(|request| &request.other);
    let pending_change = spec.pending_change.as_ref().map(|change| &change.other);
    let accepted = spec.accepted.as_ref().map(|accepted| &accepted.other);
    let parts = [
        ("subscription", Some(&spec.subscription.other)),
        ("terms", terms),
        ("anchor", anchor),
        ("period", Some(&spec.period.other)),
        ("request", request),
        ("pendingChange", pending_change),
        ("totals", Some(&spec.totals.other)),
        ("accepted", accepted),
    ];
    let newer = parts.into_iter().find_map(|(part, other)| Some((part, other?.keys().next()?)));
    newer.map_or(Ok(()), |(part, field)| {
        Err(ConvertError::NewerField { path: format!("spec.{part}.{field}") })
    })
}

pub(super) fn read_totals(totals: &LedgerTotals) -> Result<Totals, ConvertError> {
    let LedgerTotals { granted, purchased, adjusted, consumed, expired, refunded, other: _ } = totals;
    Ok(Totals {
        granted: read_amount("totals.granted", granted)?,
        purchased: read_amount("totals.purchased", purchased)?,
        adjusted: read_amount("totals.adjusted", adjusted)?,
        consumed: read_amount("totals.consumed", consumed)?,
        expired: read_amount("totals.expired", expired)?,
        refunded: read_amount("totals.refunded", refunded)?,
    })
}

fn write_totals(totals: Totals) -> LedgerTotals {
    let Totals { granted, purchased, adjusted, consumed, expired, refunded } = totals;
    LedgerTotals {
        granted: amount(granted),
        purchased: amount(purchased),
        adjusted: amount(adjusted),
        consumed: amount(consumed),
        expired: amount(expired),
        refunded: amount(refunded),
        other: Unknown::default(),
    }
}

/// Reads the charges whose receipts are outstanding, and nothing else.
///
/// # Errors
/// When one of them is not of this format.
pub fn unacknowledged(spec: &CreditLedgerSpec) -> Result<Vec<Charge>, ConvertError> {
    read_records("unacknowledged", &spec.unacknowledged)
}
