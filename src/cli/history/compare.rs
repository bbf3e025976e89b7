//! Compares a history with itself and with the ledgers of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use flashgate_api::CreditLedger;
use flashgate_history::verify::{AccountReport, verify};
use flashgate_history::{AccountId, Store};
use kube::api::ListParams;
use kube::{Api, Client, Config, ResourceExt as _};
use tokio::time::Instant;

/// Time for which a history that is behind the cluster is read again: its operator may be about to record.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Time between two reads.
const INTERVAL: Duration = Duration::from_millis(500);

/// Ledgers that are listed at once. A ledger has at most 1.5 MB.
const PAGE: u32 = 20;

/// The result of a comparison.
pub struct Comparison {
    /// Accounts of the history.
    pub accounts: usize,
    /// Entries of the history.
    pub entries: u64,
    /// Everything that is not as it must be, one text each.
    pub findings: Vec<String>,
}

/// The last entry of a ledger.
struct Last {
    number: i64,
    hash: String,
}

/// Checks a history, and compares it with the cluster's ledgers. Without a configured cluster, only the history is
/// checked, and a line on stderr says so.
///
/// # Errors
/// When the store or the cluster cannot be read.
pub async fn compare_with_cluster(store: &Store, namespaces: &[String]) -> anyhow::Result<Comparison> {
    // The ledgers are read first: what they have must be in a history that is read later.
    let ledgers = if let Ok(config) = Config::infer().await {
        let client = Client::try_from(config)?;
        let scopes: Vec<Api<CreditLedger>> = if namespaces.is_empty() {
            vec![Api::all(client)]
        } else {
            namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect()
        };
        last_entries(&scopes).await.context("the CreditLedgers cannot be listed")?
    } else {
        anstream::eprintln!(
            "no cluster is configured, so the history is not compared with its CreditLedgers"
        );
        BTreeMap::new()
    };
    let end = Instant::now() + CATCH_UP;
    loop {
        let reports = verify(store).await.with_context(|| format!("{} cannot be read", store.url()))?;
        let behind = findings_about(&ledgers, &reports);
        if behind.is_empty() || Instant::now() >= end {
            let findings = reports.iter().flat_map(findings_of).chain(behind).collect();
            let entries = reports.iter().map(|report| report.entries).sum();
            return Ok(Comparison { accounts: reports.len(), entries, findings });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Returns the last entry of each ledger that has numbered entries.
async fn last_entries(scopes: &[Api<CreditLedger>]) -> kube::Result<BTreeMap<AccountId, Last>> {
    let mut last = BTreeMap::new();
    for ledgers in scopes {
        add_last_entries(ledgers, &mut last).await?;
    }
    Ok(last)
}

async fn add_last_entries(
    ledgers: &Api<CreditLedger>,
    last: &mut BTreeMap<AccountId, Last>,
) -> kube::Result<()> {
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = ledgers.list(&params).await?;
        for ledger in page.items {
            let (namespace, name) = (ledger.namespace().unwrap_or_default(), ledger.name_any());
            let account = AccountId { namespace, name, account: ledger.spec.account };
            if let Some(number) = ledger.spec.entry_number.filter(|number| *number > 0) {
                last.insert(account, Last { number, hash: ledger.spec.entry_hash.unwrap_or_default() });
            }
        }
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(()),
        }
    }
}

/// Returns the findings of one account in itself.
fn findings_of(report: &AccountReport) -> impl Iterator<Item = String> + '_ {
    let account = &report.account;
    let gaps = report.gaps.iter().map(move |gap| format!("{account}: {gap} are lost"));
    gaps.chain(report.problems.iter().map(move |problem| format!("{account}: {problem}")))
}

/// Returns where the history differs from the ledgers.
fn findings_about(ledgers: &BTreeMap<AccountId, Last>, reports: &[AccountReport]) -> BTreeSet<String> {
    let known: BTreeMap<&AccountId, &AccountReport> =
        reports.iter().map(|report| (&report.account, report)).collect();
    let findings = ledgers.iter().filter_map(|(account, ledger)| match known.get(account) {
        None => Some(format!(
            "{account}: it is not in the history; the CreditLedger has {} entries",
            ledger.number
        )),
        Some(report) if report.number < ledger.number => Some(format!(
            "{account}: the history ends at entry {}, and the CreditLedger at entry {}",
            report.number, ledger.number
        )),
        Some(report) if report.number == ledger.number && report.hash != ledger.hash => Some(format!(
            "{account}: entry {} differs from the CreditLedger's: its hash is {}, not {}",
            ledger.number, report.hash, ledger.hash
        )),
        // The history is read later, so it can have more entries.
        Some(_) => None,
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use flashgate_ledger::Credits;
    use flashgate_ledger::ledger::Totals;

    use super::*;

    fn account(name: &str) -> AccountId {
        AccountId { namespace: "default".into(), name: name.into(), account: "1f3a9c2e".into() }
    }

    fn report(name: &str, number: i64, hash: &str) -> AccountReport {
        AccountReport {
            account: account(name),
            entries: 3,
            number,
            hash: hash.into(),
            balance: Credits::ZERO,
            totals: Totals::default(),
            begins_after: None,
            gaps: Vec::new(),
            problems: Vec::new(),
        }
    }

    #[test]
    fn an_account_must_be_in_the_history_up_to_its_last_entry_with_the_same_hash() {
        let last = |number, hash: &str| Last { number, hash: hash.into() };
        let ledgers = BTreeMap::from([
            (account("same"), last(3, "a")),
            (account("ahead"), last(2, "b")),
            (account("behind"), last(4, "a")),
            (account("other"), last(3, "b")),
            (account("absent"), last(1, "a")),
        ]);
        let reports = ["same", "ahead", "behind", "other", "deleted"].map(|name| report(name, 3, "a"));
        let findings: Vec<String> = findings_about(&ledgers, &reports).into_iter().collect();
        assert_eq!(
            findings,
            [
                "default/absent (1f3a9c2e): it is not in the history; the CreditLedger has 1 entries",
                "default/behind (1f3a9c2e): the history ends at entry 3, and the CreditLedger at entry 4",
                "default/other (1f3a9c2e): entry 3 differs from the CreditLedger's: its hash is a, not b",
            ]
        );
    }
}
