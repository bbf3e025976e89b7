//! The HTTP API on a real control plane: each call, each error, and callers with the rights of real roles.
//!
//! Every answer is validated against the OpenAPI document.

mod accounts;
pub mod client;
mod generated;
mod limits;
mod plans;
mod purchases;
mod recorded;
mod rights;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::free_address::free_address;
use crate::world::{Namespace, Operator, World, root, wait_until};

use client::Client;

/// Resources, each with the verbs that a role allows.
pub type Rules = &'static [(&'static str, &'static [&'static str])];

/// Users of the API, each with the rules of its role.
const USERS: [(&str, Rules); 4] = [
    (
        "customer",
        &[
            ("subscriptions", &["get", "create", "patch"]),
            ("creditpacks", &["get", "create"]),
            ("creditledgers", &["get"]),
            ("usagereports", &["list"]),
        ],
    ),
    ("reader", &[("subscriptions", &["get"]), ("creditledgers", &["get"]), ("usagereports", &["list"])]),
    ("narrow", &[("subscriptions", &["get"])]),
    ("outsider", &[]),
];

/// Namespaces whose invoices are paid by Payments.
const EXTERNAL: [&str; 5] =
    ["portal-checkout", "portal-generated", "portal-upgrade", "portal-paid-pack", "portal-asks-again"];

/// A world with an API for each mode of payments.
pub struct Served {
    /// The world.
    pub world: World,
    /// The API where invoices are settled when they are issued.
    pub internal: SocketAddr,
    /// The API where invoices are paid by Payments.
    pub external: SocketAddr,
    /// The log of the first one.
    pub log: PathBuf,
    _processes: [Operator; 4],
}

/// Returns the world that these tests share.
pub async fn served() -> &'static Served {
    static SERVED: OnceCell<Served> = OnceCell::const_new();
    SERVED.get_or_init(start).await
}

async fn start() -> Served {
    let users: Vec<&str> = USERS.iter().map(|(user, _)| *user).collect();
    let world = World::start_with_users(&users).await;
    let roles: Vec<Value> = USERS.iter().map(|(user, rules)| role(user, rules)).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": roles}).to_string();
    let applied = world.plane.kubectl(&["apply", "-f", "-"], Some(&list)).await.expect("kubectl");
    assert!(applied.success, "{}", applied.stderr);
    let catalog = external_catalog(&world);
    let log = world.plane.folder().join("portal.log");
    let internal = free_address();
    let arguments = ["--listen", &internal.to_string(), "--log-filter", "trace"].map(str::to_owned);
    let first = serve(&world, &arguments.each_ref().map(String::as_str), Some(&log));
    let external = free_address();
    let second = serve(&world, &["--listen", &external.to_string(), "--catalog", &catalog], None);
    let of_external = [&["--catalog", &catalog, "--namespace"], EXTERNAL.as_slice()].concat();
    // The other operator bills every namespace of these tests that the first one does not.
    let of_internal: Vec<&str> = ["--namespace"].into_iter().chain(INTERNAL).collect();
    let operators = [world.operator(&of_internal), world.operator(&of_external)];
    for address in [internal, external] {
        wait_until("the API answers", async || Client::at(address).health().await == Some(200)).await;
    }
    let [billing, paid] = operators;
    Served { world, internal, external, log, _processes: [first, second, billing, paid] }
}

/// Namespaces whose invoices are settled when they are issued.
const INTERNAL: [&str; 9] = [
    "portal-account",
    "portal-history",
    "portal-rights",
    "portal-narrow",
    "portal-buy",
    "portal-limit",
    "portal-free",
    "portal-plans",
    "portal-limits",
];

/// Starts an API with the administrator's kubeconfig, whose user it must never use.
pub fn serve(world: &World, arguments: &[&str], log: Option<&PathBuf>) -> Operator {
    let log = match log {
        Some(file) => std::fs::File::create(file).expect("log").into(),
        None => std::process::Stdio::inherit(),
    };
    Operator::start_command("serve", &world.plane.kubeconfig(), arguments, &[], log)
}

/// Returns the token of a user of a world.
pub fn token_of(world: &World, user: &str) -> String {
    let file = world.plane.kubeconfig_for(user).expect("user");
    let text = std::fs::read_to_string(file).expect("kubeconfig");
    let kubeconfig: Value = serde_yaml::from_str(&text).expect("YAML");
    kubeconfig["users"][0]["user"]["token"].as_str().expect("token").to_owned()
}

/// Returns the role of a user for every namespace in which it is bound.
pub fn role(user: &str, rules: &[(&str, &[&str])]) -> Value {
    let rule = |(resource, verbs): &(&str, &[&str])| json!({"apiGroups": ["billing.flashgate.dev"], "resources": [resource], "verbs": verbs});
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": format!("portal-{user}")}, "rules": rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

/// Writes the catalog of external payments with a page for open invoices.
pub fn external_catalog(world: &World) -> String {
    let text = std::fs::read_to_string(root().join("examples/payments/catalog.yaml")).expect("catalog");
    let page = "mode: External, checkoutURL: \"https://pay.example.com/i/{invoice}\"";
    let changed = text.replace("mode: External", page);
    assert_ne!(text, changed, "the example has external payments");
    let file = world.plane.folder().join("external.yaml");
    std::fs::write(&file, changed).expect("catalog");
    file.display().to_string()
}

impl Served {
    /// Makes a namespace in which every user has its role.
    pub async fn namespace(&self, name: &str) -> Namespace<'_> {
        let namespace = self.world.namespace(name).await;
        for (user, rules) in USERS {
            if !rules.is_empty() {
                let (role, of) = (format!("--clusterrole=portal-{user}"), format!("--user={user}"));
                let bind = ["create", "rolebinding", user, &role, &of];
                namespace.kubectl(&bind, None).await.succeeded().expect("bound");
            }
        }
        namespace
    }

    /// Returns the token of a user.
    pub fn token(&self, user: &str) -> String {
        token_of(&self.world, user)
    }

    /// Returns a client of a user for an account whose invoices are settled when they are issued.
    pub fn client(&self, user: &str, namespace: &str) -> Client {
        Client::at(self.internal).of(namespace, &self.token(user))
    }

    /// Returns a client of a user for an account whose invoices are paid by Payments.
    pub fn paying_client(&self, user: &str, namespace: &str) -> Client {
        Client::at(self.external).of(namespace, &self.token(user))
    }
}
