//! The history in the store that the operator writes.

use flashgate_history::query::{self, Buckets, TransactionFilter};
use flashgate_history::{InvoiceRow, Store, StoreError, StoredAccount};
use flashgate_ledger::Credits;
use flashgate_ledger::invoice::InvoiceState;
use futures::future::BoxFuture;

use super::{
    AccountKey, BalancePoint, Cause, CreditSum, Direction, Grouping, History, HistoryError, InvoiceRecord,
    InvoicesFrom, ListedInvoice, ListedPage, RateSum, Record, RecordPage, RecordQuery, Transaction,
    TransactionPage, TransactionQuery, Usage, UsageLine, UsageQuery, UsageSum, entry_id, ledger_only,
};
use crate::book::{EntryContent, KeptEntry};
use crate::hash::short_hash;
use crate::offers::STORAGE_EGRESS;

/// The label that the published API calls `repoId`.
const REPO: &str = "repo";

/// Bytes of the hash that tells rows of one entry apart.
const ROW_BYTES: usize = 4;

/// The history in a store. It only reads.
#[derive(Clone, Debug)]
pub struct StoreHistory {
    store: Store,
}

impl From<StoreError> for HistoryError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

impl StoreHistory {
    /// Returns the history in a store, which need not be available yet.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    async fn account(&self, key: &AccountKey) -> Result<Option<StoredAccount>, StoreError> {
        let AccountKey { namespace, name, account } = key;
        self.store.account_of(namespace, name, account.as_deref()).await
    }

    async fn read_transactions(
        &self,
        key: &AccountKey,
        query: &TransactionQuery,
    ) -> Result<TransactionPage, StoreError> {
        let Some(account) = self.account(key).await? else { return Ok(TransactionPage::default()) };
        let filter = TransactionFilter {
            credits: query.direction != Direction::Out,
            usage: query.direction != Direction::In,
            from: query.from,
            to: query.to,
            label: query.repo.as_ref().map(|repo| (REPO.to_owned(), repo.clone())),
        };
        let page = self.store.transactions(&account, &filter, query.offset, query.limit).await?;
        Ok(TransactionPage {
            transactions: page.transactions.into_iter().filter_map(transaction).collect(),
            total: page.total,
        })
    }

    async fn read_usage(&self, key: &AccountKey, query: &UsageQuery) -> Result<Vec<UsageSum>, StoreError> {
        let Some(account) = self.account(key).await? else { return Ok(Vec::new()) };
        let sums = self.store.usage_by_bucket(&account, buckets(query)).await?;
        Ok(sums.iter().filter_map(|sum| usage_sum(sum, query)).collect())
    }

    async fn read_credits(&self, key: &AccountKey, query: &UsageQuery) -> Result<Vec<CreditSum>, StoreError> {
        let Some(account) = self.account(key).await? else { return Ok(Vec::new()) };
        let sums = self.store.credits_by_bucket(&account, buckets(query)).await?;
        let sum = |sum: query::BucketCredits| {
            let bucket = usize::try_from(sum.bucket).ok()?;
            Some(CreditSum { bucket, is_purchase: sum.kind == "Purchased", credits: sum.credits })
        };
        Ok(sums.into_iter().filter_map(sum).collect())
    }

    async fn read_invoices(&self, key: &AccountKey) -> Result<Vec<InvoiceRecord>, StoreError> {
        let Some(account) = self.account(key).await? else { return Ok(Vec::new()) };
        let (mut invoices, mut last) = (Vec::new(), String::new());
        loop {
            let page = self.store.invoices(&account, &last).await?;
            let Some(end) = page.last() else { break };
            last.clone_from(&end.number);
            invoices.extend(page.into_iter().filter_map(invoice));
        }
        invoices.reverse();
        Ok(invoices)
    }
}

/// The reads of the page.
impl StoreHistory {
    async fn read_rates(&self, key: &AccountKey, query: &UsageQuery) -> Result<Vec<RateSum>, StoreError> {
        let Some(account) = self.account(key).await? else { return Ok(Vec::new()) };
        let sums = self.store.usage_by_rate(&account, buckets(query)).await?;
        let sum = |sum: flashgate_history::UsageSum| RateSum {
            node_type: sum.node_type,
            operation: sum.operation,
            quantity: sum.quantity,
            credits: sum.credits,
        };
        Ok(sums.into_iter().map(sum).collect())
    }

    async fn read_balances(
        &self,
        key: &AccountKey,
        query: &UsageQuery,
    ) -> Result<Vec<BalancePoint>, StoreError> {
        let Some(account) = self.account(key).await? else { return Ok(Vec::new()) };
        let found = self.store.balances_by_bucket(&account, buckets(query)).await?;
        Ok(found.into_iter().map(|end| BalancePoint { time: end.time, balance: end.balance }).collect())
    }

    async fn read_records(&self, key: &AccountKey, query: &RecordQuery) -> Result<RecordPage, StoreError> {
        let Some(account) = self.account(key).await? else { return Ok(RecordPage::default()) };
        let page = self.store.entry_page(&account, &query.filter, query.place, query.limit).await?;
        let records = page.rows.into_iter().map(Record::of_stored).collect();
        Ok(RecordPage { records, has_more: page.has_more })
    }

    async fn read_invoice_page(
        &self,
        key: &AccountKey,
        from: &InvoicesFrom,
        limit: u32,
    ) -> Result<ListedPage, StoreError> {
        let Some(account) = self.account(key).await? else { return Ok(ListedPage::default()) };
        let page = self.store.invoice_page(&account, from.place(), limit).await?;
        let invoices = page.invoices.into_iter().filter_map(ListedInvoice::of_stored).collect();
        Ok(ListedPage { invoices, has_more: page.has_more })
    }

    async fn read_invoice(
        &self,
        key: &AccountKey,
        number: &str,
    ) -> Result<Option<ListedInvoice>, StoreError> {
        let Some(account) = self.account(key).await? else { return Ok(None) };
        Ok(self.store.invoice(&account, number).await?.and_then(ListedInvoice::of_stored))
    }
}

impl History for StoreHistory {
    fn transactions<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a TransactionQuery,
    ) -> BoxFuture<'a, Result<TransactionPage, HistoryError>> {
        Box::pin(async move { Ok(self.read_transactions(account, query).await?) })
    }

    fn invoices<'a>(
        &'a self,
        account: &'a AccountKey,
    ) -> BoxFuture<'a, Result<Vec<InvoiceRecord>, HistoryError>> {
        Box::pin(async move { Ok(self.read_invoices(account).await?) })
    }

    fn usage<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a UsageQuery,
    ) -> BoxFuture<'a, Result<Vec<UsageSum>, HistoryError>> {
        Box::pin(async move { Ok(self.read_usage(account, query).await?) })
    }

    fn rates<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a UsageQuery,
    ) -> BoxFuture<'a, Result<Vec<RateSum>, HistoryError>> {
        Box::pin(async move { Ok(self.read_rates(account, query).await?) })
    }

    fn balances<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a UsageQuery,
    ) -> BoxFuture<'a, Result<Vec<BalancePoint>, HistoryError>> {
        Box::pin(async move { Ok(self.read_balances(account, query).await?) })
    }

    fn records<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a RecordQuery,
    ) -> BoxFuture<'a, Result<RecordPage, HistoryError>> {
        Box::pin(async move { Ok(self.read_records(account, query).await?) })
    }

    fn invoice_page<'a>(
        &'a self,
        account: &'a AccountKey,
        from: &'a InvoicesFrom,
        limit: u32,
    ) -> BoxFuture<'a, Result<ListedPage, HistoryError>> {
        Box::pin(async move { Ok(self.read_invoice_page(account, from, limit).await?) })
    }

    fn invoice<'a>(
        &'a self,
        account: &'a AccountKey,
        number: &'a str,
    ) -> BoxFuture<'a, Result<Option<ListedInvoice>, HistoryError>> {
        Box::pin(async move { Ok(self.read_invoice(account, number).await?) })
    }

    fn credits<'a>(
        &'a self,
        account: &'a AccountKey,
        query: &'a UsageQuery,
    ) -> BoxFuture<'a, Result<Vec<CreditSum>, HistoryError>> {
        Box::pin(async move { Ok(self.read_credits(account, query).await?) })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), HistoryError>> {
        Box::pin(async move { Ok(self.store.id().await.map(drop)?) })
    }
}

fn buckets(query: &UsageQuery) -> Buckets {
    let count = i64::try_from(query.buckets).unwrap_or(i64::MAX);
    Buckets { start: query.start, seconds: query.bucket_seconds, count }
}

/// Returns a recorded transaction. A charge without rows of usage is consumption without a line.
fn transaction(recorded: query::Transaction) -> Option<Transaction> {
    match recorded {
        query::Transaction::Entry { branch, entry } => {
            let content = EntryContent {
                time: entry.time,
                kind: entry.kind,
                credits: entry.credits,
                detail: entry.detail,
            };
            let (id, number) = (entry_id(&branch, entry.number), Some(entry.number));
            ledger_only::transaction(&KeptEntry { id, number, content })
        }
        query::Transaction::Usage { branch, usage } => {
            let row = format!("{}/{}/{:?}", usage.node_type, usage.operation, usage.labels);
            let line = UsageLine {
                node_type: usage.node_type,
                operation: usage.operation,
                quantity: usage.quantity,
                labels: usage.labels,
            };
            let cause = Usage {
                report: usage.report,
                source: usage.source,
                window: Some((usage.window.start_time, usage.window.end_time)),
                line: Some(line),
            };
            Some(Transaction {
                id: format!("{}-{}", entry_id(&branch, usage.entry), short_hash(row, ROW_BYTES)),
                time: usage.charge_time,
                credits: usage.credits.negated(),
                cause: Cause::Usage(Box::new(cause)),
            })
        }
    }
}

/// Returns a sum that the query selects, with its group.
fn usage_sum(sum: &query::BucketUsage, query: &UsageQuery) -> Option<UsageSum> {
    let has = |(name, value): &(String, String)| sum.labels.get(name) == Some(value);
    if !query.labels.iter().all(has) {
        return None;
    }
    let group = match &query.group_by {
        Some(Grouping::Label(label)) => sum.labels.get(label)?.clone(),
        Some(Grouping::Rate) => format!("{}/{}", sum.node_type, sum.operation),
        None => String::new(),
    };
    let bucket = usize::try_from(sum.bucket).ok()?;
    Some(UsageSum { bucket, group, is_storage: sum.operation == STORAGE_EGRESS, credits: sum.credits })
}

/// Returns a recorded invoice, unless its entry was lost: nothing is known of it then but its state.
fn invoice(row: InvoiceRow) -> Option<InvoiceRecord> {
    let InvoiceRow { number, time, amount, currency, state, .. } = row;
    let state = InvoiceState::ALL.into_iter().find(|known| known.as_str() == state)?;
    let amount: Credits = amount;
    (!currency.is_empty()).then_some(InvoiceRecord { number, time, amount, currency, state })
}
