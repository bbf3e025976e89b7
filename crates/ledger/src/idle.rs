//! Facts while there is no account: they are pending until their time is over.

use jiff::Timestamp;

use crate::adjustment::AdjustmentOutcome;
use crate::catalog::Catalog;
use crate::decision::{Decision, WaitBasis};
use crate::entry::{Detail, Entry, FactKind, ObjectName};
use crate::facts::{Adjustment, Facts, PackOrder, Payment, Report};
use crate::payment::PaymentOutcome;
use crate::period::seconds_after;
use crate::purchase::{ORDER_WAITS_HOURS, OrderState, order_waits_until};
use crate::queue::{Acceptance, Identities, Presence};
use crate::refusal::Refusal;
use crate::verdict::{AdjustmentVerdict, PackVerdict, PaymentVerdict, ReportVerdict, Verdict, Wait};

/// Returns the verdicts while there is no account. Facts are pending. A fact without a Subscription is refused
/// when its time is over.
pub(crate) fn wait_for_account(facts: &Facts, catalog: &Catalog, now: Timestamp) -> Decision {
    let presence = facts.subscription.as_ref().map(|subscription| Presence {
        exists_from: subscription.arrival,
        acts_from: subscription.start_time.unwrap_or(subscription.arrival).max(subscription.arrival),
    });
    let last_over = if facts.instant_is_open { seconds_after(now, -1) } else { now };
    let wake_time = presence.map(|presence| presence.acts_from);
    let accept_for_seconds = catalog.policies.accept_usage_for_seconds;
    let acceptance = Acceptance {
        presence,
        start_time: None,
        begin_time: presence.map_or(Timestamp::MAX, |presence| presence.acts_from),
        accept_for_seconds,
        accept_ahead_seconds: catalog.policies.accept_ahead_seconds,
    };
    let next_report = acceptance.next_time(&facts.reports, &Identities::new(), now, facts.instant_is_open);
    let wake_time = wake_time.into_iter().chain(next_report).min();
    let mut idle = Idle { now, last_over, presence, entries: Vec::new(), wake_time };
    let late = |report: &Report| Refusal::too_late(report.window.start_time, accept_for_seconds);
    let missing = || Refusal::subscription_not_found(&facts.name, ORDER_WAITS_HOURS);
    let over = acceptance.unusual(&facts.reports, last_over);
    let over = over.filter(|(schedule, _)| schedule.time <= last_over).map(|(_, report)| report);
    let reports = idle.judge(over.chain(facts.asked_reports()), FactKind::UsageReport, |report| {
        let until = acceptance.waits_until(report);
        Candidate::of(&report.name, &report.uid, report.arrival, until, late(report))
    });
    let payments = idle.judge(&facts.payments, FactKind::Payment, |payment| {
        let refusal = Refusal::invoice_of_no_account(&payment.invoice, &facts.name, ORDER_WAITS_HOURS);
        let Payment { name, uid, arrival, .. } = payment;
        Candidate::of(name, uid, *arrival, order_waits_until(*arrival), refusal)
    });
    let packs = idle.judge(&facts.packs, FactKind::CreditPack, |pack| {
        let PackOrder { name, uid, arrival, .. } = pack;
        Candidate::of(name, uid, *arrival, order_waits_until(*arrival), missing())
    });
    let adjustments = idle.judge(&facts.adjustments, FactKind::CreditAdjustment, |adjustment| {
        let Adjustment { name, uid, arrival, .. } = adjustment;
        Candidate::of(name, uid, *arrival, order_waits_until(*arrival), missing())
    });
    idle.entries.sort_by_key(|entry| entry.time);
    Decision {
        commit: None,
        entries: idle.entries,
        closed_gaps: Vec::new(),
        reports: reports
            .map_verdicts(|judged| judged.map_or_else(ReportVerdict::Waits, ReportVerdict::Rejected)),
        packs: packs.map_verdicts(|judged| {
            judged
                .map_or_else(PackVerdict::Waits, |refusal| PackVerdict::Ordered(OrderState::Refused(refusal)))
        }),
        payments: payments.map_verdicts(|judged| {
            let refused = |refusal| PaymentVerdict::Judged(PaymentOutcome::Refused(refusal));
            judged.map_or_else(PaymentVerdict::Waits, refused)
        }),
        adjustments: adjustments.map_verdicts(|judged| {
            let refused = |refusal| AdjustmentVerdict::Judged(AdjustmentOutcome::Refused(refusal));
            judged.map_or_else(AdjustmentVerdict::Waits, refused)
        }),
        wake_time: idle.wake_time.map(|time| time.max(seconds_after(now, i64::from(facts.instant_is_open)))),
        has_more: false,
        waits_for_receipts: false,
        wait_basis: WaitBasis(acceptance),
    }
}

/// A fact that is pending until its account begins.
struct Candidate<'f> {
    name: &'f str,
    uid: &'f str,
    arrival: Timestamp,
    /// Last instant at which a Subscription is in time, and the refusal after it.
    until: Timestamp,
    refusal: Refusal,
}

impl<'f> Candidate<'f> {
    fn of(name: &'f str, uid: &'f str, arrival: Timestamp, until: Timestamp, refusal: Refusal) -> Self {
        Self { name, uid, arrival, until, refusal }
    }
}

/// Judges facts while there is no account.
struct Idle {
    now: Timestamp,
    /// Last instant that has passed.
    last_over: Timestamp,
    presence: Option<Presence>,
    entries: Vec<Entry>,
    wake_time: Option<Timestamp>,
}

/// Verdicts of facts without an account: refused, or waiting.
struct IdleVerdicts(Vec<Verdict<Result<Refusal, Wait>>>);

impl IdleVerdicts {
    fn map_verdicts<T>(self, map: impl Fn(Result<Refusal, Wait>) -> T) -> Vec<Verdict<T>> {
        let map = |Verdict { name, uid, verdict }| Verdict { name, uid, verdict: map(verdict) };
        self.0.into_iter().map(map).collect()
    }
}

impl Idle {
    fn judge<'f, F: 'f>(
        &mut self,
        facts: impl IntoIterator<Item = &'f F>,
        kind: FactKind,
        limits: impl Fn(&'f F) -> Candidate<'f>,
    ) -> IdleVerdicts {
        let mut facts: Vec<_> = facts.into_iter().map(limits).collect();
        facts.sort_by_key(|waiting| (waiting.name, waiting.uid));
        facts.dedup_by_key(|waiting| (waiting.name, waiting.uid));
        let judged = facts.into_iter().map(|waiting| {
            let (name, uid) = (waiting.name.to_owned(), waiting.uid.to_owned());
            Verdict { name, uid, verdict: self.judge_one(kind, waiting) }
        });
        IdleVerdicts(judged.collect())
    }

    fn judge_one(&mut self, kind: FactKind, waiting: Candidate<'_>) -> Result<Refusal, Wait> {
        let Candidate { name, arrival, until, refusal, .. } = waiting;
        let found = self.presence.filter(|presence| presence.exists_from <= until);
        let wait = match found {
            _ if arrival > self.now => Wait::ArrivalInFuture(arrival),
            Some(Presence { acts_from, .. }) => Wait::NotStarted(acts_from),
            None if until <= self.last_over => {
                self.entries.push(Entry {
                    time: until,
                    credits: crate::Credits::ZERO,
                    balance: crate::Credits::ZERO,
                    detail: Detail::Refused {
                        object: ObjectName { kind, name: name.to_owned() },
                        refusal: refusal.clone(),
                    },
                });
                return Ok(refusal);
            }
            None => Wait::NoSubscription(until),
        };
        self.wake_time = self.wake_time.into_iter().chain(wait.ends()).min();
        Err(wait)
    }
}
