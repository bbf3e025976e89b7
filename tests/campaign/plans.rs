//! The plans: what goes wrong where, enumerated from a run in which nothing does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use flashgate_testing::simulated::ObjectKind;
use sha2::{Digest as _, Sha256};

use crate::campaign::faults::Fault;
use crate::campaign::proxy::Target;

/// What kind of plan it is: a column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// The operator dies once.
    Crash,
    /// It dies again with the first write of its recovery.
    CrashTwice,
    /// What became of a write is not known, or known wrongly.
    Doubt,
    /// A write is refused, delayed or cut.
    Refusal,
    /// A read fails or takes long.
    Read,
    /// There are two operators.
    TwoOperators,
    /// What an operator sees is old.
    OldViews,
}

impl Family {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Crash,
        Self::CrashTwice,
        Self::Doubt,
        Self::Refusal,
        Self::Read,
        Self::TwoOperators,
        Self::OldViews,
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
            Self::OldViews => "old views",
        })
    }
}

/// What befalls an operator between its start and its end.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Where it dies by itself, as `--failpoint` says.
    pub failpoint: Option<String>,
    /// What the proxy does.
    pub fault: Option<(Target, Fault)>,
    /// A kind that is listed as it was before the moment, and whose changes come late.
    pub stale: Option<ObjectKind>,
}

impl Life {
    /// Returns whether it ends with the operator's death.
    pub fn is_deadly(&self) -> bool {
        self.failpoint.is_some() || self.fault.as_ref().is_some_and(|(_, fault)| DEATHS.contains(fault))
    }
}

/// A kind whose changes come late, after everything else.
#[derive(Clone, Copy, Debug)]
pub struct Freeze {
    /// The kind.
    pub kind: ObjectKind,
    /// The moment at which they do; at each, when absent.
    pub step: Option<usize>,
}

/// A second operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rival {
    /// It is there from the beginning.
    Always,
    /// It starts when the first one is held up.
    Standby,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it is called: `payments/replace-ledger#2/reply-lost`.
    pub name: String,
    /// What kind of plan it is.
    pub family: Family,
    /// What befalls the operator; after these lives it is left alone.
    pub lives: Vec<Life>,
    /// Whether there is a second one.
    pub rival: Option<Rival>,
    /// What it, or the second where there is one, sees late.
    pub freeze: Option<Freeze>,
}

impl Plan {
    fn new(name: String, family: Family) -> Self {
        Self { name, family, lives: Vec::new(), rival: None, freeze: None }
    }

    /// Returns whether nothing is to go wrong.
    pub fn is_peaceful(&self) -> bool {
        self.lives.is_empty() && self.rival.is_none() && self.freeze.is_none()
    }

    /// Returns the plan in which nothing goes wrong.
    pub fn without_faults(workload: &str) -> Self {
        Self::new(format!("{workload}/nothing"), Family::Crash)
    }
}

/// What an operator did to which nothing happened, counted by name.
#[derive(Clone, Debug, Default)]
pub struct Deeds {
    /// Writes.
    pub writes: BTreeMap<String, u32>,
    /// Reads.
    pub reads: BTreeMap<String, u32>,
    /// Kinds of which something changed, at each moment.
    pub changed: Vec<BTreeSet<ObjectKind>>,
}

impl Deeds {
    /// Returns what both did.
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

/// Moments of a write at which an operator dies.
const DEATHS: [Fault; 3] = [Fault::KillBeforeSending, Fault::KillBeforeReply, Fault::KillAfterReply];

/// Returns every plan of a workload, in which the operator does `deeds` when nothing goes wrong.
pub fn enumerate(workload: &str, deeds: &Deeds) -> Vec<Plan> {
    let mut plans = Vec::new();
    let kinds: BTreeSet<ObjectKind> = deeds.changed.iter().flatten().copied().collect();
    for (call, nth) in numbered(&deeds.writes) {
        plans.extend(of_write(workload, &call, nth));
        if call.ends_with("-ledger") {
            plans.extend(kinds.iter().map(|kind| then_old(workload, &call, nth, *kind)));
        }
    }
    for (call, nth) in numbered(&deeds.reads) {
        plans.extend(Fault::OF_READS.map(|fault| with_fault(workload, &call, nth, fault, Family::Read)));
    }
    plans.push(Plan {
        rival: Some(Rival::Always),
        ..Plan::new(format!("{workload}/two-operators"), Family::TwoOperators)
    });
    for kind in kinds {
        let seen_late = |suffix: &str| format!("{workload}/{suffix}/{}", kind.as_str());
        plans.push(Plan {
            rival: Some(Rival::Always),
            freeze: Some(Freeze { kind, step: None }),
            ..Plan::new(seen_late("two-operators-one-sees-late"), Family::TwoOperators)
        });
        let steps = deeds.changed.iter().enumerate().filter(|(_, changed)| changed.contains(&kind));
        plans.extend(steps.map(|(step, _)| Plan {
            freeze: Some(Freeze { kind, step: Some(step) }),
            ..Plan::new(format!("{}/{step}", seen_late("sees-late")), Family::OldViews)
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
    for death in DEATHS {
        let life = dying(call, nth, death);
        let again = Life { fault: Some((Target::FirstWrite, death)), ..Life::default() };
        plans.push(Plan { lives: vec![life.clone()], ..Plan::new(named(&death.to_string()), Family::Crash) });
        plans.push(Plan {
            lives: vec![life, again],
            ..Plan::new(named(&format!("{death}-twice")), Family::CrashTwice)
        });
    }
    plans.extend(Fault::OF_WRITES.map(|fault| {
        let family = match fault {
            Fault::Refuse(_) | Fault::Delay | Fault::Cut | Fault::Swallow => Family::Refusal,
            _ => Family::Doubt,
        };
        with_fault(workload, call, nth, fault, family)
    }));
    plans.push(Plan {
        rival: Some(Rival::Standby),
        ..with_fault(workload, call, nth, Fault::Hold, Family::TwoOperators)
    });
    plans
}

/// Returns the plan in which the operator dies after a commit and then lists a kind as it was before.
fn then_old(workload: &str, call: &str, nth: u32, kind: ObjectKind) -> Plan {
    let life = dying(call, nth, Fault::KillAfterReply);
    let next = Life { stale: Some(kind), ..Life::default() };
    let name = format!("{workload}/{call}#{nth}/{}-then-old/{}", Fault::KillAfterReply, kind.as_str());
    Plan { lives: vec![life, next], ..Plan::new(name, Family::OldViews) }
}

fn with_fault(workload: &str, call: &str, nth: u32, fault: Fault, family: Family) -> Plan {
    let life = Life { fault: Some((Target::Nth(call.to_owned(), nth), fault)), ..Life::default() };
    Plan { lives: vec![life], ..Plan::new(format!("{workload}/{call}#{nth}/{fault}"), family) }
}

/// Returns a life that ends with a write: by the operator's own failpoints where these know the moment.
fn dying(call: &str, nth: u32, death: Fault) -> Life {
    let by_itself = |moment: &str| Some(format!("{call}#{nth}@{moment}=kill"));
    match death {
        Fault::KillBeforeSending => Life { failpoint: by_itself("before"), ..Life::default() },
        Fault::KillAfterReply => Life { failpoint: by_itself("after"), ..Life::default() },
        _ => Life { fault: Some((Target::Nth(call.to_owned(), nth), death)), ..Life::default() },
    }
}

/// Which plans are played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Every plan.
    All,
    /// This many, spread evenly.
    Some(usize),
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(count)) if count > 0 => Ok(Self::Some(count)),
            _ => Err(format!("'{text}' is no choice of plans: must be 'all' or a number above 0")),
        }
    }
}

impl Choice {
    /// Returns the plans that are played: as many as wanted, where there are, in an order that takes neighbours far
    /// apart. Each is chosen by its own name: that another one came or went changes nothing for it.
    pub fn of(&self, mut plans: Vec<Plan>) -> Vec<Plan> {
        plans.sort_by_cached_key(|plan| Sha256::digest(&plan.name));
        if let Self::Some(wanted) = *self {
            plans.truncate(wanted);
        }
        plans
    }
}
