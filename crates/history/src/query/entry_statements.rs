//! The statements of pages of entries and of balances over time.
//!
//! Parameters of pages: $1 account, numbers after $2 and before $3, $4 to $7 first and last instant in seconds and
//! nanoseconds, $8 kind or an empty text, $9 and $10 parts of which the detail must have one, or empty texts, $11 length
//! of the page.

use crate::columns::entry_columns;
use crate::database::{Sql, Value};

/// The rows that are not charges, as `bound`. Without statistics, SQLite does not choose their index by itself.
macro_rules! bounds {
    (sqlite) => {
        "(SELECT bound.number FROM entries AS bound INDEXED BY entries_besides_charges \
          WHERE bound.account_id = $1 AND NOT bound.superseded AND bound.kind <> 'Charged' AND bound.time_seconds "
    };
    (postgres) => {
        "(SELECT bound.number FROM entries AS bound \
          WHERE bound.account_id = $1 AND NOT bound.superseded AND bound.kind <> 'Charged' AND bound.time_seconds "
    };
}

/// A page of entries. `$source` are the entries to choose from, and `$order` the direction. The time of an entry is not
/// before that of an earlier one, so entries that are not charges bound the numbers of a range of time.
macro_rules! page {
    ($store:ident, $contains:literal, $source:literal, $order:literal) => {
        concat!(
            "SELECT ",
            entry_columns!($store),
            " FROM entries",
            $source,
            " AND account_id = $1 AND number > $2 AND number < $3 AND NOT superseded AND number > COALESCE(",
            bounds!($store),
            "< $4 ORDER BY bound.number DESC LIMIT 1), -1) AND number <= COALESCE(",
            bounds!($store),
            "> $6 ORDER BY bound.number LIMIT 1), 9223372036854775807) \
             AND (time_seconds, time_nanos) >= ($4, $5) AND (time_seconds, time_nanos) <= ($6, $7) \
             AND ($8 = '' OR kind = $8) \
             AND ($9 = '' OR ",
            $contains,
            "(detail, $9) > 0 OR ",
            $contains,
            "(detail, $10) > 0 OR EXISTS (SELECT 1 FROM usage WHERE usage.account_id = entries.account_id \
               AND usage.entry = entries.number AND usage.branch = entries.branch AND ",
            $contains,
            "(usage.labels, $9) > 0)) ORDER BY number ",
            $order,
            " LIMIT $11"
        )
    };
}

/// Older entries of all kinds.
pub(super) const OLDER: Sql = Sql {
    sqlite: page!(sqlite, "instr", " WHERE TRUE", "DESC"),
    postgres: page!(postgres, "strpos", " WHERE TRUE", "DESC"),
};

/// Newer entries of all kinds.
pub(super) const NEWER: Sql = Sql {
    sqlite: page!(sqlite, "instr", " WHERE TRUE", "ASC"),
    postgres: page!(postgres, "strpos", " WHERE TRUE", "ASC"),
};

/// Older entries that are not charges.
pub(super) const OLDER_BESIDES_CHARGES: Sql = Sql {
    sqlite: page!(sqlite, "instr", " INDEXED BY entries_besides_charges WHERE kind <> 'Charged'", "DESC"),
    postgres: page!(postgres, "strpos", " WHERE kind <> 'Charged'", "DESC"),
};

/// Newer entries that are not charges.
pub(super) const NEWER_BESIDES_CHARGES: Sql = Sql {
    sqlite: page!(sqlite, "instr", " INDEXED BY entries_besides_charges WHERE kind <> 'Charged'", "ASC"),
    postgres: page!(postgres, "strpos", " WHERE kind <> 'Charged'", "ASC"),
};

macro_rules! balances {
    ($store:ident, $balance:literal) => {
        concat!(
            "SELECT ends.bucket, entries.time_seconds, entries.time_nanos, ",
            $balance,
            " FROM (SELECT (time_seconds - $2 - 1) / $4 AS bucket, MAX(number) AS last_number FROM entries \
               WHERE account_id = $1 AND NOT superseded AND time_seconds > $2 AND time_seconds <= $3 \
               AND number > COALESCE(",
            bounds!($store),
            "<= $2 ORDER BY bound.number DESC LIMIT 1), -1) GROUP BY 1) AS ends \
             LEFT JOIN entries ON entries.account_id = $1 AND entries.number = ends.last_number \
               AND NOT entries.superseded ORDER BY ends.bucket"
        )
    };
}

/// The balance after the last entry of each bucket. The outer join lets SQLite read the ends first. Buckets have $4
/// seconds, after second $2 and up to second $3.
pub(super) const BALANCES: Sql = Sql {
    sqlite: balances!(sqlite, "entries.balance_whole, entries.balance_nanos"),
    postgres: balances!(
        postgres,
        "TRUNC(entries.balance)::bigint, (MOD(entries.balance, 1) * 1000000000)::bigint"
    ),
};

/// Returns the statements of this module with sample values.
pub(super) fn indexed() -> Vec<(&'static str, Sql, Vec<Value>)> {
    let number = Value::Integer;
    let text = |text: &str| Value::Text(text.to_owned());
    let page = |kind: &str| {
        let mut values = [1, 0, 9, 0, 0, 9, 0].map(number).to_vec();
        values.extend([text(kind), text(":\"gw"), text("/gw"), number(50)]);
        values
    };
    vec![
        ("older entries", OLDER, page("")),
        ("newer entries", NEWER, page("")),
        ("older entries besides charges", OLDER_BESIDES_CHARGES, page("Granted")),
        ("newer entries besides charges", NEWER_BESIDES_CHARGES, page("Granted")),
        ("balances by bucket", BALANCES, [1, 0, 9, 3].map(number).to_vec()),
    ]
}
