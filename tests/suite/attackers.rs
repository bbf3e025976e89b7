//! Users with the roles of the chart try to get more than they paid for, on a real API server.
//!
//! The API server rejects each attempt, or the attempt changes no balance.

mod outsiders;
mod owners;
mod payment_agent;
mod quotas;
mod reporter;
mod tenant;

use flashgate_api::{CreditLedger, Subscription};
use flashgate_cluster::clock::Clock;
use flashgate_testing::catalog::monthly;
use http_body_util::BodyExt as _;
use jiff::SignedDuration;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::cluster_account::LONG_AGO;
use crate::suite::chart::{installed, list, render};
use crate::world::{Namespace, Operator, World, wait_for};

/// Users with their roles: roles of the chart, and roles of a namespace.
const USERS: [(&str, &[&str]); 5] = [
    ("tenant", &["flashgate-tenant", "flashgate-viewer", "edit"]),
    ("owner", &["flashgate-tenant", "admin", "may-delete"]),
    ("reporter", &["flashgate-reporter"]),
    ("payments", &["flashgate-payments"]),
    ("neighbour", &["flashgate-tenant", "flashgate-reporter"]),
];

/// The namespace with external payments, which has its own operator.
const PAID: &str = "attacked-payments";

/// A world with the roles of the chart, users with these roles, and running operators.
struct Attacked {
    world: World,
    _operators: [Operator; 3],
}

/// Returns the world that the tests in this module share.
async fn attacked() -> &'static Attacked {
    static REALM: OnceCell<Attacked> = OnceCell::const_new();
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
        // The flood has its own operator, so that other tests share only the API server with it.
        let flooded = world.operator(&["--namespace", reporter::FLOODED]);
        Attacked { world, _operators: [internal, external, flooded] }
    };
    REALM.get_or_init(start).await
}

impl Attacked {
    /// Creates a namespace in which `users` have their roles.
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

    /// Returns a client of a user.
    async fn caller(&self, user: &str) -> Caller {
        Caller { client: self.world.client_of(user).await }
    }
}

/// A client that returns errors instead of panicking.
struct Caller {
    client: Client,
}

impl Caller {
    /// Sends a request. Returns the status and the body.
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

    /// Creates an object. Returns the status and the error message, which is empty on success.
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

/// Returns the totals in the ledger of `acme`, and the credits in its status.
async fn money(namespace: &Namespace<'_>) -> Value {
    let ledger = namespace.get::<CreditLedger>("acme").await.expect("ledger");
    let shown = namespace.get::<Subscription>("acme").await.unwrap_or_default();
    let of = |object: &Value, pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    json!({
        "totals": of(&ledger, "/spec/totals"), "debt": of(&ledger, "/spec/debt"),
        "invoices": of(&ledger, "/spec/nextInvoice"), "balance": of(&shown, "/status/credits/balance"),
    })
}

/// Creates an adjustment and waits for it. The operator has then seen all earlier objects.
async fn wait_for_operator(namespace: &Namespace<'_>, name: &str) {
    let spec = json!({"subscriptionRef": {"name": "acme"}, "credits": "1", "reason": "a mark"});
    namespace.create::<flashgate_api::CreditAdjustment>(name, spec).await;
    namespace.expect::<flashgate_api::CreditAdjustment>(name, "/status/state", "Granted").await;
}

/// Waits until the condition Ready of an object has this reason. Returns its message.
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

/// Opens the account `acme` on the plan `starter`. It starts in the past, so that earlier usage can be charged.
async fn open_account(namespace: &Namespace<'_>) {
    let account = namespace.account("acme");
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.balance("1100").await;
    account.status("/status/ledger/sequence", 1).await;
}

/// Returns the spec of a report. The window is given in minutes from now.
fn usage(source: &str, minutes: (i64, i64), quantity: &str) -> Value {
    let now = Clock::system().now();
    let time = |minutes| now + SignedDuration::from_mins(minutes);
    json!({
        "subscriptionRef": {"name": "acme"}, "source": source,
        "window": {"startTime": time(minutes.0).to_string(), "endTime": time(minutes.1).to_string()},
        "usage": [{"nodeType": "Public", "operation": "StorageEgress", "quantity": quantity}],
    })
}
