//! A history store in memory, with faults. It follows the contract of the real stores and shares no code with them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use flashgate_billing::operator::history::History;
use flashgate_history::{
    AccountId, Batch, EntryRecord, Gap, Opening, RecordError, Recorded, UsageRecord, chain,
};
use flashgate_testing::Random;
use flashgate_testing::simulated::{Object, Store};
use futures::future::{BoxFuture, FutureExt as _};

use crate::entries::{account_of, check_usage, committed, deleted_by_users};
use crate::oracle::Violation;
use crate::simulator::faults::Fault;

/// Id of the store.
const STORE: &str = "simulated";

/// A store that all operators share.
#[derive(Clone)]
pub struct SharedHistory(Arc<Mutex<MemoryHistory>>);

/// The rows of a store.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    entries: BTreeMap<(AccountId, i64), Row>,
    usage: BTreeMap<(AccountId, i64), Vec<UsageRecord>>,
}

/// A row of an entry, or the cover of lost entries up to its number.
#[derive(Clone, Debug)]
struct Row {
    /// The record of the entry. Absent in a cover.
    record: Option<String>,
    hash: String,
}

struct MemoryHistory {
    rows: Rows,
    backup: Option<Rows>,
    /// Whether the rows ever went back to a backup. Usage that was recorded after it is then lost.
    went_back: bool,
    /// Number of times that the rows went back with the cluster. Calls from before are then lost.
    restores: u64,
    is_calm: bool,
    is_down: bool,
    random: Random,
    permille: u64,
    /// Calls that have not reached the store, by client.
    waiting: BTreeMap<usize, usize>,
    injected: BTreeMap<Fault, u64>,
}

impl SharedHistory {
    /// Returns the empty store of a run.
    pub fn of(seed: u64, is_faulty: bool) -> Self {
        let mut random = Random::new(seed, 5);
        let permille = random.pick(&[0, 50, 200, 500]);
        Self(Arc::new(Mutex::new(MemoryHistory {
            rows: Rows::default(),
            backup: None,
            went_back: false,
            restores: 0,
            is_calm: !is_faulty,
            is_down: false,
            random,
            permille,
            waiting: BTreeMap::new(),
            injected: BTreeMap::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, MemoryHistory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the store as the operator `client` uses it.
    pub fn client(&self, client: usize) -> HistoryClient {
        HistoryClient { history: self.clone(), client }
    }

    /// Returns whether a call of `client` has not reached the store.
    pub fn waits(&self, client: usize) -> bool {
        self.lock().waiting.get(&client).is_some_and(|count| *count > 0)
    }

    /// Ends all faults, or lets new ones begin.
    pub fn set_calm(&self, is_calm: bool) {
        let history = &mut *self.lock();
        history.is_calm = is_calm;
        history.is_down &= !is_calm;
    }

    /// Stops or starts the store, or takes or restores a backup, or does nothing.
    pub fn disturb(&self) {
        let history = &mut *self.lock();
        let permille = history.permille / 10;
        if history.random.chance(permille) {
            history.is_down ^= true;
            history.note(Fault::HistoryDown);
        }
        if history.random.chance(permille) {
            history.backup = Some(history.rows.clone());
        }
        if history.random.chance(permille / 5)
            && let Some(backup) = history.backup.take()
        {
            history.rows = backup;
            history.went_back = true;
            history.note(Fault::RestoredHistory);
        }
    }

    /// Returns the rows.
    pub fn rows(&self) -> Rows {
        self.lock().rows.clone()
    }

    /// Replaces the rows by those of an earlier time.
    pub fn restore(&self, rows: Rows) {
        let history = &mut *self.lock();
        (history.rows, history.backup, history.went_back) = (rows, None, true);
        history.restores += 1;
    }

    /// Returns the faults that occurred.
    pub fn injected(&self) -> BTreeMap<Fault, u64> {
        self.lock().injected.clone()
    }

    /// Checks invariant I9: the store has the entries of every committed ledger, each once and in order, or a cover
    /// that says which are lost. The usage of a charge adds up to it.
    pub fn check(&self, store: &Store) -> Result<(), Violation> {
        let history = self.lock();
        let committed = committed(store);
        for (account, entries) in &committed {
            let is_live = store.objects().any(|object| {
                matches!(object, Object::CreditLedger(ledger) if account_of(object, &ledger.spec) == *account)
            });
            let rows = history.rows.of(account);
            for (number, record) in entries {
                match rows.range(number..).next() {
                    Some((found, Row { record: Some(stored), .. }))
                        if found == number && stored == record => {}
                    Some((_, Row { record: None, .. })) => {}
                    // A ledger that was deleted can be gone before its last entries are recorded.
                    None if !is_live => {}
                    found => {
                        return Err(Violation(format!(
                            "I9: entry {number} of {account:?} is not in the history, but {found:?}"
                        )));
                    }
                }
            }
            if let Some(number) =
                rows.keys().next_back().filter(|number| entries.keys().next_back() < Some(number))
            {
                return Err(Violation(format!(
                    "I9: the history has entry {number} of {account:?}, which is not committed"
                )));
            }
        }
        if history.went_back { Ok(()) } else { history.rows.check_usage(&deleted_by_users(store)) }
    }
}

fn unavailable() -> RecordError {
    RecordError::Unavailable(Arc::new(std::io::Error::other("a fault")))
}

impl MemoryHistory {
    fn note(&mut self, fault: Fault) {
        *self.injected.entry(fault).or_default() += 1;
    }

    /// Takes one call, possibly with a fault.
    fn take(&mut self, batch: &Batch) -> Result<Recorded, RecordError> {
        if self.is_calm {
            return self.rows.record(batch);
        }
        if self.is_down || self.random.chance(self.permille) {
            self.note(Fault::HistoryUnavailable);
            return Err(unavailable());
        }
        let recorded = self.rows.record(batch);
        if self.random.chance(self.permille) {
            self.note(Fault::LostHistoryReply);
            return Err(unavailable());
        }
        recorded
    }
}

impl Rows {
    /// Returns the rows of the account with a name and id.
    fn of(&self, (name, id): &(String, String)) -> BTreeMap<i64, &Row> {
        let rows = self.entries.iter().filter(|((other, _), _)| other.name == *name && other.account == *id);
        rows.map(|((_, number), row)| (*number, row)).collect()
    }

    fn record(&mut self, batch: &Batch) -> Result<Recorded, RecordError> {
        let Batch { account, opening, entries, usage, .. } = batch;
        let conflict = |number: i64, stored: &str, given: &str| RecordError::Conflict {
            account: Box::new(account.clone()),
            number,
            stored: stored.to_owned(),
            given: given.to_owned(),
        };
        let mut gap = None;
        if opening.number > 0 {
            match self.entries.get(&(account.clone(), opening.number)) {
                Some(row) if row.hash != opening.hash => {
                    return Err(conflict(opening.number, &row.hash, &opening.hash));
                }
                Some(_) => {}
                None => {
                    let id = (account.name.clone(), account.account.clone());
                    let last = self.of(&id).range(..opening.number).next_back().map(|(number, _)| *number);
                    gap = last.map(|last| Gap { first: last + 1, last: opening.number });
                    let row = Row { record: None, hash: opening.hash.clone() };
                    self.entries.insert((account.clone(), opening.number), row);
                }
            }
        }
        for entry in entries {
            let key = (account.clone(), entry.number);
            match self.entries.get(&key) {
                Some(row) if row.hash != entry.hash => {
                    return Err(conflict(entry.number, &row.hash, &entry.hash));
                }
                Some(Row { record: Some(_), .. }) => continue,
                Some(Row { record: None, .. }) | None => {}
            }
            let record = Some(chain::canonical(&account.subscription(), entry));
            self.entries.insert(key.clone(), Row { record, hash: entry.hash.clone() });
            let usage = usage.iter().filter(|usage| usage.entry == entry.number).cloned();
            self.usage.insert(key, usage.collect());
        }
        let last =
            entries.last().map_or((opening.number, opening.sequence), |entry| (entry.number, entry.sequence));
        Ok(Recorded { store: STORE.to_owned(), number: last.0, sequence: last.1, gap })
    }

    /// Returns what a real store would have to be given to hold these rows, or nothing if entries are lost.
    pub fn batches(&self) -> Option<Vec<Batch>> {
        let mut batches: BTreeMap<&AccountId, Batch> = BTreeMap::new();
        for ((account, number), row) in &self.entries {
            let batch = batches.entry(account).or_insert_with(|| Batch {
                account: account.clone(),
                branch: String::new(),
                opening: Opening::default(),
                entries: Vec::new(),
                usage: Vec::new(),
            });
            let hash_before = batch.entries.last().map_or("", |entry| entry.hash.as_str());
            let record = row.record.as_deref()?;
            let entry = EntryRecord::from_canonical(record, *number, hash_before).ok()?;
            // After an administrator accepted a ledger, the chain begins again.
            if entry.hash != row.hash {
                return None;
            }
            batch.entries.push(entry);
            batch.usage.extend(self.usage.get(&(account.clone(), *number)).into_iter().flatten().cloned());
        }
        Some(batches.into_values().collect())
    }

    /// Checks the usage of each charge.
    fn check_usage(&self, deleted: &BTreeSet<String>) -> Result<(), Violation> {
        for (place, row) in &self.entries {
            let entry = row.record.as_deref().and_then(|record| serde_json::from_str(record).ok());
            let usage = self.usage.get(place).map(Vec::as_slice).unwrap_or_default();
            check_usage(&entry.unwrap_or_default(), usage, deleted)?;
        }
        Ok(())
    }
}

/// A store as one operator uses it.
pub struct HistoryClient {
    history: SharedHistory,
    client: usize,
}

/// A call that has not reached the store. If the operator crashes, it never does.
struct Waiting(SharedHistory, usize);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(count) = self.0.lock().waiting.get_mut(&self.1) {
            *count = count.saturating_sub(1);
        }
    }
}

impl History for HistoryClient {
    fn record(&self, batch: Batch) -> BoxFuture<'_, Result<Recorded, RecordError>> {
        async move {
            *self.history.lock().waiting.entry(self.client).or_default() += 1;
            let waiting = Waiting(self.history.clone(), self.client);
            let (mut is_sent, restores) = (false, self.history.lock().restores);
            poll_fn(|_| if std::mem::replace(&mut is_sent, true) { Poll::Ready(()) } else { Poll::Pending })
                .await;
            drop(waiting);
            let history = &mut *self.history.lock();
            if history.restores == restores { history.take(&batch) } else { Err(unavailable()) }
        }
        .boxed()
    }
}
