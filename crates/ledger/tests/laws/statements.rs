//! Laws 21 and 22: conservation, and statements that close at the opening balance of the next.

use flashgate_ledger::facts::{PaymentState, Renewal};
use flashgate_ledger::statement::Statement;
use flashgate_testing::catalog::external;
use flashgate_testing::values::{credits, window};
use flashgate_testing::{Summary, TestAccount};

fn statement(account: &TestAccount, number: u32) -> Statement {
    let kept = &account.ledger().statements.kept;
    kept.iter().find(|statement| statement.period_number == number).expect("a statement").clone()
}

/// Asserts that each statement opens at the closing balance of the previous one, and that the last closes at
/// the balance.
fn assert_chain(account: &TestAccount) {
    let mut opening = credits("0");
    for statement in &account.ledger().statements.kept {
        assert_eq!(statement.book.opening, opening, "period {}", statement.period_number);
        opening = statement.book.closing().expect("closing");
    }
    assert_eq!(opening.to_string(), account.balance());
}

#[test]
fn a_statement_lists_received_and_consumed_credits() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-05", "300");
    account.buy("2026-01-06", "a", "plus-100");
    account.adjust("2026-01-07", "b", "5", None);
    account.until("2026-02-01");
    let book = statement(&account, 1).book;
    let lines = [
        book.opening,
        book.granted,
        book.purchased,
        book.adjusted,
        book.consumed,
        book.expired,
        book.refunded,
    ];
    assert_eq!(lines, ["0", "1100", "100", "5", "300", "800", "0"].map(credits));
    assert_eq!(
        (book.closing().expect("closing"), statement(&account, 2).book.opening),
        (credits("105"), credits("105"))
    );
    assert_chain(&account);
}

#[test]
fn late_usage_is_booked_in_the_period_it_was_used_in() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.until("2026-02-01T01:00");
    let verdict = account.report("2026-02-01T01:00", "gw", window("2026-01-31T23:00", "2026-02-01"), "300");
    assert_eq!(verdict.summary(), "charged 300");
    let before = statement(&account, 1);
    assert_eq!(
        (before.is_final, before.book.consumed, before.book.expired),
        (false, credits("300"), credits("800"))
    );
    assert_eq!(statement(&account, 2).book.consumed, credits("0"));
    assert_chain(&account);
}

#[test]
fn late_usage_before_a_time_without_a_period_is_not_booked_in_the_next_period() {
    let last_hour = window("2026-01-31T23:00", "2026-02-01");
    let mut lapsed = TestAccount::on_plan("organization-free", "2026-01-01");
    lapsed.set_renewal("2026-01-02", Renewal::None);
    let mut deleted = TestAccount::on_plan("organization-free", "2026-01-01");
    deleted.unsubscribe("2026-01-20");
    for account in [&mut lapsed, &mut deleted] {
        account.report("2026-02-01T00:20", "gw", last_hour, "5");
        account.subscribe("2026-02-01T01:00", "organization-free");
        assert_eq!(statement(account, 1).book.consumed, credits("5"));
        assert_eq!(statement(account, 2).book.consumed, credits("0"));
        assert_eq!(account.ledger().usage, []);
    }
    let mut account = lapsed;
    account.set_renewal("2026-02-02", Renewal::None).until("2026-03-01T12:00");
    account.consume("2026-03-01T12:00", "3");
    account.set_renewal("2026-03-02", Renewal::Automatic);
    assert_eq!(account.ledger().usage[0].credits, credits("3"));
}

#[test]
fn late_usage_that_the_new_period_pays_moves_its_opening() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-05", "1100");
    account.report("2026-02-01T01:00", "gw", window("2026-01-31T23:00", "2026-02-01"), "30");
    assert_eq!(statement(&account, 1).book.consumed, credits("1130"));
    let book = statement(&account, 2).book;
    assert_eq!((book.opening, book.closing().expect("closing")), (credits("-30"), credits("1070")));
    assert_chain(&account);
}

#[test]
fn a_statement_is_final_when_its_settlement_closed_and_takes_nothing_more() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.until("2026-02-01T02:00:59");
    assert!(!statement(&account, 1).is_final);
    account.until("2026-02-01T02:01");
    let before = statement(&account, 1);
    assert!(before.is_final);
    account.report("2026-02-01T02:02", "gw", window("2026-01-31T23:00", "2026-02-01"), "30");
    assert_eq!(statement(&account, 1), before);
    assert_eq!(statement(&account, 2).book.consumed, credits("30"));
    assert_chain(&account);
}

#[test]
fn usage_that_spans_a_boundary_is_booked_where_it_ended() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.report("2026-02-01T00:30", "gw", window("2026-01-31T23:00", "2026-02-01T00:00:01"), "30");
    assert_eq!(
        (statement(&account, 1).book.consumed, statement(&account, 2).book.consumed),
        (credits("0"), credits("30"))
    );
}

#[test]
fn credits_that_expire_at_a_periods_end_are_booked_in_it() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.adjust("2026-01-07", "b", "5", Some("2026-02-01"));
    account.adjust("2026-01-07", "c", "7", Some("2026-02-01T00:00:01"));
    account.until("2026-02-02");
    assert_eq!(
        (statement(&account, 1).book.expired, statement(&account, 2).book.expired),
        (credits("1105"), credits("7"))
    );
    assert_chain(&account);
}

#[test]
fn amounts_without_a_period_are_booked_in_the_next_one() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    let verdict = account.consume("2026-01-02", "30");
    let flashgate_ledger::decide::ReportVerdict::Charged(charge) = verdict else { unreachable!("charged") };
    assert_eq!(charge.period_number, None);
    account.adjust("2026-01-02", "a", "7", None);
    account.pay("2026-01-03", "p", 1, PaymentState::Settled);
    let book = statement(&account, 1).book;
    assert_eq!(
        (book.opening, book.consumed, book.adjusted, book.granted),
        (credits("0"), credits("30"), credits("7"), credits("1100"))
    );
    assert_chain(&account);
}

#[test]
fn a_period_cut_short_ends_where_the_next_begins() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.ask("2026-01-10", "growth");
    let (first, second) = (statement(&account, 1), statement(&account, 2));
    assert_eq!(first.end_time, second.start_time);
    assert_eq!((first.book.expired, second.book.opening), (credits("0"), credits("1100")));
    assert_chain(&account);
}

#[test]
fn a_refund_is_booked_in_the_period_in_which_it_takes_effect() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01", "p", 1, PaymentState::Settled);
    account.until("2026-02-01T01:00");
    account.pay("2026-02-01T01:00", "r", 1, PaymentState::Refunded);
    assert_eq!(
        (statement(&account, 1).book.expired, statement(&account, 2).book.refunded),
        (credits("0"), credits("1100"))
    );
    assert_chain(&account);
}

#[test]
fn the_last_thirteen_closed_statements_are_kept() {
    let mut account = TestAccount::on_plan("starter", "2024-01-01");
    account.until("2026-06-15");
    let numbers: Vec<u32> =
        account.ledger().statements.kept.iter().map(|statement| statement.period_number).collect();
    assert_eq!(numbers, (17..=30).collect::<Vec<u32>>());
    assert!(account.books.values().take(29).all(|[granted, .., expired]| granted == expired));
}

#[test]
fn usage_by_rate_starts_at_zero_in_each_period() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-05", "3");
    account.consume("2026-01-06", "4");
    assert_eq!(account.ledger().usage.iter().map(|usage| usage.credits).collect::<Vec<_>>(), [credits("7")]);
    account.until("2026-02-01");
    assert_eq!(account.ledger().usage, []);
}

#[test]
fn every_entry_shows_the_balance_after_it() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.consume("2026-01-05", "300");
    account.buy("2026-01-06", "a", "plus-100");
    account.ask("2026-01-07", "growth").until("2026-03-20");
    let mut balance = credits("0");
    for entry in &account.entries {
        balance = balance.checked_add(entry.credits).expect("balance");
        assert_eq!(entry.balance, balance, "{entry:?}");
        let moves = matches!(
            entry.detail.kind(),
            "Granted" | "Purchased" | "Adjusted" | "Charged" | "Expired" | "Refunded"
        );
        assert!(moves || entry.credits.is_zero(), "{entry:?}");
    }
    assert_eq!(balance.to_string(), account.balance());
}

#[test]
fn entries_are_in_the_order_of_their_times() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.operator_stops("2026-01-02");
    account.consume("2026-01-20", "300");
    account.buy("2026-02-06", "a", "plus-100");
    account.operator_starts("2026-05-01");
    assert!(account.entries.is_sorted_by_key(|entry| entry.time));
}

#[test]
fn a_period_that_ends_while_the_subscription_is_deleted_takes_nothing_more() {
    let mut account = TestAccount::on_plan("starter", "2026-01-15");
    account.buy("2026-01-16", "a", "plus-100");
    account.unsubscribe("2026-02-10");
    account.until("2026-03-01");
    let ended = statement(&account, 1);
    assert!(ended.is_final, "{ended:?}");
    assert_eq!(ended.book.closing().expect("closing"), credits("100"));
    // Credits that expire in the gap belong to the period that follows, and so does usage in the gap.
    assert_eq!(
        account.report("2026-04-01", "gw", window("2026-03-31", "2026-04-01"), "1").summary(),
        "waits"
    );
    account.subscribe("2026-04-20", "starter");
    assert_eq!(statement(&account, 1), ended);
    let next = statement(&account, 2);
    assert_eq!((next.book.opening, next.book.consumed), (credits("100"), credits("1")));
    assert_chain(&account);
}
