-- Amounts have one column for whole credits and one for units of 10^-9, both with the same sign, because SQLite's
-- NUMERIC turns decimals into floating-point numbers. Times have one column for seconds and one for nanoseconds.
CREATE TABLE store (id TEXT NOT NULL PRIMARY KEY) STRICT;

INSERT INTO store (id)
SELECT substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-4' || substr(hex, 14, 3) || '-8' || substr(hex, 18, 3) || '-'
  || substr(hex, 21, 12)
FROM (SELECT lower(hex(randomblob(16))) AS hex);

CREATE TABLE accounts (
  id INTEGER NOT NULL PRIMARY KEY,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  account TEXT NOT NULL,
  -- Number of the first row that retention kept. Earlier entries are not recorded again.
  pruned_number INTEGER NOT NULL,
  UNIQUE (namespace, name, account)
) STRICT;

CREATE TABLE branches (
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  branch TEXT NOT NULL,
  -- 0 for the branch without a name, then in the order of arrival.
  position INTEGER NOT NULL,
  -- Number of its first entry.
  first_number INTEGER NOT NULL,
  PRIMARY KEY (account_id, branch)
) STRICT;

CREATE TABLE entries (
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  branch TEXT NOT NULL,
  number INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  entry_index INTEGER NOT NULL,
  time_seconds INTEGER NOT NULL,
  time_nanos INTEGER NOT NULL,
  kind TEXT NOT NULL,
  credits_whole INTEGER NOT NULL,
  credits_nanos INTEGER NOT NULL,
  balance_whole INTEGER NOT NULL,
  balance_nanos INTEGER NOT NULL,
  detail TEXT NOT NULL,
  hash TEXT NOT NULL,
  -- 1 for a row that stands for all entries up to its number that are not recorded.
  is_cover INTEGER NOT NULL,
  -- Lifetime totals at this entry as JSON, where they do not follow from earlier rows.
  totals TEXT,
  -- 1 if a later branch replaces the row.
  superseded INTEGER NOT NULL,
  PRIMARY KEY (account_id, number, branch)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
  account_id INTEGER NOT NULL,
  entry INTEGER NOT NULL,
  branch TEXT NOT NULL,
  -- SHA-256 of node type, operation and labels.
  group_key TEXT NOT NULL,
  report TEXT NOT NULL,
  report_uid TEXT NOT NULL,
  source TEXT NOT NULL,
  start_seconds INTEGER NOT NULL,
  start_nanos INTEGER NOT NULL,
  end_seconds INTEGER NOT NULL,
  end_nanos INTEGER NOT NULL,
  charge_seconds INTEGER NOT NULL,
  charge_nanos INTEGER NOT NULL,
  node_type TEXT NOT NULL,
  operation TEXT NOT NULL,
  labels TEXT NOT NULL,
  labels_known INTEGER NOT NULL,
  quantity_whole INTEGER NOT NULL,
  quantity_nanos INTEGER NOT NULL,
  quantity_attos INTEGER NOT NULL,
  credits_whole INTEGER NOT NULL,
  credits_nanos INTEGER NOT NULL,
  PRIMARY KEY (account_id, entry, branch, group_key),
  FOREIGN KEY (account_id, entry, branch) REFERENCES entries (account_id, number, branch)
    ON DELETE CASCADE ON UPDATE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE invoices (
  account_id INTEGER NOT NULL REFERENCES accounts (id),
  invoice TEXT NOT NULL,
  -- Entry that issued it. 0 while that entry is not recorded.
  issued_entry INTEGER NOT NULL,
  -- Last entry that changed its state.
  state_entry INTEGER NOT NULL,
  time_seconds INTEGER NOT NULL,
  time_nanos INTEGER NOT NULL,
  reason TEXT NOT NULL,
  amount_whole INTEGER NOT NULL,
  amount_nanos INTEGER NOT NULL,
  currency TEXT NOT NULL,
  state TEXT NOT NULL,
  billing_details TEXT,
  lines TEXT,
  PRIMARY KEY (account_id, invoice)
) STRICT, WITHOUT ROWID;
