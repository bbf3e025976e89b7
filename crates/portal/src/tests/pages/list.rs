//! The list of accounts.

use serde_json::json;

use super::{START, element, started, started_with};
use crate::portal::Settings;
use crate::tests::{accounts, settings};

/// The call that lists the accounts of all namespaces.
const ALL: &str = "list subscriptions in all namespaces";

#[tokio::test]
async fn all_accounts_are_listed_with_their_figures() {
    let fake = started();
    let page = fake.load("/").await.text;
    let row = element(&page, "account-row").expect("row");
    for text in ["href=\"/team/acme/\"", "team", "Starter", "1,100"] {
        assert!(row.contains(text), "{text}: {row}");
    }
    let row = fake.load("/?namespace=team").await.text;
    assert!(element(&row, "account-row").is_some());
}

#[tokio::test]
async fn without_the_right_to_list_all_the_known_namespaces_are_listed() {
    let settings = Settings { namespaces: vec!["team".to_owned()], ..settings() };
    let test = flashgate_testing::TestAccount::on_plan("starter", START);
    let fake = started_with(settings, &test, "starter", &accounts::status("1100"));
    fake.content().forbidden = vec![ALL];
    let page = fake.load("/").await.text;
    assert!(element(&page, "account-row").is_some(), "{page}");
    assert!(page.contains(ALL) && page.contains("name=\"namespace\""));
    fake.content().forbidden = vec![ALL, "list subscriptions"];
    let page = fake.load("/").await.text;
    assert!(element(&page, "account-row").is_none() && page.contains("No accounts"), "{page}");
    let page = fake.load("/?namespace=team").await.text;
    assert!(page.contains("list subscriptions in namespace team"), "{page}");
}

#[tokio::test]
async fn a_malformed_namespace_is_refused() {
    let fake = started();
    for namespace in ["UPPER", "a%2Fb", "..", "a%20b"] {
        let answered = fake.load(&format!("/?namespace={namespace}")).await;
        assert_eq!(answered.status, 400, "{namespace}");
        assert!(answered.text.contains("must be the name of a namespace"));
    }
    assert!(fake.content().calls.is_empty());
}

#[tokio::test]
async fn things_that_need_attention_are_named() {
    let mut status = accounts::status("-30");
    status["credits"]["debt"] = json!("30");
    let test = flashgate_testing::TestAccount::on_plan("starter", START);
    let fake = started_with(settings(), &test, "starter", &status);
    let page = fake.load("/").await.text;
    let row = element(&page, "account-row").expect("row");
    assert!(row.contains("-30") && row.contains("Debt"), "{row}");
}
