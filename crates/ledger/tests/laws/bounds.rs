//! Laws 10 and 26: no input stops an account, and a full ledger still has room for usage.

use flashgate_ledger::bounds::{
    ATTEMPT_BYTES, INVOICES_LIMIT, OPEN_GRANTS_FOR_ORDERS, OPEN_GRANTS_LIMIT, ORDER_BYTES, RECEIPT_BYTES,
    REFUNDS_DUE_LIMIT, USAGE_LINES,
};
use flashgate_ledger::catalog::{Offer, PackPurchases, Plan, Rate};
use flashgate_ledger::facts::{PaymentState, UsageTotal};
use flashgate_ledger::ledger::RequestState;
use flashgate_ledger::period::{Window, seconds_after};
use flashgate_testing::catalog::{external, shipped};
use flashgate_testing::test_account::report_of_a_credit;
use flashgate_testing::values::{HOUR, credits, time};
use flashgate_testing::{Summary, TestAccount};

/// Uses 10^18 tokens of one rate in the hour before `at`: a thousand lines of the largest quantity.
fn use_the_most(account: &mut TestAccount, at: &str, source: &str, operation: &str) -> String {
    let end_time = time(at);
    let mut report = report_of_a_credit(
        source,
        source,
        end_time,
        source,
        Window { start_time: seconds_after(end_time, -HOUR), end_time },
    );
    let most = (0..1_000).map(|_| "1P".parse().expect("quantity"));
    report.usage = vec![UsageTotal {
        node_type: "Private".to_owned(),
        operation: operation.to_owned(),
        quantity: flashgate_ledger::Quantity::sum(most).expect("the most"),
        first_line: 0,
    }];
    account.facts.reports.insert(report);
    account.live_until(end_time);
    account.reports[source].summary()
}

#[test]
fn a_second_report_over_the_most_that_a_period_holds_is_too_large() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.catalog.rates[3].credits = credits("0.000001");
    assert_eq!(use_the_most(&mut account, "2026-01-02", "a", "TokensOut"), "charged 1000000000000");
    assert_eq!(use_the_most(&mut account, "2026-01-03", "b", "TokensOut"), "TooLarge");
    // The account continues with other rates, and with this rate in the next period.
    assert_eq!(account.consume("2026-01-04", "1").summary(), "charged 1");
    assert_eq!(use_the_most(&mut account, "2026-02-03", "c", "TokensOut"), "charged 1000000000000");
    assert_eq!(account.period().0, 2);
}

#[test]
fn usage_without_a_period_has_the_same_bound() {
    let mut account = TestAccount::on_plan("none", "2026-01-01");
    account.catalog.rates[3].credits = credits("0.000001");
    assert_eq!(use_the_most(&mut account, "2026-01-02", "a", "TokensOut"), "charged 1000000000000");
    assert_eq!(use_the_most(&mut account, "2026-01-03", "b", "TokensOut"), "TooLarge");
    assert_eq!(account.consume("2026-01-04", "1").summary(), "charged 1");
}

#[test]
fn usage_may_take_a_tenth_of_the_exact_range_whatever_orders_took() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    for index in 0..101 {
        let said = account
            .adjust("2026-01-02", &format!("a{index}"), "999999999999999", Some("2026-01-03"))
            .summary();
        assert!(matches!(said.as_str(), "granted 999999999999999" | "LedgerFull"), "{said}");
    }
    account.until("2026-01-04");
    for index in 0..60 {
        account.adjust("2026-01-04", &format!("b{index}"), "999999999999999", None);
    }
    assert_eq!(account.adjust("2026-01-04", "last", "100000000000000000", None).summary(), "TooLarge");
    assert_eq!(account.consume("2026-01-05", "1").summary(), "charged 1");
    account.until("2027-01-05");
    assert_eq!(account.consume("2027-01-05", "1").summary(), "charged 1");
}

#[test]
fn thresholds_that_the_spec_no_longer_has_are_dropped() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    for edit in 0..12 {
        let thresholds: Vec<u32> = (1..=10).map(|step| edit * 10 + step).collect();
        account.edit("2026-01-02", |subscription| {
            subscription.alert_thresholds_percent = Some(thresholds.clone());
        });
        account.consume("2026-01-02", "1400");
        assert_eq!(account.ledger().crossed_thresholds_percent, thresholds);
    }
    assert_eq!(account.thresholds().len(), 120);
}

#[test]
fn orders_that_await_their_payment_hold_the_room_of_the_grant_that_they_become() {
    let mut account = TestAccount::new(external());
    account.catalog.policies.pack_limit.max = 1_000;
    account.subscribe("2026-01-01", "starter");
    account.pay("2026-01-01T01:00", "first", 1, PaymentState::Settled);
    let mut awaiting = 0;
    for index in 0..300 {
        let said = account.buy("2026-01-02", &format!("p{index}"), "plus-100").summary();
        awaiting += usize::from(said == "awaits payment");
        assert!(said == "awaits payment" || said == "LedgerFull", "{said}");
    }
    assert_eq!(awaiting, OPEN_GRANTS_FOR_ORDERS - 1);
    let message = &account.packs["p299"].refusal().expect("refused").message;
    assert!(
        message.starts_with("the account has 1 open grants and 55 orders that wait or are not paid"),
        "{message}"
    );
    assert_eq!(account.adjust("2026-01-02", "a", "1", None).summary(), "LedgerFull");
    for number in 2..=56 {
        let name = format!("paid-{number}");
        assert_eq!(account.pay("2026-01-03", &name, number, PaymentState::Settled).summary(), "applied");
    }
    assert_eq!(account.ledger().grants.len(), OPEN_GRANTS_FOR_ORDERS);
}

#[test]
fn packs_that_wait_for_the_first_period_hold_the_room_of_their_grant() {
    let mut account = TestAccount::new(external());
    account.catalog.policies.pack_limit.max = 1_000;
    account.subscribe("2026-01-01", "starter");
    for index in 0..70 {
        account.buy("2026-01-01T01:00", &format!("p{index:02}"), "plus-100");
    }
    assert_eq!(account.adjust("2026-01-01T01:00", "a", "1", None).summary(), "LedgerFull");
    account.catalog.packs[0].price = credits("0");
    account.pay("2026-01-01T02:00", "first", 1, PaymentState::Settled);
    let granted = account.packs.values().filter(|pack| pack.summary() == "granted").count();
    let refused = account.packs.values().filter(|pack| pack.summary() == "LedgerFull").count();
    assert_eq!((granted, refused), (OPEN_GRANTS_FOR_ORDERS - 1, 70 - OPEN_GRANTS_FOR_ORDERS + 1));
}

/// Returns an account whose catalog has `count` paid plans, each with a higher price than the previous one.
fn ladder(count: usize) -> TestAccount {
    let mut catalog = shipped();
    let offer = |price: usize| Offer { credits: credits("10"), price: credits(&price.to_string()) };
    catalog.plans = (0..count)
        .map(|index| Plan {
            name: format!("plan-{index}"),
            display_name: format!("plan-{index}"),
            pack_purchases: PackPurchases::Allowed,
            overdraft: flashgate_ledger::Credits::ZERO,
            lapses_to: None,
            monthly: Some(offer(index + 1)),
            yearly: None,
        })
        .collect();
    let mut account = TestAccount::new(catalog);
    account.subscribe("2026-01-01", "plan-0");
    account
}

#[test]
fn an_upgrade_that_would_be_the_65th_open_grant_waits_until_there_is_room() {
    let mut account = ladder(80);
    for index in 1..80 {
        account.ask("2026-01-02", &format!("plan-{index}"));
    }
    assert_eq!((account.ledger().grants.len(), account.plan()), (OPEN_GRANTS_LIMIT, "plan-63"));
    let request = account.ledger().request.clone().expect("a request");
    assert_eq!((request.state, request.request.plan.as_str()), (RequestState::LedgerFull, "plan-79"));
    assert_eq!(account.consume("2026-01-03", "1").summary(), "charged 1");
    assert_eq!(account.plan(), "plan-63");
    assert_eq!(account.consume("2026-01-04", "10").summary(), "charged 10");
    assert_eq!((account.ledger().grants.len(), account.plan()), (OPEN_GRANTS_LIMIT, "plan-79"));
    assert_eq!(account.ledger().request.as_ref().map(|request| request.state), Some(RequestState::Decided));
}

#[test]
fn a_renewal_needs_no_room() {
    let mut account = ladder(80);
    for index in 1..80 {
        account.ask("2026-01-31", &format!("plan-{index}"));
    }
    assert_eq!(account.ledger().grants.len(), OPEN_GRANTS_LIMIT);
    account.until("2026-02-28");
    assert_eq!(account.plan(), "plan-79");
    account.until("2026-03-31");
    assert_eq!((account.plan(), account.balance().as_str()), ("plan-79", "10"));
}

#[test]
fn old_adjustments_are_known_by_name_and_free_their_room() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    let name = |index: usize| format!("{index:0>253}");
    let mut index = 0;
    while account.adjust("2026-01-02", &name(index), "1", None).summary() == "granted 1" {
        let start_time = seconds_after(time("2026-01-01"), i64::try_from(index).expect("few") * 60);
        let minute = Window { start_time, end_time: seconds_after(start_time, 60) };
        // Every grant is used up, so that none stays open.
        let owed = if index == 0 { "1101" } else { "1" };
        assert!(account.report("2026-01-02", "gw", minute, owed).summary().starts_with("charged"));
        index += 1;
    }
    let refusal = account.adjustments[&name(index)].refusal().expect("refused").clone();
    assert_eq!(refusal.reason.as_str(), "LedgerFull");
    assert!(refusal.message.contains("of the last 24 months take"), "{}", refusal.message);
    assert!(
        account.ledger().order_bytes() >= ORDER_BYTES && account.ledger().order_bytes() < ORDER_BYTES + 1_000
    );
    assert_eq!(account.buy("2026-01-03", "p", "plus-100").summary(), "LedgerFull");
    // New gateways, renewals and charges still work.
    assert_eq!(account.consume("2026-01-03", "1").summary(), "charged 1");
    account.until("2028-01-02");
    assert_eq!(account.adjust("2028-01-02", "later", "1", None).summary(), "granted 1");
    assert!(account.ledger().adjustments.len() < 5 && account.ledger().adjustment_names.len() >= index);
    assert_eq!(account.adjust("2028-01-03", &name(0), "1", None).summary(), "granted long ago");
    assert_eq!(account.adjust("2028-01-03", &name(1), "2", None).summary(), "NameAlreadyUsed");
}

#[test]
fn removed_rates_are_summed_up_above_the_limit() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    for index in 0..2_000 {
        account.catalog.rates = vec![Rate {
            node_type: "Private".to_owned(),
            operation: format!("Edition{index}"),
            unit: "1G".parse().expect("unit"),
            credits: credits("1"),
        }];
        let minute = seconds_after(time("2026-01-02"), index * 60);
        let window = Window { start_time: minute, end_time: seconds_after(minute, 60) };
        let usage = [("Private", format!("Edition{index}"), "1G")];
        let usage = usage
            .each_ref()
            .map(|(node_type, operation, quantity)| (*node_type, operation.as_str(), *quantity));
        assert_eq!(account.report_of("2026-01-05", "gw", window, &usage).summary(), "charged 1");
        assert!(account.ledger().usage.len() <= USAGE_LINES + 1);
    }
    let sum = flashgate_ledger::Credits::sum(account.ledger().usage.iter().map(|line| line.credits));
    assert_eq!(sum.expect("sum"), credits("2000"));
}

#[test]
fn finished_invoices_above_the_bound_are_dropped() {
    let mut account = ladder(250);
    for month in 0..3 {
        for index in (0..250).skip(usize::from(month == 0)) {
            let at = format!("2026-{:02}-03", 2 * month + 1);
            account.consume(&at, "10");
            account.ask(&at, &format!("plan-{index}"));
        }
        account.ask(&format!("2026-{:02}-04", 2 * month + 1), "plan-0");
        account.until(&format!("2026-{:02}-04", 2 * month + 2));
    }
    assert!(account.ledger().next_invoice > 700);
    let kept = account.ledger().invoices.len();
    assert!(kept <= INVOICES_LIMIT, "{kept} invoices");
    assert_eq!(account.consume("2026-07-05", "1").summary(), "charged 1");
}

#[test]
fn payments_of_void_invoices_are_recorded_up_to_a_bound() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    for index in 0..70 {
        let plan = ["growth", "starter"][index % 2];
        let number = u32::try_from(index + 1).expect("small");
        account.ask("2026-01-02", plan);
        let said =
            account.pay("2026-01-02", &format!("late-{index}"), number, PaymentState::Settled).summary();
        assert_eq!(said, if index < REFUNDS_DUE_LIMIT { "refund due" } else { "LedgerFull" }, "{index}");
    }
    account.pay("2026-01-03", "back", 1, PaymentState::Refunded);
    assert_eq!(account.pay("2026-01-03", "again", 70, PaymentState::Settled).summary(), "refund due");
}

#[test]
fn the_names_of_failed_attempts_stay_within_their_share() {
    let mut account = TestAccount::new(external());
    account.subscribe("2026-01-01", "starter");
    for index in 0..100 {
        account.ask("2026-01-02", ["growth", "starter"][index % 2]);
        let number = account.ledger().next_invoice - 1;
        for attempt in 0..20 {
            let name = format!("{:0>253}", index * 100 + attempt);
            assert_eq!(account.pay("2026-01-02", &name, number, PaymentState::Failed).summary(), "applied");
        }
    }
    let attempts = || account.ledger().invoices.iter().map(|invoice| &invoice.attempts);
    let bytes: usize = attempts().flat_map(|attempts| &attempts.names).map(String::len).sum();
    assert!(bytes <= ATTEMPT_BYTES, "{bytes}");
    assert!(attempts().all(|attempts| attempts.names.len() <= 16));
    assert_eq!(attempts().map(|attempts| attempts.count).sum::<u32>(), 20 * 100);
}

#[test]
fn receipts_of_large_reports_wait_for_room_in_bytes() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    account.catalog.rates = (0..256)
        .map(|index| Rate {
            node_type: format!("N{}", "n".repeat(62)),
            operation: format!("{}{index:03}", "O".repeat(60)),
            unit: "1G".parse().expect("unit"),
            credits: credits("1"),
        })
        .collect();
    account.receipts_stop();
    let rates = account.catalog.rates.clone();
    for index in 0..20 {
        let name = format!("r{index:02}");
        let start_time = seconds_after(time("2026-01-02"), index * 60);
        let window = Window { start_time, end_time: seconds_after(start_time, 60) };
        let mut report = report_of_a_credit(&name, &name, time("2026-01-03"), "gw", window);
        report.usage = (0..)
            .zip(&rates)
            .map(|(first_line, rate)| UsageTotal {
                node_type: rate.node_type.clone(),
                operation: rate.operation.clone(),
                quantity: "1G".parse().expect("quantity"),
                first_line,
            })
            .collect();
        account.facts.reports.insert(report);
    }
    account.until("2026-01-03");
    let bytes: usize =
        account.ledger().unacknowledged.iter().map(flashgate_ledger::ledger::Charge::bytes).sum();
    assert!(bytes < 2 * RECEIPT_BYTES, "{bytes}");
    // Boundaries take effect while they are pending.
    account.until("2026-02-02");
    assert_eq!(account.period().0, 2);
    account.receipts_resume();
    assert_eq!(account.count("Charged"), 20);
}

#[test]
fn messages_list_no_more_names_than_people_read() {
    let mut account = TestAccount::on_plan("starter", "2026-01-01");
    for index in 0..256 {
        let mut pack = account.catalog.packs[0].clone();
        pack.name = format!("{index:0>63}");
        account.catalog.packs.push(pack);
    }
    account.buy("2026-01-02", "p", "none");
    let message = &account.packs["p"].refusal().expect("refused").message;
    assert!(
        message.len() < 700
            && message.contains("plus-100, plus-500")
            && message.contains("more of the catalog")
    );
}
