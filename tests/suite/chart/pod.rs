//! Runs a rendered pod on this machine, with its arguments, environment, files and token.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::object;
use crate::free_address::free_address;
use crate::suite::payments::secrets_file;
use crate::world::{Operator, World};

/// The operator's container, as a process on this machine.
pub struct Container {
    /// The arguments, with local folders for volumes and free ports.
    pub arguments: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// The address of the webhook, if it is enabled.
    pub webhook: Option<SocketAddr>,
    service_account: (String, String),
}

/// The command of a rendered container, with local folders for its volumes.
struct Process {
    namespace: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Process {
    /// Reads a container of a rendered Deployment, and writes the files of its volumes.
    fn of(world: &World, deployment: &Value, container: &Value, rendered: &[Value]) -> Self {
        let pod = &deployment["spec"]["template"]["spec"];
        let namespace = text(&deployment["metadata"]["namespace"]);
        let arguments = container["args"].as_array().expect("arguments").iter().map(text);
        let mut arguments: Vec<String> = arguments.collect();
        let environment = container["env"].as_array().into_iter().flatten();
        // The kubelet reads values from Secrets. A test adds those that it needs.
        let environment = environment.filter(|entry| entry["valueFrom"].is_null());
        let mut environment: Vec<(String, String)> =
            environment.map(|entry| (text(&entry["name"]), text(&entry["value"]))).collect();
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let folder = world.plane.folder().join(&namespace).join(text(&mount["name"]));
            fill(world, &folder, pod, &mount["name"], rendered);
            let (inside, outside) = (text(&mount["mountPath"]), folder.display().to_string());
            for given in arguments.iter_mut().chain(environment.iter_mut().map(|(_, value)| value)) {
                *given = given.replace(&inside, &outside);
            }
        }
        Self { namespace, arguments, environment }
    }
}

/// Starts the rendered container of the portal. Returns its address. Its kubeconfig is that of the administrator, whose
/// user it must not use.
pub fn start_portal(world: &World, rendered: &[Value]) -> (SocketAddr, Operator) {
    let (deployment, container) = portal_of(rendered);
    let Process { mut arguments, environment, .. } = Process::of(world, deployment, container, rendered);
    let address = free_address();
    let listens =
        arguments.iter_mut().find(|argument| argument.starts_with("--listen=")).expect("an address");
    *listens = format!("--listen={address}");
    assert_eq!(arguments.remove(0), "serve");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let kubeconfig = world.plane.kubeconfig();
    (address, Operator::start_command("serve", &kubeconfig, &arguments, &environment, Stdio::inherit()))
}

/// Starts the rendered container of the meter once, with a token of its `ServiceAccount`. Returns its output.
pub async fn run_meter_once(world: &World, rendered: &[Value]) -> std::process::Output {
    let is_meter = |object: &&Value| object["kind"] == "Deployment" && name_of(object).ends_with("-meter");
    let deployment = rendered.iter().find(is_meter).expect("a meter is rendered");
    let container = containers(deployment).next().expect("a container");
    let Process { namespace, mut arguments, .. } = Process::of(world, deployment, container, rendered);
    assert_eq!(arguments.remove(0), "meter");
    arguments.retain(|argument| !argument.starts_with("--metrics-addr"));
    let name = text(&deployment["spec"]["template"]["spec"]["serviceAccountName"]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_flashgate-billing"));
    command.args(["meter", "--once"]).args(arguments);
    command.env("KUBECONFIG", kubeconfig_of(world, &namespace, &name).await);
    tokio::task::spawn_blocking(move || command.output()).await.expect("task").expect("started")
}

fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Returns the container of the portal, and its Deployment before it.
pub fn portal_of(rendered: &[Value]) -> (&Value, &Value) {
    let deployments = rendered.iter().filter(|object| object["kind"] == "Deployment");
    deployments
        .flat_map(|deployment| containers(deployment).map(move |container| (deployment, container)))
        .find(|(_, container)| container["name"] == "portal")
        .expect("a portal is rendered")
}

/// Returns the containers of a Deployment.
pub fn containers(deployment: &Value) -> impl Iterator<Item = &Value> {
    deployment["spec"]["template"]["spec"]["containers"].as_array().expect("containers").iter()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

impl Container {
    /// Reads the rendered Deployment.
    pub fn of(world: &World, rendered: &[Value]) -> Self {
        let is_deployment = |object: &&Value| object["kind"] == "Deployment";
        let deployment = rendered.iter().find(is_deployment).expect("a Deployment is rendered");
        let operator = containers(deployment).next().expect("a container");
        let Process { namespace, mut arguments, environment } =
            Process::of(world, deployment, operator, rendered);
        let service_account = &deployment["spec"]["template"]["spec"]["serviceAccountName"];
        let webhook = arguments.iter().any(|argument| argument.starts_with("--payments-addr="));
        let webhook = webhook.then(free_address);
        for argument in &mut arguments {
            *argument = local(argument, webhook);
        }
        assert_eq!(arguments.remove(0), "run");
        let names_it = |argument: &String| argument.starts_with("--leader-elect-namespace=");
        if arguments.contains(&"--leader-elect".to_owned()) && !arguments.iter().any(names_it) {
            // In a pod the operator reads its namespace from a file.
            arguments.push(format!("--leader-elect-namespace={namespace}"));
        }
        Self { arguments, environment, webhook, service_account: (namespace, text(service_account)) }
    }

    /// Starts the container with a token of its `ServiceAccount`. Writes its log to a file.
    pub async fn start(&self, world: &World, log: &Path) -> Operator {
        self.start_with_log(world, std::fs::File::create(log).expect("log").into()).await
    }

    /// Starts the container with a token of its `ServiceAccount`.
    pub async fn start_with_log(&self, world: &World, log: Stdio) -> Operator {
        let (namespace, name) = &self.service_account;
        let kubeconfig = kubeconfig_of(world, namespace, name).await;
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let environment = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Operator::start(&kubeconfig, &arguments, &environment.collect::<Vec<_>>(), log)
    }
}

/// Returns an argument with a local address in place of the pod's address.
fn local(argument: &str, webhook: Option<SocketAddr>) -> String {
    match (argument.split_once('='), webhook) {
        (Some(("--payments-addr", _)), Some(address)) => format!("--payments-addr={address}"),
        (Some(("--metrics-addr", _)), _) => "--metrics-addr=127.0.0.1:0".to_owned(),
        _ => argument.to_owned(),
    }
}

/// Writes the files of a pod's volume into a folder.
fn fill(world: &World, folder: &Path, pod: &Value, volume: &Value, rendered: &[Value]) {
    std::fs::create_dir_all(folder).expect("folder");
    let volumes = pod["volumes"].as_array().expect("volumes");
    let volume = volumes.iter().find(|candidate| candidate["name"] == *volume).expect("volume");
    if let Some(name) = volume.pointer("/configMap/name").and_then(Value::as_str) {
        let data = object(rendered, "ConfigMap", name)["data"].as_object().expect("data");
        for (file, content) in data {
            std::fs::write(folder.join(file), content.as_str().expect("text")).expect("written");
        }
    }
    for source in volume.pointer("/projected/sources").and_then(Value::as_array).into_iter().flatten() {
        for item in source["secret"]["items"].as_array().into_iter().flatten() {
            let path = item["path"].as_str().expect("path");
            let file = folder.join(path);
            std::fs::create_dir_all(file.parent().expect("folder")).expect("folder");
            std::fs::write(file, secret_of(path)).expect("written");
        }
    }
    for item in volume.pointer("/secret/items").and_then(Value::as_array).into_iter().flatten() {
        let file = folder.join(item["path"].as_str().expect("path"));
        std::fs::copy(secrets_file(world), file).expect("written");
    }
}

/// Returns the secret for the file `path` of a projected volume: the secret of `NAMESPACE/PROVIDER`.
pub fn secret_of(path: &str) -> String {
    format!("the secret of the tests for {path}, long enough")
}

/// Returns a kubeconfig with a token of a `ServiceAccount`, from the `TokenRequest` API.
pub async fn kubeconfig_of(world: &World, namespace: &str, name: &str) -> PathBuf {
    let create = ["create", "token", name, "--namespace", namespace, "--duration=1h"];
    let token = world.plane.kubectl(&create, None).await.expect("kubectl").succeeded().expect("token");
    world.plane.write_kubeconfig(&format!("{namespace}.{name}"), token.trim()).expect("kubeconfig")
}
