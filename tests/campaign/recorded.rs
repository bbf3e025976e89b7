//! The history that the operators of a plan recorded: compared with every committed ledger (I9), and judged.

use std::collections::BTreeMap;
use std::path::Path;

use flashgate_history::{Filter, HistoryUrl, RowContent, Store, UsageRecord, chain};
use flashgate_testing::simulated::{self, Object};
use futures::TryStreamExt as _;
use serde_json::Value;

use crate::entries::{Entries, account_of, check_usage, committed, deleted_by_users};
use crate::judge::Judge;
use crate::oracle::Violation;

/// Rows of one account by number, with their usage.
type Rows = BTreeMap<i64, (String, Vec<UsageRecord>)>;

/// Checks the store in `file` against the cluster of a plan.
///
/// # Errors
/// When the store cannot be read.
pub async fn check(file: &Path, cluster: &simulated::Store) -> anyhow::Result<Result<(), Violation>> {
    let store = Store::open(&HistoryUrl::Sqlite(file.to_owned()))?.expect("a store");
    let recorded = read(&store).await?;
    store.close().await;
    Ok(recorded.and_then(|recorded| compare(&recorded, cluster)))
}

async fn read(store: &Store) -> anyhow::Result<Result<BTreeMap<(String, String), Rows>, Violation>> {
    let mut recorded: BTreeMap<_, Rows> = BTreeMap::new();
    let accounts: Vec<_> = store.accounts(None).try_collect().await?;
    for account in accounts {
        let mut rows = Rows::new();
        let filter = Filter::default();
        for row in store.rows(&account, &filter).try_collect::<Vec<_>>().await? {
            let RowContent::Entry { entry, .. } = row.content else {
                return Ok(Err(Violation(format!("I9: the history has a gap or an opening: {row:?}"))));
            };
            let usage = store.usage(&account, entry.number, entry.number).await?;
            let usage = usage.into_iter().map(|(_, usage)| usage).collect();
            rows.insert(entry.number, (chain::canonical(&account.id.subscription(), &entry), usage));
        }
        recorded.insert((account.id.name.clone(), account.id.account.clone()), rows);
    }
    Ok(Ok(recorded))
}

fn compare(recorded: &BTreeMap<(String, String), Rows>, cluster: &simulated::Store) -> Result<(), Violation> {
    let (committed, deleted) = (committed(cluster), deleted_by_users(cluster));
    let none = Rows::new();
    for (account, entries) in &committed {
        let rows = recorded.get(account).unwrap_or(&none);
        compare_entries(entries, rows)?;
        let mut judge = Judge::default();
        for (record, usage) in rows.values() {
            let entry: Value = serde_json::from_str(record).unwrap_or_default();
            judge.replay(&entry).map_err(|text| Violation(format!("judge: {text}")))?;
            check_usage(&entry, usage, &deleted)?;
        }
        let ledger = cluster.objects().find_map(|object| match object {
            Object::CreditLedger(ledger) if account_of(object, &ledger.spec) == *account => {
                Some(&ledger.spec)
            }
            _ => None,
        });
        let spec = ledger.map(|spec| serde_json::to_value(spec).unwrap_or_default());
        if let Some(spec) = spec {
            judge.judge_ledger(&spec).map_err(|text| Violation(format!("judge: {text}")))?;
        }
    }
    match recorded.keys().find(|account| !committed.contains_key(*account)) {
        Some(account) => Err(Violation(format!("I9: the history has {account:?}, which has no ledger"))),
        None => Ok(()),
    }
}

fn compare_entries(entries: &Entries, rows: &Rows) -> Result<(), Violation> {
    let found: Vec<(i64, &str)> =
        rows.iter().map(|(number, (record, _))| (*number, record.as_str())).collect();
    let expected: Vec<(i64, &str)> =
        entries.iter().map(|(number, record)| (*number, record.as_str())).collect();
    let is_equal =
        found == expected && expected.iter().map(|(number, _)| *number).eq((1..).take(found.len()));
    if is_equal {
        Ok(())
    } else {
        Err(Violation(format!("I9: recorded {found:#?}\ncommitted {expected:#?}")))
    }
}
