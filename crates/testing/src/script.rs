//! Scripts: actions about one account with their times, generated at random from a seed.

use std::fmt;

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::{BillingPeriod, PaymentMode};
use flashgate_ledger::facts::{PaymentState, Renewal, Request};
use flashgate_ledger::period::{Window, seconds_after};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::action::{Action, InvoiceChoice, UsageLine};
use crate::catalog::{EDITIONS, editions, monthly};
use crate::random::Random;
use crate::test_account::TestAccount;
use crate::values::{DAY, HOUR, credits, time};

/// Actions about one account, in time order.
#[derive(Clone)]
pub struct Script {
    /// Each action with its time. The first creates the Subscription.
    pub actions: Vec<(Timestamp, Action)>,
}

impl fmt::Debug for Script {
    /// Writes each action with its time and number, without the rests.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (time, action)) in self.actions.iter().enumerate() {
            if *action != Action::Rest {
                writeln!(formatter, "{time} #{number} {action:?}")?;
            }
        }
        Ok(())
    }
}

impl Script {
    /// Returns the script without `size` actions from `start` on, all others at the same times. The first
    /// action stays. Returns nothing if all of them are rests.
    pub fn without(&self, start: usize, size: usize) -> Option<Self> {
        let mut smaller = self.clone();
        let mut changes = false;
        for (_, action) in smaller.actions.iter_mut().skip(1 + start).take(size) {
            changes |= *action != Action::Rest;
            *action = Action::Rest;
        }
        changes.then_some(smaller)
    }

    /// Returns the actions of each instant with their numbers, without the rests.
    pub fn instants(&self) -> Vec<(Timestamp, Vec<(usize, &Action)>)> {
        let mut instants: Vec<(Timestamp, Vec<(usize, &Action)>)> = Vec::new();
        for (number, (time, action)) in self.actions.iter().enumerate() {
            match instants.last_mut().filter(|(last, _)| last == time) {
                _ if *action == Action::Rest => {}
                Some((_, actions)) => actions.push((number, action)),
                None => instants.push((*time, vec![(number, action)])),
            }
        }
        instants
    }
}

/// Returns the time at which every random script begins.
pub fn begin() -> Timestamp {
    time("2026-01-31T10:00")
}

/// Returns a script whose Subscription never changes, so that an operator that was down has missed nothing.
pub fn steady(seed: u64) -> Script {
    script(seed, (-60, 99), Author::steady_action)
}

/// Returns a script in which the Subscription is also edited, deleted and created again, while the catalog
/// changes.
pub fn restless(seed: u64) -> Script {
    script(seed, (-60, 99), Author::any_action)
}

/// Returns a restless script whose account starts with its Subscription or before.
pub fn edited(seed: u64) -> Script {
    script(seed, (0, 99), Author::any_action)
}

/// Returns a restless script of ten thousand actions, within the 24 months for which purchases are kept in
/// full.
pub fn long(seed: u64) -> Script {
    let (mut author, _) = Author::subscribing(seed, (-60, 99));
    author.random = Random::of(seed);
    for _ in 0..10_000 {
        let wait = author.random.pick(&[0, 0, 1, HOUR, 2 * HOUR, 4 * HOUR]);
        author.write(wait, Author::any_action);
    }
    Script { actions: author.actions }
}

/// Returns a script that reports usage of each minute of some days from a few sources. The order is random,
/// many reports have the same instant, some are repeated and some are missing. It has more separate stretches
/// than an account may have.
pub fn patchy(seed: u64, sources: i64, minutes: i64) -> Script {
    let mut author = Author::new(seed, monthly("scale"), None);
    author.now = seconds_after(begin(), 5 * DAY);
    let mut reports = 0;
    while reports < sources * minutes {
        author.now = seconds_after(author.now, author.random.between(1, 2));
        for _ in 0..author.random.between(1, 39) {
            reports += 1;
            // One of two neighbours is more likely, so that gaps remain until the end.
            let minute = author.random.between(0, minutes - 1) | i64::from(author.random.percent(80));
            let end_time = seconds_after(begin(), (minute + 1) * 60);
            let source = author.random.between(0, sources - 1);
            let is_unknown = author.random.percent(3);
            let lasted = if author.random.percent(95) { 60 } else { 90 };
            author.number = usize::try_from(reports).expect("small");
            let action = author.report_of(source, end_time, lasted, 1, is_unknown);
            author.actions.push((author.now, action));
        }
    }
    Script { actions: author.actions }
}

fn script(seed: u64, start_days_ago: (i64, i64), action: impl Fn(&mut Author) -> Action) -> Script {
    let (mut author, length) = Author::subscribing(seed, start_days_ago);
    for _ in 0..length {
        let wait = author.wait();
        author.write(wait, &action);
    }
    Script { actions: author.actions }
}

/// Returns an account of `starter` with either payment mode, and a restless script about it. The script has a
/// rest before each action that follows a wait, so that time passes in its own step.
pub fn any_account() -> impl Strategy<Value = (TestAccount, Script)> {
    let modes = prop_oneof![Just(PaymentMode::Internal), Just(PaymentMode::External)];
    (modes, any::<u64>().no_shrink(), 1..40_usize).prop_map(|(mode, seed, length)| {
        let mut account = TestAccount::with_editions(&editions(mode));
        account.live_up_to(begin());
        account.subscribe("now", "starter");
        let mut actions = Vec::new();
        let mut last = begin();
        for (time, action) in restless(seed).actions.into_iter().skip(1).take(length) {
            if time > last {
                actions.push((time, Action::Rest));
            }
            actions.push((time, action));
            last = time;
        }
        (account, Script { actions })
    })
}

/// The generator of one script.
struct Author {
    random: Random,
    now: Timestamp,
    /// Number of the next action after the first. Names contain it.
    number: usize,
    /// The last request, including that of a deleted Subscription.
    request: Request,
    start_time: Option<Timestamp>,
    is_subscribed: bool,
    actions: Vec<(Timestamp, Action)>,
}

impl Author {
    fn new(seed: u64, request: Request, start_time: Option<Timestamp>) -> Self {
        let subscribe = Action::Subscribe { request: request.clone(), start_time };
        Self {
            random: Random::of(seed),
            now: begin(),
            number: 0,
            request,
            start_time,
            is_subscribed: true,
            actions: vec![(begin(), subscribe)],
        }
    }

    /// Begins a script with a Subscription that starts a number of days before the beginning. Also returns the
    /// length of the script.
    fn subscribing(seed: u64, (least, most): (i64, i64)) -> (Self, i64) {
        let mut random = Random::of(seed);
        let starts = random.percent(33);
        let start_time = starts.then(|| seconds_after(begin(), -random.between(least, most) * DAY));
        let request = request(&mut random);
        let length = random.between(200, 259);
        (Self { random, ..Self::new(seed, request, start_time) }, length)
    }

    /// Adds an action after `wait` seconds.
    fn write(&mut self, wait: i64, action: impl Fn(&mut Self) -> Action) {
        self.now = seconds_after(self.now, wait);
        let action = action(self);
        self.actions.push((self.now, action));
        self.number += 1;
    }

    /// Returns a wait. Most are whole hours, so that actions coincide with boundaries, ends of grace and each
    /// other.
    fn wait(&mut self) -> i64 {
        match self.random.below(25) {
            0..3 => 0,
            3 => 1,
            4..12 => self.random.between(1, 3) * HOUR,
            12..20 => self.random.between(6, 39) * HOUR,
            20..24 => self.random.between(1, 5) * DAY,
            // This limit keeps scripts within the 24 months for which purchases are kept in full.
            _ => self.random.between(15, 24) * DAY,
        }
    }

    fn steady_action(&mut self) -> Action {
        match self.random.below(12) {
            0..6 => self.report(),
            6..9 => self.order(),
            _ => self.payment(),
        }
    }

    fn any_action(&mut self) -> Action {
        match self.random.below(20) {
            0..6 => self.report(),
            6..9 => self.order(),
            9..13 => self.payment(),
            13..16 => {
                let request = request(&mut self.random);
                self.ask(request)
            }
            16 => {
                let renewal = match self.request.renewal {
                    Renewal::Automatic => Renewal::None,
                    Renewal::None => Renewal::Automatic,
                };
                self.ask(Request { renewal, ..self.request.clone() })
            }
            17 => {
                self.is_subscribed = false;
                Action::Unsubscribe
            }
            _ => Action::ChangeCatalog { edition: self.random.index(EDITIONS) },
        }
    }

    /// Edits the Subscription, or creates it again.
    fn ask(&mut self, request: Request) -> Action {
        self.request = request.clone();
        if std::mem::replace(&mut self.is_subscribed, true) {
            Action::Edit { request }
        } else {
            Action::Subscribe { request, start_time: self.start_time }
        }
    }

    fn report(&mut self) -> Action {
        let ended = match self.random.below(10) {
            0..6 => self.random.between(0, 2) * HOUR,
            6..8 => self.random.between(0, 9_999),
            8 => self.random.between(3, 999) * HOUR,
            _ => self.random.between(-40, -1) * HOUR,
        };
        let lasted = match self.random.below(9) {
            0..6 => HOUR,
            6..8 => self.random.between(1, 29) * HOUR,
            _ => self.random.between(1, 4_999),
        };
        let source = self.random.between(0, 5);
        let bytes = if self.random.percent(5) { 0 } else { self.amount() };
        let is_unknown = self.random.percent(3);
        self.report_of(source, seconds_after(self.now, -ended), lasted, bytes, is_unknown)
    }

    /// Reports `bytes` of private egress.
    fn report_of(
        &self,
        source: i64,
        end_time: Timestamp,
        lasted: i64,
        bytes: i64,
        is_unknown: bool,
    ) -> Action {
        let operation = if is_unknown { "Teleport" } else { "StorageEgress" };
        Action::Report {
            name: format!("report-{:05}", self.number),
            source: format!("gw-{source}"),
            window: Window { start_time: seconds_after(end_time, -lasted), end_time },
            usage: vec![UsageLine::new("Private", operation, bytes.to_string())],
        }
    }

    fn order(&mut self) -> Action {
        if self.random.percent(75) {
            let pack = self.random.pick(&["plus-100", "plus-500", "plus-1000", "plus-9", "plus-week"]);
            Action::Buy { name: format!("pack-{}", self.random.below(60)), pack: pack.to_owned() }
        } else {
            let hours = self.random.percent(50).then(|| self.random.between(-5, 199));
            Action::Adjust {
                name: format!("adjustment-{}", self.random.below(40)),
                credits: Credits::from_nanos(self.amount().into()).expect("amount"),
                expiration_time: hours.map(|hours| seconds_after(self.now, hours * HOUR)),
            }
        }
    }

    fn payment(&mut self) -> Action {
        use PaymentState::{Cancelled, Failed, Refunded, Settled};
        let back = self.random.pick(&[0, 0, 0, 0, 0, 0, 1, 2, 3]);
        let states = [Settled, Settled, Settled, Settled, Settled, Failed, Cancelled, Refunded];
        let state = self.random.pick(&states);
        Action::Pay {
            name: format!("payment-{:03}", self.number),
            invoice: InvoiceChoice::BeforeNewest(back),
            state,
            amount: self.random.percent(5).then(|| credits("77")),
        }
    }

    /// Returns a small, medium or large number of bytes or billionths.
    fn amount(&mut self) -> i64 {
        let most = self.random.pick(&[10, 50_000_000_000, 50_000_000_000, 1_000_000_000_000]);
        self.random.between(1, most - 1)
    }
}

fn request(random: &mut Random) -> Request {
    let plans = ["individual", "organization-free", "starter", "growth", "scale", "platinum"];
    let plan = plans[random.pick(&[0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5])];
    let billing_period = if random.percent(20) { BillingPeriod::Yearly } else { BillingPeriod::Monthly };
    let renewal = if random.percent(80) { Renewal::Automatic } else { Renewal::None };
    Request { plan: plan.to_owned(), billing_period, renewal }
}
