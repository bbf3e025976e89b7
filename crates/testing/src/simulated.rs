//! A cluster in memory: a simulated API server, and the wire to it.
//!
//! A call is an exchange. It stays on the wire until the test lets it take effect and delivers its reply. So
//! the test that drives a [`Wire`] determines the order of calls, and which are lost, late or sent twice.
//! [`Wire::run_smoothly`] drives it like a healthy network.

mod object;
mod store;

pub use object::{Object, ObjectKey, ObjectKind};
pub use store::{Change, Store, Writer};

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use flashgate_api::CreditLedger;
use flashgate_api::event::Event;
use flashgate_cluster::clock::Clock;
use flashgate_cluster::server_clock::ServerClock;
use flashgate_cluster::{CallError, Cluster, Cursor, EventObject, Kind, SettledReports, Version};
use kube::ResourceExt;
use serde::Serialize;
use serde_json::Value;

/// One call of the operator on the wire.
#[derive(Clone, Debug)]
pub enum Call {
    /// Reads an object.
    Fetch(ObjectKey),
    /// Creates a ledger.
    CreateLedger(Box<CreditLedger>),
    /// Replaces a ledger.
    ReplaceLedger(Box<CreditLedger>),
    /// Replaces the status of an object of that kind.
    ReplaceStatus(ObjectKind, Version, Value),
    /// Deletes a report of that version.
    DeleteReport(Version),
    /// Lists the reports in a state, one page from this position.
    ListReports(String, Cursor),
    /// Publishes an Event.
    Publish,
}

impl Call {
    /// Returns true if it can change an object.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        !matches!(self, Self::Fetch(_) | Self::ListReports(..) | Self::Publish)
    }
}

/// The result of a call.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An object.
    Object(Object),
    /// A page of reports that have their verdict.
    Reports(SettledReports),
    /// Success without a value.
    Done,
}

/// The state of an exchange.
#[derive(Debug)]
enum Stage {
    /// The server has not processed it.
    Sent,
    /// It took effect or was refused. The reply is on its way.
    Answered(Result<Reply, CallError>),
    /// The reply or an error has arrived, and the client has not read it. The time is the server's time of the
    /// reply, if there is one.
    Delivered(Result<Reply, CallError>, Option<jiff::Timestamp>),
    /// The client no longer waits, and the server has not processed it.
    Stray,
}

/// A call on the wire.
#[derive(Debug)]
struct Exchange {
    client: usize,
    call: Call,
    stage: Stage,
    waker: Option<Waker>,
}

/// The wire between operators and the server.
#[derive(Debug)]
pub struct Wire {
    /// The server.
    pub store: Store,
    exchanges: BTreeMap<u64, Exchange>,
    counter: u64,
}

/// A wire that operators share.
pub type SharedWire = Arc<Mutex<Wire>>;

impl Wire {
    /// Returns a wire to `store` with nothing on it.
    #[must_use]
    pub fn to(store: Store) -> SharedWire {
        Arc::new(Mutex::new(Self { store, exchanges: BTreeMap::new(), counter: 0 }))
    }

    fn put(&mut self, client: usize, call: Call, stage: Stage) -> u64 {
        self.counter += 1;
        self.exchanges.insert(self.counter, Exchange { client, call, stage, waker: None });
        self.counter
    }

    /// Returns the exchanges that the server has not processed and that a client waits for.
    pub fn sent(&self) -> impl Iterator<Item = (u64, usize, &Call)> {
        self.exchanges.iter().filter(|(_, exchange)| matches!(exchange.stage, Stage::Sent)).map(view)
    }

    /// Returns the exchanges whose reply is on its way.
    pub fn answered(&self) -> impl Iterator<Item = (u64, usize, &Call)> {
        self.exchanges.iter().filter(|(_, exchange)| matches!(exchange.stage, Stage::Answered(_))).map(view)
    }

    /// Returns the exchanges that no client waits for and that can still take effect.
    pub fn strays(&self) -> impl Iterator<Item = (u64, usize, &Call)> {
        self.exchanges.iter().filter(|(_, exchange)| matches!(exchange.stage, Stage::Stray)).map(view)
    }

    /// Lets the server process an exchange. A stray exchange then ends.
    pub fn take_effect(&mut self, id: u64) {
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let answer = self.store.answer(&exchange.call, exchange.client);
        if matches!(exchange.stage, Stage::Stray) {
            self.exchanges.remove(&id);
        } else {
            exchange.stage = Stage::Answered(answer);
        }
    }

    /// Delivers the reply of an exchange.
    pub fn reply(&mut self, id: u64) {
        let now = self.store.now();
        if let Some(exchange) = self.exchanges.get_mut(&id)
            && let Stage::Answered(answer) = std::mem::replace(&mut exchange.stage, Stage::Stray)
        {
            exchange.deliver(answer, Some(now));
        }
    }

    /// Gives `error` to the client, regardless of the server. `comes_from_server` is true for a reply of the
    /// server, and false for a missing reply.
    pub fn fail(&mut self, id: u64, error: CallError, comes_from_server: bool) {
        let now = self.store.now();
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.deliver(Err(error), comes_from_server.then_some(now));
        }
    }

    /// Sends the same call again. No client waits for it.
    pub fn duplicate(&mut self, id: u64) {
        if let Some(exchange) = self.exchanges.get(&id) {
            let (client, call) = (exchange.client, exchange.call.clone());
            self.put(client, call, Stage::Stray);
        }
    }

    /// Removes a stray exchange from the wire, so that it never takes effect.
    pub fn lose(&mut self, id: u64) {
        self.exchanges.remove(&id);
    }

    /// Removes all exchanges from the wire, as when the server crashes. Each waiting client gets an error.
    /// Returns true if there were any.
    pub fn cut_off(&mut self) -> bool {
        self.exchanges.retain(|_, exchange| !matches!(exchange.stage, Stage::Stray));
        let waiting = |exchange: &&mut Exchange| !matches!(exchange.stage, Stage::Delivered(..));
        let mut is_any = false;
        for exchange in self.exchanges.values_mut().filter(waiting) {
            let call = "a call".to_owned();
            exchange.deliver(Err(CallError::Transport { call, source: "the server is gone".into() }), None);
            is_any = true;
        }
        is_any
    }

    /// Processes all exchanges in order. Returns true if there were any.
    pub fn run_smoothly(&mut self) -> bool {
        let sent: Vec<u64> = self.sent().chain(self.answered()).map(|(id, ..)| id).collect();
        for id in &sent {
            self.take_effect_if_sent(*id);
            self.reply(*id);
        }
        !sent.is_empty()
    }

    fn take_effect_if_sent(&mut self, id: u64) {
        if self.exchanges.get(&id).is_some_and(|exchange| matches!(exchange.stage, Stage::Sent)) {
            self.take_effect(id);
        }
    }
}

fn view<'a>((id, exchange): (&u64, &'a Exchange)) -> (u64, usize, &'a Call) {
    (*id, exchange.client, &exchange.call)
}

impl Exchange {
    fn deliver(&mut self, answer: Result<Reply, CallError>, server_time: Option<jiff::Timestamp>) {
        self.stage = Stage::Delivered(answer, server_time);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The client of one operator.
#[derive(Clone, Debug)]
pub struct Simulated {
    wire: SharedWire,
    client: usize,
    server_clock: Arc<ServerClock>,
}

impl Simulated {
    /// Returns the client `client` of `wire`, whose clock is `clock`.
    #[must_use]
    pub fn new(wire: SharedWire, client: usize, clock: Clock) -> Self {
        Self { wire, client, server_clock: Arc::new(ServerClock::new(clock)) }
    }

    fn call(&self, call: Call) -> Exchanging<'_> {
        Exchanging { end: self, call: Some(call), id: None }
    }

    async fn object<K: Kind>(&self, call: Call) -> Result<K, CallError> {
        let name = K::kind(&());
        match self.call(call).await? {
            Reply::Object(object) => object.typed::<K>().ok_or_else(|| unreadable(&name)),
            Reply::Reports(_) | Reply::Done => Err(unreadable(&name)),
        }
    }
}

fn unreadable(call: &str) -> CallError {
    let source = serde::de::Error::custom("a reply of another kind");
    CallError::Decode { call: call.to_owned(), source }
}

/// Waits for the reply of one exchange. If it is dropped before, the exchange becomes a stray: the request can
/// still take effect without a client.
struct Exchanging<'a> {
    end: &'a Simulated,
    call: Option<Call>,
    id: Option<u64>,
}

impl Future for Exchanging<'_> {
    type Output = Result<Reply, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let end = self.end;
        let mut wire = lock(&end.wire);
        if let Some(call) = self.call.take() {
            self.id = Some(wire.put(end.client, call, Stage::Sent));
        }
        let Some(id) = self.id else { return Poll::Pending };
        match wire.exchanges.get_mut(&id) {
            Some(exchange) if !matches!(exchange.stage, Stage::Delivered(..)) => {
                exchange.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            _ => {}
        }
        self.id = None;
        match wire.exchanges.remove(&id).map(|exchange| exchange.stage) {
            Some(Stage::Delivered(answer, server_time)) => {
                if let Some(time) = server_time {
                    end.server_clock.note_reply(time);
                }
                Poll::Ready(answer)
            }
            _ => Poll::Pending,
        }
    }
}

impl Drop for Exchanging<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let mut wire = lock(&self.end.wire);
        match wire.exchanges.get_mut(&id) {
            Some(exchange) if matches!(exchange.stage, Stage::Sent) => exchange.stage = Stage::Stray,
            Some(_) => wire.lose(id),
            None => {}
        }
    }
}

/// Locks a wire.
pub fn lock(wire: &SharedWire) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cluster for Simulated {
    async fn fetch<K: Kind>(&self, namespace: &str, name: &str) -> Result<K, CallError> {
        let kind = ObjectKind::of::<K>().ok_or_else(|| unreadable(&K::kind(&())))?;
        self.object(Call::Fetch(ObjectKey::new(kind, namespace, name))).await
    }

    async fn create_ledger(&self, ledger: &CreditLedger) -> Result<CreditLedger, CallError> {
        self.object(Call::CreateLedger(Box::new(ledger.clone()))).await
    }

    async fn replace_ledger(&self, ledger: &CreditLedger) -> Result<CreditLedger, CallError> {
        self.object(Call::ReplaceLedger(Box::new(ledger.clone()))).await
    }

    async fn replace_status<K: Kind, S: Serialize + Sync>(
        &self,
        version: &Version,
        status: &S,
    ) -> Result<K, CallError> {
        let call = || format!("replace status of {} {}", K::kind(&()), version.name);
        let kind = ObjectKind::of::<K>().ok_or_else(|| unreadable(&call()))?;
        let status =
            serde_json::to_value(status).map_err(|source| CallError::Decode { call: call(), source })?;
        self.object(Call::ReplaceStatus(kind, version.clone(), status)).await
    }

    async fn delete_report(&self, version: &Version) -> Result<(), CallError> {
        match self.call(Call::DeleteReport(version.clone())).await {
            Ok(_) | Err(CallError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn list_settled_reports(&self, state: &str, cursor: &Cursor) -> Result<SettledReports, CallError> {
        match self.call(Call::ListReports(state.to_owned(), cursor.clone())).await? {
            Reply::Reports(reports) => Ok(reports),
            Reply::Object(_) | Reply::Done => Err(unreadable("list UsageReports")),
        }
    }

    fn clock_skew_seconds(&self) -> Option<i64> {
        self.server_clock.skew_seconds()
    }

    async fn publish(&self, _: &Event<EventObject>) -> Result<(), CallError> {
        self.call(Call::Publish).await.map(|_| ())
    }
}

/// Returns the name of an object's last version.
fn version_of(object: &impl ResourceExt) -> String {
    object.resource_version().unwrap_or_default()
}
