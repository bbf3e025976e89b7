-- Entries by which credits arrive: few among many charges.
CREATE INDEX entries_credits ON entries (account_id, number) WHERE kind IN ('Granted', 'Purchased', 'Adjusted');

-- Usage by the end of its window.
CREATE INDEX usage_by_end ON usage (account_id, end_seconds);
