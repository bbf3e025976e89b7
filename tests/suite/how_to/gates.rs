//! The pages about the gate: requests and workloads are stopped at zero credits, and pass again after a top-up.

use std::process::Stdio;

use serde_json::Value;

use super::{Page, release, release_variables, set_environment};
use crate::cluster_account::ClusterAccount;
use crate::suite::chart::pod::{Container, containers, kubeconfig_of};
use crate::suite::gate::proxies::{Backend, Proxy, Setting};
use crate::suite::gate::{Gate, account, envoy, spend};
use crate::suite::runbooks::Runbook;
use crate::world::{Operator, World, wait_until};

/// Name of the gate's objects in the release.
const GATE: &str = "flashgate-billing-gate";

/// Installs the release as the page says, and returns the variables of pages about it.
async fn install(world: &World) -> Vec<(&'static str, String)> {
    let variables = release_variables(world);
    Page::how_to("install.md", world, &variables).walk("With Helm").await;
    variables
}

/// Starts the operator of the release.
async fn start_operator(world: &World) -> Operator {
    Container::of(world, &release(world)).start_with_log(world, Stdio::inherit()).await
}

/// Starts the gate of the release, with a token of its `ServiceAccount`. The private control plane has no nodes.
async fn start_gate(world: &World) -> Gate {
    let rendered = release(world);
    let is_gate = |object: &&Value| object["kind"] == "Deployment" && object["metadata"]["name"] == GATE;
    let container = containers(rendered.iter().find(is_gate).expect("a gate")).next().expect("a container");
    let arguments = container["args"].as_array().expect("arguments").iter().filter_map(Value::as_str);
    let is_address =
        |argument: &str| argument.starts_with("--listen=") || argument.starts_with("--metrics-addr=");
    let mut arguments: Vec<&str> = arguments.filter(|argument| !is_address(argument)).collect();
    assert_eq!(arguments.remove(0), "gate");
    let kubeconfig = kubeconfig_of(world, "flashgate-billing", GATE).await;
    Gate::start(&kubeconfig, &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ai_gateway_is_stopped_at_zero_as_the_page_says() {
    let world = World::empty().await;
    let mut variables = install(&world).await;
    variables.push(("KEY", "sk-of-the-tests".to_owned()));
    let page = Page::how_to("stop-at-zero.md", &world, &variables);
    page.walk("1. Turn on the gate").await;
    let (_operator, gate) = (start_operator(&world).await, start_gate(&world).await);
    page.walk("2. Give the account a key").await;
    let backend = Backend::start().await;
    let setting = Setting { gate: gate.address, backend: backend.address, namespace: "team-a".to_owned() };
    let envoy = Proxy::envoy(envoy::configuration(&setting, None)).await;
    let client = vec![crate::suite::gate::bearer("sk-of-the-tests")];
    envoy.answers(200, &client).await;
    set_environment(&world, &format!("ENVOY={}\n", envoy.address));
    page.walk("3. Put Envoy in front of your models").await;
    // Usage of the second in which the account started would lie before it.
    let start = crate::cluster_account::now();
    wait_until("the second is over", async || crate::cluster_account::now() > start).await;
    page.walk("4. Spend the credits").await;
    envoy.answers(402, &client).await;
    page.walk("5. See the stop").await;
    page.walk("6. Top up").await;
    page.assert_complete();

    for (name, finds) in [
        ("FlashgateGateStale.md", "yes\n"),
        ("FlashgateGateDown.md", GATE),
        ("FlashgateGateUnknownAccounts.md", "team-a/acme api-key.billing.flashgate.dev/first\n"),
    ] {
        let runbook = Runbook::open(name, &world, &[]);
        let printed = runbook.walk("Diagnosis").await;
        assert!(printed.contains(finds), "{name} finds no '{finds}':\n{printed}");
        runbook.assert_complete();
    }
}

/// Returns the words of the last transcript on a page that begins with this command, without the command.
fn transcript(page: &Page, command: &str) -> Vec<String> {
    let blocks = page.text.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.filter(|block| block.starts_with(command)).last().expect(command);
    super::shape(block.split_once('\n').expect("output").1).split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn new_workloads_are_stopped_at_zero_as_the_page_says() {
    let world = World::empty().await;
    let mut variables = install(&world).await;
    variables.push(("NAMESPACE", "team-a".to_owned()));
    variables.push(("SUBSCRIPTION", "acme".to_owned()));
    let page = Page::how_to("gate/workloads.md", &world, &variables);
    page.walk("1. Turn it on").await;
    let _operator = start_operator(&world).await;
    let namespace = world.namespace("team-a").await;
    let acme: ClusterAccount<'_> = account(&namespace, "acme").await;
    page.walk("2. Label the Subscription").await;
    assert_eq!(page.walk("3. Try it").await, "true\n");
    let create = async |name: &str| {
        let job = ["create", "job", name, "--image=busybox", "--dry-run=server"];
        namespace.kubectl(&job, None).await
    };
    let created = create("report").await;
    assert!(created.success, "{}", created.stderr);
    spend(&acme, "all").await;
    assert_eq!(page.walk("3. Try it").await, "false\n");
    wait_until("new workloads are rejected", async || !create("report").await.success).await;
    let message = super::shape(&create("report").await.stderr);
    let message: Vec<&str> = message.split(' ').collect();
    assert_eq!(message, transcript(&page, "$ kubectl --namespace team-a create job"));
    acme.buy("top-up", "plus-500").await;
    wait_until("new workloads are admitted", async || create("report").await.success).await;
    page.assert_complete();
}
