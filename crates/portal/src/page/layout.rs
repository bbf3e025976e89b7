//! The frame of every page: header, navigation, content and footer.

use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, STYLE};
use super::forms::secret_field;
use super::secret::Secret;
use super::session::Session;
use super::visitor::Visitor;
use crate::portal::Portal;

/// The site as a visitor sees it: the path of a proxy, and the secret of forms.
#[derive(Clone)]
pub(crate) struct Site {
    base: String,
    secret: Option<Secret>,
    has_cookies: bool,
}

impl Site {
    /// Returns the site of a visitor who is not signed in.
    pub(crate) fn of(portal: &Portal) -> Self {
        Self { base: portal.base_path().to_owned(), secret: None, has_cookies: false }
    }

    /// Returns the site of a signed-in visitor.
    pub(crate) fn of_session(portal: &Portal, session: &Session) -> Self {
        Self { secret: Secret::of(&session.token), has_cookies: session.has_cookies, ..Self::of(portal) }
    }

    /// Returns a path of this site as a browser needs it.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Returns the hidden field that every form of a signed-in visitor has.
    pub(crate) fn secret_field(&self) -> Markup {
        html! { @if let Some(secret) = &self.secret { (secret_field(&secret.text())) } }
    }
}

/// The parts of an account's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Plan, balance, and the things that need attention.
    Overview,
    /// Plans, and the change to another one.
    Plan,
    /// Packs of credits.
    Packs,
    /// Consumption over time.
    Consumption,
    /// Invoices and payments.
    Invoices,
    /// Every entry of the account.
    History,
    /// The price list.
    Rates,
    /// Billing details, renewal and thresholds.
    Settings,
}

impl Part {
    /// The parts in the order of the navigation.
    pub(crate) const ALL: [Self; 8] = [
        Self::Overview,
        Self::Plan,
        Self::Packs,
        Self::Consumption,
        Self::Invoices,
        Self::History,
        Self::Rates,
        Self::Settings,
    ];

    /// Returns the path below the account.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Overview => "",
            Self::Plan => "plan",
            Self::Packs => "packs",
            Self::Consumption => "consumption",
            Self::Invoices => "invoices",
            Self::History => "history",
            Self::Rates => "rates",
            Self::Settings => "settings",
        }
    }

    /// Returns the name in the navigation.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Plan => "Plan",
            Self::Packs => "Packs",
            Self::Consumption => "Consumption",
            Self::Invoices => "Invoices",
            Self::History => "History",
            Self::Rates => "Rates",
            Self::Settings => "Settings",
        }
    }
}

/// Returns a page about an account. `content` begins with an `h1`.
pub(crate) fn page(visitor: &Visitor, part: Part, title: &str, content: &Markup) -> Markup {
    let caller = &visitor.caller;
    let full_title = format!("{title} - {}/{}", caller.namespace, caller.name);
    let navigation = html! {
        nav class="parts" aria-label="Account" {
            ul {
                @for each in Part::ALL {
                    li {
                        a href=(visitor.part(each)) aria-current=[(each == part).then_some("page")] { (each.name()) }
                    }
                }
            }
        }
    };
    let account = html! {
        p class="account" {
            span class="muted" { (caller.namespace) " / " } strong { (caller.name) }
        }
    };
    document(&visitor.site, &full_title, &account, &navigation, content)
}

/// Returns a page that is not about an account. `content` has an `h1`.
pub(crate) fn bare(site: &Site, title: &str, content: &Markup) -> Markup {
    document(site, title, &html! {}, &html! {}, content)
}

fn document(site: &Site, title: &str, account: &Markup, navigation: &Markup, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " - Billing & Credits" }
                link rel="icon" type="image/svg+xml" href=(ICON.url(&site.base));
                link rel="stylesheet" href=(STYLE.url(&site.base));
            }
            body {
                a class="skip" href="#content" { "Skip to the content" }
                header class="top" {
                    div class="top-inner" {
                        a class="brand" href=(site.path("/")) {
                            img src=(ICON.url(&site.base)) alt="" width="24" height="24";
                            span { "Billing & Credits" }
                        }
                        (account)
                        @if site.has_cookies {
                            form class="sign-out" method="post" action=(site.path("/-/logout")) {
                                (site.secret_field())
                                button class="quiet" type="submit" { "Sign out" }
                            }
                        }
                    }
                }
                (navigation)
                main id="content" tabindex="-1" { (content) }
                footer class="bottom" { p { "All times are in UTC. Credits and amounts are exact." } }
            }
        }
    }
}

/// Returns a table in a region that scrolls by itself on narrow screens. `label` names it for screen readers.
pub(crate) fn table_region(label: &str, table: &Markup) -> Markup {
    html! { div class="table-region" role="group" aria-label=(label) tabindex="0" { (table) } }
}

/// Returns a notice that a part needs a right or an option that is missing.
pub(crate) fn missing(what: &str, remedy: &str) -> Markup {
    html! { p class="notice" { strong { (what) } " " (remedy) } }
}
