//! The plans: faults and where they occur, enumerated from a run without faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use flashgate_testing::simulated::ObjectKind;
use sha2::{Digest as _, Sha256};

use crate::campaign::faults::Fault;
use crate::campaign::proxy::Target;

/// The family of a plan: a column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// The operator crashes once.
    Crash,
    /// The operator crashes again at the first write after its restart.
    CrashTwice,
    /// The result of a write is unknown, or the reply is wrong.
    Doubt,
    /// A write is refused, delayed or cut.
    Refusal,
    /// A read fails or takes long.
    Read,
    /// There are two operators.
    TwoOperators,
    /// The operator sees stale objects.
    StaleViews,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 7] = [
        Self::Crash,
        Self::CrashTwice,
        Self::Doubt,
        Self::Refusal,
        Self::Read,
        Self::TwoOperators,
        Self::StaleViews,
    ];
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Crash => "crash",
            Self::CrashTwice => "crash twice",
            Self::Doubt => "doubt",
            Self::Refusal => "refusal",
            Self::Read => "read",
            Self::TwoOperators => "two operators",
            Self::StaleViews => "old views",
        })
    }
}

/// The faults of an operator between its start and its end.
#[derive(Clone, Debug, Default)]
pub struct ProcessPlan {
    /// The failpoint at which the operator crashes, as for `--failpoint`.
    pub failpoint: Option<String>,
    /// The fault that the proxy injects.
    pub fault: Option<(Target, Fault)>,
    /// A kind whose list is stale, and whose changes are delayed.
    pub stale: Option<ObjectKind>,
}

impl ProcessPlan {
    /// Returns whether the operator is killed.
    pub fn is_killed(&self) -> bool {
        self.failpoint.is_some() || self.fault.as_ref().is_some_and(|(_, fault)| KILLS.contains(fault))
    }
}

/// A kind whose changes arrive after all other traffic.
#[derive(Clone, Copy, Debug)]
pub struct Freeze {
    /// The kind.
    pub kind: ObjectKind,
    /// The step in which they are late; every step if absent.
    pub step: Option<usize>,
}

/// A second operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondOperator {
    /// It runs from the beginning.
    Always,
    /// It starts when the first operator is held.
    Standby,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The name: `payments/replace-ledger#2/reply-lost`.
    pub name: String,
    /// The family.
    pub family: Family,
    /// The faults of each operator process. After these, one runs without faults.
    pub processes: Vec<ProcessPlan>,
    /// The second operator, if there is one.
    pub second: Option<SecondOperator>,
    /// The kind that is late for the second operator, or for the only one.
    pub freeze: Option<Freeze>,
}

impl Plan {
    fn new(name: String, family: Family) -> Self {
        Self { name, family, processes: Vec::new(), second: None, freeze: None }
    }

    /// Returns whether the plan has no faults.
    pub fn is_without_faults(&self) -> bool {
        self.processes.is_empty() && self.second.is_none() && self.freeze.is_none()
    }

    /// Returns the plan without faults.
    pub fn without_faults(workload: &str) -> Self {
        Self::new(format!("{workload}/nothing"), Family::Crash)
    }
}

/// The calls of an operator in a run without faults, counted by name.
#[derive(Clone, Debug, Default)]
pub struct CallCounts {
    /// Writes.
    pub writes: BTreeMap<String, u32>,
    /// Reads.
    pub reads: BTreeMap<String, u32>,
    /// The kinds that changed in each step.
    pub changed: Vec<BTreeSet<ObjectKind>>,
}

impl CallCounts {
    /// Returns the calls that both runs have.
    pub fn in_common(&self, other: &Self) -> Self {
        let least = |one: &BTreeMap<String, u32>, other: &BTreeMap<String, u32>| {
            let least =
                one.iter().filter_map(|(name, count)| Some((name.clone(), (*count).min(*other.get(name)?))));
            least.collect()
        };
        let changed = self.changed.iter().zip(&other.changed);
        Self {
            writes: least(&self.writes, &other.writes),
            reads: least(&self.reads, &other.reads),
            changed: changed.map(|(one, other)| one & other).collect(),
        }
    }
}

/// The points during a write at which an operator is killed.
const KILLS: [Fault; 3] = [Fault::KillBeforeSending, Fault::KillBeforeReply, Fault::KillAfterReply];

/// Returns every plan of a workload. `calls` are the calls of a run without faults.
pub fn enumerate(workload: &str, calls: &CallCounts) -> Vec<Plan> {
    let mut plans = Vec::new();
    let kinds: BTreeSet<ObjectKind> = calls.changed.iter().flatten().copied().collect();
    for (call, nth) in numbered(&calls.writes) {
        plans.extend(of_write(workload, &call, nth));
        if call.ends_with("-ledger") {
            plans.extend(kinds.iter().map(|kind| stale_after_kill(workload, &call, nth, *kind)));
        }
    }
    plans.extend(of_recordings(workload, &calls.writes));
    for (call, nth) in numbered(&calls.reads) {
        plans.extend(Fault::OF_READS.map(|fault| with_fault(workload, &call, nth, fault, Family::Read)));
    }
    plans.push(Plan {
        second: Some(SecondOperator::Always),
        ..Plan::new(format!("{workload}/two-operators"), Family::TwoOperators)
    });
    for kind in kinds {
        let seen_late = |suffix: &str| format!("{workload}/{suffix}/{}", kind.as_str());
        plans.push(Plan {
            second: Some(SecondOperator::Always),
            freeze: Some(Freeze { kind, step: None }),
            ..Plan::new(seen_late("two-operators-one-sees-late"), Family::TwoOperators)
        });
        let steps = calls.changed.iter().enumerate().filter(|(_, changed)| changed.contains(&kind));
        plans.extend(steps.map(|(step, _)| Plan {
            freeze: Some(Freeze { kind, step: Some(step) }),
            ..Plan::new(format!("{}/{step}", seen_late("sees-late")), Family::StaleViews)
        }));
    }
    plans
}

fn numbered(counts: &BTreeMap<String, u32>) -> impl Iterator<Item = (String, u32)> {
    counts.iter().flat_map(|(call, count)| (1..=*count).map(|nth| (call.clone(), nth)))
}

fn of_write(workload: &str, call: &str, nth: u32) -> Vec<Plan> {
    let mut plans = Vec::new();
    let named = |suffix: &str| format!("{workload}/{call}#{nth}/{suffix}");
    for death in KILLS {
        let process = kill_at(call, nth, death);
        let again = ProcessPlan { fault: Some((Target::FirstWrite, death)), ..ProcessPlan::default() };
        plans.push(Plan {
            processes: vec![process.clone()],
            ..Plan::new(named(&death.to_string()), Family::Crash)
        });
        plans.push(Plan {
            processes: vec![process, again],
            ..Plan::new(named(&format!("{death}-twice")), Family::CrashTwice)
        });
    }
    plans.extend(Fault::OF_WRITES.map(|fault| {
        let family = match fault {
            Fault::Refuse(_) | Fault::Delay | Fault::Cut | Fault::NoReply => Family::Refusal,
            _ => Family::Doubt,
        };
        with_fault(workload, call, nth, fault, family)
    }));
    plans.push(Plan {
        second: Some(SecondOperator::Standby),
        ..with_fault(workload, call, nth, Fault::Hold, Family::TwoOperators)
    });
    plans
}

/// Returns the plans in which the operator is killed before or after it records the entries of a commit.
fn of_recordings(workload: &str, writes: &BTreeMap<String, u32>) -> Vec<Plan> {
    let commits =
        writes.iter().filter(|(call, _)| call.ends_with("-ledger")).map(|(_, count)| count).sum::<u32>();
    let moments = [Fault::KillBeforeSending, Fault::KillAfterReply];
    let plans = (1..=commits).flat_map(|nth| moments.map(|death| (nth, death)));
    let plans = plans.map(|(nth, death)| Plan {
        processes: vec![kill_at("record", nth, death)],
        ..Plan::new(format!("{workload}/record#{nth}/{death}"), Family::Crash)
    });
    plans.collect()
}

/// Returns the plan in which the operator crashes after a commit and then gets a stale list of a kind.
fn stale_after_kill(workload: &str, call: &str, nth: u32, kind: ObjectKind) -> Plan {
    let process = kill_at(call, nth, Fault::KillAfterReply);
    let next = ProcessPlan { stale: Some(kind), ..ProcessPlan::default() };
    let name = format!("{workload}/{call}#{nth}/{}-then-old/{}", Fault::KillAfterReply, kind.as_str());
    Plan { processes: vec![process, next], ..Plan::new(name, Family::StaleViews) }
}

fn with_fault(workload: &str, call: &str, nth: u32, fault: Fault, family: Family) -> Plan {
    let process =
        ProcessPlan { fault: Some((Target::Nth(call.to_owned(), nth), fault)), ..ProcessPlan::default() };
    Plan { processes: vec![process], ..Plan::new(format!("{workload}/{call}#{nth}/{fault}"), family) }
}

/// Returns faults that kill the operator at a write. Uses a failpoint where one exists.
fn kill_at(call: &str, nth: u32, death: Fault) -> ProcessPlan {
    let by_itself = |moment: &str| Some(format!("{call}#{nth}@{moment}=kill"));
    match death {
        Fault::KillBeforeSending => ProcessPlan { failpoint: by_itself("before"), ..ProcessPlan::default() },
        Fault::KillAfterReply => ProcessPlan { failpoint: by_itself("after"), ..ProcessPlan::default() },
        _ => {
            ProcessPlan { fault: Some((Target::Nth(call.to_owned(), nth), death)), ..ProcessPlan::default() }
        }
    }
}

/// A selection of plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every plan.
    All,
    /// This many, spread evenly.
    Some(usize),
}

impl std::str::FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(count)) if count > 0 => Ok(Self::Some(count)),
            _ => Err(format!("'{text}' is not a number of plans: must be 'all' or a number above 0")),
        }
    }
}

impl Selection {
    /// Returns the selected plans, in an order that spreads neighbours. The selection depends only on the
    /// name of each plan.
    pub fn of(&self, mut plans: Vec<Plan>) -> Vec<Plan> {
        plans.sort_by_cached_key(|plan| Sha256::digest(&plan.name));
        if let Self::Some(wanted) = *self {
            plans.truncate(wanted);
        }
        plans
    }
}
