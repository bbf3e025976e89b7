//! YAML to commit instead of a write: by the option `--writes manifests`, and for a visitor without the right.

use flashgate_api::{CreditPack, Subscription};
use flashgate_testing::catalog::monthly;
use kube::api::ListParams;

use super::served::{Page, served};
use super::sign_in::signed_in;
use super::tab::Scripts;
use crate::cluster_account::ClusterAccount;

/// Makes each change at a page. Each shows an object that can be applied, and none changes anything.
async fn shows_objects(
    page: &Page,
    user: &str,
    account: &ClusterAccount<'_>,
    scripts: Scripts,
) -> Option<()> {
    let served = served().await;
    let path = format!("/{}/acme/", account.name);
    let tab = signed_in(page, &served.token(user), scripts, &path).await?;
    let before = account.get::<Subscription>("acme").await;
    for (part, choice, kind, fields) in [
        ("plan", Some("choose-scale-monthly"), "Subscription", ["plan: scale", "name: acme"]),
        ("packs", Some("buy-plus-100"), "CreditPack", ["pack: plus-100", "name: acme"]),
        ("settings/renewal", None, "Subscription", ["renewal: None", "name: acme"]),
    ] {
        tab.open(&format!("{path}{part}")).await;
        if let Some(choice) = choice {
            tab.click(choice).await;
        }
        assert!(tab.all("[data-testid='confirm']").await.is_empty(), "{part} has no button that writes");
        let yaml = tab.value("Manifest").await;
        assert!(yaml.contains(&format!("kind: {kind}")), "{yaml}");
        for field in fields {
            assert!(yaml.contains(field), "{field}: {yaml}");
        }
        assert_eq!(tab.download("a[download]").await, yaml, "the file is the same");
        let dry = account.kubectl(&["apply", "--dry-run=server", "-f", "-"], Some(&yaml)).await;
        assert!(dry.success, "{yaml}\n{}", dry.stderr);
        tab.is_clean().await;
        if scripts == Scripts::On {
            tab.is_accessible().await;
        }
    }
    tab.open(&format!("{path}settings")).await;
    tab.fill("Legal name", "ACME GmbH").await;
    tab.press_within("billing-details", "Show the manifest").await;
    let yaml = tab.value("Manifest").await;
    assert!(yaml.contains("name: ACME GmbH"), "{yaml}");
    assert_eq!(account.get::<Subscription>("acme").await, before, "nothing was written");
    let orders = account.api::<CreditPack>().list(&ListParams::default()).await.expect("list");
    assert!(orders.items.is_empty());
    tab.close().await;
    Some(())
}

#[tokio::test]
async fn each_change_shows_its_object_where_the_page_does_not_write() {
    let served = served().await;
    let account = served.namespace("page-git").await.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    for (scripts, _) in Scripts::BOTH {
        if shows_objects(&served.manifests, "customer", &account, scripts).await.is_none() {
            return;
        }
    }
}

#[tokio::test]
async fn each_change_shows_its_object_to_a_visitor_without_the_right() {
    let served = served().await;
    let account = served.namespace("page-reader").await.account("acme");
    account.subscribe(monthly("starter"), None).await;
    account.balance("1100").await;
    shows_objects(&served.internal, "reader", &account, Scripts::Off).await;
}
