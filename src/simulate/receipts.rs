//! Receipts: what the operator writes into statuses after a decision, and the end of what is decided.

use std::collections::BTreeSet;

use flashgate_api::{CreditAdjustmentState, CreditPackState, CreditPackStatus, UsageReportState};
use flashgate_ledger::decide::{Decision, PackVerdict, PaymentVerdict, ReportVerdict, Verdict};
use flashgate_ledger::payment::PaymentOutcome;
use flashgate_ledger::period::seconds_after;

use super::Simulation;
use super::account::{Account, AccountKey};
use super::step::Kind;
use super::store::{Object, Status};
use crate::operator::project;

impl Simulation<'_> {
    /// Writes the statuses of all objects that `decision` says something about; forgets what is final.
    pub(super) fn write_receipts(&mut self, key: &AccountKey, decision: &Decision) {
        self.write_report_receipts(key, decision);
        self.write_pack_receipts(key, decision);
        let now = self.now;
        self.write(key, Kind::Payment, &decision.payments, |_, object, verdict| {
            let before = match &object.status {
                Some(Status::Payment(status)) => Some(status),
                _ => None,
            };
            let status = project::payment_status(before, object.generation, verdict, now);
            // What is due back may yet be returned, so it stays in sight.
            let is_final =
                matches!(verdict, PaymentVerdict::Judged(outcome) if *outcome != PaymentOutcome::RefundDue);
            (Status::Payment(status), is_final)
        });
        self.write(key, Kind::CreditAdjustment, &decision.adjustments, |_, object, verdict| {
            let before = match &object.status {
                Some(Status::Adjustment(status)) => Some(status),
                _ => None,
            };
            let status = project::adjustment_status(before, object.generation, verdict, now);
            let is_final =
                matches!(status.state, Some(CreditAdjustmentState::Granted | CreditAdjustmentState::Refused));
            (Status::Adjustment(status), is_final)
        });
    }

    /// Writes the verdicts on reports, and notes when the sweep will take them.
    fn write_report_receipts(&mut self, key: &AccountKey, decision: &Decision) {
        let now = self.now;
        // What waits only for the next commit of this very instant has its verdict in a moment.
        let is_passing =
            |verdict: &ReportVerdict| decision.has_more && matches!(verdict, ReportVerdict::Waits(_));
        let verdicts = decision.reports.iter().filter(|verdict| !is_passing(&verdict.verdict));
        let over = self.write(key, Kind::UsageReport, verdicts, |_, object, verdict| {
            let before = match &object.status {
                Some(Status::Report(status)) => Some(status),
                _ => None,
            };
            let status = project::report_status(before, object.generation, verdict, now);
            let is_final =
                matches!(status.state, Some(UsageReportState::Charged | UsageReportState::Rejected));
            (Status::Report(status), is_final)
        });
        let gone_time = seconds_after(now, i64::from(self.catalog.policies.reports.keep_for_seconds));
        let Some(account) = self.accounts.get(key) else { return };
        for verdict in over {
            let key = account.object(Kind::UsageReport, &verdict.name);
            self.leaving.push_back((gone_time, key, verdict.uid.clone()));
        }
    }

    /// Writes the states of packs; one that is granted may still be refunded, so it stays in sight. Until then its
    /// receipt is not written again: an old order is remembered by its name alone.
    fn write_pack_receipts(&mut self, key: &AccountKey, decision: &Decision) {
        let now = self.now;
        self.write(key, Kind::CreditPack, &decision.packs, |account, object, verdict: &PackVerdict| {
            let ledger = account.ledger();
            let before = match &object.status {
                Some(Status::Pack(status)) => Some(status),
                _ => None,
            };
            let status = project::pack_status(before, object.generation, verdict, ledger, now);
            let granted = |status: &&CreditPackStatus| status.state == Some(CreditPackState::Granted);
            if let Some(before) = before.filter(granted).filter(|_| granted(&&status)) {
                return (Status::Pack(before.clone()), false);
            }
            let is_final = matches!(status.state, Some(CreditPackState::Refused | CreditPackState::Refunded));
            (Status::Pack(status), is_final)
        });
    }

    /// Writes what `receipt` makes of each verdict; forgets, and returns, those that are final.
    fn write<'v, T>(
        &mut self,
        key: &AccountKey,
        kind: Kind,
        verdicts: impl IntoIterator<Item = &'v Verdict<T>>,
        receipt: impl Fn(&Account, &Object, &T) -> (Status, bool),
    ) -> Vec<&'v Verdict<T>> {
        let Some(account) = self.accounts.get_mut(key) else { return Vec::new() };
        let mut over = Vec::new();
        for verdict in verdicts {
            let object = self.store.get_mut(&account.object(kind, &verdict.name));
            let Some(object) = object.filter(|object| object.uid == verdict.uid) else { continue };
            let (status, is_final) = receipt(account, object, &verdict.verdict);
            object.status = Some(status);
            if is_final {
                over.push(verdict);
            }
        }
        if !over.is_empty() {
            let names: BTreeSet<&str> = over.iter().map(|verdict| verdict.name.as_str()).collect();
            account.forget(kind, |name| names.contains(name));
        }
        over
    }

    /// Writes the status of an account's Subscription.
    pub(super) fn show(&mut self, key: &AccountKey) {
        let Some(account) = self.accounts.get(key) else { return };
        let Some(subscription) = account.subscription() else { return };
        let Some(object) = self.store.get_mut(&account.object(Kind::Subscription, &key.name)) else { return };
        let before = match &object.status {
            Some(Status::Subscription(status)) => Some(&**status),
            _ => None,
        };
        let book = account.shown_book();
        let status = project::subscription_status(before, subscription, book, self.catalog, self.now);
        object.status = Some(Status::Subscription(Box::new(status)));
    }
}
