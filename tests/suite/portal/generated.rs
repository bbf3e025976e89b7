//! A client that is generated from the OpenAPI document.

use std::collections::BTreeMap;

use flashgate_testing::catalog::monthly;
use serde_json::{Value, json};

use super::served;
use crate::cluster_account::{egress, now, seconds};
use crate::world::root;

#[tokio::test]
async fn a_client_that_is_generated_from_the_document_makes_every_call() {
    let served = served().await;
    let namespace = served.namespace("portal-generated").await;
    let account = namespace.account("acme");
    let yesterday = seconds(now() - 24 * 3_600, 1).start_time.to_string();
    account.subscribe(monthly("starter"), Some(&yesterday)).await;
    let invoice = account.invoice(0, "Open").await;
    account.apply_payment("evt-1", &invoice, "Settled", "100").await;
    account.balance("1100").await;
    account.report("gw-1", seconds(now() - 2, 1), egress("1G")).await;
    account.balance("1090").await;

    let script = root().join("tests/suite/portal/generated/client.sh");
    let mut command = std::process::Command::new(script);
    command.args([&format!("http://{}", served.external), "portal-generated", "acme"]);
    let output = command.env("TOKEN", served.token("customer")).output().expect("script");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), 23);

    let mut bodies: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for answer in &answers {
        bodies.entry(answer["call"].as_str().expect("call")).or_default().push(&answer["body"]);
    }
    assert_eq!(bodies["get_credits_balance"][0]["data"]["creditBalance"], 1090);
    let transactions: Vec<&Value> =
        bodies["get_credits_transactions"].iter().map(|body| &body["pagination"]["total"]).collect();
    assert_eq!(transactions, [&json!(2), &json!(1), &Value::Null]);
    let states: Vec<&Value> =
        bodies["get_checkout_session_status"].iter().map(|body| &body["status"]).collect();
    assert_eq!(states, [&json!("open"), &json!("open"), &Value::Null]);
    account.status("/spec/renewal", "None").await;
    account.status("/spec/plan", "starter").await;
    let refused: Vec<&Value> =
        answers.iter().filter(|answer| answer["status"] != 200).map(|answer| &answer["status"]).collect();
    assert_eq!(refused, [404, 401, 400, 400]);
}
