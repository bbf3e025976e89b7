//! The campaign: the operator as a process on a real etcd and kube-apiserver, with a proxy between them and everything
//! that can go wrong, one thing at a time, enumerated from runs in which nothing does.
//!
//! `cargo test --test campaign` plays a choice of plans and prints their table; `-- --plans all` plays every plan,
//! `-- --plan NAME` one, and says what was written.

#[expect(dead_code, reason = "the simulator's oracle also knows of resets and reads, which no workload has")]
mod oracle;
mod outcome;
mod script;

mod campaign {
    pub mod calls;
    pub mod chronicle;
    pub mod faults;
    pub mod judgement;
    pub mod plans;
    pub mod play;
    pub mod processes;
    pub mod proxy;
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

use crate::campaign::chronicle::Chronicle;
use crate::campaign::judgement::End;
use crate::campaign::plans::{Choice, Plan, enumerate};
use crate::campaign::play::{Played, Theatre, play};
use crate::campaign::table::{Count, Table};
use crate::campaign::workloads::Workload;
use crate::oracle::Violation;

/// Plays plans.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many plans are played, spread evenly; or `all`
    #[arg(long, default_value = "640")]
    plans: Choice,
    /// Plays the plans whose name contains this, and says what was written
    #[arg(long)]
    plan: Option<String>,
    /// How many plans are played at once
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    /// Ends at the first violation
    #[arg(long)]
    stop: bool,
    /// A file that the table is written to
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
    let theatre = Theatre { chronicle: Chronicle::begin(&server), server, folder: plane.folder().to_owned() };
    let mut workloads = Workload::all()?;
    if let Some(name) = &arguments.plan {
        let of_plan = |workload: &Workload| name.split('/').next() == Some(workload.name.as_str());
        if workloads.iter().any(of_plan) {
            workloads.retain(of_plan);
        }
    }
    let references = join_all(workloads.iter().map(|workload| Reference::of(&theatre, workload))).await;
    let references = references.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let ready = begin.elapsed();
    let enumerated: Vec<Plan> = references.iter().flat_map(|reference| reference.plans.clone()).collect();
    let count = enumerated.len();
    let chosen = match &arguments.plan {
        Some(name) => enumerated.into_iter().filter(|plan| plan.name.contains(name.as_str())).collect(),
        None => arguments.plans.of(enumerated),
    };
    anyhow::ensure!(!chosen.is_empty(), "no plan is called that");
    println!("{} of {count} plans, {:.1} s after the start", chosen.len(), ready.as_secs_f64());
    let stage = Stage { theatre: &theatre, references: &references, arguments };
    let table = stage.play_all(chosen).await?;
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

/// A workload, how it ends when nothing goes wrong, and what could.
struct Reference<'w> {
    workload: &'w Workload,
    end: End,
    plans: Vec<Plan>,
}

impl<'w> Reference<'w> {
    /// Plays a workload twice without faults: both must end the same, and what the operator did in both is what can
    /// go wrong.
    async fn of(theatre: &Theatre, workload: &'w Workload) -> anyhow::Result<Self> {
        let plan = Plan::without_faults(&workload.name);
        let (one, other) = (format!("{}-one", workload.name), format!("{}-other", workload.name));
        let (one, other) =
            tokio::try_join!(play(theatre, workload, &plan, &one), play(theatre, workload, &plan, &other))?;
        let deeds = one.deeds.in_common(&other.deeds);
        let failed = |Violation(text)| anyhow::anyhow!("{} without faults: {text}", workload.name);
        let (end, same) = (one.end.map_err(failed)?, other.end.map_err(failed)?);
        same.compare(&end).map_err(failed).context("two runs without faults differ")?;
        let plans = enumerate(&workload.name, &deeds);
        Ok(Self { workload, end, plans })
    }
}

/// The stage on which chosen plans are played.
struct Stage<'c> {
    theatre: &'c Theatre,
    references: &'c [Reference<'c>],
    arguments: &'c Arguments,
}

impl Stage<'_> {
    async fn play_all(&self, plans: Vec<Plan>) -> anyhow::Result<Table> {
        let total = plans.len();
        let mut table = Table::default();
        let at_once = self.arguments.at_once.max(1);
        let runs = plans.into_iter().enumerate().map(|(number, plan)| self.play_one(number, plan));
        let mut runs = iter(runs).buffer_unordered(at_once);
        let mut played = 0;
        while let Some(run) = runs.next().await {
            let (plan, run) = run?;
            played += 1;
            let count = self.judge(&plan, run);
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

    async fn play_one(&self, number: usize, plan: Plan) -> anyhow::Result<(Plan, Played)> {
        let workload = self.reference(&plan).context("a plan without a workload")?.workload;
        let namespace = format!("plan-{number}");
        let played = play(self.theatre, workload, &plan, &namespace).await;
        let played = played.with_context(|| format!("{} could not be played", plan.name))?;
        Ok((plan, played))
    }

    fn reference(&self, plan: &Plan) -> Option<&Reference<'_>> {
        let name = plan.name.split('/').next();
        self.references.iter().find(|reference| name == Some(reference.workload.name.as_str()))
    }

    /// Says what became of a plan, and counts it.
    fn judge(&self, plan: &Plan, played: Played) -> Count {
        let Played { end, has_struck, record, .. } = played;
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
            Ok(()) if has_struck => Count { passed: 1, ..Count::default() },
            Ok(()) => {
                println!("idle: {}", plan.name);
                Count { idle: 1, ..Count::default() }
            }
        }
    }
}
