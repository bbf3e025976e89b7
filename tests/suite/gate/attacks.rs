//! Clients that try to spend another account's credits, or to learn which accounts exist.
//!
//! The tests of each proxy forge the account header of a client, which the proxy must remove.

use std::fs::{self, File};
use std::process::Stdio;

use super::{Answer, Gate, account, bearer, give_key, hash_of, spend};
use crate::suite::billed::billed;
use crate::world::wait_until;

/// Returns the answer without what differs by time.
fn shape(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
    (answer.status, headers, answer.body.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_could_name_two_accounts_names_none() {
    let world = &billed().await.world;
    let namespace = world.namespace("gate-attacks").await;
    account(&namespace, "rich").await;
    account(&namespace, "poor").await;
    spend(&namespace.account("poor"), "all").await;
    let gate = Gate::start(&world.plane.kubeconfig(), &["--namespace", "gate-attacks"]).await;
    let named = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("X-Flashgate-Account: {name}")).collect()
    };
    let ask = async |path: &str, headers: &[String]| gate.get(path, headers).await.expect("an answer");
    let poor = named(&["gate-attacks/poor"]);
    wait_until("the gate is closed", async || ask("/check", &poor).await.status == 402).await;
    assert_eq!(ask("/check", &named(&["gate-attacks/rich"])).await.status, 200);

    let nothing = shape(&ask("/check", &[]).await);
    assert_eq!(nothing.0, 403);
    let attempts: [&[&str]; 9] = [
        &["gate-attacks/poor", "gate-attacks/rich"],
        &["gate-attacks/rich", "gate-attacks/poor"],
        &["gate-attacks/poor,gate-attacks/rich"],
        &["gate-attacks/rich, gate-attacks/poor"],
        &["gate-attacks/rich/../poor"],
        &["gate-attacks%2frich"],
        &["/gate-attacks/rich"],
        &["gate-attacks/rich "],
        &["gate-attacks/not-there"],
    ];
    for attempt in attempts {
        let answer = ask("/check", &named(attempt)).await;
        // Spaces around a value are not part of it.
        if attempt == ["gate-attacks/rich "] {
            assert_eq!(answer.status, 200, "{attempt:?}");
        } else {
            assert_eq!(shape(&answer), nothing, "{attempt:?}");
        }
    }
    // A path that a client chose cannot leave the prefix, so the header decides.
    for path in [
        "/check-path/../check/gate-attacks/rich",
        "/check-path/%2e%2e/check/gate-attacks/rich",
        "/check-path//check/gate-attacks/rich",
        "/check-path/check/gate-attacks/rich?x=/check/gate-attacks/rich",
    ] {
        assert_eq!(ask(path, &poor).await.status, 402, "{path}");
        assert_eq!(shape(&ask(path, &[]).await), nothing, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_key_learns_nothing_and_no_key_is_logged() {
    let world = &billed().await.world;
    let namespace = world.namespace("gate-keys").await;
    for name in ["acme", "globex", "twin"] {
        account(&namespace, name).await;
    }
    spend(&namespace.account("globex"), "all").await;
    let (key, shared) = ("sk-of-acme-0123456789", "sk-of-two-accounts-0123456789");
    give_key(&namespace, "acme", key).await;
    for name in ["globex", "twin"] {
        give_key(&namespace, name, shared).await;
    }
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("log");
    let log = Stdio::from(File::create(&file).expect("log"));
    let options = ["--namespace", "gate-keys", "--api-key-header", "authorization", "--log-filter", "debug"];
    let gate = Gate::start_with_log(&world.plane.kubeconfig(), &options, log).await;
    let ask = async |headers: &[String]| gate.get("/check", headers).await.expect("an answer");

    let answer = ask(&[bearer(key)]).await;
    assert_eq!((answer.status, answer.header("x-flashgate-account")), (200, Some("gate-keys/acme")));
    let nothing = shape(&ask(&[]).await);
    assert_eq!(nothing.0, 403);
    let named = |name: &str| format!("X-Flashgate-Account: gate-keys/{name}");
    let hash = hash_of(key);
    for attempt in [
        vec![named("acme")],
        vec![named("globex")],
        vec![named("not-there")],
        vec![bearer("sk-of-nowhere"), named("acme")],
        vec![bearer(&hash)],
        vec![bearer(key), bearer("sk-of-nowhere")],
        vec![bearer(&format!("{key},{key}"))],
        vec![bearer(shared)],
    ] {
        assert_eq!(shape(&ask(&attempt).await), nothing, "{attempt:?}");
    }
    gate.stop().await;
    let log = fs::read_to_string(&file).expect("log");
    assert!(
        log.contains("gate-keys/globex") && log.contains("gate-keys/twin"),
        "a key of two accounts: {log}"
    );
    for secret in [key, shared, "sk-of-nowhere", &hash, &hash_of(shared)] {
        assert!(!log.contains(secret), "{secret} is logged: {log}");
    }
}
