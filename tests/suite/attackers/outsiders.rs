//! Whoever has no right at all. Signatures and replays of callbacks are `payments::webhook`; the rights of the
//! operator's own token are `chart::roles`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Caller, KINDS, realm};
use crate::payments::paid;
use crate::world::eventually;

/// Longest time that an answer may take: far below what a body of a gigabyte takes.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_body_of_a_gigabyte_is_refused_before_it_is_read() {
    let webhook = paid().await.webhook;
    let listens = async || TcpStream::connect(webhook).ok();
    let mut stream = eventually("the webhook listens", listens).await_some().await;
    let answered = tokio::task::spawn_blocking(move || {
        stream.set_read_timeout(Some(SOON)).expect("limit");
        let head = "POST /v1/payments/default HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\n\
                    Connection: close\r\nContent-Length: 1000000000\r\nFlashgate-Signature: t=1,v1=00\r\n\r\n";
        stream.write_all(head.as_bytes()).expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer before the body");
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert_eq!(answered.await.expect("answer"), "HTTP/1.1 413");
}

#[tokio::test]
async fn a_stranger_sees_and_states_nothing() {
    let realm = realm().await;
    realm.namespace("attacked-by-strangers", &[]).await;
    for user in ["tenant", "reporter", "payments"] {
        let stranger: Caller = realm.caller(user).await;
        for kind in KINDS {
            let path = kind.path("attacked-by-strangers");
            assert_eq!(stranger.call("GET", &path, &Value::Null).await.0, 403, "{user} {kind:?}");
            let object = kind.object("forged", &json!({}));
            assert_eq!(stranger.call("POST", &path, &object).await.0, 403, "{user} {kind:?}");
        }
    }
}
