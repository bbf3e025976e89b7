//! The recorder, and a store that is down.

use std::time::Duration;

use flashgate_history::{HistoryUrl, RecordError, Recorder, Store, StoreError};
use tokio::time::Instant;

use crate::on_both_stores;
use crate::stores::ledger::Ledger;
use crate::stores::place::{Place, Server};
use crate::stores::recording::{ledger_of, summary};

async fn one_account_does_not_block_the_others(place: Place) {
    let mut changed = Ledger::with_entries("b", 2);
    place.store.record(&[changed.batch()]).await.unwrap();
    changed.entries[1].hash = "0".repeat(64);
    let recorder = Recorder::start(place.store.clone());
    let (a, b, c) = tokio::join!(
        recorder.record(Ledger::with_entries("a", 3).batch()),
        recorder.record(changed.batch()),
        recorder.record(Ledger::with_entries("c", 1).batch()),
    );
    assert!(matches!(b, Err(RecordError::Conflict { number: 2, .. })), "{b:?}");
    assert_eq!((a.unwrap().number, c.unwrap().number), (3, 1));
}

async fn many_batches_are_recorded(place: Place) {
    let recorder = Recorder::start(place.store.clone());
    let calls: Vec<_> = (0..600)
        .map(|index| {
            let recorder = recorder.clone();
            let batch = Ledger::with_entries(&format!("account-{:03}", index % 300), 1 + index / 300).batch();
            tokio::spawn(async move { recorder.record(batch).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(summary(&place.store).await, ["Granted 1", "Granted 2"].repeat(300));
}

on_both_stores!(one_account_does_not_block_the_others, many_batches_are_recorded);

#[tokio::test]
async fn recording_goes_on_when_a_server_is_back() {
    let server = Server::start();
    let place = server.database().await;
    place.store.migrate().await.unwrap();
    place.store.record(&[ledger_of(1).batch()]).await.unwrap();
    server.order("stop");
    let recorder = Recorder::start(place.store.clone());
    for _ in 0..2 {
        let error = recorder.record(ledger_of(2).batch()).await.unwrap_err();
        assert!(matches!(error, RecordError::Unavailable(_)), "{error:?}");
    }
    server.order("start");
    assert_eq!(until_recorded(&recorder).await, 2);
    assert_eq!(summary(&place.store).await, ["Granted 100", "Granted 200"]);
}

#[tokio::test]
async fn a_server_that_hangs_delays_one_recording_and_not_the_next_ones() {
    let server = Server::start();
    let place = server.database().await;
    place.store.migrate().await.unwrap();
    place.store.record(&[ledger_of(1).batch()]).await.unwrap();
    let recorder = Recorder::start(place.store.clone());
    server.order("hang");
    let error = recorder.record(ledger_of(2).batch()).await.unwrap_err();
    assert!(matches!(error, RecordError::Unavailable(_)), "{error:?}");
    let begin = Instant::now();
    for _ in 0..100 {
        let error = recorder.record(ledger_of(2).batch()).await.unwrap_err();
        assert!(matches!(error, RecordError::Unavailable(_)), "{error:?}");
    }
    // A recording that waits for the server takes 5 seconds.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    server.order("resume");
    assert_eq!(until_recorded(&recorder).await, 2);
    assert_eq!(summary(&place.store).await, ["Granted 100", "Granted 200"]);
}

/// Records the second entry of the account until the store answers. Returns the number of the last entry.
async fn until_recorded(recorder: &Recorder) -> i64 {
    let patience = Instant::now() + Duration::from_mins(1);
    loop {
        match recorder.record(ledger_of(2).batch()).await {
            Ok(recorded) => return recorded.number,
            Err(error) => assert!(Instant::now() < patience, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_store_opens_while_its_server_is_down() {
    let url: HistoryUrl = "postgres://history@127.0.0.1:1/history".parse().unwrap();
    let store = Store::open(&url).unwrap().unwrap();
    assert!(matches!(store.migrate().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.record(&[ledger_of(1).batch()]).await, Err(RecordError::Unavailable(_))));
    assert!(Store::open(&HistoryUrl::None).unwrap().is_none());
}

#[tokio::test]
async fn every_future_can_run_on_another_thread() {
    fn sent<F: Future + Send>(future: F) -> F {
        future
    }
    let (place, target) = (crate::stores::place::sqlite().await, crate::stores::place::sqlite().await);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let (filter, mut output) = (flashgate_history::Filter::default(), Vec::new());
    sent(place.store.record(&[ledger_of(1).batch()])).await.unwrap();
    sent(flashgate_history::verify::verify(&place.store)).await.unwrap();
    sent(flashgate_history::prune::prune(&place.store, now, 1)).await.unwrap();
    sent(flashgate_history::copy::copy(&place.store, &target.store, &mut |_| ())).await.unwrap();
    let format = flashgate_history::export::Format::Csv;
    sent(flashgate_history::export::write(&place.store, format, &filter, &mut output, &mut |_| ()))
        .await
        .unwrap();
    sent(target.store.migrate()).await.unwrap();
    assert_eq!(summary(&target.store).await, ["Granted 100"]);
}
