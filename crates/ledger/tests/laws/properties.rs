//! Properties of every account: conservation, order, downtime, replay, and a second reading of the laws.

mod reference;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::{Catalog, PackPurchases, PaymentMode};
use flashgate_ledger::entry::{Detail, Entry};
use flashgate_ledger::invoice::{InvoiceReason, InvoiceState};
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::refusal::RefusalReason;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::kit::{self, DAY, Life};

use self::reference::Outcome;
use self::script::{Object, Script, at, birth};

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/laws/properties.regressions",
        ))),
        // A life is reduced by taking out what does not matter, which is far quicker.
        max_shrink_iters: 0,
        ..ProptestConfig::default()
    }
}

/// The editions of the catalog that lives know; the first is in force when they begin (Law 20).
fn editions(mode: PaymentMode) -> Vec<Catalog> {
    let mut shipped = kit::shipped();
    shipped.policies.payments.mode = mode;
    let mut week = shipped.packs[0].clone();
    "plus-week".clone_into(&mut week.name);
    week.expires_after_days = Some(7);
    shipped.packs.push(week);
    let edited = |edit: fn(&mut Catalog)| {
        let mut edition = shipped.clone();
        edit(&mut edition);
        edition
    };
    let editions = vec![
        shipped.clone(),
        edited(|dearer| {
            for offer in
                dearer.plans.iter_mut().flat_map(|plan| [&mut plan.monthly, &mut plan.yearly]).flatten()
            {
                offer.price = offer.price.checked_add(offer.price).expect("price");
                offer.credits = offer.credits.checked_add(kit::credits("1")).expect("credits");
            }
            for rate in &mut dearer.rates {
                rate.credits = rate.credits.checked_add(rate.credits).expect("rate");
            }
            for pack in &mut dearer.packs {
                pack.credits = pack.credits.checked_add(kit::credits("7")).expect("credits");
                pack.expires_after_days = Some(40);
            }
            dearer.policies.pack_limit.max = 5;
        }),
        edited(|fewer| {
            fewer.plans.retain(|plan| plan.name != "starter");
            fewer.packs.retain(|pack| pack.name != "plus-500");
            fewer.rates.retain(|rate| rate.node_type != "Private");
            fewer.policies.pack_limit.max = 1;
        }),
        edited(|more| {
            let mut platinum = more.plans[2].clone();
            "platinum".clone_into(&mut platinum.name);
            platinum.yearly = None;
            more.plans.push(platinum);
            more.plans[3].yearly = None;
            more.plans[4].lapses_to = None;
        }),
        edited(|reordered| {
            reordered.plans.swap(2, 3);
            reordered.plans[0].pack_purchases = PackPurchases::Allowed;
            reordered.plans[4].pack_purchases = PackPurchases::Refused;
            reordered.plans[3].lapses_to = Some("individual".to_owned());
        }),
        edited(|fewest| fewest.plans.truncate(1)),
    ];
    assert_eq!(editions.len(), usize::try_from(script::EDITIONS).expect("few"));
    editions
}

fn mode() -> impl Strategy<Value = PaymentMode> {
    prop_oneof![Just(PaymentMode::Internal), Just(PaymentMode::External)]
}

fn state(life: &mut Life, editions: &[Catalog], object: Object) {
    match object {
        Object::Subscription(subscription) => life.facts.subscription = Some(subscription),
        Object::Deleted => life.facts.subscription = None,
        Object::Edition(edition) => life.catalog = editions[usize::from(edition)].clone(),
        Object::Report(report) => life.facts.reports.insert(report),
        Object::Pack(pack) => life.facts.packs.push(pack),
        Object::Adjustment(adjustment) => life.facts.adjustments.push(adjustment),
        Object::Payment { payment, .. } => life.facts.payments.push(payment),
    }
}

/// When the last deed is long past and every timer it set has fired.
fn end_of(objects: &[(i64, Vec<Object>)]) -> i64 {
    objects.last().map_or(birth(), |(time, _)| *time) + 40 * DAY
}

/// Lives a script with an operator that always runs. Returns what was stated, payments with their invoices.
fn live(editions: &[Catalog], script: &Script) -> (Life, Vec<(i64, Vec<Object>)>) {
    let mut life = Life::new(editions[0].clone());
    let mut stated = script.objects();
    for (time, objects) in &mut stated {
        life.live_up_to(at(*time));
        for object in objects {
            if let Object::Payment { back, wrong, payment } = object {
                let invoices = life.ledger.as_ref().map_or(&[][..], |ledger| &ledger.invoices);
                let back = usize::try_from(*back).expect("small");
                let invoice = invoices.iter().rev().nth(back).or(invoices.last());
                let number = invoice.map_or(1, |invoice| invoice.number);
                payment.amount = invoice.map_or(kit::credits("1"), |invoice| invoice.amount);
                if *wrong {
                    payment.amount = kit::credits("77");
                }
                payment.invoice = format!("acme-1f3a9c2e-{number:04}");
            }
            state(&mut life, editions, object.clone());
        }
        life.settle();
    }
    life.live_until(at(end_of(&stated)));
    (life, stated)
}

/// Lives what was stated with an operator that only runs at the instants that `runs` picks, and at the end.
fn live_seldom(
    editions: &[Catalog],
    stated: &[(i64, Vec<Object>)],
    mut runs: impl FnMut(usize) -> bool,
) -> Life {
    let mut life = Life::new(editions[0].clone());
    for (index, (time, objects)) in stated.iter().enumerate() {
        let is_edit = |object: &Object| {
            matches!(object, Object::Subscription(_) | Object::Deleted | Object::Edition(_))
        };
        // An operator that is down cannot see an edit that is undone before it starts again.
        let sees_edit = objects.iter().any(is_edit);
        if sees_edit && index > 0 {
            life.now = at(*time - 1).max(life.now);
            life.settle();
        }
        life.now = at(*time);
        for object in objects {
            state(&mut life, editions, object.clone());
        }
        if sees_edit || runs(index) {
            life.settle();
        }
    }
    life.now = at(end_of(stated));
    life.settle();
    life
}

/// Returns a ledger without the parts that depend on when the operator looked: the count of commits, the clock and
/// receipts.
fn masked(ledger: &Ledger) -> Ledger {
    let mut ledger = ledger.clone();
    ledger.sequence = 0;
    ledger.clock_time = at(0);
    ledger.unacknowledged.clear();
    ledger
}

/// Returns the verdicts on each object; a refund comes to a pack that was granted, or to money that is due back, before
/// or after the verdict was seen.
fn said(life: &Life) -> BTreeMap<String, String> {
    let as_seen = |said: &String| match said.as_str() {
        "refunded" => "granted".to_owned(),
        "returned" => "refund due".to_owned(),
        said => said.to_owned(),
    };
    let judged = life.said.iter().filter(|(_, said)| *said != "waits");
    judged.map(|(uid, said)| (uid.clone(), as_seen(said))).collect()
}

/// Returns the results of an account in the terms of the reference.
fn outcome(life: &Life) -> Outcome {
    let Some(ledger) = &life.ledger else {
        return Outcome { said: said(life), ..Outcome::default() };
    };
    let totals = ledger.totals;
    let totals =
        [totals.granted, totals.purchased, totals.adjusted, totals.consumed, totals.expired, totals.refunded];
    let current = ledger.grants.iter().filter(|grant| grant.is_current());
    Outcome {
        totals: totals.map(Credits::nanos),
        debt: ledger.debt.nanos(),
        periods: life.periods.clone(),
        grants: current.map(|grant| (grant.source.to_string(), grant.remaining.nanos())).collect(),
        said: said(life),
        invoices: life.invoice_states.values().cloned().collect(),
        books: life.books.iter().map(|(number, book)| (*number, book.map(Credits::nanos))).collect(),
    }
}

/// Laws 0 to 22 and 25: the engine and the naive reference agree.
fn agrees_with_the_reference(editions: &[Catalog], script: &Script) -> Result<(), String> {
    let (life, stated) = live(editions, script);
    let expected = reference::play(editions, &stated, end_of(&stated));
    let actual = outcome(&life);
    for (uid, said) in &expected.said {
        same(&format!("verdict on {uid}"), &actual.said.get(uid), &Some(said))?;
    }
    same("invoices", &actual.invoices, &expected.invoices)?;
    same("periods", &actual.periods, &expected.periods)?;
    same("outcome", &actual, &expected)
}

/// Law 0: an operator that only runs when `runs` says so comes to the same ledger, entry by entry.
fn downtime_changes_nothing(editions: &[Catalog], script: &Script, runs: &[bool]) -> Result<(), String> {
    let (always, stated) = live(editions, script);
    let seldom = live_seldom(editions, &stated, |index| runs.get(index % 64).copied().unwrap_or(false));
    same("verdicts", &said(&seldom), &said(&always))?;
    same("entries", &dated(&seldom.entries), &dated(&always.entries))?;
    same("ledger", &seldom.ledger.as_ref().map(masked), &always.ledger.as_ref().map(masked))
}

/// The entries whose time and place must not depend on when the operator looked. A pack that waits for the first period
/// is refused when it is seen that the catalog no longer has it: of that there is no time.
fn dated(entries: &[Entry]) -> Vec<&Entry> {
    let undated = RefusalReason::UnknownPack;
    let is_dated = |entry: &&Entry| !matches!(&entry.detail, Detail::Refused { refusal, .. } if refusal.reason == undated);
    entries.iter().filter(is_dated).collect()
}

/// The lists of facts are sets: their order does not matter.
fn order_does_not_matter(editions: &[Catalog], script: &Script, seed: u64) -> Result<(), String> {
    let (_, stated) = live(editions, script);
    let mut straight = Life::new(editions[0].clone());
    straight.now = at(end_of(&stated));
    for object in stated.into_iter().flat_map(|(_, objects)| objects) {
        state(&mut straight, editions, object);
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

/// Law 21 and I8: what came in was paid for, or is free, or was given by an administrator.
fn nothing_is_minted(editions: &[Catalog], script: &Script) -> Result<(), String> {
    let (life, _) = live(editions, script);
    paid_for(editions, &life.entries)?;
    let mut ids = BTreeSet::new();
    for entry in &life.entries {
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

/// Law 22: every entry follows from the one before it, and statements close where the next opens.
fn books_add_up(editions: &[Catalog], script: &Script) -> Result<(), String> {
    let (life, _) = live(editions, script);
    let mut balance = kit::credits("0");
    for entry in &life.entries {
        balance = balance.checked_add(entry.credits).expect("balance");
        same("balance of an entry", &entry.balance, &balance)?;
    }
    let Some(ledger) = &life.ledger else { return Ok(()) };
    same("balance", &ledger.balance().expect("balance"), &balance)?;
    for pair in ledger.statements.kept.windows(2) {
        same("opening", &pair[1].book.opening, &pair[0].book.closing().expect("closing"))?;
    }
    same(
        "every number is given",
        &life.invoice_states.keys().copied().collect(),
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

/// Fails with the smallest life found on which `check` still fails.
fn assert_holds(script: &Script, check: impl Fn(&Script) -> Result<(), String>) -> Result<(), TestCaseError> {
    let checked = |script: &Script| {
        let caught = catch_unwind(AssertUnwindSafe(|| check(script)));
        caught.unwrap_or_else(|_| Err("it panicked".to_owned()))
    };
    let Err(first) = checked(script) else { return Ok(()) };
    let (mut smallest, mut why) = (script.clone(), first);
    let mut size = script.deeds.len();
    while size > 0 {
        for start in (0..script.deeds.len()).step_by(size) {
            let smaller = smallest.without(start, size);
            if let Some(Err(found)) = smaller.as_ref().map(&checked) {
                (smallest, why) = (smaller.unwrap_or(smallest), found);
            }
        }
        size /= 2;
    }
    Err(TestCaseError::fail(format!("{why}\nin the life of\n{smallest:?}")))
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

/// Every grant of a paid plan has a settled plan invoice before it, every purchase its pack's, over a price that some
/// edition of the catalog asks for just these credits.
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
        let stated = script::patchy(seed, sources, minutes);
        let mut life = Life::new(editions[0].clone());
        for (time, objects) in &stated {
            life.live_up_to(at(*time));
            for object in objects {
                state(&mut life, &editions, object.clone());
            }
            life.settle();
        }
        let expected = reference::play(&editions, &stated, stated.last().expect("reports").0);
        assert!(life.gaps.len() > 100, "{} gaps closed", life.gaps.len());
        assert!(expected.said.values().any(|said| said == "GapClosed"));
        same("verdicts", &said(&life), &expected.said).expect("the same");
    }
}

#[test]
fn both_calendars_agree() {
    for day in 0..1_500 {
        let start = birth() + day * DAY;
        for months in [0, 1, 2, 11, 12, 13, 25] {
            let engine =
                flashgate_ledger::period::months_after(at(start), u32::try_from(months).expect("months"));
            assert_eq!(engine.as_second(), reference::months_after(start, months));
        }
    }
}
