//! Laws 14, 15, 25: packs and adjustments, their months, their names and their waits.

use flashgate_ledger::bounds::OPEN_GRANTS_FOR_ORDERS;
use flashgate_ledger::catalog::PackLimitScope;
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::facts::PaymentState;
use flashgate_ledger::ledger::REFUSALS_KEPT;
use flashgate_testing::catalog::{external, shipped};
use flashgate_testing::values::{credits, time};
use flashgate_testing::{Summary, TestAccount};

/// Recreates an object whose first version was created at `arrival`.
fn again(account: &mut TestAccount, arrival: &str, name: &str, pack: &str) -> String {
    account.facts.packs.push(flashgate_ledger::facts::PackOrder {
        name: name.to_owned(),
        uid: format!("{name}-{pack}-{}", account.now),
        arrival: time(arrival),
        pack: pack.to_owned(),
    });
    account.settle();
    account.packs[name].summary()
}

fn next_time(account: &TestAccount, name: &str) -> Option<jiff::Timestamp> {
    account.packs[name].refusal().and_then(|refusal| refusal.next_available_time)
}

#[test]
fn a_pack_belongs_to_the_month_of_its_arrival_to_the_second() {
    let mut account = TestAccount::on_plan("starter", "2026-01-31T10:00");
    for name in ["a", "b", "c"] {
        account.buy("2026-02-28T09:59:59", name, "plus-100");
    }
    assert_eq!(account.buy("2026-02-28T09:59:59", "d", "plus-100").summary(), "PackLimitReached");
    assert_eq!(next_time(&account, "d"), Some(time("2026-02-28T10:00")));
    assert_eq!(account.buy("2026-02-28T10:00", "e", "plus-100").summary(), "granted");
}

#[test]
fn a_pack_processed_in_the_next_month_still_counts_in_its_own() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    for name in ["a", "b", "c"] {
        account.buy("2026-01-20", name, "plus-100");
    }
    account.operator_stops("2026-01-30");
    account.buy("2026-01-31T23:59:59", "d", "plus-100");
    account.buy("2026-02-01", "e", "plus-100");
    account.operator_starts("2026-02-03");
    assert_eq!(
        (account.packs["d"].summary().as_str(), account.packs["e"].summary().as_str()),
        ("PackLimitReached", "granted")
    );
    assert_eq!(next_time(&account, "d"), Some(time("2026-02-01")));
}

#[test]
fn packs_that_arrived_before_the_start_belong_to_the_first_month() {
    let mut account = TestAccount::new(shipped());
    for name in ["a", "b"] {
        assert_eq!(account.buy("2026-01-01", name, "plus-100").summary(), "waits");
    }
    account.subscribe("2026-01-01T12:00", "starter");
    assert_eq!(account.buy("2026-01-30", "c", "plus-100").summary(), "granted");
    assert_eq!(account.buy("2026-01-30", "d", "plus-100").summary(), "PackLimitReached");
    assert_eq!(next_time(&account, "d"), Some(time("2026-02-01T12:00")));
}

#[test]
fn packs_that_waited_for_the_first_period_count_in_the_month_of_their_arrival() {
    let mut account = TestAccount::on_plan("platinum", "2026-01-01");
    account.catalog.policies.pack_limit.max = 1;
    account.buy("2026-01-20", "a", "plus-100");
    account.buy("2026-01-21", "b", "plus-100");
    account.ask("2026-02-15", "starter");
    assert_eq!(
        (account.packs["a"].summary().as_str(), account.packs["b"].summary().as_str()),
        ("granted", "PackLimitReached")
    );
    assert_eq!(next_time(&account, "b"), Some(time("2026-02-01")));
    assert_eq!(account.buy("2026-02-16", "c", "plus-100").summary(), "granted");
}

#[test]
fn months_are_counted_from_the_start_though_an_upgrade_moves_the_periods() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    for name in ["a", "b", "c"] {
        account.buy("2026-01-10", name, "plus-100");
    }
    account.ask("2026-01-20", "growth");
    assert_eq!(account.buy("2026-01-31", "d", "plus-100").summary(), "PackLimitReached");
    assert_eq!(next_time(&account, "d"), Some(time("2026-02-01")));
    assert_eq!(account.buy("2026-02-01", "e", "plus-100").summary(), "granted");
}

#[test]
fn months_are_counted_from_a_start_in_the_past() {
    let mut account = TestAccount::new(shipped());
    account.subscribe_with("2026-03-20", "starter", |subscription| {
        subscription.start_time = Some(time("2026-01-15"));
    });
    for name in ["a", "b", "c", "d"] {
        account.buy("2026-03-21", name, "plus-100");
    }
    assert_eq!(next_time(&account, "d"), Some(time("2026-04-15")));
}

#[test]
fn a_limit_per_pack_counts_each_by_itself() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.catalog.policies.pack_limit.scope = PackLimitScope::PerPack;
    account.catalog.policies.pack_limit.max = 1;
    assert_eq!(account.buy("2026-01-02", "a", "plus-100").summary(), "granted");
    assert_eq!(account.buy("2026-01-02", "b", "plus-500").summary(), "granted");
    assert_eq!(account.buy("2026-01-02", "c", "plus-100").summary(), "PackLimitReached");
}

#[test]
fn a_limit_of_none_refuses_all() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.catalog.policies.pack_limit.max = 0;
    assert_eq!(account.buy("2026-01-02", "a", "plus-100").summary(), "PackLimitReached");
}

#[test]
fn an_unknown_pack_is_refused() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    assert_eq!(account.buy("2026-01-02", "a", "plus-9").summary(), "UnknownPack");
    assert_eq!(account.balance(), "1100");
}

#[test]
fn a_granted_name_shows_granted_again_and_grants_nothing() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.buy("2026-01-02", "a", "plus-100");
    assert_eq!(account.buy("2026-01-20", "a", "plus-100").summary(), "granted");
    assert_eq!(
        (account.balance().as_str(), account.count("Purchased"), account.count("Invoiced")),
        ("1200", 1, 2)
    );
    assert_eq!(account.buy("2026-01-20", "b", "plus-100").summary(), "granted");
    assert_eq!(account.buy("2026-01-20", "c", "plus-100").summary(), "granted");
    assert_eq!(account.buy("2026-01-20", "d", "plus-100").summary(), "PackLimitReached");
}

#[test]
fn refusals_of_one_kind_push_out_none_of_another() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    assert_eq!(account.buy("2026-01-02", "first", "platinum").summary(), "UnknownPack");
    for index in 0..65 {
        let name = format!("payment-{index}");
        account.pay_amount("2026-01-03", &name, "acme-1f3a9c2e-0099", PaymentState::Settled, "1");
        account.adjust("2026-01-03", &format!("late-{index}"), "1", Some("2026-01-02"));
    }
    // The pack's name gets the same refusal again. The last 64 refusals of each other kind are kept.
    assert_eq!(account.buy("2026-01-04", "first", "plus-100").summary(), "UnknownPack");
    let remembered = |kind| account.ledger().refusals.iter().filter(|record| record.kind == kind).count();
    assert_eq!(remembered(FactKind::CreditPack), 1);
    assert_eq!(remembered(FactKind::Payment), REFUSALS_KEPT);
    assert_eq!(remembered(FactKind::CreditAdjustment), REFUSALS_KEPT);
    assert!(account.ledger().refusal(FactKind::Payment, "payment-0").is_none());
    assert!(account.ledger().refusal(FactKind::Payment, "payment-1").is_some());
}

#[test]
fn a_granted_name_with_another_pack_is_refused() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.buy("2026-01-02", "a", "plus-100");
    assert_eq!(account.buy("2026-01-20", "a", "plus-500").summary(), "NameAlreadyUsed");
    assert_eq!(account.buy("2026-01-21", "a", "plus-100").summary(), "granted");
    assert_eq!(account.balance(), "1200");
}

#[test]
fn a_refused_name_shows_its_refusal_again() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    for name in ["a", "b", "c", "d"] {
        account.buy("2026-01-02", name, "plus-100");
    }
    assert_eq!(account.buy("2026-02-02", "d", "plus-100").summary(), "PackLimitReached");
    assert_eq!(account.buy("2026-02-02", "d2", "plus-100").summary(), "granted");
}

#[test]
fn names_are_known_permanently() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.buy("2026-01-02", "a", "plus-100");
    account.until("2029-01-01");
    assert_eq!(account.ledger().purchases.record("a"), None);
    assert_eq!(again(&mut account, "2029-01-01", "a", "plus-100"), "granted long ago");
    assert_eq!(again(&mut account, "2029-01-01", "a", "plus-500"), "NameAlreadyUsed");
    assert_eq!(account.count("Purchased"), 1);
}

#[test]
fn a_name_whose_payment_was_cancelled_long_ago_is_never_shown_as_granted() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "first", 1, PaymentState::Settled);
    account.buy("2026-01-02", "a", "plus-100");
    account.pay("2026-01-02", "cancelled", 2, PaymentState::Cancelled);
    assert_eq!(account.packs["a"].summary(), "PaymentCancelled");
    account.ask("2026-01-03", "organization-free").until("2029-01-01");
    assert_eq!(again(&mut account, "2029-01-01", "a", "plus-100"), "NameAlreadyUsed");
}

#[test]
fn a_pack_waits_a_day_for_its_subscription_including_the_last_instant() {
    for (begins, said) in [("2026-01-02T10:00", "granted"), ("2026-01-02T10:00:01", "SubscriptionNotFound")] {
        let mut account = TestAccount::new(shipped());
        account.operator_stops("2026-01-01");
        account.buy("2026-01-01T10:00", "a", "plus-100");
        account.adjust("2026-01-01T10:00", "a", "7", None);
        account.subscribe(begins, "starter").operator_starts("2026-01-03");
        assert_eq!(account.packs["a"].summary(), said);
        assert_eq!(account.adjustments["a"].summary(), said.replace("granted", "granted 7"));
    }
}

#[test]
fn a_pack_without_a_subscription_is_refused_after_a_day() {
    let mut account = TestAccount::new(shipped());
    account.buy("2026-01-01T10:00", "a", "plus-100");
    account.until("2026-01-02T09:59:59");
    assert_eq!(account.packs["a"].summary(), "waits");
    account.until("2026-01-02T10:00");
    assert_eq!(account.packs["a"].summary(), "SubscriptionNotFound");
}

#[test]
fn an_orders_state_stays_after_its_subscription_is_deleted() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.buy("2026-01-02T10:00", "a", "plus-100");
    account.adjust("2026-01-02T10:00", "a", "7", None);
    account.unsubscribe("2026-01-02T11:00");
    assert_eq!(account.buy("2026-01-02T12:00", "a", "plus-100").summary(), "granted");
    assert_eq!(account.adjust("2026-01-02T12:00", "a", "7", None).summary(), "granted 7");
    assert_eq!(account.buy("2026-01-02T12:00", "a", "plus-500").summary(), "waits");
    assert_eq!((account.balance().as_str(), account.count("Purchased")), ("1207", 1));
}

#[test]
fn a_pack_awaits_its_payment_also_while_its_subscription_is_deleted() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    account.buy("2026-01-02T10:00", "a", "plus-100");
    account.unsubscribe("2026-01-02T11:00");
    assert_eq!(account.packs["a"].summary(), "awaits payment");
    account.pay("2026-01-03T12:00", "p2", 2, PaymentState::Settled);
    assert_eq!((account.packs["a"].summary().as_str(), account.balance().as_str()), ("granted", "1200"));
}

/// Returns an account whose Subscription is deleted after its pack was pending on the first payment for three
/// days.
fn deleted_while_a_pack_waits() -> TestAccount {
    let mut catalog = external();
    catalog.policies.payments.due_within_seconds = 10 * 86_400;
    let mut account = TestAccount::new(catalog);
    account.subscribe("2026-01-01", "starter");
    account.buy("2026-01-02", "a", "plus-100");
    account.unsubscribe("2026-01-05");
    assert_eq!(account.packs["a"].summary(), "waits");
    assert_eq!(account.buy("2026-01-05", "b", "plus-100").summary(), "waits");
    account
}

#[test]
fn a_pack_that_found_its_subscription_stays_pending_after_its_deletion() {
    let mut account = deleted_while_a_pack_waits();
    account.subscribe("2026-01-06T12:00", "starter");
    assert_eq!(account.packs["b"].summary(), "SubscriptionNotFound");
    assert_eq!(account.times("Refused"), [time("2026-01-06")]);
    account.pay("2026-01-07", "p1", 1, PaymentState::Settled);
    assert_eq!(account.packs["a"].summary(), "awaits payment");
}

#[test]
fn a_pack_that_waits_is_not_invoiced_before_its_subscription_is_back() {
    let mut account = deleted_while_a_pack_waits();
    account.pay("2026-01-06", "p1", 1, PaymentState::Settled);
    account.until("2026-01-08");
    assert_eq!((account.packs["a"].summary().as_str(), account.count("Invoiced")), ("waits", 1));
    account.subscribe("2026-01-09", "starter");
    assert_eq!((account.packs["a"].summary().as_str(), account.count("Invoiced")), ("awaits payment", 2));
}

#[test]
fn a_waiting_pack_is_refused_when_the_first_invoice_expires_while_the_subscription_is_deleted() {
    let mut account = deleted_while_a_pack_waits();
    account.until("2026-02-01");
    assert_eq!(account.packs["a"].summary(), "PlanNotEligible");
    assert_eq!(account.times("Refused"), [time("2026-01-06"), time("2026-01-11")]);
}

#[test]
fn a_pack_waits_for_the_first_plan_invoice_and_is_granted_in_the_month_of_its_arrival() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    assert_eq!(account.buy("2026-01-01T01:00", "a", "plus-100").summary(), "waits");
    assert_eq!(account.buy("2026-01-01T01:00", "z", "plus-9").summary(), "UnknownPack");
    account.pay("2026-01-03", "p", 1, PaymentState::Settled);
    assert_eq!(account.packs["a"].summary(), "awaits payment");
}

#[test]
fn a_pack_is_refused_when_the_first_plan_invoice_is_void() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.buy("2026-01-01T01:00", "a", "plus-100");
    account.until("2026-01-04");
    assert_eq!(account.packs["a"].summary(), "PlanNotEligible");
}

#[test]
fn packs_are_refused_while_the_current_period_is_not_paid() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    assert_eq!(account.buy("2026-02-01", "a", "plus-100").summary(), "PlanNotEligible");
    account.pay("2026-02-02", "p2", 2, PaymentState::Settled);
    assert_eq!(account.buy("2026-02-02", "b", "plus-100").summary(), "awaits payment");
}

#[test]
fn packs_that_await_payment_or_are_refunded_count_and_cancelled_ones_do_not() {
    let mut catalog = external();
    catalog.policies.pack_limit.max = 1;
    let mut account = TestAccount::new(catalog);
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p1", 1, PaymentState::Settled);
    assert_eq!(account.buy("2026-01-02", "a", "plus-100").summary(), "awaits payment");
    assert_eq!(account.buy("2026-01-02", "b", "plus-100").summary(), "PackLimitReached");
    account.pay("2026-01-03", "failed", 2, PaymentState::Failed);
    assert_eq!(account.buy("2026-01-03", "b2", "plus-100").summary(), "PackLimitReached");
    account.pay("2026-01-03", "cancelled", 2, PaymentState::Cancelled);
    assert_eq!(account.buy("2026-01-03", "c", "plus-100").summary(), "awaits payment");
    account.pay("2026-01-04", "paid", 3, PaymentState::Settled);
    assert_eq!(account.balance(), "1200");
    account.pay("2026-01-05", "back", 3, PaymentState::Refunded);
    assert_eq!((account.balance().as_str(), account.packs["c"].summary().as_str()), ("1100", "granted"));
    assert_eq!(again(&mut account, "2026-01-03", "c", "plus-100"), "refunded");
    assert_eq!(account.buy("2026-01-06", "d", "plus-100").summary(), "PackLimitReached");
}

#[test]
fn packs_that_expire_do_so_after_days_of_24_hours() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.catalog.packs[0].expires_after_days = Some(3);
    account.buy("2026-01-05T07:00", "a", "plus-100");
    account.until("2026-01-08T06:59:59");
    assert_eq!(account.balance(), "1200");
    account.until("2026-01-08T07:00");
    assert_eq!(account.balance(), "1100");
}

#[test]
fn packs_without_an_expiration_do_not_expire() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.buy("2026-01-05", "a", "plus-100");
    account.until("2031-01-15");
    assert_eq!((account.left("pack/a").as_str(), account.balance().as_str()), ("100", "1200"));
}

#[test]
fn an_adjustment_adds_credits_until_it_expires() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    assert_eq!(account.adjust("2026-01-05", "a", "250", Some("2026-01-10")).summary(), "granted 250");
    assert_eq!(account.adjust("2026-01-05", "b", "5", None).summary(), "granted 5");
    assert_eq!((account.balance().as_str(), account.ledger().totals.adjusted), ("1355", credits("255")));
    account.until("2026-01-10");
    assert_eq!(account.balance(), "1105");
}

#[test]
fn an_adjustment_that_expires_at_its_arrival_is_refused() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    assert_eq!(account.adjust("2026-01-05", "a", "250", Some("2026-01-05")).summary(), "AlreadyExpired");
    assert_eq!(
        account.adjust("2026-01-05", "b", "250", Some("2026-01-05T00:00:01")).summary(),
        "granted 250"
    );
}

#[test]
fn an_adjustments_name_is_its_idempotency_key() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.adjust("2026-01-05", "a", "250", None);
    assert_eq!(account.adjust("2026-01-06", "a", "250", None).summary(), "granted 250");
    assert_eq!(account.adjust("2026-01-07", "a", "300", None).summary(), "NameAlreadyUsed");
    assert_eq!(account.balance(), "1350");
    account.adjust("2026-01-08", "b", "1", Some("2026-01-08"));
    assert_eq!(account.adjust("2026-01-09", "b", "1", None).summary(), "AlreadyExpired");
}

#[test]
fn an_adjustment_repays_debt_first_also_before_the_first_period() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.consume("2026-01-02", "30");
    assert_eq!(account.balance(), "-30");
    account.adjust("2026-01-02T01:00", "a", "50", None);
    assert_eq!((account.balance().as_str(), account.left("adjustment/a").as_str()), ("20", "20"));
}

#[test]
fn orders_leave_room_for_plan_grants() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let mut granted = 1;
    for index in 0..60 {
        let said = account.adjust("2026-01-05", &format!("a{index}"), "1", None).summary();
        granted += usize::from(said == "granted 1");
        assert!(said == "granted 1" || said == "LedgerFull");
    }
    assert_eq!(granted, OPEN_GRANTS_FOR_ORDERS);
    assert_eq!(account.buy("2026-01-05", "p", "plus-100").summary(), "LedgerFull");
    account.ask("2026-01-06", "growth").ask("2026-01-07", "scale");
    assert_eq!(account.ledger().grants.len(), OPEN_GRANTS_FOR_ORDERS + 2);
}
