//! The world that tests share: a control plane, operators as processes, and namespaces.

use std::io::{BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flashgate_cluster::Kind;
use flashgate_control_plane::ControlPlane;
use k8s_openapi::api::core::v1::Namespace as NamespaceObject;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Longest time to wait for a condition. Several tests, each with a control plane, share the machine.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// The interval between two checks of a condition.
const LOOK: Duration = Duration::from_millis(25);

/// A control plane, most often with the definitions applied.
pub struct World {
    /// The control plane.
    pub plane: ControlPlane,
}

impl World {
    /// Starts a world of its own.
    pub async fn start() -> Self {
        Self::empty().await.with_definitions().await
    }

    /// Starts a world of its own without the definitions.
    pub async fn empty() -> Self {
        Self::start_with_builder(ControlPlane::builder()).await
    }

    /// Starts a world of its own with users that may do nothing yet.
    pub async fn start_with_users(users: &[&str]) -> Self {
        Self::start_with(users, &[]).await
    }

    /// Starts a world of its own with more controllers.
    pub async fn start_with_controllers(controllers: &[&str]) -> Self {
        Self::start_with(&[], controllers).await
    }

    /// Starts a world of its own with users that may do nothing yet, and more controllers.
    pub async fn start_with(users: &[&str], controllers: &[&str]) -> Self {
        let builder = ControlPlane::builder().controllers(controllers);
        let builder = users.iter().fold(builder, |builder, user| builder.user(user, &[]));
        Self::start_with_builder(builder).await.with_definitions().await
    }

    /// Starts a world of its own, with what `builder` states besides, without the definitions.
    pub async fn start_with_builder(builder: flashgate_control_plane::Builder) -> Self {
        let builder = builder.controllers(&["garbage-collector-controller", "namespace-controller"]);
        Self { plane: builder.start().await.expect("control plane") }
    }

    /// Applies the definitions.
    pub async fn with_definitions(self) -> Self {
        self.plane.apply_crds(&root().join("crds")).await.expect("definitions");
        self
    }

    /// Returns a client of its administrator.
    pub async fn client(&self) -> Client {
        client_by(&self.plane.kubeconfig()).await
    }

    /// Returns a client of a user.
    pub async fn client_of(&self, user: &str) -> Client {
        client_by(&self.plane.kubeconfig_for(user).expect("user")).await
    }

    /// Starts an operator with `arguments` after `run`.
    pub fn operator(&self, arguments: &[&str]) -> Operator {
        self.operator_with(arguments, &[])
    }

    /// Starts an operator with `arguments` after `run`, and these variables.
    pub fn operator_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Operator {
        Operator::start(&self.plane.kubeconfig(), arguments, environment, Stdio::inherit())
    }

    /// Writes the shipped catalog with other seconds for which reports are kept.
    pub fn catalog_that_keeps_reports_for(&self, seconds: u32) -> String {
        let shipped = std::fs::read_to_string(root().join("src/catalog/shipped.yaml")).expect("catalog");
        let changed = shipped.replace("keepForSeconds: 604800", &format!("keepForSeconds: {seconds}"));
        assert_ne!(shipped, changed, "the shipped catalog says how long reports are kept");
        let file = self.plane.folder().join("catalog.yaml");
        std::fs::write(&file, changed).expect("catalog");
        file.display().to_string()
    }

    /// Makes a namespace.
    pub async fn namespace(&self, name: &str) -> Namespace<'_> {
        let client = self.client().await;
        let object = NamespaceObject {
            metadata: kube::core::ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
            ..Default::default()
        };
        Api::all(client.clone()).create(&PostParams::default(), &object).await.expect("namespace");
        Namespace { world: self, name: name.to_owned(), client }
    }
}

async fn client_by(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("kubeconfig");
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("config");
    Client::try_from(config).expect("client")
}

/// Returns the world without an operator that tests of the API alone share.
pub async fn bare() -> &'static World {
    static BARE: OnceCell<World> = OnceCell::const_new();
    BARE.get_or_init(World::start).await
}

/// Returns the folder of programs that a script of `control-plane/` makes where they are missing.
pub fn made_by(script: &str) -> PathBuf {
    let script = root().join("control-plane").join(script);
    let output = Command::new(&script).stderr(Stdio::inherit()).output().expect("script");
    assert!(output.status.success(), "{} failed", script.display());
    String::from_utf8(output.stdout).expect("path").trim_end().into()
}

/// Returns the project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An operator as a process. It ends with this value, and with the test process however that ends.
pub struct Operator {
    guard: Child,
    process: u32,
}

/// Starts a program, prints its number, and waits for the end of its own input: whoever holds that is gone then.
pub const GUARD: &str = r#""$@" & echo $!; read -r _; kill -KILL $! 2>/dev/null; wait"#;

impl Operator {
    /// Starts an operator with the identity of `kubeconfig`, with `arguments` after `run`; its log goes to a file.
    pub fn start_as(kubeconfig: &Path, arguments: &[&str], environment: &[(&str, &str)], log: &Path) -> Self {
        let log = std::fs::File::create(log).expect("log");
        Self::start(kubeconfig, arguments, environment, log.into())
    }

    /// Starts an operator with the identity of `kubeconfig`, with `arguments` after `run`.
    pub fn start(kubeconfig: &Path, arguments: &[&str], environment: &[(&str, &str)], log: Stdio) -> Self {
        Self::start_command("run", kubeconfig, arguments, environment, log)
    }

    /// Starts a command of the binary with the identity of `kubeconfig`, with `arguments` after its name.
    pub fn start_command(
        command: &str,
        kubeconfig: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
        log: Stdio,
    ) -> Self {
        let mut guard = Command::new("bash")
            .args(["-c", GUARD, "guard", env!("CARGO_BIN_EXE_flashgate-billing"), command])
            .args(arguments)
            .envs(environment.iter().copied())
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("operator");
        let mut line = String::new();
        let output = guard.stdout.take().expect("output");
        std::io::BufReader::new(output).read_line(&mut line).expect("process");
        Self { guard, process: line.trim().parse().expect("number of the process") }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.process.to_string()]).status();
        assert!(status.expect("kill").success(), "the operator is not running");
    }

    /// Kills it at once.
    pub fn kill(self) {
        self.signal("-KILL");
    }

    /// Stops it as it stands, as a machine does that sleeps.
    pub fn suspend(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on after [`Operator::suspend`].
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&self) {
        self.signal("-TERM");
    }

    /// Asks it to stop, and waits until it has.
    pub async fn terminate(self) {
        self.ask_to_stop();
        eventually("the operator stops", async || self.has_stopped().then_some(())).await_some().await;
    }

    /// Returns whether it has stopped, by itself or otherwise.
    pub fn has_stopped(&self) -> bool {
        let Ok(state) = std::fs::read_to_string(format!("/proc/{}/stat", self.process)) else { return true };
        // A zombie has stopped; its guard collects it.
        let state = state.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        state == Some('Z')
    }

    /// Returns the port that it listens on, once it does.
    pub fn listening_port(&self) -> Option<u16> {
        let sockets = std::fs::read_dir(format!("/proc/{}/fd", self.process)).ok()?;
        let links = sockets.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let inodes: Vec<String> = links
            .filter_map(|link| {
                Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
            })
            .collect();
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", self.process)).ok()?;
        table.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_listening = fields.get(3) == Some(&"0A");
            let is_own = inodes.iter().any(|inode| fields.get(9) == Some(&inode.as_str()));
            let port = fields.get(1)?.split_once(':')?.1;
            (is_listening && is_own).then(|| u16::from_str_radix(port, 16).ok())?
        })
    }

    /// Asks it for `path` and returns status and body, or nothing if it does not answer.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.listening_port()?)).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        let status = reply.split(' ').nth(1)?.parse().ok()?;
        Some((status, reply.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// Returns its resident memory in KiB.
    pub fn memory_kib(&self) -> u64 {
        self.status_kib("VmRSS")
    }

    /// Returns the most resident memory that it has had, in KiB.
    pub fn peak_memory_kib(&self) -> u64 {
        self.status_kib("VmHWM")
    }

    /// Returns how much the processor has done for it, in hundredths of a second.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).expect("stat");
        // After the command's name, which may hold anything but ends with the last parenthesis.
        let fields = stat.rsplit(')').next().expect("fields").split_whitespace();
        fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum()
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).expect("status");
        let line =
            status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).expect("field");
        line.trim().trim_end_matches(" kB").trim().parse().expect("number")
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().expect("guard");
    }
}

/// A namespace of its own for a test.
#[derive(Clone)]
pub struct Namespace<'a> {
    /// The world that it belongs to.
    pub world: &'a World,
    /// Its name.
    pub name: String,
    /// A client of the administrator.
    pub client: Client,
}

impl Namespace<'_> {
    /// Returns the objects of a kind.
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Returns the objects of the kind with this name.
    pub fn objects(&self, kind: &str) -> Api<DynamicObject> {
        let plural = format!("{}s", kind.to_lowercase());
        let gvk = GroupVersionKind::gvk("billing.flashgate.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
        Api::namespaced_with(self.client.clone(), &self.name, &resource)
    }

    /// Creates an object from its manifest's `kind`, `name` and `spec`.
    pub async fn create<K: Kind>(&self, name: &str, spec: Value) -> K {
        self.create_with(json!({"name": name}), spec).await
    }

    /// Creates an object with that `metadata`.
    pub async fn create_with<K: Kind>(&self, metadata: Value, spec: Value) -> K {
        let object = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": metadata, "spec": spec,
        });
        let object: K = serde_json::from_value(object).expect("object");
        self.api().create(&PostParams::default(), &object).await.expect("created")
    }

    /// Returns an object as JSON, or nothing.
    pub async fn get<K: Kind>(&self, name: &str) -> Option<Value> {
        let object: Option<K> = self.api().get_opt(name).await.expect("read");
        object.map(|object| serde_json::to_value(object).expect("JSON"))
    }

    /// Waits until `pointer` of an object is `expected`.
    pub async fn expect<K: Kind>(&self, name: &str, pointer: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        let mut found = Value::Null;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let object = self.get::<K>(name).await.unwrap_or_default();
            found = object.pointer(pointer).cloned().unwrap_or_default();
            if found == expected {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
        let object = self.get::<K>(name).await.unwrap_or_default();
        assert_eq!(found, expected, "{pointer} of {} {name}: {object:#}", K::kind(&()));
    }

    /// Waits until `status.state` of an object is `state`.
    pub async fn state_is<K: Kind>(&self, name: &str, state: &str) {
        self.expect::<K>(name, "/status/state", state).await;
    }

    /// Returns reason and message of the condition Ready of an object.
    pub async fn ready<K: Kind>(&self, name: &str) -> (String, String) {
        ready(&self.get::<K>(name).await.expect("object")).expect("the condition Ready")
    }

    /// Waits until the condition Ready of an object has this reason, and returns the object.
    pub async fn reason_is<K: Kind>(&self, name: &str, reason: &str) -> Value {
        wait_for(&format!("Ready of {name} is {reason}"), async || {
            let object = self.get::<K>(name).await?;
            (ready(&object)?.0 == reason).then_some(object)
        })
        .await
    }

    /// Runs kubectl in this namespace.
    pub async fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> flashgate_control_plane::Output {
        let arguments: Vec<&str> =
            ["--namespace", &self.name].into_iter().chain(arguments.iter().copied()).collect();
        self.world.plane.kubectl(&arguments, stdin).await.expect("kubectl")
    }
}

/// Returns reason and message of the condition Ready.
fn ready(object: &Value) -> Option<(String, String)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    Some((text("reason"), text("message")))
}

/// Waits until `look` returns a value, and returns it.
pub async fn wait_for<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually(what, look).await_some().await
}

/// Waits until `holds` returns true.
pub async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    wait_for(what, async || holds().await.then_some(())).await;
}

/// Waits while `look` returns a value.
pub async fn wait_while<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) {
    wait_until(what, async || look().await.is_none()).await;
}

/// A condition that is looked at until it holds.
pub struct Eventually<F> {
    what: String,
    look: F,
    patience: Duration,
}

/// Names a condition that `look` looks at.
pub fn eventually<F>(what: &str, look: F) -> Eventually<F> {
    Eventually { what: what.to_owned(), look, patience: PATIENCE }
}

impl<F, T> Eventually<F>
where
    F: AsyncFnMut() -> Option<T>,
{
    /// Gives the condition as much time as `patience`: what it waits for is much work.
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Waits until the condition gives something.
    pub async fn await_some(mut self) -> T {
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(found) = (self.look)().await {
                return found;
            }
            assert!(Instant::now() < deadline, "not within {:?}: {}", self.patience, self.what);
            tokio::time::sleep(LOOK).await;
        }
    }
}
