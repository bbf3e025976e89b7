//! Control planes are ready when they are started, run beside each other, and end with their owner.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flashgate_control_plane::{ControlPlane, Error};
use tokio::time::{Instant, sleep};

const PROGRAM: &str = env!("CARGO_BIN_EXE_control-plane");

const CRD: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: lamps.test.example.com}
spec:
  group: test.example.com
  scope: Namespaced
  names: {kind: Lamp, plural: lamps, singular: lamp}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object}}
";

#[tokio::test]
async fn two_control_planes_run_in_isolation() {
    let (one, other) = tokio::join!(ControlPlane::start(), ControlPlane::start());
    let (one, other) = (one.expect("starts"), other.expect("starts"));
    one.kubectl(&["create", "namespace", "only-here"], None)
        .await
        .expect("runs")
        .succeeded()
        .expect("created");

    let names = other.kubectl(&["get", "namespaces", "-o", "name"], None).await.expect("runs");
    let names = names.succeeded().expect("listed");

    assert!(names.contains("namespace/default"), "{names}");
    assert!(!names.contains("only-here"), "{names}");
    let folders = [one.folder().to_owned(), other.folder().to_owned()];
    one.stop().await.expect("stops");
    drop(other);
    for folder in folders {
        assert_eq!(traces(&folder), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_user_has_no_permission_until_it_is_granted() {
    let plane = ControlPlane::builder().user("tenant", &["acme"]).start().await.expect("starts");
    let question = ["auth", "can-i", "list", "configmaps"];
    let before = plane.kubectl_as("tenant", &question, None).await.expect("runs");
    assert_eq!(before.stdout, "no\n");

    let role = ["create", "clusterrole", "reader", "--verb=list", "--resource=configmaps"];
    let grant = ["create", "clusterrolebinding", "acme", "--clusterrole=reader", "--group=acme"];
    for command in [&role, &grant] {
        plane.kubectl(command, None).await.expect("runs").succeeded().expect("granted");
    }

    let wait = async {
        while plane.kubectl_as("tenant", &question, None).await.expect("runs").stdout != "yes\n" {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the grant takes effect");
    let stranger = plane.kubeconfig_for("stranger").expect_err("is unknown");
    assert!(matches!(stranger, Error::UnknownUser { .. }), "{stranger}");
}

#[tokio::test]
async fn the_api_server_killed_and_started_again_keeps_what_was_written() {
    let plane = ControlPlane::start().await.expect("starts");
    let crd = plane.folder().join("lamp.yaml");
    fs::write(&crd, CRD).expect("written");
    plane.apply_crds(&crd).await.expect("established");
    let url = plane.url();

    plane.kill_apiserver().await.expect("killed");
    let down = plane.kubectl(&["get", "namespaces"], None).await.expect("runs");
    assert!(down.stderr.contains("refused"), "{}", down.stderr);
    plane.restart_apiserver().await.expect("starts again");

    assert_eq!(plane.url(), url);
    let lamps = plane.kubectl(&["get", "lamps", "--all-namespaces"], None).await.expect("runs");
    assert!(lamps.stderr.contains("No resources found"), "{}", lamps.stderr);
}

#[tokio::test]
async fn a_deleted_namespace_is_removed_if_its_controller_runs() {
    let plane = ControlPlane::builder().controllers(&["namespace-controller"]).start().await.expect("starts");
    plane.kubectl(&["create", "namespace", "short"], None).await.expect("runs").succeeded().expect("created");
    let delete = ["delete", "namespace", "short", "--timeout=60s"];
    plane.kubectl(&delete, None).await.expect("runs").succeeded().expect("gone");
}

#[tokio::test]
async fn a_server_that_rejects_its_flags_is_an_error_with_its_message() {
    let refused = ControlPlane::builder().api_server_flag("--no-such-flag").start().await;
    let message = refused.expect_err("refused").to_string();
    assert!(message.contains("unknown flag: --no-such-flag"), "{message}");
}

#[tokio::test]
async fn an_owner_killed_with_sigkill_leaves_no_process_and_no_folder() {
    let mut owner = Command::new(PROGRAM)
        .args(["start", "--controller=namespace-controller"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    let folder = announced_folder(&mut owner);
    assert_eq!(traces(&folder).len(), 4, "a folder and three servers: {:?}", traces(&folder));

    owner.kill().expect("killed");
    owner.wait().expect("the exit status of the owner");

    let deadline = Instant::now() + Duration::from_secs(30);
    while !traces(&folder).is_empty() {
        assert!(Instant::now() < deadline, "still there: {:?}", traces(&folder));
        sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn run_gives_its_command_a_cluster_and_returns_its_exit_code() {
    let script = "kubectl get namespace default -o name && dirname $KUBECONFIG && exit 7";
    let output = Command::new(PROGRAM).args(["run", "--", "sh", "-c", script]).output().expect("runs");

    assert_eq!(output.status.code(), Some(7));
    let stdout = String::from_utf8_lossy(&output.stdout);
    let (namespace, folder) = stdout.split_once('\n').expect("two lines");
    assert_eq!(namespace, "namespace/default");
    assert_eq!(traces(Path::new(folder.trim_end())), Vec::<String>::new());
}

/// Waits until `control-plane start` prints the path of its kubeconfig.
fn announced_folder(owner: &mut Child) -> PathBuf {
    let stdout = owner.stdout.take().expect("piped");
    let line = BufReader::new(stdout).lines().next().expect("a line").expect("readable");
    let kubeconfig = line.strip_prefix("export KUBECONFIG=").expect("the kubeconfig comes first");
    Path::new(kubeconfig).parent().expect("in a folder").to_owned()
}

/// Returns the remains of a control plane: its folder, and processes whose command line has the path of the
/// folder.
fn traces(folder: &Path) -> Vec<String> {
    let name = folder.display().to_string();
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let commands = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let commands = commands.map(|command| String::from_utf8_lossy(&command).replace('\0', " "));
    let mut traces: Vec<String> = commands.filter(|command| command.contains(&name)).collect();
    traces.extend(folder.exists().then_some(name));
    traces
}
