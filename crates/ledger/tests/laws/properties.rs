//! Properties of every account: conservation, order, downtime, replay, and equality with the reference
//! implementation.

mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::{Catalog, PaymentMode};
use flashgate_ledger::entry::{Detail, Entry};
use flashgate_ledger::invoice::{InvoiceReason, InvoiceState};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::refusal::RefusalReason;
use flashgate_testing::TestAccount;
use flashgate_testing::catalog::editions;
use flashgate_testing::change::Change;
use flashgate_testing::script::{self, Script};
use flashgate_testing::values::{DAY, at, credits};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use self::reference::Outcome;

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/laws/properties.regressions",
        ))),
        // `assert_holds` reduces a script by leaving out actions, which is much faster.
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    }
}

fn mode() -> impl Strategy<Value = PaymentMode> {
    prop_oneof![Just(PaymentMode::Internal), Just(PaymentMode::External)]
}

/// The changes of each instant.
type Changes = Vec<(i64, Vec<Change>)>;

/// Returns a time long after the last change, when every timer has fired.
fn end_of(changes: &Changes) -> i64 {
    changes.last().map_or(script::begin().as_second(), |(time, _)| *time) + 40 * DAY
}

/// Runs a script with an operator that always runs, up to its last instant. Also returns the changes.
fn run(editions: &[Catalog], script: &Script) -> (TestAccount, Changes) {
    let mut account = TestAccount::with_editions(editions);
    let mut changes = Changes::new();
    for (time, actions) in script.instants() {
        account.live_up_to(time);
        let mut made = Vec::new();
        for (number, action) in actions {
            if let Some(change) = account.change(action, &format!("uid-{number}")) {
                account.make(change.clone());
                made.push(change);
            }
        }
        changes.push((time.as_second(), made));
        account.settle();
    }
    (account, changes)
}

/// Does the same, and advances the time until nothing is left to do.
fn run_to_the_end(editions: &[Catalog], script: &Script) -> (TestAccount, Changes) {
    let (mut account, changes) = run(editions, script);
    account.live_until(at(end_of(&changes)));
    (account, changes)
}

/// Applies the changes with an operator that runs only at the instants of `runs` and at the end.
fn run_seldom(editions: &[Catalog], changes: &Changes, mut runs: impl FnMut(usize) -> bool) -> TestAccount {
    let mut account = TestAccount::with_editions(editions);
    for (index, (time, made)) in changes.iter().enumerate() {
        // An operator that is down cannot see an edit that is undone before it starts again.
        let sees_edit = made.iter().any(Change::is_edit);
        if sees_edit && index > 0 {
            account.jump_to(at(*time - 1).max(account.now));
        }
        account.now = at(*time);
        for change in made {
            account.make(change.clone());
        }
        if sees_edit || runs(index) {
            account.settle();
        }
    }
    account.jump_to(at(end_of(changes)));
    account
}

/// Returns a ledger without the parts that depend on the times at which the operator ran: the count of commits,
/// the clock and receipts.
fn masked(ledger: &Ledger) -> Ledger {
    let mut ledger = ledger.clone();
    ledger.sequence = 0;
    ledger.clock_time = at(0);
    ledger.unacknowledged.clear();
    // They depend on the times at which the operator ran.
    ledger.daily_peaks.clear();
    ledger
}

/// Returns the final verdict on each object. A refund can be before or after the verdict was seen, so it counts
/// as the grant, or as the due refund.
fn said(account: &TestAccount) -> BTreeMap<String, String> {
    let as_seen = |said: &String| match said.as_str() {
        "refunded" => "granted".to_owned(),
        "returned" => "refund due".to_owned(),
        said => said.to_owned(),
    };
    let judged = account.summaries.iter().filter(|(_, said)| *said != "waits");
    judged.map(|(uid, said)| (uid.clone(), as_seen(said))).collect()
}

/// Returns the results of an account in the types of the reference implementation.
fn outcome(account: &TestAccount) -> Outcome {
    let Some(ledger) = &account.ledger else {
        return Outcome { said: said(account), ..Outcome::default() };
    };
    let totals = ledger.totals;
    let totals =
        [totals.granted, totals.purchased, totals.adjusted, totals.consumed, totals.expired, totals.refunded];
    let current = ledger.grants.iter().filter(|grant| grant.is_current());
    Outcome {
        totals: totals.map(Credits::nanos),
        debt: ledger.debt.nanos(),
        periods: account.periods.clone(),
        grants: current.map(|grant| (grant.source.to_string(), grant.remaining.nanos())).collect(),
        said: said(account),
        invoices: account.invoice_states.values().cloned().collect(),
        books: account.books.iter().map(|(number, book)| (*number, book.map(Credits::nanos))).collect(),
    }
}

/// Laws 0 to 22 and 25: the engine and the reference implementation agree.
fn agrees_with_the_reference(editions: &[Catalog], script: &Script) -> Result<(), String> {
    let (account, changes) = run_to_the_end(editions, script);
    let expected = reference::play(editions, &changes, end_of(&changes));
    let actual = outcome(&account);
    for (uid, said) in &expected.said {
        same(&format!("verdict on {uid}"), &actual.said.get(uid), &Some(said))?;
    }
    same("invoices", &actual.invoices, &expected.invoices)?;
    same("periods", &actual.periods, &expected.periods)?;
    same("outcome", &actual, &expected)
}

/// Law 0: an operator that runs only at the instants of `runs` gets the same ledger, entry by entry.
fn downtime_changes_nothing(editions: &[Catalog], script: &Script, runs: &[bool]) -> Result<(), String> {
    let (always, changes) = run_to_the_end(editions, script);
    let seldom = run_seldom(editions, &changes, |index| runs.get(index % 64).copied().unwrap_or(false));
    same("verdicts", &said(&seldom), &said(&always))?;
    same("entries", &dated(&seldom.entries), &dated(&always.entries))?;
    same("ledger", &seldom.ledger.as_ref().map(masked), &always.ledger.as_ref().map(masked))
}

/// Returns the entries whose time and position must not depend on the times at which the operator ran. If the
/// catalog drops a pending pack, the operator refuses the pack when it sees that, at no fixed time.
fn dated(entries: &[Entry]) -> Vec<&Entry> {
    let undated = RefusalReason::UnknownPack;
    let is_dated = |entry: &&Entry| !matches!(&entry.detail, Detail::Refused { refusal, .. } if refusal.reason == undated);
    entries.iter().filter(is_dated).collect()
}

/// The order of the lists of facts does not matter.
fn order_does_not_matter(editions: &[Catalog], script: &Script, seed: u64) -> Result<(), String> {
    let (_, changes) = run_to_the_end(editions, script);
    let mut straight = TestAccount::with_editions(editions);
    straight.now = at(end_of(&changes));
    for change in changes.into_iter().flat_map(|(_, made)| made) {
        straight.make(change);
    }
    let mut shuffled = straight.clone();
    let key = |uid: &str| {
        uid.bytes().fold(seed, |hash, byte| (hash.rotate_left(9) ^ u64::from(byte)).wrapping_mul(seed | 1))
    };
    shuffled.facts.packs.sort_by_key(|pack| key(&pack.uid));
    shuffled.facts.payments.sort_by_key(|payment| key(&payment.uid));
    shuffled.facts.adjustments.sort_by_key(|adjustment| key(&adjustment.uid));
    straight.settle();
    shuffled.settle();
    same("entries", &straight.entries, &shuffled.entries)?;
    same("ledger", &straight.ledger, &shuffled.ledger)
}

/// Law 21 and I8: every credit was paid for, or is free, or was given by an administrator.
fn nothing_is_minted(editions: &[Catalog], script: &Script) -> Result<(), String> {
    let (account, _) = run_to_the_end(editions, script);
    paid_for(editions, &account.entries)?;
    let mut ids = BTreeSet::new();
    for entry in &account.entries {
        let (Detail::Granted { grant, .. }
        | Detail::Purchased { grant, .. }
        | Detail::Adjusted { grant, .. }) = &entry.detail
        else {
            continue;
        };
        same(&format!("{grant} is new"), &ids.insert(grant.clone()), &true)?;
    }
    Ok(())
}

/// Law 22: every entry continues the balance of the previous one, and each statement closes at the opening
/// balance of the next.
fn books_add_up(editions: &[Catalog], script: &Script) -> Result<(), String> {
    let (account, _) = run_to_the_end(editions, script);
    let mut balance = credits("0");
    for entry in &account.entries {
        balance = balance.checked_add(entry.credits).expect("balance");
        same("balance of an entry", &entry.balance, &balance)?;
    }
    let Some(ledger) = &account.ledger else { return Ok(()) };
    same("balance", &ledger.balance().expect("balance"), &balance)?;
    for pair in ledger.statements.kept.windows(2) {
        same("opening", &pair[1].book.opening, &pair[0].book.closing().expect("closing"))?;
    }
    same(
        "every number is given",
        &account.invoice_states.keys().copied().collect(),
        &(1..ledger.next_invoice).collect::<Vec<_>>(),
    )
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(what: &str, actual: &T, expected: &T) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    let (actual, expected) = (format!("{actual:#?}"), format!("{expected:#?}"));
    let differing = actual.lines().zip(expected.lines()).filter(|(actual, expected)| actual != expected);
    let lines: Vec<String> =
        differing.take(12).map(|(actual, expected)| format!("{actual}  must be  {expected}")).collect();
    Err(format!(
        "{what}: {} lines, {} expected\n{}",
        actual.lines().count(),
        expected.lines().count(),
        lines.join("\n")
    ))
}

/// Fails with the smallest script found on which `check` still fails.
fn assert_holds(script: &Script, check: impl Fn(&Script) -> Result<(), String>) -> Result<(), TestCaseError> {
    let checked = |script: &Script| {
        let caught = catch_unwind(AssertUnwindSafe(|| check(script)));
        caught.unwrap_or_else(|_| Err("it panicked".to_owned()))
    };
    let Err(first) = checked(script) else { return Ok(()) };
    let (mut smallest, mut why) = (script.clone(), first);
    let mut size = script.actions.len();
    while size > 0 {
        for start in (0..script.actions.len()).step_by(size) {
            let smaller = smallest.without(start, size);
            if let Some(Err(found)) = smaller.as_ref().map(&checked) {
                (smallest, why) = (smaller.unwrap_or(smallest), found);
            }
        }
        size /= 2;
    }
    Err(TestCaseError::fail(format!("{why}\nin the account of\n{smallest:?}")))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_engine_agrees_with_a_naive_reading_of_the_laws(seed in any::<u64>(), mode in mode()) {
        let editions = editions(mode);
        assert_holds(&script::restless(seed), |script| agrees_with_the_reference(&editions, script))?;
    }

    #[test]
    fn an_operator_that_was_down_comes_to_the_same_ledger(
        seed in any::<u64>(), mode in mode(), runs in prop::collection::vec(any::<bool>(), 64),
    ) {
        let editions = editions(mode);
        assert_holds(&script::steady(seed), |script| downtime_changes_nothing(&editions, script, &runs))?;
    }

    #[test]
    fn an_operator_that_was_down_between_edits_comes_to_the_same_ledger(
        seed in any::<u64>(), mode in mode(), runs in prop::collection::vec(any::<bool>(), 64),
    ) {
        let editions = editions(mode);
        assert_holds(&script::edited(seed), |script| downtime_changes_nothing(&editions, script, &runs))?;
    }

    #[test]
    fn a_replay_of_all_facts_at_once_gives_the_same_ledger(seed in any::<u64>(), mode in mode()) {
        let editions = editions(mode);
        assert_holds(&script::steady(seed), |script| downtime_changes_nothing(&editions, script, &[]))?;
    }

    #[test]
    fn the_order_of_the_facts_does_not_matter(seed in any::<u64>(), mode in mode(), key in any::<u64>()) {
        let editions = editions(mode);
        assert_holds(&script::steady(seed), |script| order_does_not_matter(&editions, script, key))?;
    }

    #[test]
    fn no_life_mints_credits(seed in any::<u64>(), mode in mode()) {
        let editions = editions(mode);
        assert_holds(&script::restless(seed), |script| nothing_is_minted(&editions, script))?;
    }

    #[test]
    fn the_books_of_every_life_add_up(seed in any::<u64>(), mode in mode()) {
        let editions = editions(mode);
        assert_holds(&script::restless(seed), |script| books_add_up(&editions, script))?;
    }
}

/// Every grant of a paid plan has a settled plan invoice before it, and every purchase the invoice of its pack.
/// Its price is the price of these credits in an edition of the catalog.
fn paid_for(editions: &[Catalog], entries: &[Entry]) -> Result<(), String> {
    let (mut plan_invoices, mut pack_invoices) = (BTreeMap::new(), BTreeMap::new());
    let mut paid = Vec::new();
    for entry in entries {
        match &entry.detail {
            Detail::Invoiced { invoice, reason: InvoiceReason::Pack, amount, .. } => {
                pack_invoices.insert(invoice.clone(), *amount);
            }
            Detail::Invoiced { invoice, amount, .. } => {
                plan_invoices.insert(invoice.clone(), *amount);
            }
            Detail::Settled { invoice, state: InvoiceState::Settled, .. } => paid.push(invoice.clone()),
            Detail::Granted { plan, .. } => {
                let sold = editions.iter().filter_map(|edition| edition.plan(&plan.plan));
                let offers = sold.filter_map(|(_, sold)| sold.offer(plan.billing_period));
                let prices = offers.filter(|offer| offer.credits == entry.credits).map(|offer| offer.price);
                let price = paid.pop().and_then(|invoice| plan_invoices.remove(&invoice));
                is_one_of("price of a grant", price.unwrap_or(Credits::ZERO), prices)?;
            }
            Detail::Purchased { pack, .. } => {
                let sold = editions.iter().filter_map(|edition| edition.pack(pack));
                let prices = sold.filter(|sold| sold.credits == entry.credits).map(|sold| sold.price);
                let price = paid.pop().and_then(|invoice| pack_invoices.remove(&invoice));
                is_one_of("price of a pack", price.unwrap_or(Credits::ZERO), prices)?;
            }
            _ => {}
        }
    }
    same("paid for and not granted", &paid, &Vec::new())
}

fn is_one_of(what: &str, actual: Credits, expected: impl Iterator<Item = Credits>) -> Result<(), String> {
    let expected: Vec<Credits> = expected.collect();
    if expected.contains(&actual) {
        Ok(())
    } else {
        Err(format!("{what}: {actual}  must be one of  {expected:?}"))
    }
}

#[test]
fn the_engine_agrees_with_a_naive_reading_over_ten_thousand_steps() {
    for (seed, mode) in [(1, PaymentMode::Internal), (2, PaymentMode::External)] {
        let editions = editions(mode);
        agrees_with_the_reference(&editions, &script::long(seed)).expect("the same");
    }
}

#[test]
fn the_engine_closes_the_gaps_that_a_naive_reading_closes() {
    let editions = editions(PaymentMode::Internal);
    for (seed, sources, minutes) in [(1, 1, 5_000), (2, 1, 5_000), (3, 5, 2_500)] {
        let (account, changes) = run(&editions, &script::patchy(seed, sources, minutes));
        let expected = reference::play(&editions, &changes, account.now.as_second());
        assert!(account.gaps.len() > 100, "{} gaps closed", account.gaps.len());
        assert!(expected.said.values().any(|said| said == "GapClosed"));
        same("verdicts", &said(&account), &expected.said).expect("the same");
    }
}

#[test]
fn both_calendars_agree() {
    for day in 0..1_500 {
        let start = script::begin().as_second() + day * DAY;
        for months in [0, 1, 2, 11, 12, 13, 25] {
            let engine =
                flashgate_ledger::period::months_after(at(start), u32::try_from(months).expect("months"));
            assert_eq!(engine.as_second(), reference::months_after(start, months));
        }
    }
}
