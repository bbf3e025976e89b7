//! One account with extreme facts.

use flashgate_api as api;
use flashgate_api::subscription::LedgerReference;
use flashgate_api::{CreditAdjustment, CreditLedgerSpec, CreditPack, Payment, UsageReport};
use flashgate_billing::operator::project::{self, LedgerState};
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::decide::{Decision, decide};
use flashgate_ledger::facts::Facts;
use flashgate_ledger::ledger::Ledger;
use flashgate_ledger::period::seconds_after;
use flashgate_preview::convert::{Commit, ledger_to_wire};
use flashgate_testing::Random;
use flashgate_testing::receipts::{confirm_receipts, remove_judged};
use jiff::Timestamp;

use crate::bounds::actions::{self, MAX_ACTIONS};
use crate::bounds::validator::Validator;

/// Maximum number of decisions at one time before the account must be quiet.
const DECISIONS: usize = 400;

/// A run: an account, its facts, and its results.
pub struct Run<'a> {
    pub(crate) random: Random,
    pub(crate) catalog: Catalog,
    pub(crate) facts: Facts,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) now: Timestamp,
    /// Whether the operator's receipts are confirmed.
    pub(crate) confirms_receipts: bool,
    /// Number of objects created.
    pub(crate) objects: usize,
    stored: Option<CreditLedgerSpec>,
    validator: &'a mut Validator,
}

impl<'a> Run<'a> {
    /// Starts the run of `seed`.
    pub fn new(seed: u64, validator: &'a mut Validator) -> Self {
        let mut random = Random::new(seed, 26);
        let name = if random.chance(300) { "a".repeat(253) } else { "acme".to_owned() };
        let catalog = actions::catalog(&mut random);
        let facts = Facts { name, new_account_id: "1f3a9c2e".to_owned(), ..Facts::default() };
        let now = seconds_after(Timestamp::UNIX_EPOCH, 1_769_853_600);
        Self {
            random,
            catalog,
            facts,
            ledger: None,
            now,
            confirms_receipts: true,
            objects: 0,
            stored: None,
            validator,
        }
    }

    /// Plays the run to its end.
    pub fn play(mut self) -> Result<(), String> {
        actions::subscribe(&mut self);
        self.settle()?;
        for _ in 0..self.random.between(4, MAX_ACTIONS) {
            let wait = self.random.pick(&[0, 0, 0, 1, 3_600, 3_600, 86_400, 86_400, 3_000_000, 40_000_000]);
            self.advance_clock(wait)?;
            actions::act(&mut self)?;
            self.settle()?;
            self.validate_ledger_and_status()?;
        }
        self.confirms_receipts = true;
        self.advance_clock(3_000_000)?;
        self.settle()?;
        self.validate_ledger_and_status()
    }

    /// Advances the clock, and decides at the first 20 wake times on the way.
    fn advance_clock(&mut self, seconds: i64) -> Result<(), String> {
        let until = seconds_after(self.now, seconds);
        for _ in 0..20 {
            let Some(wake) = self.decide()?.wake_time.filter(|wake| *wake < until) else { break };
            self.now = wake.max(self.now);
            self.settle()?;
        }
        self.now = until;
        Ok(())
    }

    /// Decides until there is nothing left to commit.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..DECISIONS {
            let decision = self.decide()?;
            let is_quiet = decision.commit.is_none();
            self.apply(decision)?;
            if is_quiet {
                return Ok(());
            }
        }
        Err(format!("the account is not quiet at {}", self.now))
    }

    fn decide(&self) -> Result<Decision, String> {
        decide(self.ledger.as_ref(), &self.facts, &self.catalog, self.now)
            .map_err(|violation| format!("{violation} at {}", self.now))
    }

    fn apply(&mut self, mut decision: Decision) -> Result<(), String> {
        if let Some(ledger) = decision.commit.take() {
            let spec = ledger_to_wire(
                &ledger,
                self.stored.as_ref(),
                &decision.entries,
                Commit::of("default/acme", "operator-0"),
            );
            self.stored = Some(spec);
            self.ledger = Some(*ledger);
        }
        self.validate_statuses(&decision)?;
        remove_judged(&mut self.facts, &decision);
        if self.confirms_receipts {
            confirm_receipts(&mut self.facts, self.ledger.as_ref());
        }
        Ok(())
    }

    /// Validates one status of each kind that the decision changes.
    fn validate_statuses(&mut self, decision: &Decision) -> Result<(), String> {
        let (ledger, now) = (self.ledger.as_ref(), self.now);
        if let Some(verdict) = decision.reports.last() {
            let mut report = UsageReport::new("report", actions::report_spec());
            report.status = Some(project::report_status(None, 1, &verdict.verdict, now));
            self.validator.object(&report)?;
        }
        if let Some(verdict) = decision.packs.last() {
            let mut pack = CreditPack::new("pack", actions::pack_spec());
            pack.status = Some(project::pack_status(None, 1, &verdict.verdict, ledger, now));
            self.validator.object(&pack)?;
        }
        if let Some(verdict) = decision.payments.last() {
            let mut payment = Payment::new("payment", actions::payment_spec());
            payment.status = Some(project::payment_status(None, 1, &verdict.verdict, now));
            self.validator.object(&payment)?;
        }
        if let Some(verdict) = decision.adjustments.last() {
            let mut adjustment = CreditAdjustment::new("adjustment", actions::adjustment_spec());
            adjustment.status = Some(project::adjustment_status(None, 1, &verdict.verdict, now));
            self.validator.object(&adjustment)?;
        }
        Ok(())
    }

    /// Validates the ledger and the status of the Subscription.
    fn validate_ledger_and_status(&mut self) -> Result<(), String> {
        let (Some(ledger), Some(stored)) = (&self.ledger, &self.stored) else { return Ok(()) };
        self.validator.ledger(&self.facts.name, stored)?;
        let mut subscription = api::Subscription::new(&self.facts.name, actions::subscription_spec());
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
        self.validator.object(&subscription)
    }
}
