//! The property of laws 10 and 26: no life that admission lets through, however extreme, breaks an invariant, and every
//! ledger and status that it leads to is one that the shipped definitions accept and the store has room for.
//!
//! `cargo test --profile simulate --test bounds -- --lives 20000` plays the lives of seeds 0 to 19999; `--seed 42` plays
//! one.

mod bounds {
    pub mod deeds;
    pub mod judge;
    pub mod life;
}

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use clap::Parser;
use flashgate_testing::harness::Harness;
use tokio::time::Instant;

use crate::bounds::judge::Judge;
use crate::bounds::life::Life;

/// Plays lives.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many lives are played
    #[arg(long, default_value_t = 200)]
    lives: u64,
    /// The seed of the first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plays the life of this seed alone
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    harness: Harness,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.harness.asks_for_others() {
        return ExitCode::SUCCESS;
    }
    let (from, lives) = arguments.seed.map_or((arguments.from, arguments.lives), |seed| (seed, 1));
    let began = Instant::now();
    let (next, failed, largest) = (AtomicU64::new(from), AtomicU64::new(0), AtomicUsize::new(0));
    let play = || {
        let mut judge = Judge::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from.saturating_add(lives) || failed.load(Ordering::Relaxed) > 0 {
                break;
            }
            if let Err(problem) = Life::begin(seed, &mut judge).play() {
                println!("seed {seed}: {problem}");
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        largest.fetch_max(judge.largest(), Ordering::Relaxed);
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(play);
        }
    });
    let failed = failed.into_inner();
    println!(
        "{lives} lives in {} seconds, {failed} failed; the largest ledger has {} bytes",
        began.elapsed().as_secs(),
        largest.into_inner()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
