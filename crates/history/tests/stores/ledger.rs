//! A ledger as the operator has it: a chain of entries, of which it still holds the last ones.

use std::collections::BTreeMap;

use flashgate_history::{AccountId, Batch, EntryRecord, Opening, UsageRecord, chain, totals};
use flashgate_ledger::ledger::Totals;
use flashgate_ledger::period::Window;
use flashgate_ledger::{Credits, Quantity};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

pub fn amount(text: &str) -> Credits {
    text.parse().unwrap()
}

pub fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Usage of one group: operation, labels, quantity and credits.
pub type Group<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);

#[derive(Clone, Debug)]
pub struct Ledger {
    pub id: AccountId,
    pub branch: String,
    /// All entries of the branch's history, from number 1.
    pub entries: Vec<EntryRecord>,
    pub usage: Vec<UsageRecord>,
    /// Number of the last entry that the ledger dropped.
    pub dropped: usize,
    /// The state of the content that an administrator accepted, before the entry with its number.
    pub accepted: BTreeMap<i64, Totals>,
}

impl Ledger {
    pub fn new(name: &str) -> Self {
        let id = AccountId { namespace: "team".into(), name: name.into(), account: "1f3a9c2e".into() };
        let (entries, usage) = (Vec::new(), Vec::new());
        Self { id, branch: String::new(), entries, usage, dropped: 0, accepted: BTreeMap::new() }
    }

    /// Returns a ledger with entries that grant one credit each.
    pub fn with_entries(name: &str, entries: usize) -> Self {
        let mut ledger = Self::new(name);
        for _ in 0..entries {
            ledger.grant("1");
        }
        ledger
    }

    pub fn number(&self) -> i64 {
        i64::try_from(self.entries.len()).unwrap()
    }

    pub fn balance(&self) -> Credits {
        self.entries.last().map_or(Credits::ZERO, |entry| entry.balance)
    }

    /// Commits one entry in a commit of its own, an hour after the last one.
    pub fn commit(&mut self, kind: &str, credits: &str, detail: Value) -> i64 {
        let start = time("2026-03-01T10:00:00Z");
        let at = self.entries.last().map_or(start, |entry| entry.time.checked_add(1.hours()).unwrap());
        self.commit_at(at, kind, amount(credits), detail)
    }

    pub fn commit_at(&mut self, time: Timestamp, kind: &str, credits: Credits, detail: Value) -> i64 {
        let number = self.number() + 1;
        let previous = self.entries.last();
        let mut entry = EntryRecord {
            number,
            sequence: previous.map_or(0, |entry| entry.sequence) + 2,
            index: 0,
            time,
            kind: kind.into(),
            credits,
            balance: self.balance().checked_add(credits).unwrap(),
            detail,
            hash: String::new(),
        };
        let before = previous.map_or("", |entry| &entry.hash);
        entry.hash = chain::hash(before, &self.id.subscription(), &entry);
        self.entries.push(entry);
        number
    }

    pub fn grant(&mut self, credits: &str) -> i64 {
        let detail = json!({
            "amount": credits, "grant": "plan/1", "plan": "team", "billingPeriod": "Monthly", "periodNumber": 1,
            "expirationTime": "2026-04-01T10:00:00Z", "debtRepaid": "0",
        });
        self.commit("Granted", credits, detail)
    }

    /// Charges a report whose groups cost the sum of their credits.
    pub fn charge(&mut self, report: &str, groups: &[Group<'_>]) -> i64 {
        let sum = Credits::sum(groups.iter().map(|(.., credits)| amount(credits))).unwrap();
        let window =
            Window { start_time: time("2026-03-01T08:00:00Z"), end_time: time("2026-03-01T09:00:00Z") };
        let detail = json!({
            "amount": sum, "object": format!("UsageReport/{report}"), "source": "gw-eu-1", "window": window,
            "periodNumber": 1, "paidBy": [{"grant": "plan/1", "amount": sum}], "debt": "0",
        });
        let entry = self.commit("Charged", &sum.negated().to_string(), detail);
        for (operation, labels, quantity, credits) in groups {
            self.usage.push(UsageRecord {
                entry,
                report: report.into(),
                report_uid: format!("uid of {report}"),
                source: "gw-eu-1".into(),
                window,
                charge_time: self.entries.last().unwrap().time,
                node_type: "ModelGateway".into(),
                operation: (*operation).into(),
                labels: labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
                labels_known: true,
                quantity: Quantity::from_total(quantity).unwrap(),
                credits: amount(credits),
            });
        }
        entry
    }

    /// Drops the entries up to a number, as a ledger does that is full.
    pub fn drop_to(&mut self, number: i64) {
        self.dropped = usize::try_from(number).unwrap();
    }

    /// Goes back to entry `number`, and accepts that content with another balance in a new branch.
    pub fn accept(&mut self, number: i64, branch: &str, balance: &str) -> i64 {
        self.entries.truncate(usize::try_from(number).unwrap());
        self.usage.retain(|usage| usage.entry <= number);
        self.accepted.retain(|accepted, _| *accepted <= number);
        branch.clone_into(&mut self.branch);
        let totals = Totals { granted: amount(balance), ..Totals::default() };
        self.accepted.insert(number + 1, totals);
        // Each acceptance is another entry, also of the same content.
        let sequence = i64::from_str_radix(branch, 16).unwrap();
        let entry = self.commit("Accepted", "0", json!({ "sequence": sequence }));
        let before = self.entries.iter().rev().nth(1).map_or("", |entry| &entry.hash).to_owned();
        let accepted = self.entries.last_mut().unwrap();
        accepted.balance = amount(balance);
        accepted.hash = chain::hash(&before, &self.id.subscription(), accepted);
        self.drop_to(number);
        entry
    }

    pub fn totals(&self, number: usize) -> Totals {
        self.entries.iter().take(number).fold(Totals::default(), |sums, entry| {
            self.accepted.get(&entry.number).copied().unwrap_or_else(|| totals::after(sums, entry).unwrap())
        })
    }

    pub fn opening(&self, number: usize) -> Opening {
        let last = number.checked_sub(1).map(|index| &self.entries[index]);
        let next = self.accepted.get(&i64::try_from(number + 1).unwrap());
        Opening {
            number: i64::try_from(number).unwrap(),
            sequence: last.map_or(0, |entry| entry.sequence),
            time: last.map_or(time("2026-03-01T09:00:00Z"), |entry| entry.time),
            hash: last.map_or_else(String::new, |entry| entry.hash.clone()),
            balance: last.map_or(Credits::ZERO, |entry| entry.balance),
            totals: next.copied().unwrap_or_else(|| self.totals(number)),
        }
    }

    /// Returns the batch with all entries that the ledger still holds.
    pub fn batch(&self) -> Batch {
        self.batch_of(self.dropped, self.entries.len())
    }

    /// Returns a batch with the entries after number `opening` up to `last`.
    pub fn batch_of(&self, opening: usize, last: usize) -> Batch {
        let held =
            |number: i64| usize::try_from(number).is_ok_and(|number| number > opening && number <= last);
        Batch {
            account: self.id.clone(),
            branch: self.branch.clone(),
            opening: self.opening(opening),
            entries: self.entries[opening..last].to_vec(),
            usage: self.usage.iter().filter(|usage| held(usage.entry)).cloned().collect(),
        }
    }
}
