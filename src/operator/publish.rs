//! Sixth step: what people see. The Subscription's status, whose only writer this is, and Events.

use std::sync::Arc;

use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::decide::Decision;
use flashgate_ledger::entry::FactKind;
use jiff::Timestamp;
use kube::Resource;

use crate::api::{CreditAdjustment, CreditPack, Payment, Subscription, SubscriptionStatus, UsageReport};
use crate::operator::cluster::{Announcement, Cluster, Version};
use crate::operator::observe::Seen;
use crate::operator::project::{self, Book, NoteKind};
use crate::operator::reason::Reason;

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

/// Publishes an Event for each transition of a committed decision. Best effort: the ledger is the record.
pub async fn announce(cluster: &impl Cluster, seen: &Seen, decision: &Decision) {
    for note in project::notes(decision) {
        let about = match &note.object {
            None => seen.subscription.as_deref().map(|object| (named::<Subscription>(), Version::of(object))),
            Some(object) => {
                let of_kind = match object.kind {
                    FactKind::UsageReport => (named::<UsageReport>(), version(&seen.reports, &object.name)),
                    FactKind::CreditPack => (named::<CreditPack>(), version(&seen.packs, &object.name)),
                    FactKind::Payment => (named::<Payment>(), version(&seen.payments, &object.name)),
                    FactKind::CreditAdjustment => {
                        (named::<CreditAdjustment>(), version(&seen.adjustments, &object.name))
                    }
                };
                of_kind.1.map(|version| (of_kind.0, version))
            }
        };
        let Some((object, version)) = about else { continue };
        let is_warning = note.kind == NoteKind::Warning;
        let announcement =
            Announcement { object, version, is_warning, reason: note.reason, message: note.message };
        publish(cluster, &announcement).await;
    }
}

/// Publishes an Event about the Subscription that is not the ledger's.
pub async fn announce_about(
    cluster: &impl Cluster,
    subscription: &Subscription,
    reason: Reason,
    message: String,
) {
    let (object, version) = (named::<Subscription>(), Version::of(subscription));
    let announcement = Announcement { object, version, is_warning: true, reason, message };
    publish(cluster, &announcement).await;
}

/// Publishes an Event; returns whether that is done.
pub async fn publish(cluster: &impl Cluster, announcement: &Announcement) -> bool {
    let published = cluster.announce(announcement).await;
    if let Err(error) = &published {
        tracing::warn!(%error, "event not published");
    }
    published.is_ok()
}

fn named<K: Resource<DynamicType = ()>>() -> (String, String) {
    (K::api_version(&()).into_owned(), K::kind(&()).into_owned())
}

fn version<F, S>(rows: &[Arc<crate::operator::inbox::Pending<F, S>>], name: &str) -> Option<Version> {
    rows.iter().find(|pending| pending.version.name == name).map(|pending| pending.version.clone())
}
