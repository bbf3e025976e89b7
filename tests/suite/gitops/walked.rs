//! Runs the commands of the pages for Argo CD and Flux as they are printed.
//!
//! Neither Argo CD nor Flux runs here. `kubectl apply --server-side` does their part.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::TOOLS;
use crate::suite::chart::{installed, list, render};
use crate::suite::runbooks::Runbook;
use crate::world::{Operator, World, wait_for};

/// Creates an empty repository with a branch `main` in the folder of the world.
fn repository(world: &World, name: &str) -> PathBuf {
    let folder = world.plane.folder().join(name);
    let folder_name = folder.display().to_string();
    git(&["init", "--quiet", "--initial-branch=main", &folder_name]);
    for setting in ["user.name=Example", "user.email=team@example.org", "commit.gpgSign=false"] {
        let (key, value) = setting.split_once('=').expect("setting");
        git(&["-C", &folder_name, "config", key, value]);
    }
    folder
}

fn git(arguments: &[&str]) {
    let done = Command::new("git").args(arguments).status().expect("git");
    assert!(done.success(), "git {arguments:?}");
}

/// Applies the branch `main` of a repository, as the tools do.
async fn sync(world: &World, repository: &Path, as_whom: &[&str]) -> flashgate_control_plane::Output {
    git(&["-C", &repository.display().to_string(), "switch", "--quiet", "main"]);
    let folder = repository.display().to_string();
    let apply = ["apply", "--server-side", "--force-conflicts", "--namespace=acme", "--filename", &folder];
    let apply = [&apply, as_whom].concat();
    world.plane.kubectl(&apply, None).await.expect("kubectl")
}

/// Installs the objects of the chart and starts an operator, as a release does.
async fn release(world: &World) -> Operator {
    world.namespace("flashgate-billing").await;
    let objects = list(&installed(&render("flashgate-billing", &serde_json::json!({}))));
    let apply = ["apply", "--server-side", "--namespace=flashgate-billing", "--filename=-"];
    world.plane.kubectl(&apply, Some(&objects)).await.expect("kubectl").succeeded().expect("the chart");
    world.operator(&[])
}

/// Starts an empty cluster with the CRDs of the tools.
async fn cluster() -> World {
    let world = World::empty().await;
    world.plane.apply_crds(&TOOLS.join("definitions")).await.expect("definitions");
    world
}

#[tokio::test]
async fn the_commands_of_the_argo_cd_page_buy_a_pack_by_pull_request_in_an_empty_cluster() {
    let world = cluster().await;
    world.namespace("argocd").await;
    let repository = repository(&world, "billing");
    let variables = [("REPOSITORY", repository.display().to_string())];
    let page = Runbook::how_to("gitops-argocd.md", &world, &variables);
    page.walk("1. Argo CD").await;
    page.walk("2. The operator").await;
    let _operator = release(&world).await;
    page.walk("3. A team").await;
    sync(&world, &repository, &[]).await.succeeded().expect("synced");
    let account = page.walk("4. The account").await;
    assert!(account.contains("starter") && account.contains("1100"), "{account}");
    page.walk("5. A pack by pull request").await;
    sync(&world, &repository, &[]).await.succeeded().expect("synced");
    let bought = page.walk("6. Bought").await;
    assert!(bought.contains("acme-2026-11-1") && bought.contains("Granted"), "{bought}");
    page.assert_complete();
}

#[tokio::test]
async fn the_commands_of_the_flux_page_buy_a_pack_by_pull_request_in_an_empty_cluster() {
    let world = cluster().await;
    world.namespace("flux-system").await;
    let (fleet, repository) = (repository(&world, "fleet"), repository(&world, "billing"));
    let variables =
        [("FLEET", fleet.display().to_string()), ("REPOSITORY", repository.display().to_string())];
    let page = Runbook::how_to("gitops-flux.md", &world, &variables);
    page.walk("1. The operator").await;
    let _operator = release(&world).await;
    page.walk("2. A team").await;
    let fleet = fleet.display().to_string();
    let apply = ["apply", "--server-side", "--recursive", "--filename", &fleet];
    // Flux applies namespaces before their content. This has the same result.
    let applied = async || world.plane.kubectl(&apply, None).await.expect("kubectl").success.then_some(());
    wait_for("the fleet is applied", applied).await;
    // The role that the chart gives a team is enough, and no more than that.
    let user = ["--as=system:serviceaccount:acme:billing"];
    sync(&world, &repository, &user).await.succeeded().expect("synced");
    let account = page.walk("3. The account").await;
    assert!(account.contains("starter") && account.contains("1100"), "{account}");
    page.walk("4. A pack by pull request").await;
    sync(&world, &repository, &user).await.succeeded().expect("synced");
    let bought = page.walk("5. Bought").await;
    assert!(bought.contains("acme-2026-11-1") && bought.contains("Granted"), "{bought}");
    page.assert_complete();
    let gift = "apiVersion: billing.flashgate.dev/v1alpha1\nkind: CreditAdjustment\nmetadata: {name: gift}\n\
                spec: {subscriptionRef: {name: acme}, credits: \"250\", reason: a gift}\n";
    std::fs::write(repository.join("gift.yaml"), gift).expect("written");
    let refused = sync(&world, &repository, &user).await;
    assert!(!refused.success && refused.stderr.contains("forbidden"), "{}", refused.stderr);
}
