//! Tests of log lines: those that an operator needs are there, and nothing of a request is in them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use tokio::time::sleep;
use tower::ServiceExt as _;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;

use super::api_server::{api_server, subscription};
use super::{account, configuration, listed_gate, until};
use crate::accounts::Accounts;
use crate::configuration::Configuration;
use crate::gate::Gate;
use crate::lookup::Lookup;

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Records what this thread logs while the guard lives.
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        (log, guard)
    }

    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("text")
    }

    /// Returns the number of lines with a text.
    fn count(&self, text: &str) -> usize {
        self.text().lines().filter(|line| line.contains(text)).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_ambiguous_api_key_is_logged_once_by_the_names_of_its_accounts() {
    let (log, _guard) = Log::start();
    let accounts = Accounts::default();
    accounts.put(&account("a/1", true, &["key"]));
    assert_eq!(log.text(), "");
    for is_open in [true, false, true] {
        accounts.put(&account("a/2", is_open, &["key"]));
        accounts.begin_list(None);
        accounts.put(&account("a/1", true, &["key"]));
        accounts.put(&account("a/2", is_open, &["key"]));
        accounts.end_list(None);
    }
    assert_eq!((log.count("same API key"), log.text().lines().count()), (1, 1), "{}", log.text());
    assert!(log.text().contains(r#"account="a/2" others="a/1""#), "{}", log.text());
    assert!(!log.text().contains("key\"") && !log.text().contains("2c70"), "{}", log.text());
}

#[tokio::test]
async fn nothing_of_a_request_is_logged() {
    let (log, _guard) = Log::start();
    for lookup in [Lookup::api_key("authorization"), Lookup::template("{header:x-team}/{path:1}")] {
        let gate = listed_gate(Configuration { lookup: lookup.expect("lookup"), ..configuration() });
        for value in ["Bearer sk-secret", "sk-acme", "sk-secret,sk-secret"] {
            for path in
                ["/check-path/path-secret?q=query-secret", "/check/team/path-secret", "/check/path-secret"]
            {
                let request =
                    Request::get(path).header("authorization", value).header("x-team", "team-secret");
                let request = request.body(Body::from("body-secret")).expect("request");
                gate.router().oneshot(request).await.expect("infallible");
            }
        }
    }
    tracing::info!("the log works");
    assert_eq!(log.count("the log works"), 1);
    for text in ["secret", "sk-acme"] {
        assert_eq!(log.count(text), 0, "{}", log.text());
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_list_and_each_change_of_the_contact_are_logged_once() {
    let (log, _guard) = Log::start();
    let (client, mut server) = api_server();
    let gate = Gate::new(client, configuration()).expect("gate");
    let running = gate.clone();
    let task = tokio::spawn(async move { running.run().await });
    server.list().await.objects(10, &[subscription("a/1", 3, 5), subscription("a/2", 3, 0)]);
    let (first, stale, fresh) = ("first list", "no contact", "contact with the API server again");
    until("the first list is logged", || log.count(first) == 1).await;
    assert!(log.text().contains("accounts=2 closed=1"), "{}", log.text());
    let _watch = server.watch(10).await;
    let hanging = server.comparison().await;
    sleep(Duration::from_secs(29)).await;
    assert_eq!([first, stale, fresh].map(|text| log.count(text)), [1, 0, 0]);
    assert_eq!(log.count("the watch was silent for 30s"), 1);
    sleep(Duration::from_secs(2)).await;
    assert_eq!([first, stale, fresh].map(|text| log.count(text)), [1, 1, 0]);
    hanging.objects(10, &[]);
    let _watch = server.call().await;
    let call = server.comparison().await;
    call.objects(10, &[]);
    let watch = server.watch(10).await;
    until("the contact is logged", || log.count(fresh) == 1).await;
    watch.bookmark(11);
    sleep(Duration::from_secs(5)).await;
    assert_eq!([first, stale, fresh].map(|text| log.count(text)), [1, 1, 1]);
    task.abort();
}
