//! Runs a seed step by step: users, operators, requests and the server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flashgate_billing::admission::Admission;
use flashgate_billing::catalog;
use flashgate_cluster::{AccountKey, CallError};
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::{Catalog, PaymentMode};
use flashgate_ledger::period::seconds_after;
use flashgate_testing::Random;
use flashgate_testing::simulated::{Object, ObjectKind, SharedWire, Store, Wire, Writer, lock};
use jiff::Timestamp;

use crate::oracle::{Oracle, Violation};
use crate::outcome::Disorder;
use crate::simulator::faults::{Fault, Faults};
use crate::simulator::history::{Rows, SharedHistory};
use crate::simulator::portal;
use crate::simulator::preview::Foreseen;
use crate::simulator::reads::Reads;
use crate::simulator::runner::Runner;
use crate::simulator::users;
use crate::simulator::workload::{Batch, Item, Workload};

/// Maximum number of steps before a run without faults must be quiet.
const MAX_STEPS: usize = 4_000;

/// Number of steps without work after which the clock advances by a minute.
const STEPS_OF_A_MINUTE: usize = 1_000;

/// Milliseconds of a step.
const STEP_MILLIS: u64 = 50;

/// The parts of a run that are left out.
#[derive(Clone, Debug, Default)]
pub struct Omissions {
    /// Items that are left out.
    pub items: BTreeSet<usize>,
    /// Faults that are left out.
    pub faults: BTreeSet<usize>,
}

/// A snapshot of etcd, with the oracle at that time.
struct Snapshot {
    store: Store,
    oracle: Oracle,
    history: Option<Rows>,
}

/// A running simulation.
pub struct World {
    pub wire: SharedWire,
    pub catalog: Catalog,
    pub oracle: Oracle,
    /// The history store. Absent in half of the runs.
    history: Option<SharedHistory>,
    reads: Reads,
    snapshot: Option<Snapshot>,
    /// The rules of the API server, in a run whose batches are previewed.
    admission: Option<Arc<Admission>>,
    /// The preview of the last batch.
    foreseen: Option<Foreseen>,
    pub faults: Faults,
    pub steps: usize,
    pub trace: Option<String>,
    disorder: Disorder,
    is_faulty: bool,
    /// Whether the API of the portal is asked at the end, about the run's history too if it has one.
    asks_portal: bool,
    is_calm: bool,
    random: Random,
    runners: Vec<Runner>,
    clients: usize,
    server_seconds: Arc<AtomicI64>,
    left_out: BTreeSet<usize>,
    /// Changes by kind, as indexes into the list of the store.
    kinds: [Vec<usize>; 6],
    /// Number of changes of each kind that an operator must have seen before it may start a job.
    floor: [usize; 6],
    /// Minimum revision of a list.
    floor_revision: u64,
    noted: usize,
}

/// The possible next events.
enum Action {
    Serve(u64),
    Reply(u64, usize),
    Stray(u64),
    Start(usize, AccountKey),
    Record(usize),
    View(usize, ObjectKind),
}

impl World {
    /// Returns the simulation of `seed`, before the first step.
    pub fn new(seed: u64, workload: &Workload, is_faulty: bool, omissions: &Omissions) -> Self {
        let mut catalog = catalog::shipped();
        if workload.is_external {
            catalog.policies.payments.mode = PaymentMode::External;
        }
        if let Some(starter) = catalog.plans.iter_mut().find(|plan| plan.name == "starter") {
            starter.overdraft = Credits::whole(30);
        }
        catalog.policies.gate.grace_seconds = 1_800;
        let wire = Wire::to(Store::new(workload.begin));
        let mut world = Self {
            oracle: Oracle::new(catalog.clone()),
            history: (seed % 2 == 1).then(|| SharedHistory::of(seed, is_faulty)),
            reads: Reads::default(),
            snapshot: None,
            admission: None,
            foreseen: None,
            faults: Faults::of(seed, workload.disorder, omissions.faults.clone()),
            steps: 0,
            trace: None,
            disorder: workload.disorder,
            is_faulty,
            // Asking in each run would take longer than all the rest.
            asks_portal: is_faulty && matches!(seed % 20, 0 | 1),
            is_calm: !is_faulty,
            random: Random::new(seed, 3),
            runners: Vec::new(),
            clients: 0,
            server_seconds: Arc::new(AtomicI64::new(workload.begin.as_second())),
            left_out: omissions.items.clone(),
            kinds: Default::default(),
            floor: [0; 6],
            floor_revision: 0,
            noted: 0,
            wire,
            catalog,
        };
        world.add_runner();
        world
    }

    /// Previews each batch before it is applied. The run must be one without faults.
    pub fn preview_by(mut self, admission: &Arc<Admission>) -> Self {
        self.admission = Some(Arc::clone(admission));
        self
    }

    /// Runs a workload until everything is quiet.
    pub fn play(&mut self, workload: &Workload) -> Result<(), Violation> {
        for batch in &workload.batches {
            if !batch.is_hurried || !self.is_faulty {
                self.run_until_quiet()?;
            }
            self.check_foreseen()?;
            if self.disorder == Disorder::Lagging {
                // Caches are at most as old as the batch. Otherwise a report that is seen a day late may have
                // no account.
                self.floor = self.kinds.each_ref().map(Vec::len);
                self.floor_revision = lock(&self.wire).store.revision();
            }
            self.advance_to(batch.time);
            if self.is_faulty && self.faults.takes_snapshot(&mut self.random) {
                let store = lock(&self.wire).store.clone();
                let history = self.history.as_ref().map(SharedHistory::rows);
                self.snapshot = Some(Snapshot { store, oracle: self.oracle.clone(), history });
            }
            if self.admission.is_some() {
                // Only the changes of the batch are left to decide.
                self.run_until_quiet()?;
                self.foresee(batch)?;
            }
            self.play_batch(batch)?;
        }
        self.end()
    }

    /// Previews a batch. The accounts are up to date.
    fn foresee(&mut self, batch: &Batch) -> Result<(), Violation> {
        let items = batch.items.iter().filter(|(number, _)| !self.left_out.contains(number));
        let items: Vec<&Item> = items.map(|(_, item)| item).collect();
        if let Some(admission) = &self.admission {
            self.foreseen = Foreseen::of(&lock(&self.wire).store, &self.catalog, admission, &items)?;
        }
        Ok(())
    }

    /// Compares the preview of the last batch with what happened.
    fn check_foreseen(&mut self) -> Result<(), Violation> {
        self.foreseen.take().map_or(Ok(()), |foreseen| foreseen.check(&lock(&self.wire).store))
    }

    fn play_batch(&mut self, batch: &Batch) -> Result<(), Violation> {
        for (number, item) in &batch.items {
            if self.left_out.contains(number) {
                continue;
            }
            self.trace(|| format!("user #{number}: {item}"));
            self.state(item)?;
            if self.is_faulty && self.disorder != Disorder::Informed {
                self.disturb(8)?;
            }
        }
        if self.is_faulty { self.disturb(120) } else { Ok(()) }
    }

    fn state(&mut self, item: &Item) -> Result<(), Violation> {
        let reset = users::apply(&mut lock(&self.wire).store, item);
        if let Some(account) = reset {
            self.oracle.note_reset(&account);
        }
        self.note_changes()
    }

    fn set_calm(&mut self, is_calm: bool) {
        self.is_calm = is_calm;
        if let Some(history) = &self.history {
            history.set_calm(is_calm);
        }
    }

    /// Returns the faults that occurred.
    pub fn injected(&self) -> BTreeMap<Fault, u64> {
        let mut injected = self.faults.injected.clone();
        injected.extend(self.history.iter().flat_map(SharedHistory::injected));
        injected
    }

    /// Runs some steps with faults.
    fn disturb(&mut self, most: u64) -> Result<(), Violation> {
        self.set_calm(false);
        for _ in 0..self.random.below(most) {
            if let Some(history) = &self.history {
                history.disturb();
            }
            if self.disorder != Disorder::Informed && self.random.chance(30) {
                let seconds = self.random.between(1, 3);
                let now = seconds_after(lock(&self.wire).store.now(), seconds);
                self.advance_to(now);
            }
            if let Some(fault) = self.faults.of_operator(&mut self.random) {
                self.disturb_operator(fault)?;
            }
            if self.snapshot.is_some() && self.faults.of_etcd(&mut self.random) {
                self.restore_etcd()?;
            }
            self.step()?;
        }
        Ok(())
    }

    /// Runs without new faults until everything is quiet. A paused operator may stay paused, and delayed
    /// requests may stay delayed.
    fn run_until_quiet(&mut self) -> Result<(), Violation> {
        self.set_calm(true);
        for runner in &mut self.runners {
            // An operator that is paused across batches may grant an order that was deleted long before.
            runner.is_paused &= self.disorder != Disorder::Informed && self.random.chance(500);
            // With a slow clock, due work stays pending. The run cannot wait for it.
            let skew = runner.skew_seconds.load(Ordering::Relaxed);
            if self.disorder == Disorder::Lagging || skew.abs() > 60 {
                runner.skew_seconds.store(0, Ordering::Relaxed);
            }
        }
        if self.runners.iter().all(|runner| runner.is_paused) {
            self.runners.iter_mut().for_each(|runner| runner.is_paused = false);
        }
        self.trace(|| "run until quiet, without new faults".to_owned());
        for count in 1..MAX_STEPS {
            if self.disorder == Disorder::Wild && count % STEPS_OF_A_MINUTE == 0 {
                // Operators with different clocks may show different statuses until both clocks have passed
                // the time.
                let now = lock(&self.wire).store.now();
                self.advance_to(seconds_after(now, 60));
            }
            if self.step()? {
                continue;
            }
            let awake = self.runners.iter_mut().filter(|runner| !runner.is_paused);
            let mut delayed: Vec<_> = awake.filter(|runner| runner.is_delayed()).collect();
            if delayed.is_empty() {
                return Ok(());
            }
            for runner in &mut delayed {
                runner.pass_time(STEP_MILLIS);
            }
        }
        Err(Violation(format!("not quiet after {MAX_STEPS} steps without faults")))
    }

    /// Ends all faults, waits until everything is quiet, and checks the result.
    fn end(&mut self) -> Result<(), Violation> {
        for runner in &mut self.runners {
            runner.is_paused = false;
            runner.skew_seconds.store(0, Ordering::Relaxed);
        }
        self.run_until_quiet()?;
        self.check_foreseen()?;
        // Later than any operator's clock.
        let last_shown = seconds_after(lock(&self.wire).store.now(), 120);
        self.advance_to(last_shown);
        let strays: Vec<u64> = lock(&self.wire).strays().map(|(id, ..)| id).collect();
        for id in strays {
            lock(&self.wire).take_effect(id);
            self.note_changes()?;
        }
        self.run_until_quiet()?;
        if users::complete_resets(&mut lock(&self.wire).store, self.oracle.resets()) {
            self.note_changes()?;
            self.run_until_quiet()?;
        }
        for index in 0..self.runners.len() {
            self.sweep(index)?;
            self.run_until_quiet()?;
        }
        let revision = lock(&self.wire).store.revision();
        self.add_runner();
        let last = self.runners.len() - 1;
        self.sweep(last)?;
        self.run_until_quiet()?;
        let store = lock(&self.wire).store.clone();
        if let Some(write) = store.changes().get(usize::try_from(revision).unwrap_or(usize::MAX)) {
            return Err(Violation(format!(
                "I7: a restarted operator wrote with nothing pending: {}",
                describe(write)
            )));
        }
        if let Some(history) = &self.history {
            history.check(&store)?;
        }
        if self.asks_portal {
            let recorded = self.history.as_ref().and_then(|history| history.rows().batches());
            portal::check(&store, &self.catalog, recorded.as_deref())?;
        }
        self.oracle.check_final_state(&store)
    }

    fn add_runner(&mut self) {
        self.clients += 1;
        let history = self.history.as_ref().map(|history| history.client(self.clients));
        let runner = Runner::new(self.clients, &self.wire, &self.catalog, &self.server_seconds, history);
        self.runners.push(runner);
        let index = self.runners.len() - 1;
        let is_new = self.is_calm || self.random.chance(500);
        for kind in ObjectKind::ALL {
            self.relist(index, kind, !is_new);
        }
    }

    /// Makes an operator list `kind` again, from a server that may be behind.
    fn relist(&mut self, index: usize, kind: ObjectKind, may_be_behind: bool) {
        let wire = lock(&self.wire);
        let last = wire.store.revision();
        let changes = &self.kinds[kind as usize];
        let behind = if may_be_behind { self.random.below(50) } else { 0 };
        let revision = last.saturating_sub(behind).max(self.floor_revision);
        let runner = &mut self.runners[index];
        let position =
            changes.iter().take_while(|change| **change < usize::try_from(revision).unwrap_or(0)).count();
        runner.views[kind as usize] = position;
        // The objects of this workload can always be decoded. If not, the check at the end would find a
        // missing object.
        drop(runner.relist(kind, &wire.store, revision));
    }

    fn sweep(&mut self, index: usize) -> Result<(), Violation> {
        self.runners[index].sweep();
        self.poll(index)
    }

    /// Executes one possible event. Returns whether there was one.
    fn step(&mut self) -> Result<bool, Violation> {
        self.steps += 1;
        for runner in self.runners.iter_mut().filter(|runner| !runner.is_paused) {
            runner.pass_time(STEP_MILLIS);
        }
        let mut actions = self.actions();
        if actions.is_empty() {
            return Ok(false);
        }
        let chosen = if self.is_faulty { self.random.index(actions.len()) } else { 0 };
        match actions.swap_remove(chosen) {
            Action::Serve(id) => self.serve(id)?,
            Action::Reply(id, client) => {
                lock(&self.wire).reply(id);
                self.poll_client(client)?;
            }
            Action::Stray(id) => {
                let drops = self.random.chance(300);
                self.trace(|| format!("delayed request {id}, lost: {drops}"));
                if drops { lock(&self.wire).lose(id) } else { lock(&self.wire).take_effect(id) }
            }
            Action::Start(index, key) => {
                let client = self.runners[index].client;
                self.trace(|| format!("operator {client} reconciles {key}"));
                self.runners[index].start(&key);
                self.poll(index)?;
            }
            Action::Record(index) => self.poll(index)?,
            Action::View(index, kind) => self.deliver(index, kind)?,
        }
        self.note_changes()?;
        Ok(true)
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let paused: Vec<usize> =
            self.runners.iter().filter(|runner| runner.is_paused).map(|runner| runner.client).collect();
        {
            let wire = lock(&self.wire);
            let sent = wire.sent().filter(|(_, client, _)| !self.is_calm || !paused.contains(client));
            actions.extend(sent.map(|(id, ..)| Action::Serve(id)));
            let answered = wire.answered().filter(|(_, client, _)| !paused.contains(client));
            actions.extend(answered.map(|(id, client, _)| Action::Reply(id, client)));
            if !self.is_calm {
                actions.extend(wire.strays().map(|(id, ..)| Action::Stray(id)));
            }
        }
        for (index, runner) in self.runners.iter().enumerate().filter(|(_, runner)| !runner.is_paused) {
            let behind = ObjectKind::ALL
                .into_iter()
                .filter(|kind| runner.views[*kind as usize] < self.kinds[*kind as usize].len());
            actions.extend(behind.map(|kind| Action::View(index, kind)));
            if self.history.as_ref().is_some_and(|history| history.waits(runner.client)) {
                actions.push(Action::Record(index));
            }
            if self.is_informed(runner) {
                actions.extend(runner.startable().map(|key| Action::Start(index, key.clone())));
            }
        }
        actions
    }

    /// Returns whether an operator has seen all that it must have seen before it may start a job.
    fn is_informed(&self, runner: &Runner) -> bool {
        runner.views.iter().zip(&self.floor).all(|(seen, floor)| seen >= floor)
    }

    /// Processes a request, possibly with a fault.
    fn serve(&mut self, id: u64) -> Result<(), Violation> {
        let fault = if self.is_calm { None } else { self.faults.of_exchange(&mut self.random) };
        let (client, is_write, what) = {
            let wire = lock(&self.wire);
            let Some((_, client, call)) = wire.sent().find(|(other, ..)| *other == id) else { return Ok(()) };
            self.reads.note(client, call, wire.store.revision());
            (client, call.is_write(), if self.trace.is_some() { format!("{call:?}") } else { String::new() })
        };
        self.trace(|| {
            let what: String = what.chars().take(160).collect();
            format!(
                "server takes {id} of {client}: {what}{}",
                fault.map_or(String::new(), |fault| format!(" !! {fault:?}"))
            )
        });
        if self.disturb_exchange(id, fault, is_write) { Ok(()) } else { self.poll_client(client) }
    }

    /// Processes a request with or without a fault. Returns whether the client still waits.
    fn disturb_exchange(&self, id: u64, fault: Option<Fault>, is_write: bool) -> bool {
        let wire = &mut lock(&self.wire);
        if matches!(fault, Some(Fault::RepeatedRequest | Fault::LateRequest)) {
            wire.duplicate(id);
        }
        if matches!(
            fault,
            None | Some(
                Fault::RepeatedRequest | Fault::ResentRequest | Fault::LostReply | Fault::GatewayTimeout
            )
        ) {
            wire.take_effect(id);
        }
        match fault {
            None | Some(Fault::RepeatedRequest) => return true,
            Some(Fault::ResentRequest) => {
                wire.take_effect(id);
                return true;
            }
            Some(Fault::Conflict) if is_write => {
                let message = "a fault".to_owned();
                wire.fail(id, CallError::Conflict { call: String::new(), message }, true);
            }
            Some(Fault::GatewayTimeout) => wire.fail(id, unavailable(504), true),
            Some(Fault::TooManyRequests) => wire.fail(id, unavailable(429), true),
            Some(Fault::Unavailable | Fault::Conflict) => wire.fail(id, unavailable(503), true),
            Some(_) => wire.fail(id, timed_out(), false),
        }
        false
    }

    fn disturb_operator(&mut self, fault: Fault) -> Result<(), Violation> {
        let index = self.random.index(self.runners.len());
        // Two operators are enough. A third replaces one of them.
        let fault =
            if fault == Fault::SecondOperator && self.runners.len() > 1 { Fault::Crash } else { fault };
        let client = self.runners[index].client;
        self.trace(|| format!("!! {fault:?} of operator {client}"));
        match fault {
            Fault::Crash => {
                drop(self.runners.remove(index));
                self.add_runner();
            }
            Fault::Pause => self.runners[index].is_paused ^= true,
            Fault::Relist | Fault::StaleRelist => {
                let kind = self.random.pick(&ObjectKind::ALL);
                self.relist(index, kind, fault == Fault::StaleRelist);
            }
            Fault::SecondOperator => self.add_runner(),
            Fault::ClockSkew => {
                let seconds = self.random.between(-59, 59);
                self.runners[index].skew_seconds.store(seconds, Ordering::Relaxed);
            }
            Fault::ClockStep => {
                let seconds = self.random.pick(&[-3_600, -120, 120, 3_600, 86_400, 400 * 86_400]);
                self.runners[index].skew_seconds.store(seconds, Ordering::Relaxed);
            }
            _ => self.sweep(index)?,
        }
        self.note_changes()
    }

    /// Restores etcd from the last snapshot. The servers are unavailable until every call has failed and
    /// every reconcile has ended. Operators keep their caches, and notice the restore before their watches
    /// resume.
    fn restore_etcd(&mut self) -> Result<(), Violation> {
        let Some(Snapshot { store, oracle, history }) = self.snapshot.take() else { return Ok(()) };
        self.trace(|| format!("!! etcd is restored to revision {}", store.revision()));
        let revision = store.revision();
        while lock(&self.wire).cut_off() {
            for index in 0..self.runners.len() {
                self.poll(index)?;
            }
        }
        {
            let wire = &mut *lock(&self.wire);
            wire.store.restore(store);
            self.noted = wire.store.changes().len();
        }
        self.oracle = oracle;
        // The history store is restored with the cluster. Otherwise it would have entries that no ledger has.
        if let Some((shared, rows)) = self.history.as_ref().zip(history) {
            shared.restore(rows);
        }
        self.reads = Reads::default();
        for (kind, floor) in self.kinds.iter_mut().zip(&mut self.floor) {
            kind.retain(|change| *change < self.noted);
            *floor = kind.len().min(*floor);
        }
        self.floor_revision = self.floor_revision.min(revision);
        for index in 0..self.runners.len() {
            if self.runners[index].must_relist_after_restore(revision) {
                for kind in ObjectKind::ALL {
                    self.relist(index, kind, false);
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, index: usize, kind: ObjectKind) -> Result<(), Violation> {
        let most = if self.is_calm { 1 } else { 1 + self.random.below(3) };
        for _ in 0..most {
            let wire = lock(&self.wire);
            let runner = &mut self.runners[index];
            let Some(position) = self.kinds[kind as usize].get(runner.views[kind as usize]) else { break };
            let change = &wire.store.changes()[*position];
            runner
                .deliver(kind, change)
                .map_err(|error| Violation(format!("a cached object cannot be decoded: {error}")))?;
        }
        Ok(())
    }

    fn poll_client(&mut self, client: usize) -> Result<(), Violation> {
        match self.runners.iter().position(|runner| runner.client == client) {
            Some(index) => self.poll(index),
            None => Ok(()),
        }
    }

    fn poll(&mut self, index: usize) -> Result<(), Violation> {
        self.runners[index].poll().map_err(|error| Violation(format!("a reconcile failed: {error}")))
    }

    fn advance_to(&mut self, time: Timestamp) {
        let mut wire = lock(&self.wire);
        let before = wire.store.now();
        let now = before.max(time);
        wire.store.set_now(now);
        self.server_seconds.store(now.as_second(), Ordering::Relaxed);
        drop(wire);
        let passed = u64::try_from(now.duration_since(before).as_millis()).unwrap_or(0);
        self.runners.iter_mut().for_each(|runner| runner.pass_time(passed));
        self.trace(|| format!("-- {now}"));
    }

    /// Checks the writes since the last check.
    fn note_changes(&mut self) -> Result<(), Violation> {
        let wire = lock(&self.wire);
        let changes = wire.store.changes();
        while let Some(change) = changes.get(self.noted) {
            if let Some(object) = change.object() {
                let kind = object.kind() as usize;
                self.kinds[kind].push(self.noted);
                if change.writer == Writer::User && self.disorder == Disorder::Informed {
                    self.floor[kind] = self.kinds[kind].len();
                    self.floor_revision = change.revision;
                }
            }
            self.noted += 1;
            if let Some(trace) = &mut self.trace {
                // Writing to a String cannot fail.
                let _ = writeln!(trace, "    {}", describe(change));
            }
            self.oracle.check(change, &wire.store)?;
            self.reads.check(change, &self.oracle)?;
        }
        Ok(())
    }

    fn trace(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push_str(&text());
            trace.push('\n');
        }
    }
}

fn timed_out() -> CallError {
    CallError::TimedOut { call: String::new(), limit: Duration::from_secs(10) }
}

fn unavailable(code: u16) -> CallError {
    CallError::Unavailable { call: String::new(), code, message: String::new(), retry_after: None }
}

fn describe(change: &flashgate_testing::simulated::Change) -> String {
    let object = change.object().map(|object| object.key().to_string()).unwrap_or_default();
    let now = change.after.as_ref().map_or_else(|| "deleted".to_owned(), brief);
    format!("{:?} wrote {object} (revision {}): {now}", change.writer, change.revision)
}

fn brief(object: &Object) -> String {
    let shown = match object {
        Object::Subscription(object) => object.status.as_ref().map_or_else(String::new, |status| {
            format!(
                "generation {:?} status of {:?} balance {:?} reasons {:?}",
                object.metadata.generation,
                status.ledger.as_ref().map(|ledger| (&ledger.uid, ledger.sequence)),
                status.credits.as_ref().map(|credits| credits.balance.as_str()),
                status.conditions.iter().map(|condition| condition.reason.as_str()).collect::<Vec<_>>(),
            )
        }),
        Object::CreditLedger(object) => format!(
            "sequence {} clock {} by {}; {}",
            object.spec.sequence,
            object.spec.clock_time,
            object.spec.writer,
            object.spec.entries.last().map(String::as_str).unwrap_or_default()
        ),
        other => format!("uid {} state {:?}", other.uid(), other.state()),
    };
    format!("{} {shown}", object.uid())
}
