//! Writes receipts to statuses after a decision, and drops the facts whose verdict is final.

use std::collections::BTreeSet;

use flashgate_api::fact::FactStatus as _;
use flashgate_api::{CreditAdjustment, CreditPack, Payment, UsageReport};
use flashgate_ledger::decide::{Decision, ReportVerdict, Verdict};
use flashgate_ledger::period::seconds_after;

use super::Simulation;
use super::account::AccountKey;
use super::step::Kind;
use super::store::{ShownStatus, Status};
use crate::operator::judged_kind::{Finality, JudgedKind};
use crate::operator::project;

impl Simulation<'_> {
    /// Writes the verdicts of `decision` to the statuses of their objects, and drops the facts whose verdict is
    /// final.
    pub(super) fn write_receipts(&mut self, key: &AccountKey, decision: &Decision) {
        // A fact that waits only for the next commit at the same time gets its verdict right after.
        let is_passing =
            |verdict: &ReportVerdict| decision.has_more && matches!(verdict, ReportVerdict::Waits(_));
        let reports = decision.reports.iter().filter(|verdict| !is_passing(&verdict.verdict));
        let judged = self.write::<UsageReport>(key, reports);
        self.write::<CreditPack>(key, &decision.packs);
        self.write::<Payment>(key, &decision.payments);
        self.write::<CreditAdjustment>(key, &decision.adjustments);
        self.schedule_deletions(key, &judged);
    }

    /// Records when the sweep deletes the reports that have a verdict.
    fn schedule_deletions(&mut self, key: &AccountKey, judged: &[&Verdict<ReportVerdict>]) {
        let kept = i64::from(self.catalog.policies.reports.keep_for_seconds);
        let leave_time = seconds_after(self.now, kept);
        let Some(account) = self.accounts.get(key) else { return };
        for verdict in judged {
            let key = account.object(Kind::UsageReport, &verdict.name);
            self.deletions.push_back((leave_time, key, verdict.uid.clone()));
        }
    }

    /// Writes the verdicts to the objects of one kind. Drops and returns those that are final.
    ///
    /// An object whose verdict can change is kept. Its status is written again only when its state changes. The
    /// ledger keeps only the name of an old order, so a rewrite would lose the details of its receipt.
    fn write<'v, K: JudgedKind>(
        &mut self,
        key: &AccountKey,
        verdicts: impl IntoIterator<Item = &'v Verdict<K::Verdict>>,
    ) -> Vec<&'v Verdict<K::Verdict>>
    where
        K::Verdict: 'v,
        K::Status: ShownStatus,
    {
        let Some(account) = self.accounts.get_mut(key) else { return Vec::new() };
        let mut is_final = Vec::new();
        for verdict in verdicts {
            let object = self.store.get_mut(&account.object(K::KIND.into(), &verdict.name));
            let Some(object) = object.filter(|object| object.uid == verdict.uid) else { continue };
            let before = object.status.as_ref().and_then(K::Status::of);
            let status = K::show(before, object.generation, &verdict.verdict, account.ledger(), self.now);
            let finality = K::finality(&verdict.verdict);
            let shows_it = before.is_some_and(|before| before.state() == status.state());
            if finality != Finality::CanChange || !shows_it {
                object.status = Some(status.into());
            }
            if finality == Finality::Final {
                is_final.push(verdict);
            }
        }
        if !is_final.is_empty() {
            let names: BTreeSet<&str> = is_final.iter().map(|verdict| verdict.name.as_str()).collect();
            account.forget_facts::<K>(|name| names.contains(name));
        }
        is_final
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
        let ledger_state = account.ledger_state();
        let status = project::subscription_status(before, subscription, ledger_state, self.catalog, self.now);
        object.status = Some(Status::Subscription(Box::new(status)));
    }
}
