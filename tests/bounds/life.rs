//! One account with extreme facts.

use flashgate_api as api;
use flashgate_api::subscription::LedgerReference;
use flashgate_api::{CreditAdjustment, CreditLedgerSpec, CreditPack, Payment, UsageReport};
use flashgate_billing::operator::convert::ledger_to_wire;
use flashgate_billing::operator::project::{self, LedgerState};
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::decide::{Decision, decide};
use flashgate_ledger::facts::Facts;
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::period::seconds_after;
use flashgate_testing::Random;
use flashgate_testing::receipts::{confirm_receipts, remove_judged};
use jiff::Timestamp;

use crate::bounds::deeds::{self, DEEDS};
use crate::bounds::judge::Judge;

/// Decisions at one instant after which the account should be quiet.
const DECISIONS: usize = 400;

/// An account, the facts about it, and the results.
pub struct Life<'a> {
    pub(crate) random: Random,
    pub(crate) catalog: Catalog,
    pub(crate) facts: Facts,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) now: Timestamp,
    /// Whether receipts are confirmed.
    pub(crate) acknowledges: bool,
    /// Objects so far.
    pub(crate) objects: usize,
    stored: Option<CreditLedgerSpec>,
    judge: &'a mut Judge,
}

impl<'a> Life<'a> {
    /// Begins the life of `seed`.
    pub fn begin(seed: u64, judge: &'a mut Judge) -> Self {
        let mut random = Random::new(seed, 26);
        let name = if random.chance(300) { "a".repeat(253) } else { "acme".to_owned() };
        let catalog = deeds::catalog(&mut random);
        let facts = Facts { name, new_account_id: "1f3a9c2e".to_owned(), ..Facts::default() };
        let now = seconds_after(Timestamp::UNIX_EPOCH, 1_769_853_600);
        Self {
            random,
            catalog,
            facts,
            ledger: None,
            now,
            acknowledges: true,
            objects: 0,
            stored: None,
            judge,
        }
    }

    /// Plays it to its end.
    pub fn play(mut self) -> Result<(), String> {
        deeds::subscribe(&mut self);
        self.settle()?;
        for _ in 0..self.random.between(4, DEEDS) {
            let wait = self.random.pick(&[0, 0, 0, 1, 3_600, 3_600, 86_400, 86_400, 3_000_000, 40_000_000]);
            self.pass(wait)?;
            deeds::deed(&mut self)?;
            self.settle()?;
            self.show()?;
        }
        self.acknowledges = true;
        self.pass(3_000_000)?;
        self.settle()?;
        self.show()
    }

    /// Lets time pass; the operator wakes when it asked to, as far as that is of interest.
    fn pass(&mut self, seconds: i64) -> Result<(), String> {
        let until = seconds_after(self.now, seconds);
        for _ in 0..20 {
            let Some(wake) = self.decide()?.wake_time.filter(|wake| *wake < until) else { break };
            self.now = wake.max(self.now);
            self.settle()?;
        }
        self.now = until;
        Ok(())
    }

    /// Decides until nothing is left to do.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..DECISIONS {
            let decision = self.decide()?;
            let is_quiet = decision.commit.is_none();
            self.take(decision)?;
            if is_quiet {
                return Ok(());
            }
        }
        Err(format!("it is not quiet at {}", self.now))
    }

    fn decide(&self) -> Result<Decision, String> {
        decide(self.ledger.as_ref(), &self.facts, &self.catalog, self.now)
            .map_err(|violation| format!("{violation} at {}", self.now))
    }

    fn take(&mut self, mut decision: Decision) -> Result<(), String> {
        if let Some(ledger) = decision.commit.take() {
            let spec = ledger_to_wire(
                &ledger,
                self.stored.as_ref(),
                &decision.entries,
                "default/acme",
                "operator-0",
            );
            self.stored = Some(spec);
            self.ledger = Some(*ledger);
        }
        self.judge_verdicts(&decision)?;
        remove_judged(&mut self.facts, &decision);
        if self.acknowledges {
            confirm_receipts(&mut self.facts, self.ledger.as_ref());
        }
        Ok(())
    }

    /// Judges the receipts of a few of each kind.
    fn judge_verdicts(&mut self, decision: &Decision) -> Result<(), String> {
        let (ledger, now) = (self.ledger.as_ref(), self.now);
        if let Some(verdict) = decision.reports.last() {
            let mut report = UsageReport::new("report", deeds::report_spec());
            report.status = Some(project::report_status(None, 1, &verdict.verdict, now));
            self.judge.object(&report)?;
        }
        if let Some(verdict) = decision.packs.last() {
            let mut pack = CreditPack::new("pack", deeds::pack_spec());
            pack.status = Some(project::pack_status(None, 1, &verdict.verdict, ledger, now));
            self.judge.object(&pack)?;
        }
        if let Some(verdict) = decision.payments.last() {
            let mut payment = Payment::new("payment", deeds::payment_spec());
            payment.status = Some(project::payment_status(None, 1, &verdict.verdict, now));
            self.judge.object(&payment)?;
        }
        if let Some(verdict) = decision.adjustments.last() {
            let mut adjustment = CreditAdjustment::new("adjustment", deeds::adjustment_spec());
            adjustment.status = Some(project::adjustment_status(None, 1, &verdict.verdict, now));
            self.judge.object(&adjustment)?;
        }
        Ok(())
    }

    /// Judges the ledger and what the Subscription shows of it.
    fn show(&mut self) -> Result<(), String> {
        let (Some(ledger), Some(stored)) = (&self.ledger, &self.stored) else { return Ok(()) };
        self.judge.ledger(&self.facts.name, stored)?;
        let mut subscription = api::Subscription::new(&self.facts.name, deeds::subscription_spec());
        subscription.metadata.generation = Some(1);
        let reference =
            LedgerReference { uid: "uid".to_owned(), sequence: stored.sequence, hash: stored.hash.clone() };
        let ledger_state = LedgerState::Sound { ledger, reference };
        let status = project::subscription_status(None, &subscription, ledger_state, &self.catalog, self.now);
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        if let Some(ready) = ready.filter(|ready| ready.reason == "LedgerInconsistent") {
            return Err(format!("{} at {}", ready.message, self.now));
        }
        subscription.status = Some(status);
        self.judge.object(&subscription)
    }
}
