//! The columns that rows are read from, in each database. PostgreSQL splits its decimals into whole numbers, which SQLite
//! stores.

/// The columns of [`crate::rows::EntryRow`].
macro_rules! entry_columns {
    (sqlite) => {
        "branch, number, sequence, entry_index, time_seconds, time_nanos, kind, credits_whole, credits_nanos, \
         balance_whole, balance_nanos, detail, hash, is_cover, totals"
    };
    (postgres) => {
        "branch, number, sequence, entry_index, time_seconds, time_nanos, kind, TRUNC(credits)::bigint, \
         (MOD(credits, 1) * 1000000000)::bigint, TRUNC(balance)::bigint, (MOD(balance, 1) * 1000000000)::bigint, \
         detail, hash, is_cover, totals"
    };
}

/// The columns of a row of usage, as [`crate::rows::usage_from_data`] reads them.
macro_rules! usage_columns {
    (sqlite) => {
        "entry, branch, report, report_uid, source, start_seconds, start_nanos, end_seconds, end_nanos, \
         charge_seconds, charge_nanos, node_type, operation, labels, labels_known, quantity_whole, quantity_nanos, \
         quantity_attos, credits_whole, credits_nanos"
    };
    (postgres) => {
        "entry, branch, report, report_uid, source, start_seconds, start_nanos, end_seconds, end_nanos, \
         charge_seconds, charge_nanos, node_type, operation, labels, labels_known, TRUNC(quantity)::bigint, \
         TRUNC(MOD(quantity, 1) * 1000000000)::bigint, (MOD(quantity * 1000000000, 1) * 1000000000)::bigint, \
         TRUNC(credits)::bigint, (MOD(credits, 1) * 1000000000)::bigint"
    };
}

/// The columns of [`crate::invoices::InvoiceRow`].
macro_rules! invoice_columns {
    (sqlite) => {
        "invoice, issued_entry, state_entry, time_seconds, time_nanos, reason, amount_whole, amount_nanos, currency, \
         state, billing_details, lines"
    };
    (postgres) => {
        "invoice, issued_entry, state_entry, time_seconds, time_nanos, reason, TRUNC(amount)::bigint, \
         (MOD(amount, 1) * 1000000000)::bigint, currency, state, billing_details, lines"
    };
}

pub(crate) use {entry_columns, invoice_columns, usage_columns};
