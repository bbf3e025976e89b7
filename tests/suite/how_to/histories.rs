//! The pages about histories, with SQLite and with a private server of PostgreSQL.

use std::fs;
use std::path::Path;
use std::process::Command;

use flashgate_api::Subscription;
use flashgate_testing::catalog::monthly;
use serde_json::{Value, json};

use super::{Page, release_variables, set_environment};
use crate::cluster_account::ClusterAccount;
use crate::postgres::Postgres;
use crate::world::{Operator, World, wait_until};

/// The program, whose folder is the variable `PROGRAM` of the pages.
const PROGRAM: &str = env!("CARGO_BIN_EXE_flashgate-billing");

/// Returns the folder of the program.
fn program_folder() -> String {
    Path::new(PROGRAM).parent().expect("folder").display().to_string()
}

/// Starts an operator that records into a store.
fn operator(world: &World, history: &str) -> Operator {
    world.operator_with(&[], &[("FLASHGATE_HISTORY", history)])
}

/// Returns the variables of a page about the account `acme`.
fn variables(account: &ClusterAccount<'_>, history: &str) -> Vec<(&'static str, String)> {
    vec![
        ("NAMESPACE", account.name.clone()),
        ("SUBSCRIPTION", "acme".to_owned()),
        ("PROGRAM", program_folder()),
        ("HISTORY", history.to_owned()),
    ]
}

/// Waits until the operator has recorded every entry of the cluster.
async fn recorded(world: &World, history: &str) {
    wait_until("every entry is recorded", async || {
        let mut verify = Command::new(PROGRAM);
        verify.args(["history", "verify", "--history", history]).env("KUBECONFIG", world.plane.kubeconfig());
        let output =
            tokio::task::spawn_blocking(move || verify.output()).await.expect("joined").expect("runs");
        output.status.success()
    })
    .await;
}

/// Returns the lines of an export of a store in JSON.
fn exported(history: &str) -> String {
    let arguments = ["history", "export", "--history", history, "--format", "jsonl"];
    let output = Command::new(PROGRAM).args(arguments).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the kinds of the entries in lines of JSON.
fn kinds(lines: &str) -> Vec<String> {
    let entries = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    entries.map(|entry| entry["kind"].as_str().expect("kind").to_owned()).collect()
}

#[tokio::test]
async fn the_history_of_an_account_is_where_the_page_says() {
    let world = World::start().await;
    let history = format!("sqlite:{}", world.plane.folder().join("history.db").display());
    let _operator = operator(&world, &history);
    let account = ClusterAccount::without_subscription(&world, "history-page").await;
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    let page = Page::how_to("see-the-history.md", &world, &variables(&account, &history));
    let printed = page.walk("Events").await;
    assert!(printed.contains("1100 credits of plan 'starter'"), "{printed}");
    let printed = page.walk("The last entries").await;
    assert_eq!(kinds(&printed), ["Invoiced", "Settled", "Granted"]);
    let printed = page.walk("Statements").await;
    assert!(printed.contains(r#""granted":"1100""#), "{printed}");
    // It waits until the operator has recorded.
    let printed = page.walk("Check that nothing is missing").await;
    assert_eq!(printed, "1 accounts, 3 entries: no gap\n");
    let printed = page.walk("Every entry").await;
    assert_eq!(kinds(&printed), ["Invoiced", "Settled", "Granted"]);
    page.assert_complete();
}

#[tokio::test]
async fn a_history_moves_from_sqlite_to_postgresql_as_the_page_says() {
    let (world, postgres) = (World::empty().await, Postgres::start().await);
    let folder = world.plane.folder().join("page");
    let mut given = release_variables(&world);
    let sqlite = format!("sqlite:{}", folder.join("history.db").display());
    given.extend([
        ("ADMIN", postgres.admin_url()),
        ("SERVER", postgres.address()),
        ("SQLITE", sqlite.clone()),
        ("NAMESPACE", "team".to_owned()),
        ("SUBSCRIPTION", "acme".to_owned()),
        ("PROGRAM", program_folder()),
    ]);
    let path = format!("PATH='{}':$PATH\n", Postgres::programs().display());
    set_environment(&world, &path);
    Page::how_to("install.md", &world, &given).walk("With Helm").await;

    let in_file = operator(&world, &sqlite);
    let account = ClusterAccount::without_subscription(&world, "team").await;
    let details = json!({"plan": "starter", "billingDetails": {"name": "Mira Musterfrau"}});
    account.create::<Subscription>("acme", details).await;
    account.balance("1100").await;
    in_file.terminate().await;
    assert!(exported(&sqlite).contains("Mira Musterfrau"));

    let page = Page::how_to("history-stores.md", &world, &given);
    page.walk("PostgreSQL").await;
    let url = fs::read_to_string(folder.join("url")).expect("URL");
    set_environment(&world, &format!("{path}export POSTGRES='{url}'\n"));
    let _operator = operator(&world, &url);
    account.buy("order-1", "plus-100").await;
    account.balance("1200").await;
    page.walk("Move from SQLite to PostgreSQL").await;
    let job = account
        .kubectl(&["get", "job", "copy-history", "--namespace", "flashgate-billing", "-o", "json"], None);
    let job: Value = serde_json::from_str(&job.await.succeeded().expect("job")).expect("JSON");
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["history", "copy", "sqlite:/history/history.db", "$(TO)"]));

    let printed = page.walk("Copy and verify on a machine").await;
    assert!(printed.ends_with(" entries: no gap\n"), "{printed}");
    let kinds = kinds(&exported(&url));
    assert_eq!(kinds[..3], ["Invoiced", "Settled", "Granted"]);
    assert!(kinds.contains(&"Purchased".to_owned()) && !kinds.contains(&"Opening".to_owned()), "{kinds:?}");

    page.walk("Erase a person's billing details").await;
    assert!(!exported(&url).contains("Mira Musterfrau"));
    let printed = page.walk("Copy and verify on a machine").await;
    assert!(printed.ends_with(" entries: no gap\n"), "{printed}");
    page.assert_complete();
}

#[tokio::test]
async fn a_history_is_backed_up_and_restored_as_the_page_says() {
    let (world, postgres) = (World::start().await, Postgres::start().await);
    let mut given = release_variables(&world);
    let file = world.plane.folder().join("page/history.db").display().to_string();
    let (sqlite, url) = (format!("sqlite:{file}"), postgres.admin_url());
    given.extend([
        ("FILE", file),
        ("SQLITE", sqlite.clone()),
        ("POSTGRES", url.clone()),
        ("PROGRAM", program_folder()),
    ]);
    let page = Page::how_to("back-up-the-history.md", &world, &given);
    let account = ClusterAccount::without_subscription(&world, "team").await;
    account.subscribe(monthly("starter"), None).await;
    for (history, steps, order, balance) in [
        (sqlite, ["Back up SQLite", "Restore SQLite"], "order-1", "1200"),
        (url, ["Back up PostgreSQL", "Restore PostgreSQL"], "order-2", "1300"),
    ] {
        let [back_up, restore] = steps;
        let environment =
            format!("PATH='{}':$PATH\nexport HISTORY='{history}'\n", Postgres::programs().display());
        set_environment(&world, &environment);
        let before = operator(&world, &history);
        recorded(&world, &history).await;
        page.walk(back_up).await;
        // The backup does not have this entry, but the ledger has it.
        account.buy(order, "plus-100").await;
        account.balance(balance).await;
        recorded(&world, &history).await;
        let later = exported(&history);
        before.terminate().await;
        page.walk(restore).await;
        assert_ne!(exported(&history), later);
        let _after = operator(&world, &history);
        recorded(&world, &history).await;
        let printed = page.walk("Verify").await;
        assert!(printed.ends_with(" entries: no gap\n"), "{printed}");
        assert_eq!(exported(&history), later);
    }
    page.assert_complete();
}
