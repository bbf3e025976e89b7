//! The pictures of the documentation.

use super::account::{self, NAMESPACE};
use super::served::served;
use super::sign_in::signed_in;
use super::tab::{Screen, Scripts, Theme};
use crate::world::root;

/// Largest size of a picture in bytes.
const LARGEST: usize = 150 * 1_024;

/// Each picture with the path below the account, the screen, and the scheme.
const PICTURES: [(&str, &str, Screen, Theme); 7] = [
    ("overview", "", Screen::Desktop, Theme::Light),
    ("overview-dark", "", Screen::Desktop, Theme::Dark),
    ("overview-phone", "", Screen::Phone, Theme::Light),
    ("plan", "plan", Screen::Desktop, Theme::Light),
    ("consumption", "consumption", Screen::Desktop, Theme::Light),
    ("history", "history", Screen::Desktop, Theme::Light),
    ("invoice", "invoices", Screen::Desktop, Theme::Light),
];

#[tokio::test]
#[ignore = "writes docs/images: cargo test --test suite -- page::pictures --ignored"]
async fn pictures_of_the_documentation() {
    let served = served().await;
    account::account().await;
    let token = served.token("customer");
    let tab = signed_in(&served.internal, &token, Scripts::Off, "/").await.expect("a browser");
    let folder = root().join("docs/images");
    std::fs::create_dir_all(&folder).expect("folder");
    for (name, path, screen, theme) in PICTURES {
        tab.on(screen).await;
        tab.in_theme(theme).await;
        tab.open(&format!("/{NAMESPACE}/acme/{path}")).await;
        if name == "invoice" {
            tab.open_first_invoice().await;
        }
        let picture = tab.picture().await;
        assert!(picture.len() <= LARGEST, "{name}: {} bytes", picture.len());
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("picture");
    }
    tab.close().await;
}
