//! Fifth step: the verdicts, written to the objects that asked for them.
//!
//! A receipt may be written late, twice or be lost; the ledger repeats it. It is bound to the version of an object
//! whose UID is the recorded one.

use flashgate_api::{
    CreditAdjustment, CreditAdjustmentStatus, CreditPack, CreditPackState, CreditPackStatus, Payment,
    PaymentStatus, UsageReport, UsageReportState, UsageReportStatus,
};
use flashgate_cluster::{AccountKey, CallError, Cluster, Kind, Version, found};
use flashgate_ledger::decide::{
    AdjustmentVerdict, Decision, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, Wait,
};
use flashgate_ledger::facts;
use flashgate_ledger::ledger::{Charge, Ledger};
use flashgate_ledger::payment::PaymentOutcome;
use flashgate_ledger::purchase::OrderState;
use flashgate_ledger::refusal::Refusal;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BufferUnordered, Iter, StreamExt};
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use crate::operator::inbox::rows::Rows;
use crate::operator::inbox::{Inbox, Pending, Row, Table, came_before};
use crate::operator::project;
use crate::operator::view::View;

/// Receipts of one account that are under way at once.
const AT_ONCE: usize = 16;

/// What came of the receipts of one reconcile.
#[derive(Debug, Default)]
pub struct Receipts {
    /// Charged reports, by name and UID, that need no receipt any more.
    pub acknowledged: Vec<(String, String)>,
    /// Reports, by name, that show their refusal now.
    pub refused: Vec<(String, Refusal)>,
    /// The first failure; the others are written all the same.
    pub failure: Option<CallError>,
}

/// What came of one receipt.
enum Written {
    /// The object shows its verdict since this resource version.
    Confirmed(String),
    /// There is no object any more that could show it.
    Moot,
}

/// Writes what `decision` says about each object, where the object does not say it already.
pub async fn write_receipts(
    cluster: &impl Cluster,
    inbox: &Inbox,
    view: &View,
    decision: &Decision,
    ledger: Option<&Ledger>,
    now: Timestamp,
) -> Receipts {
    let mut receipts = write_report_receipts(cluster, inbox, view, decision, now).await;
    let packs = write_pack_receipts(cluster, inbox, view, decision, ledger, now).await;
    let payments = write_payment_receipts(cluster, inbox, view, decision, ledger, now).await;
    let adjustments = write_adjustment_receipts(cluster, inbox, view, decision, now).await;
    receipts.failure = receipts.failure.or(packs).or(payments).or(adjustments);
    receipts
}

async fn write_report_receipts<'a>(
    cluster: &'a impl Cluster,
    inbox: &Inbox,
    view: &'a View,
    decision: &'a Decision,
    now: Timestamp,
) -> Receipts {
    let judge = |pending: &Pending<_, _>, verdict: &ReportVerdict| {
        let status = project::report_status(pending.status.as_ref(), pending.generation, verdict, now);
        match verdict {
            ReportVerdict::Waits(Wait::Receipts) => None,
            ReportVerdict::Waits(_) => Some((status, false)),
            ReportVerdict::Charged(_) | ReportVerdict::Rejected(_) => Some((status, true)),
        }
    };
    let write = |pending: &'a Pending<_, _>, verdict: &'a ReportVerdict, status: UsageReportStatus| {
        let version = &pending.version;
        match verdict {
            ReportVerdict::Charged(charge) => write_charge(cluster, version, charge, status, now).boxed(),
            ReportVerdict::Rejected(_) | ReportVerdict::Waits(_) => {
                write_status::<UsageReport, _>(cluster, version, status).boxed()
            }
        }
    };
    let mut receipts = Receipts::default();
    let mut writes = due_writes(&view.reports, &decision.reports, judge, write);
    while let Some((verdict, is_final, result)) = writes.next().await {
        if let Ok(Written::Confirmed(version)) = &result {
            inbox.revisions.note_latest(version);
        }
        if settle(&inbox.reports, view, verdict, is_final, result, &mut receipts.failure) {
            match &verdict.verdict {
                ReportVerdict::Charged(charge) => {
                    receipts.acknowledged.push((charge.name.clone(), charge.uid.clone()));
                }
                ReportVerdict::Rejected(refusal) => {
                    receipts.refused.push((verdict.name.clone(), refusal.clone()));
                }
                ReportVerdict::Waits(_) => {}
            }
        }
    }
    receipts
}

/// A write under way, with the verdict that it shows and whether that is final.
type Write<'a, V> = BoxFuture<'a, (&'a Verdict<V>, bool, Result<Written, CallError>)>;

/// Pairs objects with their verdicts and gives the writes of those whose status is news, a few at once.
fn due_writes<'a, F, S, V>(
    objects: &'a Rows<Pending<F, S>>,
    verdicts: &'a [Verdict<V>],
    judge: impl Fn(&Pending<F, S>, &V) -> Option<(S, bool)>,
    write: impl Fn(&'a Pending<F, S>, &'a V, S) -> BoxFuture<'a, Result<Written, CallError>>,
) -> BufferUnordered<Iter<std::vec::IntoIter<Write<'a, V>>>>
where
    S: PartialEq,
    V: Sync,
    Pending<F, S>: Row,
{
    let mut writes: Vec<Write<'a, V>> = Vec::new();
    for verdict in verdicts {
        let object = objects.get(&verdict.name).filter(|object| object.version.uid == verdict.uid);
        let Some(pending) = object else { continue };
        let Some((status, is_final)) = judge(pending, &verdict.verdict) else { continue };
        if pending.status.as_ref() != Some(&status) {
            let written = write(pending, &verdict.verdict, status);
            writes.push(async move { (verdict, is_final, written.await) }.boxed());
        }
    }
    futures::stream::iter(writes).buffer_unordered(AT_ONCE)
}

/// Takes note of a write; returns whether the object has its final verdict now, or is gone.
///
/// A conflict is a failure like any other: most often the object has changed and the watch brings what it is now,
/// but a conflict that nothing caused would otherwise be the end of it.
fn settle<R: Row, V>(
    table: &Table<R>,
    view: &View,
    verdict: &Verdict<V>,
    is_final: bool,
    result: Result<Written, CallError>,
    failure: &mut Option<CallError>,
) -> bool {
    match result {
        Ok(written) if is_final => {
            table
                .remove_if(&view.key, &verdict.name, |held| is_over(&held.version(), &verdict.uid, &written));
            true
        }
        Ok(_) => false,
        Err(error) => {
            failure.get_or_insert(error);
            false
        }
    }
}

/// Returns whether the object with `uid` needs nothing more at the version that is held: what came after our write,
/// such as the loss of its status, is news.
fn is_over(held: &Version, uid: &str, written: &Written) -> bool {
    held.uid == uid
        && match written {
            Written::Confirmed(version) => !came_before(version, &held.resource_version),
            Written::Moot => true,
        }
}

/// Writes the receipt of a charge; where the object has changed, on the version that the server holds, if it is
/// the same object.
async fn write_charge(
    cluster: &impl Cluster,
    version: &Version,
    charge: &Charge,
    status: UsageReportStatus,
    now: Timestamp,
) -> Result<Written, CallError> {
    match write_status::<UsageReport, _>(cluster, version, status).await {
        Err(error) if error.is_conflict() => {}
        result => return result,
    }
    confirm_charge(cluster, &version.namespace, charge, now).await
}

/// Makes sure, by reading it from the server, that the object of a charge shows it: also over a refusal that
/// another operator wrote while the charge was under way.
///
/// # Errors
/// When a call fails; whether the object shows the charge is then unknown.
async fn confirm_charge(
    cluster: &impl Cluster,
    namespace: &str,
    charge: &Charge,
    now: Timestamp,
) -> Result<Written, CallError> {
    let Some(report) = found(cluster.fetch::<UsageReport>(namespace, &charge.name).await)? else {
        return Ok(Written::Moot);
    };
    let version = Version::of(&report);
    if version.uid != charge.uid {
        return Ok(Written::Moot);
    }
    if report.status.as_ref().is_some_and(|status| status.state == Some(UsageReportState::Charged)) {
        return Ok(Written::Confirmed(version.resource_version));
    }
    let generation = report.metadata.generation.unwrap_or_default();
    let status = project::charge_status(report.status.as_ref(), generation, charge, now);
    write_status::<UsageReport, _>(cluster, &version, status).await
}

/// Confirms charges whose receipts this process has not seen confirmed; needed only where they take the room that
/// new charges need.
pub async fn confirm_charges(
    cluster: &impl Cluster,
    namespace: &str,
    charges: &[Charge],
    now: Timestamp,
) -> Receipts {
    let mut receipts = Receipts::default();
    let mut confirmations = Vec::new();
    for charge in charges {
        confirmations
            .push(async move { (charge, confirm_charge(cluster, namespace, charge, now).await) }.boxed());
    }
    let mut confirmations = futures::stream::iter(confirmations).buffer_unordered(AT_ONCE);
    while let Some((charge, result)) = confirmations.next().await {
        match result {
            Ok(Written::Confirmed(_) | Written::Moot) => {
                receipts.acknowledged.push((charge.name.clone(), charge.uid.clone()));
            }
            Err(failure) => receipts.failure = receipts.failure.or(Some(failure)),
        }
    }
    receipts
}

async fn write_pack_receipts<'a>(
    cluster: &'a impl Cluster,
    inbox: &Inbox,
    view: &'a View,
    decision: &'a Decision,
    ledger: Option<&Ledger>,
    now: Timestamp,
) -> Option<CallError> {
    let judge = |pending: &Pending<_, _>, verdict: &PackVerdict| {
        let (before, generation) = (pending.status.as_ref(), pending.generation);
        let status = project::pack_status(before, generation, verdict, ledger, now);
        let is_final = status.state.is_some_and(|state| state != CreditPackState::AwaitingPayment);
        Some((status, is_final))
    };
    let write = |pending: &'a Pending<_, CreditPackStatus>, _: &'a _, status: CreditPackStatus| {
        let shown = pending.status.as_ref().and_then(|status| status.state);
        write_order(cluster, &pending.version, shown, status).boxed()
    };
    let mut failure = None;
    let mut writes = due_writes(&view.packs, &decision.packs, judge, write);
    while let Some((verdict, is_final, result)) = writes.next().await {
        settle(&inbox.packs, view, verdict, is_final, result, &mut failure);
    }
    failure
}

/// Writes what an order came to on a CreditPack that shows `shown`.
///
/// A refund may overtake the receipt of the grant; the pack's definition wants them one after the other.
async fn write_order(
    cluster: &impl Cluster,
    version: &Version,
    shown: Option<CreditPackState>,
    status: CreditPackStatus,
) -> Result<Written, CallError> {
    let overtakes =
        shown == Some(CreditPackState::AwaitingPayment) && status.state == Some(CreditPackState::Refunded);
    if !overtakes {
        return write_status::<CreditPack, _>(cluster, version, status).await;
    }
    let granted = CreditPackStatus { state: Some(CreditPackState::Granted), ..status.clone() };
    match found(cluster.replace_status::<CreditPack, _>(version, &granted).await)? {
        Some(written) => write_status::<CreditPack, _>(cluster, &Version::of(&written), status).await,
        None => Ok(Written::Moot),
    }
}

async fn write_payment_receipts<'a>(
    cluster: &'a impl Cluster,
    inbox: &Inbox,
    view: &'a View,
    decision: &'a Decision,
    ledger: Option<&'a Ledger>,
    now: Timestamp,
) -> Option<CallError> {
    let judge = |pending: &Pending<_, _>, verdict: &PaymentVerdict| {
        let status = project::payment_status(pending.status.as_ref(), pending.generation, verdict, now);
        Some((status, matches!(verdict, PaymentVerdict::Judged(_))))
    };
    let write = |pending: &'a Pending<_, _>, _: &'a _, status: PaymentStatus| {
        async move {
            // The Payment is pending until it has its own receipt: whatever dies before that comes here again.
            write_refund(cluster, &view.key, &pending.version.name, ledger, now).await?;
            write_returns(cluster, &view.key, &pending.version.name, ledger, now).await?;
            write_status::<Payment, _>(cluster, &pending.version, status).await
        }
        .boxed()
    };
    let mut failure = None;
    let mut writes = due_writes(&view.payments, &decision.payments, judge, write);
    while let Some((verdict, is_final, result)) = writes.next().await {
        settle(&inbox.payments, view, verdict, is_final, result, &mut failure);
    }
    failure
}

/// Shows the refund that the Payment called `payment` reported on the CreditPack it took back, which was granted and
/// has left the watch since.
async fn write_refund(
    cluster: &impl Cluster,
    key: &AccountKey,
    payment: &str,
    ledger: Option<&Ledger>,
    now: Timestamp,
) -> Result<(), CallError> {
    let Some(purchase) = ledger.and_then(|ledger| ledger.refunded_purchase(payment)) else { return Ok(()) };
    let Some(pack) = found(cluster.fetch::<CreditPack>(&key.namespace, &purchase.name).await)? else {
        return Ok(());
    };
    let is_order = pack.spec.pack == purchase.pack && pack.spec.subscription_ref.name == key.name;
    let shown = pack.status.as_ref().and_then(|status| status.state);
    if !is_order || matches!(shown, Some(CreditPackState::Refunded | CreditPackState::Refused)) {
        return Ok(());
    }
    let verdict = PackVerdict::Ordered(OrderState::Refunded(purchase.clone()));
    let generation = pack.metadata.generation.unwrap_or_default();
    let status = project::pack_status(pack.status.as_ref(), generation, &verdict, ledger, now);
    write_order(cluster, &Version::of(&pack), shown, status).await.map(|_| ())
}

/// Shows on the Payments that had bought nothing that the Payment called `payment` reported their money's return: they
/// have left the watch as due for it. What has one of their names by now may say something else, and shows its own.
async fn write_returns(
    cluster: &impl Cluster,
    key: &AccountKey,
    payment: &str,
    ledger: Option<&Ledger>,
    now: Timestamp,
) -> Result<(), CallError> {
    let Some(ledger) = ledger else { return Ok(()) };
    for name in ledger.payments_returned_by(payment) {
        let Some(object) = found(cluster.fetch::<Payment>(&key.namespace, name).await)? else { continue };
        let is_of_account = object.spec.subscription_ref.name == key.name;
        let Ok(Pending { fact, version, generation, status }) = Pending::<facts::Payment, _>::keep(object)
        else {
            continue;
        };
        if !is_of_account || ledger.known_payment(&fact) != Some(PaymentOutcome::Returned) {
            continue;
        }
        let verdict = PaymentVerdict::Judged(PaymentOutcome::Returned);
        let due = project::payment_status(status.as_ref(), generation, &verdict, now);
        if status.as_ref() != Some(&due) {
            write_status::<Payment, _>(cluster, &version, due).await?;
        }
    }
    Ok(())
}

async fn write_adjustment_receipts<'a>(
    cluster: &'a impl Cluster,
    inbox: &Inbox,
    view: &'a View,
    decision: &'a Decision,
    now: Timestamp,
) -> Option<CallError> {
    let judge = |pending: &Pending<_, _>, verdict: &AdjustmentVerdict| {
        let status = project::adjustment_status(pending.status.as_ref(), pending.generation, verdict, now);
        Some((status, matches!(verdict, AdjustmentVerdict::Judged(_))))
    };
    let write = |pending: &'a Pending<_, _>, _: &'a _, status: CreditAdjustmentStatus| {
        write_status::<CreditAdjustment, _>(cluster, &pending.version, status).boxed()
    };
    let mut failure = None;
    let mut writes = due_writes(&view.adjustments, &decision.adjustments, judge, write);
    while let Some((verdict, is_final, result)) = writes.next().await {
        settle(&inbox.adjustments, view, verdict, is_final, result, &mut failure);
    }
    failure
}

async fn write_status<K: Kind, S: Serialize + Send + Sync>(
    cluster: &impl Cluster,
    version: &Version,
    status: S,
) -> Result<Written, CallError> {
    let written = found(cluster.replace_status::<K, S>(version, &status).await)?;
    let version = written.map(|object| object.resource_version().unwrap_or_default());
    Ok(version.map_or(Written::Moot, Written::Confirmed))
}
