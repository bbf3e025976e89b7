//! Runs a plan: applies the steps of a workload, restarts operators, and waits until the
//! writes stop.

use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use flashgate_testing::simulated::{Object, ObjectKind};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::campaign::final_state::FinalState;
use crate::campaign::history::{History, Objects, Recorder};
use crate::campaign::plans::{CallCounts, Plan, ProcessPlan, SecondOperator};
use crate::campaign::processes::Process;
use crate::campaign::proxy::{ProcessFaults, Proxy, Traffic, Write};
use crate::campaign::recorded;
use crate::campaign::users::{ACCOUNT, Moved, Users};
use crate::campaign::workloads::{Step, Workload};
use crate::oracle::Violation;
use crate::script::comparable;

/// Maximum time of a step, including an unanswered call, a backoff and a slow machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Time without a write after which held requests are released.
const HOLD_TIME: Duration = Duration::from_millis(600);

/// Polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Time without a write that counts as quiet. It is longer than the maximum delay of a status.
const QUIET: Duration = Duration::from_millis(1_200);

/// The environment of all plans.
#[derive(Clone)]
pub struct Environment {
    /// A client of the API server.
    pub server: Client,
    /// The recorded changes.
    pub recorder: Recorder,
    /// The folder for kubeconfigs and logs.
    pub folder: PathBuf,
}

/// The result of a plan.
#[derive(Debug)]
pub struct Played {
    /// The final state, or the violation.
    pub end: Result<FinalState, Violation>,
    /// Whether every fault of the plan occurred.
    pub has_occurred: bool,
    /// The operator's calls, if the plan has no faults.
    pub calls: CallCounts,
    /// The writes in readable form.
    pub record: String,
}

/// Runs a plan in its own namespace.
///
/// # Errors
/// When the campaign itself fails: no port, no process, or the server rejects a user's request.
pub async fn play(
    environment: &Environment,
    workload: &Workload,
    plan: &Plan,
    namespace: &str,
) -> anyhow::Result<Played> {
    let history = environment.recorder.of(namespace);
    let object = Namespace {
        metadata: ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let created = Api::all(environment.server.clone()).create(&PostParams::default(), &object).await?;
    let version = created.metadata.resource_version.unwrap_or_default().parse()?;
    let mut execution = Execution::start(environment, workload, plan, namespace, history).await?;
    execution.version.store(version, Ordering::Relaxed);
    let result = execution.run_to_end(plan).await?;
    let changes = execution.history.changes();
    let mut end = result.and_then(|()| FinalState::check(&changes, &workload.catalog));
    if let Ok(state) = &end
        && let Err(violation) =
            recorded::check(&history_file(environment, namespace), state.cluster()).await?
    {
        end = Err(violation);
    }
    environment.recorder.forget(namespace);
    Ok(Played {
        end,
        has_occurred: execution.has_occurred(plan),
        calls: std::mem::take(&mut execution.calls),
        record: execution.record(),
    })
}

/// Returns the file in which the operators of a plan record the history.
fn history_file(environment: &Environment, namespace: &str) -> PathBuf {
    environment.folder.join(format!("{namespace}.db"))
}

/// The state of a running plan.
struct Execution<'p> {
    workload: &'p Workload,
    history: Arc<History>,
    users: Users,
    traffic: Arc<Traffic>,
    operator: Arc<Slot>,
    second: Option<Arc<Slot>>,
    /// The resource version at the start of the step.
    version: Arc<AtomicU64>,
    /// The resource version at the end of each step.
    ends: Vec<u64>,
    /// The operator's calls before it was restarted.
    calls: CallCounts,
    /// Tasks that end with the plan.
    running: Vec<AbortHandle>,
}

impl<'p> Execution<'p> {
    async fn start(
        environment: &Environment,
        workload: &'p Workload,
        plan: &Plan,
        namespace: &str,
        history: Arc<History>,
    ) -> anyhow::Result<Self> {
        let traffic = Traffic::new();
        let version = Arc::new(AtomicU64::new(0));
        let operator = Slot::new(environment, workload, namespace, "operator", &traffic).await?;
        let second = match plan.second {
            Some(_) => Some(Slot::new(environment, workload, namespace, "second", &traffic).await?),
            None => None,
        };
        let users = Users::new(environment.server.clone(), namespace);
        let mut execution = Self {
            workload,
            history,
            users,
            traffic,
            operator,
            second,
            version,
            ends: Vec::new(),
            calls: CallCounts::default(),
            running: Vec::new(),
        };
        execution.start_operator(Arc::clone(&execution.operator), plan.processes.clone());
        if let Some(second) = execution.second.clone().filter(|_| plan.second == Some(SecondOperator::Always))
        {
            execution.start_operator(second, Vec::new());
        }
        let traffic = Arc::clone(&execution.traffic);
        let releasing = tokio::spawn(async move {
            loop {
                tokio::time::sleep(POLL_INTERVAL).await;
                if traffic.holds() && traffic.idle_time() >= HOLD_TIME {
                    traffic.release();
                }
            }
        });
        execution.running.push(releasing.abort_handle());
        Ok(execution)
    }

    /// Starts the processes of an operator, one after another.
    fn start_operator(&mut self, slot: Arc<Slot>, processes: Vec<ProcessPlan>) {
        let version = Arc::clone(&self.version);
        let task = tokio::spawn(async move {
            if let Err(error) = slot.run(processes, &version).await {
                slot.trouble.send_replace(Some(error.to_string()));
            }
        });
        self.running.push(task.abort_handle());
    }

    /// Applies all steps, and waits until the writes stop.
    async fn run_to_end(&mut self, plan: &Plan) -> anyhow::Result<Result<(), Violation>> {
        for (number, step) in self.workload.steps.iter().enumerate() {
            self.version.fetch_max(self.history.version(), Ordering::Relaxed);
            let freeze = plan.freeze.filter(|freeze| freeze.step.is_none_or(|only| only == number));
            let frozen = freeze.map(|freeze| freeze.kind);
            // The test clock is part of the Subscription, so an operator with a stale Subscription has an old
            // time. Both operators must know the new time before one of them gets later changes late.
            let is_frozen_later = frozen == Some(ObjectKind::Subscription) && self.second.is_some();
            self.freeze(frozen.filter(|_| !is_frozen_later));
            if let Err(violation) = self.move_clock(plan, step).await? {
                return Ok(Err(violation));
            }
            self.freeze(frozen.filter(|_| is_frozen_later));
            if let Err(violation) = self.apply_step(plan, step).await? {
                return Ok(Err(violation));
            }
            self.ends.push(self.history.version());
        }
        if let Err(violation) = self.wait_until_quiet().await {
            return Ok(Err(violation));
        }
        Ok(if plan.is_without_faults() { self.check_restart().await } else { Ok(()) })
    }

    fn freeze(&self, kind: Option<ObjectKind>) {
        if let Some(kind) = kind {
            self.second.as_ref().unwrap_or(&self.operator).proxy.freeze(kind);
        }
    }

    /// Advances the test clock, and waits until every operator has seen it.
    async fn move_clock(&mut self, plan: &Plan, step: &Step) -> anyhow::Result<Result<(), Violation>> {
        self.traffic.note_activity();
        let Some(moved) = self.users.move_clock(&self.history, step.time).await? else { return Ok(Ok(())) };
        let Moved { generation, version } = moved;
        let second = self.second.clone().filter(|_| plan.second == Some(SecondOperator::Always));
        let (operator, second) = (Arc::clone(&self.operator), second);
        let is_observed = |objects: &Objects| {
            let shown = objects.get(&(ObjectKind::Subscription, ACCOUNT.to_owned())).map(Object::to_json);
            let shown = shown.and_then(|object| object.pointer("/status/observedGeneration")?.as_i64());
            if shown < Some(generation) {
                return Err(format!("generation {generation} is not observed at {}: {shown:?}", step.time));
            }
            match &second {
                Some(second)
                    if !second.proxy.has_received(version) || !operator.proxy.has_received(version) =>
                {
                    Err(format!("an operator has not received the time {}", step.time))
                }
                _ => Ok(()),
            }
        };
        Ok(self.wait(plan, is_observed).await)
    }

    /// Applies the documents of a step, and waits until every object matches the simulation.
    async fn apply_step(&mut self, plan: &Plan, step: &Step) -> anyhow::Result<Result<(), Violation>> {
        for document in &step.documents {
            let written = self.users.apply(&self.history, document, step.time).await?;
            let is_visible = |objects: &Objects| {
                if written.is_seen_in(objects) { Ok(()) } else { Err(format!("{written:?} is not visible")) }
            };
            if let Err(violation) = self.wait(plan, is_visible).await {
                return Ok(Err(violation));
            }
        }
        let is_swept = self.workload.catalog.policies.reports.keep_for_seconds == 0;
        Ok(self.wait(plan, |objects| compare_with_simulation(step, objects, is_swept)).await)
    }

    /// Waits until `holds` does.
    async fn wait(
        &mut self,
        plan: &Plan,
        holds: impl Fn(&Objects) -> Result<(), String>,
    ) -> Result<(), Violation> {
        let deadline = Instant::now() + TIMEOUT;
        let (mut updates, mut trouble) = (self.history.updates(), self.operator.trouble.subscribe());
        loop {
            self.start_standby(plan);
            updates.mark_unchanged();
            let Err(why) = holds(&self.history.objects()) else { return Ok(()) };
            if let Some(trouble) = trouble.borrow().clone() {
                return Err(Violation(trouble));
            }
            if Instant::now() >= deadline {
                return Err(Violation(format!("not within {} seconds: {why}", TIMEOUT.as_secs())));
            }
            tokio::select! {
                _ = updates.changed() => {}
                _ = trouble.changed() => {}
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
        }
    }

    /// Starts the second operator once the first one is held.
    fn start_standby(&mut self, plan: &Plan) {
        let is_due = plan.second == Some(SecondOperator::Standby) && self.operator.proxy.has_occurred();
        if let Some(second) = self.second.clone().filter(|second| is_due && !second.is_taken()) {
            self.start_operator(second, Vec::new());
        }
    }

    /// Waits until nothing is written any more and the Subscription matches the ledger.
    async fn wait_until_quiet(&self) -> Result<(), Violation> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let is_quiet = self.traffic.idle_time() >= QUIET && !self.traffic.holds();
            let shown = shows_its_ledger(&self.history.objects());
            if is_quiet && shown.is_ok() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let writes = self.operator.proxy.writes().len();
                return Err(Violation(format!("writes have not stopped after {writes} writes: {shown:?}")));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Restarts the operator when nothing is pending, and checks that it writes nothing.
    async fn check_restart(&mut self) -> Result<(), Violation> {
        self.calls = self.count_calls();
        for running in self.running.drain(..) {
            running.abort();
        }
        self.start_operator(Arc::clone(&self.operator), Vec::new());
        let deadline = Instant::now() + TIMEOUT;
        while self.operator.proxy.writes().len() + self.operator.proxy.watches() < ObjectKind::ALL.len() {
            if Instant::now() >= deadline {
                return Err(Violation("a restarted operator does not start its watches".to_owned()));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        self.traffic.note_activity();
        self.wait_until_quiet().await?;
        match self.operator.proxy.writes().first() {
            None => Ok(()),
            Some(write) => Err(Violation(format!("a restarted operator writes {write:?}"))),
        }
    }

    /// Returns whether every fault of the plan occurred.
    fn has_occurred(&self, plan: &Plan) -> bool {
        let exits = *self.operator.exits.borrow();
        plan.processes.iter().enumerate().all(|(number, process)| {
            if process.is_killed() { exits > number } else { self.operator.proxy.has_occurred() }
        }) && (plan.freeze.is_none() || self.second.as_ref().unwrap_or(&self.operator).proxy.has_occurred())
    }

    fn count_calls(&self) -> CallCounts {
        let mut calls = CallCounts::default();
        for write in self.operator.proxy.writes() {
            *calls.writes.entry(write.call.to_string()).or_default() += 1;
        }
        calls.reads = self.operator.proxy.reads().into_iter().collect();
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        for (begin, end) in begins.zip(&self.ends) {
            let changes = self.history.changes().into_iter();
            let within = changes.filter(|change| change.version > begin && change.version <= *end);
            calls.changed.push(within.map(|change| change.object.kind()).collect());
        }
        calls
    }

    /// Returns the writes in readable form, in the order in which they were sent.
    fn record(&self) -> String {
        let slots = [("operator", Some(&self.operator)), ("second", self.second.as_ref())];
        let mut writes = Vec::new();
        for (name, slot) in slots {
            let of_slot = slot.map_or_else(Vec::new, |slot| slot.past_writes());
            writes.extend(of_slot.into_iter().map(|write| (name, write)));
        }
        writes.sort_by_key(|(_, write)| write.time);
        let mut record = String::new();
        for (name, Write { call, number, version, answer, .. }) in writes {
            let answer = answer
                .map_or_else(|| "no answer".to_owned(), |(status, version)| format!("{status} {version}"));
            let object = &call.object;
            // Writing to a text cannot fail.
            writeln!(record, "  {name}: {call}#{number} {object} at {version:?}: {answer}")
                .unwrap_or_default();
        }
        record
    }
}

impl Drop for Execution<'_> {
    fn drop(&mut self) {
        for running in &self.running {
            running.abort();
        }
    }
}

/// Compares every object with the simulation. Returns the first difference.
fn compare_with_simulation(step: &Step, objects: &Objects, is_swept: bool) -> Result<(), String> {
    for ((kind, name), expected) in &step.expected {
        let found = objects.iter().find(|((found, other), _)| found.as_str() == kind && other == name);
        let found = found.map(|(_, object)| comparable(&object.to_json()));
        if found.as_ref() != Some(expected) {
            let found = found.unwrap_or_default();
            return Err(format!("{kind} {name} at {}\nsimulated: {expected:#}\nshown: {found:#}", step.time));
        }
    }
    let is_expected = |(kind, name): &(ObjectKind, String)| {
        step.expected.contains_key(&(kind.as_str().to_owned(), name.clone()))
    };
    let left = objects.keys().find(|key| key.0 == ObjectKind::UsageReport && !is_expected(key));
    match left.filter(|_| is_swept) {
        Some((kind, name)) => Err(format!("{} {name} still exists at {}", kind.as_str(), step.time)),
        None => Ok(()),
    }
}

/// Checks that the Subscription, if it exists, shows the current ledger.
fn shows_its_ledger(objects: &Objects) -> Result<(), String> {
    let get = |kind| objects.get(&(kind, ACCOUNT.to_owned())).map(Object::to_json);
    let Some(subscription) = get(ObjectKind::Subscription) else { return Ok(()) };
    let held = get(ObjectKind::CreditLedger).unwrap_or_default();
    let (shown, held) = (subscription.pointer("/status/ledger/hash"), held.pointer("/spec/hash"));
    if shown == held {
        Ok(())
    } else {
        Err(format!("the Subscription shows {shown:?}, the ledger is {held:?}"))
    }
}

/// A slot for an operator: its proxy and its arguments.
struct Slot {
    proxy: Proxy,
    kubeconfig: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
    exits: watch::Sender<usize>,
    /// An unexpected error.
    trouble: watch::Sender<Option<String>>,
    is_taken: watch::Sender<bool>,
    past: std::sync::Mutex<Vec<Write>>,
}

impl Slot {
    async fn new(
        environment: &Environment,
        workload: &Workload,
        namespace: &str,
        role: &str,
        traffic: &Arc<Traffic>,
    ) -> anyhow::Result<Arc<Self>> {
        let proxy = Proxy::start(environment.server.clone(), Arc::clone(traffic)).await?;
        let (kubeconfig, log) = (
            environment.folder.join(format!("{namespace}-{role}.kubeconfig")),
            environment.folder.join(format!("{namespace}-{role}.log")),
        );
        std::fs::write(&kubeconfig, kubeconfig_of(proxy.port))?;
        let mut arguments: Vec<String> =
            ["--namespace", namespace, "--allow-test-clocks", namespace].map(str::to_owned).into();
        let history = format!("sqlite:{}", history_file(environment, namespace).display());
        arguments.extend(["--history".to_owned(), history]);
        if let Some(file) = &workload.catalog_file {
            arguments.extend(["--catalog".to_owned(), file.clone()]);
        }
        let (exits, trouble, is_taken) =
            (watch::Sender::new(0), watch::Sender::new(None), watch::Sender::new(false));
        Ok(Arc::new(Self {
            proxy,
            kubeconfig,
            log,
            arguments,
            exits,
            trouble,
            is_taken,
            past: std::sync::Mutex::default(),
        }))
    }

    fn is_taken(&self) -> bool {
        *self.is_taken.borrow()
    }

    /// Starts one operator process for each of `processes`, and then one without faults.
    async fn run(&self, processes: Vec<ProcessPlan>, version: &AtomicU64) -> anyhow::Result<()> {
        self.is_taken.send_replace(true);
        for process in processes.into_iter().map(Some).chain([None]) {
            let is_killed = process.as_ref().is_some_and(ProcessPlan::is_killed);
            let ProcessPlan { failpoint, fault, stale } = process.unwrap_or_default();
            let stale = stale.map(|kind| (kind, version.load(Ordering::Relaxed)));
            if let Some((kind, _)) = stale {
                self.proxy.freeze(kind);
            }
            self.proxy.set_faults(ProcessFaults { fault, stale });
            let failpoint = failpoint.map(|failpoint| format!("--failpoint={failpoint}"));
            let arguments: Vec<String> = self.arguments.iter().cloned().chain(failpoint).collect();
            let log = File::options().append(true).create(true).open(&self.log)?;
            let mut process =
                Process::start(&self.kubeconfig, &arguments, log).context("cannot start the operator")?;
            self.proxy.set_process(process.number);
            process.ended().await;
            self.keep_past_writes();
            self.exits.send_modify(|exits| *exits += 1);
            if !is_killed {
                anyhow::bail!("the operator exited; its log is {}", self.log.display());
            }
        }
        Ok(())
    }

    fn keep_past_writes(&self) {
        let mut past = self.past.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        past.extend(self.proxy.writes());
    }

    fn past_writes(&self) -> Vec<Write> {
        let past = self.past.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        past.iter().cloned().chain(self.proxy.writes()).collect()
    }
}

fn kubeconfig_of(port: u16) -> String {
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: proxy
  cluster: {{server: "http://127.0.0.1:{port}"}}
users:
- name: operator
  user: {{}}
contexts:
- name: proxy
  context: {{cluster: proxy, user: operator}}
current-context: proxy
"#
    )
}
