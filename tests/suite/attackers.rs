//! Whoever wants more than is due: users with the roles that the chart ships, before the real API server.
//!
//! Each attempt is refused there, or moves no money.

mod outsiders;
mod owners;
mod payment_agent;
mod quotas;
mod reporter;
mod tenant;

use flashgate_api::{CreditLedger, Subscription};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::suite::chart::{installed, list, render};
use crate::world::{Namespace, Operator, World, wait_for};

/// Users, each with its roles: the chart's, and some of a namespace.
const USERS: [(&str, &[&str]); 5] = [
    ("tenant", &["flashgate-tenant", "flashgate-viewer", "edit"]),
    ("owner", &["flashgate-tenant", "admin", "may-delete"]),
    ("reporter", &["flashgate-reporter"]),
    ("payments", &["flashgate-payments"]),
    ("neighbour", &["flashgate-tenant", "flashgate-reporter"]),
];

/// The namespace where payments come from outside, with an operator of its own.
const PAID: &str = "attacked-payments";

/// A world with the chart's roles, users that hold them, and operators that run all the time.
struct Realm {
    world: World,
    _operators: [Operator; 3],
}

/// Returns the world that the attackers share.
async fn realm() -> &'static Realm {
    static REALM: OnceCell<Realm> = OnceCell::const_new();
    let start = || async {
        let users: Vec<&str> = USERS.iter().map(|(user, _)| *user).collect();
        let controllers = ["resourcequota-controller", "clusterrole-aggregation-controller"];
        let world = World::start_with(&users, &controllers).await;
        let rendered = installed(&render("default", &json!({"crds": {"enabled": false}})));
        let is_role = |object: &&Value| object["kind"] == "ClusterRole";
        let mut roles: Vec<Value> = rendered.iter().filter(is_role).cloned().collect();
        roles.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "may-delete"},
            "rules": [{
                "apiGroups": ["billing.flashgate.dev"], "resources": ["subscriptions", "creditpacks"],
                "verbs": ["delete", "deletecollection", "update"],
            }],
        }));
        let applied = world.plane.kubectl(&["apply", "-f", "-"], Some(&list(&roles))).await.expect("kubectl");
        assert!(applied.success, "{}", applied.stderr);
        let catalog = crate::world::root().join("examples/payments/catalog.yaml").display().to_string();
        let internal = world.operator(&[
            "--namespace",
            tenant::NAMESPACE,
            tenant::OTHER,
            tenant::OWNED,
            tenant::FLOODED,
            reporter::NAMESPACE,
            quotas::FLOODED,
            quotas::QUIET,
        ]);
        let external = world.operator(&["--namespace", PAID, "--catalog", &catalog]);
        // The flood has an operator of its own, so that what others wait for depends on the API server alone.
        let flooded = world.operator(&["--namespace", reporter::FLOODED]);
        Realm { world, _operators: [internal, external, flooded] }
    };
    REALM.get_or_init(start).await
}

impl Realm {
    /// Makes a namespace where `users` have their roles.
    async fn namespace(&self, name: &str, users: &[&str]) -> Namespace<'_> {
        let namespace = self.world.namespace(name).await;
        for (user, roles) in USERS.iter().filter(|(user, _)| users.contains(user)) {
            for role in *roles {
                let (binding, role, user) =
                    (format!("{user}-{role}"), format!("--clusterrole={role}"), format!("--user={user}"));
                let bind = ["create", "rolebinding", &binding, &role, &user];
                namespace.kubectl(&bind, None).await.succeeded().expect("bound");
            }
        }
        namespace
    }

    /// Returns a user as a caller.
    async fn caller(&self, user: &str) -> Caller {
        Caller { client: self.world.client_of(user).await }
    }
}

/// Somebody who calls the API server, whatever comes of it.
struct Caller {
    client: Client,
}

impl Caller {
    /// Calls; returns status and answer.
    async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", content)
            .body(Body::from(body.to_string().into_bytes()))
            .expect("request");
        let answer = self.client.send(request).await.expect("answer");
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.expect("body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Creates an object; returns status and the API server's words, or nothing where it agrees.
    async fn create(&self, namespace: &str, kind: Kind, name: &str, spec: Value) -> (u16, String) {
        let (status, answer) = self.call("POST", &kind.path(namespace), &kind.object(name, &spec)).await;
        (status, answer["message"].as_str().unwrap_or_default().to_owned())
    }
}

/// A kind, by its name and plural.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind(&'static str, &'static str);

const SUBSCRIPTION: Kind = Kind("Subscription", "subscriptions");
const PACK: Kind = Kind("CreditPack", "creditpacks");
const REPORT: Kind = Kind("UsageReport", "usagereports");
const PAYMENT: Kind = Kind("Payment", "payments");
const ADJUSTMENT: Kind = Kind("CreditAdjustment", "creditadjustments");
const LEDGER: Kind = Kind("CreditLedger", "creditledgers");

/// Every kind.
const KINDS: [Kind; 6] = [SUBSCRIPTION, PACK, REPORT, PAYMENT, ADJUSTMENT, LEDGER];

impl Kind {
    fn path(self, namespace: &str) -> String {
        format!("/apis/billing.flashgate.dev/v1alpha1/namespaces/{namespace}/{}", self.1)
    }

    fn object(self, name: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": self.0, "metadata": {"name": name},
            "spec": spec,
        })
    }
}

/// Opens the account `acme` on the plan starter, by the administrator; it began a while ago.
async fn open_account(namespace: &Namespace<'_>) {
    let spec = json!({"plan": "starter", "startTime": "2026-01-01T00:00:00Z"});
    namespace.create::<Subscription>("acme", spec).await;
    namespace.expect::<Subscription>("acme", "/status/credits/balance", "1100").await;
    namespace.expect::<Subscription>("acme", "/status/ledger/sequence", 1).await;
}

/// Returns the money of the account `acme`: what its ledger adds up to, and what is shown of it.
async fn money(namespace: &Namespace<'_>) -> Value {
    let ledger = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    let shown = namespace.get::<Subscription>("acme").await.unwrap_or_default();
    let of = |object: &Value, pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    json!({
        "totals": of(&ledger, "/spec/totals"), "debt": of(&ledger, "/spec/debt"),
        "invoices": of(&ledger, "/spec/nextInvoice"), "balance": of(&shown, "/status/credits/balance"),
    })
}

/// Gives a credit by hand and waits for it: everything before was then seen.
async fn let_pass(namespace: &Namespace<'_>, name: &str) {
    let spec = json!({"subscriptionRef": {"name": "acme"}, "credits": "1", "reason": "a mark"});
    namespace.create::<flashgate_api::CreditAdjustment>(name, spec).await;
    namespace.expect::<flashgate_api::CreditAdjustment>(name, "/status/state", "Granted").await;
}

/// Waits until the condition Ready of an object has that reason; returns its message.
async fn ready_reason(namespace: &Namespace<'_>, kind: Kind, name: &str, reason: &str) -> String {
    let administrator = Caller { client: namespace.client.clone() };
    let path = format!("{}/{name}", kind.path(&namespace.name));
    wait_for(&format!("{} {name} is {reason}", kind.0), async || {
        let (_, object) = administrator.call("GET", &path, &Value::Null).await;
        let conditions = object.pointer("/status/conditions")?.as_array()?;
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
        (ready["reason"] == reason).then(|| ready["message"].as_str().unwrap_or_default().to_owned())
    })
    .await
}

/// Returns a report's spec over a window that lies so many minutes from now.
fn usage(source: &str, minutes: (i64, i64), quantity: &str) -> Value {
    let now = flashgate_cluster::clock::Clock::system().now();
    let time = |minutes: i64| (now + jiff::SignedDuration::from_mins(minutes)).to_string();
    json!({
        "subscriptionRef": {"name": "acme"}, "source": source,
        "window": {"startTime": whole(&time(minutes.0)), "endTime": whole(&time(minutes.1))},
        "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": quantity}],
    })
}

/// Returns a time without fractions of a second, which the API server would refuse.
fn whole(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(time, _)| format!("{time}Z"))
}
