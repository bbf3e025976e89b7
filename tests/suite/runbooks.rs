//! Runs each block of kind `sh` in the runbooks as it is printed, with real kubectl.

mod alerts;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flashgate_api::{CreditAdjustment, CreditPack, Subscription, UsageReport};
use flashgate_testing::catalog::monthly;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::cluster_account::{ClusterAccount, LONG_AGO, egress};
use crate::world::{Namespace, Operator, World, root, wait_for};

/// Namespace of the operator's Deployment.
const OPERATOR_NAMESPACE: &str = "flashgate-billing";

/// Polling interval of the Deployment.
const LOOK: Duration = Duration::from_millis(50);

/// A page, and the parts of it that were run.
pub struct Runbook {
    name: &'static str,
    /// The blocks below each heading.
    parts: BTreeMap<String, Vec<String>>,
    run_parts: RefCell<Vec<String>>,
    variables: Vec<(&'static str, String)>,
    folder: PathBuf,
}

impl Runbook {
    /// Opens a page of `docs/runbooks`. Its commands run in the folder of the world.
    pub fn open(name: &'static str, world: &World, variables: &[(&'static str, String)]) -> Self {
        Self::open_in("docs/runbooks", name, world, variables)
    }

    fn open_in(
        folder: &str,
        name: &'static str,
        world: &World,
        variables: &[(&'static str, String)],
    ) -> Self {
        let page = fs::read_to_string(root().join(folder).join(name)).expect("page");
        let mut variables = variables.to_vec();
        variables.push(("OPERATOR_NAMESPACE", OPERATOR_NAMESPACE.to_owned()));
        let mut runbook = Self {
            name,
            parts: blocks_by_heading(&page),
            run_parts: RefCell::default(),
            variables,
            folder: PathBuf::new(),
        };
        runbook.moves_to(world);
        runbook
    }

    /// Opens a page of `docs/how-to`. Its commands run in the project folder.
    pub fn how_to(name: &'static str, world: &World, variables: &[(&'static str, String)]) -> Self {
        Self::guide("docs/how-to", name, world, variables)
    }

    /// Opens a page of `docs/tutorials`. Its commands run in the project folder.
    pub fn tutorial(name: &'static str, world: &World, variables: &[(&'static str, String)]) -> Self {
        Self::guide("docs/tutorials", name, world, variables)
    }

    fn guide(folder: &str, name: &'static str, world: &World, variables: &[(&'static str, String)]) -> Self {
        let mut page = Self::open_in(folder, name, world, variables);
        root().clone_into(&mut page.folder);
        page
    }

    /// Runs the following commands in another cluster.
    fn moves_to(&mut self, world: &World) {
        let path = path_with(&[world.plane.programs(), &program_folder()]);
        self.variables.retain(|(name, _)| !["PATH", "KUBECONFIG", "KUBECACHEDIR"].contains(name));
        self.variables.push(("PATH", path));
        self.variables.push(("KUBECONFIG", world.plane.kubeconfig().display().to_string()));
        self.variables.push(("KUBECACHEDIR", world.plane.kubectl_cache().display().to_string()));
        world.plane.folder().clone_into(&mut self.folder);
    }

    /// Runs the blocks below `heading`. Returns their output.
    pub async fn walk(&self, heading: &str) -> String {
        let blocks = self.parts.get(heading).expect(heading);
        self.run_parts.borrow_mut().push(heading.to_owned());
        let mut printed = String::new();
        for block in blocks {
            let mut shell = Command::new("bash");
            shell.args(["-euo", "pipefail", "-c", block]).current_dir(&self.folder);
            shell.envs(self.variables.iter().map(|(name, value)| (name, value)));
            let output =
                tokio::task::spawn_blocking(move || shell.output()).await.expect("joined").expect("bash");
            let (said, complained) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{}, {heading}:\n{block}\n{said}{complained}", self.name);
            printed.push_str(&said);
        }
        printed
    }

    /// Asserts that every block was run.
    pub fn assert_complete(self) {
        for heading in self.parts.keys() {
            assert!(self.run_parts.borrow().contains(heading), "{}: '{heading}' was not run", self.name);
        }
    }
}

/// Returns the folder of `flashgate-billing`.
pub fn program_folder() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_flashgate-billing")).parent().expect("folder").to_owned()
}

/// Returns the `PATH` of this process with further folders at the begin.
pub fn path_with(folders: &[&Path]) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().map(|folder| folder.display().to_string());
    folders.chain([path.to_string_lossy().into_owned()]).collect::<Vec<_>>().join(":")
}

/// Returns the blocks of kind `sh` of a page, by heading.
fn blocks_by_heading(page: &str) -> BTreeMap<String, Vec<String>> {
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut heading, mut is_block, mut is_open) = (String::new(), false, false);
    for line in page.lines() {
        if line.starts_with("```") {
            (is_open, is_block) = (!is_open, !is_open && line == "```sh");
            if is_block {
                parts.entry(heading.clone()).or_default().push(String::new());
            }
        } else if is_block {
            let block = parts.get_mut(&heading).and_then(|blocks| blocks.last_mut()).expect("a block");
            block.push_str(line);
            block.push('\n');
        } else if !is_open && line.starts_with('#') {
            line.trim_start_matches('#').trim().clone_into(&mut heading);
        }
    }
    parts
}

#[test]
fn only_blocks_of_commands_are_run_by_heading() {
    let page = "# A\n```sh\none\ntwo # not a heading\n```\n## B\n```yaml\nthree\n```\n```sh\n# four\n```\n";
    let parts = blocks_by_heading(page);
    assert_eq!(parts["A"], ["one\ntwo # not a heading\n"]);
    assert_eq!(parts["B"], ["# four\n"]);
    assert_eq!(parts.len(), 2);
}

/// Returns the operator's Deployment from the folder for Git.
fn deployment() -> Value {
    let labels = json!({"app.kubernetes.io/name": "flashgate-billing"});
    let container = json!({
        "name": "operator", "image": "flashgate-billing", "args": ["run", "--metrics-addr", "127.0.0.1:0"],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "flashgate-billing", "namespace": OPERATOR_NAMESPACE},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    })
}

/// Runs the operator as its Deployment specifies. Never returns. The private control plane has no nodes to
/// run pods.
async fn run_as_deployed(world: &World) {
    let deployments: Api<Deployment> = Api::namespaced(world.client().await, OPERATOR_NAMESPACE);
    let mut running: Option<(i64, Option<Operator>)> = None;
    loop {
        let deployed = deployments.get_opt("flashgate-billing").await.expect("read");
        let generation = deployed.as_ref().and_then(|deployed| deployed.metadata.generation);
        if let Some((deployed, generation)) = deployed.zip(generation)
            && running.as_ref().is_none_or(|(known, _)| *known != generation)
        {
            if let Some((_, Some(operator))) = running.take() {
                operator.terminate().await;
            }
            running = Some((generation, start(world, &deployed).await));
            let status = json!({"status": {
                "observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                "availableReplicas": 1,
            }});
            let params = PatchParams::default();
            deployments
                .patch_status("flashgate-billing", &params, &Patch::Merge(status))
                .await
                .expect("said");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Starts the operator of a Deployment, and waits until it is ready.
async fn start(world: &World, deployed: &Deployment) -> Option<Operator> {
    let container = deployed.spec.as_ref()?.template.spec.as_ref()?.containers.first()?;
    let arguments: Vec<&str> = container.args.iter().flatten().map(String::as_str).collect();
    let environment = container.env.iter().flatten();
    let environment: Vec<(&str, &str)> =
        environment.map(|pair| (pair.name.as_str(), pair.value.as_deref().unwrap_or_default())).collect();
    let operator = world.operator_with(arguments.get(1..)?, &environment);
    wait_for("it is ready", async || {
        (operator.listening_port().is_some() && operator.get("/readyz")?.0 == 200).then_some(())
    })
    .await;
    Some(operator)
}

/// Runs `scenario` while the operator runs as deployed.
async fn while_deployed<T>(world: &World, scenario: impl Future<Output = T>) -> T {
    tokio::select! {
        () = run_as_deployed(world) => unreachable!("never returns"),
        result = scenario => result,
    }
}

async fn deploy(world: &World) {
    world.namespace(OPERATOR_NAMESPACE).await;
    let deployments: Api<Deployment> = Api::namespaced(world.client().await, OPERATOR_NAMESPACE);
    let deployment: Deployment = serde_json::from_value(deployment()).expect("Deployment");
    deployments.create(&PostParams::default(), &deployment).await.expect("deployed");
}

async fn buy(account: &ClusterAccount<'_>, name: &str) {
    account.buy(name, "plus-100").await;
    account.pack_is(name, "Granted").await;
}

/// Opens an account that ends with 1,285 credits: 1,100 + 200 + 5 - 20.
async fn live(account: &ClusterAccount<'_>) {
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    for name in ["order-1", "order-2"] {
        buy(account, name).await;
    }
    for (hours_ago, name) in [(23, "report-1"), (22, "report-2")] {
        account.report_hour(name, hours_ago, egress("1G")).await;
        account.report_is(name, "Charged").await;
    }
    account.adjust("outage", "5").await;
    account.state_is::<CreditAdjustment>("outage", "Granted").await;
    account.balance("1285").await;
}

/// The account is the one that it was, in the period it was in, and nothing was added up since.
async fn goes_on_from(before: &Value, account: &ClusterAccount<'_>) {
    let after = account.ledger().await;
    for part in ["account", "startTime", "period", "totals"] {
        assert!(before.get(part).is_some(), "{part}");
        assert_eq!(before[part], after[part], "{part}");
    }
}

async fn lose_ledger(account: &ClusterAccount<'_>) {
    account.delete("CreditLedger", "acme").await;
    account.reason_is::<Subscription>("acme", "LedgerMissing").await;
}

async fn tamper(account: &ClusterAccount<'_>) {
    account.tamper().await;
    account.reason_is::<Subscription>("acme", "LedgerInconsistent").await;
}

#[tokio::test]
async fn one_ledger_is_restored_as_the_runbook_says() {
    let world = World::start().await;
    let _operator = world.operator(&[]);
    let account = ClusterAccount::without_subscription(&world, "team").await;
    live(&account).await;
    let variables = [
        ("NAMESPACE", "team".to_owned()),
        ("SUBSCRIPTION", "acme".to_owned()),
        ("BACKUPS", world.plane.folder().join("backups").display().to_string()),
    ];
    let page = Runbook::open("restore-one-ledger.md", &world, &variables);
    page.walk("Before it happens: a backup").await;

    lose_ledger(&account).await;
    let said = page.walk("Diagnosis").await;
    assert!(said.contains("LedgerMissing") && !said.contains("held:"), "{said}");
    page.walk("It is missing, and there is a backup").await;
    page.walk("Verify").await;
    account.balance("1285").await;

    // The backup is older now.
    buy(&account, "order-3").await;
    account.balance("1385").await;
    lose_ledger(&account).await;
    page.walk("It is missing, and there is a backup").await;
    account.reason_is::<Subscription>("acme", "LedgerRegression").await;
    let said = page.walk("Diagnosis").await;
    assert!(said.contains("LedgerRegression") && said.contains("held:"), "{said}");
    page.walk("It is older than what was shown").await;
    page.walk("Verify").await;
    account.balance("1285").await;

    page.walk("Before it happens: a backup").await;
    tamper(&account).await;
    page.walk("It is inconsistent, and there is a backup").await;
    page.walk("Verify").await;
    account.balance("1285").await;

    // Its content is right, and is accepted without a backup.
    tamper(&account).await;
    page.walk("It is older than what was shown").await;
    page.walk("Verify").await;
    account.balance("1285").await;

    lose_ledger(&account).await;
    page.walk("It is missing, and there is no backup").await;
    account.reason_is::<Subscription>("acme", "InForce").await;
    page.walk("Verify").await;
    account.balance("1100").await;
    page.assert_complete();
}

#[tokio::test]
async fn a_namespace_is_restored_as_the_runbook_says() {
    let world = World::start().await;
    deploy(&world).await;
    let account = ClusterAccount::without_subscription(&world, "team").await;
    let backup = world.plane.folder().join("team.yaml").display().to_string();
    let variables = [("NAMESPACE", "team".to_owned()), ("BACKUP", backup)];
    let page = Runbook::open("restore-a-namespace.md", &world, &variables);
    Box::pin(while_deployed(&world, async {
        live(&account).await;
        let before = account.ledger().await;
        page.walk("Before it happens: a backup").await;
        assert_eq!(page.walk("Diagnosis").await, "1\n1\n");
        let lost = ["delete", "namespace", "team", "--timeout=60s"];
        world.plane.kubectl(&lost, None).await.expect("kubectl").succeeded().expect("deleted");

        page.walk("1. Hold").await;
        page.walk("2. Restore").await;
        let held = account.get::<Subscription>("acme").await.expect("restored");
        assert_eq!(
            held.pointer("/status/observedGeneration"),
            Some(&json!(-1)),
            "nothing is written: {held:#}"
        );
        page.walk("3. Compare, then let go").await;
        page.walk("Verify").await;

        account.balance("1285").await;
        goes_on_from(&before, &account).await;
        for name in ["order-1", "order-2"] {
            account.state_is::<CreditPack>(name, "Granted").await;
        }
        account.state_is::<CreditAdjustment>("outage", "Granted").await;
        // Sent again, one that was charged and one that was not.
        account.report_hour("again", 23, egress("1G")).await;
        account.state_is::<UsageReport>("again", "Rejected").await;
        account.report_hour("new", 18, egress("1G")).await;
        account.state_is::<UsageReport>("new", "Charged").await;
        account.balance("1275").await;
    }))
    .await;
    page.assert_complete();
}

/// Creates the checkout for the new cluster.
fn make_git(folder: &Path) {
    let write = |path: &str, manifest: &Value| {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().expect("folder")).expect("folder");
        fs::write(file, manifest.to_string()).expect("manifest");
    };
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let manifest = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": "team"}, "spec": spec,
        })
    };
    write("operator/namespace.yaml", &namespace(OPERATOR_NAMESPACE));
    write("operator/deployment.yaml", &deployment());
    write("namespaces/team.yaml", &namespace("team"));
    let account = json!({"plan": "starter", "startTime": "2026-01-01T00:00:00Z"});
    write("teams/team/acme.yaml", &manifest("Subscription", "acme", account));
    let pack = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
    write("teams/team/order-0.yaml", &manifest("CreditPack", "order-0", pack));
    fs::create_dir_all(folder.join("crds")).expect("folder");
    for file in fs::read_dir(root().join("crds")).expect("definitions") {
        let file = file.expect("definition").path();
        fs::copy(&file, folder.join("crds").join(file.file_name().expect("name"))).expect("copied");
    }
}

#[tokio::test]
async fn a_cluster_is_rebuilt_from_git_as_the_runbook_says() {
    let (lost, fresh) = (World::start().await, World::empty().await);
    let git = fresh.plane.folder().join("git");
    make_git(&git);
    let backup = fresh.plane.folder().join("ledgers.yaml").display().to_string();
    let variables = [("GIT", git.display().to_string()), ("BACKUP", backup)];
    let mut page = Runbook::open("rebuild-a-cluster-from-git.md", &lost, &variables);
    deploy(&lost).await;
    let before = Box::pin(while_deployed(&lost, async {
        let account = ClusterAccount::without_subscription(&lost, "team").await;
        let teams = git.join("teams").display().to_string();
        let applied = account.kubectl(&["apply", "--recursive", "--filename", &teams], None).await;
        assert!(applied.success, "{}", applied.stderr);
        account.state_is::<CreditPack>("order-0", "Granted").await;
        buy(&account, "order-1").await;
        account.report_hour("report-1", 23, egress("1G")).await;
        account.balance("1290").await;
        page.walk("Before it happens: a backup").await;
        account.ledger().await
    }))
    .await;
    drop(lost);

    page.moves_to(&fresh);
    let namespace = Namespace { world: &fresh, name: "team".to_owned(), client: fresh.client().await };
    let account = namespace.account("acme");
    while_deployed(&fresh, async {
        let said = page.walk("Diagnosis").await;
        assert!(said.starts_with("1\n"), "{said}");
        page.walk("1. The operator, holding from its first moment").await;
        page.walk("2. The ledgers").await;
        page.walk("3. Everything else").await;
        let held = account.get::<CreditPack>("order-0").await.expect("applied");
        assert_eq!(held.pointer("/status/state"), None, "nothing is written: {held:#}");
        page.walk("4. Let go").await;
        page.walk("Verify").await;
        account.balance("1290").await;
        account.state_is::<CreditPack>("order-0", "Granted").await;
        goes_on_from(&before, &account).await;
    })
    .await;
    page.assert_complete();
}
