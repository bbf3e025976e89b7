//! Last step: schedules the next reconcile. Accounts wait in a queue that is ordered by time, without polling.
//!
//! At most one reconcile of an account runs at a time, and at most a fixed number in total. Requests that
//! arrive while an account is being reconciled share one further reconcile.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flashgate_cluster::AccountKey;
use flashgate_cluster::clock::Clock;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::operator::election::leadership::Leadership;
use crate::operator::reconcile::{Next, ReconcileError};

/// Shortest and longest delay before a failed reconcile is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));

/// Longest time for which a failed account is not reconciled although it changed. A repair takes effect within
/// that time, and many changes cannot make the account fail more often.
const LONGEST_HOLD: Duration = Duration::from_secs(5);

/// Time over which accounts are spread that failed because the API server was unreachable, when it is reachable
/// again.
const RECOVERY_SPREAD: Duration = Duration::from_secs(1);

/// Longest sleep. The wall clock may be set during a sleep, and timers do not notice that.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Time limit for running reconciles when the operator stops. It is twice the limit of one call, and less than
/// the 30 seconds after which a pod is killed.
const DRAIN_TIME: Duration = Duration::from_secs(20);

/// Longest time between two iterations of a working loop: a few of its longest sleeps.
const LONGEST_ITERATION: Duration = Duration::from_mins(2);

/// The heartbeat of this process's loop, which `/healthz` checks.
pub static HEARTBEAT: Heartbeat = Heartbeat::new();

/// The time of a loop's last iteration.
#[derive(Debug)]
pub struct Heartbeat(Mutex<Option<Instant>>);

impl Heartbeat {
    /// Returns the heartbeat of a loop that has not started.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns a message if the loop is stuck. Returns `None` while it runs or before it starts.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        self.stuck_at(Instant::now())
    }

    fn stuck_at(&self, instant: Instant) -> Option<String> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = instant.saturating_duration_since(last?);
        (age > LONGEST_ITERATION)
            .then(|| format!("the reconcile loop has not run for {} seconds", age.as_secs()))
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

/// The recent failures of an account.
#[derive(Clone, Copy, Debug)]
struct Failures {
    /// Number of failures in a row.
    count: u32,
    /// Whether the last one failed because of a call, and the server did not set a retry time.
    is_cut_off: bool,
}

/// The queue of accounts.
#[derive(Default)]
struct Queue {
    /// Accounts to reconcile now, in the order of their requests.
    ready: BTreeMap<u64, AccountKey>,
    positions: HashMap<AccountKey, u64>,
    counter: u64,
    /// Accounts to reconcile after a delay.
    delayed: BTreeSet<(Instant, AccountKey)>,
    delayed_until: HashMap<AccountKey, Instant>,
    /// Accounts whose last reconcile failed. They are not reconciled before these instants, even if they
    /// change.
    held_until: HashMap<AccountKey, Instant>,
    /// Accounts to reconcile at the time of a billing event.
    timed: BTreeSet<(Timestamp, AccountKey)>,
    wake_times: HashMap<AccountKey, Timestamp>,
}

impl Queue {
    fn push(&mut self, key: AccountKey) {
        if self.positions.contains_key(&key) {
            return;
        }
        if let Some(until) = self.held_until.get(&key).copied() {
            self.delay(key, until);
            return;
        }
        self.positions.insert(key.clone(), self.counter);
        self.ready.insert(self.counter, key);
        self.counter += 1;
    }

    /// Removes and returns the first ready account that is not running.
    fn pop(&mut self, running: &HashSet<AccountKey>) -> Option<AccountKey> {
        let position =
            self.ready.iter().find(|(_, key)| !running.contains(*key)).map(|(position, _)| *position)?;
        let key = self.ready.remove(&position)?;
        self.positions.remove(&key);
        if let Some(until) = self.delayed_until.remove(&key) {
            self.delayed.remove(&(until, key.clone()));
        }
        Some(key)
    }

    fn delay(&mut self, key: AccountKey, until: Instant) {
        let earlier = self.delayed_until.get(&key).copied();
        if earlier.is_some_and(|earlier| earlier <= until) {
            return;
        }
        if let Some(later) = earlier {
            self.delayed.remove(&(later, key.clone()));
        }
        self.delayed.insert((until, key.clone()));
        self.delayed_until.insert(key, until);
    }

    /// Delays an account to `until`, or to `held_until` if it is requested before.
    fn hold(&mut self, key: AccountKey, held_until: Instant, until: Instant) {
        let is_requested =
            self.positions.remove(&key).is_some_and(|position| self.ready.remove(&position).is_some());
        self.held_until.insert(key.clone(), held_until);
        self.delay(key, if is_requested { held_until } else { until });
    }

    /// Ends the hold of an account, and shortens its delay to `until`.
    fn release(&mut self, key: AccountKey, until: Instant) {
        self.held_until.remove(&key);
        self.delay(key, until);
    }

    fn wake_at(&mut self, key: AccountKey, time: Option<Timestamp>) {
        if let Some(before) = self.wake_times.remove(&key) {
            self.timed.remove(&(before, key.clone()));
        }
        if let Some(time) = time {
            self.timed.insert((time, key.clone()));
            self.wake_times.insert(key, time);
        }
    }

    /// Moves all due accounts to `ready`.
    fn advance(&mut self, now: Timestamp, instant: Instant) {
        while let Some((until, key)) = self.delayed.first().filter(|(until, _)| *until <= instant).cloned() {
            self.delayed.remove(&(until, key.clone()));
            self.delayed_until.remove(&key);
            self.held_until.remove(&key);
            self.push(key);
        }
        while let Some((time, key)) = self.timed.first().filter(|(time, _)| *time <= now).cloned() {
            self.timed.remove(&(time, key.clone()));
            self.wake_times.remove(&key);
            self.push(key);
        }
    }

    /// Returns the latest instant at which the queue must be checked again.
    fn next_due(&self, clock: &Clock, instant: Instant) -> Instant {
        let timed =
            self.timed.first().map_or(LONGEST_SLEEP, |(time, _)| clock.until(*time).min(LONGEST_SLEEP));
        let delayed = self.delayed.first().map(|(until, _)| *until);
        delayed.into_iter().chain([instant + timed]).min().unwrap_or(instant + LONGEST_SLEEP)
    }
}

/// Reconciles the requested accounts, at most `concurrency` at once, while this operator leads. When `stop`
/// positions true, waits for the running reconciles and returns.
///
/// `recovered` changes when the API server is reachable again. Accounts whose calls failed are then reconciled
/// within `RECOVERY_SPREAD`, regardless of their backoff.
///
/// A standby keeps its queue: it reconciles each queued account when its leadership begins.
pub async fn run<F>(
    mut requests: mpsc::UnboundedReceiver<AccountKey>,
    mut recovered: watch::Receiver<u64>,
    mut leadership: Leadership,
    mut stop: watch::Receiver<bool>,
    clock: &Clock,
    concurrency: usize,
    reconcile: F,
) where
    F: Fn(AccountKey) -> BoxFuture<'static, Result<Next, ReconcileError>>,
{
    let mut queue = Queue::default();
    let mut running = HashSet::new();
    let mut failures: HashMap<AccountKey, Failures> = HashMap::new();
    // Each reconcile is a task, so that a long computation of one account does not delay the others.
    let mut reconciles = JoinSet::new();
    while !*stop.borrow() {
        HEARTBEAT.beat();
        queue.advance(clock.now(), Instant::now());
        let leads = leadership.is_leading();
        while leads
            && running.len() < concurrency
            && let Some(key) = queue.pop(&running)
        {
            running.insert(key.clone());
            reconciles.spawn(catch_panic(key.clone(), reconcile(key)));
        }
        let due = queue.next_due(clock, Instant::now());
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            Some(Ok((key, result))) = reconciles.join_next() => {
                running.remove(&key);
                schedule_next(&mut queue, &mut failures, key, result);
            }
            key = requests.recv() => match key {
                Some(key) => {
                    queue.push(key);
                    while let Ok(key) = requests.try_recv() {
                        queue.push(key);
                    }
                }
                None => break,
            },
            Ok(()) = recovered.changed() => recover(&mut queue, &mut failures),
            () = leadership.begins(), if !leads => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }
    let drained = async { while reconciles.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIME, drained).await.is_err() {
        tracing::warn!(
            "running reconciles were aborted because they did not end in time; the next leader repeats them"
        );
    }
}

/// Runs the reconcile of an account. A panic counts as a failure of this account and does not affect others.
async fn catch_panic(
    key: AccountKey,
    reconcile: BoxFuture<'static, Result<Next, ReconcileError>>,
) -> (AccountKey, Result<Next, ReconcileError>) {
    let result = AssertUnwindSafe(reconcile).catch_unwind().await;
    let result = result.unwrap_or_else(|_| Err(ReconcileError::Panicked { account: key.clone() }));
    (key, result)
}

/// Schedules the next reconcile of an account.
fn schedule_next(
    queue: &mut Queue,
    failures: &mut HashMap<AccountKey, Failures>,
    key: AccountKey,
    result: Result<Next, ReconcileError>,
) {
    match result {
        Ok(Next { wake_time, after }) => {
            failures.remove(&key);
            queue.wake_at(key.clone(), wake_time);
            match after {
                Some(Duration::ZERO) => queue.push(key),
                Some(after) => queue.delay(key, Instant::now() + after),
                None => {}
            }
        }
        Err(error) => {
            let count = failures.get(&key).map_or(0, |failures| failures.count).saturating_add(1);
            let retry_after = error.call().and_then(flashgate_cluster::CallError::retry_after);
            let delay = backoff(count, &key).max(retry_after.unwrap_or_default().min(BACKOFF.1));
            let is_conflict = error.call().is_some_and(flashgate_cluster::CallError::is_conflict);
            if is_conflict && count == 1 {
                tracing::debug!(account = %key, %error, "another writer changed the object first; reading it again");
            } else {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(account = %key, error, ?delay, "reconcile failed; trying again");
            }
            let hold = if retry_after.is_some() { delay } else { delay.min(LONGEST_HOLD) };
            let now = Instant::now();
            queue.hold(key.clone(), now + hold, now + delay);
            let is_cut_off = error.call().is_some_and(|call| retry_after.is_none() && !call.is_conflict());
            failures.insert(key, Failures { count, is_cut_off });
        }
    }
}

/// Schedules the accounts that failed while the API server was unreachable, because it answers again.
fn recover(queue: &mut Queue, failures: &mut HashMap<AccountKey, Failures>) {
    let cut_off: Vec<AccountKey> =
        failures.iter().filter(|(_, failures)| failures.is_cut_off).map(|(key, _)| key.clone()).collect();
    for key in cut_off {
        failures.remove(&key);
        let until = Instant::now() + RECOVERY_SPREAD.mul_f64(spread_factor(&key, 0));
        queue.release(key, until);
    }
}

/// Returns the delay after the `count`th failure in a row. It doubles each time, with a jitter by account, so
/// that accounts that failed together are not retried together.
fn backoff(count: u32, key: &AccountKey) -> Duration {
    let (least, most) = BACKOFF;
    let doubled = least.saturating_mul(2_u32.saturating_pow(count.saturating_sub(1).min(16))).min(most);
    doubled.mul_f64(0.5 + spread_factor(key, count) / 2.0)
}

/// Returns a number from 0 to 1 that depends on the account and on `count`.
fn spread_factor(key: &AccountKey, count: u32) -> f64 {
    let spread =
        key.name.bytes().chain(key.namespace.bytes()).fold(u32::from(count.to_le_bytes()[0]), |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
    f64::from(spread % 1_000) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> AccountKey {
        AccountKey { namespace: "default".into(), name: name.into() }
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    fn ready(queue: &mut Queue) -> Vec<String> {
        let running = HashSet::new();
        std::iter::from_fn(|| queue.pop(&running)).map(|key| key.name).collect()
    }

    #[test]
    fn three_requests_for_an_account_are_one_reconcile_in_the_order_of_the_first() {
        let mut queue = Queue::default();
        for name in ["a", "b", "a", "a"] {
            queue.push(key(name));
        }
        assert_eq!(ready(&mut queue), ["a", "b"]);
    }

    #[test]
    fn an_account_that_is_running_stays_queued() {
        let mut queue = Queue::default();
        queue.push(key("a"));
        queue.push(key("b"));
        let running = HashSet::from([key("a")]);
        assert_eq!(queue.pop(&running), Some(key("b")));
        assert_eq!(queue.pop(&running), None);
        assert_eq!(ready(&mut queue), ["a"]);
    }

    #[test]
    fn an_account_is_ready_at_its_time_and_not_before() {
        let mut queue = Queue::default();
        let instant = Instant::now();
        queue.wake_at(key("a"), Some(time(100)));
        queue.wake_at(key("a"), Some(time(200)));
        queue.advance(time(199), instant);
        assert!(ready(&mut queue).is_empty());
        queue.advance(time(200), instant);
        assert_eq!(ready(&mut queue), ["a"]);
        queue.advance(time(300), instant);
        assert!(ready(&mut queue).is_empty(), "once");
    }

    #[test]
    fn a_failure_is_delayed_and_the_earlier_of_two_delays_counts() {
        let mut queue = Queue::default();
        let instant = Instant::now();
        let later = |seconds| instant + Duration::from_secs(seconds);
        queue.delay(key("a"), later(5));
        queue.delay(key("a"), later(9));
        queue.advance(time(0), later(4));
        assert!(ready(&mut queue).is_empty());
        queue.advance(time(0), later(5));
        assert_eq!(ready(&mut queue), ["a"]);
        queue.advance(time(0), later(9));
        assert!(ready(&mut queue).is_empty());
    }

    #[test]
    fn changes_of_a_failed_account_do_not_skip_its_backoff_but_shorten_it_to_the_hold() {
        let mut queue = Queue::default();
        let instant = Instant::now();
        let later = |seconds| instant + Duration::from_secs(seconds);
        queue.hold(key("a"), later(5), later(60));
        for second in 1..5 {
            queue.push(key("a"));
            queue.advance(time(0), later(second));
            assert!(ready(&mut queue).is_empty(), "second {second}");
        }
        queue.advance(time(0), later(5));
        assert_eq!(ready(&mut queue), ["a"]);
        queue.push(key("b"));
        queue.hold(key("b"), later(10), later(65));
        queue.advance(time(0), later(10));
        assert_eq!(ready(&mut queue), ["b"], "it was asked for while it ran");
        queue.hold(key("c"), later(15), later(70));
        queue.advance(time(0), later(69));
        assert!(ready(&mut queue).is_empty(), "nothing changed about it");
        queue.advance(time(0), later(70));
        assert_eq!(ready(&mut queue), ["c"]);
    }

    fn failed(
        queue: &mut Queue,
        failures: &mut HashMap<AccountKey, Failures>,
        retry_after: Option<Duration>,
    ) {
        let source = flashgate_cluster::CallError::Unavailable {
            call: "get".to_owned(),
            code: 503,
            message: String::new(),
            retry_after,
        };
        let error = ReconcileError::Read { account: key("a"), source };
        schedule_next(queue, failures, key("a"), Err(error));
    }

    #[test]
    fn accounts_that_failed_while_the_server_was_unreachable_are_reconciled_when_it_is_back() {
        let (mut queue, mut failures) = (Queue::default(), HashMap::new());
        for _ in 0..30 {
            failed(&mut queue, &mut failures, None);
        }
        recover(&mut queue, &mut failures);
        queue.advance(time(0), Instant::now() + RECOVERY_SPREAD);
        assert_eq!(ready(&mut queue), ["a"]);
        failed(&mut queue, &mut failures, Some(Duration::from_secs(30)));
        recover(&mut queue, &mut failures);
        queue.advance(time(0), Instant::now() + Duration::from_secs(20));
        assert!(ready(&mut queue).is_empty(), "the server said when");
    }

    #[test]
    fn an_account_with_a_retry_time_of_the_server_is_not_reconciled_earlier() {
        let mut queue = Queue::default();
        let instant = Instant::now();
        let later = |seconds| instant + Duration::from_secs(seconds);
        queue.push(key("a"));
        queue.wake_at(key("a"), Some(time(100)));
        queue.hold(key("a"), later(5), later(5));
        queue.push(key("a"));
        queue.advance(time(100), later(4));
        assert!(ready(&mut queue).is_empty());
        queue.advance(time(100), later(5));
        assert_eq!(ready(&mut queue), ["a"]);
        queue.push(key("a"));
        assert_eq!(ready(&mut queue), ["a"]);
    }

    #[test]
    fn delays_double_up_to_a_minute_and_differ_between_accounts() {
        let (least, most) = BACKOFF;
        for count in 1..40 {
            let delay = backoff(count, &key("a"));
            assert!(delay >= least / 2 && delay <= most, "{delay:?}");
        }
        assert!(backoff(30, &key("a")) >= most / 2);
        let distinct: HashSet<Duration> =
            (0..20).map(|index| backoff(8, &key(&format!("tenant-{index}")))).collect();
        assert!(distinct.len() > 10, "{distinct:?}");
    }

    #[tokio::test]
    async fn a_standby_keeps_its_queue_until_leadership_begins() {
        let (until, leadership) = Leadership::with_election();
        let (ask, asked) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let (_recover, recovered) = watch::channel(0);
        let (done, mut reconciled) = mpsc::unbounded_channel();
        let reconcile = move |key: AccountKey| {
            let done = done.clone();
            async move {
                done.send(key.name).expect("the receiver exists");
                Ok(Next::default())
            }
            .boxed()
        };
        let clock = Clock::from_fn(|| time(0));
        let begins = leadership.clone();
        let user = async {
            for name in ["a", "b", "a"] {
                ask.send(key(name)).expect("asked");
            }
            tokio::task::yield_now().await;
            assert!(reconciled.try_recv().is_err(), "nothing before it leads");
            until.send_replace(Instant::now() + Duration::from_hours(1));
            assert_eq!(reconciled.recv().await.as_deref(), Some("a"));
            assert_eq!(reconciled.recv().await.as_deref(), Some("b"));
            until.send_replace(Instant::now());
            ask.send(key("c")).expect("asked");
            tokio::task::yield_now().await;
            assert!(reconciled.try_recv().is_err(), "nothing after it led, and nothing twice");
            stop.send(true).expect("stopped");
        };
        tokio::join!(run(asked, recovered, begins, stopped, &clock, 2, reconcile), user);
        assert!(reconciled.try_recv().is_err());
        assert!(HEARTBEAT.0.lock().expect("heartbeat").is_some(), "each iteration is a beat");
    }

    /// Runs a leading loop with `reconcile` until both accounts `a` and `b` have reported that they are done.
    async fn run_two(reconcile: fn(AccountKey, mpsc::UnboundedSender<String>)) {
        let (ask, asked) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let (_recover, recovered) = watch::channel(0);
        let (done, mut reconciled) = mpsc::unbounded_channel();
        let reconcile = move |key: AccountKey| {
            let done = done.clone();
            async move {
                reconcile(key, done);
                Ok(Next::default())
            }
            .boxed()
        };
        let clock = Clock::from_fn(|| time(0));
        let user = async {
            ask.send(key("a")).expect("asked");
            ask.send(key("b")).expect("asked");
            let mut names = vec![reconciled.recv().await, reconciled.recv().await];
            names.sort();
            assert_eq!(names, [Some("a".to_owned()), Some("b".to_owned())]);
            stop.send(true).expect("stopped");
        };
        tokio::join!(
            run(asked, recovered, Leadership::without_election(), stopped, &clock, 2, reconcile),
            user
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn an_account_that_computes_for_long_does_not_delay_others() {
        static MEETING: Mutex<bool> = Mutex::new(false);
        static MET: std::sync::Condvar = std::sync::Condvar::new();
        run_two(|key, done| {
            let mut met = MEETING.lock().expect("lock");
            if key.name == "b" {
                *met = true;
                MET.notify_all();
            } else {
                // It computes, and does not yield, until the other account was reconciled.
                (met, _) = MET.wait_timeout_while(met, Duration::from_secs(10), |met| !*met).expect("lock");
            }
            let message = if *met { key.name } else { "the other account waits for this one".to_owned() };
            done.send(message).expect("the receiver exists");
        })
        .await;
    }

    #[tokio::test]
    async fn a_reconcile_that_panics_is_tried_again_and_does_not_stop_others() {
        static FIRST: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);
        run_two(|key, done| {
            let is_first = key.name == "a" && FIRST.swap(false, std::sync::atomic::Ordering::SeqCst);
            assert!(!is_first, "the first reconcile of this account panics");
            done.send(key.name).expect("the receiver exists");
        })
        .await;
    }

    #[test]
    fn a_loop_is_stuck_if_it_does_not_run_for_longer_than_its_sleeps() {
        let heartbeat = Heartbeat::new();
        let after =
            |seconds| heartbeat.stuck_at(Instant::now() + LONGEST_ITERATION + Duration::from_secs(seconds));
        assert_eq!(after(60), None, "it has not begun");
        heartbeat.beat();
        assert!(LONGEST_ITERATION > LONGEST_SLEEP * 2);
        assert_eq!(heartbeat.stuck_at(Instant::now() + LONGEST_SLEEP), None);
        assert_eq!(after(1).as_deref(), Some("the reconcile loop has not run for 121 seconds"));
        heartbeat.beat();
        assert_eq!(heartbeat.stuck(), None);
    }
}
