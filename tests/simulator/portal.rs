//! The portal's API on the cluster of a run: its numbers equal the ledgers' (invariant I10).
//!
//! The answers are those of the real router. It reads the objects of the run and, if the run has a history without gaps,
//! a real store of SQLite with its entries and usage.

use std::sync::Arc;

use axum::body::Body as RequestBody;
use flashgate_cluster::clock::Clock;
use flashgate_history::{Batch, HistoryUrl, Store as HistoryStore};
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::invoice::invoice_name;
use flashgate_ledger::ledger::Ledger;
use flashgate_portal::history::History;
use flashgate_portal::history::store::StoreHistory;
use flashgate_portal::kubernetes::Kubernetes;
use flashgate_portal::{Portal, Settings, Writes};
use flashgate_preview::convert::ledger_from_wire;
use flashgate_testing::simulated::{Object, ObjectKind, Store};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::oracle::{NAMESPACE, Violation, key};

/// Transactions of a page, the most that the API allows.
const PAGE: usize = 100;

/// Smallest units of the currency in one.
const CENTS: Decimal = Decimal::ONE_HUNDRED;

/// Months for which a ledger has sums.
const MONTHS: usize = 24;

/// Checks every account that has a Subscription and a ledger. `recorded` are the batches of the run's history.
pub fn check(store: &Store, catalog: &Catalog, recorded: Option<&[Batch]>) -> Result<(), Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Violation(format!("I10: {error}")))?;
    runtime.block_on(async {
        let folder = tempfile::tempdir().map_err(|error| Violation(format!("I10: {error}")))?;
        let history = match recorded {
            Some(batches) => Some(history_of(folder.path(), batches).await?),
            None => None,
        };
        let has_history = history.is_some();
        let api = Api::of(store, catalog, history);
        for object in store.objects() {
            let Object::CreditLedger(stored) = object else { continue };
            let name = object.key().name;
            let has_subscription = store.get(&key(ObjectKind::Subscription, &name)).is_some();
            // A ledger that somebody changed is refused until it is accepted.
            let Ok(ledger) = ledger_from_wire(&name, &stored.spec) else { continue };
            if has_subscription {
                let account = Account { name: &name, id: &stored.spec.account, ledger: &ledger };
                api.check(&account, has_history).await?;
            }
        }
        Ok(())
    })
}

/// Records the batches in a new store.
async fn history_of(folder: &std::path::Path, batches: &[Batch]) -> Result<Arc<dyn History>, Violation> {
    let unavailable = |error: &dyn std::error::Error| Violation(format!("I10: {error}"));
    let url = HistoryUrl::Sqlite(folder.join("history.db"));
    let store = HistoryStore::open(&url).map_err(|error| unavailable(&error))?;
    let store = store.ok_or_else(|| Violation("I10: no store".to_owned()))?;
    store.migrate().await.map_err(|error| unavailable(&error))?;
    store.record(batches).await.map_err(|error| unavailable(&error))?;
    Ok(Arc::new(StoreHistory::new(store)))
}

/// An account with the ledger that the API must agree with.
struct Account<'a> {
    name: &'a str,
    id: &'a str,
    ledger: &'a Ledger,
}

/// The API before an API server that holds the objects of a run.
struct Api {
    router: axum::Router,
}

impl Api {
    fn of(store: &Store, catalog: &Catalog, history: Option<Arc<dyn History>>) -> Self {
        let now = store.now();
        let objects = store.clone();
        let server = tower::service_fn(move |request: Request<Body>| {
            let (status, answer) = read(&objects, request.uri());
            let answer = Body::from(answer.to_string().into_bytes());
            let response =
                Response::builder().status(status).header("content-type", "application/json").body(answer);
            async move { response }
        });
        let settings = Settings {
            catalog: catalog.clone(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            public_url_is_known: false,
            namespaces: Vec::new(),
            writes: Writes::Api,
            requests_per_second: 0,
        };
        let kubernetes = Kubernetes::new(Client::new(server, NAMESPACE));
        let portal = Portal::new(settings, kubernetes, history, Clock::from_fn(move || now));
        Self { router: flashgate_portal::router(portal) }
    }

    /// Returns the answer to a call about an account.
    async fn get<T: DeserializeOwned>(&self, name: &str, call: &str) -> Result<T, Violation> {
        let request = Request::builder()
            .uri(format!("/api/{NAMESPACE}/{name}/{call}"))
            .header("authorization", "Bearer t0ken")
            .body(RequestBody::empty())
            .map_err(|error| Violation(format!("I10: {error}")))?;
        let Ok(response) = self.router.clone().oneshot(request).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        let bytes = bytes.unwrap_or_default();
        let refused = || Violation(format!("I10: {call} of {name} answers {status} {bytes:?}"));
        if status != 200 {
            return Err(refused());
        }
        serde_json::from_slice(&bytes).map_err(|_| refused())
    }

    async fn check(&self, account: &Account<'_>, has_history: bool) -> Result<(), Violation> {
        let Account { name, ledger, .. } = *account;
        let call = "credits/balance";
        let BalanceAnswer { data } = self.get(name, call).await?;
        equal(name, call, data.credit_balance, ledger.totals.balance().unwrap_or_default())?;
        self.check_months(name, ledger).await?;
        self.check_payments(account).await?;
        if has_history { self.check_transactions(name, ledger).await } else { Ok(()) }
    }

    async fn check_months(&self, name: &str, ledger: &Ledger) -> Result<(), Violation> {
        let call = format!("credits/stats/monthly?months={MONTHS}");
        let MonthlyAnswer { data: months } = self.get(name, &call).await?;
        ensure(months.len() == MONTHS, || format!("{call} of {name} has {} months", months.len()))?;
        for month in months {
            let kept =
                ledger.months.iter().find(|kept| month.first_day.starts_with(&kept.first_day.to_string()));
            let sums = kept.map(|kept| kept.sums).unwrap_or_default();
            let grants = Credits::sum([sums.granted, sums.adjusted]).unwrap_or_default();
            let place = |field: &str| format!("{field} of {}", month.first_day);
            equal(name, &place("consumption"), month.consumption, sums.consumed)?;
            equal(name, &place("purchases"), month.purchases, sums.purchased)?;
            equal(name, &place("grants"), month.grants, grants)?;
        }
        Ok(())
    }

    async fn check_payments(&self, account: &Account<'_>) -> Result<(), Violation> {
        let Account { name, id, ledger } = *account;
        let PaymentsAnswer { data: payments } = self.get(name, "subscriptions/payments").await?;
        for invoice in &ledger.invoices {
            let number = invoice_name(name, id, invoice.number);
            let found = payments.iter().find(|payment| payment.id == number);
            let found = found.map(|payment| payment.amount.0.decimal());
            let cents = invoice.amount.decimal() * CENTS;
            ensure(found == Some(cents), || {
                format!("the payment of {number} is {found:?}, not {cents} cents")
            })?;
        }
        Ok(())
    }

    async fn check_transactions(&self, name: &str, ledger: &Ledger) -> Result<(), Violation> {
        let (mut items, mut page) = (Vec::new(), 1);
        let total = loop {
            let call = format!("credits/transactions?limit={PAGE}&page={page}");
            let TransactionsAnswer { data, pagination } = self.get(name, &call).await?;
            let is_last = data.len() < PAGE;
            items.extend(data);
            if is_last {
                break pagination.total;
            }
            page += 1;
        };
        ensure(total == items.len(), || format!("{name} has {} transactions of {total}", items.len()))?;
        let totals = ledger.totals;
        for (kind, expected) in [
            ("consumption", Ok(totals.consumed.negated())),
            ("purchase", Ok(totals.purchased)),
            ("grant", Credits::sum([totals.granted, totals.adjusted])),
        ] {
            let amounts = items.iter().filter(|item| item.kind == kind).map(|item| item.credit_amount.0);
            let sum = Credits::sum(amounts);
            ensure(sum == expected, || {
                format!("the transactions of {name} have {sum:?} of {kind}, and the ledger {expected:?}")
            })?;
        }
        Ok(())
    }
}

/// An amount with all digits of a JSON number.
struct Amount(Credits);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Box::<RawValue>::deserialize(deserializer)?;
        number.get().parse().map(Self).map_err(de::Error::custom)
    }
}

#[derive(Deserialize)]
struct BalanceAnswer {
    data: Balance,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Balance {
    credit_balance: Amount,
}

#[derive(Deserialize)]
struct MonthlyAnswer {
    data: Vec<Month>,
}

#[derive(Deserialize)]
struct Month {
    #[serde(rename = "month")]
    first_day: String,
    consumption: Amount,
    purchases: Amount,
    grants: Amount,
}

#[derive(Deserialize)]
struct PaymentsAnswer {
    data: Vec<Payment>,
}

#[derive(Deserialize)]
struct Payment {
    id: String,
    amount: Amount,
}

#[derive(Deserialize)]
struct TransactionsAnswer {
    data: Vec<Transaction>,
    pagination: Pagination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    #[serde(rename = "type")]
    kind: String,
    credit_amount: Amount,
}

#[derive(Deserialize)]
struct Pagination {
    total: usize,
}

fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation(format!("I10: {}", text()))) }
}

fn equal(name: &str, place: &str, Amount(found): Amount, expected: Credits) -> Result<(), Violation> {
    ensure(found == expected, || {
        format!("{place} of {name} is {found} in the API and {expected} in the ledger")
    })
}

/// Answers the portal's reads: an object, or the pending reports of a Subscription.
fn read(store: &Store, uri: &http::Uri) -> (u16, Value) {
    let place = format!("/apis/billing.flashgate.dev/v1alpha1/namespaces/{NAMESPACE}/");
    let path = uri.path().strip_prefix(&place).unwrap_or_default();
    let missing = json!({"kind": "Status", "apiVersion": "v1", "code": 404, "reason": "NotFound"});
    let found = match path.split_once('/') {
        Some(("subscriptions", name)) => store.get(&key(ObjectKind::Subscription, name)).map(Object::to_json),
        Some(("creditledgers", name)) => store.get(&key(ObjectKind::CreditLedger, name)).map(Object::to_json),
        _ if path == "usagereports" => Some(pending_reports(store, uri.query().unwrap_or_default())),
        _ => None,
    };
    found.map_or((404, missing), |found| (200, found))
}

fn pending_reports(store: &Store, query: &str) -> Value {
    let is_asked = |object: &&Object| match object {
        Object::UsageReport(report) => {
            let name = &report.spec.subscription_ref.name;
            object.is_selected() && query.contains(&format!("spec.subscriptionRef.name%3D{name}%2C"))
        }
        _ => false,
    };
    let items: Vec<Value> = store.objects().filter(is_asked).map(Object::to_json).collect();
    json!({
        "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "UsageReportList", "metadata": {}, "items": items,
    })
}
