//! External payments: invoices that gate plans and packs, the webhook, and an operator that is killed at any call.
//!
//! Everything here runs by the catalog of `examples/payments/`. Where time matters, accounts are on a test clock.

mod deaths;
mod examples;
mod lives;
mod moments;
pub mod webhook;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use flashgate_testing::catalog::monthly;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::cluster_account::ClusterAccount;
use crate::suite::chart;
use crate::world::{Operator, World, root};

/// Namespaces whose Subscriptions may live by a test clock.
const TEST_CLOCK_NAMESPACES: [&str; 12] = [
    "clock-first",
    "clock-tried-again",
    "clock-places",
    "clock-refund",
    "clock-case-17",
    "clock-late",
    "clock-renewal",
    "clock-second-attempt",
    "clock-meanwhile",
    "clock-life-11-payments-that-fail",
    "clock-life-12-payments-late-and-twice",
    "clock-life-13-refund",
];

/// A world where payments come from outside, with an operator that runs all the time as the chart installs it: without the
/// webhook, so that every life here is lived with the fewest rights. Another one holds, and serves the webhook.
pub struct Paid {
    /// The world.
    pub world: World,
    /// The address of its webhook.
    pub webhook: SocketAddr,
    _operators: [Operator; 2],
}

/// Namespace of the operator that serves the webhook.
const WEBHOOK_NAMESPACE: &str = "webhook";

/// The secret of the senders of this world, in every namespace.
pub const SECRET: &str = "what the senders of the tests sign with";

/// Namespaces of this world that have a secret of their own.
const NAMESPACES_WITH_SECRETS: [&str; 3] = ["secret-one", "secret-two", "secret-standard"];

fn catalog() -> String {
    root().join("examples/payments/catalog.yaml").display().to_string()
}

/// Returns the world where payments come from outside.
pub async fn paid() -> &'static Paid {
    static PAID: OnceCell<Paid> = OnceCell::const_new();
    let start = || async {
        let world = World::start().await;
        let values = json!({"catalog": chart::values_of(Path::new(&catalog()))});
        let (_, operator) = chart::install(&world, &TEST_CLOCK_NAMESPACES, values).await;
        let values = json!({
            "fullnameOverride": WEBHOOK_NAMESPACE,
            "userRoles": {"create": false},
            "hold": true,
            "payments": {
                "enabled": true,
                "existingSecret": "payment-webhook",
                "secrets": NAMESPACES_WITH_SECRETS.map(|namespace| {
                    json!({"namespace": namespace, "provider": "bank", "existingSecret": namespace})
                }),
            },
        });
        let (container, serving) = chart::install_in(&world, WEBHOOK_NAMESPACE, values).await;
        let webhook = container.webhook.expect("the webhook is served");
        Paid { world, webhook, _operators: [operator, serving] }
    };
    PAID.get_or_init(start).await
}

/// Writes the file with the secret that is being replaced, and the one that takes its place.
pub fn secrets_file(world: &World) -> PathBuf {
    let file = world.plane.folder().join("payments.secrets");
    std::fs::write(&file, format!("the secret that is being replaced by it\n{SECRET}\n")).expect("file");
    file
}

/// Subscribes to the plan `starter` in a namespace of the world where payments come from outside.
async fn starter(namespace: &str) -> ClusterAccount<'static> {
    ClusterAccount::subscribed(&paid().await.world, namespace, monthly("starter")).await
}

/// Subscribes to the plan `starter` there on a test clock that shows `now`.
async fn starter_at(namespace: &str, now: &str) -> ClusterAccount<'static> {
    ClusterAccount::at(&paid().await.world, namespace, now, monthly("starter")).await
}
