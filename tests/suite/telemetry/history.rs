//! Causes the alerts about the history: a store that is not available, lost entries, and changed entries.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use flashgate_testing::catalog::monthly;

use super::causes::Scene;
use crate::cluster_account::LONG_AGO;
use crate::suite::runbooks::Runbook;
use crate::world::{Operator, World};

/// Namespace whose accounts are recorded.
pub const RECORDED: &str = "recorded";

/// Namespace whose history store is not available.
pub const UNRECORDED: &str = "unrecorded";

/// Place of the operator of [`RECORDED`] in the scene.
const RECORDER: usize = 3;

/// Number of adjustments: more entries than a ledger keeps.
const ADJUSTMENTS: usize = 30;

/// Changes a file of SQLite.
const EDIT: &str = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";

/// Returns the file of the history.
pub fn store(world: &World) -> PathBuf {
    world.plane.folder().join("history.db")
}

/// Starts an operator that records the accounts of a namespace into a file.
pub fn start(world: &World, namespace: &str, metrics: SocketAddr, store: &Path) -> Operator {
    let metrics = metrics.to_string();
    let arguments = ["--metrics-addr", &metrics, "--namespace", namespace];
    let history = format!("sqlite:{}", store.display());
    let log = world.plane.folder().join(format!("{namespace}.log"));
    Operator::start_as(&world.plane.kubeconfig(), &arguments, &[("FLASHGATE_HISTORY", &history)], &log)
}

impl Scene<'_> {
    /// Deletes recorded entries of one account, which its ledger no longer has, and changes the entries of another.
    /// Meanwhile the entries of a third account cannot be recorded.
    pub async fn change_a_history(&mut self) {
        let plan = || monthly("organization-free");
        self.world.namespace(UNRECORDED).await.account("acme").subscribe(plan(), Some(LONG_AGO)).await;
        let recorded = self.world.namespace(RECORDED).await;
        let (gapped, changed) = (recorded.account("gapped"), recorded.account("changed"));
        for account in [&gapped, &changed] {
            account.subscribe(plan(), Some(LONG_AGO)).await;
            account.balance("40").await;
        }
        for number in 0..ADJUSTMENTS {
            gapped.adjust(&format!("gift-{number}"), "1").await;
        }
        gapped.balance("70").await;
        self.operators.remove(RECORDER).terminate().await;
        let of = |name: &str| format!("account_id = (SELECT id FROM accounts WHERE name = '{name}')");
        let statements = format!(
            "DELETE FROM entries WHERE number > 1 AND {}; UPDATE entries SET hash = 'changed' WHERE {};",
            of("gapped"),
            of("changed")
        );
        let file = store(self.world);
        let edited = Command::new("python3").args(["-c", EDIT]).arg(&file).arg(&statements).output();
        let edited = edited.expect("python3");
        assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
        let operator = start(self.world, RECORDED, self.addresses[RECORDER], &file);
        self.operators.insert(RECORDER, operator);
    }

    /// The runbooks name the accounts with a gap and with a conflict.
    pub async fn runbooks_find_the_accounts_of_the_history(&self) {
        for (name, account) in
            [("FlashgateHistoryGap.md", "gapped"), ("FlashgateHistoryConflict.md", "changed")]
        {
            let page = Runbook::open(name, self.world, &[]);
            let printed = page.walk("Diagnosis").await;
            assert!(printed.contains(&format!("subscription/{account}")), "{name}:\n{printed}");
            page.assert_complete();
        }
    }
}
