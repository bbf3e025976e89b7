//! Sixth step: what people see. The Subscription's status, whose only writer this is, and Events.

pub mod limit;

use std::time::Duration;

use flashgate_api::fact::FactStatus as _;
use flashgate_api::reason::Reason;
use flashgate_api::{
    CreditAdjustment, CreditPack, Payment, READY, Subscription, SubscriptionStatus, UsageReport, condition,
};
use flashgate_cluster::{Announcement, Cluster, Version};
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::decide::{Decision, Wait, Waiting as _};
use flashgate_ledger::entry::{FactKind, ObjectName};
use jiff::Timestamp;
use kube::{Resource, ResourceExt as _};

use crate::metrics::Metrics;
use crate::operator::inbox::rows::Rows;
use crate::operator::inbox::{CachedKind, Pending, Row};
use crate::operator::project::{self, Book, Note, NoteKind};
use crate::operator::publish::limit::EventLimit;
use crate::operator::view::View;

/// Publishes Events, within a rate limit for each account and reason. Best effort: the ledger is the record.
pub struct Publisher<'a, C> {
    /// The cluster.
    pub cluster: &'a C,
    /// The rate limit.
    pub limit: &'a EventLimit,
    /// What is counted.
    pub metrics: &'a Metrics,
    /// How long the operator has run.
    pub uptime: Duration,
}

impl<C: Cluster> Publisher<'_, C> {
    /// Publishes an Event about an object of `account`, unless the rate limit holds it back. Returns whether it was
    /// published or held back.
    pub async fn publish(&self, account: &str, announcement: Announcement) -> bool {
        if let Some(announcement) = self.limit.offer(account, announcement, self.uptime) {
            return self.send(&announcement).await;
        }
        self.metrics.count_held_event();
        true
    }

    /// Publishes what was held back and is due: one Event for each account and reason, with their number.
    pub async fn publish_due(&self) {
        for announcement in self.limit.due(self.uptime) {
            self.send(&announcement).await;
        }
    }

    async fn send(&self, announcement: &Announcement) -> bool {
        let published = self.cluster.announce(announcement).await;
        if let Err(error) = &published {
            tracing::warn!(%error, "event not published");
        }
        published.is_ok()
    }
}

/// Returns the status that the Subscription is to show, unless it shows it already.
#[must_use]
pub fn due_status(
    subscription: &Subscription,
    book: Book<'_>,
    catalog: &Catalog,
    now: Timestamp,
) -> Option<SubscriptionStatus> {
    let before = subscription.status.as_ref();
    let status = project::subscription_status(before, subscription, book, catalog, now);
    (before != Some(&status)).then_some(status)
}

/// Publishes Events.
pub async fn announce(publisher: &Publisher<'_, impl Cluster>, view: &View, notes: Vec<Note>) {
    for note in notes {
        let about = match &note.object {
            None => view.subscription.as_deref().map(|object| (named::<Subscription>(), Version::of(object))),
            Some(object) => {
                let of_kind = match object.kind {
                    FactKind::UsageReport => (named::<UsageReport>(), version(&view.reports, &object.name)),
                    FactKind::CreditPack => (named::<CreditPack>(), version(&view.packs, &object.name)),
                    FactKind::Payment => (named::<Payment>(), version(&view.payments, &object.name)),
                    FactKind::CreditAdjustment => {
                        (named::<CreditAdjustment>(), version(&view.adjustments, &object.name))
                    }
                };
                of_kind.1.map(|version| (of_kind.0, version))
            }
        };
        let Some((object, version)) = about else { continue };
        let is_warning = note.kind == NoteKind::Warning;
        let announcement =
            Announcement { object, version, is_warning, reason: note.reason, message: note.message };
        publisher.publish(&view.key.name, announcement).await;
    }
}

/// Returns an Event for each object that was created at a time which is still to come, unless it shows that already.
#[must_use]
pub fn future_notes(view: &View, decision: &Decision) -> Vec<Note> {
    let mut notes = Vec::new();
    notes.extend(arrivals_ahead::<UsageReport>(&view.reports, decision));
    notes.extend(arrivals_ahead::<CreditPack>(&view.packs, decision));
    notes.extend(arrivals_ahead::<Payment>(&view.payments, decision));
    notes.extend(arrivals_ahead::<CreditAdjustment>(&view.adjustments, decision));
    notes
}

/// Returns an Event for each object of one kind that waits for its own arrival and does not show it.
fn arrivals_ahead<K: CachedKind>(rows: &Rows<Pending<K>>, decision: &Decision) -> impl Iterator<Item = Note> {
    let reason = Reason::ArrivalInFuture;
    let shows = move |status: &K::Status| {
        condition(status.conditions(), READY).is_some_and(|ready| ready.reason == reason.as_str())
    };
    K::verdicts(decision).iter().filter_map(move |verdict| {
        let Some(Wait::ArrivalInFuture(arrival)) = verdict.verdict.wait() else { return None };
        let row = rows.get(&verdict.name).filter(|row| row.version.uid == verdict.uid)?;
        let is_news = !row.status.as_ref().is_some_and(shows);
        is_news.then(|| Note {
            object: Some(ObjectName { kind: K::KIND, name: verdict.name.clone() }),
            kind: NoteKind::Warning,
            reason,
            message: project::arrival_in_future(arrival),
        })
    })
}

/// Publishes an Event about the Subscription.
pub async fn announce_about(
    publisher: &Publisher<'_, impl Cluster>,
    subscription: &Subscription,
    note: Note,
) {
    let Note { object: _, kind, reason, message } = note;
    let (object, version) = (named::<Subscription>(), Version::of(subscription));
    let is_warning = kind == NoteKind::Warning;
    let announcement = Announcement { object, version, is_warning, reason, message };
    publisher.publish(&subscription.name_any(), announcement).await;
}

fn named<K: Resource<DynamicType = ()>>() -> (String, String) {
    (K::api_version(&()).into_owned(), K::kind(&()).into_owned())
}

fn version<R: Row>(rows: &Rows<R>, name: &str) -> Option<Version> {
    rows.get(name).map(|row| row.version())
}
