//! `getCreditStats`: consumption over time.

pub mod breakdown;
pub mod buckets;
pub mod summary;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AccountErrors, AccountPath};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::history::{CreditSum, UsageQuery, UsageSum};
use crate::number::Success;
use crate::parameters::{choice, given, parsed};
use crate::portal::Portal;
use crate::refused::Refused;

use buckets::{BUCKET_SIZES, BucketSize, CreditFigures, Span, WINDOWS, Window};
use summary::Summary;

/// Scope of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// The whole account.
    Org,
    /// Usage with a value of the label `workspace`.
    Workspace,
    /// Usage with a value of the label `repo`.
    Repo,
}

/// The words of scopes.
pub(crate) const SCOPES: [(&str, Scope); 3] =
    [("org", Scope::Org), ("workspace", Scope::Workspace), ("repo", Scope::Repo)];

/// Parameters of `getCreditStats`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub struct StatsParameters {
    /// `org`, `workspace` or `repo`. Default: `org`.
    #[param(value_type = Option<Scope>, inline)]
    scope: Option<String>,
    /// Value of the label that `scope` names. Required for `workspace` and `repo`.
    id: Option<String>,
    /// Time up to now: `24h`, `7d`, `30d`, `90d`, `180d` or `365d`.
    #[param(required, value_type = Window, inline)]
    window: Option<String>,
    /// Value of the label `apiKey`.
    api_key_id: Option<String>,
    /// Value of the label `model`.
    ai_llm_id: Option<String>,
    /// Length of a bucket: `5m`, `10m`, `1h`, `6h`, `12h` or `1d`. At most 1,000 buckets. Default: by the window.
    #[param(value_type = Option<BucketSize>, inline)]
    time_bucket_size: Option<String>,
}

/// Consumption over time.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatsAnswer {
    #[schema(value_type = bool)]
    success: Success,
    meta: StatsMeta,
    /// Figures over the buckets of `creditsTotal`, including empty ones.
    summary: Summary,
    /// Buckets in ascending order, including empty ones.
    series: Vec<StatsPoint>,
    /// False if there is no history: `series` is empty then. Otherwise absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    history_available: Option<bool>,
}

/// The query as it was understood.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatsMeta {
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
    /// The window.
    window: Window,
    /// Length of a bucket.
    time_bucket_size: BucketSize,
}

/// The credits of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatsPoint {
    /// Start of the bucket in milliseconds since 1970. The bucket excludes its start and includes its end.
    pub ts: i64,
    /// Credits consumed by everything but storage.
    #[schema(value_type = f64)]
    pub credits_ai: crate::number::Number,
    /// Credits consumed by storage egress.
    #[schema(value_type = f64)]
    pub credits_storage: crate::number::Number,
    /// Credits consumed.
    #[schema(value_type = f64)]
    pub credits_total: crate::number::Number,
    /// Credits from packs.
    #[schema(value_type = f64)]
    pub credits_purchased: crate::number::Number,
    /// Credits from plans and adjustments.
    #[schema(value_type = f64)]
    pub credits_granted: crate::number::Number,
}

/// The usage that a query selects.
pub(crate) struct Selection {
    pub scope: Scope,
    pub scope_id: Option<String>,
    /// Labels with the values that usage must have.
    pub labels: Vec<(String, String)>,
}

impl Selection {
    /// Returns the selection of a scope, with labels and their parameters.
    pub(crate) fn of(
        scope: Option<&String>,
        id: Option<&String>,
        others: [(&str, Option<&String>); 2],
    ) -> Result<Self, Refused> {
        let scope = choice("scope", scope, &SCOPES, Some(Scope::Org))?;
        let label = match scope {
            Scope::Org => None,
            Scope::Workspace => Some("workspace"),
            Scope::Repo => Some("repo"),
        };
        let scope_id = label.map(|label| {
            let required = format!("the {label} that `scope` is about");
            given(id).ok_or_else(|| Refused::parameter("id", &required))
        });
        let scope_id = scope_id.transpose()?;
        let of_scope = label.zip(scope_id);
        let of_others = others.into_iter().filter_map(|(label, value)| Some((label, given(value)?)));
        let labels = of_scope.into_iter().chain(of_others);
        Ok(Self {
            labels: labels.map(|(label, value)| (label.to_owned(), value.to_owned())).collect(),
            scope,
            scope_id: scope_id.map(str::to_owned),
        })
    }
}

/// Returns consumption, purchases and grants of an account over time. Consumption counts at the end of the window of
/// its report. Usage without a requested label is left out, and so are then purchases and grants, which have no labels.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/v2/stats/credits",
    operation_id = "getCreditStats",
    tag = "stats",
    params(AccountPath, StatsParameters),
    responses((status = 200, description = "The series", body = StatsAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn get_credit_stats(
    State(portal): State<Portal>,
    caller: Caller,
    query: Result<Query<StatsParameters>, QueryRejection>,
) -> Result<Answer<StatsAnswer>, Refused> {
    let account = portal.account(&caller).await?;
    let StatsParameters { scope, id, window, api_key_id, ai_llm_id, time_bucket_size } = parsed(query)?;
    let others = [("apiKey", api_key_id.as_ref()), ("model", ai_llm_id.as_ref())];
    let selection = Selection::of(scope.as_ref(), id.as_ref(), others)?;
    let window = choice("window", window.as_ref(), &WINDOWS, None)?;
    let size =
        choice("timeBucketSize", time_bucket_size.as_ref(), &BUCKET_SIZES, Some(window.bucket_size()))?;
    let span = Span::of(account.now, window, size)?;
    let found = match portal.with_history(&caller, &account) {
        Some((history, key)) => {
            let query = span.query(selection.labels.clone(), None);
            let credits = if selection.labels.is_empty() {
                history.credits(&key, &query).await.map(Some)
            } else {
                Ok(None)
            };
            let usage = history.usage(&key, &query).await;
            credits
                .and_then(|credits| Ok((query, usage?, credits.unwrap_or_default())))
                .inspect_err(super::log_history)
                .ok()
        }
        None => None,
    };
    Ok(Answer(answer(selection, window, &span, found)))
}

fn answer(
    selection: Selection,
    window: Window,
    span: &Span,
    found: Option<(UsageQuery, Vec<UsageSum>, Vec<CreditSum>)>,
) -> StatsAnswer {
    let has_history = found.is_some();
    let series = found.map(|(_, usage, credits)| span.series(&usage, &credits)).unwrap_or_default();
    StatsAnswer {
        success: Success,
        meta: StatsMeta {
            start: span.start.as_millisecond(),
            end: span.end.as_millisecond(),
            scope: selection.scope,
            scope_id: selection.scope_id,
            window,
            time_bucket_size: span.size,
        },
        summary: Summary::of(series.iter().map(|point| point.credits_total.0)),
        series,
        history_available: (!has_history).then_some(false),
    }
}

impl From<(i64, CreditFigures)> for StatsPoint {
    fn from((ts, figures): (i64, CreditFigures)) -> Self {
        let CreditFigures { credits_ai, credits_storage, credits_total, credits_purchased, credits_granted } =
            figures;
        Self { ts, credits_ai, credits_storage, credits_total, credits_purchased, credits_granted }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::refused::ErrorCode;

    #[expect(clippy::unnecessary_wraps, reason = "parameters are optional")]
    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn selection(scope: &str, id: &str) -> Result<Selection, Refused> {
        Selection::of(text(scope).as_ref(), text(id).as_ref(), [("apiKey", None), ("model", None)])
    }

    fn shown(found: Option<(Vec<UsageSum>, Vec<CreditSum>)>) -> Value {
        let now = "2026-03-02T12:30:00Z".parse().expect("time");
        let span = Span::of(now, Window::Hours24, BucketSize::Hours6).expect("span");
        let found = found.map(|(usage, credits)| (span.query(Vec::new(), None), usage, credits));
        let answer = answer(selection("repo", "media").expect("selection"), Window::Hours24, &span, found);
        serde_json::to_value(answer).expect("JSON")
    }

    #[test]
    fn the_series_has_every_bucket_and_the_summary_counts_empty_ones() {
        let sum = |bucket, is_storage, credits: &str| UsageSum {
            bucket,
            group: String::new(),
            is_storage,
            credits: credits.parse().expect("amount"),
        };
        let credits = CreditSum { bucket: 3, is_purchase: true, credits: "100".parse().expect("amount") };
        let found = shown(Some((
            vec![sum(1, true, "10"), sum(1, false, "2.5"), sum(3, false, "7.5")],
            vec![credits],
        )));
        let start = 1_772_368_200_000_i64;
        assert_eq!(
            found["meta"],
            json!({
                "start": start, "end": start + 86_400_000, "scope": "repo", "scopeId": "media", "window": "24h",
                "timeBucketSize": "6h",
            })
        );
        assert_eq!(found["series"].as_array().map(Vec::len), Some(4));
        assert_eq!(
            found["series"][1],
            json!({
                "ts": start + 21_600_000, "creditsAi": 2.5, "creditsStorage": 10, "creditsTotal": 12.5,
                "creditsPurchased": 0, "creditsGranted": 0,
            })
        );
        assert_eq!(found["series"][3]["creditsPurchased"], 100);
        assert_eq!((&found["summary"]["total"], &found["summary"]["avg"]), (&json!(20), &json!(5.0)));
        assert_eq!(found.get("historyAvailable"), None);
    }

    #[test]
    fn without_a_history_the_series_is_empty_and_the_answer_says_so() {
        let found = shown(None);
        assert_eq!((&found["series"], &found["historyAvailable"]), (&json!([]), &json!(false)));
        assert_eq!(found["summary"]["total"], 0);
    }

    #[test]
    fn a_scope_below_the_organization_needs_an_id() {
        assert_eq!(selection("", "").expect("org").labels, []);
        let labels = selection("workspace", "research").expect("workspace").labels;
        assert_eq!(labels, [("workspace".to_owned(), "research".to_owned())]);
        for (scope, id) in [("workspace", ""), ("repo", ""), ("team", "x")] {
            let refused = selection(scope, id).err().expect("refused");
            assert_eq!(refused.code, ErrorCode::InvalidParameter, "{scope}");
        }
    }
}
