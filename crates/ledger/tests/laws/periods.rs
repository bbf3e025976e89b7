//! Laws 3, 4, 11, 12, 13, 17, 20: periods, grants, upgrades, downgrades, starts and catalog edits.

use flashgate_ledger::catalog::BillingPeriod::{Monthly, Yearly};
use flashgate_ledger::catalog::{BillingPeriod, Catalog, PackPurchases};
use flashgate_ledger::ledger::RequestState;
use flashgate_testing::catalog::shipped;
use flashgate_testing::values::{credits, time, window};
use flashgate_testing::{Summary, TestAccount};

fn yearly(at: &str, plan: &str) -> TestAccount {
    let mut account = TestAccount::new(shipped());
    account.subscribe_with(at, plan, |subscription| subscription.request.billing_period = Yearly);
    account
}

fn edit_plan(catalog: &mut Catalog, name: &str, edit: impl FnOnce(&mut flashgate_ledger::catalog::Plan)) {
    edit(catalog.plans.iter_mut().find(|plan| plan.name == name).expect("a plan"));
}

#[test]
fn a_leap_day_anchor_comes_back_in_leap_years() {
    let mut account = yearly("2024-02-29T12:00", "starter");
    for (number, start) in (1..).zip(["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]) {
        let start = format!("{start}T12:00");
        account.until(&start);
        assert_eq!((account.period().0, account.period().1.start_time), (number, time(&start)));
    }
}

#[test]
fn february_of_a_leap_year_ends_on_its_29th() {
    let mut account = TestAccount::on_plan("starter", "2024-01-30");
    account.until("2024-02-29");
    assert_eq!(account.period().1, window("2024-02-29", "2024-03-30"));
}

#[test]
fn the_instant_of_the_end_belongs_to_the_next_period() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.until("2026-01-31T23:59:59");
    assert_eq!(account.period().0, 1);
    account.until("2026-02-01");
    assert_eq!(account.period(), (2, window("2026-02-01", "2026-03-01")));
}

#[test]
fn a_year_arrives_at_once_and_expires_at_its_end() {
    let mut account = yearly("2026-01-31", "starter");
    assert_eq!(account.balance(), "15000");
    account.until("2027-01-30T23:59:59");
    assert_eq!((account.balance().as_str(), account.count("Granted")), ("15000", 1));
    account.until("2027-01-31");
    assert_eq!(
        (account.balance().as_str(), account.ledger().totals.expired.to_string().as_str()),
        ("15000", "15000")
    );
}

#[test]
fn months_after_a_year_still_count_from_the_anchor() {
    let mut account = yearly("2026-01-31", "starter");
    account.ask_for("2026-06-01", "starter", Monthly).until("2027-01-31");
    assert_eq!(account.period(), (2, window("2027-01-31", "2027-02-28")));
    account.until("2027-02-28");
    assert_eq!(account.period(), (3, window("2027-02-28", "2027-03-31")));
}

#[test]
fn every_month_gets_exactly_one_grant_with_the_operator_up_or_down() {
    let mut up = TestAccount::on_plan("starter", "2026-01-31");
    up.until("2027-03-01");
    let mut down = TestAccount::on_plan("starter", "2026-01-31");
    down.operator_stops("2026-01-31T00:01").operator_starts("2027-03-01");
    assert_eq!(up.count("Granted"), 14);
    assert_eq!(up.times("Granted"), down.times("Granted"));
    assert_eq!((&up.entries, &up.invoice_states), (&down.entries, &down.invoice_states));
    assert_eq!(up.periods.len(), 14);
}

#[test]
fn an_upgrade_begins_a_period_with_that_instant_as_anchor() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.ask("2026-01-31T08:00", "growth");
    assert_eq!(account.period(), (2, window("2026-01-31T08:00", "2026-02-28T08:00")));
    account.until("2026-03-31T08:00");
    assert_eq!(account.period(), (4, window("2026-03-31T08:00", "2026-04-30T08:00")));
    let invoiced: Vec<String> =
        account.ledger().invoices.iter().map(|invoice| invoice.amount.to_string()).collect();
    assert_eq!(invoiced, ["100", "300", "300", "300"]);
}

#[test]
fn the_same_plan_from_monthly_to_yearly_is_an_upgrade() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.ask_for("2026-01-10", "starter", Yearly);
    assert_eq!((account.balance().as_str(), account.period().0), ("16100", 2));
    assert_eq!(account.period().1, window("2026-01-10", "2027-01-10"));
}

#[test]
fn a_higher_rank_is_an_upgrade_also_from_yearly_to_monthly() {
    let mut account = yearly("2026-01-01", "starter");
    account.ask_for("2026-03-10", "growth", Monthly);
    assert_eq!(account.balance(), "24500");
    account.until("2026-12-31T23:59:59");
    assert_eq!(account.left("plan/1"), "15000");
    account.until("2027-01-01");
    assert!(account.grant("plan/1").is_none_or(flashgate_ledger::grant::Grant::is_settling));
}

#[test]
fn the_same_plan_from_yearly_to_monthly_is_a_downgrade() {
    let mut account = yearly("2026-01-01", "starter");
    account.ask_for("2026-03-10", "starter", Monthly);
    assert_eq!(account.period().0, 1);
    let pending = account.ledger().pending_change.clone().expect("pending");
    assert_eq!((pending.billing_period, pending.effective_time), (Monthly, time("2027-01-01")));
    account.until("2027-01-01");
    assert_eq!((account.balance().as_str(), account.ledger().pending_change.clone()), ("1100", None));
}

#[test]
fn a_lower_rank_is_a_downgrade_also_from_monthly_to_yearly() {
    let mut account = TestAccount::on_plan("growth", "2026-01-01");
    account.ask_for("2026-01-10", "starter", Yearly);
    assert_eq!((account.period().0, account.plan()), (1, "growth"));
    account.until("2026-02-01");
    assert_eq!((account.balance().as_str(), account.period().1.end_time), ("15000", time("2027-02-01")));
}

#[test]
fn repeated_changes_grant_nothing_more() {
    let mut account = TestAccount::on_plan("growth", "2026-01-01");
    for day in 10..30 {
        let plan = ["starter", "growth", "organization-free", "growth"][day % 4];
        account.ask(&format!("2026-01-{day}"), plan);
    }
    assert_eq!((account.count("Granted"), account.count("Invoiced")), (1, 1));
}

#[test]
fn an_upgrade_takes_the_place_of_a_pending_downgrade() {
    let mut account = TestAccount::on_plan("growth", "2026-01-01");
    account.ask("2026-01-05", "starter").ask("2026-01-06", "scale");
    assert_eq!((account.plan(), account.ledger().pending_change.clone()), ("scale", None));
    assert_eq!(account.balance(), "98500");
    account.until("2026-02-06");
    assert_eq!(account.plan(), "scale");
}

#[test]
fn a_boundary_renews_into_an_upgrade_that_is_seen_after_it() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.operator_stops("2026-01-15");
    account.ask("2026-02-10", "growth").operator_starts("2026-02-11");
    assert_eq!((account.plan(), account.balance().as_str()), ("growth", "9500"));
    assert_eq!(account.period(), (2, window("2026-02-01", "2026-03-01")));
    assert_eq!((account.count("Granted"), account.count("Invoiced")), (2, 2));
}

#[test]
fn the_rest_of_a_shortened_free_period_settles_late_usage() {
    let mut account = TestAccount::on_plan("organization-free", "2026-01-01");
    account.ask("2026-01-05", "starter");
    account.report("2026-01-05T01:00", "gw", window("2026-01-04T23:00", "2026-01-05"), "30");
    assert_eq!((account.balance().as_str(), account.settling().as_str()), ("1100", "10"));
    account.until("2026-01-05T02:01");
    assert_eq!(account.settling(), "0");
}

#[test]
fn an_upgrade_from_free_to_free_drops_the_remaining_credits() {
    let mut account = TestAccount::on_plan("individual", "2026-01-01");
    account.ask("2026-01-05", "organization-free");
    assert_eq!(account.balance(), "40");
    assert_eq!(account.count("Invoiced"), 0);
}

#[test]
fn debt_outlives_upgrades() {
    let mut account = TestAccount::on_plan("organization-free", "2026-01-01");
    account.consume("2026-01-03", "140");
    account.ask("2026-01-05", "starter");
    assert_eq!((account.balance().as_str(), account.ledger().debt.to_string().as_str()), ("1000", "0"));
}

#[test]
fn a_start_years_ago_skips_the_numbers_of_its_years() {
    let mut account = TestAccount::new(shipped());
    account.subscribe_with("2026-02-01", "starter", |subscription| {
        subscription.start_time = Some(time("2024-01-15"));
        subscription.request.billing_period = Yearly;
    });
    assert_eq!(account.period(), (3, window("2026-01-15", "2027-01-15")));
    assert_eq!(account.count("Granted"), 1);
    account.until("2027-01-15");
    assert_eq!(account.period().0, 4);
}

#[test]
fn an_arrival_at_a_past_starts_boundary_holds_the_period_that_begins() {
    for (arrival, number) in [("2026-03-09T23:59:59", 2), ("2026-03-10", 3)] {
        let mut account = TestAccount::new(shipped());
        account.subscribe_with(arrival, "starter", |subscription| {
            subscription.start_time = Some(time("2026-01-10"));
        });
        assert_eq!(account.period().0, number, "{arrival}");
    }
}

#[test]
fn a_catalog_edit_changes_the_next_period_and_not_this_one() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.until("2026-01-10");
    edit_plan(&mut account.catalog, "starter", |plan| {
        plan.pack_purchases = PackPurchases::Refused;
        let monthly = plan.monthly.as_mut().expect("monthly");
        (monthly.credits, monthly.price) = (credits("1200"), credits("120"));
    });
    assert_eq!(account.buy("2026-01-11", "a", "plus-100").summary(), "granted");
    assert_eq!(account.balance(), "1200");
    account.until("2026-02-01");
    assert_eq!(account.balance(), "1300");
    assert_eq!(account.ledger().invoices.last().map(|invoice| invoice.amount), Some(credits("120")));
    assert_eq!(account.buy("2026-02-02", "b", "plus-100").summary(), "PlanNotEligible");
}

#[test]
fn a_rate_edit_changes_what_is_charged_later() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    assert_eq!(account.consume("2026-01-02", "10").summary(), "charged 10");
    account.catalog.rates[2].credits = credits("2");
    assert_eq!(account.consume("2026-01-03", "10").summary(), "charged 20");
    assert_eq!(account.balance(), "1070");
}

#[test]
fn a_pending_change_stays_as_decided_when_ranks_change() {
    let mut account = TestAccount::on_plan("growth", "2026-01-01");
    account.ask("2026-01-05", "starter");
    account.catalog.plans.swap(2, 3);
    account.until("2026-01-31");
    assert_eq!((account.plan(), account.count("Granted")), ("growth", 1));
    assert!(account.ledger().pending_change.is_some());
    account.until("2026-02-01");
    assert_eq!(account.plan(), "starter");
}

/// Returns the shipped catalog with another plan, for 600 a month, at the second lowest rank, below starter.
fn with_a_plan_inserted(catalog: &mut Catalog) {
    let mut inserted = catalog.plans[3].clone();
    "team".clone_into(&mut inserted.name);
    inserted.monthly.as_mut().expect("monthly").price = credits("600");
    catalog.plans.insert(1, inserted);
}

#[test]
fn ranks_are_compared_in_the_catalog_of_today() {
    // Starter had the third rank. With another plan below it, it has the earlier rank of growth, and is still
    // lower.
    let mut account = TestAccount::on_plan("growth", "2026-01-01");
    with_a_plan_inserted(&mut account.catalog);
    account.ask("2026-01-10", "starter");
    assert_eq!((account.plan(), account.count("Granted")), ("growth", 1));
    assert!(account.ledger().pending_change.is_some());
    // Without two plans below it, growth has the earlier rank of starter.
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.catalog.plans.drain(..2);
    account.ask("2026-01-10", "growth");
    assert_eq!((account.plan(), account.balance().as_str()), ("growth", "10600"));
    // A lower plan becomes a higher one when the catalog changes their order.
    let mut account = TestAccount::on_plan("growth", "2026-01-01");
    account.catalog.plans.swap(2, 3);
    account.ask("2026-01-10", "starter");
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "10600"));
}

#[test]
fn a_plan_with_a_higher_monthly_price_is_higher_than_a_removed_one() {
    let asked = |plan: &str, billing_period: BillingPeriod| {
        let mut account = TestAccount::on_plan("growth", "2026-01-01");
        account.catalog.plans.retain(|plan| plan.name != "growth");
        with_a_plan_inserted(&mut account.catalog);
        account.ask_for("2026-01-10", plan, billing_period);
        account.plan().to_owned()
    };
    assert_eq!(asked("scale", Monthly), "scale");
    assert_eq!(asked("starter", Monthly), "growth", "100 is less than 300");
    assert_eq!(asked("team", Monthly), "team", "600 is more, whatever the rank");
    assert_eq!(asked("scale", Yearly), "scale", "a month of it is 833.33");
    assert_eq!(asked("starter", Yearly), "growth", "a month of it is 83.33");
    assert_eq!(asked("organization-free", Monthly), "growth");
}

#[test]
fn a_month_of_a_year_is_a_twelfth_exactly() {
    for (price, plan) in [("3600", "growth"), ("3600.000000001", "scale")] {
        let mut account = TestAccount::on_plan("growth", "2026-01-01");
        account.catalog.plans.retain(|plan| plan.name != "growth");
        account.catalog.plans[3].yearly.as_mut().expect("yearly").price = credits(price);
        account.ask_for("2026-01-10", "scale", Yearly);
        assert_eq!(account.plan(), plan, "{price} a year against 300 a month");
    }
}

#[test]
fn a_pending_change_stays_until_the_spec_changes_even_if_the_catalog_changes() {
    let pending =
        |account: &TestAccount| account.ledger().pending_change.as_ref().map(|change| change.plan.clone());
    for edit in [
        (|catalog| catalog.plans.swap(2, 3)) as fn(&mut Catalog),
        |catalog| catalog.plans.retain(|plan| plan.name != "starter"),
        |catalog| catalog.plans.retain(|plan| plan.name != "growth"),
        |catalog| catalog.plans[2].monthly = None,
        with_a_plan_inserted,
    ] {
        let mut account = TestAccount::on_plan("growth", "2026-01-01");
        account.ask("2026-01-05", "starter");
        edit(&mut account.catalog);
        account.until("2026-01-20");
        assert_eq!((account.plan(), pending(&account)), ("growth", Some("starter".to_owned())));
        account.ask("2026-01-25", "growth");
        assert_eq!((account.plan(), pending(&account)), ("growth", None));
    }
}

#[test]
fn a_requested_plan_unknown_at_the_boundary_lets_the_plan_in_force_renew() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.ask("2026-01-05", "platinum").until("2026-02-01");
    assert_eq!((account.plan(), account.balance().as_str()), ("starter", "1100"));
    let state = account.ledger().request.as_ref().map(|decided| decided.state);
    assert_eq!(state, Some(RequestState::PlanNotFound));
}

#[test]
fn a_removed_plan_in_force_lapses_by_its_stored_terms() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.until("2026-01-05");
    account.catalog.plans.remove(2);
    account.until("2026-02-01");
    assert_eq!((account.plan(), account.balance().as_str()), ("organization-free", "40"));
}

#[test]
fn a_billing_period_that_the_plan_does_not_offer_is_reported_and_changes_nothing() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.ask_for("2026-01-05", "organization-free", Yearly).until("2026-02-01");
    let state = account.ledger().request.as_ref().map(|decided| decided.state);
    assert_eq!((account.plan(), state), ("starter", Some(RequestState::BillingPeriodNotOffered)));
}

#[test]
fn a_new_account_of_an_unknown_plan_begins_when_it_requests_a_known_one() {
    let mut account = TestAccount::on_plan("platinum", "2026-01-10");
    assert_eq!(account.consume("2026-01-11", "30").summary(), "charged 30");
    assert_eq!(account.buy("2026-01-12", "a", "plus-100").summary(), "waits");
    assert_eq!(account.balance(), "-30");
    account.ask("2026-01-20T05:00", "starter");
    assert_eq!(account.period(), (1, window("2026-01-20T05:00", "2026-02-20T05:00")));
    assert_eq!((account.packs["a"].summary().as_str(), account.balance().as_str()), ("granted", "1170"));
}

#[test]
fn a_new_account_begins_when_the_catalog_gets_its_plan() {
    let mut account = TestAccount::on_plan("platinum", "2026-01-10");
    account.until("2026-01-15");
    edit_plan(&mut account.catalog, "growth", |plan| plan.name = "platinum".to_owned());
    account.until("2026-01-16");
    assert_eq!((account.period().0, account.balance().as_str()), (1, "9500"));
    assert_eq!(account.times("Granted"), [time("2026-01-15")]);
}
