//! Random scripts: afterwards the store has the committed entries, each once and in order, or a gap row that says so.

use std::collections::BTreeSet;

use flashgate_history::verify::verify;
use flashgate_history::{Batch, Filter, RowContent};
use futures::TryStreamExt;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::stores::ledger::Ledger;
use crate::stores::place::{self, Place};
use crate::stores::recording::{lines, only_account};

/// A step of a script.
#[derive(Clone, Debug)]
enum Step {
    /// Commits entries.
    Commit(u8),
    /// The operator records, once or again after a lost reply.
    Record { times: u8 },
    /// The operator commits and stops before it records. Its batch can arrive later.
    Delay,
    /// A batch of earlier arrives, late or again.
    Late(prop::sample::Index),
    /// The ledger drops its oldest entries.
    Drop(prop::sample::Index),
    /// An administrator accepts an earlier content. The operator records it at once.
    Accept(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = || any::<prop::sample::Index>();
    prop_oneof![
        4 => (1..5_u8).prop_map(Step::Commit),
        4 => (1..3_u8).prop_map(|times| Step::Record { times }),
        2 => Just(Step::Delay),
        3 => index().prop_map(Step::Late),
        2 => index().prop_map(Step::Drop),
        1 => index().prop_map(Step::Accept),
    ]
}

/// A ledger, and the batches that were sent or are on their way.
struct World {
    ledger: Ledger,
    batches: Vec<Batch>,
    /// Hashes of the entries that the store received.
    received: BTreeSet<String>,
    branches: u32,
}

impl World {
    fn new() -> Self {
        Self { ledger: Ledger::new("acme"), batches: Vec::new(), received: BTreeSet::new(), branches: 0 }
    }

    fn commit(&mut self, entries: u8) {
        for index in 0..entries {
            if index % 2 == 0 {
                self.ledger.grant("10");
            } else {
                let report = format!("r{}", self.ledger.number());
                self.ledger.charge(
                    &report,
                    &[("TokensOut", &[("model", "a")], "3", "1.5"), ("Egress", &[], "1", "2")],
                );
            }
        }
    }

    async fn send(&mut self, places: &[Place], batch: Batch) {
        for place in places {
            place.store.record(std::slice::from_ref(&batch)).await.unwrap();
        }
        self.received.extend(batch.entries.iter().map(|entry| entry.hash.clone()));
        self.batches.push(batch);
    }

    async fn take(&mut self, places: &[Place], step: Step) {
        match step {
            Step::Commit(entries) => self.commit(entries),
            Step::Record { times } => {
                for _ in 0..times {
                    self.send(places, self.ledger.batch()).await;
                }
            }
            Step::Delay => self.batches.push(self.ledger.batch()),
            Step::Late(index) => {
                if !self.batches.is_empty() {
                    let batch = self.batches[index.index(self.batches.len())].clone();
                    self.send(places, batch).await;
                }
            }
            Step::Drop(index) => {
                // The ledger keeps an accepted content until it is recorded.
                let held = self.ledger.entries.len() - self.ledger.dropped;
                self.ledger.dropped += index.index(held + 1);
            }
            Step::Accept(index) => {
                let number = i64::try_from(index.index(self.ledger.entries.len() + 1)).unwrap();
                self.branches += 1;
                self.ledger.accept(number, &format!("{:016x}", self.branches), "50");
                self.send(places, self.ledger.batch()).await;
            }
        }
    }

    /// Checks that the rows are the entries of the ledger, in order, and that covers stand for the others.
    async fn check(&self, place: &Place) {
        let account = only_account(&place.store).await;
        let rows: Vec<_> = place.store.rows(&account, &Filter::default()).try_collect().await.unwrap();
        let mut last = 0;
        for row in &rows {
            let entry = &self.ledger.entries[usize::try_from(row.number()).unwrap() - 1];
            match &row.content {
                RowContent::Entry { entry: found, .. } => {
                    assert_eq!(found, entry);
                    assert_eq!(found.number, last + 1);
                }
                RowContent::Opening(opening) => assert_eq!((last, &opening.hash), (0, &entry.hash)),
                RowContent::Gap(gap, opening) => {
                    assert_eq!((gap.first, gap.last), (last + 1, opening.number));
                    assert_eq!(opening.hash, entry.hash);
                }
            }
            last = row.number();
        }
        assert_eq!(last, self.ledger.number());
        let is_entry = |number: i64| {
            rows.iter().any(|row| row.number() == number && matches!(row.content, RowContent::Entry { .. }))
        };
        for entry in &self.ledger.entries {
            assert!(
                !self.received.contains(&entry.hash) || is_entry(entry.number),
                "{} is lost",
                entry.number
            );
        }
        let report = verify(&place.store).await.unwrap().remove(0);
        assert_eq!(report.problems, []);
        assert_eq!((report.number, report.balance), (self.ledger.number(), self.ledger.balance()));
        assert_eq!(report.totals, self.ledger.totals(self.ledger.entries.len()));
    }
}

/// Runs a script on every place, and checks the results.
fn run(places: impl AsyncFnOnce() -> Vec<Place>, steps: Vec<Step>) {
    Runtime::new().unwrap().block_on(async {
        let places = places().await;
        let mut world = World::new();
        world.commit(3);
        for step in steps {
            world.take(&places, step).await;
        }
        world.send(&places, world.ledger.batch()).await;
        let mut exports = Vec::new();
        for place in &places {
            world.check(place).await;
            exports.push(lines(&place.store).await);
        }
        exports.dedup();
        assert_eq!(exports.len(), 1, "the exports differ");
    });
}

proptest! {
    #[test]
    fn a_store_has_every_entry_once_in_order_or_a_gap(steps in prop::collection::vec(step(), 1..24)) {
        run(async || vec![place::sqlite().await], steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_have_equal_exports(steps in prop::collection::vec(step(), 1..24)) {
        run(async || vec![place::sqlite().await, place::postgres().await], steps);
    }
}
