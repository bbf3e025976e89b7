//! Property test of laws 10 and 26, with extreme input that admission accepts.
//! No run breaks an invariant. The shipped CRDs accept every ledger and status, and etcd has room for them.
//!
//! `cargo test --profile simulate --test bounds -- --lives 20000` runs seeds 0 to 19999; `--seed 42` runs
//! one.

mod bounds {
    pub mod actions;
    pub mod run;
    pub mod validator;
}

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use clap::Parser;
use flashgate_testing::harness::Harness;
use tokio::time::Instant;

use crate::bounds::run::Run;
use crate::bounds::validator::Validator;

/// Runs the bounds test.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of runs
    #[arg(long, default_value_t = 200)]
    lives: u64,
    /// The seed of the first run
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plays the run of this seed alone
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
        let mut validator = Validator::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from.saturating_add(lives) || failed.load(Ordering::Relaxed) > 0 {
                break;
            }
            if let Err(problem) = Run::new(seed, &mut validator).play() {
                println!("seed {seed}: {problem}");
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        largest.fetch_max(validator.largest(), Ordering::Relaxed);
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
