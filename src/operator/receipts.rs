//! Fifth step: writes the verdicts to the statuses of their objects. Such a status is a receipt.
//!
//! A receipt may be written late or twice. If it is lost, the next reconcile writes it again from the ledger.
//! Each write has the resource version of an object with the recorded UID.

use flashgate_api::{
    CreditAdjustment, CreditPack, CreditPackState, CreditPackStatus, Payment, PaymentStatus, UsageReport,
    UsageReportState, UsageReportStatus,
};
use flashgate_cluster::{AccountKey, CallError, Cluster, Kind, Version, found};
use flashgate_ledger::decide::{Decision, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, Wait};
use flashgate_ledger::ledger::{Charge, Ledger};
use flashgate_ledger::payment::PaymentOutcome;
use flashgate_ledger::purchase::OrderState;
use flashgate_ledger::refusal::Refusal;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::StreamExt as _;
use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use crate::operator::cache::rows::Rows;
use crate::operator::cache::{Cache, CachedKind, Pending, Row as _, came_before};
use crate::operator::judged_kind::Finality;
use crate::operator::project;
use crate::operator::view::View;

/// Largest number of concurrent receipt writes for one account.
const AT_ONCE: usize = 16;

/// The results of the receipts of one reconcile.
#[derive(Debug, Default)]
pub struct Receipts {
    /// Charged reports, by name and UID, whose receipt is confirmed or moot.
    pub acknowledged: Vec<(String, String)>,
    /// Reports, by name, whose status shows the refusal since this reconcile.
    pub refused: Vec<(String, Refusal)>,
    /// The first failure. It does not stop the other writes.
    pub failure: Option<CallError>,
}

/// The result of one receipt.
enum Written {
    /// The status of the object shows its verdict since this resource version.
    Confirmed(String),
    /// The object no longer exists.
    Moot,
}

/// Writes each verdict of `decision` to the status of its object, unless the status shows it already.
pub async fn write_receipts(
    cluster: &impl Cluster,
    cache: &Cache,
    view: &View,
    decision: &Decision,
    ledger: Option<&Ledger>,
    now: Timestamp,
) -> Receipts {
    let context = Context { cluster, cache, view, ledger, now };
    let mut receipts = Receipts::default();
    for verdict in context.write_all(&view.reports, decision, &mut receipts.failure).await {
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
    context.write_all(&view.packs, decision, &mut receipts.failure).await;
    context.write_all(&view.payments, decision, &mut receipts.failure).await;
    context.write_all(&view.adjustments, decision, &mut receipts.failure).await;
    receipts
}

/// The input for the receipts of one reconcile.
struct Context<'a, C> {
    cluster: &'a C,
    cache: &'a Cache,
    view: &'a View,
    ledger: Option<&'a Ledger>,
    now: Timestamp,
}

/// A kind with the writes of its receipt.
trait Receipt: CachedKind {
    /// Returns whether the status must show `verdict`. A wait that ends with the next commit is not shown.
    fn is_shown(_: &Self::Verdict) -> bool {
        true
    }

    /// Writes `status`, which shows `verdict`. Before that, writes the statuses that must precede it.
    fn write(
        context: &Context<'_, impl Cluster>,
        pending: &Pending<Self>,
        _verdict: &Self::Verdict,
        status: Self::Status,
    ) -> impl Future<Output = Result<Written, CallError>> + Send {
        write_status::<Self, _>(context.cluster, &pending.version, status)
    }
}

impl<C: Cluster> Context<'_, C> {
    /// Writes the receipts of one kind, several concurrently. Returns the verdicts that are final and shown, or
    /// whose object is gone. Records the first failure.
    ///
    /// A conflict counts as a failure. Usually the object has changed and the watch reports the change. But if
    /// a conflict had no cause, the receipt would otherwise never be written.
    async fn write_all<'d, K: Receipt>(
        &self,
        rows: &Rows<Pending<K>>,
        decision: &'d Decision,
        failure: &mut Option<CallError>,
    ) -> Vec<&'d Verdict<K::Verdict>> {
        let shown = K::verdicts(decision).iter().filter(|verdict| K::is_shown(&verdict.verdict));
        let due = shown.filter_map(|verdict| {
            let pending = rows.judged(verdict)?;
            let before = pending.status.as_ref();
            let status = K::show(before, pending.generation, &verdict.verdict, self.ledger, self.now);
            (before != Some(&status)).then_some((verdict, pending, status))
        });
        let mut writes: Vec<BoxFuture<'_, _>> = Vec::new();
        for (verdict, pending, status) in due {
            let write = K::write(self, pending, &verdict.verdict, status);
            writes.push(async move { (verdict, write.await) }.boxed());
        }
        let mut writes = futures::stream::iter(writes).buffer_unordered(AT_ONCE);
        let mut shown = Vec::new();
        while let Some((verdict, result)) = writes.next().await {
            match result {
                Ok(written) => {
                    if let Written::Confirmed(version) = &written {
                        self.cache.revisions.note_latest(version);
                    }
                    if K::finality(&verdict.verdict) > Finality::Waits {
                        let is_over = |held: &Pending<K>| is_over(&held.version, &verdict.uid, &written);
                        K::table(self.cache).remove_if(&self.view.key, &verdict.name, is_over);
                        shown.push(verdict);
                    }
                }
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        shown
    }
}

/// Returns whether the object with `uid` needs no further write at the cached version. A version after our
/// write may need one, for example because its status was lost.
fn is_over(held: &Version, uid: &str, written: &Written) -> bool {
    held.uid == uid
        && match written {
            Written::Confirmed(version) => !came_before(version, &held.resource_version),
            Written::Moot => true,
        }
}

impl Receipt for UsageReport {
    fn is_shown(verdict: &ReportVerdict) -> bool {
        !matches!(verdict, ReportVerdict::Waits(Wait::Receipts))
    }

    /// Writes the receipt of a charge. If the object has changed, reads it again and writes to the current
    /// version, if its UID is the same.
    async fn write(
        context: &Context<'_, impl Cluster>,
        pending: &Pending<Self>,
        verdict: &ReportVerdict,
        status: UsageReportStatus,
    ) -> Result<Written, CallError> {
        let result = write_status::<Self, _>(context.cluster, &pending.version, status).await;
        match (result, verdict) {
            (Err(error), ReportVerdict::Charged(charge)) if error.is_conflict() => {
                confirm_charge(context.cluster, &pending.version.namespace, charge, context.now).await
            }
            (result, _) => result,
        }
    }
}

/// Reads the object of a charge from the API server and writes the receipt unless it shows it. The receipt
/// replaces a refusal that another operator wrote while the charge was being committed.
///
/// # Errors
/// When a call fails. It is then unknown whether the object shows the charge.
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

/// Confirms charges whose receipts this process has not confirmed. This is necessary only if they fill the
/// ledger and new charges wait.
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

impl Receipt for CreditPack {
    async fn write(
        context: &Context<'_, impl Cluster>,
        pending: &Pending<Self>,
        _: &PackVerdict,
        status: CreditPackStatus,
    ) -> Result<Written, CallError> {
        let shown = pending.status.as_ref().and_then(|status| status.state);
        write_order(context.cluster, &pending.version, shown, status).await
    }
}

/// Writes the state of an order to a CreditPack whose status has the state `shown`.
///
/// A refund may be decided before the receipt of the grant is written. The CRD requires both states in order.
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

impl Receipt for Payment {
    /// Writes the statuses of other objects first. The Payment is pending until it has its own receipt, so
    /// after a crash the next operator repeats all writes.
    async fn write(
        context: &Context<'_, impl Cluster>,
        pending: &Pending<Self>,
        _: &PaymentVerdict,
        status: PaymentStatus,
    ) -> Result<Written, CallError> {
        let Context { cluster, view, ledger, now, .. } = *context;
        write_refund(cluster, &view.key, &pending.version.name, ledger, now).await?;
        write_returns(cluster, &view.key, &pending.version.name, ledger, now).await?;
        write_status::<Self, _>(cluster, &pending.version, status).await
    }
}

impl Receipt for CreditAdjustment {}

/// Writes the refund that the Payment called `payment` reported to the CreditPack that it refunds. The watch
/// does not deliver that pack, because it was granted.
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

/// Writes to the Payments with a refund due that the Payment called `payment` reported the return of their
/// money. The watch no longer delivers them. A newer object with the same name has a status of its own.
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
        let Ok(Pending { fact, version, generation, status, labels: _ }) =
            Pending::<Payment>::keep(object, false)
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

async fn write_status<K: Kind, S: Serialize + Send + Sync>(
    cluster: &impl Cluster,
    version: &Version,
    status: S,
) -> Result<Written, CallError> {
    let written = found(cluster.replace_status::<K, S>(version, &status).await)?;
    let version = written.map(|object| object.resource_version().unwrap_or_default());
    Ok(version.map_or(Written::Moot, Written::Confirmed))
}
