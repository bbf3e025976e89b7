-- Times have one column for seconds and one for nanoseconds, because TIMESTAMPTZ has microseconds. Names compare byte by
-- byte, so that both stores have the same order.
CREATE TABLE store (id TEXT NOT NULL PRIMARY KEY);

INSERT INTO store (id) VALUES (gen_random_uuid()::text);

CREATE TABLE accounts (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
  -- Number of the first row that retention kept. Earlier entries are not recorded again.
  pruned_number BIGINT NOT NULL,
  UNIQUE (namespace, name, account)
);

CREATE TABLE branches (
  account_id BIGINT NOT NULL REFERENCES accounts (id),
  branch TEXT COLLATE "C" NOT NULL,
  -- 0 for the branch without a name, then in the order of arrival.
  position BIGINT NOT NULL,
  -- Number of its first entry.
  first_number BIGINT NOT NULL,
  PRIMARY KEY (account_id, branch)
);

CREATE TABLE entries (
  account_id BIGINT NOT NULL REFERENCES accounts (id),
  branch TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL,
  sequence BIGINT NOT NULL,
  entry_index BIGINT NOT NULL,
  time_seconds BIGINT NOT NULL,
  time_nanos BIGINT NOT NULL,
  kind TEXT NOT NULL,
  credits NUMERIC(28, 9) NOT NULL,
  balance NUMERIC(28, 9) NOT NULL,
  detail TEXT NOT NULL,
  hash TEXT NOT NULL,
  -- True for a row that stands for all entries up to its number that are not recorded.
  is_cover BOOLEAN NOT NULL,
  -- Lifetime totals at this entry as JSON, where they do not follow from earlier rows.
  totals TEXT,
  -- True if a later branch replaces the row.
  superseded BOOLEAN NOT NULL,
  PRIMARY KEY (account_id, number, branch)
);

CREATE TABLE usage (
  account_id BIGINT NOT NULL,
  entry BIGINT NOT NULL,
  branch TEXT COLLATE "C" NOT NULL,
  -- SHA-256 of node type, operation and labels.
  group_key TEXT COLLATE "C" NOT NULL,
  report TEXT NOT NULL,
  report_uid TEXT NOT NULL,
  source TEXT NOT NULL,
  start_seconds BIGINT NOT NULL,
  start_nanos BIGINT NOT NULL,
  end_seconds BIGINT NOT NULL,
  end_nanos BIGINT NOT NULL,
  charge_seconds BIGINT NOT NULL,
  charge_nanos BIGINT NOT NULL,
  node_type TEXT NOT NULL,
  operation TEXT NOT NULL,
  labels TEXT NOT NULL,
  labels_known BOOLEAN NOT NULL,
  quantity NUMERIC(37, 18) NOT NULL,
  credits NUMERIC(28, 9) NOT NULL,
  PRIMARY KEY (account_id, entry, branch, group_key),
  FOREIGN KEY (account_id, entry, branch) REFERENCES entries (account_id, number, branch)
    ON DELETE CASCADE ON UPDATE CASCADE
);

CREATE TABLE invoices (
  account_id BIGINT NOT NULL REFERENCES accounts (id),
  invoice TEXT COLLATE "C" NOT NULL,
  -- Entry that issued it. 0 while that entry is not recorded.
  issued_entry BIGINT NOT NULL,
  -- Last entry that changed its state.
  state_entry BIGINT NOT NULL,
  time_seconds BIGINT NOT NULL,
  time_nanos BIGINT NOT NULL,
  reason TEXT NOT NULL,
  amount NUMERIC(28, 9) NOT NULL,
  currency TEXT NOT NULL,
  state TEXT NOT NULL,
  billing_details TEXT,
  lines TEXT,
  PRIMARY KEY (account_id, invoice)
);
