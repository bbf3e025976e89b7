//! A tenant that orders without limit, beside a normal tenant.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use flashgate_api::UsageReport;
use serde_json::json;
use tokio::time::Instant;

use super::{Caller, PACK, REPORT, attacked, open_account, usage};
use crate::suite::chart::quotas::apply_quotas;
use crate::world::Namespace;

/// The namespace of the tenant that orders without limit.
pub const FLOODED: &str = "attacked-by-packs";

/// The namespace of the normal tenant.
pub const QUIET: &str = "attacked-beside";

/// The number of packs that `examples/quotas/tenant.yaml` allows.
const QUOTA: usize = 40;

/// Number of reports in each measurement.
const MEASURED: i64 = 9;

/// Number of orders in parallel.
const AT_ONCE: usize = 4;

/// Latency that is always acceptable. The attacker, the other tenants and the servers share this machine.
const FLOOR: Duration = Duration::from_secs(1);

/// Returns the median time from the creation of a report to its receipt.
async fn latency(namespace: &Namespace<'_>, neighbour: &Caller, source: &str) -> Duration {
    let mut times = Vec::new();
    for index in 0..MEASURED {
        let name = format!("{source}-{index}");
        let (first, last) = (-MEASURED + index, -MEASURED + index + 1);
        let started = Instant::now();
        let created = neighbour.create(QUIET, REPORT, &name, usage(source, (first, last), "1M")).await;
        assert_eq!(created.0, 201, "{created:?}");
        crate::world::wait_for("the report has its verdict", async || {
            let report = namespace.get::<UsageReport>(&name).await?;
            report.pointer("/status/state").map(|_| ())
        })
        .await;
        times.push(started.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

#[tokio::test]
async fn a_flood_of_packs_stops_at_the_quota_and_does_not_delay_other_tenants() {
    let attacked = attacked().await;
    let flooded = attacked.namespace(FLOODED, &["tenant"]).await;
    let quiet = attacked.namespace(QUIET, &["neighbour"]).await;
    open_account(&flooded).await;
    open_account(&quiet).await;
    apply_quotas(&flooded).await;
    let (tenant, neighbour) = (attacked.caller("tenant").await, attacked.caller("neighbour").await);
    let alone = latency(&quiet, &neighbour, "alone").await;
    let (is_over, made, refused) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let flood = (0..AT_ONCE).map(|lane| {
        let (tenant, is_over, made, refused) = (&tenant, &is_over, &made, &refused);
        async move {
            let mut index = 0;
            while !is_over.load(Ordering::Relaxed) || (refused.load(Ordering::Relaxed) == 0 && index < QUOTA)
            {
                let order = json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"});
                let (status, message) =
                    tenant.create(FLOODED, PACK, &format!("flood-{lane}-{index}"), order).await;
                match status {
                    201 => made.fetch_add(1, Ordering::Relaxed),
                    403 if message.contains("exceeded quota") => refused.fetch_add(1, Ordering::Relaxed),
                    // The API server gives up if too many requests compete for one quota.
                    409 | 429 | 500 => 0,
                    _ => unreachable!("{status} {message}"),
                };
                index += 1;
            }
        }
    });
    let measured = async {
        let beside = latency(&quiet, &neighbour, "beside").await;
        is_over.store(true, Ordering::Relaxed);
        beside
    };
    let (beside, _) = tokio::join!(measured, futures::future::join_all(flood));
    let (made, refused) = (made.into_inner(), refused.into_inner());
    println!("alone {alone:?}, beside {made} packs and {refused} refusals {beside:?}");
    assert!(made <= QUOTA && refused > 0, "{made} made, {refused} refused");
    assert!(beside <= (2 * alone).max(FLOOR), "{alone:?} alone, {beside:?} beside a flood");
    let totals = super::money(&flooded).await;
    assert!(["100", "200", "300"].iter().any(|bought| totals["totals"]["purchased"] == **bought), "{totals}");
}
