//! Sixth step: publishes Events and derives the Subscription's status, which only the operator writes.

pub mod limit;

use std::time::Duration;

use flashgate_api::event::Event;
use flashgate_api::fact::FactStatus as _;
use flashgate_api::reason::Reason;
use flashgate_api::{
    CreditAdjustment, CreditPack, Payment, READY, Subscription, SubscriptionStatus, UsageReport, condition,
};
use flashgate_cluster::{Cluster, EventObject, Version};
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::decide::{Decision, Wait, Waiting as _};
use flashgate_ledger::entry::{FactKind, ObjectName};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::metrics::Metrics;
use crate::operator::cache::rows::Rows;
use crate::operator::cache::{CachedKind, Pending};
use crate::operator::project::{self, AccountEvent, LedgerState};
use crate::operator::publish::limit::EventLimit;
use crate::operator::view::View;

/// Publishes Events, within a rate limit for each account and reason. An Event may be lost: the ledger is the
/// record.
pub struct Publisher<'a, C> {
    /// The cluster.
    pub cluster: &'a C,
    /// The rate limit.
    pub limit: &'a EventLimit,
    /// The metrics.
    pub metrics: &'a Metrics,
    /// Time since the start of the operator.
    pub uptime: Duration,
}

impl<C: Cluster> Publisher<'_, C> {
    /// Publishes an Event about an object of `account`, unless the rate limit holds it back. Returns whether it was
    /// published or held back.
    pub async fn publish(&self, account: &str, event: Event<EventObject>) -> bool {
        if let Some(event) = self.limit.offer(account, event, self.uptime) {
            return self.send(&event).await;
        }
        self.metrics.count_held_event();
        true
    }

    /// Publishes the held back Events that are due: one Event for each account and reason, with their number.
    pub async fn publish_due(&self) {
        for event in self.limit.due(self.uptime) {
            self.send(&event).await;
        }
    }

    async fn send(&self, event: &Event<EventObject>) -> bool {
        let published = self.cluster.publish(event).await;
        if let Err(error) = &published {
            tracing::warn!(%error, "event not published");
        }
        published.is_ok()
    }
}

/// Returns the status to write to the Subscription, or `None` if it is unchanged.
#[must_use]
pub fn due_status(
    subscription: &Subscription,
    ledger_state: LedgerState<'_>,
    catalog: &Catalog,
    now: Timestamp,
) -> Option<SubscriptionStatus> {
    let before = subscription.status.as_ref();
    let status = project::subscription_status(before, subscription, ledger_state, catalog, now);
    (before != Some(&status)).then_some(status)
}

/// Publishes Events about objects of one account.
pub async fn publish_events(publisher: &Publisher<'_, impl Cluster>, view: &View, events: Vec<AccountEvent>) {
    for event in events {
        if let Some(object) = event_object(view, event.object.as_ref()) {
            publisher.publish(&view.key.name, event.about(object)).await;
        }
    }
}

/// Returns the object called `name`, or the Subscription without a name, if the view has it.
fn event_object(view: &View, name: Option<&ObjectName>) -> Option<EventObject> {
    let Some(ObjectName { kind, name }) = name else {
        return view
            .subscription
            .as_deref()
            .map(|object| EventObject::new::<Subscription>(Version::of(object)));
    };
    match kind {
        FactKind::UsageReport => pending_object(&view.reports, name),
        FactKind::CreditPack => pending_object(&view.packs, name),
        FactKind::Payment => pending_object(&view.payments, name),
        FactKind::CreditAdjustment => pending_object(&view.adjustments, name),
    }
}

fn pending_object<K: CachedKind>(rows: &Rows<Pending<K>>, name: &str) -> Option<EventObject> {
    rows.get(name).map(|row| EventObject::new::<K>(row.version.clone()))
}

/// Returns an Event for each object whose creation time is in the future, unless its status shows that already.
#[must_use]
pub fn arrival_events(view: &View, decision: &Decision) -> Vec<AccountEvent> {
    let mut events = Vec::new();
    events.extend(arrivals_ahead::<UsageReport>(&view.reports, decision));
    events.extend(arrivals_ahead::<CreditPack>(&view.packs, decision));
    events.extend(arrivals_ahead::<Payment>(&view.payments, decision));
    events.extend(arrivals_ahead::<CreditAdjustment>(&view.adjustments, decision));
    events
}

/// Returns an Event for each object of one kind whose creation time is in the future and whose status does not
/// show it.
fn arrivals_ahead<K: CachedKind>(
    rows: &Rows<Pending<K>>,
    decision: &Decision,
) -> impl Iterator<Item = AccountEvent> {
    let reason = Reason::ArrivalInFuture;
    let shows = move |status: &K::Status| {
        condition(status.conditions(), READY).is_some_and(|ready| ready.reason == reason.as_str())
    };
    K::verdicts(decision).iter().filter_map(move |verdict| {
        let Some(Wait::ArrivalInFuture(arrival)) = verdict.verdict.wait() else { return None };
        let row = rows.judged(verdict)?;
        let is_new = !row.status.as_ref().is_some_and(shows);
        let object = ObjectName { kind: K::KIND, name: verdict.name.clone() };
        is_new.then(|| Event::warning(Some(object), reason, project::arrival_in_future(arrival)))
    })
}

/// Publishes an Event about the Subscription.
pub async fn publish_about(
    publisher: &Publisher<'_, impl Cluster>,
    subscription: &Subscription,
    event: AccountEvent,
) {
    let object = EventObject::new::<Subscription>(Version::of(subscription));
    publisher.publish(&subscription.name_any(), event.about(object)).await;
}
