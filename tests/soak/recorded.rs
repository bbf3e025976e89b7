//! Checks the history at the end of a soak test: it is complete, and a judge agrees with every balance.

use std::time::Duration;

use flashgate_api::CreditLedger;
use flashgate_history::{Filter, HistoryUrl, RowContent, Store, chain};
use futures::TryStreamExt as _;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use crate::judge::Judge;
use crate::postgres::Postgres;
use crate::world::{World, eventually};

/// Maximum time for the last entries to be recorded.
const CATCH_UP: Duration = Duration::from_mins(2);

/// The store in which both operators record the history.
pub struct Recorded {
    url: String,
    /// The server, if the store is not a file. It ends with this value.
    _postgres: Option<Postgres>,
}

impl Recorded {
    /// Chooses the store, and starts its server if it has one.
    pub async fn start(world: &World, is_postgres: bool) -> Self {
        if is_postgres {
            let postgres = Postgres::start().await;
            return Self { url: postgres.admin_url(), _postgres: Some(postgres) };
        }
        let file = world.plane.folder().join("history.db");
        Self { url: format!("sqlite:{}", file.display()), _postgres: None }
    }

    /// Returns its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until the history ends where the ledgers do, and judges every account. Returns the number of entries.
    pub async fn judge_all(&self, world: &World) -> usize {
        let url: HistoryUrl = self.url.parse().expect("a URL");
        judge_all(world, &Store::open(&url).expect("a store").expect("a store")).await
    }
}

async fn judge_all(world: &World, store: &Store) -> usize {
    let ledgers: Api<CreditLedger> = Api::all(world.client().await);
    let ledgers = ledgers.list(&ListParams::default()).await.expect("ledgers").items;
    let mut entries = 0;
    for ledger in ledgers {
        let (namespace, name) = (ledger.namespace().expect("a namespace"), ledger.name_any());
        let filter = Filter::default();
        let complete = eventually("the last entry is recorded", async || {
            let accounts = store.accounts(Some((namespace.clone(), name.clone())));
            let accounts: Vec<_> = accounts.try_collect().await.expect("accounts");
            let account = accounts.into_iter().find(|account| account.id.account == ledger.spec.account)?;
            let rows: Vec<_> = store.rows(&account, &filter).try_collect().await.expect("rows");
            (rows.last().map(flashgate_history::Row::number) == ledger.spec.entry_number)
                .then_some((account, rows))
        });
        let (account, rows) = complete.within(CATCH_UP).await_some().await;
        let mut judge = Judge::default();
        for (row, number) in rows.iter().zip(1..) {
            let RowContent::Entry { entry, .. } = &row.content else {
                unreachable!("a gap or an opening: {row:?}")
            };
            assert_eq!(entry.number, number, "{name}");
            let record = chain::canonical(&account.id.subscription(), entry);
            let record: Value = serde_json::from_str(&record).expect("an entry");
            judge.replay(&record).expect(&name);
            entries += 1;
        }
        let spec = serde_json::to_value(&ledger.spec).expect("JSON");
        judge.judge_ledger(&spec).expect(&name);
    }
    entries
}
