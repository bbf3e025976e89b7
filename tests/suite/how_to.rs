//! Runs each command of the tutorial and of the pages in `docs/how-to` as the page shows it.

mod gates;
mod histories;
mod meters;
mod portal;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use flashgate_api::{CreditLedger, CreditPack, UsageReport};
use flashgate_control_plane::ControlPlane;
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::{HOUR, at};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster_account::{ClusterAccount, egress, now, seconds};
use crate::free_address::free_address;
use crate::suite::chart::pod::Container;
use crate::suite::chart::{documents, tool};
use crate::suite::installed::shared;
use crate::suite::runbooks::Runbook;
use crate::world::{Operator, World, made_by, root, wait_until};

/// A page whose commands are run. Their output is compared with the output on the page.
struct Page {
    runbook: Runbook,
    text: String,
}

impl Page {
    fn how_to(name: &'static str, world: &World, variables: &[(&'static str, String)]) -> Self {
        let text = fs::read_to_string(root().join("docs/how-to").join(name)).expect("page");
        Self { runbook: Runbook::how_to(name, world, variables), text }
    }

    fn tutorial(name: &'static str, world: &World, variables: &[(&'static str, String)]) -> Self {
        let text = fs::read_to_string(root().join("docs/tutorials").join(name)).expect("page");
        Self { runbook: Runbook::tutorial(name, world, variables), text }
    }

    /// Runs the commands below `heading`. Asserts that their output has the lines on the page, and returns
    /// it.
    async fn walk(&self, heading: &str) -> String {
        let printed = self.runbook.walk(heading).await;
        let shapes: Vec<String> = printed.lines().map(shape).collect();
        let mut rest = shapes.iter();
        for line in shown_below(&self.text, heading) {
            let shown = shape(&line);
            assert!(
                rest.any(|printed| *printed == shown),
                "{heading}: no line in order is '{line}':\n{printed}"
            );
        }
        printed
    }

    fn assert_complete(self) {
        self.runbook.assert_complete();
    }
}

/// Returns the lines of output that a page shows below a heading, without blank lines and `...`. A block that
/// begins with a prompt is a separate transcript.
fn shown_below(page: &str, heading: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut below, mut block): (bool, Option<Vec<&str>>) = (false, None);
    let mut is_other = false;
    for line in page.lines() {
        if line.starts_with("```") {
            if let Some(shown) = block.take() {
                if !shown.first().is_some_and(|first| first.starts_with("$ ")) {
                    lines.extend(shown.into_iter().map(str::to_owned));
                }
            } else if !is_other && below && line == "```console" {
                block = Some(Vec::new());
            } else {
                is_other = !is_other;
            }
        } else if let Some(shown) = &mut block {
            shown.push(line);
        } else if !is_other && line.starts_with('#') {
            below = line.trim_start_matches('#').trim() == heading;
        }
    }
    lines.retain(|line| !line.trim().is_empty() && line != "...");
    lines
}

/// Returns a line with `#` for each word that contains a digit: times, ages, identifiers and amounts.
fn shape(line: &str) -> String {
    let words = line.split_whitespace();
    let words =
        words.map(|word| if word.contains(|letter: char| letter.is_ascii_digit()) { "#" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn output_below_a_heading_is_compared_without_its_numbers() {
    let page = "# A\n```sh\nrun\n```\n```console\nfirst 1s\n...\n```\n```console\n$ run\nother\n```\n# B\n\
                ```console\nsecond\n```\n";
    assert_eq!(shown_below(page, "A"), ["first 1s"]);
    assert_eq!(shown_below(page, "B"), ["second"]);
    assert_eq!(shape("acme   starter  1100  2026-12-29T17:03:43Z"), "acme starter # #");
}

/// Creates a Subscription called `acme` on `plan`, and returns the variables of a page about it.
async fn subscribed(account: &ClusterAccount<'_>, plan: &str) -> [(&'static str, String); 2] {
    account.subscribe(monthly(plan), None).await;
    account.status("/status/plan", plan).await;
    [("NAMESPACE", account.name.clone()), ("SUBSCRIPTION", "acme".to_owned())]
}

#[tokio::test]
async fn the_tutorial_ends_with_its_printed_balance() {
    let world = shared().await;
    let account = ClusterAccount::without_subscription(world, "tutorial").await;
    let page = Page::tutorial("first-balance.md", world, &[("NAMESPACE", account.name.clone())]);
    let printed = page.walk("Create an account").await;
    assert!(printed.contains("acme   starter   Monthly   True    1100      0"), "{printed}");
    // Usage of the second in which the account started would lie before it.
    let start = now();
    wait_until("the second is over", async || now() > start).await;
    page.walk("Charge usage").await;
    account.balance("1080").await;
    page.walk("Buy credits").await;
    account.balance("1580").await;
    let printed = page.walk("Explain the balance").await;
    for sum in [r#""granted":"1100""#, r#""purchased":"500""#, r#""consumed":"20""#] {
        assert!(printed.contains(sum), "{printed}");
    }
    page.assert_complete();
}

#[tokio::test]
async fn a_plan_is_changed_as_the_page_says() {
    let world = shared().await;
    let account = ClusterAccount::without_subscription(world, "plan-change-page").await;
    let variables = subscribed(&account, "starter").await;
    let page = Page::how_to("change-a-plan.md", world, &variables);
    page.walk("Upgrade").await;
    account.balance("10600").await;
    let printed = page.walk("Downgrade").await;
    assert!(printed.contains("starter") && printed.contains("effectiveTime"), "{printed}");
    account.status("/status/plan", "growth").await;
    page.walk("End the renewal").await;
    account.status("/status/pendingChange/plan", "organization-free").await;
    page.assert_complete();
}

#[tokio::test]
async fn a_pack_is_bought_and_refunded_as_the_page_says() {
    let world = shared().await;
    let account = ClusterAccount::without_subscription(world, "refund-page").await;
    let mut variables = subscribed(&account, "starter").await.to_vec();
    variables.push(("ORDER", "acme-order-17".to_owned()));
    let page = Page::how_to("buy-and-refund.md", world, &variables);
    let printed = page.walk("Buy").await;
    assert!(printed.contains("Granted"), "{printed}");
    account.balance("1200").await;
    page.walk("Refund").await;
    account.state_is::<CreditPack>("acme-order-17", "Refunded").await;
    account.balance("1100").await;
    page.assert_complete();
}

#[tokio::test]
async fn a_wrong_charge_is_corrected_as_the_page_says() {
    let world = shared().await;
    let account = ClusterAccount::without_subscription(world, "wrong-charge").await;
    let now = now();
    account.subscribe(monthly("starter"), Some(&at(now - 48 * HOUR).to_string())).await;
    account.report("gw-eu-1-0300", seconds(now - 3 * HOUR, HOUR), egress("12G")).await;
    account.state_is::<UsageReport>("gw-eu-1-0300", "Charged").await;
    let name = account.name.clone();
    let variables =
        [("NAMESPACE", name), ("SUBSCRIPTION", "acme".to_owned()), ("REPORT", "gw-eu-1-0300".to_owned())];
    let page = Page::how_to("correct-a-wrong-charge.md", world, &variables);
    let found = page.walk("Look up the charge").await;
    assert!(found.starts_with("Charged: 120 credits, charged at "), "{found}");
    page.walk("Give credits back").await;
    page.walk("Charge what is missing").await;
    account.balance("1085").await;
    page.assert_complete();
}

/// Returns the variables of a page that installs the chart of this checkout, with Helm's own files below the
/// world's folder.
/// `bash` reads the file of `BASH_ENV` before each block. The file has values that are known only after the
/// page was opened.
fn release_variables(world: &World) -> Vec<(&'static str, String)> {
    let folder = world.plane.folder().join("page");
    fs::create_dir_all(&folder).expect("folder");
    let home = |name: &str| folder.join(name).display().to_string();
    let variables = vec![
        ("CHART", "charts/flashgate-billing".to_owned()),
        ("VERSION", env!("CARGO_PKG_VERSION").to_owned()),
        ("FOLDER", folder.display().to_string()),
        ("BACKUP", home("ledgers.yaml")),
        ("HELM_CACHE_HOME", home("helm-cache")),
        ("HELM_CONFIG_HOME", home("helm-config")),
        ("HELM_DATA_HOME", home("helm-data")),
        ("BASH_ENV", home("environment")),
    ];
    set_environment(world, "");
    variables
}

/// Sets additional environment variables for the next blocks of a page.
fn set_environment(world: &World, lines: &str) {
    let tools = made_by("tools.sh");
    let text = format!("PATH='{}':$PATH\n{lines}", tools.display());
    fs::write(world.plane.folder().join("page/environment"), text).expect("environment");
}

/// Sets the Deployment of a release to ready; never returns. The private control plane has no nodes to run its
/// pods.
async fn pods_are_ready(world: &World) {
    let deployments: Api<Deployment> = Api::namespaced(world.client().await, "flashgate-billing");
    loop {
        if let Some(deployed) = deployments.get_opt("flashgate-billing").await.expect("read") {
            let status = json!({"status": {
                "observedGeneration": deployed.metadata.generation, "replicas": 1, "updatedReplicas": 1,
                "readyReplicas": 1, "availableReplicas": 1,
            }});
            // Helm can delete the Deployment between the read and this write.
            let patch = Patch::Merge(status);
            let _is_gone =
                deployments.patch_status("flashgate-billing", &PatchParams::default(), &patch).await.is_err();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Returns the ledger of `acme`, as it is stored.
async fn ledger(account: &ClusterAccount<'_>) -> Value {
    account.get::<CreditLedger>("acme").await.expect("ledger")
}

#[tokio::test]
async fn a_release_is_installed_upgraded_and_uninstalled_as_the_pages_say() {
    // Without its controller, the claim of the history stays after its deletion.
    let builder = ControlPlane::builder().controllers(&["persistentvolumeclaim-protection-controller"]);
    let world = World::start_with_builder(builder).await;
    let variables = release_variables(&world);
    let older = root().join("tests/golden/chart/flashgate-billing-0.0.1.tgz").display().to_string();
    let installed = [variables.as_slice(), &[("CHART", older)]].concat();
    let install = Page::how_to("install.md", &world, &installed);
    let printed = install.walk("With Helm").await;
    assert!(printed.contains("NAME: flashgate-billing"), "{printed}");

    let account = ClusterAccount::without_subscription(&world, "team").await;
    let operator = world.operator(&[]);
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    operator.terminate().await;
    let before = ledger(&account).await;

    let upgrade = Page::how_to("upgrade.md", &world, &variables);
    let printed = upgrade.walk("Before you upgrade").await;
    assert!(printed.contains("flashgate-billing-0.0.1"), "{printed}");
    let rolled_out = async { upgrade.walk("Upgrade the release").await };
    let printed = tokio::select! {
        () = pods_are_ready(&world) => unreachable!("never returns"),
        printed = rolled_out => printed,
    };
    assert!(printed.contains("has been upgraded. Happy Helming!"), "{printed}");
    assert!(printed.ends_with("deployment \"flashgate-billing\" successfully rolled out\n"), "{printed}");
    let printed = upgrade.walk("Verify").await;
    let version = format!("flashgate-billing-{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(printed.matches(&version).count(), 7, "{printed}");
    assert_eq!(ledger(&account).await, before);
    upgrade.walk("Roll back").await;
    assert_eq!(ledger(&account).await, before);
    let printed = upgrade.walk("Verify").await;
    assert_eq!(printed.matches("flashgate-billing-0.0.1").count(), 6, "{printed}");
    upgrade.assert_complete();

    let monitoring = Page::how_to("monitoring.md", &world, &variables);
    monitoring.walk("Logs").await;
    monitoring.assert_complete();

    let uninstall = Page::how_to("uninstall.md", &world, &variables);
    let printed = uninstall.walk("Remove the operator").await;
    assert!(
        printed.contains("[CustomResourceDefinition] creditadjustments.billing.flashgate.dev"),
        "{printed}"
    );
    assert!(printed.ends_with("release \"flashgate-billing\" uninstalled\n"), "{printed}");
    let printed = uninstall.walk("Check what is left").await;
    assert!(printed.contains("creditledgers.billing.flashgate.dev") && printed.contains("acme"), "{printed}");
    assert_eq!(ledger(&account).await, before);
    let printed = uninstall.walk("Remove everything, ledgers included").await;
    assert!(printed.contains("creditadjustments.billing.flashgate.dev\" deleted"), "{printed}");
    let backup = fs::read_to_string(world.plane.folder().join("page/ledgers.yaml")).expect("backup");
    assert!(backup.contains("kind: CreditLedger\n") && backup.contains("name: acme\n"), "{backup}");
    uninstall.assert_complete();

    let other = World::empty().await;
    set_environment(&world, &format!("export KUBECONFIG='{}'\n", other.plane.kubeconfig().display()));
    install.walk("Without Helm").await;
    install.assert_complete();
}

/// The process that a page starts, by its PID file. The process ends when this value is dropped.
struct Started(PathBuf);

impl Drop for Started {
    fn drop(&mut self) {
        let kill = format!("kill \"$(cat '{}')\" 2>/dev/null", self.0.display());
        let _ended = Command::new("bash").args(["-c", &kill]).status();
    }
}

/// Returns the objects of the release in `world`.
fn release(world: &World) -> Vec<Value> {
    let arguments = ["get", "manifest", "flashgate-billing", "--namespace", "flashgate-billing"];
    let said = tool("helm", &arguments, &world.plane.kubeconfig(), "");
    assert!(said.success, "{}", said.stderr);
    documents(&said.stdout)
}

/// Starts the operator of the release in `world`, as its pod would run. Returns the address of its webhook.
async fn start_release(world: &World) -> (SocketAddr, Operator) {
    let rendered = release(world);
    let container = Container::of(world, &rendered);
    // The kubelet would mount the Secret of the page.
    let mounted =
        container.arguments.iter().find_map(|argument| argument.strip_prefix("--payments-secret-file="));
    fs::copy(world.plane.folder().join("page/webhook.secret"), mounted.expect("a secret")).expect("mounted");
    let operator = container.start_with_log(world, Stdio::inherit()).await;
    (container.webhook.expect("the webhook is served"), operator)
}

#[tokio::test]
async fn stripe_is_connected_as_the_page_says() {
    let world = World::empty().await;
    let mut variables = release_variables(&world);
    let folder = world.plane.folder().join("page");
    let adapter = free_address();
    variables.push(("ADAPTER", adapter.to_string()));
    variables.push(("NAMESPACE", "tenant-a".to_owned()));
    variables.push(("SUBSCRIPTION", "acme".to_owned()));
    fs::write(folder.join("stripe.secret"), "whsec_of_the_tests\n").expect("secret");
    Page::how_to("install.md", &world, &variables).walk("With Helm").await;
    let page = Page::how_to("connect-stripe.md", &world, &variables);
    page.walk("1. Turn on external payments").await;
    let (webhook, _operator) = start_release(&world).await;
    set_environment(&world, &format!("WEBHOOK=http://{webhook}/v1/payments\n"));
    let account = ClusterAccount::subscribed(&world, "tenant-a", monthly("starter")).await;
    account.status("/status/invoices/0/state", "Open").await;
    let _adapter = Started(folder.join("adapter.pid"));
    page.walk("2. Start the adapter").await;
    let printed = page.walk("3. Find the open invoice").await;
    assert!(printed.starts_with("acme-") && printed.ends_with("-0001 100 USD\n"), "{printed}");
    let printed = page.walk("4. Send a test event").await;
    assert!(
        printed.contains(
            r#"{"namespace":"tenant-a","payment":"evt-1q0psijvetkwdcnymsavurz6-3ee45fb9309d5e71"}"#
        ),
        "{printed}"
    );
    account.balance("1100").await;
    page.walk("5. Run the adapter in the cluster").await;
    page.assert_complete();
}

#[tokio::test]
async fn a_test_clock_is_advanced_as_the_page_says() {
    let world = World::start().await;
    world.namespace("trial").await;
    let _operator = world.operator(&["--allow-test-clocks", "trial"]);
    let page = Page::how_to("test-clock.md", &world, &[]);
    let printed = page.walk("2. Create the account").await;
    assert!(printed.contains("1100      0        2026-02-28T10:00:00Z"), "{printed}");
    let printed = page.walk("3. Advance the clock").await;
    assert!(printed.contains("1100      0        2026-03-31T10:00:00Z"), "{printed}");
    page.assert_complete();
}

#[tokio::test]
async fn a_pull_request_is_previewed_as_the_page_says() {
    let world = shared().await;
    let namespace = world.namespace("review-page").await;
    let variables = [("NAMESPACE", namespace.name.clone())];
    let page = Page::how_to("review-pull-requests.md", world, &variables);
    let printed = page.walk("1. Preview a change").await;
    assert!(printed.contains("balance 1,100 -> 1,200 credits; 1 new purchase"), "{printed}");
    page.assert_complete();
}

#[tokio::test]
async fn the_leader_is_shown_as_the_page_says() {
    let page = Page::how_to("high-availability.md", shared().await, &[]);
    page.walk("A leader and standbys").await;
    page.assert_complete();
}

/// Returns the files with the ending `.md` below `folder`, as paths below it.
fn pages_below(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(folder).expect("below the folder").to_owned());
            }
        }
    }
    pages.sort();
    pages
}

/// Returns the text of a page without its code blocks.
fn prose(page: &Path) -> String {
    let text = fs::read_to_string(page).expect("page");
    text.split("\n```").step_by(2).collect()
}

/// Returns the targets of the relative links on a page, without their anchors.
fn links(page: &Path) -> Vec<String> {
    let prose = prose(page);
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).map(str::to_owned).collect()
}

#[test]
fn the_index_has_every_page() {
    let docs = root().join("docs");
    let index = links(&docs.join("README.md"));
    let missing = pages_below(&docs).into_iter().filter(|page| page != Path::new("README.md"));
    let missing = missing.filter(|page| !index.iter().any(|link| Path::new(link) == page));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "add these pages to docs/README.md");
}

#[test]
fn every_link_on_a_page_leads_to_a_file() {
    let mut pages: Vec<PathBuf> =
        pages_below(&root().join("docs")).into_iter().map(|page| Path::new("docs").join(page)).collect();
    pages.extend(["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(PathBuf::from));
    for page in pages {
        let page = root().join(page);
        let folder = page.parent().expect("folder");
        for link in links(&page) {
            assert!(folder.join(&link).exists(), "{} links to {link}, which does not exist", page.display());
        }
    }
}

#[test]
fn each_page_with_commands_has_a_test_that_runs_them() {
    let sources = [
        "how_to.rs",
        "how_to/gates.rs",
        "how_to/histories.rs",
        "how_to/meters.rs",
        "how_to/portal.rs",
        "backup.rs",
        "gitops/walked.rs",
    ]
    .map(|file| fs::read_to_string(root().join("tests/suite").join(file)).expect("source"));
    for folder in ["docs/how-to", "docs/tutorials"] {
        for page in pages_below(&root().join(folder)) {
            let has_commands =
                fs::read_to_string(root().join(folder).join(&page)).expect("page").contains("\n```sh\n");
            let opened = format!("(\"{}\",", page.display());
            let is_run = sources.iter().any(|source| source.contains(&opened));
            assert!(is_run || !has_commands, "{folder}/{}: no test runs its commands", page.display());
        }
    }
}
