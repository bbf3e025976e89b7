//! The page as a browser without scripts sees it.

mod changes;
mod frame;
mod list;
mod manifests;
mod safety;
mod settings;
mod sign_in;

use axum::body::Body;
use axum::http::{Request, header};
use flashgate_testing::TestAccount;
use serde_json::{Value, json};

use super::fake::{Answered, Fake, TOKEN};
use super::{accounts, settings};
use crate::portal::Settings;

/// The paths of an account's parts.
pub const PARTS: [&str; 8] = ["", "plan", "packs", "consumption", "invoices", "history", "rates", "settings"];

/// The start of the account.
const START: &str = "2026-01-31T10:00:00Z";

/// Starts a portal with the account `team/acme`, which has this ledger, request and status.
fn started_with(settings: Settings, test: &TestAccount, plan: &str, status: &Value) -> Fake {
    let subscription = json!(accounts::subscription(plan, status));
    let ledger = json!(accounts::ledger(test));
    let fake = Fake::start(settings, [("subscriptions/acme", subscription), ("creditledgers/acme", ledger)]);
    fake.content().verdict = Some(json!({"state": "Granted", "credits": "100"}));
    fake
}

/// Starts a portal with the account `team/acme` on the plan `starter`.
fn started() -> Fake {
    started_with(settings(), &TestAccount::on_plan("starter", START), "starter", &accounts::status("1100"))
}

impl Fake {
    /// Loads a page as the tenant.
    async fn load(&self, path: &str) -> Answered {
        self.visit("GET", path, &[("authorization", &format!("Bearer {TOKEN}"))], "").await
    }

    /// Loads a page of `team/acme` as the tenant.
    async fn part(&self, part: &str) -> Answered {
        self.load(&format!("/team/acme/{part}")).await
    }

    /// Sends a form as the tenant, with the secret of a page.
    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answered {
        let secret = hidden(&self.part("settings").await.text, "secret");
        self.submit_with(path, &secret, fields, &[]).await
    }

    /// Sends a form as the tenant, with this secret and these headers.
    async fn submit_with(
        &self,
        path: &str,
        secret: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answered {
        let fields: Vec<_> = [("secret", secret)].into_iter().chain(fields.iter().copied()).collect();
        let body = serde_urlencoded::to_string(fields).expect("form");
        let authorization = format!("Bearer {TOKEN}");
        let all = [("authorization", authorization.as_str()), ("content-type", FORM)];
        let all: Vec<_> = all.into_iter().chain(headers.iter().copied()).collect();
        self.visit("POST", path, &all, &body).await
    }

    /// Sends a request of a browser.
    async fn visit(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8080");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Body::from(body.to_owned())).expect("request")).await
    }
}

/// Content type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// Returns the value of a hidden field of a page.
fn hidden(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&start).unwrap_or_else(|| unreachable!("no field {name} in {page}"));
    rest.split_once('"').expect("end").0.to_owned()
}

/// Returns the path to which an answer redirects.
fn location(answered: &Answered) -> &str {
    assert_eq!(answered.status, 303, "{answered:?}");
    answered.headers[header::LOCATION].to_str().expect("path")
}

/// Returns the text of the element with this test id, including the tags in it.
fn element<'a>(page: &'a str, id: &str) -> Option<&'a str> {
    let (before, after) = page.split_once(&format!("data-testid=\"{id}\""))?;
    let (_, open) = before.rsplit_once('<')?;
    let tag = open.split(' ').next()?;
    let content = after.split_once('>')?.1;
    Some(content.split_once(&format!("</{tag}>"))?.0)
}
