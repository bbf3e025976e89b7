//! Rights that are removed under a running operator, and granted again.

use flashgate_api::UsageReport;

use super::sizes::usage;
use super::{Watched, open_account};
use crate::world::{World, wait_for};

const USER: &str = "operator";

/// Grants or removes all rights of the operator.
async fn bind(world: &World, is_bound: bool) {
    let bind = ["create", "clusterrolebinding", USER, "--clusterrole=cluster-admin", "--user=operator"];
    let unbind = ["delete", "clusterrolebinding", USER];
    let arguments: &[&str] = if is_bound { &bind } else { &unbind };
    world.plane.kubectl(arguments, None).await.expect("kubectl").succeeded().expect("bound");
}

#[tokio::test]
async fn an_operator_without_rights_is_not_ready_and_reports_why() {
    let world = World::start_with_users(&[USER]).await;
    bind(&world, true).await;
    let kubeconfig = world.plane.kubeconfig_for(USER).expect("user");
    let watched = Watched::start_with(&world, &kubeconfig, &["--silence-seconds", "3"]);
    let account = open_account(&world, "rights").await;
    let is_ready = async || (watched.operator.get("/readyz")?.0 == 200).then_some(());
    wait_for("it is ready", is_ready).await;
    bind(&world, false).await;
    let unready = async || watched.operator.get("/readyz").filter(|(status, _)| *status == 503);
    let (_, said) = wait_for("it is not ready", unready).await;
    assert!(said.contains("cannot be listed or watched for") && said.contains("forbidden"), "{said}");
    assert_eq!(
        watched.operator.get("/healthz").map(|(status, _)| status),
        Some(200),
        "a restart does not help"
    );
    account.create::<UsageReport>("gw", usage("gw", 1, 10)).await;
    bind(&world, true).await;
    account.state_is::<UsageReport>("gw", "Charged").await;
    account.balance("1090").await;
    wait_for("it is ready again", is_ready).await;
}
