//! Fault simulator: the operator's code against an in-memory cluster, with faults from a seed.
//!
//! `cargo test --test simulator -- --seeds 500` runs seeds 0 to 499, each with faults, and twice without: once to compare the
//! results, and once to compare previews with what then happens.
//! `--seed 42` runs one seed and prints a trace. If the seed fails, it also prints a minimal failing case.

mod entries;
mod oracle;
mod outcome;

mod simulator {
    pub mod faults;
    pub mod history;
    pub mod portal;
    pub mod preview;
    pub mod reads;
    pub mod runner;
    pub mod users;
    pub mod workload;
    pub mod world;
}

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;

use clap::Parser;
use flashgate_billing::admission::Admission;
use flashgate_testing::harness::Harness;
use flashgate_testing::simulated::{Store, lock};
use tokio::time::Instant;

use crate::oracle::Violation;
use crate::outcome::Disorder;
use crate::simulator::faults::Fault;
use crate::simulator::workload::Workload;
use crate::simulator::world::{Omissions, World};

/// Runs seeds.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of seeds
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run only this seed, and print a trace
    #[arg(long)]
    seed: Option<u64>,
    /// Reaction to a seed that fails
    #[arg(long, value_enum, default_value_t)]
    failures: Failures,
    #[command(flatten)]
    harness: Harness,
}

/// The action after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Failures {
    /// Stop at the first failure, and reduce it to a minimal case
    #[default]
    Explain,
    /// Stop at the first failure, and print it as it is
    Stop,
    /// Run all seeds, and print all failures as they are
    Collect,
}

/// The result of a run.
struct Run {
    result: Result<(), Violation>,
    steps: usize,
    faults: usize,
    injected: BTreeMap<Fault, u64>,
    trace: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.harness.asks_for_others() {
        return ExitCode::SUCCESS;
    }
    match arguments.seed {
        Some(seed) => explain(seed),
        None => run_all(&arguments),
    }
}

/// Runs a seed with faults and without, and compares the results.
fn play(seed: u64, omissions: &Omissions, is_traced: bool) -> Run {
    let workload = Workload::of(seed);
    let mut world = World::new(seed, &workload, true, omissions);
    world.trace = is_traced.then(String::new);
    let result = world.play(&workload).and_then(|()| {
        preview(seed, &workload, omissions)?;
        if workload.disorder == Disorder::Wild {
            return Ok(());
        }
        let mut faultless = World::new(seed, &workload, false, omissions);
        faultless.play(&workload).map_err(|Violation(text)| Violation(format!("without faults: {text}")))?;
        let (found, expected) = (store_of(&world), store_of(&faultless));
        outcome::compare(workload.disorder, (&found, &world.oracle), (&expected, &faultless.oracle))
    });
    Run {
        result,
        steps: world.steps,
        faults: world.faults.count,
        injected: world.injected(),
        trace: world.trace.unwrap_or_default(),
    }
}

/// Runs a seed without faults, and previews each batch.
fn preview(seed: u64, workload: &Workload, omissions: &Omissions) -> Result<(), Violation> {
    static ADMISSION: LazyLock<Arc<Admission>> =
        LazyLock::new(|| Arc::new(Admission::new().expect("the admission of the definitions")));
    let world = World::new(seed, workload, false, omissions);
    world.preview_by(&ADMISSION).play(workload)
}

fn store_of(world: &World) -> Store {
    lock(&world.wire).store.clone()
}

/// Totals of all runs.
#[derive(Default)]
struct Sums {
    steps: usize,
    by_disorder: BTreeMap<Disorder, u64>,
    injected: BTreeMap<Fault, u64>,
    failures: Vec<(u64, Violation)>,
}

fn run_all(arguments: &Arguments) -> ExitCode {
    let begin = Instant::now();
    let (next, end) = (AtomicU64::new(arguments.from), arguments.from + arguments.seeds);
    let (sums, is_over) = (Mutex::new(Sums::default()), AtomicBool::new(false));
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let run = play(seed, &Omissions::default(), false);
                    is_over.fetch_or(
                        run.result.is_err() && arguments.failures != Failures::Collect,
                        Ordering::Relaxed,
                    );
                    if let Ok(mut sums) = sums.lock() {
                        sums.add(seed, run);
                    }
                }
            });
        }
    });
    let sums = sums.into_inner().unwrap_or_default();
    let played: u64 = sums.by_disorder.values().sum();
    let seconds = begin.elapsed().as_secs_f64();
    println!("{played} seeds in {seconds:.1} s, {} steps with faults: {:?}", sums.steps, sums.by_disorder);
    for (fault, count) in &sums.injected {
        println!("  {fault:?}: {count}");
    }
    for (seed, Violation(text)) in &sums.failures {
        println!("seed {seed}: {text}");
    }
    match sums.failures.first() {
        None => ExitCode::SUCCESS,
        Some(_) if arguments.failures != Failures::Explain => ExitCode::FAILURE,
        Some((seed, _)) => explain(*seed),
    }
}

impl Sums {
    fn add(&mut self, seed: u64, run: Run) {
        self.steps += run.steps;
        *self.by_disorder.entry(Workload::of(seed).disorder).or_default() += 1;
        for (fault, count) in run.injected {
            *self.injected.entry(fault).or_default() += count;
        }
        self.failures.extend(run.result.err().map(|violation| (seed, violation)));
    }
}

/// Runs a seed, reduces it to a minimal failing case, and prints that.
fn explain(seed: u64) -> ExitCode {
    let whole = play(seed, &Omissions::default(), false);
    let Err(Violation(text)) = whole.result else {
        println!("{}seed {seed} passes", play(seed, &Omissions::default(), true).trace);
        return ExitCode::SUCCESS;
    };
    println!("seed {seed} fails: {text}");
    let omissions = shrink(seed, &text, whole.faults);
    let run = play(seed, &omissions, true);
    println!("{}", run.trace);
    if let Err(Violation(text)) = run.result {
        println!("the reduced seed {seed} fails: {text}");
    }
    println!("replay: cargo test --profile simulate --test simulator -- --seed {seed}");
    ExitCode::FAILURE
}

/// Removes everything that is not needed for the failure: first halves, then single items and faults.
fn shrink(seed: u64, text: &str, faults: usize) -> Omissions {
    let fails = |omissions: &Omissions| {
        let found = play(seed, omissions, false).result.err();
        found.is_some_and(|Violation(found)| words_of(&found) == words_of(text))
    };
    let workload = Workload::of(seed);
    let items = workload.batches.iter().flat_map(|batch| &batch.items).map(|(number, _)| *number);
    let mut omissions = Omissions::default();
    let mut pieces: Vec<(bool, usize)> = (1..=faults).map(|number| (true, number)).collect();
    pieces.extend(items.map(|number| (false, number)));
    let mut size = pieces.len().div_ceil(2);
    while size > 0 {
        let mut index = 0;
        while index < pieces.len() {
            let end = (index + size).min(pieces.len());
            let mut smaller = omissions.clone();
            for (is_fault, number) in &pieces[index..end] {
                if *is_fault {
                    smaller.faults.insert(*number)
                } else {
                    smaller.items.insert(*number)
                };
            }
            if fails(&smaller) {
                omissions = smaller;
                pieces.drain(index..end);
            } else {
                index = end;
            }
        }
        size /= 2;
    }
    omissions
}

/// Returns the words of a violation without names and amounts.
fn words_of(text: &str) -> String {
    let words = text.split_whitespace().take(12);
    words.filter(|word| word.chars().all(char::is_alphabetic)).collect::<Vec<_>>().join(" ")
}
