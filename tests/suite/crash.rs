//! Crashes: no charge is lost or made twice, whenever the operator is killed or a reply is lost.

use std::cell::Cell;
use std::collections::HashSet;
use std::time::Duration;

use flashgate_api::{CreditAdjustment, UsageReport};
use flashgate_testing::catalog::monthly;
use futures::StreamExt as _;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster_account::{ClusterAccount, LONG_AGO, now, private_egress, seconds};
use crate::world::{World, wait_until};

const REPORTS: usize = 500;
const KILLS: usize = 20;
/// Run time of an operator in the crash loop: too short to finish its work.
const MOMENT: Duration = Duration::from_millis(300);
/// Longest run time. A machine that runs several tests and control planes needs seconds to start a program.
const LONGEST_MOMENT: Duration = Duration::from_secs(8);
/// Number of runs in a row without a charge before the run time is increased.
const STUCK_LIVES: usize = 10;

/// Reports 1 GB of private egress, which costs 1 credit, in the three seconds from `start`.
async fn report(account: &ClusterAccount<'_>, name: &str, start: i64) {
    account.report(name, seconds(start, 3), private_egress("1G")).await;
}

fn an_hour_ago() -> i64 {
    now() - 3_600
}

async fn charged(account: &ClusterAccount<'_>) -> usize {
    let charged = ListParams::default().fields("status.state=Charged");
    account.api::<UsageReport>().list(&charged).await.expect("list").items.len()
}

#[tokio::test]
async fn an_operator_killed_twenty_times_charges_each_of_five_hundred_reports_once() {
    let world = World::start().await;
    let account = ClusterAccount::subscribed_long_ago(&world, "killed", monthly("starter")).await;
    let start = an_hour_ago();
    let create = futures::stream::iter(0..REPORTS)
        .map(|index| {
            let account = &account;
            let offset = 3 * i64::try_from(index).expect("offset");
            async move { report(account, &format!("report-{index}"), start + offset).await }
        })
        .buffer_unordered(4)
        .collect::<Vec<_>>();
    let kill = async {
        for round in 0..KILLS {
            let operator = world.operator(&[]);
            // Each operator does some of the work before it dies; the last ones may find little left.
            let before = charged(&account).await;
            let goal = before + 1 + round % 7;
            wait_until("the operator charges", async || {
                let now = charged(&account).await;
                now >= goal || now == REPORTS
            })
            .await;
            operator.kill();
        }
    };
    let (created, ()) = tokio::join!(create, kill);
    assert_eq!(created.len(), REPORTS);
    let _operator = world.operator(&[]);
    wait_until("all are charged", async || charged(&account).await == REPORTS).await;
    account.balance("600").await;
    account.has_totals(&[("consumed", "500"), ("granted", "1100")]).await;
}

#[tokio::test]
async fn an_operator_in_a_crash_loop_makes_progress_under_load_and_charges_exactly() {
    let world = World::start().await;
    let account = ClusterAccount::subscribed_long_ago(&world, "moments", monthly("starter")).await;
    let a_day_ago = an_hour_ago() - 23 * 3_600;
    let (is_over, created) = (Cell::new(false), Cell::new(0));
    let load = async {
        while !is_over.get() {
            let index = created.get();
            report(&account, &format!("report-{index}"), a_day_ago + 3 * index).await;
            created.set(index + 1);
            // Adds a few reports in each run. A backlog makes the next start longer.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (mut moment, mut charged_after) = (MOMENT, Vec::new());
    let lives = async {
        let mut end = Instant::now() + Duration::from_mins(1);
        while Instant::now() < end {
            let operator = world.operator(&[]);
            // The timeout is expected.
            tokio::time::sleep(moment).await;
            operator.kill();
            charged_after.push(charged(&account).await);
            if charged_after.iter().rev().nth(STUCK_LIVES) == charged_after.last() {
                // A slow machine needs longer to start a program. The test time starts when the run time is
                // long enough.
                moment = moment * 3 / 2;
                assert!(moment < LONGEST_MOMENT, "an operator that runs for {moment:?} charges nothing");
                (end, charged_after) = (Instant::now() + Duration::from_mins(1), Vec::new());
            }
        }
        is_over.set(true);
    };
    tokio::join!(load, lives);
    let (lives, created) = (charged_after.len(), created.get());
    println!("{lives} lives of {moment:?}, {created} reports: {charged_after:?}");
    let thirds: Vec<usize> = (1..=3).map(|third| charged_after[lives * third / 3 - 1]).collect();
    assert!(
        thirds.windows(2).all(|pair| pair[0] < pair[1]),
        "each third must make progress: {charged_after:?}"
    );
    let _operator = world.operator(&[]);
    account.balance(&(1_100 - created).to_string()).await;
    account.has_totals(&[("consumed", &created.to_string()), ("granted", "1100")]).await;
}

#[tokio::test]
async fn a_report_created_and_deleted_while_no_operator_runs_is_not_charged() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "unseen").await;
    let operator = world.operator(&[]);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
    operator.terminate().await;
    report(&account, "unseen", an_hour_ago()).await;
    let reports = account.api::<UsageReport>();
    reports.delete("unseen", &DeleteParams::default()).await.expect("deleted");
    let _operator = world.operator(&[]);
    // The grants of now were decided with all objects in view.
    account.adjust("mark", "10").await;
    account.state_is::<CreditAdjustment>("mark", "Granted").await;
    account.balance("1110").await;
    account.has_totals(&[("consumed", "0")]).await;
    // Its window is free: the same usage stated again is charged.
    report(&account, "seen", an_hour_ago()).await;
    account.state_is::<UsageReport>("seen", "Charged").await;
}

#[tokio::test]
async fn a_report_recreated_between_its_commit_and_its_receipt_gets_its_own_verdict() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "between").await;
    let go = world.plane.folder().join("go");
    let failpoint = format!("--failpoint=replace-status/UsageReport#1@before=pause:{}", go.display());
    let _operator = world.operator(&[&failpoint]);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
    let start = an_hour_ago();
    report(&account, "gw-0001", start).await;
    let reached = world.plane.folder().join("go.reached");
    wait_until("the receipt is about to be written", async || reached.exists()).await;
    let api = account.api::<UsageReport>();
    let first = api.get("gw-0001").await.expect("report").uid();
    api.delete("gw-0001", &DeleteParams::default()).await.expect("deleted");
    report(&account, "gw-0001", start + 3).await;
    assert_ne!(first, api.get("gw-0001").await.expect("report").uid());
    std::fs::write(&go, "").expect("go");
    account.state_is::<UsageReport>("gw-0001", "Charged").await;
    account.expect::<UsageReport>("gw-0001", "/status/credits", "1").await;
    account.balance("1098").await;
    // The same window again, under the same name: the charge of the first object stands, this one is refused.
    api.delete("gw-0001", &DeleteParams::default()).await.expect("deleted");
    report(&account, "gw-0001", start).await;
    account.state_is::<UsageReport>("gw-0001", "Rejected").await;
    account.balance("1098").await;
}

/// Refuses a report, as another operator does that sees no room for it.
async fn refuse(account: &ClusterAccount<'_>, name: &str) {
    let status = json!({"status": {"observedGeneration": 1, "state": "Rejected"}});
    let api = account.api::<UsageReport>();
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.expect("refused");
}

#[tokio::test]
async fn a_refusal_of_another_operator_does_not_override_a_charge() {
    let world = World::start().await;
    let account = ClusterAccount::subscribed_long_ago(&world, "refused", monthly("starter")).await;
    let start = an_hour_ago();
    let paused = async |name: &str, start: i64| {
        let go = world.plane.folder().join(format!("go-{name}"));
        let reached = world.plane.folder().join(format!("go-{name}.reached"));
        let operator = world
            .operator(&[&format!("--failpoint=replace-status/UsageReport#1@before=pause:{}", go.display())]);
        report(&account, name, start).await;
        wait_until("the receipt is about to be written", async || reached.exists()).await;
        refuse(&account, name).await;
        (operator, go)
    };
    // The operator finds the refusal when it writes the receipt.
    let (operator, go) = paused("met", start).await;
    std::fs::write(&go, "").expect("go");
    account.state_is::<UsageReport>("met", "Charged").await;
    operator.terminate().await;
    // A new operator, which knows only the ledger, finds it too.
    let (operator, _) = paused("found", start + 3).await;
    operator.kill();
    account.state_is::<UsageReport>("found", "Rejected").await;
    let _operator = world.operator(&[]);
    account.state_is::<UsageReport>("found", "Charged").await;
    account.expect::<UsageReport>("found", "/status/credits", "1").await;
    account.balance("1098").await;
}

#[tokio::test]
async fn a_lost_reply_to_a_commit_charges_once() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "lost").await;
    let lost: Vec<String> = (1..=6)
        .flat_map(|nth| {
            [
                format!("--failpoint=replace-ledger#{nth}@after=lose"),
                format!("--failpoint=replace-status/UsageReport#{nth}@after=lose"),
                format!("--failpoint=replace-status/Subscription#{nth}@after=lose"),
            ]
        })
        .chain(["--failpoint=create-ledger#1@after=lose".to_owned()])
        .collect();
    let lost: Vec<&str> = lost.iter().map(String::as_str).collect();
    let _operator = world.operator(&lost);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let start = an_hour_ago();
    for index in 0..10 {
        let name = format!("report-{index}");
        report(&account, &name, start + index * 3).await;
        account.state_is::<UsageReport>(&name, "Charged").await;
    }
    account.balance("1090").await;
}

#[tokio::test]
async fn two_concurrent_operators_charge_each_report_once() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "two").await;
    let _operators = (world.operator(&[]), world.operator(&[]));
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    let start = an_hour_ago();
    for index in 0..100 {
        report(&account, &format!("report-{index}"), start + index * 3).await;
    }
    wait_until("all are charged", async || charged(&account).await == 100).await;
    account.balance("1000").await;
    account.has_totals(&[("consumed", "100")]).await;
    let uids: HashSet<Value> = unacknowledged(&account.ledger().await);
    assert!(uids.len() <= 128);
}

#[tokio::test]
async fn a_terminated_operator_finishes_the_work_in_progress() {
    let world = World::start().await;
    let account = ClusterAccount::without_subscription(&world, "stopped").await;
    let operator = world.operator(&[]);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
    let start = an_hour_ago();
    for index in 0..20 {
        report(&account, &format!("report-{index}"), start + index * 3).await;
    }
    operator.terminate().await;
    // Every charge in the ledger has its receipt: nothing was left half done.
    let ledger = account.ledger().await;
    let consumed = ledger.pointer("/totals/consumed").and_then(Value::as_str).expect("consumed").to_owned();
    assert_eq!(charged(&account).await.to_string(), consumed);
    let _operator = world.operator(&[]);
    account.balance("1080").await;
}

fn unacknowledged(ledger: &Value) -> HashSet<Value> {
    let records = ledger.pointer("/unacknowledged").and_then(Value::as_array).cloned().unwrap_or_default();
    records.into_iter().collect()
}
