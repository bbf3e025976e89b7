//! `getCreditsMonthlyStats`.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use flashgate_ledger::Credits;
use flashgate_ledger::credits::AmountOverflow;
use flashgate_ledger::ledger::Totals;
use flashgate_ledger::month::Month;
use flashgate_ledger::period::utc_date;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AccountErrors, AccountPath};
use crate::account::Account;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::number::{Number, Success, Time};
use crate::parameters::{parsed, whole};
use crate::portal::Portal;
use crate::refused::{ErrorCode, Refused};

/// Months that a ledger keeps (Law 28).
const MOST_MONTHS: u32 = 24;

/// Months of an answer, unless the query says otherwise.
const MONTHS: u32 = 12;

/// Parameters of `getCreditsMonthlyStats`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct MonthlyParameters {
    /// Months up to the current one, from 1 to 24. Default: 12.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 24)]
    months: Option<String>,
}

/// The sums of the last calendar months (UTC).
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MonthlyAnswer {
    #[schema(value_type = bool)]
    success: Success,
    /// Months in ascending order, up to the current one.
    data: Vec<MonthItem>,
    /// Sums of these months.
    totals: MonthFigures,
    /// Rights that the caller lacks. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_rights: Vec<&'static str>,
}

/// The sums of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MonthItem {
    /// Start of the month.
    #[schema(value_type = String, format = DateTime)]
    month: Time,
    /// Credits consumed.
    #[schema(value_type = f64)]
    consumption: Number,
    /// Credits from packs.
    #[schema(value_type = f64)]
    purchases: Number,
    /// Credits from plans and adjustments.
    #[schema(value_type = f64)]
    grants: Number,
    /// `grants` + `purchases` - `consumption`.
    #[schema(value_type = f64)]
    balance: Number,
}

/// Sums of several months.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct MonthFigures {
    /// Credits consumed.
    #[schema(value_type = f64)]
    consumption: Number,
    /// Credits from packs.
    #[schema(value_type = f64)]
    purchases: Number,
    /// Credits from plans and adjustments.
    #[schema(value_type = f64)]
    grants: Number,
    /// `grants` + `purchases` - `consumption`.
    #[schema(value_type = f64)]
    balance: Number,
}

/// Returns the sums of the last calendar months.
#[utoipa::path(
    get,
    path = "/api/{namespace}/{subscription}/credits/stats/monthly",
    operation_id = "getCreditsMonthlyStats",
    tag = "credits",
    params(AccountPath, MonthlyParameters),
    responses((status = 200, description = "The months", body = MonthlyAnswer), AccountErrors),
    security(("token" = []))
)]
pub(crate) async fn get_credits_monthly_stats(
    State(portal): State<Portal>,
    caller: Caller,
    query: Result<Query<MonthlyParameters>, QueryRejection>,
) -> Result<Answer<MonthlyAnswer>, Refused> {
    let account = portal.account(&caller).await?;
    let months = whole("months", parsed(query)?.months.as_ref(), (1, MOST_MONTHS), MONTHS)?;
    answer(&account, months).map(Answer)
}

fn answer(account: &Account, months: u32) -> Result<MonthlyAnswer, Refused> {
    let Some(book) = account.book.known() else {
        // Without a ledger no credits moved. Without the right to read it nothing is known.
        let missing_rights: Vec<_> = account.book.missing_right().into_iter().collect();
        let data = if missing_rights.is_empty() { summed(&[], account.now, months)? } else { Vec::new() };
        return Ok(MonthlyAnswer { success: Success, data, totals: MonthFigures::default(), missing_rights });
    };
    let kept: Vec<Month> = book.ledger.months.iter().copied().collect();
    let data = summed(&kept, account.now, months)?;
    let totals = total(&data)?;
    Ok(MonthlyAnswer { success: Success, data, totals, missing_rights: Vec::new() })
}

/// Returns the sums of each of the last `months` months, ascending.
fn summed(kept: &[Month], now: Timestamp, months: u32) -> Result<Vec<MonthItem>, Refused> {
    let current = utc_date(now).first_of_month();
    let item = |ago: u32| {
        let first_day = current.saturating_sub(i64::from(ago).months());
        let sums = kept.iter().find(|month| month.first_day == first_day).map(|month| month.sums);
        month_item(first_day, sums.unwrap_or_default()).map_err(|_| too_large())
    };
    (0..months).rev().map(item).collect()
}

fn month_item(first_day: Date, sums: Totals) -> Result<MonthItem, AmountOverflow> {
    let Totals { granted, purchased, adjusted, consumed, expired: _, refunded: _ } = sums;
    let grants = granted.checked_add(adjusted)?;
    let balance = grants.checked_add(purchased)?.checked_sub(consumed)?;
    let start = first_day.to_zoned(TimeZone::UTC).map_or(Timestamp::UNIX_EPOCH, |day| day.timestamp());
    Ok(MonthItem {
        month: start.into(),
        consumption: consumed.into(),
        purchases: purchased.into(),
        grants: grants.into(),
        balance: balance.into(),
    })
}

fn total(months: &[MonthItem]) -> Result<MonthFigures, Refused> {
    let sum = |part: fn(&MonthItem) -> Number| {
        Credits::sum(months.iter().map(|month| part(month).0)).map(Number).map_err(|_| too_large())
    };
    Ok(MonthFigures {
        consumption: sum(|month| month.consumption)?,
        purchases: sum(|month| month.purchases)?,
        grants: sum(|month| month.grants)?,
        balance: sum(|month| month.balance)?,
    })
}

fn too_large() -> Refused {
    Refused::new(ErrorCode::InternalError, "a sum exceeds the range of amounts: ask an administrator")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::accounts::{forbidden, known, without_ledger};

    fn month(first_day: &str, [granted, purchased, adjusted, consumed]: [&str; 4]) -> Month {
        let amount = |text: &str| text.parse().expect("amount");
        let sums = Totals {
            granted: amount(granted),
            purchased: amount(purchased),
            adjusted: amount(adjusted),
            consumed: amount(consumed),
            ..Totals::default()
        };
        Month { first_day: first_day.parse().expect("day"), sums, closing: Credits::ZERO }
    }

    fn shown(kept: &[Month], now: &str, months: u32) -> Value {
        let data = summed(kept, now.parse().expect("time"), months).expect("months");
        json!({"data": data, "totals": total(&data).expect("totals")})
    }

    #[test]
    fn months_ascend_to_the_current_one_and_those_without_credits_are_zero() {
        let kept = [
            month("2025-11-01", ["1", "0", "0", "0"]),
            month("2025-12-01", ["1100", "100", "5", "300.5"]),
            month("2026-02-01", ["1100", "0", "0", "0"]),
        ];
        let expected = json!({
            "data": [
                {
                    "month": "2025-12-01T00:00:00.000Z", "consumption": 300.5, "purchases": 100, "grants": 1105,
                    "balance": 904.5,
                },
                {"month": "2026-01-01T00:00:00.000Z", "consumption": 0, "purchases": 0, "grants": 0, "balance": 0},
                {
                    "month": "2026-02-01T00:00:00.000Z", "consumption": 0, "purchases": 0, "grants": 1100,
                    "balance": 1100,
                },
            ],
            "totals": {"consumption": 300.5, "purchases": 100, "grants": 2205, "balance": 2004.5},
        });
        assert_eq!(shown(&kept, "2026-02-28T23:59:59Z", 3), expected);
    }

    #[test]
    fn as_many_months_are_shown_as_are_requested() {
        for months in [1, 12, 24] {
            let found = shown(&[], "2026-03-31T00:00:00Z", months);
            assert_eq!(found["data"].as_array().map(Vec::len), usize::try_from(months).ok());
        }
    }

    #[test]
    fn without_the_right_to_read_the_ledger_the_list_is_empty_and_names_the_right() {
        let found = answer(&forbidden("1100"), 12).expect("answer");
        assert_eq!((found.data.len(), found.missing_rights), (0, vec!["get creditledgers"]));
        let found = answer(&without_ledger(), 12).expect("answer");
        assert_eq!((found.data.len(), found.missing_rights.len()), (12, 0));
        let found = answer(&known("starter"), 12).expect("answer");
        assert_eq!(found.data.len(), 12);
    }
}
