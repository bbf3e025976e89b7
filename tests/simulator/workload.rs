//! The workload of a run: batches of actions with times, from a seed.

use std::collections::BTreeMap;
use std::fmt;

use flashgate_ledger::catalog::BillingPeriod;
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::facts::{PaymentState, Renewal, Request};
use flashgate_ledger::period::{Window, months_after, seconds_after};
use flashgate_testing::action::{InvoiceChoice, UsageLine};
use flashgate_testing::simulated::ObjectKind;
use flashgate_testing::values::{DAY, HOUR, credits};
use flashgate_testing::{Action, Random};
use jiff::Timestamp;

use crate::outcome::Disorder;

/// The items at one time.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The time.
    pub time: Timestamp,
    /// Whether they are applied before the operator has processed the previous items.
    pub is_hurried: bool,
    /// The items, each with a number that is the same in every run of the seed.
    pub items: Vec<(usize, Item)>,
}

/// One action.
#[derive(Clone, Debug)]
pub enum Item {
    /// Acts on an account. A new object replaces an object with the same name.
    Act { account: String, action: Action },
    /// Changes a part of a Subscription that no law depends on: in the spec, or an annotation.
    Touch { account: String, text: String, in_spec: bool },
    /// Removes the status of one object, or of all objects.
    Wipe { kind: ObjectKind, name: Option<String> },
    /// Resets an account: removes its ledger and every reference to it.
    Reset { account: String },
}

/// All items of a run.
#[derive(Clone, Debug)]
pub struct Workload {
    pub disorder: Disorder,
    /// Whether a payment agent pays invoices.
    pub is_external: bool,
    pub begin: Timestamp,
    pub batches: Vec<Batch>,
}

const PLANS: [&str; 8] =
    ["starter", "starter", "growth", "growth", "scale", "organization-free", "individual", "no-such-plan"];
const PACKS: [&str; 5] = ["plus-100", "plus-100", "plus-500", "plus-1000", "no-such-pack"];
const SOURCES: [&str; 3] = ["gw-1", "gw-2", "gw-3"];
const CREDITS: [&str; 4] = ["0.000000001", "12.5", "250", "100000"];
const LINES: [(&str, &str, &str); 8] = [
    ("Public", "StorageEgress", "12G"),
    ("Public", "StorageEgress", "1.5Gi"),
    ("Private", "StorageEgress", "37G"),
    ("Public", "TokensOut", "250000"),
    ("Private", "TokensOut", "1234567"),
    ("Private", "StorageEgress", "1"),
    ("Public", "StorageEgress", "95G"),
    ("Private", "StorageEgress", "0"),
];

const PAYMENT_STATES: [PaymentState; 6] = [
    PaymentState::Settled,
    PaymentState::Settled,
    PaymentState::Settled,
    PaymentState::Failed,
    PaymentState::Cancelled,
    PaymentState::Refunded,
];

const MINUTE: i64 = 60;

impl Workload {
    /// Returns the workload of `seed`.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let disorder = match random.below(10) {
            0..=4 => Disorder::Informed,
            5..=6 => Disorder::Lagging,
            _ => Disorder::Wild,
        };
        let begin = "2026-01-31T10:00:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let begin = seconds_after(begin, random.between(0, 60) * DAY);
        let is_external = random.chance(400);
        let accounts = (0..random.between(1, 3)).map(|number| format!("acme-{number}")).collect();
        let (batches, objects) = (random.between(3, 14), BTreeMap::new());
        let mut author = Generator {
            random,
            disorder,
            is_external,
            accounts,
            begin,
            time: begin,
            counter: 0,
            is_hurried: false,
            only_facts: false,
            objects,
        };
        let batches = (0..batches).map(|index| author.batch(index == 0)).collect();
        Self { disorder, is_external, begin, batches }
    }
}

/// Generates the batches.
struct Generator {
    random: Random,
    disorder: Disorder,
    is_external: bool,
    accounts: Vec<String>,
    begin: Timestamp,
    time: Timestamp,
    counter: usize,
    /// Whether the batch adds to facts that are not yet processed. Then no name is reused or deleted, because
    /// a report that is deleted before its charge is not charged.
    is_hurried: bool,
    /// Whether the last batch had only facts.
    only_facts: bool,
    /// The names used so far, with their accounts.
    objects: BTreeMap<FactKind, Vec<(String, String)>>,
}

impl Generator {
    fn batch(&mut self, is_first: bool) -> Batch {
        if !is_first {
            self.time = self.later();
        }
        let is_wild = self.disorder == Disorder::Wild;
        let commutes = self.disorder == Disorder::Lagging;
        // A request of a Subscription takes effect when it is seen. In runs that are compared with a run
        // without faults, it must be seen before the clock advances.
        let may_hurry = is_wild || (!commutes && self.only_facts);
        let is_hurried = !is_first && may_hurry && self.random.chance(400);
        self.is_hurried = is_hurried && !is_wild;
        let only_facts = !is_first && !is_wild && (self.is_hurried || self.random.chance(500));
        self.only_facts = only_facts;
        let count = if is_first { 1 + self.random.below(5) } else { self.random.below(7) };
        let mut items = Vec::new();
        for account in self.accounts.clone() {
            if is_first && self.random.chance(800) {
                items.push(self.subscribe(account));
            }
        }
        let mut is_specs = commutes && !only_facts && items.is_empty();
        for _ in 0..count {
            let item = if is_specs || (!only_facts && !commutes && self.random.chance(300)) {
                is_specs = false;
                self.spec_item()
            } else {
                self.fact_item(!only_facts && !commutes && !is_first)
            };
            items.push(item);
            if commutes && !only_facts && !is_first {
                break;
            }
        }
        let items = items.into_iter().map(|item| {
            self.counter += 1;
            (self.counter, item)
        });
        Batch { items: items.collect(), time: self.time, is_hurried }
    }

    /// Returns the time of the next batch: soon, later, or exactly at a period boundary.
    fn later(&mut self) -> Timestamp {
        let commutes = self.disorder == Disorder::Lagging;
        let seconds = match self.random.below(10) {
            0..=2 => self.random.between(1, 50),
            3..=4 => self.random.between(1, 90) * MINUTE + 7,
            5 => self.random.between(1, 30) * HOUR + 11,
            6 => self.random.between(1, 20) * DAY + 13,
            7 => self.random.between(29, 100) * DAY + 17,
            _ if commutes => 31 * DAY + 5 * HOUR,
            _ => {
                let months = u32::try_from(self.random.between(1, 4)).unwrap_or(1);
                let months_begun = flashgate_ledger::period::months_begun(self.begin, self.time);
                let boundary = months_after(self.begin, months_begun + months);
                let grace = self.random.pick(&[0, 0, 0, 1_800, 7_200, 7_260]);
                let time = seconds_after(boundary, self.random.between(-1, 1) + grace);
                return time.max(seconds_after(self.time, 1));
            }
        };
        seconds_after(self.time, seconds)
    }

    fn account(&mut self) -> String {
        let index = self.random.index(self.accounts.len());
        self.accounts[index].clone()
    }

    fn request(&mut self) -> Request {
        let billing_period =
            if self.random.chance(800) { BillingPeriod::Monthly } else { BillingPeriod::Yearly };
        let renewal = if self.random.chance(850) { Renewal::Automatic } else { Renewal::None };
        Request { plan: self.random.pick(&PLANS).to_owned(), billing_period, renewal }
    }

    fn subscribe(&mut self, account: String) -> Item {
        let start_time = match self.random.below(10) {
            0 => Some(seconds_after(self.time, -self.random.between(1, 100) * DAY)),
            1 => Some(seconds_after(self.time, self.random.between(1, 40) * HOUR)),
            _ => None,
        };
        Item::Act { account, action: Action::Subscribe { request: self.request(), start_time } }
    }

    fn spec_item(&mut self) -> Item {
        let account = self.account();
        // The order of usage and payments determines which credits pay.
        if self.disorder == Disorder::Lagging && self.is_external && self.random.chance(400) {
            return self.pay();
        }
        match self.random.below(20) {
            0..=2 => Item::Act { account, action: Action::Unsubscribe },
            3..=7 => self.subscribe(account),
            8..=12 => Item::Act { account, action: Action::Edit { request: self.request() } },
            13..=15 => {
                let (text, in_spec) = (self.counter.to_string(), self.random.chance(700));
                Item::Touch { account, text, in_spec }
            }
            16..=17 => Item::Wipe { kind: ObjectKind::Subscription, name: Some(account) },
            18 if self.disorder == Disorder::Wild => Item::Reset { account },
            _ => Item::Wipe { kind: self.random.pick(&ObjectKind::ALL), name: None },
        }
    }

    fn fact_item(&mut self, may_pay: bool) -> Item {
        match self.random.below(20) {
            0..=9 => self.report(),
            10..=12 => self.pack(),
            13..=16 if may_pay && self.is_external => self.pay(),
            13..=14 => self.adjust(),
            _ => self.delete(),
        }
    }

    /// Returns a name: usually a new one, sometimes one that was used before.
    fn name(&mut self, kind: FactKind, account: &str) -> String {
        let names = self.objects.entry(kind).or_default();
        if !names.is_empty()
            && self.disorder != Disorder::Lagging
            && !self.is_hurried
            && self.random.chance(200)
        {
            return names[self.random.index(names.len())].0.clone();
        }
        let name = format!("{}-{}", kind.as_str().to_lowercase(), names.len() + 1);
        names.push((name.clone(), account.to_owned()));
        name
    }

    fn report(&mut self) -> Item {
        let account = self.account();
        let commutes = self.disorder == Disorder::Lagging;
        let source = self.random.pick(&SOURCES);
        let slot = self.time.as_second().div_euclid(HOUR) - self.slots_back(commutes);
        let shift = if !commutes && self.random.chance(150) { HOUR / 2 } else { 0 };
        let start = Timestamp::from_second(slot * HOUR + shift).unwrap_or(self.time);
        // Reports that commute must report the same usage of the same window.
        let sum = slot.unsigned_abs().wrapping_mul(31).wrapping_add(source.len() as u64);
        let mut content =
            if commutes { Random::new(sum, u64::from(source.as_bytes()[3])) } else { self.random.clone() };
        let mut lines: Vec<_> = (0..=content.below(3)).map(|_| content.pick(&LINES)).collect();
        if content.chance(60) {
            lines.push(("Public", "NoSuchOperation", "1"));
        }
        if content.chance(20) {
            lines = vec![("Public", "StorageEgress", "1P"); 3];
            lines.push(("Public", "TokensOut", "1P"));
        }
        self.random.below(2);
        let name = self.name(FactKind::UsageReport, &account);
        let window = Window { start_time: start, end_time: seconds_after(start, HOUR) };
        let line = |(node_type, operation, quantity)| UsageLine::new(node_type, operation, quantity);
        let usage = lines.into_iter().map(line).collect();
        let action = Action::Report { name, source: source.to_owned(), window, usage };
        Item::Act { account, action }
    }

    fn slots_back(&mut self, commutes: bool) -> i64 {
        match self.random.below(20) {
            0 => match 24 * 34 + self.random.between(0, 48) {
                // Near the acceptance limit, the delay of a report by a fault would change the result.
                839..=840 if commutes => 841,
                slots => slots,
            },
            1 if !commutes => -self.random.between(0, 30),
            2..=4 => self.random.between(1, 60),
            _ => self.random.between(1, 6),
        }
    }

    fn pack(&mut self) -> Item {
        let account = self.account();
        let pack = self.random.pick(&PACKS);
        if self.disorder == Disorder::Lagging {
            // The order in which they are seen determines which order meets the limit.
            let name = self.name(FactKind::CreditAdjustment, &account);
            let action = Action::Adjust { name, credits: credits("250"), expiration_time: None };
            return Item::Act { account, action };
        }
        let name = self.name(FactKind::CreditPack, &account);
        Item::Act { account, action: Action::Buy { name, pack: pack.to_owned() } }
    }

    fn pay(&mut self) -> Item {
        let account = self.account();
        let commutes = self.disorder == Disorder::Lagging;
        let states = if commutes { &PAYMENT_STATES[..1] } else { &PAYMENT_STATES };
        let action = Action::Pay {
            name: self.name(FactKind::Payment, &account),
            invoice: InvoiceChoice::BeforeNewest(self.random.index(3)),
            state: self.random.pick(states),
            amount: (!commutes && self.random.chance(70)).then(|| credits("0.01")),
        };
        Item::Act { account, action }
    }

    fn adjust(&mut self) -> Item {
        let account = self.account();
        let expires = self.disorder != Disorder::Lagging && self.random.chance(400);
        let hours = self.random.between(-1, 100);
        let name = self.name(FactKind::CreditAdjustment, &account);
        let amount = if self.disorder == Disorder::Lagging { "250" } else { self.random.pick(&CREDITS) };
        let action = Action::Adjust {
            name,
            credits: credits(amount),
            expiration_time: expires.then(|| seconds_after(self.time, hours * HOUR)),
        };
        Item::Act { account, action }
    }

    fn delete(&mut self) -> Item {
        let kind = self.random.pick(&FactKind::ALL);
        let names = self.objects.get(&kind).map_or(&[][..], Vec::as_slice);
        if names.is_empty() || self.disorder == Disorder::Lagging || self.is_hurried {
            return self.report();
        }
        let index = self.random.index(names.len());
        let (name, account) = names[index].clone();
        Item::Act { account, action: Action::Delete { kind, name } }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}
