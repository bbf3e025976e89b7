//! A judge of histories: it replays the entries of one account by a naive reading of the laws, and shares no code with
//! `decide`.

use std::collections::BTreeMap;

use flashgate_ledger::Credits;
use jiff::Timestamp;
use serde_json::Value;

/// A grant as the history tells it.
#[derive(Clone, Debug)]
struct Grant {
    remaining: Credits,
    /// Seconds at which it expires. The greatest number if never.
    expires: i64,
    /// Place of its kind among equal expirations: plan, adjustment, pack (Law 5).
    kind: u8,
    time: Timestamp,
    has_expired: bool,
}

/// Sums of one period by kind of credit, as its statement must show them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sums {
    granted: Credits,
    purchased: Credits,
    adjusted: Credits,
    refunded: Credits,
}

/// An account as the history tells it.
#[derive(Default)]
pub struct Judge {
    grants: BTreeMap<String, Grant>,
    debt: Credits,
    balance: Credits,
    last_time: Option<Timestamp>,
    /// Number of the current period, or of the last one.
    period: u64,
    has_period: bool,
    /// Sums of each period.
    sums: BTreeMap<u64, Sums>,
    /// Sums of the time without a period, which the next statement shows.
    carried: Sums,
    consumed: Credits,
    expired: Credits,
}

/// The contradiction of an entry.
type Contradiction = String;

fn add(one: Credits, other: Credits) -> Credits {
    one.checked_add(other).expect("sum")
}

fn sub(one: Credits, other: Credits) -> Credits {
    one.checked_sub(other).expect("difference")
}

fn amount(value: &Value) -> Credits {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), Contradiction> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?}, and must be {expected:?}")) }
}

impl Judge {
    /// Replays the next entry, in the form of `entries.schema.json`.
    pub fn replay(&mut self, entry: &Value) -> Result<(), Contradiction> {
        self.take(entry).map_err(|contradiction| format!("{contradiction}: {entry}"))
    }

    fn take(&mut self, entry: &Value) -> Result<(), Contradiction> {
        let now = time(&entry["time"]).ok_or("an entry without a time")?;
        if Some(now) < self.last_time {
            return Err(format!("it is earlier than the entry before it, {:?}", self.last_time));
        }
        self.last_time = Some(now);
        let (detail, before) = (&entry["detail"], self.balance);
        match entry["kind"].as_str().unwrap_or_default() {
            "Granted" => {
                // The first period begins with its grant.
                let number = detail["periodNumber"].as_u64().unwrap_or_default();
                if number > self.period {
                    self.begin_period(number)?;
                }
                self.credit(detail, 0, now)?;
            }
            "Adjusted" => self.credit(detail, 1, now)?,
            "Purchased" => self.credit(detail, 2, now)?,
            "Charged" => self.charge(detail)?,
            "Expired" => {
                let lost = self.grant_of(detail)?;
                expect("the rest that expires", &amount(&detail["amount"]), &lost.remaining)?;
                let lost = lost.remaining;
                self.grant_mut(detail).has_expired = true;
                self.balance = sub(self.balance, lost);
                self.expired = add(self.expired, lost);
            }
            "SettlementClosed" => {
                let grant = self.grant_of(detail)?;
                expect("that it expired before", &grant.has_expired, &true)?;
                expect("the rest that is lost", &amount(&detail["amount"]), &grant.remaining)?;
                self.grants.remove(detail["grant"].as_str().unwrap_or_default());
            }
            "Refunded" => self.refund(detail)?,
            // A downgrade at a boundary has both entries.
            "PlanChanged" if detail["periodNumber"] == self.period => {}
            "Renewed" | "PlanChanged" => {
                self.begin_period(detail["periodNumber"].as_u64().unwrap_or_default())?;
            }
            "Lapsed" if detail["to"].is_null() => self.has_period = false,
            "Lapsed" => self.begin_period(self.period + 1)?,
            _ => expect("the change of the balance", &amount(&entry["credits"]), &Credits::ZERO)?,
        }
        expect("the change of the balance", &amount(&entry["credits"]), &sub(self.balance, before))?;
        expect("the balance", &amount(&entry["balance"]), &self.balance)?;
        let current = self.grants.values().filter(|grant| !grant.has_expired).map(|grant| grant.remaining);
        expect("what the grants make", &sub(Credits::sum(current).expect("sum"), self.debt), &self.balance)
    }

    fn grant_of(&self, detail: &Value) -> Result<Grant, Contradiction> {
        let id = detail["grant"].as_str().unwrap_or_default();
        self.grants.get(id).cloned().ok_or_else(|| format!("grant '{id}' is not known or used up"))
    }

    fn grant_mut(&mut self, detail: &Value) -> &mut Grant {
        self.grants.get_mut(detail["grant"].as_str().unwrap_or_default()).expect("it was found before")
    }

    /// Laws 4, 6, 14 and 25.
    fn credit(&mut self, detail: &Value, kind: u8, now: Timestamp) -> Result<(), Contradiction> {
        let given = amount(&detail["amount"]);
        let repaid = given.min(self.debt);
        expect("the debt that is repaid", &amount(&detail["debtRepaid"]), &repaid)?;
        self.debt = sub(self.debt, repaid);
        self.balance = add(self.balance, given);
        let sums = self.sums();
        let sum = match kind {
            0 => &mut sums.granted,
            1 => &mut sums.adjusted,
            _ => &mut sums.purchased,
        };
        *sum = add(*sum, given);
        let id = detail["grant"].as_str().unwrap_or_default().to_owned();
        let expires = time(&detail["expirationTime"]).map_or(i64::MAX, Timestamp::as_second);
        let grant = Grant { remaining: sub(given, repaid), expires, kind, time: now, has_expired: false };
        match self.grants.insert(id.clone(), grant) {
            None => Ok(()),
            Some(known) if known.remaining.is_zero() => Ok(()),
            Some(known) => Err(format!("grant '{id}' is given twice: {known:?}")),
        }
    }

    /// Laws 5 to 7.
    fn charge(&mut self, detail: &Value) -> Result<(), Contradiction> {
        let (mut owed, window_end) = (amount(&detail["amount"]), time(&detail["window"]["endTime"]));
        let window_end = window_end.ok_or("a charge without a window")?.as_second();
        self.consumed = add(self.consumed, owed);
        let mut order: Vec<(String, Grant)> =
            self.grants.iter().map(|(id, grant)| (id.clone(), grant.clone())).collect();
        order.sort_by(|(id, one), (other_id, other)| {
            (one.expires, one.kind, one.time, id).cmp(&(other.expires, other.kind, other.time, other_id))
        });
        let mut stated = detail["paidBy"].as_array().cloned().unwrap_or_default().into_iter().peekable();
        for (id, grant) in order.into_iter().filter(|(_, grant)| grant.remaining.is_positive()) {
            if !owed.is_positive() || window_end > grant.expires {
                continue;
            }
            let paid = owed.min(grant.remaining);
            let is_named = stated.peek().is_some_and(|paid| paid["grant"] == id.as_str());
            if !is_named && grant.has_expired {
                // Whether late usage came within the grace is judged at its arrival, which no entry tells.
                continue;
            }
            expect("the next grant that pays", &is_named, &true).map_err(|text| format!("{text} ({id})"))?;
            let named = stated.next().unwrap_or_default();
            expect("what it pays", &amount(&named["amount"]), &paid)?;
            owed = sub(owed, paid);
            if grant.has_expired {
                self.expired = sub(self.expired, paid);
            } else {
                self.balance = sub(self.balance, paid);
            }
            let held = self.grants.get_mut(&id).expect("it is in the order");
            held.remaining = sub(held.remaining, paid);
        }
        expect("a further grant that pays", &stated.next(), &None)?;
        expect("the part that becomes debt", &amount(&detail["debt"]), &owed)?;
        self.debt = add(self.debt, owed);
        self.balance = sub(self.balance, owed);
        Ok(())
    }

    /// Law 18.
    fn refund(&mut self, detail: &Value) -> Result<(), Contradiction> {
        let taken = amount(&detail["amount"]);
        let sums = self.sums();
        sums.refunded = add(sums.refunded, taken);
        if taken.is_zero() {
            // The grant is used up, or its settlement is over.
            let id = detail["grant"].as_str().unwrap_or_default();
            self.grants.retain(|other, grant| other != id || !grant.remaining.is_zero());
            return Ok(());
        }
        let grant = self.grant_of(detail)?;
        expect("the rest that is taken", &taken, &grant.remaining)?;
        if grant.has_expired {
            self.expired = sub(self.expired, taken);
        } else {
            self.balance = sub(self.balance, taken);
        }
        self.grant_mut(detail).remaining = Credits::ZERO;
        Ok(())
    }

    /// Laws 3 and 11: numbers of periods rise.
    fn begin_period(&mut self, number: u64) -> Result<(), Contradiction> {
        if number <= self.period {
            return Err(format!("period {number} begins after period {}", self.period));
        }
        (self.period, self.has_period) = (number, true);
        self.sums.insert(number, std::mem::take(&mut self.carried));
        Ok(())
    }

    /// Returns the sums in which credits are booked now.
    fn sums(&mut self) -> &mut Sums {
        if self.has_period { self.sums.entry(self.period).or_default() } else { &mut self.carried }
    }

    /// Compares the statements of the ledger after the last entry, and its sums, with the replay (Laws 21 and 22).
    pub fn judge_ledger(&self, spec: &Value) -> Result<(), Contradiction> {
        expect("the debt", &amount(&spec["debt"]), &self.debt)?;
        expect("the sum consumed", &amount(&spec["totals"]["consumed"]), &self.consumed)?;
        expect("the sum expired", &amount(&spec["totals"]["expired"]), &self.expired)?;
        let statements = spec["statements"].as_array().cloned().unwrap_or_default();
        let mut opening = None;
        for record in &statements {
            let statement: Value =
                serde_json::from_str(record.as_str().unwrap_or_default()).unwrap_or_default();
            let book = |line: &str| amount(&statement["book"][line]);
            let number = statement["periodNumber"].as_u64().unwrap_or_default();
            if let Some(opening) = opening {
                expect("the opening balance", &book("opening"), &opening)?;
                let found = Sums {
                    granted: book("granted"),
                    purchased: book("purchased"),
                    adjusted: book("adjusted"),
                    refunded: book("refunded"),
                };
                let expected = self.sums.get(&number).cloned().unwrap_or_default();
                expect(&format!("the statement of period {number}"), &found, &expected)?;
            }
            let credited = [book("opening"), book("granted"), book("purchased"), book("adjusted")];
            let debited = [book("refunded"), book("consumed"), book("expired")];
            opening = Some(sub(Credits::sum(credited).expect("sum"), Credits::sum(debited).expect("sum")));
        }
        let is_current = statements.last().is_some() && !spec["period"]["endTime"].is_null();
        if is_current { expect("the closing balance", &opening, &Some(self.balance)) } else { Ok(()) }
    }
}
