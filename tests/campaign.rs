//! Fault injection campaign: the operator runs as a process against a real etcd and kube-apiserver.
//! A proxy between them injects one fault at a time. The plans are enumerated from runs without faults.
//!
//! `cargo test --test campaign` runs a selection of plans and prints a table. `-- --plans all` runs every
//! plan;
//! `-- --plan NAME` runs one and prints the operator's writes.

mod entries;
mod judge;
#[expect(
    dead_code,
    reason = "the simulator uses the rest of the oracle for resets and reads, which no workload has"
)]
mod oracle;
mod outcome;
mod script;

mod campaign {
    pub mod calls;
    pub mod faults;
    pub mod final_state;
    pub mod history;
    pub mod plans;
    pub mod play;
    pub mod processes;
    pub mod proxy;
    pub mod recorded;
    pub mod table;
    pub mod users;
    pub mod workloads;
}

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use flashgate_control_plane::ControlPlane;
use flashgate_testing::harness::Harness;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::iter;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::time::Instant;

use crate::campaign::final_state::FinalState;
use crate::campaign::history::Recorder;
use crate::campaign::plans::{Plan, Selection, enumerate};
use crate::campaign::play::{Environment, Played, play};
use crate::campaign::table::{Count, Table};
use crate::campaign::workloads::Workload;
use crate::oracle::Violation;

/// Runs fault injection plans.
#[derive(Debug, Parser)]
struct Arguments {
    /// Number of plans to run, spread evenly; or `all`
    #[arg(long, default_value = "640")]
    plans: Selection,
    /// Runs the plans whose name contains this, and prints the writes
    #[arg(long)]
    plan: Option<String>,
    /// Number of plans to run in parallel
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    /// Stop at the first violation
    #[arg(long)]
    stop: bool,
    /// File for the table
    #[arg(long)]
    table: Option<PathBuf>,
    #[command(flatten)]
    harness: Harness,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.harness.asks_for_others() {
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(campaign(&arguments))
}

async fn campaign(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let begin = Instant::now();
    let plane = ControlPlane::start().await?;
    plane.apply_crds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")).await?;
    let server = client(&plane).await?;
    let environment =
        Environment { recorder: Recorder::begin(&server), server, folder: plane.folder().to_owned() };
    let mut workloads = Workload::all()?;
    if let Some(name) = &arguments.plan {
        let of_plan = |workload: &Workload| name.split('/').next() == Some(workload.name.as_str());
        if workloads.iter().any(of_plan) {
            workloads.retain(of_plan);
        }
    }
    let references = join_all(workloads.iter().map(|workload| Reference::of(&environment, workload))).await;
    let references = references.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let ready = begin.elapsed();
    let enumerated: Vec<Plan> = references.iter().flat_map(|reference| reference.plans.clone()).collect();
    let count = enumerated.len();
    let selected = match &arguments.plan {
        Some(name) => enumerated.into_iter().filter(|plan| plan.name.contains(name.as_str())).collect(),
        None => arguments.plans.of(enumerated),
    };
    anyhow::ensure!(!selected.is_empty(), "no plan has this name");
    println!("{} of {count} plans, {:.1} s after the start", selected.len(), ready.as_secs_f64());
    let runner = Runner { environment: &environment, references: &references, arguments };
    let table = runner.run_all(selected).await?;
    println!("\n{table}");
    let Count { passed, idle, violated } = table.total();
    let (played, seconds) = (passed + violated, begin.elapsed().as_secs_f64());
    println!(
        "{played} plans played in {seconds:.0} s: {violated} violated; {idle} more found nothing to go wrong"
    );
    if let Some(file) = &arguments.table {
        std::fs::write(file, table.to_string())?;
    }
    Ok(if violated == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn client(plane: &ControlPlane) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig())?;
    let options = KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    // Each request of the operator is passed on once.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// A workload, its final state without faults, and its plans.
struct Reference<'w> {
    workload: &'w Workload,
    end: FinalState,
    plans: Vec<Plan>,
}

impl<'w> Reference<'w> {
    /// Runs a workload twice without faults. Both runs must have the same final state. The plans break the calls
    /// that both runs have in common.
    async fn of(environment: &Environment, workload: &'w Workload) -> anyhow::Result<Self> {
        let plan = Plan::without_faults(&workload.name);
        let (one, other) = (format!("{}-one", workload.name), format!("{}-other", workload.name));
        let (one, other) = tokio::try_join!(
            play(environment, workload, &plan, &one),
            play(environment, workload, &plan, &other)
        )?;
        let calls = one.calls.in_common(&other.calls);
        let failed = |Violation(text)| anyhow::anyhow!("{} without faults: {text}", workload.name);
        let (end, same) = (one.end.map_err(failed)?, other.end.map_err(failed)?);
        same.compare(&end).map_err(failed).context("two runs without faults differ")?;
        let plans = enumerate(&workload.name, &calls);
        Ok(Self { workload, end, plans })
    }
}

/// Runs the selected plans.
struct Runner<'c> {
    environment: &'c Environment,
    references: &'c [Reference<'c>],
    arguments: &'c Arguments,
}

impl Runner<'_> {
    async fn run_all(&self, plans: Vec<Plan>) -> anyhow::Result<Table> {
        let total = plans.len();
        let mut table = Table::default();
        let at_once = self.arguments.at_once.max(1);
        let runs = plans.into_iter().enumerate().map(|(number, plan)| self.run_one(number, plan));
        let mut runs = iter(runs).buffer_unordered(at_once);
        let mut played = 0;
        while let Some(run) = runs.next().await {
            let (plan, run) = run?;
            played += 1;
            let count = self.report(&plan, run);
            let workload = plan.name.split('/').next().unwrap_or_default();
            table.count(workload, plan.family, count);
            if played % 50 == 0 {
                println!("{played} of {total}");
            }
            if self.arguments.stop && count.violated > 0 {
                break;
            }
        }
        Ok(table)
    }

    async fn run_one(&self, number: usize, plan: Plan) -> anyhow::Result<(Plan, Played)> {
        let workload = self.reference(&plan).context("a plan without a workload")?.workload;
        let namespace = format!("plan-{number}");
        let played = play(self.environment, workload, &plan, &namespace).await;
        let played = played.with_context(|| format!("{} cannot be run", plan.name))?;
        Ok((plan, played))
    }

    fn reference(&self, plan: &Plan) -> Option<&Reference<'_>> {
        let name = plan.name.split('/').next();
        self.references.iter().find(|reference| name == Some(reference.workload.name.as_str()))
    }

    /// Prints and counts the result of a plan.
    fn report(&self, plan: &Plan, played: Played) -> Count {
        let Played { end, has_occurred, record, .. } = played;
        let compared = end.and_then(|end| match self.reference(plan) {
            Some(reference) => end.compare(&reference.end),
            None => Ok(()),
        });
        if self.arguments.plan.is_some() {
            println!("{}:\n{record}", plan.name);
        }
        match compared {
            Err(Violation(text)) => {
                println!("VIOLATED {}\n{text}\n{record}", plan.name);
                println!("replay: cargo test --test campaign -- --plan '{}'", plan.name);
                Count { violated: 1, ..Count::default() }
            }
            Ok(()) if has_occurred => Count { passed: 1, ..Count::default() },
            Ok(()) => {
                println!("idle: {}", plan.name);
                Count { idle: 1, ..Count::default() }
            }
        }
    }
}
