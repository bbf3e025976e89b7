//! First step: what is known of an account, and how well it is known.

use std::sync::Arc;

use flashgate_ledger::decide::Decision;
use jiff::Timestamp;

use crate::api::{CreditLedger, LedgerReference, Subscription};
use crate::operator::cluster::{AccountKey, CallError, Cluster, found};
use crate::operator::inbox::rows::Rows;
use crate::operator::inbox::{AdjustmentRow, Inbox, PackRow, PaymentRow, ReportRow};

/// What is known of an account.
#[derive(Clone)]
pub struct Seen {
    /// The account.
    pub key: AccountKey,
    /// When the watches had brought this. Whatever is read later, and however much later, the account is decided on
    /// as of this moment: what arrived since is not known yet.
    pub time: Timestamp,
    /// Its Subscription, unless there is none.
    pub subscription: Option<Arc<Subscription>>,
    /// Whether the Subscription was read from the server after the ledger was.
    pub subscription_is_fresh: bool,
    /// Its ledger, unless there is none.
    pub ledger: Option<Arc<CreditLedger>>,
    /// Whether the ledger was read from the server in this reconcile.
    pub ledger_is_fresh: bool,
    /// Whether the ledger was confirmed, by a read or a commit, after the Subscription was read.
    pub ledger_is_confirmed: bool,
    /// Reports without a verdict.
    pub reports: Rows<ReportRow>,
    /// Packs without a final state.
    pub packs: Rows<PackRow>,
    /// Payments without a verdict.
    pub payments: Rows<PaymentRow>,
    /// Adjustments without a verdict.
    pub adjustments: Rows<AdjustmentRow>,
}

impl Seen {
    /// Returns what the watches have brought of `key` by now, which is `time`.
    #[must_use]
    pub fn in_inbox(inbox: &Inbox, key: &AccountKey, time: Timestamp) -> Self {
        Self {
            key: key.clone(),
            time,
            subscription: inbox.subscriptions.of(key),
            subscription_is_fresh: false,
            ledger: inbox.ledgers.of(key),
            ledger_is_fresh: false,
            ledger_is_confirmed: false,
            reports: inbox.reports.rows(key),
            packs: inbox.packs.rows(key),
            payments: inbox.payments.rows(key),
            adjustments: inbox.adjustments.rows(key),
        }
    }

    /// Returns whether there is nothing at all to decide on.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscription.is_none()
            && self.ledger.is_none()
            && self.reports.is_empty()
            && self.packs.is_empty()
            && self.payments.is_empty()
            && self.adjustments.is_empty()
    }

    /// Drops the reports of which `decision` says nothing: what is to be written concerns the others, and the inbox need
    /// not be copied when it changes meanwhile.
    pub fn keep_judged_reports(&mut self, decision: &Decision) {
        self.reports.keep_only(decision.reports.iter().map(|verdict| verdict.name.as_str()));
    }

    /// Reads the ledger from the server; what is known of the Subscription is then older than it.
    ///
    /// # Errors
    /// When the call fails otherwise than by not finding it.
    pub async fn fetch_ledger(&mut self, cluster: &impl Cluster) -> Result<(), CallError> {
        let AccountKey { namespace, name } = &self.key;
        self.ledger = found(cluster.fetch::<CreditLedger>(namespace, name).await)?.map(Arc::new);
        self.ledger_is_fresh = true;
        self.ledger_is_confirmed = true;
        self.subscription_is_fresh = false;
        Ok(())
    }

    /// Reads the Subscription from the server.
    ///
    /// # Errors
    /// When the call fails otherwise than by not finding it.
    pub async fn fetch_subscription(&mut self, cluster: &impl Cluster) -> Result<(), CallError> {
        let AccountKey { namespace, name } = &self.key;
        self.subscription = found(cluster.fetch::<Subscription>(namespace, name).await)?.map(Arc::new);
        self.subscription_is_fresh = true;
        self.ledger_is_confirmed = false;
        Ok(())
    }

    /// Returns the ledger that the Subscription names in its status.
    #[must_use]
    pub fn shown_ledger(&self) -> Option<&LedgerReference> {
        self.subscription.as_ref().and_then(|subscription| subscription.status.as_ref()?.ledger.as_ref())
    }

    /// Returns whether the Subscription names this very ledger in its status.
    #[must_use]
    pub fn subscription_names_ledger(&self) -> bool {
        let named = self.shown_ledger().map(|ledger| ledger.uid.as_str());
        named.is_some() && named == self.ledger.as_ref().and_then(|ledger| ledger.metadata.uid.as_deref())
    }
}
