//! Fifth step: the verdicts, written to the objects that asked for them.
//!
//! A receipt may be written late, twice or be lost; the ledger repeats it. It is bound to the version of an object
//! whose UID is the recorded one.

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

/// What the receipts of one reconcile are written with.
struct Context<'a, C> {
    cluster: &'a C,
    cache: &'a Cache,
    view: &'a View,
    ledger: Option<&'a Ledger>,
    now: Timestamp,
}

/// A kind with the writes that make up its receipt.
trait Receipt: CachedKind {
    /// Returns whether the status shows `verdict`. A wait that ends with the next commit is not shown.
    fn is_shown(_: &Self::Verdict) -> bool {
        true
    }

    /// Writes `status`, which shows `verdict`, and everything that must be shown before it.
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
    /// Writes the receipts of one kind, a few at once. Returns the verdicts that are final and shown, or whose object is
    /// gone; keeps the first failure.
    ///
    /// A conflict is a failure like any other. Most often the object has changed and the watch brings the change, but a
    /// conflict without a cause would otherwise end the receipt.
    async fn write_all<'d, K: Receipt>(
        &self,
        rows: &Rows<Pending<K>>,
        decision: &'d Decision,
        failure: &mut Option<CallError>,
    ) -> Vec<&'d Verdict<K::Verdict>> {
        let due = K::verdicts(decision).iter().filter_map(|verdict| {
            let pending = rows.get(&verdict.name).filter(|pending| pending.version.uid == verdict.uid)?;
            let before = pending.status.as_ref();
            let status = K::show(before, pending.generation, &verdict.verdict, self.ledger, self.now);
            let is_due = K::is_shown(&verdict.verdict) && before != Some(&status);
            is_due.then_some((verdict, pending, status))
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

/// Returns whether the object with `uid` needs nothing more at the version that is held: what came after our write,
/// such as the loss of its status, is news.
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

    /// Writes the receipt of a charge, where the object has changed, to the version that the server holds, if that is the
    /// same object.
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

impl Receipt for Payment {
    /// Shows first what the Payment reports about other objects. It is pending until it has its own receipt, so an operator
    /// that dies before that repeats all of it.
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
        let Ok(Pending { fact, version, generation, status }) = Pending::<Payment>::keep(object) else {
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
