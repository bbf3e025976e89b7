//! Soak test: many accounts under a steady load, with random faults.
//! The faults hit two operators, their requests, and the API server. At the end every number must be exact.
//!
//! `cargo test --test soak` runs a short test. `-- --minutes 30 --subscriptions 2000 --output FOLDER` runs a
//! long one and writes its measurements and a graph.

#[expect(dead_code, reason = "the suite asks more of its accounts")]
mod cluster_account;
mod free_address;
mod judge;
#[expect(dead_code, reason = "the suite also stops it and uses its programs")]
mod postgres;
mod relay;
#[expect(dead_code, reason = "the suite asks more of its world")]
mod world;

mod soak {
    pub mod chaos;
    pub mod graph;
    pub mod ledger_totals;
    pub mod load;
    pub mod recorded;
    pub mod sample;
}

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use flashgate_testing::harness::Harness;
use tokio::time::Instant;

use crate::soak::chaos::{self, Chaos, Pair};
use crate::soak::graph;
use crate::soak::ledger_totals::LedgerTotals;
use crate::soak::load::Load;
use crate::soak::recorded::Recorded;
use crate::soak::sample::Samples;
use crate::world::World;

/// Maximum time for all work to finish after the last fault.
const CATCH_UP: Duration = Duration::from_mins(10);

/// Time at the end in which nothing may be written.
const REST: Duration = Duration::from_secs(10);

/// Maximum memory in the last third of the run, in percent of the memory in the middle third.
const MEMORY_PERCENT: u64 = 115;

/// Runs a soak test.
#[derive(Debug, Parser)]
struct Arguments {
    /// Duration of the faults, in seconds
    #[arg(long, default_value_t = 20, conflicts_with = "minutes")]
    seconds: u64,
    /// Duration of the faults, in minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// Number of accounts; each reports once a minute, and all together at least four times a second
    #[arg(long, default_value_t = 40)]
    subscriptions: usize,
    /// The seed of the random faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Record the history in a private server of PostgreSQL, not in a file of SQLite
    #[arg(long)]
    postgres: bool,
    /// The folder for soak.csv and soak.svg
    #[arg(long)]
    output: Option<PathBuf>,
    #[command(flatten)]
    harness: Harness,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    if arguments.harness.asks_for_others() {
        return;
    }
    let time = Duration::from_secs(arguments.minutes.map_or(arguments.seconds, |minutes| minutes * 60));
    run(&arguments, time).await;
}

async fn run(arguments: &Arguments, time: Duration) {
    let world = World::start().await;
    let chaos = Arc::new(Chaos::of(arguments.seed));
    let kubeconfig = relay::start(&world, Arc::clone(&chaos)).await;
    let history = Recorded::start(&world, arguments.postgres).await;
    let pair = Pair::start(&world, kubeconfig, history.url());
    let totals = LedgerTotals::watch(world.client().await);
    let mut load = Load::start(&world, arguments.subscriptions, arguments.seed).await;
    totals
        .until("every account is open", Duration::from_mins(10), |totals| {
            totals.accounts() == arguments.subscriptions
        })
        .await;
    println!("{} accounts are open; things fail for {} s", arguments.subscriptions, time.as_secs());
    let samples = Samples::default();
    let end = Instant::now() + time;
    chaos.set_enabled(true);
    tokio::join!(
        load.run_until(end),
        chaos::restart_operators(&world, &pair, &chaos, end),
        samples.take_until(end, &pair, &totals, &chaos),
    );
    chaos.set_enabled(false);
    let faults_ended = Instant::now();
    let expected = load.consumed();
    totals.until("every report is charged", CATCH_UP, |totals| totals.consumed() >= expected).await;
    println!(
        "{} reports are charged, the last of them {} s after the last fault",
        expected,
        faults_ended.elapsed().as_secs()
    );
    load.assert_exact_totals(&world).await;
    load.assert_no_writes_at_rest(REST).await;
    println!("a judge agrees with {} entries of the history", history.judge_all(&world).await);
    let summary = samples.summary(time, &load, &chaos);
    println!("{summary}");
    if let Some(folder) = &arguments.output {
        std::fs::create_dir_all(folder).expect("folder");
        std::fs::write(folder.join("soak.csv"), samples.csv()).expect("soak.csv");
        std::fs::write(folder.join("soak.svg"), graph::of(&samples)).expect("soak.svg");
    }
    let (middle, last) = samples.memory_kib();
    let is_flat = arguments.minutes.is_none() || last * 100 <= middle * MEMORY_PERCENT;
    assert!(is_flat, "memory grew from {middle} KiB in the middle third to {last} KiB in the last");
}
