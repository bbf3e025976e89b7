//! An API server that is gone for a while: how soon billing goes on when it is back.

use std::time::Duration;

use flashgate_api::UsageReport;
use tokio::time::Instant;

use super::sizes::usage;
use super::{Watched, open_account};
use crate::world::{World, wait_for};

/// Time from the API server's return to the first charge: the longest pause of a watch, and room for a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// How often each of the six watches fails before the API server is back: often enough for its pauses to have grown.
const FAILURES: usize = 6;

#[tokio::test]
async fn the_first_charge_after_an_outage_of_the_api_server_comes_within_seconds_of_its_return() {
    let world = World::start().await;
    let watched = Watched::start(&world);
    let account = open_account(&world, "outage").await;
    world.plane.kill_apiserver().await.expect("killed");
    let has_failed_often = async || {
        let count = watched.said().matches("watch interrupted").count();
        (count >= 6 * FAILURES).then_some(())
    };
    wait_for("the watches have failed often", has_failed_often).await;
    world.plane.restart_apiserver().await.expect("restarted");
    let back = Instant::now();
    account.create::<UsageReport>("gw", usage("gw", 1, 10)).await;
    account.state_is::<UsageReport>("gw", "Charged").await;
    let passed = back.elapsed();
    assert!(passed < SOON, "{passed:?}: {}", watched.said());
    account.balance("1090").await;
}
