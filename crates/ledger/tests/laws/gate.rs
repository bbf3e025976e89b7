//! Law 29: the overdraft, the gate with its grace, and the worst overshoot.

use flashgate_ledger::Credits;
use flashgate_ledger::catalog::{Catalog, GatePolicy};
use flashgate_ledger::entry::Detail;
use flashgate_ledger::facts::Renewal;
use flashgate_ledger::gate::{Gate, GateReason};
use flashgate_ledger::period::{Window, utc_date};
use flashgate_testing::TestAccount;
use flashgate_testing::catalog::shipped;
use flashgate_testing::script::any_account;
use flashgate_testing::values::{credits, time};
use jiff::Timestamp;
use proptest::prelude::*;

/// Returns the shipped catalog with an overdraft of 50 for the plan `starter` and a grace of an hour.
fn lenient() -> Catalog {
    let mut catalog = shipped();
    catalog.plans.iter_mut().find(|plan| plan.name == "starter").expect("starter").overdraft = credits("50");
    catalog.policies.gate = GatePolicy { grace_seconds: 3_600, cache_seconds: 0 };
    catalog
}

fn on_starter(catalog: Catalog) -> TestAccount {
    let mut account = TestAccount::new(catalog);
    account.subscribe("2026-01-01T00:00", "starter");
    account
}

fn gate(account: &TestAccount) -> Gate {
    account.ledger().gate(account.catalog.policies.gate, account.now).expect("gate")
}

/// Returns the reason of the gate, and since when, if there is a time.
fn summary(account: &TestAccount) -> (GateReason, Option<Timestamp>) {
    let Gate { reason, since, .. } = gate(account);
    (reason, since)
}

#[test]
fn without_an_overdraft_the_gate_closes_at_zero_and_not_above() {
    let mut account = on_starter(shipped());
    account.consume("2026-01-02T00:00", "1099.999999999");
    assert_eq!(summary(&account), (GateReason::CreditsLeft, None));
    account.consume("2026-01-02T01:00", "0.000000001");
    assert_eq!(summary(&account), (GateReason::CreditsExhausted, Some(time("2026-01-02T01:00"))));
}

#[test]
fn an_overdraft_moves_the_limit_and_changes_no_charge() {
    let mut account = on_starter(lenient());
    account.catalog.policies.gate.grace_seconds = 0;
    account.consume("2026-01-02T00:00", "1149.5");
    assert_eq!((account.balance().as_str(), summary(&account)), ("-49.5", (GateReason::CreditsLeft, None)));
    assert_eq!(account.ledger().debt, credits("49.5"), "the overdraft is debt like any other");
    account.consume("2026-01-02T01:00", "0.5");
    assert_eq!(summary(&account), (GateReason::CreditsExhausted, Some(time("2026-01-02T01:00"))));
}

#[test]
fn the_overdraft_in_force_is_the_one_of_the_terms_until_the_next_period() {
    let mut account = on_starter(lenient());
    account.consume("2026-01-02T00:00", "1120");
    account.catalog = shipped();
    account.until("2026-01-20T00:00");
    assert_eq!(
        summary(&account).0,
        GateReason::CreditsLeft,
        "a catalog edit changes no terms in force (Law 20)"
    );
    account.consume("2026-01-31T00:00", "1");
    account.until("2026-02-01T00:00");
    account.consume("2026-02-02T00:00", "1079");
    assert_eq!((account.balance().as_str(), summary(&account).0), ("0", GateReason::CreditsExhausted));
}

#[test]
fn grace_counts_from_the_first_crossing_and_again_after_each_thaw() {
    let mut account = on_starter(lenient());
    account.consume("2026-01-02T00:10", "1150");
    let crossing = time("2026-01-02T00:10");
    let closes_at = Some(time("2026-01-02T01:10"));
    assert_eq!(gate(&account), Gate { reason: GateReason::InGrace, since: Some(crossing), closes_at });
    account.consume("2026-01-02T00:40", "10");
    assert_eq!(gate(&account).closes_at, closes_at, "more usage does not extend the grace");
    account.until("2026-01-02T01:09:59");
    assert!(gate(&account).reason.is_open());
    account.until("2026-01-02T01:10");
    let closed = Gate { reason: GateReason::CreditsExhausted, since: Some(crossing), closes_at: None };
    assert_eq!(gate(&account), closed);
    account.buy("2026-01-02T02:00", "small", "plus-100");
    assert_eq!(summary(&account), (GateReason::CreditsLeft, None));
    account.consume("2026-01-02T03:00", "100");
    assert_eq!(summary(&account), (GateReason::InGrace, Some(time("2026-01-02T03:00"))));
}

#[test]
fn credits_that_do_not_reach_the_limit_do_not_thaw() {
    let mut account = on_starter(shipped());
    account.consume("2026-01-02T00:00", "1300");
    account.buy("2026-01-03T00:00", "small", "plus-100");
    assert_eq!(account.balance(), "-100");
    assert_eq!(summary(&account), (GateReason::CreditsExhausted, Some(time("2026-01-02T00:00"))));
    account.buy("2026-01-03T00:00", "equal", "plus-100");
    assert_eq!(summary(&account).0, GateReason::CreditsExhausted, "a balance of zero is exhausted");
    account.adjust("2026-01-03T00:00", "least", "0.000000001", None);
    assert_eq!(summary(&account), (GateReason::CreditsLeft, None));
}

#[test]
fn a_renewal_thaws_and_an_expiration_at_the_boundary_does_not_close() {
    let mut account = on_starter(shipped());
    account.consume("2026-01-02T00:00", "1100");
    account.until("2026-01-31T23:59:59");
    assert_eq!(summary(&account).0, GateReason::CreditsExhausted);
    account.until("2026-02-01T00:00");
    assert_eq!(summary(&account), (GateReason::CreditsLeft, None));
    // 1,100 credits expire and 1,100 arrive at the same instant.
    account.until("2026-03-01T00:00");
    assert_eq!(summary(&account), (GateReason::CreditsLeft, None));
}

#[test]
fn without_a_plan_the_gate_is_closed_whatever_the_balance_and_the_grace() {
    let mut account = TestAccount::new(lenient());
    account.subscribe("2026-01-01T00:00", "no-such-plan");
    assert_eq!(summary(&account), (GateReason::NoPlan, Some(time("2026-01-01T00:00"))));

    let mut account = TestAccount::new(lenient());
    for plan in &mut account.catalog.plans {
        plan.lapses_to = None;
    }
    account.subscribe("2026-01-01T00:00", "starter");
    account.adjust("2026-01-02T00:00", "gift", "500", None);
    account.set_renewal("2026-01-03T00:00", Renewal::None);
    account.until("2026-02-15T00:00");
    assert_eq!(account.balance(), "500");
    assert_eq!(summary(&account), (GateReason::NoPlan, Some(time("2026-02-01T00:00"))));
}

/// Returns the worst overshoot as text.
fn overshoot(account: &TestAccount) -> Option<String> {
    account.ledger().worst_overshoot(account.catalog.policies.gate).map(|credits| credits.to_string())
}

fn window(start: &str, end: &str) -> Window {
    Window { start_time: time(start), end_time: time(end) }
}

#[test]
fn the_worst_overshoot_is_the_highest_rate_times_the_longest_time_until_a_gate_knows() {
    let mut account = on_starter(shipped());
    account.catalog.policies.gate.cache_seconds = 40;
    assert_eq!(overshoot(&account), None);
    // 0.1 credits a second for 10 minutes, charged after 20 seconds.
    account.report("2026-01-02T00:10:20", "a", window("2026-01-02T00:00", "2026-01-02T00:10"), "60");
    assert_eq!(overshoot(&account).as_deref(), Some("66"), "0.1 x (600 + 20 + 40)");
    // 0.5 credits a second for a minute, charged at once: the rate rises, window and delay are those of the other.
    account.report("2026-01-02T00:11", "b", window("2026-01-02T00:10", "2026-01-02T00:11"), "30");
    assert_eq!(overshoot(&account).as_deref(), Some("330"), "0.5 x (600 + 20 + 40)");
    // A report that costs nothing says nothing about the speed of the reports that do.
    account.report("2026-01-02T09:00", "c", window("2026-01-02T00:00", "2026-01-02T08:00"), "0");
    assert_eq!(overshoot(&account).as_deref(), Some("330"));
    // The day after the seventh no longer counts the first one.
    account.report("2026-01-08T00:01", "a", window("2026-01-08T00:00", "2026-01-08T00:01"), "6");
    assert_eq!(overshoot(&account).as_deref(), Some("330"));
    account.report("2026-01-09T00:01", "a", window("2026-01-09T00:00", "2026-01-09T00:01"), "6");
    assert_eq!(overshoot(&account).as_deref(), Some("10"), "0.1 x (60 + 0 + 40)");
}

#[test]
fn downtime_counts_as_time_until_a_gate_knows() {
    let mut account = on_starter(shipped());
    account.operator_stops("2026-01-02T00:00");
    account.report("2026-01-02T01:00", "a", window("2026-01-02T00:00", "2026-01-02T01:00"), "360");
    account.operator_starts("2026-01-02T03:30");
    assert_eq!(account.ledger().last_charge_time, Some(time("2026-01-02T01:00")));
    assert_eq!(overshoot(&account).as_deref(), Some("1260"), "0.1 x (3,600 + 9,000)");
}

#[test]
fn an_overshoot_beyond_every_amount_is_shown_as_the_largest_and_stops_no_account() {
    let mut account = on_starter(shipped());
    let last_month = window("2026-01-01T00:00:00", "2026-01-01T00:00:01");
    account.report_of("2026-01-31T00:00", "a", last_month, &[("Public", "TokensOut", "900T")]);
    assert_eq!(overshoot(&account), Some(Credits::MAX.to_string()));
    account.consume("2026-01-31T01:00", "1");
    assert_eq!(account.ledger().sequence, 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// The stored peaks give the same overshoot as the charges themselves.
    #[test]
    fn the_worst_overshoot_equals_that_of_all_charges((mut account, script) in any_account()) {
        for (time, action) in &script.actions {
            account.live_up_to(*time);
            account.apply(action);
        }
        let Some(ledger) = &account.ledger else { return Ok(()) };
        let Some(last) = ledger.last_charge_time else { return Ok(()) };
        let today = utc_date(last);
        let charges: Vec<(i128, i128, i128)> = account.entries.iter().filter_map(|entry| match &entry.detail {
            Detail::Charged { amount, window, .. } if !amount.is_zero() => {
                let age = utc_date(entry.time).until(today).expect("days").get_days();
                let seconds = |from: Timestamp, to: Timestamp| i128::from(to.as_second() - from.as_second());
                let window_seconds = seconds(window.start_time, window.end_time);
                (age < 7).then(|| (amount.nanos(), window_seconds, seconds(window.end_time, entry.time)))
            }
            _ => None,
        }).collect();
        // The operator may have been down: then a charge is decided later than it takes effect.
        let recent = ledger.daily_peaks.iter().filter(|peak| peak.day.until(today).expect("days").get_days() < 7);
        let delay = i128::from(recent.map(|peak| peak.longest_delay_seconds).max().unwrap_or(0));
        prop_assert!(delay >= charges.iter().map(|charge| charge.2).max().unwrap_or(0));
        let unseen = charges.iter().map(|charge| charge.1).max().unwrap_or(0) + delay + 30;
        // Rounding keeps the order, so the highest rate has the highest rounded overshoot.
        let expected = charges.iter().map(|(nanos, seconds, _)| rounded_half_even(nanos * unseen, *seconds)).max();
        let policy = GatePolicy { grace_seconds: 0, cache_seconds: 30 };
        prop_assert_eq!(ledger.worst_overshoot(policy).map(Credits::nanos), expected);
    }
}

fn rounded_half_even(dividend: i128, divisor: i128) -> i128 {
    let (whole, rest) = (dividend / divisor, dividend % divisor);
    whole + i128::from(2 * rest > divisor || (2 * rest == divisor && whole % 2 == 1))
}
