//! Collects the batches of several accounts into one transaction, and refuses batches while the store does not answer.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::{RecordError, StoreError};
use crate::record::{Batch, Recorded};
use crate::store::Store;

/// Longest time that a batch waits for others while no transaction runs.
const WAIT: Duration = Duration::from_millis(50);

/// Most batches of one transaction. It bounds the time for which their accounts are locked.
const BATCHES: usize = 256;

/// Longest time of one transaction. A server that does not reply must not block the recorder.
const TRANSACTION: Duration = Duration::from_secs(30);

/// Shortest time of a failed transaction after which batches are refused at once. A failure that takes less blocks nothing.
const SLOW: Duration = Duration::from_secs(1);

/// Longest time of one check whether the store answers.
const CHECK: Duration = Duration::from_secs(5);

/// Time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A batch, and the channel for its result.
struct Request {
    batch: Batch,
    reply: oneshot::Sender<Result<Recorded, RecordError>>,
}

/// A handle of the task that records batches. The task ends when all handles are dropped.
#[derive(Clone, Debug)]
pub struct Recorder {
    requests: mpsc::Sender<Request>,
}

/// The reason why no result arrived.
#[derive(Debug, thiserror::Error)]
enum NoResult {
    #[error("the task that records the history has ended")]
    Ended,
    #[error("the history store did not reply within {} s", TRANSACTION.as_secs())]
    TimedOut,
}

impl From<NoResult> for RecordError {
    fn from(error: NoResult) -> Self {
        Self::Unavailable(std::sync::Arc::new(error))
    }
}

impl Recorder {
    /// Starts the task that records into `store`. It must be called in a tokio runtime.
    #[must_use]
    pub fn start(store: Store) -> Self {
        let (requests, received) = mpsc::channel(BATCHES);
        tokio::spawn(run(store, received));
        Self { requests }
    }

    /// Records a batch together with those of other accounts: after at most 50 ms, or when the running transaction
    /// ends. After a transaction that waited in vain for the store, batches are refused at once until the store
    /// answers: a caller waits for a store that is down no longer than 30 s, and only once.
    ///
    /// # Errors
    /// As [`Store::record`]. An error of one account does not affect the others.
    pub async fn record(&self, batch: Batch) -> Result<Recorded, RecordError> {
        let (reply, result) = oneshot::channel();
        self.requests.send(Request { batch, reply }).await.map_err(|_| NoResult::Ended)?;
        result.await.map_err(|_| NoResult::Ended)?
    }
}

async fn run(store: Store, mut received: mpsc::Receiver<Request>) {
    while let Some(first) = received.recv().await {
        let mut requests = vec![first];
        // Batches that arrived during the last transaction have waited already.
        while requests.len() < BATCHES {
            match received.try_recv() {
                Ok(request) => requests.push(request),
                Err(_) => break,
            }
        }
        if requests.len() == 1 {
            let end = Instant::now() + WAIT;
            while requests.len() < BATCHES {
                match timeout_at(end, received.recv()).await {
                    Ok(Some(request)) => requests.push(request),
                    Ok(None) | Err(_) => break,
                }
            }
        }
        let begin = Instant::now();
        if let Err(error) = record(&store, requests).await
            && begin.elapsed() >= SLOW
        {
            refuse_until_available(&store, &mut received, &error).await;
        }
    }
}

/// Refuses all batches with `error` until the store answers.
async fn refuse_until_available(store: &Store, received: &mut mpsc::Receiver<Request>, error: &RecordError) {
    let mut answers = pin!(until_available(store));
    loop {
        tokio::select! {
            () = &mut answers => return,
            request = received.recv() => match request {
                Some(request) => drop(request.reply.send(Err(error.clone()))),
                None => return,
            },
        }
    }
}

/// Checks at each interval whether the store answers, until it does. A store without tables answers.
async fn until_available(store: &Store) {
    while !matches!(timeout(CHECK, store.id()).await, Ok(Ok(_) | Err(StoreError::NotMigrated))) {
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// Records all requests in one transaction. If one account's batch is refused, each is recorded by itself. Returns the
/// error if the store is not available.
async fn record(store: &Store, requests: Vec<Request>) -> Result<(), RecordError> {
    let (batches, replies): (Vec<Batch>, Vec<_>) =
        requests.into_iter().map(|Request { batch, reply }| (batch, reply)).unzip();
    match transaction(store, &batches).await {
        Ok(recorded) => {
            for (reply, recorded) in replies.into_iter().zip(recorded) {
                // A caller that stopped waiting records again.
                let _ = reply.send(Ok(recorded));
            }
            Ok(())
        }
        Err(error) if error.is_of_one_account() && batches.len() > 1 => {
            for (batch, reply) in batches.iter().zip(replies) {
                let result = transaction(store, std::slice::from_ref(batch)).await;
                let first = result.and_then(|recorded| {
                    recorded.into_iter().next().ok_or_else(|| RecordError::from(NoResult::Ended))
                });
                let _ = reply.send(first);
            }
            Ok(())
        }
        Err(error) => {
            for reply in replies {
                let _ = reply.send(Err(error.clone()));
            }
            Err(error)
        }
    }
}

async fn transaction(store: &Store, batches: &[Batch]) -> Result<Vec<Recorded>, RecordError> {
    timeout(TRANSACTION, store.record(batches)).await.unwrap_or_else(|_| Err(NoResult::TimedOut.into()))
}
