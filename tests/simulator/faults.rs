//! The faults of a run, and their frequency.

use std::collections::{BTreeMap, BTreeSet};

use flashgate_testing::Random;

use crate::outcome::Disorder;

/// A type of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A request never arrives, and the client times out.
    LostRequest,
    /// The client times out, and the request arrives later.
    LateRequest,
    /// A request takes effect, but the reply is lost.
    LostReply,
    /// A request takes effect, and takes effect again later.
    RepeatedRequest,
    /// A request is repeated at once. The client gets the second reply.
    ResentRequest,
    /// A write is rejected with 409 and has no effect.
    Conflict,
    /// A request is rejected with 429 and has no effect.
    TooManyRequests,
    /// A request is rejected with 503 and has no effect.
    Unavailable,
    /// A request takes effect, but the reply is 504.
    GatewayTimeout,
    /// An operator crashes between two steps. Another starts with lists that may be stale.
    Crash,
    /// An operator is paused, as with SIGSTOP.
    Pause,
    /// A watch lists again, so the operator misses the events in between.
    Relist,
    /// The same, with a stale list from an API server that is behind.
    StaleRelist,
    /// A second operator starts and does the same work.
    SecondOperator,
    /// The clock of an operator is wrong, within the tolerance.
    ClockSkew,
    /// The clock of an operator is wrong beyond the tolerance.
    ClockStep,
    /// A sweep runs.
    Sweep,
    /// etcd is restored from a snapshot. Later writes are lost.
    RestoredEtcd,
    /// The history store is down for a while.
    HistoryDown,
    /// A call of the history store fails and has no effect.
    HistoryUnavailable,
    /// A call of the history store takes effect, but the reply is lost.
    LostHistoryReply,
    /// The history store is restored from a backup. Later rows are lost.
    RestoredHistory,
}

/// Faults of a request.
const OF_EXCHANGES: [Fault; 9] = [
    Fault::LostRequest,
    Fault::LateRequest,
    Fault::LostReply,
    Fault::RepeatedRequest,
    Fault::ResentRequest,
    Fault::Conflict,
    Fault::TooManyRequests,
    Fault::Unavailable,
    Fault::GatewayTimeout,
];

/// Faults of an operator.
const OF_OPERATORS: [Fault; 8] = [
    Fault::Crash,
    Fault::Pause,
    Fault::Relist,
    Fault::StaleRelist,
    Fault::SecondOperator,
    Fault::ClockSkew,
    Fault::ClockStep,
    Fault::Sweep,
];

/// Selects the faults. Some runs have many faults of few types, others have few faults of many types.
#[derive(Debug)]
pub struct Faults {
    exchanges: Vec<Fault>,
    operators: Vec<Fault>,
    /// Whether etcd is sometimes restored.
    restores: bool,
    permille: (u64, u64),
    /// Number of faults, including those that were left out.
    pub count: usize,
    left_out: BTreeSet<usize>,
    /// Faults that occurred.
    pub injected: BTreeMap<Fault, u64>,
}

impl Faults {
    /// Returns the faults of a run, except those with a number in `left_out`.
    pub fn of(seed: u64, disorder: Disorder, left_out: BTreeSet<usize>) -> Self {
        let mut random = Random::new(seed, 2);
        let mut some = |all: &[Fault]| {
            let chosen = all.iter().copied().filter(|fault| {
                let fits = match fault {
                    Fault::StaleRelist | Fault::ClockSkew | Fault::ClockStep => {
                        disorder != Disorder::Informed
                    }
                    _ => true,
                };
                random.chance(550) && fits
            });
            chosen.collect::<Vec<_>>()
        };
        let (exchanges, operators) = (some(&OF_EXCHANGES), some(&OF_OPERATORS));
        let permille = (random.pick(&[0, 30, 100, 250]), random.pick(&[0, 10, 30, 80]));
        // Drawn from its own generator, so that runs without this fault do not change.
        let restores = disorder == Disorder::Wild && Random::new(seed, 4).chance(300);
        Self { exchanges, operators, restores, permille, count: 0, left_out, injected: BTreeMap::new() }
    }

    /// Returns the fault of a request, if any.
    pub fn of_exchange(&mut self, random: &mut Random) -> Option<Fault> {
        let fault = random.chance(self.permille.0).then(|| one_of(random, &self.exchanges))??;
        self.admit(fault)
    }

    /// Returns the fault of an operator, if any.
    pub fn of_operator(&mut self, random: &mut Random) -> Option<Fault> {
        let fault = random.chance(self.permille.1).then(|| one_of(random, &self.operators))??;
        self.admit(fault)
    }

    /// Returns whether a snapshot of etcd is taken now.
    pub fn takes_snapshot(&self, random: &mut Random) -> bool {
        self.restores && random.chance(400)
    }

    /// Returns whether etcd is restored now.
    pub fn of_etcd(&mut self, random: &mut Random) -> bool {
        self.restores && random.chance(10) && self.admit(Fault::RestoredEtcd).is_some()
    }

    fn admit(&mut self, fault: Fault) -> Option<Fault> {
        self.count += 1;
        if self.left_out.contains(&self.count) {
            return None;
        }
        *self.injected.entry(fault).or_default() += 1;
        Some(fault)
    }
}

fn one_of(random: &mut Random, faults: &[Fault]) -> Option<Fault> {
    (!faults.is_empty()).then(|| random.pick(faults))
}
