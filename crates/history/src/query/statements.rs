//! The statements of queries.
//!
//! Parameters of transactions: $1 account, $2 to $5 first and last instant in seconds and nanoseconds, $6 whether
//! credits are read, $7 whether usage is read, $8 a part that the labels must have, or an empty text.

use crate::columns::{entry_columns, usage_columns};
use crate::database::Sql;

/// Entries by which credits arrived.
macro_rules! credits {
    () => {
        "account_id = $1 AND NOT superseded AND kind IN ('Granted', 'Purchased', 'Adjusted') AND $6 \
         AND (time_seconds, time_nanos) >= ($2, $3) AND (time_seconds, time_nanos) <= ($4, $5)"
    };
}

/// Charges whose usage is not known.
macro_rules! charges {
    () => {
        "account_id = $1 AND NOT superseded AND kind = 'Charged' AND $7 AND $8 = '' \
         AND (time_seconds, time_nanos) >= ($2, $3) AND (time_seconds, time_nanos) <= ($4, $5) \
         AND NOT EXISTS (SELECT 1 FROM usage WHERE usage.account_id = entries.account_id \
           AND usage.entry = entries.number AND usage.branch = entries.branch)"
    };
}

/// Usage of entries that are not superseded. `$contains` is the function that finds a part in a text.
macro_rules! usage {
    ($contains:literal) => {
        concat!(
            "account_id = $1 AND $7 \
             AND (charge_seconds, charge_nanos) >= ($2, $3) AND (charge_seconds, charge_nanos) <= ($4, $5) \
             AND ($8 = '' OR ", $contains, "(labels, '{' || $8) > 0 OR ", $contains, "(labels, ',' || $8) > 0) \
             AND EXISTS (SELECT 1 FROM entries WHERE entries.account_id = usage.account_id \
               AND entries.number = usage.entry AND entries.branch = usage.branch AND NOT entries.superseded)"
        )
    };
}

/// The keys of transactions: number, branch, and the group of usage or an empty text.
macro_rules! keys {
    ($contains:literal) => {
        concat!(
            "SELECT number, branch, '' AS part FROM entries WHERE ",
            credits!(),
            " UNION ALL SELECT entry AS number, branch, group_key AS part FROM usage WHERE ",
            usage!($contains),
            " UNION ALL SELECT number, branch, '' AS part FROM entries WHERE ",
            charges!()
        )
    };
}

macro_rules! count {
    ($contains:literal) => {
        concat!("SELECT COUNT(*) FROM (", keys!($contains), ") AS transactions")
    };
}

/// The number of transactions.
pub(super) const COUNT: Sql = Sql { sqlite: count!("instr"), postgres: count!("strpos") };

macro_rules! page {
    ($contains:literal) => {
        // The order is the one of the indexes, so that only the rows up to the page are read.
        concat!(keys!($contains), " ORDER BY number DESC, branch DESC, part DESC LIMIT $9 OFFSET $10")
    };
}

/// The keys of a page of transactions, newest first. $9 is the length of the page, $10 the number of keys before it.
pub(super) const KEYS: Sql = Sql { sqlite: page!("instr"), postgres: page!("strpos") };

macro_rules! entries {
    ($store:ident) => {
        concat!(
            "SELECT ",
            entry_columns!($store),
            " FROM entries WHERE number >= $9 AND number <= $10 AND (",
            credits!(),
            ") \
             UNION ALL SELECT ",
            entry_columns!($store),
            " FROM entries WHERE number >= $9 AND number <= $10 AND (",
            charges!(),
            ")"
        )
    };
}

/// The entries of transactions with a number from $9 to $10, with the columns of `EntryRow`.
pub(super) const ENTRIES: Sql = Sql { sqlite: entries!(sqlite), postgres: entries!(postgres) };

macro_rules! usage_rows {
    ($store:ident, $contains:literal) => {
        concat!(
            "SELECT ",
            usage_columns!($store),
            " FROM usage WHERE entry >= $9 AND entry <= $10 AND ",
            usage!($contains)
        )
    };
}

/// The usage of transactions with a number from $9 to $10, with the columns of `usage_from_data`.
pub(super) const USAGE: Sql =
    Sql { sqlite: usage_rows!(sqlite, "instr"), postgres: usage_rows!(postgres, "strpos") };

macro_rules! usage_sums {
    ($sums:literal) => {
        concat!(
            "SELECT (end_seconds - $2 - 1) / $4 AS bucket, node_type, operation, labels, ", $sums, " FROM usage \
             WHERE account_id = $1 AND end_seconds > $2 AND end_seconds <= $3 \
             AND EXISTS (SELECT 1 FROM entries WHERE entries.account_id = usage.account_id \
               AND entries.number = usage.entry AND entries.branch = usage.branch AND NOT entries.superseded) \
             GROUP BY bucket, node_type, operation, labels ORDER BY bucket, node_type, operation, labels"
        )
    };
}

/// Sums of usage in buckets of $4 seconds, after second $2 and up to second $3.
pub(super) const USAGE_SUMS: Sql = Sql {
    sqlite: usage_sums!("SUM(credits_whole), SUM(credits_nanos)"),
    postgres: usage_sums!("TRUNC(SUM(credits))::bigint, (MOD(SUM(credits), 1) * 1000000000)::bigint"),
};

macro_rules! rate_sums {
    ($sums:literal) => {
        concat!(
            "SELECT node_type, operation, '{}', COUNT(*), ",
            $sums,
            " FROM usage WHERE account_id = $1 AND end_seconds > $2 AND end_seconds <= $3 \
             AND EXISTS (SELECT 1 FROM entries WHERE entries.account_id = usage.account_id \
               AND entries.number = usage.entry AND entries.branch = usage.branch AND NOT entries.superseded) \
             GROUP BY node_type, operation"
        )
    };
}

/// Sums of usage by rate, after second $2 and up to second $3, with the columns of `UsageSum`.
pub(super) const RATE_SUMS: Sql = Sql {
    sqlite: rate_sums!(
        "SUM(quantity_whole / 1000000000), SUM(quantity_whole % 1000000000), SUM(quantity_nanos), \
         SUM(quantity_attos), SUM(credits_whole / 1000000000), SUM(credits_whole % 1000000000), SUM(credits_nanos)"
    ),
    postgres: rate_sums!("SUM(quantity)::text, SUM(credits)::text"),
};

macro_rules! credit_sums {
    ($sums:literal) => {
        concat!(
            "SELECT (time_seconds - $2 - 1) / $4 AS bucket, kind, ",
            $sums,
            " FROM entries \
             WHERE account_id = $1 AND NOT superseded AND kind IN ('Granted', 'Purchased', 'Adjusted') \
             AND time_seconds > $2 AND time_seconds <= $3 GROUP BY bucket, kind ORDER BY bucket, kind"
        )
    };
}

/// Sums of credits that arrived, in buckets of $4 seconds, after second $2 and up to second $3.
pub(super) const CREDIT_SUMS: Sql = Sql {
    sqlite: credit_sums!("SUM(credits_whole), SUM(credits_nanos)"),
    postgres: credit_sums!("TRUNC(SUM(credits))::bigint, (MOD(SUM(credits), 1) * 1000000000)::bigint"),
};
