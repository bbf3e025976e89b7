//! A reconcile: asks `plan` for the next step and executes it, until nothing is left to do.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flashgate_api::event::Event;
use flashgate_api::reason::Reason;
use flashgate_api::{CreditLedger, LedgerReference, Subscription, SubscriptionStatus};
use flashgate_cluster::clock::Clock;
use flashgate_cluster::{AccountKey, CallError, Cluster, Version, found};
use flashgate_ledger::bounds::receipts_are_full;
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::decide::Decision;
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::ledger::{Charge, Ledger, UNACKNOWLEDGED_LIMIT};
use jiff::Timestamp;

use crate::metrics::Metrics;
use crate::operator::cache::Cache;
use crate::operator::cache::report_index::Shown;
use crate::operator::commit::{write_accepted_ledger, write_ledger};
use crate::operator::convert::ConvertError;
use crate::operator::facts::{AccountClock, ignored_test_clock};
use crate::operator::memory::{Memory, STATUS_INTERVAL};
use crate::operator::plan::{Action, Context, Part, Step, plan};
use crate::operator::project::{self, LedgerState, Trouble};
use crate::operator::publish::limit::EventLimit;
use crate::operator::publish::{Publisher, arrival_events, due_status, publish_about, publish_events};
use crate::operator::receipts::{confirm_charges, write_receipts};
use crate::operator::stored_ledger::StoredLedger;
use crate::operator::view::View;

/// How far the local clock may be from the API server's before commits hold.
pub const CLOCK_TOLERANCE_SECONDS: i64 = 60;

/// What a reconcile needs besides the account.
pub struct Operator<C> {
    /// The cluster.
    pub cluster: C,
    /// What the watches brought.
    pub cache: Arc<Cache>,
    /// What is sold.
    pub catalog: Catalog,
    /// The present.
    pub clock: Clock,
    /// Who commits, as the ledger names it.
    pub writer: String,
    /// Namespaces whose Subscriptions may live by a test clock.
    pub test_clock_namespaces: HashSet<String>,
    /// Whether nothing is to be committed or written at all.
    pub hold: bool,
    /// What is counted.
    pub metrics: Metrics,
    /// The rate limit of Events.
    pub event_limit: EventLimit,
    memories: Mutex<HashMap<AccountKey, Memory>>,
}

/// When to reconcile next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// At this instant something happens by itself.
    pub wake_time: Option<Timestamp>,
    /// After this time something is to be taken up again.
    pub after: Option<Duration>,
}

impl Next {
    const AT_ONCE: Self = Self { wake_time: None, after: Some(Duration::ZERO) };
}

/// Why a reconcile could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A read failed.
    #[error("reading of account {account} failed")]
    Read {
        /// The account.
        account: AccountKey,
        /// The call.
        #[source]
        source: CallError,
    },
    /// A commit's outcome is unknown; the ledger is read before anything is decided again.
    #[error("commit of account {account} is in doubt")]
    Commit {
        /// The account.
        account: AccountKey,
        /// The call.
        #[source]
        source: CallError,
    },
    /// A receipt or status could not be written; it is written again.
    #[error("projection of account {account} failed")]
    Project {
        /// The account.
        account: AccountKey,
        /// The call.
        #[source]
        source: CallError,
    },
    /// The Subscription cannot be understood.
    #[error("subscription of account {account} cannot be understood")]
    Convert {
        /// The account.
        account: AccountKey,
        /// What is wrong with it.
        #[source]
        source: ConvertError,
    },
    /// The reconcile panicked: a defect of the program.
    #[error("reconcile of account {account} panicked")]
    Panicked {
        /// The account.
        account: AccountKey,
    },
    /// The local clock cannot be trusted.
    #[error("commits hold: the local clock is {skew_seconds} seconds ahead of the API server's")]
    Clock {
        /// By how much it is ahead.
        skew_seconds: i64,
    },
}

impl ReconcileError {
    /// Returns the call that failed.
    #[must_use]
    pub const fn call(&self) -> Option<&CallError> {
        match self {
            Self::Read { source, .. } | Self::Commit { source, .. } | Self::Project { source, .. } => {
                Some(source)
            }
            Self::Convert { .. } | Self::Clock { .. } | Self::Panicked { .. } => None,
        }
    }

    /// Returns the name under which it is counted.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Commit { .. } => "commit",
            Self::Project { .. } => "project",
            Self::Convert { .. } => "convert",
            Self::Clock { .. } => "clock",
            Self::Panicked { .. } => "panic",
        }
    }
}

impl<C: Cluster> Operator<C> {
    /// Returns an operator that remembers nothing.
    pub fn new(cluster: C, catalog: Catalog, clock: Clock, writer: String) -> Self {
        let metrics = Metrics::of(&catalog);
        Self {
            cluster,
            cache: Arc::default(),
            catalog,
            clock,
            writer,
            test_clock_namespaces: HashSet::new(),
            hold: false,
            metrics,
            event_limit: EventLimit::default(),
            memories: Mutex::default(),
        }
    }

    /// Returns what publishes Events now.
    pub fn publisher(&self) -> Publisher<'_, C> {
        let (cluster, limit, metrics) = (&self.cluster, &self.event_limit, &self.metrics);
        Publisher { cluster, limit, metrics, uptime: self.clock.uptime() }
    }

    /// Reconciles an account. At most one reconcile of an account may run at a time.
    ///
    /// # Errors
    /// When a call fails; the account is to be reconciled again.
    #[tracing::instrument(
        skip_all,
        fields(kind = "Subscription", namespace = key.namespace, account = key.name, generation, sequence)
    )]
    pub async fn reconcile(&self, key: &AccountKey) -> Result<Next, ReconcileError> {
        let epoch = self.cache.revisions.seen().epoch;
        let held = self.memories.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let mut memory = held
            .filter(|memory| memory.epoch == epoch)
            .unwrap_or_else(|| Memory { epoch, ..Memory::default() });
        let result = self.run(key, &mut memory).await;
        memory.is_in_doubt |= matches!(result, Err(ReconcileError::Commit { .. }));
        if memory.is_worth_keeping(self.clock.uptime()) {
            self.memories.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), memory);
        }
        result
    }

    async fn run(&self, key: &AccountKey, memory: &mut Memory) -> Result<Next, ReconcileError> {
        let mut view = View::of(&self.cache, key, self.clock.now());
        loop {
            let step = plan(&view, memory, &self.context(key));
            match step.map_err(|source| ReconcileError::Convert { account: key.clone(), source })? {
                Step::Rest => return Ok(Next::default()),
                Step::Read(Part::Time) => {
                    self.ask_the_time(key).await?;
                    return Ok(Next::AT_ONCE);
                }
                Step::Read(Part::Ledger) => {
                    self.read_ledger(&mut view).await?;
                    memory.is_in_doubt = false;
                }
                Step::Read(Part::Subscription) => self.read_subscription(&mut view).await?,
                Step::NameLedger(clock) => {
                    self.show(&mut view, clock, &mut Memory::default()).await?;
                    return Ok(Next::AT_ONCE);
                }
                Step::Accept => return self.accept(&view).await,
                Step::Report(trouble) => return self.report(&view, trouble).await,
                Step::Act(action) => return self.act(view, *action, memory).await,
            }
        }
    }

    fn context(&self, key: &AccountKey) -> Context<'_> {
        Context {
            catalog: &self.catalog,
            is_paused: self.hold,
            knows_the_time: self.knows_the_time(),
            allows_test_clocks: self.test_clock_namespaces.contains(&key.namespace),
        }
    }

    /// Commits what was decided, then writes receipts, Events and the Subscription's status.
    async fn act(&self, mut view: View, action: Action, memory: &mut Memory) -> Result<Next, ReconcileError> {
        let Action { mut decision, clock } = action;
        view.keep_judged_reports(&decision);
        let before = view.ledger.clone();
        let before = before.as_ref().and_then(|before| before.ledger().ok());
        tell_span(&view, before);
        let committed = decision.commit.take();
        let is_committed = committed.is_some();
        if let Some(next) = committed
            && let Err(error) = self.commit(&mut view, *next, &decision, memory).await
        {
            self.say_refusal(&view, &error).await;
            return Err(error);
        }
        self.mention_ignored_clock(&view, clock, memory).await;
        let stored = view.ledger.clone();
        let ledger = stored.as_ref().and_then(|stored| stored.ledger().ok());
        // A receipt that cannot be written does not hold up the others, or the status.
        let receipts = self.give_receipts(&view, &decision, ledger, clock, memory).await;
        if is_committed {
            let resumed =
                before.zip(ledger).and_then(|(before, ledger)| project::resumption_event(before, ledger));
            let events = resumed.into_iter().chain(project::events(&decision)).collect();
            publish_events(&self.publisher(), &view, events).await;
        }
        publish_events(&self.publisher(), &view, arrival_events(&view, &decision)).await;
        let delay = self.show(&mut view, clock, memory).await?;
        receipts?;
        let shown = Shown { basis: decision.wait_basis, time: clock.now };
        self.cache.reports.note_shown(&view.key, &view.reports, shown);
        let has_more = decision.has_more || has_room_again(ledger, &decision, memory);
        let after = if has_more { Some(Duration::ZERO) } else { delay };
        let shown_until = ledger.map(|ledger| project::shown_until(ledger, clock.now));
        let wake_time = decision.wake_time.into_iter().chain(shown_until).min();
        Ok(Next { wake_time: wake_time.filter(|_| !clock.is_test), after })
    }

    /// Returns whether the local clock can be trusted. Refusals and statuses rest on it as commits do; so nothing is
    /// decided before the server's first reply, nor while its clock tells another time.
    fn knows_the_time(&self) -> bool {
        let skew_seconds = self.cluster.clock_skew_seconds();
        skew_seconds.is_some_and(|skew_seconds| skew_seconds.abs() <= CLOCK_TOLERANCE_SECONDS)
    }

    /// Calls the API server to learn its time from the reply. What was computed from an earlier reply can be wrong, because a
    /// machine that sleeps does not count the time.
    async fn ask_the_time(&self, key: &AccountKey) -> Result<(), ReconcileError> {
        match self.cluster.fetch::<CreditLedger>(&key.namespace, &key.name).await {
            Err(error) if !error.is_not_found() => Err(read(key, error)),
            _ if self.knows_the_time() => Ok(()),
            _ => {
                let skew_seconds = self.cluster.clock_skew_seconds().unwrap_or_default();
                Err(ReconcileError::Clock { skew_seconds })
            }
        }
    }

    /// Says once that the Subscription asks for a test clock that is not its account's.
    async fn mention_ignored_clock(&self, view: &View, clock: AccountClock, memory: &mut Memory) {
        let is_allowed = self.test_clock_namespaces.contains(&view.key.namespace);
        let Some(subscription) = view.subscription.as_deref() else { return };
        let ignored = ignored_test_clock(subscription, clock, is_allowed);
        if let Some(message) = ignored.clone().filter(|_| ignored != memory.ignored_clock) {
            let event = Event::warning(None, Reason::TestClockIgnored, message);
            publish_about(&self.publisher(), subscription, event).await;
        }
        memory.ignored_clock = ignored;
    }

    /// Commits the stored ledger's content again, because an administrator accepted it; the next reconcile goes on from it.
    async fn accept(&self, view: &View) -> Result<Next, ReconcileError> {
        let Some(stored) = &view.ledger else { return Ok(Next::default()) };
        let ledger = match stored.ledger() {
            Ok(ledger) => ledger,
            Err(error) => return self.report(view, Trouble::from(error)).await,
        };
        if let Err(violation) = ledger.check() {
            return self.report(view, Trouble::from(&violation)).await;
        }
        let next = Ledger { sequence: ledger.sequence.saturating_add(1), ..ledger.clone() };
        let shown_hash = view.shown_ledger().map(|shown| shown.hash.as_str()).unwrap_or_default();
        let written =
            write_accepted_ledger(&self.cluster, &view.key, stored, next, shown_hash, &self.writer).await;
        let written =
            written.map_err(|source| ReconcileError::Commit { account: view.key.clone(), source })?;
        tracing::warn!(account = %view.key, sequence = stored.spec.sequence, "an administrator accepted the ledger");
        self.keep_ledger(&view.key, &written);
        Ok(Next::AT_ONCE)
    }

    async fn commit(
        &self,
        view: &mut View,
        next: Ledger,
        decision: &Decision,
        memory: &mut Memory,
    ) -> Result<(), ReconcileError> {
        let written = write_ledger(&self.cluster, view, next, &decision.entries, &self.writer)
            .await
            .map_err(|source| ReconcileError::Commit { account: view.key.clone(), source })?;
        self.metrics.count_commit(decision);
        self.keep_ledger(&view.key, &written);
        if let Ok(ledger) = written.ledger() {
            let charges = ledger.unacknowledged.iter();
            let held: HashSet<_> =
                charges.map(|charge| (charge.name.as_str(), charge.uid.as_str())).collect();
            memory.acknowledged.retain(|(name, uid)| held.contains(&(name.as_str(), uid.as_str())));
        }
        view.take_ledger(Some(written));
        Ok(())
    }

    async fn give_receipts(
        &self,
        view: &View,
        decision: &Decision,
        ledger: Option<&Ledger>,
        clock: AccountClock,
        memory: &mut Memory,
    ) -> Result<(), ReconcileError> {
        let mut receipts =
            write_receipts(&self.cluster, &self.cache, view, decision, ledger, clock.now).await;
        memory.acknowledged.extend(receipts.acknowledged.drain(..));
        for (_, refusal) in &receipts.refused {
            self.metrics.count_refusal(FactKind::UsageReport, refusal.reason);
        }
        let refusals = receipts.refused.iter().map(|(name, refusal)| project::refusal_event(name, refusal));
        publish_events(&self.publisher(), view, refusals.collect()).await;
        if decision.waits_for_receipts {
            let unconfirmed = unconfirmed(ledger, view, memory);
            if unconfirmed.len() >= UNACKNOWLEDGED_LIMIT / 2 || receipts_are_full(&unconfirmed) {
                let confirmed =
                    confirm_charges(&self.cluster, &view.key.namespace, &unconfirmed, clock.now).await;
                memory.acknowledged.extend(confirmed.acknowledged);
                receipts.failure = receipts.failure.or(confirmed.failure);
            }
        }
        match receipts.failure {
            None => Ok(()),
            Some(source) => Err(ReconcileError::Project { account: view.key.clone(), source }),
        }
    }

    /// Writes the Subscription's status. Returns after what time it is to be looked at again, if it was put off.
    async fn show(
        &self,
        view: &mut View,
        clock: AccountClock,
        memory: &mut Memory,
    ) -> Result<Option<Duration>, ReconcileError> {
        let Some(subscription) = view.subscription.clone() else { return Ok(None) };
        let since = memory.status_written.map(|written| self.clock.uptime().saturating_sub(written));
        if let Some(since) = since.filter(|since| *since < STATUS_INTERVAL) {
            return Ok(Some(STATUS_INTERVAL.saturating_sub(since)));
        }
        let stored = view.ledger.clone();
        let ledger_state = match stored.as_ref().map(|stored| (stored.ledger(), reference(stored))) {
            Some((Ok(ledger), reference)) => LedgerState::Sound { ledger, reference },
            // The API server stored something else than was sent: the next reconcile reports it.
            Some((Err(_), _)) => return Ok(Some(Duration::ZERO)),
            None => LedgerState::Absent,
        };
        // The server's creation time says nothing to an account that lives by a test clock.
        let mut shown = subscription.clone();
        if clock.is_test {
            Arc::make_mut(&mut shown).metadata.creation_timestamp = None;
        }
        let Some(status) = due_status(&shown, ledger_state, &self.catalog, clock.now) else {
            return Ok(None);
        };
        if !view.ledger_is_newer() && !self.is_still_stored(view).await? {
            // Where it is gone, the watch has yet to say so.
            return Ok(Some(if view.ledger.is_some() { Duration::ZERO } else { STATUS_INTERVAL }));
        }
        if self.write_status(&subscription, &status).await? {
            memory.status_written = Some(self.clock.uptime());
        }
        Ok(None)
    }

    /// Reads the ledger again; returns whether it is the version that was decided on. What a status shows must have
    /// been confirmed after the Subscription was read: else an older ledger could be shown over a newer one.
    async fn is_still_stored(&self, view: &mut View) -> Result<bool, ReconcileError> {
        let version =
            |view: &View| view.ledger.as_ref().map(|stored| stored.metadata.resource_version.clone());
        let decided_on = version(view);
        self.read_ledger(view).await?;
        Ok(decided_on == version(view))
    }

    /// Reads the ledger from the API server, and keeps it for later reconciles.
    async fn read_ledger(&self, view: &mut View) -> Result<(), ReconcileError> {
        let AccountKey { namespace, name } = &view.key;
        let fetched = found(self.cluster.fetch::<CreditLedger>(namespace, name).await);
        let fetched = fetched.map_err(|source| read(&view.key, source))?;
        let stored = fetched.map(|object| Arc::new(StoredLedger::new(object)));
        if let Some(stored) = &stored {
            self.keep_ledger(&view.key, stored);
        }
        view.take_ledger(stored);
        Ok(())
    }

    /// Reads the Subscription from the API server.
    async fn read_subscription(&self, view: &mut View) -> Result<(), ReconcileError> {
        let AccountKey { namespace, name } = &view.key;
        let fetched = found(self.cluster.fetch::<Subscription>(namespace, name).await);
        view.take_subscription(fetched.map_err(|source| read(&view.key, source))?.map(Arc::new));
        Ok(())
    }

    /// Writes a Subscription's status; returns whether it took effect. A Subscription that is gone is left to its
    /// watch; one that has changed is tried again, by when its watch has most often brought what it is now.
    async fn write_status(
        &self,
        subscription: &Subscription,
        status: &SubscriptionStatus,
    ) -> Result<bool, ReconcileError> {
        let version = Version::of(subscription);
        match self.cluster.replace_status::<Subscription, _>(&version, status).await {
            Ok(written) => {
                self.keep_subscription(&written);
                if let Some(event) = project::status_event(subscription.status.as_ref(), status) {
                    publish_about(&self.publisher(), subscription, event).await;
                }
                Ok(true)
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(source) => {
                let account = AccountKey { namespace: version.namespace, name: version.name };
                Err(ReconcileError::Project { account, source })
            }
        }
    }

    /// Says in the Subscription's conditions what is wrong; nothing else is written.
    async fn report(&self, view: &View, trouble: Trouble) -> Result<Next, ReconcileError> {
        if trouble.is_violation() {
            self.metrics.count_trouble();
            tracing::error!(account = %view.key, ?trouble, "nothing is written for this account");
        } else {
            tracing::warn!(account = %view.key, ?trouble, "nothing is written for this account");
        }
        if let Some(subscription) = &view.subscription
            && let Some(status) =
                due_status(subscription, LedgerState::Troubled(trouble), &self.catalog, self.clock.now())
        {
            self.write_status(subscription, &status).await?;
        }
        Ok(Next::default())
    }

    /// Reports in the Subscription's status that the API server refused a commit for its content: waiting does not help. Best
    /// effort; the next status replaces it.
    async fn say_refusal(&self, view: &View, error: &ReconcileError) {
        let Some(CallError::Refused { message, .. }) = error.call() else { return };
        let Some(subscription) = &view.subscription else { return };
        let ledger_state = LedgerState::Troubled(Trouble::Refused(message.clone()));
        if let Some(status) = due_status(subscription, ledger_state, &self.catalog, self.clock.now())
            && let Err(error) = self.write_status(subscription, &status).await
        {
            tracing::debug!(%error, "the refusal of a commit could not be shown");
        }
    }

    fn keep_ledger(&self, key: &AccountKey, stored: &Arc<StoredLedger>) {
        self.cache.revisions.note_latest(stored.metadata.resource_version.as_deref().unwrap_or_default());
        self.cache.ledgers.renew_row(key, stored);
    }

    fn keep_subscription(&self, subscription: &Subscription) {
        if let Err(error) = self.cache.subscriptions.renew(subscription.clone()) {
            tracing::error!(%error, "a Subscription that was just written cannot be kept");
        }
    }
}

/// Tells the span of this reconcile what it was decided on.
fn tell_span(view: &View, before: Option<&Ledger>) {
    let span = tracing::Span::current();
    span.record("sequence", before.map_or(0, |ledger| ledger.sequence));
    span.record(
        "generation",
        view.subscription.as_ref().and_then(|subscription| subscription.metadata.generation),
    );
}

fn read(key: &AccountKey, source: CallError) -> ReconcileError {
    ReconcileError::Read { account: key.clone(), source }
}

fn reference(ledger: &CreditLedger) -> LedgerReference {
    LedgerReference {
        uid: ledger.metadata.uid.clone().unwrap_or_default(),
        sequence: ledger.spec.sequence,
        hash: ledger.spec.hash.clone(),
    }
}

/// Returns whether reports that wait for room can be taken up at once, since receipts were confirmed meanwhile.
fn has_room_again(ledger: Option<&Ledger>, decision: &Decision, memory: &Memory) -> bool {
    let charges = ledger.into_iter().flat_map(|ledger| &ledger.unacknowledged);
    let is_awaited =
        |charge: &&Charge| !memory.acknowledged.contains(&(charge.name.clone(), charge.uid.clone()));
    decision.waits_for_receipts && !receipts_are_full(charges.filter(is_awaited))
}

/// Returns the charges whose receipt is not known to be confirmed and whose object is not known to be pending.
fn unconfirmed(ledger: Option<&Ledger>, view: &View, memory: &Memory) -> Vec<Charge> {
    let pending: HashSet<&str> = view.reports.iter().map(|pending| pending.version.uid.as_str()).collect();
    let charges = ledger.into_iter().flat_map(|ledger| &ledger.unacknowledged);
    charges
        .filter(|charge| !pending.contains(charge.uid.as_str()))
        .filter(|charge| !memory.acknowledged.contains(&(charge.name.clone(), charge.uid.clone())))
        .cloned()
        .collect()
}
