//! Random lives: what is stated about one account, and when.

use std::fmt;
use std::ops::Range;

use flashgate_ledger::catalog::BillingPeriod;
use flashgate_ledger::facts::{
    Adjustment, PackOrder, Payment, PaymentState, Renewal, Report, Request, Subscription, UsageTotal,
};
use flashgate_ledger::period::Window;

use crate::kit::{DAY, HOUR, after, credits, time};

/// How many editions of the catalog there are.
pub(crate) const EDITIONS: i64 = 6;

/// What a Subscription asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) plan: &'static str,
    pub(crate) yearly: bool,
    pub(crate) renews: bool,
}

/// One thing that someone does.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Does nothing; replaces a deed that does not matter.
    Rest,
    /// Creates the Subscription or edits it.
    Ask(Ask),
    /// Flips the renewal of the last request.
    FlipRenewal,
    /// Deletes the Subscription.
    Delete,
    /// Sells by another edition of the catalog from now on.
    Sell(u8),
    /// Reports `bytes` of private egress in a window that ended `ended` seconds ago and lasted `lasted`.
    Report { source: u8, ended: i64, lasted: i64, bytes: u64, unknown: bool },
    /// Orders a pack under one of few names.
    Buy { name: u8, pack: &'static str },
    /// Gives credits under one of few names, for some hours or without an end.
    Adjust { name: u8, bytes: u64, hours: Option<i64> },
    /// Reports what happened to the invoice that is `back` before the newest.
    Pay { back: u32, state: PaymentState, wrong: bool },
}

/// A life: the wait before each deed, and the deed.
#[derive(Clone)]
pub(crate) struct Script {
    /// Days by which the start lies before (above zero) or after the Subscription's arrival.
    pub(crate) start_days_ago: Option<i64>,
    pub(crate) first: Ask,
    pub(crate) deeds: Vec<(i64, Deed)>,
}

impl fmt::Debug for Script {
    /// Writes what happens and when, without the rests.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut now = birth();
        writeln!(formatter, "{} start {:?} days ago, {:?}", at(now), self.start_days_ago, self.first)?;
        for (index, (wait, deed)) in self.deeds.iter().enumerate() {
            now += wait;
            if !matches!(deed, Deed::Rest) {
                writeln!(formatter, "{} #{index} {deed:?}", at(now))?;
            }
        }
        Ok(())
    }
}

/// When every life begins.
pub(crate) fn birth() -> i64 {
    time("2026-01-31T10:00").as_second()
}

/// Throws that follow from one number: cheap, so that lives can be long and many.
struct Dice(u64);

impl Dice {
    /// A number of 64 random bits (`SplitMix64`).
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `range`.
    fn of(&mut self, range: Range<i64>) -> i64 {
        let width = u64::try_from(range.end - range.start).expect("a range");
        range.start + i64::try_from(self.bits() % width).expect("within the range")
    }

    /// One of `all`.
    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.of(0..i64::try_from(all.len()).expect("few"))).expect("an index")]
    }

    /// True in `percent` of 100 throws.
    fn percent(&mut self, percent: i64) -> bool {
        self.of(0..100) < percent
    }

    /// A number of bytes or billionths, small, middling or large.
    fn amount(&mut self) -> u64 {
        let most = self.one(&[10, 50_000_000_000, 50_000_000_000, 1_000_000_000_000]);
        self.of(1..most).unsigned_abs()
    }

    fn ask(&mut self) -> Ask {
        let plans = ["individual", "organization-free", "starter", "growth", "scale", "platinum"];
        let plan = plans[self.one(&[0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5])];
        Ask { plan, yearly: self.percent(20), renews: self.percent(80) }
    }

    /// Waits in whole hours mostly, so that instants meet boundaries, grace ends and each other.
    fn wait(&mut self) -> i64 {
        match self.of(0..25) {
            0..3 => 0,
            3 => 1,
            4..12 => self.of(1..4) * HOUR,
            12..20 => self.of(6..40) * HOUR,
            20..24 => self.of(1..6) * DAY,
            // No longer, so that no life outlasts the 24 months for which purchases are kept in full.
            _ => self.of(15..25) * DAY,
        }
    }

    fn report(&mut self) -> Deed {
        let ended = match self.of(0..10) {
            0..6 => self.of(0..3) * HOUR,
            6..8 => self.of(0..10_000),
            8 => self.of(3..1_000) * HOUR,
            _ => self.of(-40..0) * HOUR,
        };
        let lasted = match self.of(0..9) {
            0..6 => HOUR,
            6..8 => self.of(1..30) * HOUR,
            _ => self.of(1..5_000),
        };
        let source = u8::try_from(self.of(0..6)).expect("small");
        let bytes = if self.percent(5) { 0 } else { self.amount() };
        Deed::Report { source, ended, lasted, bytes, unknown: self.percent(3) }
    }

    fn order(&mut self) -> Deed {
        if self.percent(75) {
            let pack = self.one(&["plus-100", "plus-500", "plus-1000", "plus-9", "plus-week"]);
            Deed::Buy { name: u8::try_from(self.of(0..60)).expect("small"), pack }
        } else {
            let hours = if self.percent(50) { Some(self.of(-5..200)) } else { None };
            Deed::Adjust { name: u8::try_from(self.of(0..40)).expect("small"), bytes: self.amount(), hours }
        }
    }

    fn any_deed(&mut self) -> Deed {
        match self.of(0..20) {
            0..6 => self.report(),
            6..9 => self.order(),
            9..13 => self.payment(),
            13..16 => Deed::Ask(self.ask()),
            16 => Deed::FlipRenewal,
            17 => Deed::Delete,
            _ => Deed::Sell(u8::try_from(self.of(0..EDITIONS)).expect("small")),
        }
    }

    fn payment(&mut self) -> Deed {
        use PaymentState::{Cancelled, Failed, Refunded, Settled};
        let back = self.one(&[0, 0, 0, 0, 0, 0, 1, 2, 3]);
        let state = self.one(&[Settled, Settled, Settled, Settled, Settled, Failed, Cancelled, Refunded]);
        Deed::Pay { back, state, wrong: self.percent(5) }
    }
}

/// A life whose Subscription never changes: what an operator that was down cannot have missed.
pub(crate) fn steady(seed: u64) -> Script {
    script(seed, -60..100, |dice| match dice.of(0..12) {
        0..6 => dice.report(),
        6..9 => dice.order(),
        _ => dice.payment(),
    })
}

/// A life in which the tenant also changes its mind, deletes its Subscription and creates it again, while the catalog
/// is edited.
pub(crate) fn restless(seed: u64) -> Script {
    script(seed, -60..100, Dice::any_deed)
}

/// A restless life whose account starts with its Subscription, or did so before.
pub(crate) fn edited(seed: u64) -> Script {
    script(seed, 0..100, Dice::any_deed)
}

/// A restless life of ten thousand deeds, within the 24 months for which purchases are kept in full.
pub(crate) fn long(seed: u64) -> Script {
    let mut life = restless(seed);
    let mut dice = Dice(seed);
    life.deeds =
        (0..10_000).map(|_| (dice.one(&[0, 0, 1, HOUR, 2 * HOUR, 4 * HOUR]), dice.any_deed())).collect();
    life
}

/// The minutes of some days, reported by few sources in no order, many at an instant, some twice and some never: more
/// separate stretches than an account may have.
pub(crate) fn patchy(seed: u64, sources: i64, minutes: i64) -> Vec<(i64, Vec<Object>)> {
    let mut dice = Dice(seed);
    let first = Ask { plan: "scale", yearly: false, renews: true };
    let mut instants = vec![(birth(), vec![subscription(first, 0, 1, birth(), None)])];
    let mut now = birth() + 5 * DAY;
    let mut index = 0;
    while index < sources * minutes {
        now += dice.of(1..3);
        let reports = (0..dice.of(1..40)).map(|_| {
            index += 1;
            // Of two neighbours one is likelier, so that there are gaps to the end.
            let minute = dice.of(0..minutes) | i64::from(dice.percent(80));
            let ended = now - birth() - (minute + 1) * 60;
            let source = u8::try_from(dice.of(0..sources)).expect("small");
            let unknown = dice.percent(3);
            let lasted = if dice.percent(95) { 60 } else { 90 };
            fact(
                usize::try_from(index).expect("small"),
                now,
                &Deed::Report { source, ended, lasted, bytes: 1, unknown },
            )
        });
        let reports = reports.collect();
        instants.push((now, reports));
    }
    instants
}

fn script(seed: u64, start_days_ago: Range<i64>, deed: impl Fn(&mut Dice) -> Deed) -> Script {
    let mut dice = Dice(seed);
    let start_days_ago = dice.percent(33).then(|| dice.of(start_days_ago));
    let first = dice.ask();
    let length = dice.of(200..260);
    Script { start_days_ago, first, deeds: (0..length).map(|_| (dice.wait(), deed(&mut dice))).collect() }
}

/// Objects as they are created, in time order.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    Subscription(Subscription),
    Deleted,
    /// The number of the edition of the catalog that is in force from now on.
    Edition(u8),
    Report(Report),
    Pack(PackOrder),
    Adjustment(Adjustment),
    /// The payment's invoice and amount are looked up by what the newest invoice is then.
    Payment {
        back: u32,
        wrong: bool,
        payment: Payment,
    },
}

impl Script {
    /// Returns the life without `size` deeds from `start` on, at the same times; nothing where all are rests.
    pub(crate) fn without(&self, start: usize, size: usize) -> Option<Self> {
        let mut smaller = self.clone();
        let mut changes = false;
        for (_, deed) in smaller.deeds.iter_mut().skip(start).take(size) {
            changes |= !matches!(deed, Deed::Rest);
            *deed = Deed::Rest;
        }
        changes.then_some(smaller)
    }

    /// Returns what is created, and when, instant by instant.
    pub(crate) fn objects(&self) -> Vec<(i64, Vec<Object>)> {
        let mut now = birth();
        let mut ask = Some(self.first);
        let mut incarnation = 0;
        let mut generation = 1;
        let start_time = self.start_days_ago.map(|days| after(at(now), -days * DAY));
        let mut instants: Vec<(i64, Vec<Object>)> = Vec::new();
        let mut last = self.first;
        instants.push((now, vec![subscription(self.first, incarnation, generation, now, start_time)]));
        let mut created = now;
        for (index, (wait, deed)) in self.deeds.iter().enumerate() {
            now += wait;
            let object = match deed {
                Deed::Rest => continue,
                Deed::Ask(_) | Deed::FlipRenewal => {
                    let wanted = if let Deed::Ask(wanted) = deed {
                        *wanted
                    } else {
                        Ask { renews: !last.renews, ..last }
                    };
                    if ask.is_none() {
                        (incarnation, created) = (incarnation + 1, now);
                    }
                    (ask, last, generation) = (Some(wanted), wanted, generation + 1);
                    subscription(wanted, incarnation, generation, created, start_time)
                }
                Deed::Delete => {
                    ask = None;
                    Object::Deleted
                }
                Deed::Sell(edition) => Object::Edition(*edition),
                deed => fact(index, now, deed),
            };
            match instants.last_mut().filter(|(time, _)| *time == now) {
                Some((_, objects)) => objects.push(object),
                None => instants.push((now, vec![object])),
            }
        }
        instants
    }
}

pub(crate) fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(second).expect("time")
}

fn subscription(
    ask: Ask,
    incarnation: i32,
    generation: i64,
    created: i64,
    start_time: Option<jiff::Timestamp>,
) -> Object {
    Object::Subscription(Subscription {
        uid: format!("subscription-{incarnation}"),
        generation,
        arrival: at(created),
        request: Request {
            plan: ask.plan.to_owned(),
            billing_period: if ask.yearly { BillingPeriod::Yearly } else { BillingPeriod::Monthly },
            renewal: if ask.renews { Renewal::Automatic } else { Renewal::None },
        },
        start_time,
        alert_thresholds_percent: None,
    })
}

fn fact(index: usize, now: i64, deed: &Deed) -> Object {
    let uid = format!("uid-{index}");
    let arrival = at(now);
    match *deed {
        Deed::Report { source, ended, lasted, bytes, unknown } => {
            let window = Window { start_time: at(now - ended - lasted), end_time: at(now - ended) };
            let operation = if unknown { "Teleport" } else { "StorageEgress" };
            let usage = vec![UsageTotal {
                node_type: "Private".to_owned(),
                operation: operation.to_owned(),
                quantity: bytes.to_string().parse().expect("quantity"),
                first_line: 0,
            }];
            let source = format!("gw-{source}");
            Object::Report(Report { name: format!("report-{index:05}"), uid, arrival, source, window, usage })
        }
        Deed::Buy { name, pack } => {
            Object::Pack(PackOrder { name: format!("pack-{name}"), uid, arrival, pack: pack.to_owned() })
        }
        Deed::Adjust { name, bytes, hours } => Object::Adjustment(Adjustment {
            name: format!("adjustment-{name}"),
            uid,
            arrival,
            credits: nanos(bytes),
            reason: "goodwill".to_owned(),
            expiration_time: hours.map(|hours| after(arrival, hours * HOUR)),
        }),
        Deed::Pay { back, state, wrong } => Object::Payment {
            back,
            wrong,
            payment: Payment {
                name: format!("payment-{index:03}"),
                uid,
                arrival,
                invoice: String::new(),
                state,
                amount: credits("0"),
                currency: "USD".to_owned(),
            },
        },
        Deed::Rest | Deed::Ask(_) | Deed::FlipRenewal | Deed::Delete | Deed::Sell(_) => {
            unreachable!("not a fact")
        }
    }
}

/// The credits that so many bytes of private egress cost: a billionth each.
pub(crate) fn nanos(bytes: u64) -> flashgate_ledger::Credits {
    flashgate_ledger::Credits::from_nanos(bytes.into()).expect("amount")
}
