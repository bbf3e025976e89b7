//! The faults of a run, and how often they occur.

use std::collections::{BTreeMap, BTreeSet};

use flashgate_testing::Random;

use crate::outcome::Disorder;

/// One way in which things go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A request never arrives; the client waits in vain.
    LostRequest,
    /// The client gives up; the request arrives later.
    LateRequest,
    /// A request takes effect; its reply is lost.
    LostReply,
    /// A request takes effect, and once more later.
    RepeatedRequest,
    /// A request is sent again at once; the client gets the second answer.
    ResentRequest,
    /// A write is answered with 409 and has no effect.
    Conflict,
    /// A request is answered with 429 and has no effect.
    TooManyRequests,
    /// A request is answered with 503 and has no effect.
    Unavailable,
    /// A request is answered with 504 and takes effect all the same.
    GatewayTimeout,
    /// An operator dies between any two steps; another begins with lists that may be old.
    Crash,
    /// An operator stands still for a while, as with SIGSTOP.
    Pause,
    /// One of its watches lists again: the operator never sees the events in between.
    Relist,
    /// The same with a list from an API server that is behind.
    StaleRelist,
    /// Another operator begins to do the same work.
    SecondOperator,
    /// A clock goes wrong within the tolerance.
    ClockSkew,
    /// A clock goes wrong beyond it.
    ClockStep,
    /// A sweep runs.
    Sweep,
    /// etcd is restored from a snapshot: what was written since is lost.
    RestoredEtcd,
}

/// Faults of one exchange.
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

/// Decides what goes wrong. Some runs have many faults of few kinds, others few of many.
#[derive(Debug)]
pub struct Faults {
    exchanges: Vec<Fault>,
    operators: Vec<Fault>,
    /// Whether etcd is restored now and then.
    restores: bool,
    permille: (u64, u64),
    /// Faults so far, those that were left out included.
    pub count: usize,
    left_out: BTreeSet<usize>,
    /// Faults that took place.
    pub injected: BTreeMap<Fault, u64>,
}

impl Faults {
    /// Returns the faults of a run, without those numbered in `left_out`.
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
        // Drawn apart, so that runs without this fault stay as they were.
        let restores = disorder == Disorder::Wild && Random::new(seed, 4).chance(300);
        Self { exchanges, operators, restores, permille, count: 0, left_out, injected: BTreeMap::new() }
    }

    /// Returns what goes wrong with an exchange, if anything does.
    pub fn of_exchange(&mut self, random: &mut Random) -> Option<Fault> {
        let fault = random.chance(self.permille.0).then(|| one_of(random, &self.exchanges))??;
        self.admit(fault)
    }

    /// Returns what goes wrong with an operator, if anything does.
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
