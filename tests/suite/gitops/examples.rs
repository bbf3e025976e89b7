//! The manifests for Argo CD and Flux, against the definitions of both.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{TOOLS, yaml};
use crate::world::{World, root};

/// Manifests of kinds of Argo CD and Flux, and what else stands beside them; not values of a chart.
const MANIFESTS: [&str; 10] = [
    "argocd/argocd-cm.yaml",
    "argocd/operator.yaml",
    "argocd/project.yaml",
    "argocd/team.yaml",
    "argocd/team",
    "flux/operator.yaml",
    "flux/operator",
    "flux/tenant.yaml",
    "flux/team.yaml",
    "flux/team",
];

fn example(path: &str) -> PathBuf {
    root().join("examples").join(path)
}

/// Asks the API server to take a manifest to the letter, without taking it.
async fn dry_run(world: &World, manifest: &Path) -> flashgate_control_plane::Output {
    let file = manifest.display().to_string();
    let apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", &file];
    world.plane.kubectl(&apply, None).await.expect("kubectl")
}

#[tokio::test]
async fn the_definitions_of_argo_cd_and_flux_take_every_example() {
    let world = World::start().await;
    world.plane.apply_crds(&TOOLS.join("definitions")).await.expect("definitions");
    for namespace in ["argocd", "flux-system", "acme"] {
        world.namespace(namespace).await;
    }
    for manifest in MANIFESTS {
        let taken = dry_run(&world, &example(manifest)).await;
        assert!(taken.success, "{manifest}: {}", taken.stderr);
    }
    let text = std::fs::read_to_string(example("argocd/team.yaml")).expect("example");
    let misspelt = world.plane.folder().join("misspelt.yaml");
    std::fs::write(&misspelt, text.replace("syncOptions", "syncOption")).expect("written");
    let refused = dry_run(&world, &misspelt).await;
    assert!(!refused.success && refused.stderr.contains("syncOption"), "{}", refused.stderr);
}

#[test]
fn every_example_is_looked_at() {
    for folder in ["argocd", "flux"] {
        for entry in std::fs::read_dir(example(folder)).expect("folder") {
            let name = format!("{folder}/{}", entry.expect("entry").file_name().to_string_lossy());
            let is_known = MANIFESTS.contains(&name.as_str()) || name == "argocd/argocd-values.yaml";
            assert!(is_known, "{name} must be one of the manifests that are tested");
        }
    }
}

#[test]
fn a_team_can_ask_for_plans_and_packs_and_for_nothing_else() {
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
