//! The pictures of the documentation.

use super::account::{self, NAMESPACE};
use super::served::served;
use super::sign_in::signed_in;
use super::tab::{Screen, Scripts, Theme};
use crate::world::root;

/// Largest size of a picture in bytes.
const LARGEST: usize = 150 * 1_024;

/// Each picture with the path below the account, the screen, the scheme, and the largest height in pixels.
const PICTURES: [(&str, &str, Screen, Theme, u64); 7] = [
    ("overview", "", Screen::Desktop, Theme::Light, 1_300),
    ("overview-dark", "", Screen::Desktop, Theme::Dark, 1_300),
    ("overview-phone", "", Screen::Phone, Theme::Light, 1_700),
    ("plan", "plan", Screen::Desktop, Theme::Light, 1_300),
    ("consumption", "consumption", Screen::Desktop, Theme::Light, 1_100),
    ("history", "history", Screen::Desktop, Theme::Light, 760),
    ("invoice", "invoices", Screen::Desktop, Theme::Light, 1_000),
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
    for (name, path, screen, theme, height) in PICTURES {
        tab.on(screen).await;
        tab.in_theme(theme).await;
        tab.open(&format!("/{NAMESPACE}/acme/{path}")).await;
        if name == "invoice" {
            tab.open_first_invoice().await;
        }
        let picture = tab.picture(height).await;
        assert!(picture.len() <= LARGEST, "{name}: {} bytes", picture.len());
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("picture");
    }
    tab.close().await;
}
