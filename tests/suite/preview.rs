//! `preview` as a process on a real control plane: it foresees what then happens, writes nothing, and says why it cannot.

mod cases;
mod jobs;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::http::{Method, request};
use axum::response::Response;
use flashgate_api::{CreditAdjustment, CreditLedger, CreditPack, Payment, Subscription, UsageReport};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::relay::{self, Interceptor};
use crate::suite::installed::shared;
use crate::world::{Namespace, World, root, wait_until};

/// The end of a run of `preview`.
struct Preview {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Preview {
    /// Runs `preview` with the identity of `kubeconfig`. `manifests` are its standard input.
    fn run(kubeconfig: &Path, arguments: &[&str], manifests: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flashgate-billing"))
            .arg("preview")
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        child.stdin.take().expect("stdin").write_all(manifests.as_bytes()).expect("written");
        let output = child.wait_with_output().expect("ended");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code().expect("code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect(&self.stderr)
    }
}

/// Returns the preview of `manifests` in a namespace, as JSON.
async fn previewed(namespace: &Namespace<'_>, manifests: &str) -> Value {
    let kubeconfig = shared().await.plane.kubeconfig();
    let clocks = ["--allow-test-clocks", namespace.name.as_str()];
    let arguments = ["--filename", "-", "--namespace", &namespace.name, "--output", "json"];
    let (arguments, manifests) = ([&arguments[..], &clocks].concat().join("\n"), manifests.to_owned());
    let run = move || Preview::run(&kubeconfig, &arguments.split('\n').collect::<Vec<_>>(), &manifests);
    let preview = tokio::task::spawn_blocking(run).await.expect("run");
    let shown = preview.json();
    assert_eq!(i64::from(preview.code), shown["exit"].as_i64().expect("exit"), "{}", preview.stderr);
    shown
}

/// Applies manifests in a namespace by kubectl.
async fn apply(namespace: &Namespace<'_>, manifests: &str) {
    let output = namespace.kubectl(&["apply", "--filename", "-"], Some(manifests)).await;
    output.succeeded().expect("applied");
}

/// All objects of a namespace, as JSON.
async fn objects(namespace: &Namespace<'_>) -> Vec<Value> {
    async fn of<K>(namespace: &Namespace<'_>) -> Vec<Value>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + serde::Serialize,
    {
        let api: Api<K> = namespace.api();
        let found = api.list(&ListParams::default()).await.expect("listed");
        found.items.into_iter().map(|object| serde_json::to_value(object).expect("JSON")).collect()
    }
    let mut all = of::<Subscription>(namespace).await;
    all.append(&mut of::<CreditPack>(namespace).await);
    all.append(&mut of::<UsageReport>(namespace).await);
    all.append(&mut of::<Payment>(namespace).await);
    all.append(&mut of::<CreditAdjustment>(namespace).await);
    all.append(&mut of::<CreditLedger>(namespace).await);
    all
}

/// Waits until each object has its verdict, and each Subscription shows its ledger.
async fn settled(namespace: &Namespace<'_>) -> Vec<Value> {
    let is_settled = |all: &[Value]| {
        all.iter().all(|object| match object["kind"].as_str().expect("kind") {
            "CreditLedger" => true,
            "Subscription" => {
                let name = &object["metadata"]["name"];
                let ledger = all
                    .iter()
                    .find(|other| other["kind"] == "CreditLedger" && other["metadata"]["name"] == *name);
                let generation = &object["metadata"]["generation"];
                ledger.is_some_and(|ledger| {
                    ledger["spec"]["sequence"] == object["status"]["ledger"]["sequence"]
                }) && object["status"]["observedGeneration"] == *generation
                    && shows_its_clock(object)
            }
            _ => object["status"]["state"].is_string(),
        })
    };
    wait_until("each object has its verdict", async || is_settled(&objects(namespace).await)).await;
    objects(namespace).await
}

/// Returns whether the period of an account on a test clock contains the time of the clock.
fn shows_its_clock(subscription: &Value) -> bool {
    let clock = subscription["metadata"]["annotations"]["billing.flashgate.dev/test-clock"].as_str();
    let end = subscription["status"]["period"]["endTime"].as_str();
    clock.zip(end).is_none_or(|(clock, end)| clock < end)
}

/// Returns the objects of one account.
fn of_account<'o>(objects: &'o [Value], name: &str) -> Vec<&'o Value> {
    let is_of = |object: &&Value| match object["spec"]["subscriptionRef"]["name"].as_str() {
        Some(subscription) => subscription == name,
        None => object["metadata"]["name"] == name,
    };
    objects.iter().filter(is_of).collect()
}

/// Returns the ledger of an account, or null.
fn ledger(objects: &[&Value]) -> Value {
    let ledger = objects.iter().find(|object| object["kind"] == "CreditLedger");
    ledger.map(|ledger| ledger["spec"].clone()).unwrap_or_default()
}

/// Returns the entries that a ledger got since `before`, in short.
fn new_entries(before: &Value, after: &Value) -> Vec<String> {
    let number = |ledger: &Value| ledger["entryNumber"].as_u64().unwrap_or_default();
    let records = after["entries"].as_array().cloned().unwrap_or_default();
    let new = usize::try_from(number(after) - number(before)).expect("number");
    let records = records[records.len() - new..].iter();
    records
        .map(|record| short(&serde_json::from_str(record.as_str().expect("record")).expect("JSON")))
        .collect()
}

/// Returns kind and credits of an entry. Some seconds pass between a preview and the change by the wall clock. The operator may
/// see the objects of one file one after the other while a test clock stands still.
fn short(entry: &Value) -> String {
    format!("{} {}", entry["kind"], entry["credits"])
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

/// Returns the refused objects, as kind/name.
fn refused(objects: &[&Value]) -> Vec<String> {
    let is_refused = |object: &&&Value| {
        let state = object["status"]["state"].as_str().unwrap_or_default();
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let mut stalled =
            conditions.filter(|condition| condition["type"] == "Stalled" && condition["status"] == "True");
        ["Refused", "Rejected"].contains(&state)
            || (object["kind"] == "Subscription" && stalled.next().is_some())
    };
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let name = |object: &&Value| format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]));
    let mut names: Vec<String> = objects.iter().filter(is_refused).map(name).collect();
    names.sort();
    names
}

/// Previews manifests, applies them, and compares. Returns the preview.
async fn foreseen(namespace: &Namespace<'_>, manifests: &str) -> Value {
    let before = settled(namespace).await;
    let preview = previewed(namespace, manifests).await;
    apply(namespace, manifests).await;
    let after = settled(namespace).await;
    for account in preview["accounts"].as_array().expect("accounts") {
        let name = account["subscription"].as_str().expect("name").rsplit('/').next().expect("name");
        let (before, after) = (of_account(&before, name), of_account(&after, name));
        let subscription =
            after.iter().find(|object| object["kind"] == "Subscription").expect("subscription");
        assert_eq!(account["balanceAfter"], subscription["status"]["credits"]["balance"], "{preview:#}");
        let entries = account["entries"].as_array().expect("entries").iter();
        // Refused reports are only in the log.
        let is_kept = |entry: &&Value| {
            let object = entry["detail"]["object"].as_str().unwrap_or_default();
            entry["kind"] != "Refused" || !object.starts_with("UsageReport/")
        };
        let entries: Vec<String> = entries.filter(is_kept).map(short).collect();
        let new = new_entries(&ledger(&before), &ledger(&after));
        assert_eq!(sorted(entries), sorted(new), "{preview:#}");
        let objects = account["refused"].as_array().expect("refused").iter();
        let mut objects: Vec<&str> =
            objects.map(|object| object["object"].as_str().expect("object")).collect();
        objects.sort_unstable();
        let mut new = refused(&after);
        new.retain(|object| !refused(&before).contains(object));
        assert_eq!(objects, new, "{preview:#}");
    }
    preview
}

#[tokio::test]
async fn each_example_does_what_its_preview_foresees() {
    let namespace = shared().await.namespace("preview-examples").await;
    let mut files: Vec<_> = std::fs::read_dir(root().join("examples"))
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 7, "{files:?}");
    for file in files {
        let manifests = std::fs::read_to_string(&file).expect("example");
        foreseen(&namespace, &manifests).await;
        let again = previewed(&namespace, &manifests).await;
        for account in again["accounts"].as_array().expect("accounts") {
            assert_eq!(account["entries"], json!([]), "{}: applied again it changes nothing", file.display());
        }
    }
}

/// Counts the requests of a preview that are no reads.
#[derive(Default)]
struct Requests(Mutex<Vec<String>>);

impl Interceptor for Requests {
    async fn on_request(&self, head: &mut request::Parts) -> Option<Response> {
        self.0.lock().expect("requests").push(format!("{} {}", head.method, head.uri.path()));
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_only_reads() {
    let world = shared().await;
    let namespace = world.namespace("preview-reads").await;
    let requests = Arc::new(Requests::default());
    let kubeconfig = relay::start(world, Arc::clone(&requests)).await;
    let example = std::fs::read_to_string(root().join("examples/02-starter-monthly.yaml")).expect("example");
    let name = namespace.name.clone();
    let run = move || Preview::run(&kubeconfig, &["-f", "-", "-n", &name, "-o", "json"], &example);
    let preview = tokio::task::spawn_blocking(run).await.expect("run");
    assert_eq!(preview.code, 0, "{}", preview.stderr);
    let requests = requests.0.lock().expect("requests").clone();
    assert!(requests.len() >= 6, "{requests:?}");
    for request in &requests {
        assert!(request.starts_with(Method::GET.as_str()), "{requests:?}");
    }
    assert_eq!(objects(&namespace).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_an_error_that_says_what_to_do() {
    let world = World::start_with_users(&["reviewer"]).await;
    let admin = world.plane.kubeconfig();
    let fails = |kubeconfig: &Path, arguments: &[&str], manifests: &str, expected: &str| {
        let preview = Preview::run(kubeconfig, arguments, manifests);
        assert_eq!((preview.code, preview.stdout.as_str()), (2, ""), "{}", preview.stderr);
        assert!(preview.stderr.contains(expected), "{expected}: {}", preview.stderr);
    };
    let example = std::fs::read_to_string(root().join("examples/02-starter-monthly.yaml")).expect("example");
    fails(&admin, &["-f", "no-such-file.yaml"], "", "cannot read no-such-file.yaml");
    fails(&admin, &["-f", "-"], "kind: [", "must be YAML or JSON");
    fails(&admin, &["-f", "-", "--context", "elsewhere"], &example, "the kubeconfig cannot be used");
    fails(
        &admin,
        &["-f", "-", "--catalog", "no-such.yaml"],
        &example,
        "cannot read the catalog no-such.yaml",
    );
    let reviewer = world.plane.kubeconfig_for("reviewer").expect("kubeconfig");
    fails(&reviewer, &["-f", "-"], &example, "use `--catalog` with the operator's catalog");
    let catalog = root().join("src/catalog/shipped.yaml").display().to_string();
    let arguments = ["-f", "-", "--catalog", &catalog];
    fails(&reviewer, &arguments, &example, "cannot list the UsageReports of namespace default");
    let namespace = world.namespace("catalogs").await;
    let map = |name: &str, text: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"catalog.yaml": text},
            "metadata": {"name": name, "labels": {"billing.flashgate.dev/catalog": "true"}},
        })
        .to_string()
    };
    apply(&namespace, &map("one", "plans: 7")).await;
    fails(&admin, &["-f", "-"], &example, "the ConfigMap catalogs/one is no catalog");
    let shipped = std::fs::read_to_string(root().join("src/catalog/shipped.yaml")).expect("catalog");
    apply(&namespace, &map("one", &shipped)).await;
    let preview = Preview::run(&admin, &["-f", "-"], &example);
    assert_eq!(preview.code, 0, "{}", preview.stderr);
    assert!(preview.stdout.contains("those of the ConfigMap catalogs/one"), "{}", preview.stdout);
    apply(&namespace, &map("two", &shipped)).await;
    fails(&admin, &["-f", "-"], &example, "several operators have a catalog (catalogs/one, catalogs/two)");
    let all: Api<Subscription> = Api::all(world.client().await);
    let found = all.list_metadata(&ListParams::default()).await.expect("listed");
    assert!(
        found.items.is_empty(),
        "{:?}",
        found.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    );
}
