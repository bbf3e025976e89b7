//! A reconcile: executes the steps that `plan` returns until none is left.

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
use flashgate_preview::account_clock::{AccountClock, ignored_test_clock};
use flashgate_preview::convert::ConvertError;
use jiff::Timestamp;

use crate::metrics::Metrics;
use crate::operator::cache::Cache;
use crate::operator::cache::report_index::Shown;
use crate::operator::commit::{write_accepted_ledger, write_ledger};
use crate::operator::history::{History, HistoryError, withhold_charges};
use crate::operator::memory::{Memory, STATUS_INTERVAL};
use crate::operator::plan::{Action, Context, HistoryMode, Part, Step, plan};
use crate::operator::project::{self, LedgerState, Trouble};
use crate::operator::publish::limit::EventLimit;
use crate::operator::publish::{Publisher, arrival_events, due_status, publish_about, publish_events};
use crate::operator::receipts::{confirm_charges, write_receipts};
use crate::operator::stored_ledger::StoredLedger;
use crate::operator::sweep::LastReports;
use crate::operator::view::View;

/// Largest difference, in seconds, between the local clock and the API server's. Beyond it nothing is
/// committed.
pub const CLOCK_TOLERANCE_SECONDS: i64 = 60;

/// The operator: the input of a reconcile besides the account.
pub struct Operator<C> {
    /// The cluster.
    pub cluster: C,
    /// The cache.
    pub cache: Arc<Cache>,
    /// The catalog.
    pub catalog: Catalog,
    /// The clock.
    pub clock: Clock,
    /// The name of this process that ledgers record as the writer.
    pub writer: String,
    /// Namespaces whose Subscriptions may have a test clock.
    pub test_clock_namespaces: HashSet<String>,
    /// Whether the operator is paused: it commits and writes nothing.
    pub hold: bool,
    /// The history store, if entries are recorded in one.
    pub history: Option<Arc<dyn History>>,
    /// The metrics.
    pub metrics: Metrics,
    /// The rate limit of Events.
    pub event_limit: EventLimit,
    /// The last reports of meters, which the sweep keeps.
    pub last_of_meters: Mutex<LastReports>,
    memories: Mutex<HashMap<AccountKey, Memory>>,
}

/// When to reconcile next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Time of the next billing event, such as a renewal.
    pub wake_time: Option<Timestamp>,
    /// Delay after which the account must be reconciled again.
    pub after: Option<Duration>,
}

impl Next {
    const AT_ONCE: Self = Self { wake_time: None, after: Some(Duration::ZERO) };
}

/// Why a reconcile could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A read failed.
    #[error("the read of account {account} failed")]
    Read {
        /// The account.
        account: AccountKey,
        /// The call.
        #[source]
        source: CallError,
    },
    /// The outcome of a commit is unknown. The ledger is read before the next decision.
    #[error("the outcome of a commit of account {account} is unknown")]
    Commit {
        /// The account.
        account: AccountKey,
        /// The call.
        #[source]
        source: CallError,
    },
    /// A receipt or status could not be written. The next reconcile writes it again.
    #[error("a receipt or the status of account {account} could not be written")]
    Project {
        /// The account.
        account: AccountKey,
        /// The call.
        #[source]
        source: CallError,
    },
    /// The committed entries could not be recorded in the history store. The receipts of charges wait for it.
    #[error("the entries of account {account} could not be recorded in the history")]
    Record {
        /// The account.
        account: AccountKey,
        /// The error.
        #[source]
        source: Box<HistoryError>,
    },
    /// A field of the Subscription is invalid.
    #[error("the Subscription of account {account} is invalid")]
    Convert {
        /// The account.
        account: AccountKey,
        /// The error.
        #[source]
        source: ConvertError,
    },
    /// The reconcile panicked because of a bug.
    #[error("the reconcile of account {account} panicked")]
    Panicked {
        /// The account.
        account: AccountKey,
    },
    /// The local clock cannot be trusted.
    #[error("commits hold: the local clock is {skew_seconds} seconds ahead of the API server's")]
    Clock {
        /// Seconds by which it is ahead.
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
            Self::Record { .. } | Self::Convert { .. } | Self::Clock { .. } | Self::Panicked { .. } => None,
        }
    }

    /// Returns its name in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Commit { .. } => "commit",
            Self::Project { .. } => "project",
            Self::Record { .. } => "record",
            Self::Convert { .. } => "convert",
            Self::Clock { .. } => "clock",
            Self::Panicked { .. } => "panic",
        }
    }
}

impl<C: Cluster> Operator<C> {
    /// Returns an operator with an empty cache.
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
            history: None,
            metrics,
            event_limit: EventLimit::default(),
            last_of_meters: Mutex::default(),
            memories: Mutex::default(),
        }
    }

    /// Returns a publisher of Events.
    pub fn publisher(&self) -> Publisher<'_, C> {
        let (cluster, limit, metrics) = (&self.cluster, &self.event_limit, &self.metrics);
        Publisher { cluster, limit, metrics, uptime: self.clock.uptime() }
    }

    /// Reconciles an account. At most one reconcile of an account may run at a time.
    ///
    /// # Errors
    /// When a call fails. The account must then be reconciled again.
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
                    self.read_the_time(key).await?;
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
            trusts_the_clock: self.trusts_the_clock(),
            history: if self.history.is_some() { HistoryMode::Recorded } else { HistoryMode::Off },
            allows_test_clocks: self.test_clock_namespaces.contains(&key.namespace),
        }
    }

    /// Commits the decision, then writes receipts, Events and the Subscription's status.
    async fn act(&self, mut view: View, action: Action, memory: &mut Memory) -> Result<Next, ReconcileError> {
        let Action { mut decision, clock } = action;
        view.keep_judged_reports(&decision);
        let before = view.ledger.clone();
        let before = before.as_ref().and_then(|before| before.ledger().ok());
        record_in_span(&view, before);
        let committed = decision.commit.take();
        let is_committed = committed.is_some();
        if let Some(next) = committed
            && let Err(error) = self.commit(&mut view, *next, &decision, memory).await
        {
            self.report_refused_commit(&view, &error).await;
            return Err(error);
        }
        self.report_ignored_clock(&view, clock, memory).await;
        let stored = view.ledger.clone();
        let ledger = stored.as_ref().and_then(|stored| stored.ledger().ok());
        let recorded = self.record(&view, ledger, memory).await;
        if self.cache.revisions.seen().epoch != memory.epoch {
            // The API server's data were restored meanwhile, so the ledger of this decision may be gone.
            return Ok(Next::AT_ONCE);
        }
        if recorded.is_err() {
            withhold_charges(&mut decision);
        }
        // A failed receipt does not block the others or the status.
        let receipts = self.write_receipts_and_events(&view, &decision, ledger, clock, memory).await;
        if is_committed {
            let resumed =
                before.zip(ledger).and_then(|(before, ledger)| project::resumption_event(before, ledger));
            let limit = ledger.map(Ledger::exhaustion_limit).unwrap_or_default();
            let events = resumed.into_iter().chain(project::events(&decision, limit)).collect();
            publish_events(&self.publisher(), &view, events).await;
        }
        publish_events(&self.publisher(), &view, arrival_events(&view, &decision)).await;
        let delay = self.show(&mut view, clock, memory).await?;
        receipts?;
        recorded?;
        let shown = Shown { basis: decision.wait_basis, time: clock.now };
        self.cache.reports.record_shown(&view.key, &view.reports, shown);
        let has_more = decision.has_more || has_room_again(ledger, &decision, memory);
        let after = if has_more { Some(Duration::ZERO) } else { delay };
        let shown_until =
            ledger.map(|ledger| project::shown_until(ledger, self.catalog.policies.gate, clock.now));
        let wake_time = decision.wake_time.into_iter().chain(shown_until).min();
        Ok(Next { wake_time: wake_time.filter(|_| !clock.is_test), after })
    }

    /// Returns whether the local clock agrees with the API server's. Refusals and statuses depend on the time,
    /// as commits do. So nothing is decided before the server's first reply, or while the clocks differ.
    fn trusts_the_clock(&self) -> bool {
        let skew_seconds = self.cluster.clock_skew_seconds();
        skew_seconds.is_some_and(|skew_seconds| skew_seconds.abs() <= CLOCK_TOLERANCE_SECONDS)
    }

    /// Calls the API server and reads its time from the reply. The skew of an earlier reply can be wrong,
    /// because the clock does not advance while a machine sleeps.
    async fn read_the_time(&self, key: &AccountKey) -> Result<(), ReconcileError> {
        match self.cluster.fetch::<CreditLedger>(&key.namespace, &key.name).await {
            Err(error) if !error.is_not_found() => Err(read(key, error)),
            _ if self.trusts_the_clock() => Ok(()),
            _ => {
                let skew_seconds = self.cluster.clock_skew_seconds().unwrap_or_default();
                Err(ReconcileError::Clock { skew_seconds })
            }
        }
    }

    /// Publishes one Event if the Subscription asks for a test clock that is ignored.
    async fn report_ignored_clock(&self, view: &View, clock: AccountClock, memory: &mut Memory) {
        let is_allowed = self.test_clock_namespaces.contains(&view.key.namespace);
        let Some(subscription) = view.subscription.as_deref() else { return };
        let ignored = ignored_test_clock(subscription, clock, is_allowed);
        if let Some(message) = ignored.clone().filter(|_| ignored != memory.ignored_clock) {
            let event = Event::warning(None, Reason::TestClockIgnored, message);
            publish_about(&self.publisher(), subscription, event).await;
        }
        memory.ignored_clock = ignored;
    }

    /// Commits the stored ledger's content again, because an administrator accepted it. The next reconcile
    /// continues from it.
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
        let recording = self.history.is_some().then(|| Memory::default().recording_of(Some(stored)));
        let commit = (shown_hash, self.writer.as_str(), recording.as_ref());
        let written = write_accepted_ledger(&self.cluster, &view.key, stored, next, commit).await;
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
        let recording = self.history.is_some().then(|| memory.recording_of(view.ledger.as_deref()));
        let written =
            write_ledger(&self.cluster, view, next, &decision.entries, &self.writer, recording.as_ref())
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

    async fn write_receipts_and_events(
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

    /// Writes the Subscription's status. If the write was postponed, returns the delay after which the account
    /// must be reconciled again.
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
            // The API server stored other content than was sent. The next reconcile reports it.
            Some((Err(_), _)) => return Ok(Some(Duration::ZERO)),
            None => LedgerState::Absent,
        };
        // The API server's creation time has no meaning for an account with a test clock.
        let mut shown = subscription.clone();
        if clock.is_test {
            Arc::make_mut(&mut shown).metadata.creation_timestamp = None;
        }
        let Some(status) = due_status(&shown, ledger_state, &self.catalog, clock.now) else {
            return Ok(None);
        };
        if !view.ledger_is_newer() && !self.is_still_stored(view).await? {
            // If the ledger is gone, the watch has not reported that yet.
            return Ok(Some(if view.ledger.is_some() { Duration::ZERO } else { STATUS_INTERVAL }));
        }
        if self.write_status(&subscription, &status).await? {
            memory.status_written = Some(self.clock.uptime());
        }
        Ok(None)
    }

    /// Reads the ledger again. Returns whether it is the version that the decision was made on. A status must
    /// show a ledger that was read after the Subscription. Otherwise the status of an older ledger could
    /// replace that of a newer one.
    async fn is_still_stored(&self, view: &mut View) -> Result<bool, ReconcileError> {
        let version =
            |view: &View| view.ledger.as_ref().map(|stored| stored.metadata.resource_version.clone());
        let decided_on = version(view);
        self.read_ledger(view).await?;
        Ok(decided_on == version(view))
    }

    /// Reads the ledger from the API server, and stores it in the cache.
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

    /// Writes a Subscription's status. Returns whether the write took effect. If the Subscription is gone, its
    /// watch reports that. If it has changed, a later reconcile tries again, usually after its watch has
    /// delivered the change.
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

    /// Reports the trouble in the Subscription's conditions. Nothing else is written.
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

    /// Reports in the Subscription's status that the API server refused a commit because of its content, so a
    /// retry does not help. Best effort: the next status replaces it.
    async fn report_refused_commit(&self, view: &View, error: &ReconcileError) {
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
        self.cache
            .revisions
            .note_latest(subscription.metadata.resource_version.as_deref().unwrap_or_default());
        if let Err(error) = self.cache.subscriptions.renew(subscription.clone()) {
            tracing::error!(%error, "a Subscription that was just written cannot be kept");
        }
    }
}

/// Records the generation and sequence that the decision was made on in the span of this reconcile.
fn record_in_span(view: &View, before: Option<&Ledger>) {
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

/// Returns whether reports that wait for room in the ledger can be charged now, because receipts were confirmed
/// since.
fn has_room_again(ledger: Option<&Ledger>, decision: &Decision, memory: &Memory) -> bool {
    let charges = ledger.into_iter().flat_map(|ledger| &ledger.unacknowledged);
    let is_awaited =
        |charge: &&Charge| !memory.acknowledged.contains(&(charge.name.clone(), charge.uid.clone()));
    decision.waits_for_receipts && !receipts_are_full(charges.filter(is_awaited))
}

/// Returns the charges whose receipt is not confirmed and whose object is not pending in the cache.
fn unconfirmed(ledger: Option<&Ledger>, view: &View, memory: &Memory) -> Vec<Charge> {
    let pending: HashSet<&str> = view.reports.iter().map(|pending| pending.version.uid.as_str()).collect();
    let charges = ledger.into_iter().flat_map(|ledger| &ledger.unacknowledged);
    charges
        .filter(|charge| !pending.contains(charge.uid.as_str()))
        .filter(|charge| !memory.acknowledged.contains(&(charge.name.clone(), charge.uid.clone())))
        .cloned()
        .collect()
}
