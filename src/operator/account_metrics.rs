//! Account metrics, computed from the cache at each scrape. The metrics of an account disappear with its
//! Subscription, and their values are those of the statuses.

mod waiting;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flashgate_api::InvoiceState;
use flashgate_api::{
    Amount, CreditAdjustment, CreditPack, Payment, READY, Subscription, SubscriptionStatus, UsageReport,
    condition,
};
use flashgate_cluster::clock::Clock;
use flashgate_preview::stated_kind::StatedKind as _;
use jiff::Timestamp;
use kube::ResourceExt as _;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};

use crate::metrics::description::{self, Description};
use crate::metrics::{rate_name, show};
use crate::operator::cache::{Cache, CachedKind};
use crate::operator::election::leadership::Leadership;

/// Conditions that the metrics of each account include.
const CONDITIONS: [&str; 4] = [READY, "Active", "CreditsLow", "CreditsExhausted"];

/// The collector of account metrics. Only the leader exports them.
#[derive(Clone)]
pub struct AccountMetrics {
    /// The cache.
    pub cache: Arc<Cache>,
    /// Whether this operator leads. If two operators exported the same accounts, each account would count
    /// twice.
    pub leadership: Leadership,
    /// The clock.
    pub clock: Clock,
    /// Whether each account has its own series, in addition to the totals.
    pub shows_each_account: bool,
}

impl fmt::Debug for AccountMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccountMetrics")
    }
}

impl Collector for AccountMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        if !self.leadership.is_leading() {
            return Ok(());
        }
        let mut subscriptions = self.cache.subscriptions.all();
        subscriptions.sort_by_cached_key(|subscription| (subscription.namespace(), subscription.name_any()));
        show_subscriptions(&mut encoder, &subscriptions)?;
        show_pending(&mut encoder, &self.cache)?;
        waiting::show_waiting(&mut encoder, &self.cache, self.clock.now())?;
        show_open_invoices(&mut encoder, &subscriptions)?;
        if self.shows_each_account {
            show_accounts(&mut encoder, &subscriptions)?;
        }
        Ok(())
    }
}

/// Writes the number of Subscriptions by status and reason of `Ready`.
fn show_subscriptions(
    encoder: &mut DescriptorEncoder<'_>,
    subscriptions: &[Arc<Subscription>],
) -> fmt::Result {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for subscription in subscriptions {
        let ready = subscription.status.as_ref().and_then(|status| condition(&status.conditions, READY));
        let key = ready.map_or(("Unknown", "NotSeen"), |ready| (&ready.status, &ready.reason));
        *counts.entry(key).or_default() += 1;
    }
    let series = counts.into_iter().map(|((ready, reason), count)| (vec![ready, reason], count));
    show(encoder, &description::SUBSCRIPTIONS, series)
}

/// Writes the number of facts without a verdict, and the time since when the oldest is pending.
fn show_pending(encoder: &mut DescriptorEncoder<'_>, cache: &Cache) -> fmt::Result {
    let waits = [
        waits::<UsageReport>(cache, |report| report.arrival.max(report.window.end_time)),
        waits::<CreditPack>(cache, CreditPack::arrival),
        waits::<Payment>(cache, Payment::arrival),
        waits::<CreditAdjustment>(cache, CreditAdjustment::arrival),
    ];
    let counts = waits.iter().map(|(kind, waits)| (vec![kind.as_ref()], waits.len()));
    show(encoder, &description::PENDING, counts)?;
    let oldest =
        waits.iter().filter_map(|(kind, waits)| Some((vec![kind.as_ref()], waits.iter().min()?.as_second())));
    show(encoder, &description::PENDING_SINCE, oldest)
}

/// Returns the name of a kind, and for each of its pending facts the time from which it could have been judged.
fn waits<K: CachedKind>(
    cache: &Cache,
    since: impl Fn(&K::Fact) -> Timestamp,
) -> (Cow<'static, str>, Vec<Timestamp>) {
    let times = K::table(cache).all().iter().map(|pending| since(&pending.fact)).collect();
    (K::kind(&()), times)
}

/// Writes the number of open invoices, and the issue time of the oldest.
fn show_open_invoices(
    encoder: &mut DescriptorEncoder<'_>,
    subscriptions: &[Arc<Subscription>],
) -> fmt::Result {
    let statuses = subscriptions.iter().filter_map(|subscription| subscription.status.as_ref());
    let invoices = statuses.flat_map(|status| &status.invoices);
    let open: Vec<Timestamp> =
        invoices.filter(|invoice| invoice.state == InvoiceState::Open).map(|invoice| invoice.time).collect();
    show(encoder, &description::OPEN_INVOICES, [(vec![], open.len())])?;
    let oldest = open.iter().min().map(|time| (vec![], time.as_second()));
    show(encoder, &description::OPEN_INVOICE_SINCE, oldest)
}

/// An account with its status.
struct ShownAccount<'a> {
    namespace: &'a str,
    name: &'a str,
    status: &'a SubscriptionStatus,
}

impl<'a> ShownAccount<'a> {
    fn of(subscription: &'a Subscription) -> Option<Self> {
        let metadata = &subscription.metadata;
        let (namespace, name) = (metadata.namespace.as_deref()?, metadata.name.as_deref()?);
        Some(Self { namespace, name, status: subscription.status.as_ref()? })
    }
}

/// Writes the metrics of each account. The text format requires all series of a metric to be adjacent.
fn show_accounts(encoder: &mut DescriptorEncoder<'_>, subscriptions: &[Arc<Subscription>]) -> fmt::Result {
    let accounts: Vec<ShownAccount<'_>> =
        subscriptions.iter().filter_map(|found| ShownAccount::of(found)).collect();
    show_each(encoder, &description::BALANCE, &accounts, |status| {
        for_display(&status.credits.as_ref()?.balance)
    })?;
    show_each(encoder, &description::DEBT, &accounts, |status| for_display(&status.credits.as_ref()?.debt))?;
    show_each(encoder, &description::USED_RATIO, &accounts, |status| {
        Some(for_display(&status.this_period.as_ref()?.used_percent)? / 100.0)
    })?;
    show_each(encoder, &description::CREDITS_PER_DAY, &accounts, |status| {
        for_display(&status.forecast.as_ref()?.credits_per_day)
    })?;
    show_each(encoder, &description::EXHAUSTION, &accounts, |status| {
        Some(status.forecast.as_ref()?.exhaustion_time?.as_second())
    })?;
    show_each(encoder, &description::RENEWAL, &accounts, |status| Some(status.renewal_time?.as_second()))?;
    show_each(encoder, &description::PACKS_USED, &accounts, |status| Some(status.packs.as_ref()?.used))?;
    show_each(encoder, &description::PACKS_LIMIT, &accounts, |status| Some(status.packs.as_ref()?.limit))?;
    show_rates(encoder, &accounts)?;
    show_conditions(encoder, &accounts)
}

/// Writes one metric for each account whose status has the value.
fn show_each<V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    description: &Description,
    accounts: &[ShownAccount<'_>],
    tell: impl Fn(&SubscriptionStatus) -> Option<V>,
) -> fmt::Result {
    let series = accounts
        .iter()
        .filter_map(|account| Some((vec![account.namespace, account.name], tell(account.status)?)));
    show(encoder, description, series)
}

fn show_rates(encoder: &mut DescriptorEncoder<'_>, accounts: &[ShownAccount<'_>]) -> fmt::Result {
    let description = &description::PERIOD_CONSUMED;
    let mut rated = Vec::new();
    for account in accounts {
        for usage in account.status.this_period.iter().flat_map(|period| &period.usage) {
            let rate = rate_name(&usage.node_type, &usage.operation);
            rated.extend(for_display(&usage.credits).map(|credits| (account, rate, credits)));
        }
    }
    let series = rated
        .iter()
        .map(|(account, rate, credits)| (vec![account.namespace, account.name, rate.as_str()], *credits));
    show(encoder, description, series)
}

fn show_conditions(encoder: &mut DescriptorEncoder<'_>, accounts: &[ShownAccount<'_>]) -> fmt::Result {
    let series = accounts.iter().flat_map(|account| {
        CONDITIONS.into_iter().filter_map(|kind| {
            let condition = condition(&account.status.conditions, kind)?;
            Some((vec![account.namespace, account.name, kind], i64::from(condition.status == "True")))
        })
    });
    show(encoder, &description::CONDITION, series)
}

/// Returns an amount as a float, which may be rounded. Metrics only: billing never uses it.
fn for_display(amount: &Amount) -> Option<f64> {
    amount.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metrics::Metrics;

    fn subscription() -> Subscription {
        serde_json::from_value(json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "Subscription",
            "metadata": {"namespace": "team-a", "name": "acme", "uid": "1", "resourceVersion": "7"},
            "spec": {"plan": "starter"},
            "status": {
                "observedGeneration": 1,
                "credits": {
                    "balance": "-12.5", "plan": "0", "packs": "0", "adjustments": "0", "debt": "12.5", "settling": "0",
                },
                "renewalTime": "2026-02-28T10:00:00Z",
                "invoices": [
                    {"number": "acme-1", "time": "2026-01-31T10:00:00Z", "reason": "Start", "amount": "100",
                     "currency": "USD", "state": "Open"},
                ],
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "AwaitingPayment", "message": "",
                     "lastTransitionTime": "2026-01-31T10:00:00Z"},
                ],
            },
        }))
        .expect("subscription")
    }

    fn text(gauges: &AccountMetrics) -> String {
        Metrics::default().text(gauges.clone()).expect("text")
    }

    const OF_THE_ACCOUNT: [&str; 4] = [
        r#"flashgate_billing_credits_balance{namespace="team-a",account="acme"} -12.5"#,
        r#"flashgate_billing_credits_debt{namespace="team-a",account="acme"} 12.5"#,
        r#"flashgate_billing_renewal_timestamp_seconds{namespace="team-a",account="acme"} 1772272800"#,
        r#"flashgate_billing_account_condition{namespace="team-a",account="acme",condition="Ready"} 0"#,
    ];

    const OF_ALL: [&str; 4] = [
        r#"flashgate_billing_subscriptions{ready="False",reason="AwaitingPayment"} 1"#,
        r#"flashgate_billing_pending_objects{kind="Payment"} 0"#,
        "flashgate_billing_open_invoices 1",
        "flashgate_billing_open_invoice_oldest_timestamp_seconds 1769853600",
    ];

    #[test]
    fn an_account_has_metrics_if_they_are_enabled_and_while_its_subscription_exists() {
        let cache = Arc::new(Cache::default());
        cache.subscriptions.put(subscription()).expect("kept");
        let leadership = Leadership::without_election();
        let clock = Clock::system();
        let gauges =
            AccountMetrics { cache: Arc::clone(&cache), leadership, clock, shows_each_account: true };
        let shown = text(&gauges);
        for series in OF_THE_ACCOUNT.iter().chain(&OF_ALL) {
            assert!(shown.lines().any(|line| line == *series), "{series} is not in:\n{shown}");
        }
        let shown = text(&AccountMetrics { shows_each_account: false, ..gauges.clone() });
        assert!(OF_ALL.iter().all(|series| shown.contains(series)) && !shown.contains("acme"), "{shown}");
        cache.subscriptions.remove(&subscription());
        let shown = text(&gauges);
        assert!(!shown.contains("acme") && shown.contains("flashgate_billing_open_invoices 0"), "{shown}");
    }

    #[test]
    fn a_standby_exports_no_account_metrics() {
        let cache = Arc::new(Cache::default());
        cache.subscriptions.put(subscription()).expect("kept");
        let (_until, leadership) = Leadership::with_election();
        let shown =
            text(&AccountMetrics { cache, leadership, clock: Clock::system(), shows_each_account: true });
        assert!(!shown.contains("acme") && !shown.contains("flashgate_billing_subscriptions"), "{shown}");
    }
}
