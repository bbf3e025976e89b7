//! A meter that is killed before or after each of its calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::request;
use axum::response::Response;
use flashgate_testing::catalog::monthly;
use flashgate_testing::values::HOUR;
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio::sync::Notify;

use super::{Samples, charged_reports, close_windows, create_meter, quantities, spec};
use crate::cluster_account::{LONG_AGO, now};
use crate::relay::{self, Interceptor};
use crate::suite::prometheus::Prometheus;
use crate::world::{Operator, World};

/// The moment of a call at which the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The call does not reach the server.
    Before,
    /// The call took effect, and its reply is lost.
    After,
}

/// Lets a process wait without end at one of its calls.
#[derive(Default)]
struct Trap {
    /// Calls until the one at which the process waits.
    left: AtomicUsize,
    is_after: std::sync::atomic::AtomicBool,
    reached: Notify,
}

impl Trap {
    fn set(&self, call: usize, moment: Moment) {
        self.left.store(call, Ordering::SeqCst);
        self.is_after.store(moment == Moment::After, Ordering::SeqCst);
    }

    /// Returns whether this is the call.
    fn springs(&self) -> bool {
        let before = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        before == Ok(1)
    }
}

impl Interceptor for Trap {
    async fn on_request(&self, _: &mut request::Parts) -> Option<Response> {
        if !self.is_after.load(Ordering::SeqCst) && self.springs() {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        None
    }

    fn on_response(&self, _: &request::Parts, answer: Response) -> Response {
        if self.is_after.load(Ordering::SeqCst) && self.springs() {
            self.reached.notify_one();
            // The head arrives, and the body never does.
            let (head, _) = answer.into_parts();
            return Response::from_parts(
                head,
                Body::from_stream(futures::stream::pending::<Result<String, std::io::Error>>()),
            );
        }
        answer
    }
}

#[tokio::test]
async fn a_meter_that_is_killed_at_any_call_charges_each_increment_once() {
    let world = World::start().await;
    let _operator = world.operator(&[]);
    let trap = Arc::new(Trap::default());
    let kubeconfig = relay::start(&world, Arc::clone(&trap)).await;
    let start = (now() - 4 * HOUR) / HOUR * HOUR;
    let time = |minute: i64| Timestamp::from_second(start + 60 * minute).expect("time");
    let mut samples = Samples::default();
    for minute in 0..180 {
        samples.add("tokens_total{org=\"acme\"}", 1_000 + 7 * minute, time(minute));
    }
    let expected = Decimal::from(7 * 179);
    let folder = tempfile::tempdir().expect("folder");
    let prometheus = Prometheus::of_samples(folder.path(), &samples.text, &[]).await;
    let mut deaths = 0;
    for moment in [Moment::Before, Moment::After] {
        for call in 1.. {
            let name = format!("killed-{call}-{}", format!("{moment:?}").to_lowercase());
            let namespace = world.namespace(&name).await;
            let account = namespace.account("acme");
            account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
            let start_time = time(0).to_string();
            create_meter(&namespace, "tokens", spec(|spec| spec["startTime"] = start_time.into()))
                .await
                .expect("created");
            trap.set(call, moment);
            let server = format!("default={}", prometheus.url());
            let arguments = ["--once", "--prometheus", &server, "--namespace", &name];
            let meter =
                Operator::start_command("meter", &kubeconfig, &arguments, &[], std::process::Stdio::null());
            let ended = async {
                while !meter.has_stopped() {
                    tokio::task::yield_now().await;
                }
            };
            let is_reached = tokio::select! {
                () = trap.reached.notified() => true,
                () = ended => false,
            };
            if is_reached {
                meter.kill();
                deaths += 1;
            }
            close_windows(&world, &prometheus.url(), &[&name]).await;
            let sums = quantities(&charged_reports(&namespace, "tokens").await);
            assert_eq!(sums.get("acme"), Some(&expected), "{call} {moment:?}");
            if !is_reached {
                break;
            }
        }
    }
    println!("killed {deaths} times");
    assert!(deaths >= 20, "{deaths}");
}
