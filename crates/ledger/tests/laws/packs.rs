//! Laws 14, 15, 25: packs and adjustments, their months, their names and their waits.

use flashgate_ledger::bounds::OPEN_GRANTS_FOR_ORDERS;
use flashgate_ledger::catalog::PackLimitScope;
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::facts::PaymentState;
use flashgate_ledger::ledger::REFUSALS_KEPT;

use crate::kit::{Life, Said, credits, external, shipped, time};

/// Recreates an object whose first version was created at `arrival`.
fn again(life: &mut Life, arrival: &str, name: &str, pack: &str) -> String {
    life.facts.packs.push(flashgate_ledger::facts::PackOrder {
        name: name.to_owned(),
        uid: format!("{name}-{pack}-{}", life.now),
        arrival: time(arrival),
        pack: pack.to_owned(),
    });
    life.settle();
    life.packs[name].said()
}

fn next_time(life: &Life, name: &str) -> Option<jiff::Timestamp> {
    life.packs[name].refusal().and_then(|refusal| refusal.next_available_time)
}

#[test]
fn a_pack_belongs_to_the_month_of_its_arrival_to_the_second() {
    let mut life = Life::of("starter", "2026-01-31T10:00");
    for name in ["a", "b", "c"] {
        life.buy("2026-02-28T09:59:59", name, "plus-100");
    }
    assert_eq!(life.buy("2026-02-28T09:59:59", "d", "plus-100").said(), "PackLimitReached");
    assert_eq!(next_time(&life, "d"), Some(time("2026-02-28T10:00")));
    assert_eq!(life.buy("2026-02-28T10:00", "e", "plus-100").said(), "granted");
}

#[test]
fn a_pack_processed_in_the_next_month_still_counts_in_its_own() {
    let mut life = Life::of("starter", "2026-01-01");
    for name in ["a", "b", "c"] {
        life.buy("2026-01-20", name, "plus-100");
    }
    life.goes_down("2026-01-30");
    life.buy("2026-01-31T23:59:59", "d", "plus-100");
    life.buy("2026-02-01", "e", "plus-100");
    life.comes_back("2026-02-03");
    assert_eq!(
        (life.packs["d"].said().as_str(), life.packs["e"].said().as_str()),
        ("PackLimitReached", "granted")
    );
    assert_eq!(next_time(&life, "d"), Some(time("2026-02-01")));
}

#[test]
fn packs_that_arrived_before_the_start_belong_to_the_first_month() {
    let mut life = Life::new(shipped());
    for name in ["a", "b"] {
        assert_eq!(life.buy("2026-01-01", name, "plus-100").said(), "waits");
    }
    life.subscribe("2026-01-01T12:00", "starter");
    assert_eq!(life.buy("2026-01-30", "c", "plus-100").said(), "granted");
    assert_eq!(life.buy("2026-01-30", "d", "plus-100").said(), "PackLimitReached");
    assert_eq!(next_time(&life, "d"), Some(time("2026-02-01T12:00")));
}

#[test]
fn packs_that_waited_for_the_first_period_count_in_the_month_of_their_arrival() {
    let mut life = Life::of("platinum", "2026-01-01");
    life.catalog.policies.pack_limit.max = 1;
    life.buy("2026-01-20", "a", "plus-100");
    life.buy("2026-01-21", "b", "plus-100");
    life.ask("2026-02-15", "starter");
    assert_eq!(
        (life.packs["a"].said().as_str(), life.packs["b"].said().as_str()),
        ("granted", "PackLimitReached")
    );
    assert_eq!(next_time(&life, "b"), Some(time("2026-02-01")));
    assert_eq!(life.buy("2026-02-16", "c", "plus-100").said(), "granted");
}

#[test]
fn months_are_counted_from_the_start_though_an_upgrade_moves_the_periods() {
    let mut life = Life::of("starter", "2026-01-01");
    for name in ["a", "b", "c"] {
        life.buy("2026-01-10", name, "plus-100");
    }
    life.ask("2026-01-20", "growth");
    assert_eq!(life.buy("2026-01-31", "d", "plus-100").said(), "PackLimitReached");
    assert_eq!(next_time(&life, "d"), Some(time("2026-02-01")));
    assert_eq!(life.buy("2026-02-01", "e", "plus-100").said(), "granted");
}

#[test]
fn months_are_counted_from_a_start_in_the_past() {
    let mut life = Life::new(shipped());
    life.subscribe_with("2026-03-20", "starter", |subscription| {
        subscription.start_time = Some(time("2026-01-15"));
    });
    for name in ["a", "b", "c", "d"] {
        life.buy("2026-03-21", name, "plus-100");
    }
    assert_eq!(next_time(&life, "d"), Some(time("2026-04-15")));
}

#[test]
fn a_limit_per_pack_counts_each_by_itself() {
    let mut life = Life::of("starter", "2026-01-01");
    life.catalog.policies.pack_limit.scope = PackLimitScope::PerPack;
    life.catalog.policies.pack_limit.max = 1;
    assert_eq!(life.buy("2026-01-02", "a", "plus-100").said(), "granted");
    assert_eq!(life.buy("2026-01-02", "b", "plus-500").said(), "granted");
    assert_eq!(life.buy("2026-01-02", "c", "plus-100").said(), "PackLimitReached");
}

#[test]
fn a_limit_of_none_refuses_all() {
    let mut life = Life::of("starter", "2026-01-01");
    life.catalog.policies.pack_limit.max = 0;
    assert_eq!(life.buy("2026-01-02", "a", "plus-100").said(), "PackLimitReached");
}

#[test]
fn an_unknown_pack_is_refused() {
    let mut life = Life::of("starter", "2026-01-01");
    assert_eq!(life.buy("2026-01-02", "a", "plus-9").said(), "UnknownPack");
    assert_eq!(life.balance(), "1100");
}

#[test]
fn a_granted_name_shows_granted_again_and_grants_nothing() {
    let mut life = Life::of("starter", "2026-01-01");
    life.buy("2026-01-02", "a", "plus-100");
    assert_eq!(life.buy("2026-01-20", "a", "plus-100").said(), "granted");
    assert_eq!((life.balance().as_str(), life.count("Purchased"), life.count("Invoiced")), ("1200", 1, 2));
    assert_eq!(life.buy("2026-01-20", "b", "plus-100").said(), "granted");
    assert_eq!(life.buy("2026-01-20", "c", "plus-100").said(), "granted");
    assert_eq!(life.buy("2026-01-20", "d", "plus-100").said(), "PackLimitReached");
}

#[test]
fn refusals_of_one_kind_push_out_none_of_another() {
    let mut life = Life::of("starter", "2026-01-01");
    assert_eq!(life.buy("2026-01-02", "first", "platinum").said(), "UnknownPack");
    for index in 0..65 {
        let name = format!("payment-{index}");
        life.pay_amount("2026-01-03", &name, "acme-1f3a9c2e-0099", PaymentState::Settled, "1");
        life.adjust("2026-01-03", &format!("late-{index}"), "1", Some("2026-01-02"));
    }
    // The pack's name is refused again as it was; of the other kinds the last 64 are remembered.
    assert_eq!(life.buy("2026-01-04", "first", "plus-100").said(), "UnknownPack");
    let remembered = |kind| life.book().refusals.iter().filter(|record| record.kind == kind).count();
    assert_eq!(remembered(FactKind::CreditPack), 1);
    assert_eq!(remembered(FactKind::Payment), REFUSALS_KEPT);
    assert_eq!(remembered(FactKind::CreditAdjustment), REFUSALS_KEPT);
    assert!(life.book().refusal(FactKind::Payment, "payment-0").is_none());
    assert!(life.book().refusal(FactKind::Payment, "payment-1").is_some());
}

#[test]
fn a_granted_name_with_another_pack_is_refused() {
    let mut life = Life::of("starter", "2026-01-01");
    life.buy("2026-01-02", "a", "plus-100");
    assert_eq!(life.buy("2026-01-20", "a", "plus-500").said(), "NameAlreadyUsed");
    assert_eq!(life.buy("2026-01-21", "a", "plus-100").said(), "granted");
    assert_eq!(life.balance(), "1200");
}

#[test]
fn a_refused_name_shows_its_refusal_again() {
    let mut life = Life::of("starter", "2026-01-01");
    for name in ["a", "b", "c", "d"] {
        life.buy("2026-01-02", name, "plus-100");
    }
    assert_eq!(life.buy("2026-02-02", "d", "plus-100").said(), "PackLimitReached");
    assert_eq!(life.buy("2026-02-02", "d2", "plus-100").said(), "granted");
}

#[test]
fn names_are_known_for_ever() {
    let mut life = Life::of("starter", "2026-01-01");
    life.buy("2026-01-02", "a", "plus-100");
    life.until("2029-01-01");
    assert_eq!(life.book().purchases.record("a"), None);
    assert_eq!(again(&mut life, "2029-01-01", "a", "plus-100"), "granted long ago");
    assert_eq!(again(&mut life, "2029-01-01", "a", "plus-500"), "NameAlreadyUsed");
    assert_eq!(life.count("Purchased"), 1);
}

#[test]
fn a_name_whose_payment_was_cancelled_long_ago_is_never_shown_as_granted() {
    let mut life = Life::new(external());
    life.subscribe("2026-01-01", "starter");
    life.pay("2026-01-01", "first", 1, PaymentState::Settled);
    life.buy("2026-01-02", "a", "plus-100");
    life.pay("2026-01-02", "cancelled", 2, PaymentState::Cancelled);
    assert_eq!(life.packs["a"].said(), "PaymentCancelled");
    life.ask("2026-01-03", "organization-free").until("2029-01-01");
    assert_eq!(again(&mut life, "2029-01-01", "a", "plus-100"), "NameAlreadyUsed");
}

#[test]
fn a_pack_waits_a_day_for_its_subscription_the_last_instant_included() {
    for (begins, said) in [("2026-01-02T10:00", "granted"), ("2026-01-02T10:00:01", "SubscriptionNotFound")] {
        let mut life = Life::new(shipped());
        life.goes_down("2026-01-01");
        life.buy("2026-01-01T10:00", "a", "plus-100");
        life.adjust("2026-01-01T10:00", "a", "7", None);
        life.subscribe(begins, "starter").comes_back("2026-01-03");
        assert_eq!(life.packs["a"].said(), said);
        assert_eq!(life.adjustments["a"].said(), said.replace("granted", "granted 7"));
    }
}

#[test]
fn a_pack_without_a_subscription_is_refused_after_a_day() {
    let mut life = Life::new(shipped());
    life.buy("2026-01-01T10:00", "a", "plus-100");
    life.until("2026-01-02T09:59:59");
    assert_eq!(life.packs["a"].said(), "waits");
    life.until("2026-01-02T10:00");
    assert_eq!(life.packs["a"].said(), "SubscriptionNotFound");
}

#[test]
fn an_orders_state_stays_though_its_subscription_is_deleted() {
    let mut life = Life::of("starter", "2026-01-01");
    life.buy("2026-01-02T10:00", "a", "plus-100");
    life.adjust("2026-01-02T10:00", "a", "7", None);
    life.unsubscribe("2026-01-02T11:00");
    assert_eq!(life.buy("2026-01-02T12:00", "a", "plus-100").said(), "granted");
    assert_eq!(life.adjust("2026-01-02T12:00", "a", "7", None).said(), "granted 7");
    assert_eq!(life.buy("2026-01-02T12:00", "a", "plus-500").said(), "waits");
    assert_eq!((life.balance().as_str(), life.count("Purchased")), ("1207", 1));
}

#[test]
fn a_pack_awaits_its_payment_also_while_its_subscription_is_deleted() {
    let mut life = Life::new(external());
    life.subscribe("2026-01-01", "starter");
    life.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    life.buy("2026-01-02T10:00", "a", "plus-100");
    life.unsubscribe("2026-01-02T11:00");
    assert_eq!(life.packs["a"].said(), "awaits payment");
    life.pay("2026-01-03T12:00", "p2", 2, PaymentState::Settled);
    assert_eq!((life.packs["a"].said().as_str(), life.balance().as_str()), ("granted", "1200"));
}

/// An account whose pack is pending on the first payment for three days when its Subscription is deleted.
fn deleted_while_a_pack_waits() -> Life {
    let mut catalog = external();
    catalog.policies.payments.due_within_seconds = 10 * 86_400;
    let mut life = Life::new(catalog);
    life.subscribe("2026-01-01", "starter");
    life.buy("2026-01-02", "a", "plus-100");
    life.unsubscribe("2026-01-05");
    assert_eq!(life.packs["a"].said(), "waits");
    assert_eq!(life.buy("2026-01-05", "b", "plus-100").said(), "waits");
    life
}

#[test]
fn a_pack_that_found_its_subscription_waits_on_though_it_is_deleted() {
    let mut life = deleted_while_a_pack_waits();
    life.subscribe("2026-01-06T12:00", "starter");
    assert_eq!(life.packs["b"].said(), "SubscriptionNotFound");
    assert_eq!(life.times("Refused"), [time("2026-01-06")]);
    life.pay("2026-01-07", "p1", 1, PaymentState::Settled);
    assert_eq!(life.packs["a"].said(), "awaits payment");
}

#[test]
fn a_pack_that_waits_is_not_invoiced_before_its_subscription_is_back() {
    let mut life = deleted_while_a_pack_waits();
    life.pay("2026-01-06", "p1", 1, PaymentState::Settled);
    life.until("2026-01-08");
    assert_eq!((life.packs["a"].said().as_str(), life.count("Invoiced")), ("waits", 1));
    life.subscribe("2026-01-09", "starter");
    assert_eq!((life.packs["a"].said().as_str(), life.count("Invoiced")), ("awaits payment", 2));
}

#[test]
fn a_waiting_pack_is_refused_when_the_first_invoice_expires_while_the_subscription_is_deleted() {
    let mut life = deleted_while_a_pack_waits();
    life.until("2026-02-01");
    assert_eq!(life.packs["a"].said(), "PlanNotEligible");
    assert_eq!(life.times("Refused"), [time("2026-01-06"), time("2026-01-11")]);
}

#[test]
fn a_pack_waits_for_the_first_plan_invoice_and_is_granted_in_the_month_of_its_arrival() {
    let mut life = Life::new(external());
    life.subscribe("2026-01-01", "starter");
    assert_eq!(life.buy("2026-01-01T01:00", "a", "plus-100").said(), "waits");
    assert_eq!(life.buy("2026-01-01T01:00", "z", "plus-9").said(), "UnknownPack");
    life.pay("2026-01-03", "p", 1, PaymentState::Settled);
    assert_eq!(life.packs["a"].said(), "awaits payment");
}

#[test]
fn a_pack_is_refused_when_the_first_plan_invoice_is_void() {
    let mut life = Life::new(external());
    life.subscribe("2026-01-01", "starter");
    life.buy("2026-01-01T01:00", "a", "plus-100");
    life.until("2026-01-04");
    assert_eq!(life.packs["a"].said(), "PlanNotEligible");
}

#[test]
fn packs_are_refused_while_the_current_period_is_not_paid() {
    let mut life = Life::new(external());
    life.subscribe("2026-01-01", "starter");
    life.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    assert_eq!(life.buy("2026-02-01", "a", "plus-100").said(), "PlanNotEligible");
    life.pay("2026-02-02", "p2", 2, PaymentState::Settled);
    assert_eq!(life.buy("2026-02-02", "b", "plus-100").said(), "awaits payment");
}

#[test]
fn a_pack_awaiting_payment_holds_its_place_a_cancelled_one_frees_it_a_refunded_one_does_not() {
    let mut catalog = external();
    catalog.policies.pack_limit.max = 1;
    let mut life = Life::new(catalog);
    life.subscribe("2026-01-01", "starter");
    life.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    assert_eq!(life.buy("2026-01-02", "a", "plus-100").said(), "awaits payment");
    assert_eq!(life.buy("2026-01-02", "b", "plus-100").said(), "PackLimitReached");
    life.pay("2026-01-03", "failed", 2, PaymentState::Failed);
    assert_eq!(life.buy("2026-01-03", "b2", "plus-100").said(), "PackLimitReached");
    life.pay("2026-01-03", "cancelled", 2, PaymentState::Cancelled);
    assert_eq!(life.buy("2026-01-03", "c", "plus-100").said(), "awaits payment");
    life.pay("2026-01-04", "paid", 3, PaymentState::Settled);
    assert_eq!(life.balance(), "1200");
    life.pay("2026-01-05", "back", 3, PaymentState::Refunded);
    assert_eq!((life.balance().as_str(), life.packs["c"].said().as_str()), ("1100", "granted"));
    assert_eq!(again(&mut life, "2026-01-03", "c", "plus-100"), "refunded");
    assert_eq!(life.buy("2026-01-06", "d", "plus-100").said(), "PackLimitReached");
}

#[test]
fn packs_that_expire_do_so_after_days_of_24_hours() {
    let mut life = Life::of("starter", "2026-01-01");
    life.catalog.packs[0].expires_after_days = Some(3);
    life.buy("2026-01-05T07:00", "a", "plus-100");
    life.until("2026-01-08T06:59:59");
    assert_eq!(life.balance(), "1200");
    life.until("2026-01-08T07:00");
    assert_eq!(life.balance(), "1100");
}

#[test]
fn packs_do_not_expire_unless_they_say_so() {
    let mut life = Life::of("starter", "2026-01-01");
    life.buy("2026-01-05", "a", "plus-100");
    life.until("2031-01-15");
    assert_eq!((life.left("pack/a").as_str(), life.balance().as_str()), ("100", "1200"));
}

#[test]
fn an_adjustment_adds_credits_until_it_expires() {
    let mut life = Life::of("starter", "2026-01-01");
    assert_eq!(life.adjust("2026-01-05", "a", "250", Some("2026-01-10")).said(), "granted 250");
    assert_eq!(life.adjust("2026-01-05", "b", "5", None).said(), "granted 5");
    assert_eq!((life.balance().as_str(), life.book().totals.adjusted), ("1355", credits("255")));
    life.until("2026-01-10");
    assert_eq!(life.balance(), "1105");
}

#[test]
fn an_adjustment_that_expires_at_its_arrival_is_refused() {
    let mut life = Life::of("starter", "2026-01-01");
    assert_eq!(life.adjust("2026-01-05", "a", "250", Some("2026-01-05")).said(), "AlreadyExpired");
    assert_eq!(life.adjust("2026-01-05", "b", "250", Some("2026-01-05T00:00:01")).said(), "granted 250");
}

#[test]
fn an_adjustments_name_is_its_order_number() {
    let mut life = Life::of("starter", "2026-01-01");
    life.adjust("2026-01-05", "a", "250", None);
    assert_eq!(life.adjust("2026-01-06", "a", "250", None).said(), "granted 250");
    assert_eq!(life.adjust("2026-01-07", "a", "300", None).said(), "NameAlreadyUsed");
    assert_eq!(life.balance(), "1350");
    life.adjust("2026-01-08", "b", "1", Some("2026-01-08"));
    assert_eq!(life.adjust("2026-01-09", "b", "1", None).said(), "AlreadyExpired");
}

#[test]
fn an_adjustment_repays_debt_first_also_before_the_first_period() {
    let mut life = Life::new(external());
    life.subscribe("2026-01-01", "starter");
    life.consume("2026-01-02", "30");
    assert_eq!(life.balance(), "-30");
    life.adjust("2026-01-02T01:00", "a", "50", None);
    assert_eq!((life.balance().as_str(), life.left("adjustment/a").as_str()), ("20", "20"));
}

#[test]
fn orders_leave_room_for_plan_grants() {
    let mut life = Life::of("starter", "2026-01-01");
    let mut granted = 1;
    for index in 0..60 {
        let said = life.adjust("2026-01-05", &format!("a{index}"), "1", None).said();
        granted += usize::from(said == "granted 1");
        assert!(said == "granted 1" || said == "LedgerFull");
    }
    assert_eq!(granted, OPEN_GRANTS_FOR_ORDERS);
    assert_eq!(life.buy("2026-01-05", "p", "plus-100").said(), "LedgerFull");
    life.ask("2026-01-06", "growth").ask("2026-01-07", "scale");
    assert_eq!(life.book().grants.len(), OPEN_GRANTS_FOR_ORDERS + 2);
}
