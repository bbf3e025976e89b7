//! Every page in light and dark, on a desktop and on a phone, with scripts and without, and by the rules of axe-core.

use flashgate_api::Subscription;

use super::PARTS;
use super::account::{self, NAMESPACE};
use super::served::served;
use super::sign_in::signed_in;
use super::tab::{Screen, Scripts, Tab, Theme};

/// Pages of an account beyond its parts: the effect of each change, and views with parameters.
const DEEPER: [&str; 7] = [
    "plan/scale-yearly",
    "packs/plus-500",
    "settings/renewal",
    "consumption?window=90d&by=repo",
    "consumption?window=90d&by=rate",
    "history?kind=Purchased&text=sprint",
    "rates?rate=public-storage-egress&quantity=250&unit=gb",
];

/// Opens a page in each mode. It must be clean in all, and accessible in each scheme and width.
async fn looks_right(tab: &Tab, path: &str) {
    for theme in [Theme::Light, Theme::Dark] {
        tab.in_theme(theme).await;
        for scripts in [Scripts::Off, Scripts::On] {
            tab.with_scripts(scripts).await;
            tab.open(path).await;
            for screen in [Screen::Phone, Screen::Desktop] {
                tab.on(screen).await;
                tab.is_clean().await;
                if scripts == Scripts::On {
                    tab.is_accessible().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn every_page_is_clean_and_accessible_in_each_scheme_and_width() {
    let served = served().await;
    let account = account::account().await;
    let Some(tab) = served.internal.visit().await else { return };
    looks_right(&tab, "/-/login").await;
    super::sign_in::sign_in(&tab, &served.token("customer")).await;
    looks_right(&tab, "/").await;
    let subscription = account.get::<Subscription>("acme").await.expect("Subscription");
    let number = subscription["status"]["invoices"][0]["number"].as_str().expect("number");
    let invoice = format!("invoices/{number}");
    for part in PARTS.into_iter().chain(DEEPER).chain([invoice.as_str()]) {
        looks_right(&tab, &format!("/{NAMESPACE}/acme/{part}")).await;
    }
    tab.close().await;
}

#[tokio::test]
async fn pages_of_errors_are_accessible_and_say_what_to_do() {
    let served = served().await;
    account::account().await;
    let path = format!("/{NAMESPACE}/acme/");
    let token = served.token("customer");
    let Some(tab) = signed_in(&served.internal, &token, Scripts::On, &path).await else { return };
    for (path, heading) in [
        (format!("{path}nothing"), "Not found"),
        (format!("{path}history?from=yesterday"), "The request cannot be accepted"),
        ("/page-nowhere/acme/".to_owned(), "You may not do this"),
    ] {
        tab.open(&path).await;
        assert_eq!(tab.find("h1").await.text().await.expect("text"), heading, "{path}");
        for (theme, screen) in [(Theme::Light, Screen::Desktop), (Theme::Dark, Screen::Phone)] {
            tab.in_theme(theme).await;
            tab.on(screen).await;
            tab.is_accessible().await;
        }
        tab.press("Show my accounts").await;
    }
    tab.close().await;
}

#[tokio::test]
async fn a_keyboard_reaches_the_content_and_shows_where_it_is() {
    let served = served().await;
    account::account().await;
    let path = format!("/{NAMESPACE}/acme/");
    let Some(tab) = signed_in(&served.internal, &served.token("customer"), Scripts::Off, &path).await else {
        return;
    };
    tab.open(&path).await;
    tab.tabulate().await;
    let focus = "return [document.activeElement.textContent.trim(), getComputedStyle(document.activeElement).outlineStyle \
                 !== 'none', document.activeElement.getBoundingClientRect().top >= 0]";
    assert_eq!(tab.run(focus).await, serde_json::json!(["Skip to the content", true, true]));
    tab.press("Skip to the content").await;
    assert_eq!(tab.run("return document.activeElement.tagName").await, "MAIN");
    // Every element in the order of the keyboard shows that it has the focus.
    tab.open(&path).await;
    let mut seen = Vec::new();
    loop {
        tab.tabulate().await;
        let element = tab.run(FOCUSED).await;
        if element.is_null() || seen.contains(&element) {
            break;
        }
        assert_eq!(element[1], true, "the focus is not visible: {element}");
        seen.push(element);
    }
    assert!(seen.len() > 10, "{seen:#?}");
    tab.close().await;
}

/// Returns place and visibility of the focus, or null outside of the content.
const FOCUSED: &str = "
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    return [element.outerHTML.slice(0, 120) + box.top, style.outlineStyle !== 'none' || style.boxShadow !== 'none'];";

#[tokio::test]
async fn an_invoice_on_paper_has_no_navigation() {
    let served = served().await;
    account::account().await;
    let path = format!("/{NAMESPACE}/acme/invoices");
    let Some(tab) = signed_in(&served.internal, &served.token("customer"), Scripts::Off, &path).await else {
        return;
    };
    tab.open_first_invoice().await;
    tab.on_paper().await;
    let visible = "return [...document.querySelectorAll('nav, header form, button')].filter(element => element.checkVisibility()).length";
    assert_eq!(tab.run(visible).await, 0, "{}", tab.text().await);
    assert!(tab.text().await.contains("ACME GmbH"));
    tab.close().await;
}
