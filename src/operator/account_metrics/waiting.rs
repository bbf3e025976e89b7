//! Metrics of pending objects that need attention: usage that could be charged, objects without a Subscription,
//! and objects whose creation time is in the future.
//!
//! The metrics are computed from the cache, not from conditions. They are right even if the account of the
//! object is stuck or statuses cannot be written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use flashgate_api::{CreditAdjustment, CreditPack, Payment, Subscription, TEST_CLOCK, UsageReport};
use flashgate_cluster::AccountKey;
use jiff::{SignedDuration, Timestamp};
use kube::{Resource as _, ResourceExt as _};
use prometheus_client::encoding::DescriptorEncoder;

use super::show;
use crate::metrics::description;
use crate::operator::cache::{Cache, CachedKind};

/// Seconds by which an object's creation time may be ahead of the clock (Law 0).
const AHEAD_SECONDS: i64 = 60;

/// Writes the metrics of pending objects at `now`.
pub(super) fn show_waiting(
    encoder: &mut DescriptorEncoder<'_>,
    cache: &Cache,
    now: Timestamp,
) -> fmt::Result {
    let accounts = Accounts::of(cache);
    let mut chargeable = Tally::default();
    cache.reports.for_each(|key, report| {
        let fact = &report.fact;
        let begin = accounts.begin(key);
        let since = begin.map(|begin| begin.max(fact.arrival).max(fact.window.end_time));
        if let Some(since) = since.filter(|since| *since <= now) {
            chargeable.add(since);
        }
    });
    show(encoder, &description::CHARGEABLE, [(vec![], chargeable.count)])?;
    let oldest = chargeable.oldest.map(|time| (vec![], time.as_second()));
    show(encoder, &description::CHARGEABLE_SINCE, oldest)?;
    let has_subscription = |key: &AccountKey| accounts.has_subscription(key);
    // A Payment needs only an account, and an account outlives its Subscription.
    let has_account = |key: &AccountKey| has_subscription(key) || cache.ledgers.of(key).is_some();
    let orphans = [
        orphans::<UsageReport>(cache, has_subscription),
        orphans::<CreditPack>(cache, has_subscription),
        orphans::<Payment>(cache, has_account),
        orphans::<CreditAdjustment>(cache, has_subscription),
    ];
    let counts = orphans.iter().map(|(kind, tally)| (vec![kind.as_ref()], tally.count));
    show(encoder, &description::ORPHANS, counts)?;
    let oldest =
        orphans.iter().filter_map(|(kind, tally)| Some((vec![kind.as_ref()], tally.oldest?.as_second())));
    show(encoder, &description::ORPHAN_SINCE, oldest)?;
    show_future(encoder, cache, &accounts, now)
}

/// Writes the number of objects that are not processed until the clock reaches their creation time (Law 0).
fn show_future(
    encoder: &mut DescriptorEncoder<'_>,
    cache: &Cache,
    accounts: &Accounts,
    now: Timestamp,
) -> fmt::Result {
    let limit = now.saturating_add(SignedDuration::from_secs(AHEAD_SECONDS)).unwrap_or(now);
    let is_future = |key: &AccountKey, arrival: Timestamp| arrival > limit && !accounts.has_test_clock(key);
    let mut subscriptions = 0_usize;
    cache.subscriptions.for_each(|key, subscription| {
        let arrival = subscription.metadata.creation_timestamp.as_ref();
        subscriptions += usize::from(arrival.is_some_and(|arrival| is_future(key, arrival.0)));
    });
    let counts = [
        (Subscription::kind(&()), subscriptions),
        future::<UsageReport>(cache, is_future),
        future::<CreditPack>(cache, is_future),
        future::<Payment>(cache, is_future),
        future::<CreditAdjustment>(cache, is_future),
    ];
    show(encoder, &description::FUTURE, counts.iter().map(|(kind, count)| (vec![kind.as_ref()], *count)))
}

/// A number of pending objects, and the time since when the oldest is pending.
#[derive(Default)]
struct Tally {
    count: usize,
    oldest: Option<Timestamp>,
}

impl Tally {
    fn add(&mut self, since: Timestamp) {
        self.count += 1;
        self.oldest = Some(self.oldest.map_or(since, |oldest| oldest.min(since)));
    }
}

/// Returns the name of a kind, and the tally of its pending facts that belong to no account.
fn orphans<K: CachedKind>(
    cache: &Cache,
    has_account: impl Fn(&AccountKey) -> bool,
) -> (Cow<'static, str>, Tally) {
    let mut tally = Tally::default();
    K::table(cache).for_each(|key, pending| {
        if !has_account(key) {
            tally.add(K::arrival(&pending.fact));
        }
    });
    (K::kind(&()), tally)
}

/// Returns the name of a kind, and the number of its pending facts whose creation time is in the future.
fn future<K: CachedKind>(
    cache: &Cache,
    is_future: impl Fn(&AccountKey, Timestamp) -> bool,
) -> (Cow<'static, str>, usize) {
    let mut count = 0;
    K::table(cache).for_each(|key, pending| count += usize::from(is_future(key, K::arrival(&pending.fact))));
    (K::kind(&()), count)
}

/// The accounts that have a Subscription, each with its start time. Accounts with a test clock have none,
/// because their times cannot be compared with the operator's clock.
struct Accounts(HashMap<AccountKey, Option<Timestamp>>);

impl Accounts {
    fn of(cache: &Cache) -> Self {
        let mut accounts = HashMap::new();
        cache.subscriptions.for_each(|key, subscription| {
            let metadata = &subscription.metadata;
            // Law 19: a Subscription with a deletion timestamp counts as deleted, even if finalizers keep it.
            if metadata.deletion_timestamp.is_none()
                && let Some(arrival) = &metadata.creation_timestamp
            {
                let has_test_clock = subscription.annotations().contains_key(TEST_CLOCK);
                accounts.insert(key.clone(), (arrival.0, subscription.spec.start_time, has_test_clock));
            }
        });
        let mut ledgers = HashMap::new();
        cache.ledgers.for_each(|key, ledger| {
            if accounts.contains_key(key) {
                ledgers.insert(key.clone(), (ledger.spec.start_time, ledger.spec.test_clock_time.is_some()));
            }
        });
        let begins = accounts.into_iter().map(|(key, (arrival, asked, asks_for_test_clock))| {
            let begin = match ledgers.get(&key) {
                Some((start, has_test_clock)) => (!has_test_clock).then(|| arrival.max(*start)),
                None => (!asks_for_test_clock).then(|| asked.map_or(arrival, |asked| asked.max(arrival))),
            };
            (key, begin)
        });
        Self(begins.collect())
    }

    fn has_subscription(&self, key: &AccountKey) -> bool {
        self.0.contains_key(key)
    }

    fn begin(&self, key: &AccountKey) -> Option<Timestamp> {
        self.0.get(key).copied().flatten()
    }

    fn has_test_clock(&self, key: &AccountKey) -> bool {
        self.0.get(key).is_some_and(Option::is_none)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::metrics::Metrics;
    use crate::operator::account_metrics::AccountMetrics;
    use crate::operator::election::leadership::Leadership;
    use flashgate_cluster::Kind;
    use flashgate_cluster::clock::Clock;

    const NOW: &str = "2026-02-10T12:00:00Z";

    fn object<K: Kind>(name: &str, created: &str, spec: &Value) -> K {
        let (api_version, kind) = (K::api_version(&()), K::kind(&()));
        serde_json::from_value(json!({
            "apiVersion": api_version, "kind": kind, "spec": spec,
            "metadata": {
                "namespace": "team", "name": name, "uid": name, "resourceVersion": "1", "creationTimestamp": created,
            },
        }))
        .expect("object")
    }

    fn subscribed(cache: &Cache, name: &str, spec: &Value) {
        cache.subscriptions.put(object(name, "2026-02-01T00:00:00Z", spec)).expect("kept");
    }

    /// Puts a report of the hour before `end` that was created at `created`.
    fn reported(cache: &Cache, account: &str, end: &str, created: &str) {
        let end: Timestamp = end.parse().expect("time");
        let spec = json!({
            "subscriptionRef": {"name": account}, "source": "gw",
            "window": {"startTime": (end - SignedDuration::from_hours(1)).to_string(), "endTime": end.to_string()},
            "usage": [{"nodeType": "Public", "operation": "TokensOut", "quantity": "1"}],
        });
        let name = format!("{account}-{end}-{created}").to_lowercase().replace(':', "-");
        cache.reports.put(object(&name, created, &spec)).expect("kept");
    }

    fn shows(cache: Arc<Cache>, series: &[&str], not: &[&str]) {
        let now = NOW.parse().expect("time");
        let clock = Clock::from_fn(move || now);
        let leadership = Leadership::without_election();
        let gauges = AccountMetrics { cache, leadership, clock, shows_each_account: false };
        let text = Metrics::default().text(gauges).expect("text");
        for series in series {
            let series = format!("flashgate_billing_{series}");
            assert!(text.lines().any(|line| line == series), "{series} is not in:\n{text}");
        }
        for series in not {
            let series = format!("flashgate_billing_{series}");
            assert!(!text.lines().any(|line| line.starts_with(&series)), "{series} is in:\n{text}");
        }
    }

    fn second(time: &str) -> i64 {
        time.parse::<Timestamp>().expect("time").as_second()
    }

    #[test]
    fn a_report_is_chargeable_once_its_window_is_over_and_its_account_has_begun() {
        let cache = Arc::new(Cache::default());
        subscribed(&cache, "acme", &json!({"plan": "starter"}));
        subscribed(&cache, "later", &json!({"plan": "starter", "startTime": "2026-03-01T00:00:00Z"}));
        reported(&cache, "acme", "2026-02-10T13:00:00Z", "2026-02-10T11:30:00Z");
        reported(&cache, "later", "2026-02-10T11:00:00Z", "2026-02-10T11:00:00Z");
        reported(&cache, "missing", "2026-02-10T11:00:00Z", "2026-02-10T11:00:00Z");
        shows(
            Arc::clone(&cache),
            &["chargeable_reports 0"],
            &["chargeable_report_oldest_timestamp_seconds "],
        );
        reported(&cache, "acme", "2026-02-10T11:00:00Z", "2026-02-10T10:30:00Z");
        reported(&cache, "acme", "2026-01-31T11:00:00Z", "2026-02-10T11:10:00Z");
        let since = second("2026-02-10T11:00:00Z");
        let oldest = format!("chargeable_report_oldest_timestamp_seconds {since}");
        shows(cache, &["chargeable_reports 2", &oldest], &[]);
    }

    #[test]
    fn an_account_with_a_test_clock_is_not_compared_with_the_operators_clock() {
        let cache = Arc::new(Cache::default());
        let mut clocked: Subscription = object("acme", "2026-02-01T00:00:00Z", &json!({"plan": "starter"}));
        clocked.annotations_mut().insert(TEST_CLOCK.to_owned(), "2026-01-01T00:00:00Z".to_owned());
        cache.subscriptions.put(clocked).expect("kept");
        reported(&cache, "acme", "2026-01-01T02:00:00Z", "2026-02-10T13:00:00Z");
        shows(cache, &["chargeable_reports 0", r#"future_objects{kind="UsageReport"} 0"#], &[]);
    }

    #[test]
    fn objects_without_a_subscription_are_counted_with_the_oldest() {
        let cache = Arc::new(Cache::default());
        subscribed(&cache, "acme", &json!({"plan": "starter"}));
        reported(&cache, "acme", "2026-02-10T11:00:00Z", "2026-02-10T11:00:00Z");
        reported(&cache, "amce", "2026-02-10T11:00:00Z", "2026-02-10T11:20:00Z");
        reported(&cache, "amce", "2026-02-10T10:00:00Z", "2026-02-10T11:10:00Z");
        let pack = json!({"subscriptionRef": {"name": "amce"}, "pack": "plus-100"});
        cache.packs.put(object("order", "2026-02-10T09:00:00Z", &pack)).expect("kept");
        let oldest = second("2026-02-10T11:10:00Z");
        let since = format!(r#"orphaned_object_oldest_timestamp_seconds{{kind="UsageReport"}} {oldest}"#);
        let shown = [
            r#"orphaned_objects{kind="UsageReport"} 2"#,
            r#"orphaned_objects{kind="CreditPack"} 1"#,
            r#"orphaned_objects{kind="Payment"} 0"#,
            &since,
        ];
        shows(cache, &shown, &[r#"orphaned_object_oldest_timestamp_seconds{kind="Payment"}"#]);
    }

    #[test]
    fn a_subscription_that_is_being_deleted_counts_as_deleted() {
        let cache = Arc::new(Cache::default());
        let mut deleted: Subscription = object("acme", "2026-02-01T00:00:00Z", &json!({"plan": "starter"}));
        deleted.metadata.deletion_timestamp = deleted.metadata.creation_timestamp.clone();
        cache.subscriptions.put(deleted).expect("kept");
        reported(&cache, "acme", "2026-02-10T11:00:00Z", "2026-02-10T11:00:00Z");
        shows(cache, &["chargeable_reports 0", r#"orphaned_objects{kind="UsageReport"} 1"#], &[]);
    }

    #[test]
    fn an_object_created_more_than_a_minute_ahead_is_from_the_future() {
        let cache = Arc::new(Cache::default());
        subscribed(&cache, "acme", &json!({"plan": "starter"}));
        reported(&cache, "acme", "2026-02-10T11:00:00Z", "2026-02-10T12:01:00Z");
        shows(Arc::clone(&cache), &[r#"future_objects{kind="UsageReport"} 0"#], &[]);
        reported(&cache, "acme", "2026-02-10T11:00:00Z", "2026-02-10T12:01:01Z");
        cache
            .subscriptions
            .put(object("new", "2027-02-01T00:00:00Z", &json!({"plan": "starter"})))
            .expect("kept");
        let shown = [r#"future_objects{kind="UsageReport"} 1"#, r#"future_objects{kind="Subscription"} 1"#];
        shows(cache, &shown, &[]);
    }
}
