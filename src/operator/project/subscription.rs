//! The status of a Subscription.

use flashgate_api as api;
use flashgate_api::SubscriptionStatus;
use flashgate_api::reason::Reason;
use flashgate_api::subscription::{
    CreditsLeft, Forecast, Gate, LedgerReference, PackAllowance, PendingChange, Period, Statement,
    StatementState, ThisPeriod,
};
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::{Catalog, GatePolicy};
use flashgate_ledger::gate::{self, GateReason};
use flashgate_ledger::grant::GrantSource;
use flashgate_ledger::ledger::{Ledger, Violation};
use flashgate_ledger::statement;
use flashgate_ledger::threshold::thresholds;
use jiff::Timestamp;

use super::condition::{Finding, Readiness, conditions, replace_conditions};
use super::next_period::{NextPeriod, next_period};
use super::ready_condition::{absent, before_opening, in_force, readiness};
use super::{LedgerState, Trouble, amount, invoice, usage};

/// Number of statements of ended periods that are shown.
const STATEMENTS_SHOWN: usize = 3;
/// Most rates that the schema allows.
const RATES_SHOWN: usize = 1_024;

/// Returns the status of a Subscription.
///
/// # Guarantees
/// With the same ledger and generation, `now` changes only the pack allowance of the month and the end of the grace.
#[must_use]
pub fn subscription_status(
    before: Option<&SubscriptionStatus>,
    subscription: &api::Subscription,
    ledger_state: LedgerState<'_>,
    catalog: &Catalog,
    now: Timestamp,
) -> SubscriptionStatus {
    let view = View {
        before,
        subscription,
        generation: subscription.metadata.generation.unwrap_or_default(),
        catalog,
        now,
    };
    match ledger_state {
        LedgerState::Absent => view.unopened(),
        LedgerState::Sound { ledger, reference } => {
            view.held(ledger, reference).unwrap_or_else(|violation| view.troubled(&Trouble::from(&violation)))
        }
        LedgerState::Troubled(trouble) => view.troubled(&trouble),
    }
}

/// The input of a status, except the ledger.
#[derive(Clone, Copy)]
struct View<'a> {
    before: Option<&'a SubscriptionStatus>,
    subscription: &'a api::Subscription,
    generation: i64,
    catalog: &'a Catalog,
    now: Timestamp,
}

impl View<'_> {
    fn unopened(self) -> SubscriptionStatus {
        let findings = before_opening(self.subscription, self.now).findings();
        SubscriptionStatus {
            observed_generation: Some(self.generation),
            gate: Some(closed_gate(self.absent_reason())),
            conditions: conditions(self.conditions_before(), findings, self.generation, self.now),
            ..SubscriptionStatus::default()
        }
    }

    /// Keeps everything except the conditions, because `status.ledger` is needed to detect a lost ledger.
    fn troubled(self, trouble: &Trouble) -> SubscriptionStatus {
        let readiness = Readiness::stuck(trouble.reason(), trouble.to_string());
        SubscriptionStatus {
            observed_generation: Some(self.generation),
            conditions: replace_conditions(self.conditions_before(), readiness, self.generation, self.now),
            ..self.before.cloned().unwrap_or_default()
        }
    }

    fn held(self, ledger: &Ledger, reference: LedgerReference) -> Result<SubscriptionStatus, Violation> {
        let following = next_period(ledger, self.catalog).filter(|_| self.absent(ledger).is_none());
        let renewal_time =
            following.as_ref().filter(|following| following.plan.is_some()).map(|next| next.time);
        let terms = ledger.terms.as_ref().filter(|_| ledger.period.window.is_some());
        let findings = self.findings(ledger, following.as_ref())?;
        Ok(SubscriptionStatus {
            observed_generation: Some(self.generation),
            plan: terms.map(|terms| terms.plan.clone()),
            billing_period: terms.map(|terms| terms.billing_period),
            period: ledger.period.window.map(|window| Period {
                number: ledger.period.number.into(),
                start_time: window.start_time,
                end_time: window.end_time,
            }),
            renewal_time,
            pending_change: pending_change(ledger, following.as_ref()),
            credits: Some(credits_left(ledger)?),
            this_period: this_period(ledger)?,
            packs: Some(self.packs(ledger)),
            forecast: forecast(ledger, renewal_time)?,
            gate: Some(self.gate(ledger)?),
            invoices: invoice::invoices(ledger),
            statements: statements(ledger)?,
            ledger: Some(reference),
            conditions: conditions(self.conditions_before(), findings, self.generation, self.now),
        })
    }

    /// Returns the gate of the account (Law 29). It is closed while the Subscription counts as absent.
    fn gate(self, ledger: &Ledger) -> Result<Gate, Violation> {
        let policy = self.catalog.policies.gate;
        let worst_overshoot = ledger.worst_overshoot(policy).map(amount);
        if self.absent(ledger).is_some() {
            return Ok(Gate { worst_overshoot, ..closed_gate(self.absent_reason()) });
        }
        let gate::Gate { reason, since, closes_at: _ } = ledger.gate(policy, self.now)?;
        Ok(Gate { open: reason.is_open(), since, reason, worst_overshoot })
    }

    /// Returns why the gate is closed while there is no ledger, or while the Subscription counts as absent.
    fn absent_reason(self) -> GateReason {
        let is_deleted = self.subscription.metadata.deletion_timestamp.is_some();
        if is_deleted { GateReason::Deleting } else { GateReason::NotStarted }
    }

    /// Returns the readiness of the account while its Subscription counts as absent. No period follows the
    /// current one then.
    fn absent(self, ledger: &Ledger) -> Option<Readiness> {
        let uid = self.subscription.metadata.uid.as_deref();
        let was_seen = uid == Some(ledger.subscription.uid.as_str());
        let is_deleted = self.subscription.metadata.deletion_timestamp.is_some();
        absent(self.subscription, self.now).filter(|_| is_deleted || !was_seen)
    }

    fn conditions_before(&self) -> &[api::condition::Condition] {
        self.before.map(|before| before.conditions.as_slice()).unwrap_or_default()
    }

    fn findings(self, ledger: &Ledger, following: Option<&NextPeriod>) -> Result<Vec<Finding>, Violation> {
        let readiness = self
            .absent(ledger)
            .unwrap_or_else(|| readiness(ledger, self.subscription, self.catalog, following));
        let mut findings = readiness.findings();
        let is_active = ledger.terms.is_some();
        findings.push(Finding {
            kind: "Active",
            holds: is_active,
            reason: if is_active { Reason::PlanInForce } else { Reason::NoPlan },
            message: in_force(ledger),
        });
        if !is_active {
            // The remedy is a plan, not a pack (Law 23).
            return Ok(findings);
        }
        findings.push(self.credits_low(ledger)?);
        let balance = ledger.balance()?;
        let is_exhausted = balance <= ledger.exhaustion_limit();
        findings.push(Finding {
            kind: "CreditsExhausted",
            holds: is_exhausted,
            reason: if is_exhausted { Reason::CreditsExhausted } else { Reason::CreditsLeft },
            message: if is_exhausted {
                format!(
                    "the balance is {balance}: usage becomes debt until credits arrive; buy a pack or upgrade"
                )
            } else {
                format!("the balance is {balance}")
            },
        });
        Ok(findings)
    }

    /// Returns the condition `CreditsLow`: whether the first threshold is reached (Law 23).
    fn credits_low(self, ledger: &Ledger) -> Result<Finding, Violation> {
        let own = self.subscription.spec.alert_thresholds_percent.as_deref();
        let own: Option<Vec<u32>> =
            own.map(|own| own.iter().filter_map(|percent| u32::try_from(*percent).ok()).collect());
        let state = ledger.threshold_state(thresholds(own.as_deref(), &self.catalog.policies))?;
        let message = match (state.used_percent, state.first_percent) {
            (Some(used), Some(first)) => {
                format!("{used} % of the period's credits are used; the first alert threshold is {first} %")
            }
            (Some(used), None) => {
                format!("{used} % of the period's credits are used; there is no alert threshold")
            }
            (None, _) => "there is no period".to_owned(),
        };
        let reason = if state.is_reached { Reason::ThresholdReached } else { Reason::BelowThreshold };
        Ok(Finding { kind: "CreditsLow", holds: state.is_reached, reason, message })
    }

    /// Returns the pack allowance of the month that contains `now` (Law 14).
    fn packs(self, ledger: &Ledger) -> PackAllowance {
        let allowance = ledger.pack_allowance(self.catalog.policies.pack_limit, None, self.now);
        PackAllowance {
            limit: whole(allowance.max),
            used: whole(allowance.used),
            used_of_limit: format!("{}/{}", allowance.used, allowance.max),
            window_start_time: allowance.month.start_time,
            window_end_time: allowance.month.end_time,
            next_available_time: allowance.next_available_time(),
        }
    }
}

/// Returns when the status at `now` changes without a commit: when the next month of the pack limit begins, or when the
/// grace of the gate ends.
#[must_use]
pub fn shown_until(ledger: &Ledger, policy: GatePolicy, now: Timestamp) -> Timestamp {
    let month_end = ledger.pack_month(now).end_time;
    let closes_at = ledger.gate(policy, now).ok().and_then(|gate| gate.closes_at);
    closes_at.map_or(month_end, |closes_at| closes_at.min(month_end))
}

/// Returns the closed gate of an account.
fn closed_gate(reason: GateReason) -> Gate {
    Gate { open: false, since: None, reason, worst_overshoot: None }
}

/// Returns a count as `i32`. The bounds of the schema are far below its maximum.
fn whole(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Returns the change at the period's end: a downgrade, or the lapse that `renewal: None` asks for (Laws 13,
/// 16).
fn pending_change(ledger: &Ledger, following: Option<&NextPeriod>) -> Option<PendingChange> {
    let following = following?;
    if following.ends_as_asked {
        let next = following.plan.as_ref()?;
        return Some(PendingChange {
            plan: next.plan.clone(),
            billing_period: next.billing_period,
            effective_time: following.time,
        });
    }
    ledger.pending_change.as_ref().map(|change| PendingChange {
        plan: change.plan.clone(),
        billing_period: change.billing_period,
        effective_time: change.effective_time,
    })
}

fn credits_left(ledger: &Ledger) -> Result<CreditsLeft, Violation> {
    let left = |is_of: fn(&GrantSource) -> bool| {
        let grants = ledger.grants.iter().filter(|grant| grant.is_current() && is_of(&grant.source));
        Credits::sum(grants.map(|grant| grant.remaining)).map(amount)
    };
    Ok(CreditsLeft {
        balance: amount(ledger.balance()?),
        plan: left(|source| matches!(source, GrantSource::Plan { .. }))?,
        packs: left(|source| matches!(source, GrantSource::Pack { .. }))?,
        adjustments: left(|source| matches!(source, GrantSource::Adjustment { .. }))?,
        debt: amount(ledger.debt),
        settling: amount(ledger.settling()?),
    })
}

fn this_period(ledger: &Ledger) -> Result<Option<ThisPeriod>, Violation> {
    let (Some(current), Some(used_percent)) = (ledger.statements.current(), ledger.used_percent()?) else {
        return Ok(None);
    };
    let statement::Book { opening, granted, purchased, adjusted, refunded, consumed, expired } = current.book;
    Ok(Some(ThisPeriod {
        opening: amount(opening),
        granted: amount(granted),
        purchased: amount(purchased),
        adjusted: amount(adjusted),
        consumed: amount(consumed),
        refunded: amount(refunded),
        expired: amount(expired),
        used_percent: amount(used_percent),
        usage: ledger.usage.iter().take(RATES_SHOWN).map(usage).collect(),
    }))
}

fn forecast(ledger: &Ledger, renewal_time: Option<Timestamp>) -> Result<Option<Forecast>, Violation> {
    Ok(ledger.forecast()?.map(|forecast| Forecast {
        as_of_time: forecast.as_of_time,
        credits_per_day: amount(forecast.credits_per_day),
        exhaustion_time: forecast.exhaustion_time,
        exhausts_before_renewal: forecast
            .exhaustion_time
            .zip(renewal_time)
            .map(|(exhaustion, renewal)| exhaustion < renewal),
    }))
}

/// Returns the statements of the last ended periods, oldest first.
fn statements(ledger: &Ledger) -> Result<Vec<Statement>, Violation> {
    let ended: Vec<_> =
        ledger.statements.kept.iter().filter(|statement| statement.final_time.is_some()).collect();
    let older = ended.len().saturating_sub(STATEMENTS_SHOWN);
    ended.into_iter().skip(older).map(show_statement).collect()
}

fn show_statement(ended: &statement::Statement) -> Result<Statement, Violation> {
    let statement::Statement {
        period_number,
        start_time,
        end_time,
        plan,
        billing_period,
        final_time: _,
        is_final,
        book,
    } = ended;
    let statement::Book { opening, granted, purchased, adjusted, refunded, consumed, expired } = *book;
    Ok(Statement {
        number: (*period_number).into(),
        start_time: *start_time,
        end_time: *end_time,
        plan: plan.clone(),
        billing_period: *billing_period,
        state: if *is_final { StatementState::Final } else { StatementState::Open },
        opening: amount(opening),
        granted: amount(granted),
        purchased: amount(purchased),
        adjusted: amount(adjusted),
        refunded: amount(refunded),
        consumed: amount(consumed),
        expired: amount(expired),
        closing: amount(book.closing()?),
    })
}
