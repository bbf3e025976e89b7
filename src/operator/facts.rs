//! Second step: the facts about an account.

use flashgate_ledger::facts::{Asked, Facts};
use flashgate_ledger::ledger::Ledger;
use flashgate_preview::account_clock::AccountClock;
use flashgate_preview::convert::{self, ConvertError};
use flashgate_preview::facts::{arrive_by_test_clock, is_there};
use jiff::Timestamp;

use crate::operator::cache::rows::Rows;
use crate::operator::cache::{CachedKind, Pending};
use crate::operator::view::View;

/// Returns all facts about the account.
///
/// # Errors
/// When a field of the Subscription is invalid.
pub fn facts_of(
    view: &View,
    ledger: Option<&Ledger>,
    acknowledged: Vec<(String, String)>,
    clock: AccountClock,
) -> Result<Facts, ConvertError> {
    let existing = view.subscription.as_deref().filter(|subscription| is_there(subscription));
    let subscription = existing.map(convert::subscription_fact).transpose()?;
    let uid = subscription.as_ref().map(|subscription| subscription.uid.clone()).unwrap_or_default();
    let mut facts = Facts {
        name: view.key.name.clone(),
        new_account_id: convert::new_account_id(&uid, clock.now),
        has_test_clock: clock.is_test,
        instant_is_open: !clock.is_test,
        subscription,
        reports: view.reports.index.facts.clone(),
        asked: view.reports.index.asked(clock.now),
        packs: view.packs.iter().map(|pending| pending.fact.clone()).collect(),
        payments: view.payments.iter().map(|pending| pending.fact.clone()).collect(),
        adjustments: view.adjustments.iter().map(|pending| pending.fact.clone()).collect(),
        acknowledged,
        unrecorded_bytes: None,
    };
    if clock.is_test {
        set_arrivals(&mut facts, view, ledger, clock.now);
    }
    Ok(facts)
}

/// Sets arrivals by the test clock.
fn set_arrivals(facts: &mut Facts, view: &View, ledger: Option<&Ledger>, now: Timestamp) {
    arrive_by_test_clock(facts.subscription.as_mut(), ledger, now);
    facts.reports = arrived(&view.reports, now).collect();
    facts.asked = Asked::All;
    facts.packs = arrived(&view.packs, now).collect();
    facts.payments = arrived(&view.payments, now).collect();
    facts.adjustments = arrived(&view.adjustments, now).collect();
}

/// Returns the facts of one kind with their arrival by the test clock.
fn arrived<K: CachedKind>(rows: &Rows<Pending<K>>, now: Timestamp) -> impl Iterator<Item = K::Fact> {
    rows.iter().map(move |pending| {
        let mut fact = pending.fact.clone();
        K::set_arrival(&mut fact, K::arrival_by_test_clock(pending.status.as_ref(), now));
        fact
    })
}
