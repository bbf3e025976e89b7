//! `getCreditsTransactions` and `getCreditsConsumption`.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use flashgate_ledger::rating;
use flashgate_ledger::{Credits, Quantity, catalog::Catalog};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AccountErrors, AccountPath};
use crate::account::Account;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::history::{
    Cause, Direction, Transaction, TransactionPage, TransactionQuery, Usage, UsageLine, ledger_only,
};
use crate::number::{Number, Success, Time};
use crate::offers::{RateWords, pack_name, plan_name};
use crate::parameters::{choice, given, parsed, range, whole};
use crate::portal::Portal;
use crate::refused::Refused;

/// Most transactions of a page.
pub const LARGEST_PAGE: u32 = 1000;

/// Transactions of a page, unless the query says otherwise.
const PAGE: u32 = 50;

/// Parameters of `getCreditsTransactions`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub struct TransactionParameters {
    /// Number of the page, from 1. Default: 1.
    #[param(value_type = Option<u32>, minimum = 1)]
    page: Option<String>,
    /// Transactions of a page, from 1 to 1,000. Default: 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// `in` (grants and purchases), `out` (consumption) or `all`. Default: `all`.
    #[param(value_type = Option<Direction>, inline)]
    direction: Option<String>,
    /// First day or time, such as `2026-01-31` or `2026-01-31T10:00:00Z`.
    start_date: Option<String>,
    /// Last day or time. A day is included as a whole.
    end_date: Option<String>,
    /// Value of the label `repo`. Only consumption has it.
    repo_id: Option<String>,
}

/// Transactions of an account, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionsAnswer {
    #[schema(value_type = bool)]
    success: Success,
    data: Vec<TransactionItem>,
    pagination: Pagination,
    /// False if there is no history: `data` then has only the entries that the ledger keeps. Otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    history_available: Option<bool>,
    /// Rights that the caller lacks. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_rights: Vec<&'static str>,
}

/// The place of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pagination {
    /// Transactions on all pages.
    total: u64,
    /// Number of the page, from 1.
    page: u32,
    /// Most transactions of a page.
    limit: u32,
}

/// Kind of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum TransactionType {
    /// Usage was charged.
    Consumption,
    /// The credits of a pack arrived.
    Purchase,
    /// The credits of a plan or of an administrator arrived.
    Grant,
}

/// A transaction.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionItem {
    /// Identifier within the account.
    id: String,
    /// Credits: negative for consumption. They are the whole charge, also if expired credits paid a part of it.
    #[schema(value_type = f64)]
    credit_amount: Number,
    /// Time at which it took effect.
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// Description in a sentence.
    #[schema(required)]
    description: Option<String>,
    /// Kind of the transaction.
    #[serde(rename = "type")]
    kind: TransactionType,
    /// Type of the node of the usage, such as `Public Node`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rate_type: Option<String>,
    /// Concept of the rate of the usage, such as `Per GB Egress`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rate_concept: Option<String>,
    /// Credits for one unit of the concept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<f64>)]
    rate_used: Option<Number>,
    /// Label `repo` of the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    repo_id: Option<String>,
    /// Label `bucket` of the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    unit_id: Option<String>,
    /// Label `host` of the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    host: Option<String>,
    /// Label `provider` of the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    llm_type: Option<String>,
    /// Label `model` of the usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    llm_model: Option<String>,
    /// Display name of the plan of a grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    subscription_name: Option<String>,
    /// Display name of the pack of a purchase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pack_name: Option<String>,
}

/// Returns grants, purchases and consumption of an account, newest first.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/credits/transactions",
    operation_id = "getCreditsTransactions",
    tag = "credits",
    params(AccountPath, TransactionParameters),
    responses((status = 200, description = "A page of transactions", body = TransactionsAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn get_credits_transactions(
    State(portal): State<Portal>,
    caller: Caller,
    query: Result<Query<TransactionParameters>, QueryRejection>,
) -> Result<Answer<TransactionsAnswer>, Refused> {
    let account = portal.account(&caller).await?;
    let (page, query) = query_of(&parsed(query)?)?;
    let found = match portal.with_history(&caller, &account) {
        Some((history, key)) => history.transactions(&key, &query).await.inspect_err(super::log_history).ok(),
        None => None,
    };
    Ok(Answer(answer(portal.catalog(), &account, page, &query, found)))
}

/// Returns the number of the page, and the query.
fn query_of(parameters: &TransactionParameters) -> Result<(u32, TransactionQuery), Refused> {
    let TransactionParameters { page, limit, direction, start_date, end_date, repo_id } = parameters;
    let page = whole("page", page.as_ref(), (1, u32::MAX), 1)?;
    let limit = whole("limit", limit.as_ref(), (1, LARGEST_PAGE), PAGE)?;
    let choices = [("in", Direction::In), ("out", Direction::Out), ("all", Direction::All)];
    let (from, to) = range(start_date.as_ref(), end_date.as_ref())?;
    let query = TransactionQuery {
        direction: choice("direction", direction.as_ref(), &choices, Some(Direction::All))?,
        from,
        to,
        repo: given(repo_id.as_ref()).map(str::to_owned),
        offset: u64::from(page.saturating_sub(1)) * u64::from(limit),
        limit,
    };
    Ok((page, query))
}

/// Returns the page of the history, or else of the ledger's entries.
fn answer(
    catalog: &Catalog,
    account: &Account,
    page: u32,
    query: &TransactionQuery,
    found: Option<TransactionPage>,
) -> TransactionsAnswer {
    let has_history = found.is_some();
    let of_ledger = || {
        let entries = account.book.known().map(|book| book.entries.as_slice()).unwrap_or_default();
        ledger_only::transactions(entries, query)
    };
    let TransactionPage { transactions, total } = found.unwrap_or_else(of_ledger);
    let missing = account.book.missing_right().filter(|_| !has_history);
    TransactionsAnswer {
        success: Success,
        data: transactions.into_iter().map(|transaction| item(catalog, transaction)).collect(),
        pagination: Pagination { total, page, limit: query.limit },
        history_available: (!has_history).then_some(false),
        missing_rights: missing.into_iter().collect(),
    }
}

fn item(catalog: &Catalog, transaction: Transaction) -> TransactionItem {
    let label = |name: &str| transaction.label(name).map(str::to_owned);
    let (kind, description) = match &transaction.cause {
        Cause::Usage(usage) => (TransactionType::Consumption, describe_usage(usage)),
        Cause::Plan { plan, period_number } => {
            (TransactionType::Grant, format!("{}, period {period_number}", plan_name(catalog, plan)))
        }
        Cause::Adjustment { reason } => (TransactionType::Grant, reason.clone()),
        Cause::Pack { pack } => (TransactionType::Purchase, pack_name(catalog, pack)),
    };
    let mut item = TransactionItem {
        credit_amount: transaction.credits.into(),
        created_at: transaction.time.into(),
        description: Some(description).filter(|text| !text.is_empty()),
        kind,
        rate_type: None,
        rate_concept: None,
        rate_used: None,
        repo_id: label("repo"),
        unit_id: label("bucket"),
        host: label("host"),
        llm_type: label("provider"),
        llm_model: label("model"),
        subscription_name: None,
        pack_name: None,
        id: transaction.id,
    };
    match transaction.cause {
        Cause::Usage(usage) => {
            if let Some(line) = usage.line {
                let words = RateWords::of(&line.node_type, &line.operation);
                item.rate_used = rate_used(catalog, &words, &line, transaction.credits.negated()).map(Number);
                item.rate_type = Some(words.node);
                item.rate_concept = Some(words.concept);
            }
        }
        Cause::Plan { plan, .. } => item.subscription_name = Some(plan_name(catalog, &plan)),
        Cause::Pack { pack } => item.pack_name = Some(pack_name(catalog, &pack)),
        Cause::Adjustment { .. } => {}
    }
    item
}

fn describe_usage(usage: &Usage) -> String {
    let window = usage.window.map(|(start, end)| format!(" from {start} to {end}")).unwrap_or_default();
    format!("Usage of {}{window}, report {}", usage.source, usage.report)
}

/// Returns the credits for one unit by which a line was charged: the catalog's rate, unless it gives another charge.
fn rate_used(catalog: &Catalog, words: &RateWords, line: &UsageLine, charged: Credits) -> Option<Credits> {
    let today = catalog.rate(&line.node_type, &line.operation)?;
    if rating::rate(line.quantity, today).ok()? == charged {
        words.rate(today)
    } else {
        derived_rate(words, line.quantity, charged)
    }
}

/// Returns the credits for one unit that a charge stands for.
fn derived_rate(words: &RateWords, quantity: Quantity, credits: Credits) -> Option<Credits> {
    if quantity.is_zero() {
        return None;
    }
    let charged = flashgate_ledger::catalog::Rate {
        node_type: String::new(),
        operation: String::new(),
        unit: quantity,
        credits,
    };
    words.rate(&charged)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use flashgate_testing::catalog::shipped;
    use serde_json::{Value, json};

    use super::*;
    use crate::refused::ErrorCode;
    use crate::tests::accounts::{forbidden, known};

    fn line(labels: &[(&str, &str)]) -> UsageLine {
        UsageLine {
            node_type: "Public".to_owned(),
            operation: "StorageEgress".to_owned(),
            quantity: "12G".parse().expect("quantity"),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn transaction(credits: &str, cause: Cause) -> Transaction {
        let time = "2026-03-01T10:00:00Z".parse().expect("time");
        Transaction { id: "7".to_owned(), time, credits: credits.parse().expect("amount"), cause }
    }

    fn usage(line: Option<UsageLine>) -> Cause {
        let time = |text: &str| text.parse().expect("time");
        Cause::Usage(Box::new(Usage {
            report: "gw-1-0800".to_owned(),
            source: "gw-1".to_owned(),
            window: Some((time("2026-03-01T08:00:00Z"), time("2026-03-01T09:00:00Z"))),
            line,
        }))
    }

    fn shown(transaction: Transaction) -> Value {
        serde_json::to_value(item(&shipped(), transaction)).expect("JSON")
    }

    #[test]
    fn usage_has_its_rate_and_its_labels() {
        let labels = [
            ("repo", "media"),
            ("bucket", "video"),
            ("model", "llama-70b"),
            ("provider", "aws"),
            ("team", "x"),
        ];
        assert_eq!(
            shown(transaction("-120", usage(Some(line(&labels))))),
            json!({
                "id": "7", "creditAmount": -120, "createdAt": "2026-03-01T10:00:00.000Z", "type": "consumption",
                "description":
                    "Usage of gw-1 from 2026-03-01T08:00:00Z to 2026-03-01T09:00:00Z, report gw-1-0800",
                "rateType": "Public Node", "rateConcept": "Per GB Egress", "rateUsed": 10,
                "repoId": "media", "unitId": "video", "llmType": "aws", "llmModel": "llama-70b",
            })
        );
    }

    #[test]
    fn usage_at_an_earlier_rate_shows_that_rate() {
        let found = shown(transaction("-60", usage(Some(line(&[])))));
        assert_eq!(found["rateUsed"], 5);
        let free =
            UsageLine { quantity: "0".parse().expect("quantity"), labels: BTreeMap::new(), ..line(&[]) };
        let changed = shown(transaction("-1", usage(Some(free))));
        assert_eq!(changed.get("rateUsed"), None);
    }

    #[test]
    fn usage_without_lines_and_credits_have_only_the_fields_that_are_known() {
        let found = shown(transaction("-120", usage(None)));
        let fields: Vec<&String> = found.as_object().expect("object").keys().collect();
        assert_eq!(fields, ["createdAt", "creditAmount", "description", "id", "type"]);
        let cause = Cause::Plan { plan: "starter".to_owned(), period_number: 4 };
        let found = shown(transaction("1100", cause));
        assert_eq!((&found["type"], &found["description"]), (&json!("grant"), &json!("Starter, period 4")));
        assert_eq!(found["subscriptionName"], "Starter");
        let found = shown(transaction("100", Cause::Pack { pack: "plus-100".to_owned() }));
        assert_eq!((&found["type"], &found["packName"]), (&json!("purchase"), &json!("+100 credits")));
        let found = shown(transaction("5", Cause::Adjustment { reason: String::new() }));
        assert_eq!((&found["type"], &found["description"]), (&json!("grant"), &Value::Null));
    }

    #[test]
    fn without_a_history_the_ledgers_entries_are_shown_and_the_answer_says_so() {
        let (page, query) = query_of(&TransactionParameters::default()).expect("query");
        let found = answer(&shipped(), &known("starter"), page, &query, None);
        let found = serde_json::to_value(found).expect("JSON");
        assert_eq!(found["historyAvailable"], false);
        assert_eq!(found["pagination"], json!({"total": 1, "page": 1, "limit": 50}));
        assert_eq!(found["data"][0]["creditAmount"], 1100);
        let found = answer(&shipped(), &forbidden("1100"), page, &query, None);
        let found = serde_json::to_value(found).expect("JSON");
        assert_eq!(found["missingRights"], json!(["get creditledgers"]));
        assert_eq!(found["data"], json!([]));
    }

    #[test]
    fn with_a_history_its_page_is_shown() {
        let (page, query) = query_of(&TransactionParameters::default()).expect("query");
        let stored = TransactionPage { transactions: vec![transaction("-120", usage(None))], total: 700 };
        let found = answer(&shipped(), &forbidden("1100"), page, &query, Some(stored));
        let found = serde_json::to_value(found).expect("JSON");
        assert_eq!(found["pagination"]["total"], 700);
        assert_eq!(found.get("historyAvailable"), None);
        assert_eq!(found.get("missingRights"), None);
    }

    #[test]
    fn pages_are_counted_from_one_and_other_values_are_refused() {
        let with = |page: &str, limit: &str, direction: &str| {
            query_of(&TransactionParameters {
                page: Some(page.to_owned()),
                limit: Some(limit.to_owned()),
                direction: Some(direction.to_owned()),
                ..TransactionParameters::default()
            })
        };
        let (page, query) = with("3", "20", "out").expect("query");
        assert_eq!((page, query.offset, query.limit, query.direction), (3, 40, 20, Direction::Out));
        assert_eq!(with("4294967295", "1000", "").expect("query").1.offset, 4_294_967_294 * 1_000);
        for (page, limit, direction) in
            [("0", "", ""), ("x", "", ""), ("", "0", ""), ("", "1001", ""), ("", "", "up")]
        {
            let refused = with(page, limit, direction).expect_err("refused");
            assert_eq!(refused.code, ErrorCode::InvalidParameter, "{page} {limit} {direction}");
        }
    }
}
