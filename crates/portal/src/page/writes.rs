//! The two ways of a change: the page writes it, or shows the object to apply.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use flashgate_api::{CreditPack, Subscription};
use maud::{Markup, html};
use serde_json::Value;

use super::visitor::Visitor;
use crate::account::Account;
use crate::caller::Caller;
use crate::changes::Change;
use crate::manifest;
use crate::portal::{Portal, Writes};
use crate::refused::{ErrorCode, Refused};

/// The way in which a change is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The page writes it with the visitor's token.
    Write,
    /// The page shows the object to apply.
    Manifest(Reason),
}

/// Why the page does not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// `--writes manifests`.
    Setting,
    /// The visitor lacks this right.
    MissingRight(&'static str),
}

impl Way {
    /// Returns the way of a change of the Subscription.
    ///
    /// # Errors
    /// When Kubernetes does not answer.
    pub(crate) async fn of_change(portal: &Portal, caller: &Caller) -> Result<Self, Refused> {
        if portal.settings.writes == Writes::Manifests {
            return Ok(Self::Manifest(Reason::Setting));
        }
        let Caller { token, namespace, name } = caller;
        let may = portal.kubernetes.may::<Subscription>(token, "patch", namespace, name).await?;
        Ok(if may { Self::Write } else { Self::Manifest(Reason::MissingRight("patch subscriptions")) })
    }

    /// Returns the way of a purchase.
    ///
    /// # Errors
    /// When Kubernetes does not answer.
    pub(crate) async fn of_purchase(portal: &Portal, caller: &Caller) -> Result<Self, Refused> {
        if portal.settings.writes == Writes::Manifests {
            return Ok(Self::Manifest(Reason::Setting));
        }
        let Caller { token, namespace, .. } = caller;
        // The page reads the order after its creation.
        for (verb, right) in [("create", "create creditpacks"), ("get", "get creditpacks")] {
            if !portal.kubernetes.may::<CreditPack>(token, verb, namespace, "").await? {
                return Ok(Self::Manifest(Reason::MissingRight(right)));
            }
        }
        Ok(Self::Write)
    }

    /// Returns the way after a refusal of a write: the object, if the right is missing.
    pub(crate) fn after(refused: &Refused, right: &'static str) -> Option<Self> {
        match refused.code {
            ErrorCode::WritesByManifest => Some(Self::Manifest(Reason::Setting)),
            ErrorCode::Forbidden => Some(Self::Manifest(Reason::MissingRight(right))),
            _ => None,
        }
    }
}

/// The result of a change of the Subscription.
pub(crate) enum Changed {
    /// It is written.
    Made(Box<Subscription>),
    /// It is not written. This is the object to apply.
    Shown(Value, Reason),
}

/// Changes the Subscription, or returns the object to apply if this server does not write or the visitor may not.
///
/// # Errors
/// When a call fails, or `decide` refuses the change.
pub(crate) async fn change(
    portal: &Portal,
    caller: &Caller,
    mut decide: impl FnMut(&Account) -> Result<Option<Change>, Refused>,
) -> Result<Changed, Refused> {
    let mut object = None;
    let decide_and_note = |account: &Account| {
        let change = decide(account)?;
        object = change.as_ref().map(|change| manifest::of_change(&account.subscription, &change.spec));
        Ok(change)
    };
    match portal.change_account(caller, decide_and_note).await {
        Ok((_, subscription)) => Ok(Changed::Made(Box::new(subscription))),
        Err(refused) => match (Way::after(&refused, "patch subscriptions"), object) {
            (Some(Way::Manifest(reason)), Some(object)) => Ok(Changed::Shown(object, reason)),
            _ => Err(refused),
        },
    }
}

/// Returns the object to apply as text to copy, with the steps to take. `download` is the path of the same text as a
/// file.
pub(crate) fn instructions(
    visitor: &Visitor,
    object: &Value,
    reason: &Reason,
    download: Option<&str>,
) -> Markup {
    let yaml = manifest::yaml(object).unwrap_or_default();
    let rows = yaml.lines().count().clamp(6, 24);
    html! {
        section class="manifest" aria-labelledby="manifest-title" {
            h2 id="manifest-title" { "Apply this object" }
            p {
                @match reason {
                    Reason::Setting => "This page makes no changes itself. Commit the object to the Git repository of this namespace; your GitOps tool applies it.",
                    Reason::MissingRight(right) => {
                        "You lack the right " code { (right) } ". Commit the object to Git, or give it to someone who may run "
                        code { "kubectl apply --namespace " (visitor.caller.namespace) " --filename FILE" } "."
                    },
                }
            }
            label for="manifest" { "Manifest" }
            textarea id="manifest" class="code" readonly rows=(rows) spellcheck="false" { (yaml) }
            @if let Some(path) = download {
                p class="actions" { a class="button" href=(path) download { "Download YAML" } }
            }
        }
    }
}

/// Returns an object as a file to download.
pub(crate) fn file(object: &Value) -> Response {
    let mut response = manifest::yaml(object).unwrap_or_default().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml; charset=utf-8"));
    let disposition = HeaderValue::from_static("attachment; filename=\"manifest.yaml\"");
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    response
}
