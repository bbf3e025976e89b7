//! A reconcile: observe, convert, decide, commit, receipts, publish, wake. A bare sequence; what is chosen is chosen
//! in decide.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flashgate_ledger::bounds::receipts_are_full;
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::decide::{Decision, decide};
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::facts::Asked;
use flashgate_ledger::ledger::{Charge, Ledger, UNACKNOWLEDGED_LIMIT};
use jiff::Timestamp;

use crate::api::{CreditLedger, LedgerReference, Subscription, SubscriptionStatus};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::operator::cluster::{AccountKey, CallError, Cluster, Version};
use crate::operator::commit::{write_accepted_ledger, write_ledger};
use crate::operator::convert::{self, ConvertError};
use crate::operator::decide::{Knowledge, Lack, lack};
use crate::operator::facts::{AccountClock, facts_of, ignored_test_clock, is_there, not_before_arrivals};
use crate::operator::inbox::Inbox;
use crate::operator::inbox::report_index::Shown;
use crate::operator::observe::Seen;
use crate::operator::project::{self, Book, Note, NoteKind, Trouble};
use crate::operator::publish::limit::EventLimit;
use crate::operator::publish::{Publisher, announce, announce_about, due_status, future_notes};
use crate::operator::reason::Reason;
use crate::operator::receipts::{confirm_charges, write_receipts};

/// How far the local clock may be from the API server's before commits hold.
pub const CLOCK_TOLERANCE_SECONDS: i64 = 60;

/// Annotation of a CreditLedger with which an administrator accepts its content, at this sequence, as the truth.
pub const ACCEPT_SEQUENCE: &str = "billing.flashgate.dev/accept-sequence";

/// Least time between two writes of one Subscription's status while more is to come.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// What a reconcile needs besides the account.
pub struct Operator<C> {
    /// The cluster.
    pub cluster: C,
    /// What the watches brought.
    pub inbox: Arc<Inbox>,
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

/// What is remembered of an account between reconciles; losing it costs reads, never meaning.
#[derive(Default)]
struct Memory {
    /// Of which epoch of the server's data it is; it says nothing of another.
    epoch: u64,
    /// Whether the outcome of a commit is unknown: the ledger is then read before anything is decided.
    is_in_doubt: bool,
    /// Charged reports whose receipt is confirmed.
    acknowledged: HashSet<(String, String)>,
    /// What was said last of a test clock that is ignored.
    ignored_clock: Option<String>,
    /// When the Subscription's status was written last, by the clock's uptime.
    status_written: Option<Duration>,
}

impl Memory {
    fn is_worth_keeping(&self, uptime: Duration) -> bool {
        self.is_in_doubt
            || !self.acknowledged.is_empty()
            || self.ignored_clock.is_some()
            || self.status_written.is_some_and(|written| uptime.saturating_sub(written) < STATUS_INTERVAL)
    }
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

/// What was decided, or why nothing may be.
enum Decided {
    On(Box<Choice>),
    /// The stored ledger is to be taken for the truth, as an administrator asks.
    Accepts(Box<Ledger>),
    Troubled(Trouble),
}

/// A decision with what it rests on.
struct Choice {
    before: Option<Ledger>,
    decision: Decision,
    clock: AccountClock,
}

impl<C: Cluster> Operator<C> {
    /// Returns an operator that remembers nothing.
    pub fn new(cluster: C, catalog: Catalog, clock: Clock, writer: String) -> Self {
        let metrics = Metrics::of(&catalog);
        Self {
            cluster,
            inbox: Arc::default(),
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
        let epoch = self.inbox.revisions.seen().epoch;
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
        let mut seen = Seen::in_inbox(&self.inbox, key, self.clock.now());
        if self.hold || seen.is_empty() {
            return Ok(Next::default());
        }
        if !self.knows_the_time() {
            self.ask_the_time(key).await?;
            return Ok(Next::AT_ONCE);
        }
        if memory.is_in_doubt {
            self.fetch_ledger(&mut seen).await?;
            memory.is_in_doubt = false;
        }
        let decided = match self.decide(&mut seen, memory).await? {
            Decided::On(decided) => *decided,
            Decided::Accepts(ledger) => return self.accept(&seen, *ledger).await,
            Decided::Troubled(trouble) => return self.say_trouble(&seen, trouble).await,
        };
        let Choice { before, mut decision, clock } = decided;
        seen.keep_judged_reports(&decision);
        tell_span(&seen, before.as_ref());
        if must_be_named_first(&seen, &decision) {
            return self.name_ledger(&mut seen, before.as_ref(), clock).await;
        }
        let committed = decision.commit.take();
        if let Some(next) = &committed
            && let Err(error) = self.commit(&mut seen, next, &decision, memory).await
        {
            self.say_refusal(&seen, &error).await;
            return Err(error);
        }
        self.mention_ignored_clock(&seen, clock, memory).await;
        let ledger = committed.as_deref().or(before.as_ref());
        // A receipt that cannot be written keeps nobody from seeing the rest.
        let receipts = self.give_receipts(&seen, &decision, ledger, clock, memory).await;
        if committed.is_some() {
            let resumed = before
                .as_ref()
                .zip(ledger)
                .and_then(|(before, ledger)| project::resumption_note(before, ledger));
            let notes = resumed.into_iter().chain(project::notes(&decision)).collect();
            announce(&self.publisher(), &seen, notes).await;
        }
        announce(&self.publisher(), &seen, future_notes(&seen, &decision)).await;
        let delay = self.show(&mut seen, ledger, clock, memory).await?;
        receipts?;
        let shown = Shown { basis: decision.wait_basis, time: clock.now };
        self.inbox.reports.note_shown(key, &seen.reports, shown);
        let has_more = decision.has_more || has_room_again(ledger, &decision, memory);
        let after = if has_more { Some(Duration::ZERO) } else { delay };
        let shown_until = ledger.map(|ledger| project::shown_until(ledger, clock.now));
        let wake_time = decision.wake_time.into_iter().chain(shown_until).min();
        Ok(Next { wake_time: wake_time.filter(|_| !clock.is_test), after })
    }

    /// Decides, and reads from the server what the decision lacks, until it lacks nothing.
    async fn decide(&self, seen: &mut Seen, memory: &Memory) -> Result<Decided, ReconcileError> {
        let key = seen.key.clone();
        let read = |source| read(&key, source);
        loop {
            let before = match held_book(seen) {
                Ok(Held::Nothing) => None,
                Ok(Held::Sound(ledger)) => Some(*ledger),
                Ok(Held::Accepted(ledger)) if seen.ledger_is_fresh => return Ok(Decided::Accepts(ledger)),
                Ok(Held::Accepted(_)) => {
                    self.fetch_ledger(seen).await?;
                    continue;
                }
                Err(_) if !seen.ledger_is_confirmed => {
                    self.fetch_ledger(seen).await?;
                    continue;
                }
                Err(Trouble::Missing { .. }) if !seen.subscription_is_fresh => {
                    seen.fetch_subscription(&self.cluster).await.map_err(read)?;
                    seen.ledger_is_confirmed = true;
                    continue;
                }
                Err(trouble) => return Ok(Decided::Troubled(trouble)),
            };
            if is_doubtful(seen, before.as_ref()) && !seen.subscription_is_fresh {
                seen.fetch_subscription(&self.cluster).await.map_err(read)?;
                continue;
            }
            let mut clock = self.account_clock(seen, before.as_ref());
            let mut facts =
                facts_of(seen, before.as_ref(), memory.acknowledged.iter().cloned().collect(), clock)
                    .map_err(|source| ReconcileError::Convert { account: key.clone(), source })?;
            clock.now = not_before_arrivals(&facts, clock.now);
            let decision = match decide(before.as_ref(), &facts, &self.catalog, clock.now) {
                Ok(decision) if seen.reports.index.rests_on(decision.wait_basis) => Ok(decision),
                Ok(_) => {
                    facts.asked = Asked::All;
                    decide(before.as_ref(), &facts, &self.catalog, clock.now)
                }
                Err(violation) => Err(violation),
            };
            let decision = match decision {
                Ok(decision) => decision,
                Err(violation) => {
                    if !seen.ledger_is_fresh {
                        self.fetch_ledger(seen).await?;
                        continue;
                    }
                    return Ok(Decided::Troubled(Trouble::from(&violation)));
                }
            };
            let knowledge = Knowledge {
                ledger_is_fresh: seen.ledger_is_fresh,
                subscription_is_fresh: seen.subscription_is_fresh,
                has_subscription: seen.subscription.as_deref().is_some_and(is_there),
            };
            match lack(before.as_ref(), &decision, knowledge) {
                Lack::Nothing => return Ok(Decided::On(Box::new(Choice { before, decision, clock }))),
                Lack::Ledger => self.fetch_ledger(seen).await?,
                Lack::Subscription => seen.fetch_subscription(&self.cluster).await.map_err(read)?,
            }
        }
    }

    /// Returns whether the local clock can be trusted. Refusals and statuses rest on it as commits do; so nothing is
    /// decided before the server's first reply, nor while its clock tells another time.
    fn knows_the_time(&self) -> bool {
        let skew_seconds = self.cluster.clock_skew_seconds();
        skew_seconds.is_some_and(|skew_seconds| skew_seconds.abs() <= CLOCK_TOLERANCE_SECONDS)
    }

    /// Calls the server for the sake of its reply's date: what was reckoned from the last one may be wrong, since a
    /// machine that sleeps counts no time.
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

    fn account_clock(&self, seen: &Seen, before: Option<&Ledger>) -> AccountClock {
        let is_allowed = self.test_clock_namespaces.contains(&seen.key.namespace);
        AccountClock::of(seen.subscription.as_deref(), before, is_allowed, seen.time)
    }

    /// Says once that the Subscription asks for a test clock that is not its account's.
    async fn mention_ignored_clock(&self, seen: &Seen, clock: AccountClock, memory: &mut Memory) {
        let is_allowed = self.test_clock_namespaces.contains(&seen.key.namespace);
        let Some(subscription) = seen.subscription.as_deref() else { return };
        let ignored = ignored_test_clock(subscription, clock, is_allowed);
        if let Some(message) = ignored.clone().filter(|_| ignored != memory.ignored_clock) {
            let note =
                Note { object: None, kind: NoteKind::Warning, reason: Reason::TestClockIgnored, message };
            announce_about(&self.publisher(), subscription, note).await;
        }
        memory.ignored_clock = ignored;
    }

    async fn name_ledger(
        &self,
        seen: &mut Seen,
        ledger: Option<&Ledger>,
        clock: AccountClock,
    ) -> Result<Next, ReconcileError> {
        let mut memory = Memory::default();
        self.show(seen, ledger, clock, &mut memory).await?;
        Ok(Next::AT_ONCE)
    }

    /// Commits the stored ledger's content anew, since an administrator accepted it; then everything goes on from it.
    async fn accept(&self, seen: &Seen, ledger: Ledger) -> Result<Next, ReconcileError> {
        let Some(stored) = &seen.ledger else { return Ok(Next::default()) };
        if let Err(violation) = ledger.check() {
            return self.say_trouble(seen, Trouble::from(&violation)).await;
        }
        let next = Ledger { sequence: ledger.sequence.saturating_add(1), ..ledger };
        let shown_hash = seen.shown_ledger().map(|shown| shown.hash.as_str()).unwrap_or_default();
        let written =
            write_accepted_ledger(&self.cluster, &seen.key, stored, &next, shown_hash, &self.writer).await;
        let written =
            written.map_err(|source| ReconcileError::Commit { account: seen.key.clone(), source })?;
        tracing::warn!(account = %seen.key, sequence = stored.spec.sequence, "an administrator accepted the ledger");
        self.keep_ledger(&written);
        Ok(Next::AT_ONCE)
    }

    async fn commit(
        &self,
        seen: &mut Seen,
        next: &Ledger,
        decision: &Decision,
        memory: &mut Memory,
    ) -> Result<(), ReconcileError> {
        let written = write_ledger(&self.cluster, seen, next, &decision.entries, &self.writer)
            .await
            .map_err(|source| ReconcileError::Commit { account: seen.key.clone(), source })?;
        self.metrics.count_commit(decision);
        self.keep_ledger(&written);
        seen.ledger = Some(written);
        seen.ledger_is_confirmed = true;
        memory.acknowledged.retain(|(name, uid)| {
            next.unacknowledged.iter().any(|charge| charge.name == *name && charge.uid == *uid)
        });
        Ok(())
    }

    async fn give_receipts(
        &self,
        seen: &Seen,
        decision: &Decision,
        ledger: Option<&Ledger>,
        clock: AccountClock,
        memory: &mut Memory,
    ) -> Result<(), ReconcileError> {
        let mut receipts =
            write_receipts(&self.cluster, &self.inbox, seen, decision, ledger, clock.now).await;
        memory.acknowledged.extend(receipts.acknowledged.drain(..));
        for (_, refusal) in &receipts.refused {
            self.metrics.count_refusal(FactKind::UsageReport, refusal.reason);
        }
        let refusals = receipts.refused.iter().map(|(name, refusal)| project::refusal_note(name, refusal));
        announce(&self.publisher(), seen, refusals.collect()).await;
        if decision.waits_for_receipts {
            let unconfirmed = unconfirmed(ledger, seen, memory);
            if unconfirmed.len() >= UNACKNOWLEDGED_LIMIT / 2 || receipts_are_full(&unconfirmed) {
                let confirmed =
                    confirm_charges(&self.cluster, &seen.key.namespace, &unconfirmed, clock.now).await;
                memory.acknowledged.extend(confirmed.acknowledged);
                receipts.failure = receipts.failure.or(confirmed.failure);
            }
        }
        match receipts.failure {
            None => Ok(()),
            Some(source) => Err(ReconcileError::Project { account: seen.key.clone(), source }),
        }
    }

    /// Writes the Subscription's status. Returns after what time it is to be looked at again, if it was put off.
    async fn show(
        &self,
        seen: &mut Seen,
        ledger: Option<&Ledger>,
        clock: AccountClock,
        memory: &mut Memory,
    ) -> Result<Option<Duration>, ReconcileError> {
        let Some(subscription) = seen.subscription.clone() else { return Ok(None) };
        let since = memory.status_written.map(|written| self.clock.uptime().saturating_sub(written));
        if let Some(since) = since.filter(|since| *since < STATUS_INTERVAL) {
            return Ok(Some(STATUS_INTERVAL.saturating_sub(since)));
        }
        let stored = seen.ledger.clone();
        let book = match (ledger, &stored) {
            (Some(ledger), Some(stored)) => Book::Held { ledger, reference: reference(stored) },
            _ => Book::Absent,
        };
        // The server's creation time says nothing to an account that lives by a test clock.
        let mut shown = subscription.clone();
        if clock.is_test {
            Arc::make_mut(&mut shown).metadata.creation_timestamp = None;
        }
        let Some(status) = due_status(&shown, book, &self.catalog, clock.now) else { return Ok(None) };
        if !seen.ledger_is_confirmed && !self.is_still_stored(seen).await? {
            // Where it is gone, the watch has yet to say so.
            return Ok(Some(if seen.ledger.is_some() { Duration::ZERO } else { STATUS_INTERVAL }));
        }
        if self.write_status(&subscription, &status).await? {
            memory.status_written = Some(self.clock.uptime());
        }
        Ok(None)
    }

    /// Reads the ledger again; returns whether it is the version that was decided on. What a status shows must have
    /// been confirmed after the Subscription was read: else an older ledger could be shown over a newer one.
    async fn is_still_stored(&self, seen: &mut Seen) -> Result<bool, ReconcileError> {
        let version =
            |seen: &Seen| seen.ledger.as_ref().map(|stored| stored.metadata.resource_version.clone());
        let decided_on = version(seen);
        self.fetch_ledger(seen).await?;
        Ok(decided_on == version(seen))
    }

    /// Reads the ledger from the server, and keeps it for the reconciles to come.
    async fn fetch_ledger(&self, seen: &mut Seen) -> Result<(), ReconcileError> {
        let fetched = seen.fetch_ledger(&self.cluster).await;
        fetched.map_err(|source| ReconcileError::Read { account: seen.key.clone(), source })?;
        if let Some(stored) = &seen.ledger {
            self.keep_ledger(stored);
        }
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
                if let Some(note) = project::status_note(subscription.status.as_ref(), status) {
                    announce_about(&self.publisher(), subscription, note).await;
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
    async fn say_trouble(&self, seen: &Seen, trouble: Trouble) -> Result<Next, ReconcileError> {
        if trouble.is_violation() {
            self.metrics.count_trouble();
            tracing::error!(account = %seen.key, ?trouble, "nothing is written for this account");
        } else {
            tracing::warn!(account = %seen.key, ?trouble, "nothing is written for this account");
        }
        if let Some(subscription) = &seen.subscription
            && let Some(status) =
                due_status(subscription, Book::Troubled(trouble), &self.catalog, self.clock.now())
        {
            self.write_status(subscription, &status).await?;
        }
        Ok(Next::default())
    }

    /// Shows that a commit was refused for what it says: whoever waits for it would wait for ever. Best effort; the next
    /// status takes it back.
    async fn say_refusal(&self, seen: &Seen, error: &ReconcileError) {
        let Some(CallError::Refused { message, .. }) = error.call() else { return };
        let Some(subscription) = &seen.subscription else { return };
        let book = Book::Troubled(Trouble::Refused(message.clone()));
        if let Some(status) = due_status(subscription, book, &self.catalog, self.clock.now())
            && let Err(error) = self.write_status(subscription, &status).await
        {
            tracing::debug!(%error, "the refusal of a commit could not be shown");
        }
    }

    fn keep_ledger(&self, ledger: &CreditLedger) {
        self.inbox.revisions.note_latest(ledger.metadata.resource_version.as_deref().unwrap_or_default());
        if let Err(error) = self.inbox.ledgers.renew(ledger.clone()) {
            tracing::error!(%error, "a ledger that was just written cannot be kept");
        }
    }

    fn keep_subscription(&self, subscription: &Subscription) {
        if let Err(error) = self.inbox.subscriptions.renew(subscription.clone()) {
            tracing::error!(%error, "a Subscription that was just written cannot be kept");
        }
    }
}

/// Tells the span of this reconcile what it was decided on.
fn tell_span(seen: &Seen, before: Option<&Ledger>) {
    let span = tracing::Span::current();
    span.record("sequence", before.map_or(0, |ledger| ledger.sequence));
    span.record(
        "generation",
        seen.subscription.as_ref().and_then(|subscription| subscription.metadata.generation),
    );
}

/// A book that was seen.
enum Held {
    /// There is none.
    Nothing,
    /// It is what its hash was taken of, and not older than what was shown.
    Sound(Box<Ledger>),
    /// An administrator accepted its content as the truth.
    Accepted(Box<Ledger>),
}

/// Reads the book that was seen, or says what is wrong with it.
fn held_book(seen: &Seen) -> Result<Held, Trouble> {
    let shown = seen.shown_ledger();
    let Some(stored) = seen.ledger.as_deref() else {
        return shown.map_or(Ok(Held::Nothing), |shown| Err(Trouble::Missing { uid: shown.uid.clone() }));
    };
    let name = &seen.key.name;
    if is_accepted(stored) {
        return convert::accepted_ledger_from_wire(name, &stored.spec)
            .map(|ledger| Held::Accepted(Box::new(ledger)))
            .map_err(|error| Trouble::from(&error));
    }
    let forgiven = stored.spec.accepted.as_ref().map(|accepted| accepted.shown_hash.as_str());
    let is_later = |shown: &&LedgerReference| {
        shown.sequence > stored.spec.sequence && forgiven != Some(shown.hash.as_str())
    };
    if let Some(shown) = shown.filter(is_later) {
        return Err(Trouble::Regression { held: stored.spec.sequence, shown: shown.sequence });
    }
    convert::ledger_from_wire(name, &stored.spec)
        .map(|ledger| Held::Sound(Box::new(ledger)))
        .map_err(|error| Trouble::from(&error))
}

/// Returns whether an administrator accepted the content of this very version as the truth.
fn is_accepted(stored: &CreditLedger) -> bool {
    let annotations = stored.metadata.annotations.as_ref();
    let sequence = annotations.and_then(|annotations| annotations.get(ACCEPT_SEQUENCE));
    sequence.is_some_and(|sequence| *sequence == stored.spec.sequence.to_string())
}

/// Returns whether the Subscription has yet to name this ledger before anything more is committed on it: else a
/// ledger that is lost could be begun anew unnoticed.
fn must_be_named_first(seen: &Seen, decision: &Decision) -> bool {
    decision.commit.is_some()
        && seen.ledger.is_some()
        && seen.subscription.is_some()
        && !seen.subscription_names_ledger()
}

fn read(key: &AccountKey, source: CallError) -> ReconcileError {
    ReconcileError::Read { account: key.clone(), source }
}

/// Returns whether what is known of the Subscription may not be decided on: it is older than what the ledger was
/// decided on, or another object, or gone.
fn is_doubtful(seen: &Seen, before: Option<&Ledger>) -> bool {
    let Some(before) = before else { return false };
    match &seen.subscription {
        None => false,
        Some(subscription) => {
            let uid = subscription.metadata.uid.as_deref().unwrap_or_default();
            let generation = subscription.metadata.generation.unwrap_or_default();
            uid != before.subscription.uid || generation < before.subscription.generation
        }
    }
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
fn unconfirmed(ledger: Option<&Ledger>, seen: &Seen, memory: &Memory) -> Vec<Charge> {
    let pending: HashSet<&str> = seen.reports.iter().map(|pending| pending.version.uid.as_str()).collect();
    let charges = ledger.into_iter().flat_map(|ledger| &ledger.unacknowledged);
    charges
        .filter(|charge| !pending.contains(charge.uid.as_str()))
        .filter(|charge| !memory.acknowledged.contains(&(charge.name.clone(), charge.uid.clone())))
        .cloned()
        .collect()
}
