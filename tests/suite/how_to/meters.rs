//! The pages about usage: the meter with a real Prometheus, and the sketches that report usage without it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flashgate_api::{UsageMeter, UsageReport};
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::{HOUR, at};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Page, release, release_variables, shown_below};
use crate::cluster_account::{ClusterAccount, now};
use crate::suite::chart::pod::{Container, kubeconfig_of, run_meter_once};
use crate::suite::installed::shared;
use crate::suite::meter::{Samples, charged_reports, close_windows};
use crate::suite::prometheus::Prometheus;
use crate::world::{Namespace, Operator, World, root};

/// The URL of Prometheus on the pages that turn on the meter.
const URL_ON_PAGES: &str = "http://prometheus-server.monitoring.svc";

/// Returns a whole hour that is over, and whose following hour is over too.
fn start() -> i64 {
    (now() - 3 * HOUR) / HOUR * HOUR
}

/// Starts a Prometheus with the samples of a program about some tenants. Their usage is in the first half hour
/// after `start`.
async fn prometheus_of(folder: &Path, program: &str, tenants: &[&str], start: i64) -> Prometheus {
    let mut samples = Samples::default();
    for (scrape, second) in [(1, -300), (2, 1_800)] {
        let file = root().join(format!("tests/suite/meter/expositions/{program}-{scrape}.txt"));
        let exposed = fs::read_to_string(file).expect("exposition");
        let is_of_tenant = |line: &&str| {
            let labels = |tenant: &&str| [format!("org=\"{tenant}\""), format!("team=\"{tenant}\"")];
            tenants.iter().flat_map(labels).any(|label| line.contains(&label))
        };
        let lines: Vec<&str> = exposed.lines().filter(is_of_tenant).collect();
        assert!(!lines.is_empty(), "{program} exposes {tenants:?}");
        samples.add_scrape(&lines.join("\n"), at(start + second));
    }
    Prometheus::of_samples(folder, &samples.text, &[]).await
}

/// Applies the `UsageMeter` on a page.
async fn apply_meter_on(page: &Page, world: &World) {
    let blocks = page.text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let meters: Vec<&str> = blocks.filter(|block| block.contains("kind: UsageMeter")).collect();
    assert_eq!(meters.len(), 1, "a recipe has one UsageMeter");
    let applied = world.plane.kubectl(&["apply", "--filename", "-"], Some(meters[0])).await;
    applied.expect("kubectl").succeeded().expect("applied");
}

/// Lets a meter count from `start`. By default it counts from its creation, and its first window ends an hour
/// later.
async fn count_from(namespace: &Namespace<'_>, meter: &str, start: i64) {
    let patch = Patch::Merge(json!({"spec": {"startTime": at(start).to_string()}}));
    namespace.api::<UsageMeter>().patch(meter, &PatchParams::default(), &patch).await.expect("patched");
}

/// Creates a namespace with an account whose period began before `start`.
async fn account_of_old<'a>(world: &'a World, namespace: &str) -> ClusterAccount<'a> {
    let account = ClusterAccount::subscribed_long_ago(world, namespace, monthly("starter")).await;
    account.balance("1100").await;
    account
}

async fn delete_namespace(world: &World, name: &str) {
    let delete = ["delete", "namespace", name, "--timeout=120s"];
    world.plane.kubectl(&delete, None).await.expect("kubectl").succeeded().expect("deleted");
}

/// Returns the release in `world` with the URL of a Prometheus of this machine.
fn release_with(world: &World, prometheus: &Prometheus) -> Vec<Value> {
    let rendered = Value::Array(release(world)).to_string();
    assert!(rendered.contains(URL_ON_PAGES), "{rendered}");
    serde_json::from_str(&rendered.replace(URL_ON_PAGES, &prometheus.url())).expect("JSON")
}

/// Runs the meter of the release once. The private control plane has no nodes to run its pod.
async fn run_meter(world: &World, prometheus: &Prometheus) {
    let output = run_meter_once(world, &release_with(world, prometheus)).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Starts the operator of the release.
async fn start_operator(world: &World) -> Operator {
    Container::of(world, &release(world)).start_with_log(world, Stdio::inherit()).await
}

/// Returns the charges in a list of reports.
fn charges<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let charge = |words: Vec<&str>| {
        let state = words.iter().position(|word| *word == "Charged")?;
        state.checked_sub(1).map(|credits| words[credits].to_owned())
    };
    words.filter_map(charge).collect()
}

/// Runs the commands below a heading. Asserts that each report costs what the page shows.
async fn walk_charges(page: &Page, heading: &str) -> String {
    let printed = page.walk(heading).await;
    let shown = shown_below(&page.text, heading);
    let shown = charges(shown.iter().map(String::as_str));
    assert!(!shown.is_empty(), "{heading} shows a charge");
    assert_eq!(charges(printed.lines()), shown, "{heading}:\n{printed}");
    printed
}

#[test]
fn charges_are_the_words_before_their_state() {
    let lines = ["NAME CREDITS STATE", "tokens.acme.1   88.8   Charged   1m", "Charged", "other 5 Rejected"];
    assert_eq!(charges(lines.into_iter()), ["88.8"]);
}

/// Returns the servers of the page about the meter, as the meter reads them.
fn servers_on_the_page() -> Value {
    let files = "/etc/flashgate-billing/prometheus";
    json!({
        "default": {
            "url": "https://prometheus.example.com", "bearerTokenFile": format!("{files}/default/token"),
        },
        "thanos": {
            "url": "https://thanos.example.com:10902",
            "basicAuth": {
                "usernameFile": format!("{files}/thanos/username"),
                "passwordFile": format!("{files}/thanos/password"),
            },
        },
        "mimir": {
            "url": "https://mimir.example.com/prometheus",
            "headers": {"X-Scope-OrgID": "gateways"},
            "bearerTokenFile": format!("{files}/mimir/token"),
            "tls": {
                "caFile": format!("{files}/mimir/ca.crt"),
                "certFile": format!("{files}/mimir/tls.crt"),
                "keyFile": format!("{files}/mimir/tls.key"),
            },
        },
    })
}

#[tokio::test]
async fn the_meter_is_turned_on_as_the_page_says() {
    let world = World::empty().await;
    let mut variables = release_variables(&world);
    variables.push(("NAMESPACE", "team".to_owned()));
    let folder = world.plane.folder().join("page");
    for file in ["token", "password", "ca.crt", "tls.crt", "tls.key"] {
        fs::write(folder.join(file), "secret of the tests\n").expect("secret");
    }
    Page::how_to("install.md", &world, &variables).walk("With Helm").await;
    let page = Page::how_to("meter-usage.md", &world, &variables);
    page.walk("Turn it on").await;
    let _operator = start_operator(&world).await;
    let account = account_of_old(&world, "team").await;
    page.walk("Let platform administrators write UsageMeters").await;
    for (user, answer) in [("--as-group=platform", "yes"), ("--as-group=tenants", "no")] {
        let ask = ["auth", "can-i", "create", "usagemeters.billing.flashgate.dev", "--as=one", user];
        assert_eq!(account.kubectl(&ask, None).await.stdout.trim(), answer, "{user}");
    }
    page.walk("Create a UsageMeter").await;
    let start = start();
    let prometheus = prometheus_of(world.plane.folder(), "envoy-ai-gateway", &["acme"], start).await;
    count_from(&account, "tokens", start).await;
    run_meter(&world, &prometheus).await;
    assert_eq!(charged_reports(&account, "tokens").await.len(), 1);
    walk_charges(&page, "See that it works").await;

    for heading in [
        "With a bearer token",
        "With a user name and a password",
        "With a private authority and a client certificate",
        "Open the network",
    ] {
        page.walk(heading).await;
    }
    let rendered = release(&world);
    let named = |kind: &str, name: &str| {
        let is_named = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        rendered.iter().find(is_named).expect(name).clone()
    };
    let servers = named("ConfigMap", "flashgate-billing-meter")["data"]["servers.yaml"].take();
    let servers: Value = serde_yaml::from_str(servers.as_str().expect("text")).expect("YAML");
    assert_eq!(servers["servers"], servers_on_the_page());
    let policy = named("NetworkPolicy", "flashgate-billing-meter").to_string();
    for port in ["443", "10902", "9090", "8080"] {
        assert!(policy.contains(&format!("\"port\":{port},")), "{port}: {policy}");
    }
    page.assert_complete();
}

#[tokio::test]
async fn envoy_ai_gateway_is_billed_from_the_installation_on_as_the_pages_say() {
    let world = World::empty().await;
    let mut variables = release_variables(&world);
    variables.push(("NAMESPACE", "team-a".to_owned()));
    let page = Page::how_to("usage/envoy-ai-gateway.md", &world, &variables);
    let index = Page::how_to("usage/README.md", &world, &variables);
    page.walk("1. Install the operator and the meter").await;
    index.walk("Turn on the meter").await;
    let _operator = start_operator(&world).await;
    page.walk("2. Open an account").await;
    // The windows of the page's account are not over yet.
    delete_namespace(&world, "team-a").await;
    let account = account_of_old(&world, "team-a").await;
    apply_meter_on(&page, &world).await;
    let start = start();
    let folder = tempfile::tempdir().expect("folder");
    let prometheus = prometheus_of(folder.path(), "envoy-ai-gateway", &["acme"], start).await;
    count_from(&account, "tokens", start).await;
    run_meter(&world, &prometheus).await;
    charged_reports(&account, "tokens").await;
    account.balance("1011.2").await;
    let printed = walk_charges(&page, "5. See the charge").await;
    assert!(printed.ends_with("1011.2 credits\n"), "{printed}");
    page.assert_complete();

    walk_charges(&index, "Check it").await;
    let folder = tempfile::tempdir().expect("folder");
    let prometheus = prometheus_of(folder.path(), "envoy-ai-gateway", &["acme", "globex"], start).await;
    run_meter(&world, &prometheus).await;
    let printed = index.walk("Find usage that is not charged").await;
    assert!(printed.ends_with("globex 6000\n"), "{printed}");
    let meters = account.kubectl(&["get", "usagemeters", "--output", "wide"], None).await.stdout;
    assert!(meters.contains(" False   UnknownAccount "), "{meters}");
    account.balance("1011.2").await;
    index.assert_complete();
}

#[tokio::test]
async fn each_recipe_charges_what_its_page_shows() {
    let world = World::start().await;
    let _operator = world.operator(&[]);
    let start = start();
    for (name, program, meter) in [
        ("usage/agentgateway.md", "agentgateway", "tokens"),
        ("usage/litellm.md", "litellm", "tokens"),
        ("usage/vllm.md", "vllm", "tokens"),
        ("usage/envoy.md", "envoy", "egress"),
        ("usage/istio.md", "istio", "egress"),
    ] {
        let page = Page::how_to(name, &world, &[]);
        let account = account_of_old(&world, "team-a").await;
        let mut metered = account.clone();
        if program == "istio" {
            metered = world.namespace("istio-system").await;
        }
        apply_meter_on(&page, &world).await;
        count_from(&metered, meter, start).await;
        let folder = tempfile::tempdir().expect("folder");
        let prometheus = prometheus_of(folder.path(), program, &["acme"], start).await;
        close_windows(&world, &prometheus.url(), &["team-a", &metered.name]).await;
        assert_eq!(charged_reports(&account, meter).await.len(), 1, "{name}");
        walk_charges(&page, "Check it").await;
        page.assert_complete();
        delete_namespace(&world, "team-a").await;
    }
}

/// Runs a sketch with the rights of a kubeconfig.
fn run_sketch(sketch: &str, kubeconfig: &Path, world: &World, arguments: &[&str]) -> Output {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = format!("{}:{}", world.plane.programs().display(), path.to_string_lossy());
    let mut command = Command::new(root().join("examples/usage").join(sketch));
    command.args(arguments).env("PATH", path).env("KUBECONFIG", kubeconfig);
    command.env("KUBECACHEDIR", world.plane.kubectl_cache());
    command.output().expect(sketch)
}

/// Returns exit code, output and message of a sketch.
fn result_of(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn usage_is_reported_by_hand_as_the_page_says() {
    let world = shared().await;
    let account = account_of_old(world, "by-hand").await;
    let start = start();
    let [first, second, third] = [0, 1, 2].map(|hour| at(start - hour * HOUR).to_string());
    let end = at(start + HOUR).to_string();
    let variables = [
        ("NAMESPACE", account.name.clone()),
        ("ACCOUNT", "acme".to_owned()),
        ("START", first.clone()),
        ("END", end.clone()),
    ];
    let page = Page::how_to("usage-by-hand.md", world, &variables);
    page.walk("The rules").await;
    walk_charges(&page, "Report a window").await;
    account.balance("850").await;

    let kubeconfig = kubeconfig_of(world, &account.name, "gw-eu-1").await;
    let compact = |time: &str| time.replace(['-', ':', 'T', 'Z'], "");
    for (sketch, start, end, balance) in
        [("report.sh", &second, &first, "750"), ("report.py", &third, &second, "650")]
    {
        let name = format!("gw-eu-1.acme.{}", compact(start));
        let run = |quantity: &str| {
            let arguments = [account.name.as_str(), "acme", "gw-eu-1", start, end, quantity];
            result_of(&run_sketch(sketch, &kubeconfig, world, &arguments))
        };
        assert_eq!(run("100000"), (Some(0), name.clone(), String::new()), "{sketch}: the first time");
        account.state_is::<UsageReport>(&name, "Charged").await;
        account.balance(balance).await;
        assert_eq!(run("100000"), (Some(0), name.clone(), String::new()), "{sketch}: again");
        let (code, printed, message) = run("100001");
        assert_eq!((code, printed.as_str()), (Some(1), ""), "{sketch}: {message}");
        assert!(message.starts_with(&format!("{name} exists with other content: ")), "{sketch}: {message}");
        let strange = ["kube-system", "acme", "gw-eu-1", start, end, "100000"];
        let (code, printed, message) = result_of(&run_sketch(sketch, &kubeconfig, world, &strange));
        assert_eq!((code, printed.as_str()), (Some(1), ""), "{sketch}: {message}");
        assert!(message.starts_with(&format!("{name} was not created: ")), "{sketch}: {message}");
        assert!(message.contains("(Forbidden)"), "{sketch}: {message}");
        account.balance(balance).await;
        account
            .has_totals(&[("consumed", &(1100 - balance.parse::<i64>().expect("number")).to_string())])
            .await;
    }
    page.assert_complete();
}

#[test]
fn the_page_shows_the_sketches_as_they_are() {
    let page = fs::read_to_string(root().join("docs/how-to/usage-by-hand.md")).expect("page");
    for (ending, language) in [("sh", "bash"), ("py", "python"), ("go", "go")] {
        let file = format!("examples/usage/report.{ending}");
        let sketch = fs::read_to_string(root().join(&file)).expect("sketch");
        assert!(page.contains(&format!("\n```{language}\n{sketch}```\n")), "the page differs from {file}");
    }
}
