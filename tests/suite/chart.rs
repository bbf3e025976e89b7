//! Tests the chart with real Helm: the rendered manifests, the granted rights, and the uninstallation.
//!
//! There is no kubelet. The tests run the operator of the rendered manifest as a process, with a token of the
//! manifest's `ServiceAccount`.

mod admission_gate;
mod admitted;
mod definitions;
mod gate;
mod meter;
pub mod pod;
mod portal;
mod quantities;
pub mod quotas;
mod release;
mod rendering;
mod rights;
mod roles;
mod scenario;
mod sources;
mod variants;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use pod::Container;
pub use pod::kubeconfig_of;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::world::{Operator, World, made_by, root};

/// Name of the releases.
const RELEASE: &str = "flashgate-billing";

/// Folder with helm, helm-unittest and helm-docs. Missing programs are built there.
static TOOLS: LazyLock<PathBuf> = LazyLock::new(|| made_by("tools.sh"));

/// Returns the folder of the chart.
fn chart() -> PathBuf {
    root().join("charts/flashgate-billing")
}

/// Returns the values files of the examples.
fn examples() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(chart().join("ci")).expect("folder");
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    files
}

/// The result of a program.
pub struct ToolOutput {
    /// Whether the exit code was 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs helm or one of the other tools.
pub fn tool(program: &str, arguments: &[&str], kubeconfig: &Path, stdin: &str) -> ToolOutput {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
    let mut process = Command::new(TOOLS.join(program))
        .args(arguments)
        .current_dir(root())
        // User configuration and cached discovery of other clusters must not affect the test.
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(program);
    process.stdin.take().expect("input").write_all(stdin.as_bytes()).expect("input");
    let output = process.wait_with_output().expect(program);
    ToolOutput {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs helm without a cluster.
fn helm(arguments: &[&str], values: &Value) -> ToolOutput {
    tool("helm", arguments, Path::new("/dev/null"), &values.to_string())
}

/// Runs helm against the control plane of a world. Asserts success.
fn helm_in(world: &World, arguments: &[&str], values: &Value) -> String {
    let said = tool("helm", arguments, &world.plane.kubeconfig(), &values.to_string());
    assert!(said.success, "helm {arguments:?}: {}", said.stderr);
    said.stdout
}

/// Returns the rendered objects for a namespace.
pub fn render(namespace: &str, values: &Value) -> Vec<Value> {
    let chart = chart().display().to_string();
    let arguments = ["template", RELEASE, &chart, "--namespace", namespace, "--values", "-"];
    let said = helm(&arguments, values);
    assert!(said.success, "{values}: {}", said.stderr);
    documents(&said.stdout)
}

/// Installs the chart in a world. Starts its operator as the rendered pod would run, with its arguments,
/// environment, files, and a token of its `ServiceAccount`. Subscriptions in the namespaces `test_clocks` may
/// use a test clock.
pub async fn install(world: &World, test_clocks: &[&str], mut values: Value) -> (Container, Operator) {
    values["extraArgs"] = json!([&["--allow-test-clocks"], test_clocks].concat());
    install_in(world, RELEASE, values).await
}

/// Installs the chart in a namespace. Starts its operator as the rendered pod would run.
pub async fn install_in(world: &World, namespace: &str, mut values: Value) -> (Container, Operator) {
    let namespace = world.namespace(namespace).await;
    values["crds"] = json!({"enabled": false});
    let rendered = installed(&render(&namespace.name, &values));
    let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&list(&rendered))).await;
    assert!(applied.success, "{}", applied.stderr);
    let container = Container::of(world, &rendered);
    let operator = container.start_with_log(world, Stdio::inherit()).await;
    (container, operator)
}

/// Returns the documents of a YAML stream.
pub fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text);
    let documents = documents.map(|document| Value::deserialize(document).expect("YAML"));
    documents.filter(|document| !document.is_null()).collect()
}

/// Returns the values in a file.
pub fn values_of(file: &Path) -> Value {
    documents(&std::fs::read_to_string(file).expect("values")).pop().expect("values")
}

/// Returns the rendered object with this kind and name.
fn object<'a>(rendered: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = rendered.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| unreachable!("no {kind} {name} is rendered"))
}

/// Returns the selector of pods of an object, if its kind has one.
fn selector_of(object: &Value) -> Option<&Value> {
    let spec = &object["spec"];
    match object["kind"].as_str() {
        Some("Service") => Some(&spec["selector"]),
        Some("NetworkPolicy") => Some(&spec["podSelector"]["matchLabels"]),
        Some("Deployment" | "PodDisruptionBudget") => Some(&spec["selector"]["matchLabels"]),
        _ => None,
    }
}

/// Returns whether a selector selects the pods of a Deployment.
fn selects(selector: &Value, rendered: &[Value], deployment: &str) -> bool {
    let labels = &object(rendered, "Deployment", deployment)["spec"]["template"]["metadata"]["labels"];
    let selector = selector.as_object().expect("selector");
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Returns the objects as one list, for `kubectl apply`.
pub fn list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

/// Returns the rendered objects without those of `helm test`.
pub fn installed(rendered: &[Value]) -> Vec<Value> {
    let is_hook = |object: &&Value| object.pointer("/metadata/annotations/helm.sh~1hook").is_some();
    rendered.iter().filter(|object| !is_hook(object)).cloned().collect()
}
