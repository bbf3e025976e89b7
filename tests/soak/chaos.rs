//! Random faults of requests, operators and the API server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode, header, request};
use axum::response::{IntoResponse as _, Response};
use flashgate_testing::Random;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use crate::relay::Interceptor;
use crate::world::{Operator, World};

/// Requests in 1,000 that fail.
const PERMILLE: u64 = 60;

/// Minimum and maximum time, in seconds, that an operator runs.
const RUN_SECONDS: (i64, i64) = (20, 120);

/// Operator stops in 1,000 that also restart the API server.
const SERVER_PERMILLE: u64 = 60;

/// A random source of faults, with counters.
pub struct Chaos {
    is_enabled: AtomicBool,
    random: Mutex<Random>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

/// Locks a mutex. A panic leaves no value inconsistent.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chaos {
    /// Returns the faults of `seed`, switched off.
    pub fn of(seed: u64) -> Self {
        Self {
            is_enabled: AtomicBool::new(false),
            random: Mutex::new(Random::new(seed, 1)),
            counts: Mutex::default(),
        }
    }

    /// Switches the faults on or off.
    pub fn set_enabled(&self, is_enabled: bool) {
        self.is_enabled.store(is_enabled, Ordering::Relaxed);
    }

    /// Returns the number of faults of each type.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }

    fn count(&self, what: &'static str) {
        *lock(&self.counts).entry(what).or_default() += 1;
    }

    fn occurs(&self, permille: u64) -> bool {
        self.is_enabled.load(Ordering::Relaxed) && lock(&self.random).chance(permille)
    }

    fn pick(&self, faults: &[&'static str]) -> &'static str {
        lock(&self.random).pick(faults)
    }

    fn seconds(&self, (least, most): (i64, i64)) -> Duration {
        Duration::from_secs(lock(&self.random).between(least, most).unsigned_abs())
    }
}

const REFUSED_429: &str = "429 with Retry-After";
const REFUSED_503: &str = "503 before it takes effect";
const REFUSED_409: &str = "409 before it takes effect";
const DELAYED: &str = "delayed by up to 3 s";
const NO_REPLY: &str = "never answered";
const REPLY_LOST: &str = "reply lost";
const WRONG_STATUS: &str = "504 after it took effect";
const CUT: &str = "watch cut";
const KILLED: &str = "operator killed";
const TERMINATED: &str = "operator asked to stop";
const RESTARTED: &str = "API server killed and started again";

/// The faults that end an operator or the API server. `Samples` marks them.
pub const RESTARTS: [&str; 3] = [KILLED, TERMINATED, RESTARTED];

fn is_watch(head: &request::Parts) -> bool {
    head.uri.query().is_some_and(|query| query.contains("watch="))
}

/// Returns a body that ends in the middle of the stream.
fn cut() -> Response {
    let broken = futures::stream::once(async { Err::<&[u8], _>(std::io::Error::other("cut")) });
    Body::from_stream(broken).into_response()
}

impl Interceptor for Chaos {
    async fn on_request(&self, head: &mut request::Parts) -> Option<Response> {
        if is_watch(head) || !self.occurs(PERMILLE) {
            return None;
        }
        let is_read = head.method == Method::GET;
        let faults: &[&str] = if is_read {
            &[REFUSED_429, REFUSED_503, DELAYED]
        } else {
            &[REFUSED_429, REFUSED_503, REFUSED_409, DELAYED, NO_REPLY, REPLY_LOST, WRONG_STATUS]
        };
        let fault = self.pick(faults);
        self.count(fault);
        match fault {
            REFUSED_429 => {
                Some((StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response())
            }
            REFUSED_503 => Some(StatusCode::SERVICE_UNAVAILABLE.into_response()),
            REFUSED_409 => Some(StatusCode::CONFLICT.into_response()),
            DELAYED => {
                tokio::time::sleep(self.seconds((0, 3))).await;
                None
            }
            NO_REPLY => std::future::pending().await,
            fault => {
                head.extensions.insert(fault);
                None
            }
        }
    }

    fn on_response(&self, head: &request::Parts, answer: Response) -> Response {
        match head.extensions.get::<&'static str>() {
            Some(&REPLY_LOST) => return cut(),
            Some(_) => return StatusCode::GATEWAY_TIMEOUT.into_response(),
            None => {}
        }
        if !is_watch(head) || !self.occurs(300) {
            return answer;
        }
        self.count(CUT);
        let (parts, body) = answer.into_parts();
        let end = Instant::now() + self.seconds((1, 60));
        let data = body.into_data_stream().map_err(std::io::Error::other);
        let broken = futures::stream::once(async { Err(std::io::Error::other("cut")) });
        let data = data.take_until(tokio::time::sleep_until(end)).chain(broken);
        Response::from_parts(parts, Body::from_stream(data))
    }
}

/// Two operators with leader election.
pub struct Pair {
    kubeconfig: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    operators: [Mutex<Option<Operator>>; 2],
}

impl Pair {
    /// Starts both operators, which record in the store with the URL `history`.
    pub fn start(world: &World, kubeconfig: PathBuf, history: &str) -> Self {
        let catalog = world.catalog_that_keeps_reports_for(20);
        let arguments = [
            "--catalog",
            &catalog,
            "--leader-elect",
            "--leader-elect-namespace",
            "default",
            "--leader-elect-lease-seconds",
            "6",
            "--leader-elect-renew-seconds",
            "4",
            "--leader-elect-retry-seconds",
            "1",
        ];
        let mut arguments = arguments.map(str::to_owned).to_vec();
        arguments.extend(["--history", history].map(str::to_owned));
        let folder = world.plane.folder().to_owned();
        let pair = Self { kubeconfig, arguments, folder, operators: [Mutex::new(None), Mutex::new(None)] };
        pair.start_one(0);
        pair.start_one(1);
        pair
    }

    fn start_one(&self, index: usize) {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let log = self.folder.join(format!("operator-{index}.log"));
        let operator = Operator::start_as(&self.kubeconfig, &arguments, &[("NO_COLOR", "1")], &log);
        *lock(&self.operators[index]) = Some(operator);
    }

    fn take(&self, index: usize) -> Operator {
        lock(&self.operators[index]).take().expect("a running operator")
    }

    /// Returns the resident memory of both operators; 0 for an operator that does not run.
    pub fn memory_kib(&self) -> [u64; 2] {
        self.operators.each_ref().map(|operator| {
            lock(operator).as_ref().filter(|operator| !operator.has_stopped()).map_or(0, Operator::memory_kib)
        })
    }
}

/// Stops and restarts operators, and sometimes the API server.
pub async fn restart_operators(world: &World, pair: &Pair, chaos: &Chaos, end: Instant) {
    loop {
        let next = Instant::now() + chaos.seconds(RUN_SECONDS).min((end - Instant::now()) / 2);
        if next + Duration::from_secs(5) >= end {
            return;
        }
        // The timeout is expected.
        tokio::time::sleep_until(next).await;
        if chaos.occurs(SERVER_PERMILLE) {
            chaos.count(RESTARTED);
            world.plane.restart_apiserver().await.expect("restarted");
        }
        let index = usize::from(chaos.occurs(500));
        let operator = pair.take(index);
        if chaos.occurs(500) {
            chaos.count(KILLED);
            operator.kill();
        } else {
            chaos.count(TERMINATED);
            operator.terminate().await;
        }
        pair.start_one(index);
    }
}
