-- Entries that are not charges: few among many. They bound the numbers of a range of time.
CREATE INDEX entries_besides_charges ON entries (account_id, number) WHERE kind <> 'Charged';

-- Invoices in the order of their numbers: all numbers of an account have the same beginning, and at least four digits.
CREATE INDEX invoices_by_number ON invoices (account_id, length(invoice), invoice);
