//! The time until billing continues after an outage of the API server.

use std::time::Duration;

use flashgate_api::UsageReport;
use tokio::time::Instant;

use super::sizes::usage;
use super::{Watched, open_account};
use crate::world::{World, wait_for};

/// Maximum time from the API server's return to the first charge: the longest watch backoff, plus a margin.
const SOON: Duration = Duration::from_secs(15);

/// Number of failures of each of the six watches during the outage, so that their backoff has grown.
const FAILURES: usize = 6;

#[tokio::test]
async fn charging_continues_within_seconds_of_an_outage_of_the_api_server() {
    let world = World::start().await;
    let watched = Watched::start(&world);
    let account = open_account(&world, "outage").await;
    world.plane.kill_apiserver().await.expect("killed");
    let has_failed_often = async || {
        let count = watched.read_log().matches("watch interrupted").count();
        (count >= 6 * FAILURES).then_some(())
    };
    wait_for("the watches have failed often", has_failed_often).await;
    world.plane.restart_apiserver().await.expect("restarted");
    let back = Instant::now();
    account.create::<UsageReport>("gw", usage("gw", 1, 10)).await;
    account.state_is::<UsageReport>("gw", "Charged").await;
    let passed = back.elapsed();
    assert!(passed < SOON, "{passed:?}: {}", watched.read_log());
    account.balance("1090").await;
}
