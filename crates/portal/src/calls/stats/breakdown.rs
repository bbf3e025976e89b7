//! `getCreditBreakdown`: consumption by a label.

use std::collections::{BTreeMap, HashMap};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use flashgate_ledger::Credits;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::buckets::{BUCKET_SIZES, BucketSize, CreditFigures, Span, WINDOWS, Window};
use super::{Scope, Selection, StatsPoint};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::calls::{AccountErrors, AccountPath};
use crate::history::{Grouping, UsageSum};
use crate::number::{Number, Success};
use crate::parameters::{choice, parsed, whole};
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};

/// Most entities of a page.
const LARGEST_PAGE: u32 = 500;

/// Entities of a page, unless the query says otherwise.
const PAGE: u32 = 50;

/// Most points of all series of a page, so that an answer stays within some megabytes.
const MOST_POINTS: u64 = 50_000;

/// Labels of usage by which it can be broken down, with their words in the URL.
const LABELS: [(&str, &str); 5] = [
    ("workspaces", "workspace"),
    ("repos", "repo"),
    ("models", "model"),
    ("providers", "provider"),
    ("buckets", "bucket"),
];

/// The label of a breakdown.
#[derive(Clone, Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "it describes the path in the OpenAPI document")]
pub struct BreakdownPath {
    /// `workspaces`, `repos`, `models`, `providers` or `buckets`.
    by: String,
}

/// Parameters of `getCreditBreakdown`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub struct BreakdownParameters {
    /// `org`, `workspace` or `repo`. Default: `org`.
    #[param(value_type = Option<Scope>, inline)]
    scope: Option<String>,
    /// Value of the label that `scope` names. Required for `workspace` and `repo`.
    id: Option<String>,
    /// Time up to now: `24h`, `7d`, `30d`, `90d`, `180d` or `365d`.
    #[param(required, value_type = Window, inline)]
    window: Option<String>,
    /// Whether each entity has a series. Default: `false`.
    #[param(value_type = Option<bool>)]
    include_series: Option<String>,
    /// Entities of a page, from 1 to 500. Default: 50.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 500)]
    limit: Option<String>,
    /// Entities to skip. Default: 0.
    #[param(value_type = Option<u32>, minimum = 0)]
    offset: Option<String>,
    /// Length of a bucket of a series: `5m`, `10m`, `1h`, `6h`, `12h` or `1d`. Default: by the window.
    #[param(value_type = Option<BucketSize>, inline)]
    time_bucket_size: Option<String>,
}

/// Consumption by a label.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakdownAnswer {
    #[schema(value_type = bool)]
    success: Success,
    meta: BreakdownMeta,
    summary: BreakdownSummary,
    /// Entities by their consumption, largest first.
    entities: Vec<BreakdownEntity>,
    /// False if there is no history: `entities` is empty then. Otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    history_available: Option<bool>,
}

/// The query as it was understood.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakdownMeta {
    /// Start of the window in milliseconds since 1970.
    start: i64,
    /// End of the window in milliseconds since 1970.
    end: i64,
    /// Scope of the query.
    scope: Scope,
    /// Value of the label that `scope` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope_id: Option<String>,
    /// `workspaces`, `repos`, `models`, `providers` or `buckets`.
    breakdown_by: String,
    /// Whether each entity has a series.
    includes_series: bool,
    /// Most entities of a page.
    limit: u32,
    /// Entities that were skipped.
    offset: u32,
    /// Entities on all pages.
    total_entities: u64,
}

/// Figures over all entities.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct BreakdownSummary {
    /// Credits that all entities consumed.
    #[schema(value_type = f64)]
    total: Number,
}

/// The consumption with one value of a label.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakdownEntity {
    /// Value of the label.
    entity_id: String,
    /// Name of the entity: the value of the label.
    entity_name: String,
    /// Sums of the window. Purchases and grants have no labels, so they are zero.
    totals: CreditFigures,
    /// Buckets in ascending order, including empty ones. Absent if the query does not ask for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    series: Option<Vec<StatsPoint>>,
}

/// A page of entities.
#[derive(Clone, Copy, Debug)]
struct Page {
    limit: u32,
    offset: u32,
    includes_series: bool,
}

/// Returns the consumption of an account by the values of a label. Usage without the label is left out.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/v2/stats/credits/breakdown/{by}",
    operation_id = "getCreditBreakdown",
    tag = "stats",
    params(AccountPath, BreakdownPath, BreakdownParameters),
    responses((status = 200, description = "The entities", body = BreakdownAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn get_credit_breakdown(
    State(portal): State<Portal>,
    caller: Caller,
    Path(path): Path<HashMap<String, String>>,
    query: Result<Query<BreakdownParameters>, QueryRejection>,
) -> Result<Answer<BreakdownAnswer>, Refused> {
    let account = portal.account(&caller).await?;
    let by = path.get("by").map(String::as_str).unwrap_or_default();
    let (by, label) = LABELS.into_iter().find(|(word, _)| *word == by).ok_or_else(unknown_breakdown)?;
    let parameters: BreakdownParameters = parsed(query)?;
    let none = [("", None), ("", None)];
    let selection = Selection::of(parameters.scope.as_ref(), parameters.id.as_ref(), none)?;
    let (page, span) = page_and_span(&parameters, account.now)?;
    let found = match portal.with_history(&caller, &account) {
        Some((history, key)) => {
            let query = span.query(selection.labels.clone(), Some(Grouping::Label(label.to_owned())));
            history.usage(&key, &query).await.inspect_err(crate::calls::log_history).ok()
        }
        None => None,
    };
    Ok(Answer(answer(selection, by, &span, page, found)))
}

fn page_and_span(parameters: &BreakdownParameters, now: jiff::Timestamp) -> Result<(Page, Span), Refused> {
    let BreakdownParameters { scope: _, id: _, window, include_series, limit, offset, time_bucket_size } =
        parameters;
    let page = Page {
        limit: whole("limit", limit.as_ref(), (1, LARGEST_PAGE), PAGE)?,
        offset: whole("offset", offset.as_ref(), (0, u32::MAX), 0)?,
        includes_series: choice(
            "includeSeries",
            include_series.as_ref(),
            &[("true", true), ("false", false)],
            Some(false),
        )?,
    };
    let window = choice("window", window.as_ref(), &WINDOWS, None)?;
    let default = Some(window.bucket_size());
    let size = choice("timeBucketSize", time_bucket_size.as_ref(), &BUCKET_SIZES, default)?;
    let span = Span::of(now, window, size)?;
    let points = u64::from(page.limit).saturating_mul(u64::try_from(span.count).unwrap_or(u64::MAX));
    if page.includes_series && points > MOST_POINTS {
        let required =
            format!("smaller: with series, `limit` times the number of buckets is at most {MOST_POINTS}");
        return Err(Refused::parameter("limit", &required));
    }
    Ok((page, span))
}

fn answer(
    selection: Selection,
    by: &str,
    span: &Span,
    page: Page,
    found: Option<Vec<UsageSum>>,
) -> BreakdownAnswer {
    let has_history = found.is_some();
    let entities = ranked(found.unwrap_or_default());
    let total =
        Credits::sum(entities.iter().map(|(_, figures, _)| figures.credits_total.0)).unwrap_or_default();
    let total_entities = u64::try_from(entities.len()).unwrap_or(u64::MAX);
    let (offset, limit) = (usize::try_from(page.offset), usize::try_from(page.limit));
    let shown = entities.into_iter().skip(offset.unwrap_or(usize::MAX)).take(limit.unwrap_or(usize::MAX));
    let entity = |(value, totals, sums): (String, CreditFigures, Vec<UsageSum>)| BreakdownEntity {
        entity_name: value.clone(),
        entity_id: value,
        totals,
        series: page.includes_series.then(|| span.series(&sums, &[])),
    };
    BreakdownAnswer {
        success: Success,
        meta: BreakdownMeta {
            start: span.start.as_millisecond(),
            end: span.end.as_millisecond(),
            scope: selection.scope,
            scope_id: selection.scope_id,
            breakdown_by: by.to_owned(),
            includes_series: page.includes_series,
            limit: page.limit,
            offset: page.offset,
            total_entities,
        },
        summary: BreakdownSummary { total: total.into() },
        entities: shown.map(entity).collect(),
        history_available: (!has_history).then_some(false),
    }
}

/// Returns the values of the label with their sums, by consumption, largest first, and then by value.
fn ranked(sums: Vec<UsageSum>) -> Vec<(String, CreditFigures, Vec<UsageSum>)> {
    let mut groups: BTreeMap<String, (CreditFigures, Vec<UsageSum>)> = BTreeMap::new();
    for sum in sums {
        let (figures, parts) = groups.entry(sum.group.clone()).or_default();
        figures.add_usage(&sum);
        parts.push(sum);
    }
    let mut ranked: Vec<_> =
        groups.into_iter().map(|(value, (figures, parts))| (value, figures, parts)).collect();
    ranked.sort_by_key(|(_, figures, _)| std::cmp::Reverse(figures.credits_total));
    ranked
}

fn unknown_breakdown() -> Refused {
    let words: Vec<&str> = LABELS.iter().map(|(word, _)| *word).collect();
    Refused::new(ErrorCode::NotFound, format!("there is no such breakdown: use one of {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sum(bucket: usize, group: &str, is_storage: bool, credits: &str) -> UsageSum {
        UsageSum { bucket, group: group.to_owned(), is_storage, credits: credits.parse().expect("amount") }
    }

    fn shown(found: Option<Vec<UsageSum>>, [limit, offset, series]: [&str; 3]) -> Value {
        let text = |text: &str| Some(text.to_owned());
        let parameters = BreakdownParameters {
            window: text("24h"),
            time_bucket_size: text("12h"),
            limit: text(limit),
            offset: text(offset),
            include_series: text(series),
            ..BreakdownParameters::default()
        };
        let now = "2026-03-02T12:00:00Z".parse().expect("time");
        let (page, span) = page_and_span(&parameters, now).expect("page");
        let selection = Selection::of(None, None, [("", None), ("", None)]).expect("selection");
        serde_json::to_value(answer(selection, "models", &span, page, found)).expect("JSON")
    }

    fn found() -> Vec<UsageSum> {
        vec![
            sum(0, "small", false, "1"),
            sum(0, "large", false, "5"),
            sum(1, "large", true, "2.5"),
            sum(1, "b", false, "1"),
        ]
    }

    #[test]
    fn entities_are_ranked_by_consumption_and_the_total_counts_all_pages() {
        let page = shown(Some(found()), ["2", "", ""]);
        let names: Vec<_> =
            page["entities"].as_array().expect("list").iter().map(|item| &item["entityId"]).collect();
        assert_eq!(json!(names), json!(["large", "b"]));
        assert_eq!((&page["summary"]["total"], &page["meta"]["totalEntities"]), (&json!(9.5), &json!(3)));
        assert_eq!(
            page["entities"][0]["totals"],
            json!({
                "creditsAi": 5, "creditsStorage": 2.5, "creditsTotal": 7.5, "creditsPurchased": 0, "creditsGranted": 0,
            })
        );
        assert_eq!(page["entities"][0].get("series"), None);
        let rest = shown(Some(found()), ["2", "2", ""]);
        assert_eq!((&rest["entities"][0]["entityId"], &rest["meta"]["offset"]), (&json!("small"), &json!(2)));
    }

    #[test]
    fn each_entity_has_its_series_on_request() {
        let page = shown(Some(found()), ["", "", "true"]);
        let series = &page["entities"][0]["series"];
        assert_eq!((&series[0]["creditsTotal"], &series[1]["creditsTotal"]), (&json!(5), &json!(2.5)));
        assert_eq!(series.as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn without_a_history_there_are_no_entities_and_the_answer_says_so() {
        let page = shown(None, ["", "", ""]);
        assert_eq!((&page["entities"], &page["historyAvailable"]), (&json!([]), &json!(false)));
    }
}
