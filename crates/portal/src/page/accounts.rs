//! The list of accounts that a visitor may see.

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::routing::get;
use flashgate_api::Subscription;
use flashgate_preview::account_clock::AccountClock;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::ResourceExt as _;
use maud::{Markup, html};
use serde::Deserialize;

use super::attention::{Attention, attention};
use super::format::{credits, time};
use super::layout::{Site, bare, missing, table_region};
use super::problem::Problem;
use super::visitor::Guest;
use crate::caller::is_namespace;
use crate::kubernetes::CallError;
use crate::offers::plan_name;
use crate::parameters::{given, parsed};
use crate::portal::Portal;
use crate::refused::Refused;

/// Namespaces that are listed at the same time.
const CONCURRENT_LISTS: usize = 8;

/// Returns the route of the list.
pub(crate) fn routes() -> Router<Portal> {
    Router::new().route("/", get(show))
}

/// The parameters of the list.
#[derive(Debug, Default, Deserialize)]
struct Parameters {
    /// Namespace to list. All of them if it is absent.
    namespace: Option<String>,
    /// The text of Kubernetes that leads to the next accounts.
    more: Option<String>,
}

/// The accounts that were found.
struct Found {
    subscriptions: Vec<Subscription>,
    /// The text that leads to the next accounts. Empty if there are no others.
    more: String,
    /// The right that is missing to list what was asked for.
    missing: Option<String>,
}

async fn show(
    State(portal): State<Portal>,
    guest: Guest,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Result<Markup, Problem> {
    let parameters = parsed(query)?;
    let namespace = given(parameters.namespace.as_ref());
    if namespace.is_some_and(|namespace| !is_namespace(namespace)) {
        let required = "the name of a namespace: lower-case letters, digits and '-'";
        return Err(Refused::parameter("namespace", required).into());
    }
    let found = find(&portal, &guest, namespace, given(parameters.more.as_ref()).unwrap_or_default()).await?;
    Ok(bare(&guest.site, "Accounts", &content(&portal, &guest.site, namespace, &found)))
}

async fn find(portal: &Portal, guest: &Guest, namespace: Option<&str>, more: &str) -> Result<Found, Problem> {
    match portal.kubernetes.list_page(&guest.token, namespace, "", more).await {
        Ok(list) => {
            let more = list.metadata.continue_.unwrap_or_default();
            Ok(Found { subscriptions: list.items, more, missing: None })
        }
        Err(CallError::Forbidden { .. }) => {
            let place =
                namespace.map_or("all namespaces".to_owned(), |namespace| format!("namespace {namespace}"));
            let missing = Some(format!("list subscriptions in {place}"));
            let subscriptions =
                if namespace.is_none() { candidates(portal, guest).await? } else { Vec::new() };
            Ok(Found { subscriptions, more: String::new(), missing })
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the accounts of the namespaces of `--namespaces` that the visitor may list.
async fn candidates(portal: &Portal, guest: &Guest) -> Result<Vec<Subscription>, Problem> {
    let list = |namespace: String| async move {
        let mut found = Vec::new();
        let take = |subscription: Subscription| found.push(subscription);
        match portal.kubernetes.list(&guest.token, &namespace, "", take).await {
            Ok(()) | Err(CallError::Forbidden { .. }) => Ok(found),
            Err(error) => Err(Problem::from(error)),
        }
    };
    let lists = stream::iter(portal.settings.namespaces.clone()).map(list).buffered(CONCURRENT_LISTS);
    let found: Vec<Vec<Subscription>> = lists.try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

fn content(portal: &Portal, site: &Site, namespace: Option<&str>, found: &Found) -> Markup {
    html! {
        div class="page-head" {
            h1 { "Accounts" }
            form class="inline" method="get" action=(site.path("/")) role="search" {
                label for="namespace" { "Namespace" }
                input id="namespace" name="namespace" value=[namespace] maxlength="63" autocomplete="off"
                    autocapitalize="none" spellcheck="false";
                button class="button" type="submit" { "Show" }
                @if namespace.is_some() { a class="button quiet" href=(site.path("/")) { "Show all" } }
            }
        }
        @if let Some(right) = &found.missing {
            (missing(
                &format!("You lack the right '{right}'."),
                if namespace.is_some() { "Ask its administrator for a role such as 'flashgate-tenant'." }
                else { "The list shows only the namespaces that this server knows. Enter another namespace to see its accounts." },
            ))
        }
        @if found.subscriptions.is_empty() {
            @if found.missing.is_none() || namespace.is_none() {
                section class="empty card" {
                    h2 { "No accounts" }
                    p {
                        @if let Some(namespace) = namespace { "The namespace " strong { (namespace) } " has no Subscription." }
                        @else { "There is no Subscription here that you may see." }
                        " An administrator creates the first one with " code { "kubectl apply" } "."
                    }
                }
            }
        } @else {
            (table_region("Accounts", &table(portal, site, &found.subscriptions)))
        }
        @if !found.more.is_empty() {
            p class="pager" { a class="button" rel="next" href=(next(site, namespace, &found.more)) { "Next accounts" } }
        }
    }
}

/// Returns the path of the next accounts.
fn next(site: &Site, namespace: Option<&str>, more: &str) -> String {
    let namespace = namespace.map(|namespace| ("namespace", namespace));
    let parameters: Vec<_> = namespace.into_iter().chain([("more", more)]).collect();
    site.path(&format!("/?{}", serde_urlencoded::to_string(parameters).unwrap_or_default()))
}

fn table(portal: &Portal, site: &Site, subscriptions: &[Subscription]) -> Markup {
    html! {
        table class="data accounts" {
            caption class="hidden" { "Accounts that you may see" }
            thead {
                tr {
                    th scope="col" { "Account" }
                    th scope="col" { "Plan" }
                    th scope="col" class="number" { "Balance" }
                    th scope="col" { "Renews" }
                    th scope="col" { "Attention" }
                }
            }
            tbody {
                @for subscription in subscriptions { (row(portal, site, subscription)) }
            }
        }
    }
}

fn row(portal: &Portal, site: &Site, subscription: &Subscription) -> Markup {
    let (namespace, name) = (subscription.namespace().unwrap_or_default(), subscription.name_any());
    let status = subscription.status.clone().unwrap_or_default();
    let balance = status.credits.as_ref().and_then(|left| left.balance.as_str().parse().ok());
    // Only the ledger says whether a test clock is accepted, and the list reads no ledgers.
    let clock = AccountClock::of(Some(subscription), None, true, portal.clock.now());
    let found = attention(portal.catalog(), subscription, clock.now);
    html! {
        tr data-testid="account-row" {
            th scope="row" {
                a href=(site.path(&format!("/{namespace}/{name}/"))) { (name) }
                span class="muted block" { (namespace) }
            }
            td {
                @if let Some(plan) = &status.plan { (plan_name(portal.catalog(), plan)) }
                @else { span class="muted" { "None" } }
            }
            td class="number" { @if let Some(balance) = balance { (credits(balance)) } @else { "-" } }
            td { @if let Some(renewal) = status.renewal_time { (time(renewal)) } @else { "-" } }
            td { @for each in &found { (badge(each)) " " } @if found.is_empty() { span class="muted" { "None" } } }
        }
    }
}

fn badge(attention: &Attention) -> Markup {
    html! { span class={ "badge " (attention.severity.class()) } { (attention.label) } }
}
