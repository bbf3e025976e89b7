//! etcd is restored from a snapshot under a running operator. Watches then resume from a version that the
//! server does not have, and receive nothing.

use flashgate_api::{CreditLedger, UsageReport};
use serde_json::json;

use super::sizes::usage;
use super::{Watched, open_account};
use crate::world::{World, wait_for};

#[tokio::test]
async fn a_restore_of_etcd_under_a_running_operator_is_detected_and_billing_continues() {
    let world = World::start().await;
    let watched = Watched::start(&world);
    let account = open_account(&world, "restored").await;
    account.create::<UsageReport>("kept", usage("kept", 3, 10)).await;
    account.state_is::<UsageReport>("kept", "Charged").await;
    account.balance("1090").await;
    world.plane.save_data("before").await.expect("saved");
    account.create::<UsageReport>("again", usage("again", 3, 10)).await;
    for index in 0..20 {
        let name = format!("lost-{index}");
        account.create::<UsageReport>(&name, usage(&name, 3, 10)).await;
        account.state_is::<UsageReport>(&name, "Charged").await;
    }
    account.balance("880").await;
    world.plane.restore_data("before").await.expect("restored");
    account.balance("1090").await;
    // The lost reports are sent again, with a new one.
    for name in ["lost-7", "new"] {
        account.create::<UsageReport>(name, usage(name, 2, 10)).await;
        account.state_is::<UsageReport>(name, "Charged").await;
    }
    account.balance("1070").await;
    let ledger = account.get::<CreditLedger>("acme").await.expect("ledger");
    assert_eq!(ledger.pointer("/spec/totals/consumed"), Some(&json!("30")), "{ledger:#}");
    assert!(
        watched.read_log().contains("the API server's data went back to an earlier state"),
        "{}",
        watched.read_log()
    );
    assert!((watched.metric("flashgate_billing_server_restores_total") - 1.0).abs() < f64::EPSILON);
    let ready = async || (watched.operator.get("/readyz")? == (200, "ok\n".to_owned())).then_some(());
    wait_for("it is ready again", ready).await;
}
