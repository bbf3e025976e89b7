//! Runs all account scenarios with the rights of each installation. Statements match the simulation, and the
//! API server rejects no request.

use std::fs;

use futures::future::join_all;
use serde_json::{Value, json};

use super::pod::Container;
use super::{installed, list, render, values_of};
use crate::suite::replay::{LIVES, PAID_LIVES, play_lives_in};
use crate::world::{Namespace, World, root};

/// An installation, by its values.
struct Variant {
    /// Its namespace, and the name prefix of its accounts' namespaces.
    name: &'static str,
    lives: &'static [&'static str],
    values: Value,
}

/// Returns the installations. Their operators have a Role in each namespace instead of a `ClusterRole`.
/// `chart::rights` asserts that the rules are the same.
fn variants() -> [Variant; 3] {
    let catalog = values_of(&root().join("examples/payments/catalog.yaml"));
    let webhook = json!({"enabled": true, "existingSecret": "payment-webhook"});
    [
        Variant { name: "internal", lives: &LIVES, values: json!({"leaderElection": {"enabled": false}}) },
        Variant { name: "objects", lives: &PAID_LIVES, values: json!({"catalog": catalog}) },
        Variant {
            name: "webhook",
            lives: &PAID_LIVES,
            values: json!({"catalog": catalog, "payments": webhook}),
        },
    ]
}

/// Runs the scenarios of an installation.
async fn run(world: &World, variant: Variant) {
    let Variant { name, lives, mut values } = variant;
    world.namespace(name).await;
    let namespaces: Vec<Namespace<'_>> = join_all(lives.iter().map(async |life| {
        let name = format!("{name}-{life}");
        world.namespace(&name).await
    }))
    .await;
    let names: Vec<&str> = namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
    values["namespaces"] = json!(names);
    values["crds"] = json!({"enabled": false});
    // These objects are cluster-wide.
    values["userRoles"] = json!({"create": false});
    values["deletionGuard"] = json!({"enabled": false});
    values["extraArgs"] = json!([&["--allow-test-clocks"][..], &names].concat());
    let rendered = installed(&render(name, &values));
    assert!(!rendered.iter().any(|object| object["kind"] == "ClusterRole"), "{name}");
    // The Roles are in the billed namespaces.
    let applied = world.plane.kubectl(&["apply", "-f", "-"], Some(&list(&rendered))).await.expect("kubectl");
    assert!(applied.success, "{}", applied.stderr);
    let log = world.plane.folder().join(format!("{name}.log"));
    let _operator = Container::of(world, &rendered).start(world, &log).await;
    play_lives_in(namespaces, lives).await;
    let said = fs::read_to_string(&log).expect("log");
    assert!(!said.contains("is forbidden") && !said.contains("status 403"), "{name}: {said}");
}

#[tokio::test]
async fn every_scenario_runs_with_the_rights_of_every_installation() {
    let world = World::start().await;
    join_all(variants().into_iter().map(|variant| run(&world, variant))).await;
}
