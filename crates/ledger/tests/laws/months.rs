//! Law 28: the sums of the last calendar months. `TestAccount` also compares them with the entries of every account.

use flashgate_ledger::catalog::BillingPeriod;
use flashgate_testing::TestAccount;
use flashgate_testing::catalog::shipped;
use flashgate_testing::values::{credits, window};

/// Returns the sums of each month: granted, purchased, adjusted, consumed, expired, refunded, closing.
fn months(account: &TestAccount) -> Vec<(String, [String; 7])> {
    let months = account.ledger().months.iter().map(|month| {
        let sums = month.sums;
        let amounts = [
            sums.granted,
            sums.purchased,
            sums.adjusted,
            sums.consumed,
            sums.expired,
            sums.refunded,
            month.closing,
        ];
        (month.first_day.to_string(), amounts.map(|amount| amount.to_string()))
    });
    months.collect()
}

#[test]
fn credits_are_booked_in_the_month_of_their_entry() {
    let mut account = TestAccount::on_plan("starter", "2026-01-15");
    account.consume("2026-01-31T23:59:59", "300");
    account.buy("2026-02-01", "a", "plus-100");
    account.adjust("2026-02-07", "b", "5", None);
    account.until("2026-02-15");
    let row = |month: &str, amounts: [&str; 7]| (month.to_owned(), amounts.map(str::to_owned));
    assert_eq!(
        months(&account),
        [
            row("2026-01-01", ["1100", "0", "0", "300", "0", "0", "800"]),
            row("2026-02-01", ["1100", "100", "5", "0", "800", "0", "1205"]),
        ]
    );
}

#[test]
fn late_usage_that_claims_expired_credits_makes_the_expired_sum_of_its_month_negative() {
    let mut account = TestAccount::on_plan("starter", "2026-01-31T23:30");
    account.until("2026-02-28T23:30");
    account.report("2026-03-01T00:30", "gw", window("2026-02-28T22:00", "2026-02-28T23:00"), "300");
    let march = account.ledger().months.iter().next_back().copied().expect("March");
    assert_eq!((march.sums.consumed, march.sums.expired), (credits("300"), credits("-300")));
    assert_eq!(march.closing.to_string(), account.balance());
}

#[test]
fn the_last_24_months_are_kept_and_a_month_without_credits_has_no_record() {
    let mut account = TestAccount::on_plan("starter", "2024-01-10");
    account.until("2026-03-09");
    let kept = months(&account);
    assert_eq!((kept.len(), kept[0].0.as_str()), (24, "2024-03-01"));
    let mut account = TestAccount::new(shipped());
    account.subscribe_with("2024-01-10", "starter", |subscription| {
        subscription.request.billing_period = BillingPeriod::Yearly;
    });
    account.consume("2024-07-01", "5");
    let kept = months(&account);
    let firsts: Vec<&str> = kept.iter().map(|(month, _)| month.as_str()).collect();
    assert_eq!(firsts, ["2024-01-01", "2024-07-01"]);
}
