//! How a plan is played: users go from moment to moment, the operator lives and dies, and in the end all is quiet.

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

use crate::campaign::chronicle::{Annals, Chronicle, Objects};
use crate::campaign::judgement::End;
use crate::campaign::plans::{Deeds, Life, Plan, Rival};
use crate::campaign::processes::Process;
use crate::campaign::proxy::{Proxy, Traffic, Treatment, Write};
use crate::campaign::users::{ACCOUNT, Moved, Users};
use crate::campaign::workloads::{Step, Workload};
use crate::oracle::Violation;
use crate::script::comparable;

/// Longest time that a moment may take, with a swallowed call, a backoff and a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// After this time without a write, whatever is held is let go.
const HELD_FOR: Duration = Duration::from_millis(600);

/// How often it is looked after what is held.
const LOOK: Duration = Duration::from_millis(100);

/// Time without a write that is taken for quiet: longer than a status is put off.
const QUIET: Duration = Duration::from_millis(1_200);

/// Where plans are played.
#[derive(Clone)]
pub struct Theatre {
    /// The server, as users and proxies reach it.
    pub server: Client,
    /// What happens there.
    pub chronicle: Chronicle,
    /// Where kubeconfigs and logs go.
    pub folder: PathBuf,
}

/// A plan that was played.
#[derive(Debug)]
pub struct Played {
    /// How it ended, if it came to an end.
    pub end: Result<End, Violation>,
    /// Whether what was to go wrong did.
    pub has_struck: bool,
    /// What the operator did, if nothing was to go wrong.
    pub deeds: Deeds,
    /// What was written, for people.
    pub record: String,
}

/// Plays a plan in a namespace of its own.
///
/// # Errors
/// When the campaign itself fails: no port, no process, a server that refuses what users do.
pub async fn play(
    theatre: &Theatre,
    workload: &Workload,
    plan: &Plan,
    namespace: &str,
) -> anyhow::Result<Played> {
    let annals = theatre.chronicle.of(namespace);
    let object = Namespace {
        metadata: ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let created = Api::all(theatre.server.clone()).create(&PostParams::default(), &object).await?;
    let version = created.metadata.resource_version.unwrap_or_default().parse()?;
    let mut scene = Scene::set(theatre, workload, plan, namespace, annals).await?;
    scene.version.store(version, Ordering::Relaxed);
    let came_to_end = scene.come_to_end(plan).await?;
    let changes = scene.annals.changes();
    let end = came_to_end.and_then(|()| End::judge(&changes, &workload.catalog));
    theatre.chronicle.forget(namespace);
    Ok(Played {
        end,
        has_struck: scene.has_struck(plan),
        deeds: std::mem::take(&mut scene.deeds),
        record: scene.record(),
    })
}

/// What a plan is played with.
struct Scene<'p> {
    workload: &'p Workload,
    annals: Arc<Annals>,
    users: Users,
    traffic: Arc<Traffic>,
    operator: Arc<Seat>,
    rival: Option<Arc<Seat>>,
    /// The server's version when the moment began.
    version: Arc<AtomicU64>,
    /// The server's version at the end of each moment.
    ends: Vec<u64>,
    /// What the operator did before it was started again.
    deeds: Deeds,
    /// What ends with the plan.
    running: Vec<AbortHandle>,
}

impl<'p> Scene<'p> {
    async fn set(
        theatre: &Theatre,
        workload: &'p Workload,
        plan: &Plan,
        namespace: &str,
        annals: Arc<Annals>,
    ) -> anyhow::Result<Self> {
        let traffic = Traffic::new();
        let version = Arc::new(AtomicU64::new(0));
        let operator = Seat::new(theatre, workload, namespace, "operator", &traffic).await?;
        let rival = match plan.rival {
            Some(_) => Some(Seat::new(theatre, workload, namespace, "rival", &traffic).await?),
            None => None,
        };
        let users = Users::new(theatre.server.clone(), namespace);
        let mut scene = Self {
            workload,
            annals,
            users,
            traffic,
            operator,
            rival,
            version,
            ends: Vec::new(),
            deeds: Deeds::default(),
            running: Vec::new(),
        };
        scene.employ(Arc::clone(&scene.operator), plan.lives.clone());
        if let Some(rival) = scene.rival.clone().filter(|_| plan.rival == Some(Rival::Always)) {
            scene.employ(rival, Vec::new());
        }
        let traffic = Arc::clone(&scene.traffic);
        let looking = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                if traffic.holds() && traffic.rest() >= HELD_FOR {
                    traffic.release();
                }
            }
        });
        scene.running.push(looking.abort_handle());
        Ok(scene)
    }

    /// Lets an operator live its lives, one after the other.
    fn employ(&mut self, seat: Arc<Seat>, lives: Vec<Life>) {
        let version = Arc::clone(&self.version);
        let living = tokio::spawn(async move {
            if let Err(error) = seat.live(lives, &version).await {
                seat.trouble.send_replace(Some(error.to_string()));
            }
        });
        self.running.push(living.abort_handle());
    }

    /// Plays all moments, and waits until all is quiet.
    async fn come_to_end(&mut self, plan: &Plan) -> anyhow::Result<Result<(), Violation>> {
        for (number, step) in self.workload.steps.iter().enumerate() {
            self.version.fetch_max(self.annals.version(), Ordering::Relaxed);
            let freeze = plan.freeze.filter(|freeze| freeze.step.is_none_or(|only| only == number));
            let frozen = freeze.map(|freeze| freeze.kind);
            // The clock of a test is a part of the Subscription: who sees that late lives in the past. Both operators
            // have to know the time before one of them sees late what comes next.
            let is_frozen_later = frozen == Some(ObjectKind::Subscription) && self.rival.is_some();
            self.freeze(frozen.filter(|_| !is_frozen_later));
            if let Err(violation) = self.move_clock(plan, step).await? {
                return Ok(Err(violation));
            }
            self.freeze(frozen.filter(|_| is_frozen_later));
            if let Err(violation) = self.pass(plan, step).await? {
                return Ok(Err(violation));
            }
            self.ends.push(self.annals.version());
        }
        if let Err(violation) = self.become_quiet().await {
            return Ok(Err(violation));
        }
        Ok(if plan.is_peaceful() { self.begin_again().await } else { Ok(()) })
    }

    fn freeze(&self, kind: Option<ObjectKind>) {
        if let Some(kind) = kind {
            self.rival.as_ref().unwrap_or(&self.operator).proxy.freeze(kind);
        }
    }

    /// Moves the clock to a moment, and waits until every operator knows.
    async fn move_clock(&mut self, plan: &Plan, step: &Step) -> anyhow::Result<Result<(), Violation>> {
        self.traffic.stir();
        let Some(moved) = self.users.move_clock(&self.annals, step.time).await? else { return Ok(Ok(())) };
        let Moved { generation, version } = moved;
        let rival = self.rival.clone().filter(|_| plan.rival == Some(Rival::Always));
        let (operator, rival) = (Arc::clone(&self.operator), rival);
        let is_acknowledged = |objects: &Objects| {
            let shown = objects.get(&(ObjectKind::Subscription, ACCOUNT.to_owned())).map(Object::to_json);
            let shown = shown.and_then(|object| object.pointer("/status/observedGeneration")?.as_i64());
            if shown < Some(generation) {
                return Err(format!(
                    "generation {generation} is not acknowledged at {}: {shown:?}",
                    step.time
                ));
            }
            match &rival {
                Some(rival) if !rival.proxy.has_told(version) || !operator.proxy.has_told(version) => {
                    Err(format!("both operators are not told of {}", step.time))
                }
                _ => Ok(()),
            }
        };
        Ok(self.wait(plan, is_acknowledged).await)
    }

    /// Lets users do what they do at a moment, and waits until every object shows what it is to show.
    async fn pass(&mut self, plan: &Plan, step: &Step) -> anyhow::Result<Result<(), Violation>> {
        for document in &step.documents {
            let written = self.users.apply(&self.annals, document, step.time).await?;
            let is_seen = |objects: &Objects| {
                if written.is_seen_in(objects) { Ok(()) } else { Err(format!("{written:?} is not seen")) }
            };
            if let Err(violation) = self.wait(plan, is_seen).await {
                return Ok(Err(violation));
            }
        }
        let is_swept = self.workload.catalog.policies.reports.keep_for_seconds == 0;
        Ok(self.wait(plan, |objects| agree(step, objects, is_swept)).await)
    }

    /// Waits until `holds` does.
    async fn wait(
        &mut self,
        plan: &Plan,
        holds: impl Fn(&Objects) -> Result<(), String>,
    ) -> Result<(), Violation> {
        let deadline = Instant::now() + PATIENCE;
        let (mut news, mut trouble) = (self.annals.news(), self.operator.trouble.subscribe());
        loop {
            self.call_standby(plan);
            news.mark_unchanged();
            let Err(why) = holds(&self.annals.objects()) else { return Ok(()) };
            if let Some(trouble) = trouble.borrow().clone() {
                return Err(Violation(trouble));
            }
            if Instant::now() >= deadline {
                return Err(Violation(format!("not within {} seconds: {why}", PATIENCE.as_secs())));
            }
            tokio::select! {
                _ = news.changed() => {}
                _ = trouble.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Lets the second operator take over, once the first one is held up.
    fn call_standby(&mut self, plan: &Plan) {
        let is_due = plan.rival == Some(Rival::Standby) && self.operator.proxy.has_struck();
        if let Some(rival) = self.rival.clone().filter(|rival| is_due && !rival.is_taken()) {
            self.employ(rival, Vec::new());
        }
    }

    /// Waits until nothing is written any more and the Subscription shows the ledger as it is.
    async fn become_quiet(&self) -> Result<(), Violation> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let is_quiet = self.traffic.rest() >= QUIET && !self.traffic.holds();
            let shown = shows_its_ledger(&self.annals.objects());
            if is_quiet && shown.is_ok() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let writes = self.operator.proxy.writes().len();
                return Err(Violation(format!("not quiet after {writes} writes: {shown:?}")));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Restarts the operator when nothing is pending: it must find nothing to write.
    async fn begin_again(&mut self) -> Result<(), Violation> {
        self.deeds = self.count_deeds();
        for running in self.running.drain(..) {
            running.abort();
        }
        self.employ(Arc::clone(&self.operator), Vec::new());
        let deadline = Instant::now() + PATIENCE;
        while self.operator.proxy.writes().len() + self.operator.proxy.watches() < ObjectKind::ALL.len() {
            if Instant::now() >= deadline {
                return Err(Violation("an operator that is started again does not watch".to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
        self.traffic.stir();
        self.become_quiet().await?;
        match self.operator.proxy.writes().first() {
            None => Ok(()),
            Some(write) => Err(Violation(format!("an operator that is started again writes {write:?}"))),
        }
    }

    /// Returns whether everything that was to go wrong has.
    fn has_struck(&self, plan: &Plan) -> bool {
        let deaths = *self.operator.deaths.borrow();
        plan.lives.iter().enumerate().all(|(number, life)| {
            if life.is_deadly() { deaths > number } else { self.operator.proxy.has_struck() }
        }) && (plan.freeze.is_none() || self.rival.as_ref().unwrap_or(&self.operator).proxy.has_struck())
    }

    fn count_deeds(&self) -> Deeds {
        let mut deeds = Deeds::default();
        for write in self.operator.proxy.writes() {
            *deeds.writes.entry(write.call.to_string()).or_default() += 1;
        }
        deeds.reads = self.operator.proxy.reads().into_iter().collect();
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        for (begin, end) in begins.zip(&self.ends) {
            let changes = self.annals.changes().into_iter();
            let within = changes.filter(|change| change.version > begin && change.version <= *end);
            deeds.changed.push(within.map(|change| change.object.kind()).collect());
        }
        deeds
    }

    /// Says what was written, in the order in which it was sent.
    fn record(&self) -> String {
        let seats = [("operator", Some(&self.operator)), ("rival", self.rival.as_ref())];
        let mut writes = Vec::new();
        for (name, seat) in seats {
            let of_seat = seat.map_or_else(Vec::new, |seat| seat.past_writes());
            writes.extend(of_seat.into_iter().map(|write| (name, write)));
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

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        for running in &self.running {
            running.abort();
        }
    }
}

/// Returns whether every object shows what it is to show at a moment, or which does not.
fn agree(step: &Step, objects: &Objects, is_swept: bool) -> Result<(), String> {
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
        Some((kind, name)) => Err(format!("{} {name} is still there at {}", kind.as_str(), step.time)),
        None => Ok(()),
    }
}

/// Returns whether the Subscription, where there is one, shows the ledger that there is.
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

/// A place for an operator: its proxy, and how it is started.
struct Seat {
    proxy: Proxy,
    kubeconfig: PathBuf,
    log: PathBuf,
    arguments: Vec<String>,
    deaths: watch::Sender<usize>,
    /// What must not have happened.
    trouble: watch::Sender<Option<String>>,
    is_taken: watch::Sender<bool>,
    past: std::sync::Mutex<Vec<Write>>,
}

impl Seat {
    async fn new(
        theatre: &Theatre,
        workload: &Workload,
        namespace: &str,
        role: &str,
        traffic: &Arc<Traffic>,
    ) -> anyhow::Result<Arc<Self>> {
        let proxy = Proxy::start(theatre.server.clone(), Arc::clone(traffic)).await?;
        let (kubeconfig, log) = (
            theatre.folder.join(format!("{namespace}-{role}.kubeconfig")),
            theatre.folder.join(format!("{namespace}-{role}.log")),
        );
        std::fs::write(&kubeconfig, kubeconfig_of(proxy.port))?;
        let mut arguments: Vec<String> =
            ["--namespace", namespace, "--allow-test-clocks", namespace].map(str::to_owned).into();
        if let Some(file) = &workload.catalog_file {
            arguments.extend(["--catalog".to_owned(), file.clone()]);
        }
        let (deaths, trouble, is_taken) =
            (watch::Sender::new(0), watch::Sender::new(None), watch::Sender::new(false));
        Ok(Arc::new(Self {
            proxy,
            kubeconfig,
            log,
            arguments,
            deaths,
            trouble,
            is_taken,
            past: std::sync::Mutex::default(),
        }))
    }

    fn is_taken(&self) -> bool {
        *self.is_taken.borrow()
    }

    /// Starts operators, one when the other has died: for each of `lives`, and then one that is left alone.
    async fn live(&self, lives: Vec<Life>, version: &AtomicU64) -> anyhow::Result<()> {
        self.is_taken.send_replace(true);
        for life in lives.into_iter().map(Some).chain([None]) {
            let is_deadly = life.as_ref().is_some_and(Life::is_deadly);
            let Life { failpoint, fault, stale } = life.unwrap_or_default();
            let stale = stale.map(|kind| (kind, version.load(Ordering::Relaxed)));
            if let Some((kind, _)) = stale {
                self.proxy.freeze(kind);
            }
            self.proxy.expect(Treatment { fault, stale });
            let failpoint = failpoint.map(|failpoint| format!("--failpoint={failpoint}"));
            let arguments: Vec<String> = self.arguments.iter().cloned().chain(failpoint).collect();
            let log = File::options().append(true).create(true).open(&self.log)?;
            let mut process = Process::start(&self.kubeconfig, &arguments, log).context("no operator")?;
            self.proxy.attend(process.number);
            process.ended().await;
            self.keep_writes();
            self.deaths.send_modify(|deaths| *deaths += 1);
            if !is_deadly {
                anyhow::bail!("the operator ended by itself; its log is {}", self.log.display());
            }
        }
        Ok(())
    }

    fn keep_writes(&self) {
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
