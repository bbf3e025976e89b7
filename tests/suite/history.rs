//! The history on a real control plane: complete, verified, restored from backups, and begun on older ledgers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use flashgate_api::{CreditLedger, CreditPack, UsageReport};
use flashgate_ledger::ledger::UNACKNOWLEDGED_LIMIT;
use flashgate_ledger::period::Window;
use flashgate_testing::catalog::monthly;
use futures::StreamExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster_account::{ClusterAccount, LONG_AGO, now, private_egress, seconds};
use crate::judge::Judge;
use crate::postgres::Postgres;
use crate::world::{World, eventually, wait_for, wait_until};

/// Runs `history` with `arguments` and the store in `file`.
fn history(world: &World, file: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"));
    command.arg("history").args(arguments).env("KUBECONFIG", world.plane.kubeconfig());
    command.env("FLASHGATE_HISTORY", url(file)).output().expect("runs")
}

fn url(file: &Path) -> String {
    format!("sqlite:{}", file.display())
}

fn file(world: &World) -> PathBuf {
    world.plane.folder().join("history.db")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the entries that an export has.
fn exported(world: &World, file: &Path) -> Vec<Value> {
    let output = history(world, file, &["export", "--format", "jsonl"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Returns whether the history ends where the ledger does. It has no tables before its operator creates them.
async fn is_complete(world: &World, file: &Path, account: &ClusterAccount<'_>) -> bool {
    if !history(world, file, &["export", "--format", "jsonl"]).status.success() {
        return false;
    }
    let ledger = account.get::<CreditLedger>("acme").await.expect("ledger");
    exported(world, file).last().is_some_and(|entry| entry["sequence"] == ledger["spec"]["sequence"])
}

/// Creates a report of two models for an hour of the past.
async fn report(account: &ClusterAccount<'_>, name: &str, hours_ago: i64) {
    let line = |model: &str, tokens: &str| json!({"nodeType": "Public", "operation": "TokensOut", "quantity": tokens, "labels": {"model": model}});
    let Window { start_time, end_time } = seconds(now() - hours_ago * 3_600, 3_600);
    let spec = json!({
        "subscriptionRef": {"name": "acme"}, "source": "gw-1",
        "window": {"startTime": start_time, "endTime": end_time},
        "usage": [line("small", "1000"), line("large", "3000")],
    });
    account.create::<UsageReport>(name, spec).await;
    account.report_is(name, "Charged").await;
}

#[tokio::test]
async fn every_entry_is_recorded_verified_exported_and_judged() {
    let world = World::start().await;
    let file = file(&world);
    let operator = world.operator(&["--history", &url(&file)]);
    let account = ClusterAccount::without_subscription(&world, "team").await;
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.buy("order-1", "plus-100").await;
    report(&account, "report-1", 3).await;
    report(&account, "report-2", 2).await;
    account.balance("1192").await;
    wait_until("the history is complete", async || is_complete(&world, &file, &account).await).await;

    let verified = history(&world, &file, &["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    let entries = exported(&world, &file);
    let expected = format!("1 accounts, {} entries: no gap", entries.len());
    assert_eq!(text(&verified.stdout).lines().last(), Some(expected.as_str()));
    let ledger = account.get::<CreditLedger>("acme").await.expect("ledger");
    let held = ledger["spec"]["entries"].as_array().expect("entries").iter();
    let held: Vec<Value> =
        held.map(|record| serde_json::from_str(record.as_str().expect("text")).expect("JSON")).collect();
    assert_eq!(entries, held);
    let mut judge = Judge::default();
    for entry in &entries {
        judge.replay(entry).expect("the judge agrees");
    }
    judge.judge_ledger(&ledger["spec"]).expect("the judge agrees");
    operator.terminate().await;
}

#[tokio::test]
async fn a_store_restored_from_a_backup_is_filled_from_the_ledgers() {
    let world = World::start().await;
    let (file, backup) = (file(&world), world.plane.folder().join("backup.db"));
    let operator = world.operator(&["--history", &url(&file)]);
    let account = ClusterAccount::without_subscription(&world, "team").await;
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    report(&account, "report-1", 3).await;
    operator.terminate().await;
    std::fs::copy(&file, &backup).expect("a backup");
    let operator = world.operator(&["--history", &url(&file)]);
    report(&account, "report-2", 2).await;
    operator.terminate().await;

    for suffix in ["-wal", "-shm"] {
        let beside = format!("{}{suffix}", file.display());
        assert!(!Path::new(&beside).exists(), "the last connection removes {beside}");
    }
    std::fs::copy(&backup, &file).expect("restored");
    let behind = history(&world, &file, &["verify"]);
    assert!(!behind.status.success(), "{}", text(&behind.stdout));
    assert!(text(&behind.stdout).contains("the history ends at entry"), "{}", text(&behind.stdout));
    let operator = world.operator(&["--history", &url(&file)]);
    wait_until("the history is complete", async || is_complete(&world, &file, &account).await).await;
    let verified = history(&world, &file, &["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    operator.terminate().await;
}

/// Reports that are created at once: more than the charges that a ledger keeps until their receipts.
const REPORTS: i64 = 300;

/// Time between two loads: together ten reports a second, many more than one account has in practice.
const PACE: Duration = Duration::from_secs(30);

/// Creates `REPORTS` reports of 1 credit each, numbered from `first`. Their windows follow each other from `start`.
async fn load(account: &ClusterAccount<'_>, start: i64, first: i64) {
    let create = (first..first + REPORTS).map(|number| async move {
        let window = seconds(start + 3 * number, 3);
        account.report(&format!("load-{number}"), window, private_egress("1G")).await;
    });
    futures::stream::iter(create).buffer_unordered(8).collect::<Vec<_>>().await;
}

#[tokio::test]
async fn charging_pauses_while_the_store_is_down_and_then_catches_up() {
    load_while_the_store_is_down(Duration::ZERO).await;
}

#[tokio::test]
#[ignore = "it takes more than 10 minutes: cargo test --test suite -- --ignored ten_minutes"]
async fn nothing_is_lost_while_the_store_is_down_for_ten_minutes_under_load() {
    load_while_the_store_is_down(Duration::from_mins(10)).await;
}

/// Creates reports for as long as `down` while the store is down, at least more than a ledger keeps without receipts.
async fn load_while_the_store_is_down(down: Duration) {
    let world = World::start().await;
    let mut store = Postgres::start().await;
    let history = store.admin_url();
    let operator = world.operator_with(&[], &[("FLASHGATE_HISTORY", &history)]);
    let account = ClusterAccount::without_subscription(&world, "team").await;
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    report(&account, "before", 48).await;
    store.stop();

    let end = Instant::now() + down;
    let (start, mut created) = (now() - 86_400, 0);
    let mut pace = tokio::time::interval(PACE);
    while created == 0 || Instant::now() < end {
        pace.tick().await;
        load(&account, start, created).await;
        created += REPORTS;
    }
    // Nothing else waits for the store.
    account.buy("order-1", "plus-100").await;
    account.state_is::<CreditPack>("order-1", "Granted").await;
    let waiting = account.ledger().await["unacknowledged"].as_array().map_or(0, Vec::len);
    assert!((1..=UNACKNOWLEDGED_LIMIT).contains(&waiting), "{waiting} charges wait for their receipts");
    let charged = ListParams::default().fields("status.state=Charged");
    let reports = account.api::<UsageReport>();
    let count = async || reports.list(&charged).await.expect("list").items.len();
    assert_eq!(count().await, 1, "no charge has a receipt before it is recorded");

    store.run().await;
    let all = usize::try_from(created).expect("count") + 1;
    eventually("all reports are charged", async || (count().await == all).then_some(()))
        .within(Duration::from_mins(10))
        .await_some()
        .await;
    account.has_totals(&[("consumed", &(created + 4).to_string())]).await;
    let verify = async || {
        let mut verify = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"));
        verify.args(["history", "verify"]).env("FLASHGATE_HISTORY", &history);
        verify.env("KUBECONFIG", world.plane.kubeconfig()).output().expect("runs").status.success()
    };
    wait_until("every entry is recorded", verify).await;
    assert_eq!(account.events("HistoryGap").await, Vec::<String>::new());
    operator.terminate().await;
}

#[tokio::test]
async fn a_history_that_begins_late_starts_with_the_balance_and_a_lost_one_says_what_it_lost() {
    let world = World::start().await;
    let (file, other) = (file(&world), world.plane.folder().join("other.db"));
    let operator = world.operator(&[]);
    let account = ClusterAccount::without_subscription(&world, "team").await;
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    for number in 0..25 {
        account.adjust(&format!("gift-{number}"), "1").await;
    }
    account.balance("1125").await;
    operator.terminate().await;
    let operator = world.operator(&["--history", &url(&file)]);
    wait_until("the history is complete", async || is_complete(&world, &file, &account).await).await;
    let opening = exported(&world, &file).remove(0);
    assert_eq!(opening["kind"], "Opening");
    let verified = history(&world, &file, &["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    operator.terminate().await;

    // The old store comes back after the operator recorded in another one for long.
    let operator = world.operator(&["--history", &url(&other)]);
    for number in 25..52 {
        account.adjust(&format!("gift-{number}"), "1").await;
        account.balance(&format!("{}", 1_101 + number)).await;
    }
    operator.terminate().await;
    let operator = world.operator(&["--history", &url(&file)]);
    wait_until("the history is complete", async || is_complete(&world, &file, &account).await).await;
    let verified = history(&world, &file, &["verify"]);
    let ledger = account.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(verified.status.code(), Some(1), "{}\n{:#}", text(&verified.stdout), ledger["spec"]);
    assert!(text(&verified.stdout).contains("are lost"), "{}", text(&verified.stdout));
    assert!(exported(&world, &file).iter().any(|entry| entry["kind"] == "Gap"));
    let events = wait_for("an Event", async || {
        Some(account.events("HistoryGap").await).filter(|events| !events.is_empty())
    });
    let events = events.await;
    assert!(events.iter().any(|message| message.contains("are not in the history")), "{events:?}");

    // The other store has what the first lost.
    let copied = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"))
        .args(["history", "copy", &url(&other), &url(&file)])
        .output()
        .expect("runs");
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let verified = history(&world, &file, &["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    operator.terminate().await;
}
