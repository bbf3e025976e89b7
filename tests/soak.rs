//! The soak: many accounts under a steady load, while two operators, what they ask and who answers fail by chance; in
//! the end every number is exact.
//!
//! `cargo test --test soak` plays a short one; `-- --minutes 30 --subscriptions 2000 --output FOLDER` a long one, and
//! keeps its measurements and their graph.

#[expect(dead_code, reason = "the suite asks more of its accounts")]
mod cluster_account;
mod relay;
#[expect(dead_code, reason = "the suite asks more of its world")]
mod world;

mod soak {
    pub mod books;
    pub mod chaos;
    pub mod graph;
    pub mod load;
    pub mod sample;
}

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use flashgate_testing::harness::Harness;
use tokio::time::Instant;

use crate::soak::books::Books;
use crate::soak::chaos::{self, Chaos, Pair};
use crate::soak::graph;
use crate::soak::load::Load;
use crate::soak::sample::Samples;
use crate::world::World;

/// How long everything may take to come to its end when nothing fails any more.
const CATCH_UP: Duration = Duration::from_secs(600);

/// How long nothing may be written in the end.
const REST: Duration = Duration::from_secs(10);

/// By how much memory may be more in the last third than in the middle one.
const MEMORY_PERCENT: u64 = 115;

/// Plays a soak.
#[derive(Debug, Parser)]
struct Arguments {
    /// For how many seconds things fail
    #[arg(long, default_value_t = 20, conflicts_with = "minutes")]
    seconds: u64,
    /// For how many minutes things fail
    #[arg(long)]
    minutes: Option<u64>,
    /// How many accounts there are; each reports once a minute, and all together at least four times a second
    #[arg(long, default_value_t = 40)]
    subscriptions: usize,
    /// The seed of the random faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
    play(&arguments, time).await;
}

async fn play(arguments: &Arguments, time: Duration) {
    let world = World::start().await;
    let chaos = Arc::new(Chaos::of(arguments.seed));
    let kubeconfig = relay::start(&world, Arc::clone(&chaos)).await;
    let pair = Pair::start(&world, kubeconfig);
    let books = Books::watch(world.client().await);
    let mut load = Load::on(&world, arguments.subscriptions, arguments.seed).await;
    books
        .until("every account is open", Duration::from_secs(600), |books| {
            books.accounts() == arguments.subscriptions
        })
        .await;
    println!("{} accounts are open; things fail for {} s", arguments.subscriptions, time.as_secs());
    let samples = Samples::default();
    let end = Instant::now() + time;
    chaos.rage(true);
    tokio::join!(
        load.run_until(end),
        chaos::trouble_operators(&world, &pair, &chaos, end),
        samples.take_until(end, &pair, &books, &chaos),
    );
    chaos.rage(false);
    let calm = Instant::now();
    let expected = load.consumed();
    books.until("every report is charged", CATCH_UP, |books| books.consumed() >= expected).await;
    println!(
        "{} reports are charged, the last of them {} s after the last fault",
        expected,
        calm.elapsed().as_secs()
    );
    load.came_out_exact(&world).await;
    load.until_nothing_is_written(REST).await;
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
