//! The statements, each with its text for SQLite and for PostgreSQL.

use crate::columns::{entry_columns, invoice_columns, usage_columns};
use crate::database::{Sql, Value, same};

/// Returns the statement that reads the columns of a row, with the same text after them in both databases.
macro_rules! select {
    ($columns:ident, $source:literal) => {
        Sql {
            sqlite: concat!("SELECT ", $columns!(sqlite), " ", $source),
            postgres: concat!("SELECT ", $columns!(postgres), " ", $source),
        }
    };
}

pub(crate) const STORE_ID: Sql = same("SELECT id FROM store ORDER BY id LIMIT 1");

/// The account, locked until the end of the transaction. SQLite locks the whole file when the transaction begins.
pub(crate) const ACCOUNT: Sql = Sql {
    sqlite: "SELECT id, pruned_number FROM accounts WHERE namespace = $1 AND name = $2 AND account = $3",
    postgres: "SELECT id, pruned_number FROM accounts WHERE namespace = $1 AND name = $2 AND account = $3 FOR UPDATE",
};

pub(crate) const INSERT_ACCOUNT: Sql = same(
    "INSERT INTO accounts (namespace, name, account, pruned_number) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING",
);

pub(crate) const SET_PRUNED: Sql = same("UPDATE accounts SET pruned_number = $2 WHERE id = $1");

/// A page of accounts after a given one.
pub(crate) const ACCOUNTS: Sql = same(
    "SELECT namespace, name, account, id FROM accounts WHERE (namespace, name, account) > ($1, $2, $3) \
     ORDER BY namespace, name, account LIMIT $4",
);

/// A page of the accounts of one Subscription after a given one.
pub(crate) const ACCOUNTS_OF_SUBSCRIPTION: Sql = same(
    "SELECT namespace, name, account, id FROM accounts WHERE namespace = $1 AND name = $2 AND account > $3 \
     ORDER BY account LIMIT $4",
);

pub(crate) const BRANCHES: Sql =
    same("SELECT branch, position, first_number FROM branches WHERE account_id = $1 ORDER BY position");

pub(crate) const INSERT_BRANCH: Sql =
    same("INSERT INTO branches (account_id, branch, position, first_number) VALUES ($1, $2, $3, $4)");

/// The rows of a branch with a number from $3 to $4 that the plan of a batch needs: those from $5 to $6, the last one
/// before them, the first one after them, and the last of all.
pub(crate) const WINDOW: Sql = same(
    "SELECT number, hash, is_cover, sequence FROM entries \
     WHERE account_id = $1 AND branch = $2 AND number >= $3 AND number <= $4 AND number >= $5 AND number <= $6 \
     UNION ALL SELECT * FROM (SELECT number, hash, is_cover, sequence FROM entries \
       WHERE account_id = $1 AND branch = $2 AND number >= $3 AND number <= $4 AND number < $5 \
       ORDER BY number DESC LIMIT 1) AS row_before \
     UNION ALL SELECT * FROM (SELECT number, hash, is_cover, sequence FROM entries \
       WHERE account_id = $1 AND branch = $2 AND number >= $3 AND number <= $4 AND number > $6 \
       ORDER BY number LIMIT 1) AS row_after \
     UNION ALL SELECT * FROM (SELECT number, hash, is_cover, sequence FROM entries \
       WHERE account_id = $1 AND branch = $2 AND number >= $3 AND number <= $4 \
       ORDER BY number DESC LIMIT 1) AS row_last",
);

/// Sets the number of the first entry of a branch.
pub(crate) const SET_FIRST_NUMBER: Sql =
    same("UPDATE branches SET first_number = $3 WHERE account_id = $1 AND branch = $2");

/// Marks the rows of a branch that a later branch replaces.
pub(crate) const SUPERSEDE: Sql = same(
    "UPDATE entries SET superseded = TRUE WHERE account_id = $1 AND number >= $2 AND branch = $3 AND NOT superseded",
);

/// Moves a cover to another branch.
pub(crate) const MOVE_COVER: Sql = same(
    "UPDATE entries SET branch = $3 WHERE account_id = $1 AND number = $2 AND is_cover = TRUE AND NOT superseded",
);

/// Moves the rows before a branch to the branch without a name.
pub(crate) const MOVE_TO_FIRST_BRANCH: Sql =
    same("UPDATE entries SET branch = '' WHERE account_id = $1 AND number < $2 AND branch = $3");

pub(crate) const DELETE_COVER: Sql = Sql {
    sqlite: "DELETE FROM entries WHERE account_id = $1 AND number = $2 AND branch = $3 AND is_cover = TRUE",
    postgres: "DELETE FROM entries USING UNNEST($1::bigint[], $2::bigint[], $3::text[]) AS gone (account, entry, name) \
         WHERE account_id = gone.account AND number = gone.entry AND branch = gone.name AND is_cover",
};

pub(crate) const INSERT_ENTRIES: Sql = Sql {
    sqlite: "INSERT INTO entries (account_id, branch, number, sequence, entry_index, time_seconds, time_nanos, kind, \
       credits_whole, credits_nanos, balance_whole, balance_nanos, detail, hash, is_cover, totals, superseded) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
    postgres: "INSERT INTO entries (account_id, branch, number, sequence, entry_index, time_seconds, time_nanos, kind, \
       credits, balance, detail, hash, is_cover, totals, superseded) \
     SELECT account_id, branch, number, sequence, entry_index, time_seconds, time_nanos, kind, \
       credits_whole + credits_nanos * 0.000000001, balance_whole + balance_nanos * 0.000000001, \
       detail, hash, is_cover, totals, superseded \
     FROM UNNEST($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
       $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::boolean[], \
       $16::text[], $17::boolean[]) \
     AS given (account_id, branch, number, sequence, entry_index, time_seconds, time_nanos, kind, credits_whole, \
       credits_nanos, balance_whole, balance_nanos, detail, hash, is_cover, totals, superseded)",
};

pub(crate) const INSERT_USAGE: Sql = Sql {
    sqlite: "INSERT INTO usage (account_id, entry, branch, group_key, report, report_uid, source, start_seconds, \
       start_nanos, end_seconds, end_nanos, charge_seconds, charge_nanos, node_type, operation, labels, labels_known, \
       quantity_whole, quantity_nanos, quantity_attos, credits_whole, credits_nanos) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
    postgres: "INSERT INTO usage (account_id, entry, branch, group_key, report, report_uid, source, start_seconds, \
       start_nanos, end_seconds, end_nanos, charge_seconds, charge_nanos, node_type, operation, labels, labels_known, \
       quantity, credits) \
     SELECT account_id, entry, branch, group_key, report, report_uid, source, start_seconds, start_nanos, end_seconds, \
       end_nanos, charge_seconds, charge_nanos, node_type, operation, labels, labels_known, \
       quantity_whole + quantity_nanos * 0.000000001 + quantity_attos * 0.000000000000000001, \
       credits_whole + credits_nanos * 0.000000001 \
     FROM UNNEST($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], \
       $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::text[], \
       $17::boolean[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[]) \
     AS given (account_id, entry, branch, group_key, report, report_uid, source, start_seconds, start_nanos, end_seconds, \
       end_nanos, charge_seconds, charge_nanos, node_type, operation, labels, labels_known, quantity_whole, \
       quantity_nanos, quantity_attos, credits_whole, credits_nanos)",
};

/// A page of the rows of an account that are not superseded, after number $2 and up to $3, with a time in seconds from
/// $4 to $5.
pub(crate) const ROWS: Sql = select!(
    entry_columns,
    "FROM entries WHERE account_id = $1 AND number > $2 AND number <= $3 AND NOT superseded AND \
     time_seconds >= $4 AND time_seconds <= $5 ORDER BY number LIMIT $6"
);

/// A page of the rows of a branch, superseded or not, after number $3 and up to $4.
pub(crate) const ROWS_OF_BRANCH: Sql = select!(
    entry_columns,
    "FROM entries WHERE account_id = $1 AND branch = $2 AND number > $3 AND number <= $4 ORDER BY number \
     LIMIT $5"
);

/// The number of the last row before a row, or nothing.
pub(crate) const PREVIOUS_NUMBER: Sql = same(
    "SELECT number FROM entries WHERE account_id = $1 AND number < $2 AND NOT superseded ORDER BY number DESC LIMIT 1",
);

/// The usage of the entries of an account with a number from $2 to $3.
pub(crate) const USAGE: Sql = select!(
    usage_columns,
    "FROM usage WHERE account_id = $1 AND entry >= $2 AND entry <= $3 ORDER BY entry, branch, group_key"
);

/// The sums of an account's usage by node type, operation and labels, charged in seconds from $2 to $3. SQLite sums parts
/// of at most nine digits, so that no sum exceeds 64 bits.
pub(crate) const USAGE_SUMS: Sql = Sql {
    sqlite: "SELECT usage.node_type, usage.operation, usage.labels, COUNT(*), \
       SUM(usage.quantity_whole / 1000000000), SUM(usage.quantity_whole % 1000000000), SUM(usage.quantity_nanos), \
       SUM(usage.quantity_attos), SUM(usage.credits_whole / 1000000000), SUM(usage.credits_whole % 1000000000), \
       SUM(usage.credits_nanos) \
     FROM usage CROSS JOIN entries ON entries.account_id = usage.account_id AND entries.number = usage.entry \
       AND entries.branch = usage.branch \
     WHERE usage.account_id = $1 AND usage.charge_seconds >= $2 AND usage.charge_seconds < $3 \
       AND NOT entries.superseded \
     GROUP BY usage.node_type, usage.operation, usage.labels ORDER BY 1, 2, 3",
    postgres: "SELECT usage.node_type, usage.operation, usage.labels, COUNT(*), SUM(usage.quantity)::text, \
       SUM(usage.credits)::text \
     FROM usage JOIN entries ON entries.account_id = usage.account_id AND entries.number = usage.entry \
       AND entries.branch = usage.branch \
     WHERE usage.account_id = $1 AND usage.charge_seconds >= $2 AND usage.charge_seconds < $3 \
       AND NOT entries.superseded \
     GROUP BY usage.node_type, usage.operation, usage.labels \
     ORDER BY usage.node_type COLLATE \"C\", usage.operation COLLATE \"C\", usage.labels COLLATE \"C\"",
};

pub(crate) const INVOICE: Sql =
    select!(invoice_columns, "FROM invoices WHERE account_id = $1 AND invoice = $2");

/// A page of the invoices of an account after a given one.
pub(crate) const INVOICES: Sql = select!(
    invoice_columns,
    "FROM invoices WHERE account_id = $1 AND invoice > $2 ORDER BY invoice LIMIT $3"
);

/// Deletes the invoices whose state is from an entry or later.
pub(crate) const DELETE_INVOICES: Sql =
    same("DELETE FROM invoices WHERE account_id = $1 AND state_entry >= $2");

/// Deletes the invoices that are not open and did not change since an entry.
pub(crate) const PRUNE_INVOICES: Sql =
    same("DELETE FROM invoices WHERE account_id = $1 AND state_entry < $2 AND state <> 'Open'");

pub(crate) const UPSERT_INVOICE: Sql = Sql {
    sqlite: "INSERT INTO invoices (account_id, invoice, issued_entry, state_entry, time_seconds, time_nanos, reason, \
       amount_whole, amount_nanos, currency, state, billing_details, lines) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
     ON CONFLICT (account_id, invoice) DO UPDATE SET issued_entry = excluded.issued_entry, \
       state_entry = excluded.state_entry, time_seconds = excluded.time_seconds, time_nanos = excluded.time_nanos, \
       reason = excluded.reason, amount_whole = excluded.amount_whole, amount_nanos = excluded.amount_nanos, \
       currency = excluded.currency, state = excluded.state, billing_details = excluded.billing_details, \
       lines = excluded.lines",
    postgres: "INSERT INTO invoices (account_id, invoice, issued_entry, state_entry, time_seconds, time_nanos, reason, \
       amount, currency, state, billing_details, lines) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8::bigint + $9::bigint * 0.000000001, $10, $11, $12, $13) \
     ON CONFLICT (account_id, invoice) DO UPDATE SET issued_entry = excluded.issued_entry, \
       state_entry = excluded.state_entry, time_seconds = excluded.time_seconds, time_nanos = excluded.time_nanos, \
       reason = excluded.reason, amount = excluded.amount, currency = excluded.currency, state = excluded.state, \
       billing_details = excluded.billing_details, lines = excluded.lines",
};

/// The first row of an account that is not older than a time in seconds.
pub(crate) const FIRST_SINCE: Sql = same(
    "SELECT number FROM entries WHERE account_id = $1 AND NOT superseded AND time_seconds >= $2 \
     ORDER BY number LIMIT 1",
);

pub(crate) const SET_TOTALS: Sql =
    same("UPDATE entries SET totals = $3 WHERE account_id = $1 AND number = $2 AND NOT superseded");

/// Deletes the rows before a number. Their usage is deleted by its foreign key.
pub(crate) const DELETE_BEFORE: Sql = same("DELETE FROM entries WHERE account_id = $1 AND number < $2");

/// Every statement that reads or changes rows by a condition, with sample values. Its plan must use an index.
pub(crate) fn indexed() -> Vec<(&'static str, Sql, Vec<Value>)> {
    let number = Value::Integer;
    let text = || Value::Text("acme".to_owned());
    vec![
        ("account", ACCOUNT, vec![text(), text(), text()]),
        ("accounts", ACCOUNTS, vec![text(), text(), text(), number(1)]),
        ("accounts of a Subscription", ACCOUNTS_OF_SUBSCRIPTION, vec![text(), text(), text(), number(1)]),
        ("branches", BRANCHES, vec![number(1)]),
        ("window", WINDOW, vec![number(1), text(), number(0), number(9), number(1), number(2)]),
        ("supersede", SUPERSEDE, vec![number(1), number(2), text()]),
        ("set first number", SET_FIRST_NUMBER, vec![number(1), text(), number(2)]),
        ("move cover", MOVE_COVER, vec![number(1), number(2), text()]),
        ("move", MOVE_TO_FIRST_BRANCH, vec![number(1), number(2), text()]),
        ("rows", ROWS, vec![number(1), number(2), number(9), number(0), number(9), number(1)]),
        ("rows of a branch", ROWS_OF_BRANCH, vec![number(1), text(), number(2), number(9), number(1)]),
        ("previous number", PREVIOUS_NUMBER, vec![number(1), number(2)]),
        ("usage", USAGE, vec![number(1), number(2), number(3)]),
        ("usage sums", USAGE_SUMS, vec![number(1), number(2), number(3)]),
        ("invoice", INVOICE, vec![number(1), text()]),
        ("invoices", INVOICES, vec![number(1), text(), number(1)]),
        ("delete invoices", DELETE_INVOICES, vec![number(1), number(2)]),
        ("prune invoices", PRUNE_INVOICES, vec![number(1), number(2)]),
        ("set pruned", SET_PRUNED, vec![number(1), number(2)]),
        ("first since", FIRST_SINCE, vec![number(1), number(2)]),
        ("set totals", SET_TOTALS, vec![number(1), number(2), text()]),
        ("delete before", DELETE_BEFORE, vec![number(1), number(2)]),
    ]
}
