//! Validates the manifests for Argo CD and Flux against the CRDs of both.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{TOOLS, yaml};
use crate::world::{World, root};

/// Manifests of Argo CD and Flux and the other manifests beside them, without Helm values.
const MANIFESTS: [&str; 11] = [
    "argocd/argocd-cm.yaml",
    "argocd/operator.yaml",
    "argocd/project.yaml",
    "argocd/team.yaml",
    "argocd/team",
    "flux/operator.yaml",
    "flux/operator",
    "flux/registry.yaml",
    "flux/tenant.yaml",
    "flux/team.yaml",
    "flux/team",
];

fn example(path: &str) -> PathBuf {
    root().join("examples").join(path)
}

/// Sends a manifest to the API server as a strict dry run.
async fn dry_run(world: &World, manifest: &Path) -> flashgate_control_plane::Output {
    let file = manifest.display().to_string();
    let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", &file];
    world.plane.kubectl(&apply, None).await.expect("kubectl")
}

#[tokio::test]
async fn the_crds_of_argo_cd_and_flux_accept_every_example() {
    let world = World::start().await;
    world.plane.apply_crds(&TOOLS.join("definitions")).await.expect("definitions");
    for namespace in ["argocd", "flux-system", "acme"] {
        world.namespace(namespace).await;
    }
    for manifest in MANIFESTS {
        let taken = dry_run(&world, &example(manifest)).await;
        assert!(taken.success, "{manifest}: {}", taken.stderr);
    }
    let mut release = yaml(&example("flux/operator/release.yaml"));
    let spec = release["spec"].as_object_mut().expect("spec");
    spec.remove("chart").expect("chart");
    spec.insert("chartRef".to_owned(), json!({"kind": "OCIRepository", "name": "flashgate-billing"}));
    let from_registry = world.plane.folder().join("from-registry.json");
    std::fs::write(&from_registry, release.to_string()).expect("written");
    let taken = dry_run(&world, &from_registry).await;
    assert!(taken.success, "{}", taken.stderr);
    let text = std::fs::read_to_string(example("argocd/team.yaml")).expect("example");
    let misspelt = world.plane.folder().join("misspelt.yaml");
    std::fs::write(&misspelt, text.replace("syncOptions", "syncOption")).expect("written");
    let refused = dry_run(&world, &misspelt).await;
    assert!(!refused.success && refused.stderr.contains("syncOption"), "{}", refused.stderr);
}

#[test]
fn the_examples_configure_the_metrics_that_their_dashboards_need() {
    let argo_cd = &yaml(&example("argocd/operator.yaml"))["spec"]["source"]["helm"]["valuesObject"];
    let flux = &yaml(&example("flux/operator/release.yaml"))["spec"]["values"];
    for values in [argo_cd, flux] {
        for (part, what) in
            [("dashboards", "enabled"), ("metrics", "accounts"), ("serviceMonitor", "enabled")]
        {
            assert_eq!(values[part][what], true, "{part}.{what}");
        }
        let rendered = crate::suite::chart::render("billing", values);
        assert!(!rendered.is_empty());
    }
}

#[test]
fn links_open_the_dashboard_of_the_account() {
    let board = std::fs::read_to_string(root().join("charts/flashgate-billing/files/dashboards/tenant.json"));
    let board: Value = serde_json::from_str(&board.expect("dashboard")).expect("JSON");
    let variables = board["templating"]["list"].as_array().expect("variables");
    let of_one = yaml(&example("argocd/team/subscription.yaml"));
    let of_one = of_one["metadata"]["annotations"]["link.argocd.argoproj.io/credits"].clone();
    let of_all = yaml(&example("argocd/argocd-cm.yaml"));
    let of_all = of_all["data"]["resource.links"].as_str().expect("links").to_owned();
    let of_all: Value = serde_yaml::from_str(&of_all).expect("YAML");
    for link in [&of_one, &of_all[0]["url"]] {
        let (path, query) = link.as_str().expect("link").split_once('?').expect("query");
        assert!(path.ends_with(&format!("/d/{}", board["uid"].as_str().expect("uid"))), "{link}");
        let names: Vec<&str> = query.split('&').filter_map(|part| part.split('=').next()).collect();
        assert_eq!(names, ["var-namespace", "var-account"], "{link}");
        for name in names {
            let is_meant = |variable: &Value| variable["name"] == name.trim_start_matches("var-");
            assert!(variables.iter().any(is_meant), "the dashboard has no variable for {name}");
        }
    }
}

#[test]
fn every_example_is_tested() {
    for folder in ["argocd", "flux"] {
        for entry in std::fs::read_dir(example(folder)).expect("folder") {
            let name = format!("{folder}/{}", entry.expect("entry").file_name().to_string_lossy());
            let is_known = MANIFESTS.contains(&name.as_str()) || name == "argocd/argocd-values.yaml";
            assert!(is_known, "{name} must be one of the manifests that are tested");
        }
    }
}

#[test]
fn a_team_can_request_only_plans_and_packs() {
    let project = yaml(&example("argocd/project.yaml"));
    let kinds = project["spec"]["namespaceResourceWhitelist"].as_array().expect("kinds").iter();
    let kinds: Vec<&Value> = kinds.map(|allowed| &allowed["kind"]).collect();
    assert_eq!(kinds, [&json!("Subscription"), &json!("CreditPack")]);
    assert_eq!(project["spec"]["clusterResourceWhitelist"], json!([]));
}

#[test]
fn a_pack_in_git_is_neither_pruned_nor_deleted_nor_renamed() {
    let pack = yaml(&example("argocd/team/packs.yaml"));
    let options =
        pack["metadata"]["annotations"]["argocd.argoproj.io/sync-options"].as_str().expect("options");
    assert_eq!(options, "Prune=false,Delete=confirm");
    let kustomization = yaml(&example("flux/team.yaml"));
    let spec = kustomization["spec"].as_object().expect("spec");
    assert_eq!((&spec["prune"], &spec["force"]), (&json!(false), &json!(false)));
    assert!(!spec.contains_key("namePrefix") && !spec.contains_key("nameSuffix"));
    let source = &yaml(&example("argocd/team.yaml"))["spec"]["source"];
    assert!(source["helm"].is_null() && source["kustomize"].is_null());
}
