//! The page about the portal, with the release that it installs, upgrades and exposes.

use std::fs;
use std::process::{Command, Stdio};

use flashgate_testing::catalog::monthly;
use serde_json::{Value, json};

use super::{Page, release, release_variables, set_environment};
use crate::cluster_account::ClusterAccount;
use crate::free_address::free_address;
use crate::postgres::Postgres;
use crate::suite::chart::pod::{Container, portal_of, start_portal};
use crate::suite::portal::client::Client;
use crate::suite::portal::serve;
use crate::world::{World, wait_until};

/// Returns the container of the portal in the release.
fn portal_container(world: &World) -> Value {
    portal_of(&release(world)).1.clone()
}

/// Runs SQL as the user of a URL. Returns whether PostgreSQL accepted it, and its error.
fn sql(url: &str, statement: &str) -> (bool, String) {
    let mut psql = Command::new(Postgres::programs().join("psql"));
    psql.args([url, "--quiet", "--set", "ON_ERROR_STOP=1", "--command", statement]);
    let output = psql.output().expect("psql");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn the_portal_is_installed_and_exposed_as_the_page_says() {
    let (world, postgres) = (World::empty().await, Postgres::start().await);
    let folder = world.plane.folder().join("page");
    let mut given = release_variables(&world);
    given.extend([
        ("NAMESPACE", "team".to_owned()),
        ("SUBSCRIPTION", "acme".to_owned()),
        ("ADMIN", postgres.admin_url()),
        ("SERVER", postgres.address()),
    ]);
    Page::how_to("install.md", &world, &given).walk("With Helm").await;
    let page = Page::how_to("install-the-portal.md", &world, &given);
    page.walk("Turn it on").await;

    let rendered = release(&world);
    let operator = Container::of(&world, &rendered).start_with_log(&world, Stdio::inherit()).await;
    let (address, _portal) = start_portal(&world, &rendered);
    let account = ClusterAccount::without_subscription(&world, "team").await;
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    wait_until("the portal answers", async || Client::at(address).health().await == Some(200)).await;
    set_environment(&world, &format!("export PORTAL='http://{address}'\n"));
    let printed = page.walk("Give a customer access").await;
    assert!(printed.contains(r#""creditBalance":1100,"#), "{printed}");
    page.walk("Expose it with an Ingress").await;
    page.walk("Let Git be the only source").await;
    let arguments = portal_container(&world)["args"].clone();
    for argument in ["--public-url=https://billing.example.com", "--writes=manifests"] {
        assert!(arguments.as_array().expect("list").contains(&json!(argument)), "{arguments}");
    }
    operator.terminate().await;

    let path = format!("PATH='{}':$PATH\n", Postgres::programs().display());
    set_environment(&world, &path);
    Page::how_to("history-stores.md", &world, &given).walk("PostgreSQL").await;
    let owner = fs::read_to_string(folder.join("url")).expect("URL");
    let _operator = world.operator_with(&[], &[("FLASHGATE_HISTORY", &owner)]);
    account.buy("order-1", "plus-100").await;
    account.balance("1200").await;
    set_environment(&world, &format!("{path}export OWNER='{owner}'\n"));
    page.walk("Read PostgreSQL with a role of its own").await;
    let secret = portal_container(&world)["env"][0]["valueFrom"]["secretKeyRef"].clone();
    assert_eq!(secret, json!({"name": "billing-portal", "key": "url"}));
    let reader = fs::read_to_string(folder.join("portal-url")).expect("URL");
    let address = free_address();
    let _portal = serve(&world, &["--listen", &address.to_string(), "--history", &reader], None);
    wait_until("the role can read", async || Client::at(address).health().await == Some(200)).await;
    for statement in ["DELETE FROM entries", "CREATE TABLE mine (a INTEGER)"] {
        let (done, problem) = sql(&reader, statement);
        assert!(!done && problem.contains("permission denied"), "{statement}: {problem}");
    }
    assert!(sql(&owner, "CREATE TABLE later (a INTEGER)").0);
    assert_eq!(sql(&reader, "SELECT a FROM later"), (true, String::new()), "a table of an upgrade");
    let printed = page.walk("Check that the portal has no rights").await;
    assert_eq!(printed, "no\n");
    page.assert_complete();
}
