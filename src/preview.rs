//! `preview`: the consequences of manifests for the accounts of a cluster, before they are applied.
//!
//! Each account is brought up to date by the operator's own decisions. Then its manifests are applied in memory, and the
//! operator's decisions at the same time are the answer. Nothing is written, and later usage is unknown, so there is none.

use std::collections::BTreeSet;
use std::sync::Arc;

use flashgate_api::fact::{FactState, FactStatus};
use flashgate_api::{
    Condition, CreditAdjustmentStatus, CreditPackStatus, PaymentStatus, READY, SubscriptionStatus,
    UsageReportStatus, condition,
};
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::Catalog;
use flashgate_ledger::entry::{Detail, Entry, FactKind};
use flashgate_ledger::ledger::{Ledger, Violation};
use flashgate_ledger::period::seconds_after;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admission::Admission;
use crate::simulate::SimulateError;
use crate::simulate::manifest::Manifest;
use crate::simulate::resumed::{LiveAccount, ResumeError, Resumed};
use crate::simulate::step::{Action, Kind, ObjectKey, Step};
use crate::statement::{describe, plan_name};

pub mod markdown;
pub mod output;
pub mod table;
#[cfg(test)]
mod tests;

/// Seconds that are looked ahead if the account has no period.
const OUTLOOK_SECONDS: i64 = 35 * 24 * 3_600;

/// Most later events of an account.
const LATER_EVENTS: usize = 20;

/// Reason of an object that the API server would refuse.
const INVALID: &str = "Invalid";

/// Reasons of `Ready` with which a request of a Subscription has no effect.
const REFUSED_REQUESTS: [&str; 3] = ["PlanNotFound", "BillingPeriodNotOffered", "LedgerFull"];

/// The consequences for one account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountPreview {
    /// The Subscription, as namespace/name.
    pub subscription: String,
    /// Balance before the changes. Negative for debt.
    pub balance_before: Credits,
    /// Balance after them.
    pub balance_after: Credits,
    /// Entries that would be written now.
    pub entries: Vec<Entry>,
    /// Events up to the end of the period, if nothing else changes.
    pub later: Vec<Later>,
    /// Objects without the effect that they ask for.
    pub refused: Vec<RefusedObject>,
    /// Number of orders that are new purchases.
    pub new_purchases: usize,
    /// The change of the plan, in words: `upgrade now` or `downgrade on DATE`, with both plans. Absent if it stays.
    pub plan_change: Option<String>,
    /// Names of orders that the account already knows. They buy nothing again.
    pub reused_names: Vec<String>,
    /// Facts that a reviewer must know, such as that a deleted pack refunds nothing.
    pub notes: Vec<String>,
}

/// An event at a later time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// The time.
    pub time: Timestamp,
    /// The event, in words.
    pub what: String,
}

/// An object that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedObject {
    /// The object, as `CreditPack/extra`.
    pub object: String,
    /// The reason in one word.
    pub reason: String,
    /// The reason in a sentence, with the remedy.
    pub message: String,
}

/// The changes of one account, in the order of the files.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// Namespace of the account.
    pub namespace: String,
    /// Name of its Subscription.
    pub name: String,
    /// The changes.
    pub steps: Vec<Step>,
}

/// Rules and clock of a preview.
#[derive(Clone, Copy)]
pub struct Conditions<'a> {
    /// The catalog of the operator.
    pub catalog: &'a Catalog,
    /// The rules of the API server.
    pub admission: &'a Arc<Admission>,
    /// The present time.
    pub wall_time: Timestamp,
    /// Whether the operator allows test clocks in the account's namespace.
    pub allows_test_clock: bool,
}

/// Why no consequences can be computed.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// A manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] SimulateError),
    /// The account cannot be continued.
    #[error("account {account}: {source}")]
    Account {
        /// The account, as namespace/name.
        account: String,
        /// The reason.
        source: ResumeError,
    },
}

/// Returns the changes by account, in the order in which the files name the accounts. `before` are the manifests that `after`
/// replaces: an object that only they have is deleted. Objects of other kinds are left out, and their number is returned.
///
/// # Errors
/// When a manifest cannot be read, has no name, or is one that only the operator writes.
pub fn changes(
    before: impl IntoIterator<Item = Result<Manifest, SimulateError>>,
    after: impl IntoIterator<Item = Result<Manifest, SimulateError>>,
    namespace: &str,
) -> Result<(Vec<Changes>, usize), SimulateError> {
    let (before, _) = stated(before, namespace)?;
    let (after, others) = stated(after, namespace)?;
    let kept: BTreeSet<&ObjectKey> = after.iter().map(|(_, step)| &step.key).collect();
    let removed = before.into_iter().filter(|(_, step)| !kept.contains(&step.key));
    let removed: Vec<_> =
        removed.map(|(account, step)| (account, Step { action: Action::Delete, ..step })).collect();
    let mut changes: Vec<Changes> = Vec::new();
    for ((namespace, name), step) in removed.into_iter().chain(after) {
        let account = changes.iter_mut().find(|other| other.namespace == namespace && other.name == name);
        match account {
            Some(account) => account.steps.push(step),
            None => changes.push(Changes { namespace, name, steps: vec![step] }),
        }
    }
    Ok((changes, others))
}

/// A change, with the namespace and name of its account.
type Stated = ((String, String), Step);

/// Returns the changes that manifests state, and the number of manifests of other kinds.
fn stated(
    manifests: impl IntoIterator<Item = Result<Manifest, SimulateError>>,
    namespace: &str,
) -> Result<(Vec<Stated>, usize), SimulateError> {
    let (mut steps, mut others) = (Vec::new(), 0_usize);
    for manifest in manifests {
        let manifest = manifest?;
        if is_of_others(&manifest.object) {
            others = others.saturating_add(1);
            continue;
        }
        let step = Step::applied(manifest, namespace)?;
        if let Action::Apply(content) = &step.action {
            steps.push((Resumed::account_of(&step.key, content), step));
        }
    }
    Ok((steps, others))
}

/// Returns whether an object belongs to another API group, or states nothing about an account.
fn is_of_others(object: &Value) -> bool {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
    !text("kind").is_empty() && (group != flashgate_api::GROUP || text("kind") == "UsageMeter")
}

/// Returns the consequences of `changes` for their account, whose objects are `live`.
///
/// # Errors
/// When an object of the cluster is invalid, or an invariant of the account does not hold.
pub fn preview(
    live: &LiveAccount,
    changes: &Changes,
    conditions: Conditions<'_>,
) -> Result<AccountPreview, PreviewError> {
    let subscription = format!("{}/{}", changes.namespace, changes.name);
    preview_account(live, changes, conditions)
        .map_err(|source| PreviewError::Account { account: subscription, source })
}

fn preview_account(
    live: &LiveAccount,
    Changes { namespace, name, steps }: &Changes,
    Conditions { catalog, admission, wall_time, allows_test_clock }: Conditions<'_>,
) -> Result<AccountPreview, ResumeError> {
    let rules = (catalog, admission);
    let mut account = Resumed::of(rules, (namespace, name), live, wall_time, allows_test_clock)?;
    let before = account.ledger().cloned();
    account.move_test_clock(steps, wall_time, allows_test_clock)?;
    let (mut touched, mut refused, mut notes, mut created) =
        (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
    for step in steps {
        let existed = account.object(&step.key).is_some();
        match account.apply(step) {
            Ok(true) if step.action == Action::Delete => notes.push(note_on_deletion(&step.key)),
            Ok(true) => {
                touched.push(&step.key);
                if !existed {
                    created.insert(&step.key);
                }
            }
            Ok(false) => {}
            Err(error) => refused.push(RefusedObject {
                object: object_name(&step.key),
                reason: INVALID.to_owned(),
                message: error.to_string(),
            }),
        }
    }
    account.settle()?;
    let entries = account.take_entries();
    let verdicts = touched.iter().filter_map(|key| refusal(key, &account.object(key)?));
    refused.extend(verdicts);
    let (new_purchases, reused_names) = orders(&account, &created, &entries, &refused);
    let now = account.now();
    let balance_after = balance(account.ledger())?;
    let upcoming = upcoming(account, now)?;
    let upgrade = changed_plan(&entries).map(|(_, plans)| format!("upgrade now {plans}"));
    let plan_change = upgrade.or_else(|| {
        let (time, plans) = changed_plan(&upcoming)?;
        Some(format!("downgrade on {} {plans}", time.strftime("%F")))
    });
    Ok(AccountPreview {
        subscription: format!("{namespace}/{name}"),
        balance_before: balance(before.as_ref())?,
        balance_after,
        refused,
        new_purchases,
        reused_names,
        notes,
        later: upcoming.iter().map(Later::from).collect(),
        plan_change,
        entries,
    })
}

fn balance(ledger: Option<&Ledger>) -> Result<Credits, ResumeError> {
    let balance = ledger.map_or(Ok(Credits::ZERO), Ledger::balance);
    balance.map_err(|error| ResumeError::Frozen(Violation::from(error).to_string()))
}

/// Returns the number of new purchases among the created orders, and the names that the account knew before.
fn orders(
    account: &Resumed<'_>,
    created: &BTreeSet<&ObjectKey>,
    entries: &[Entry],
    refused: &[RefusedObject],
) -> (usize, Vec<String>) {
    let (mut new, mut known) = (0_usize, Vec::new());
    for key in created.iter().filter(|key| key.kind == Kind::CreditPack) {
        let object = object_name(key);
        if refused.iter().any(|refused| refused.object == object) {
            continue;
        }
        if is_reused(account, key, entries) {
            known.push(key.name.clone());
        } else {
            new = new.saturating_add(1);
        }
    }
    (new, known)
}

/// Returns whether the account knew the name of an order before: the order has a verdict, and no entry says that it was
/// bought now.
fn is_reused(account: &Resumed<'_>, key: &ObjectKey, entries: &[Entry]) -> bool {
    let status = account.object(key).and_then(|object| status::<CreditPackStatus>(&object));
    let is_decided = status.is_some_and(|status| status.state.is_some());
    let is_bought = entries.iter().any(|entry| {
        let object = match &entry.detail {
            Detail::Purchased { object, .. } => Some(object),
            Detail::Invoiced { object, .. } => object.as_ref(),
            _ => None,
        };
        object.is_some_and(|object| object.kind == FactKind::CreditPack && object.name == key.name)
    });
    is_decided && !is_bought
}

/// Returns the entries up to the end of the period, if nothing else changes.
fn upcoming(mut account: Resumed<'_>, now: Timestamp) -> Result<Vec<Entry>, ResumeError> {
    let window = account.ledger().and_then(|ledger| ledger.period.window);
    let end = window.map_or_else(|| seconds_after(now, OUTLOOK_SECONDS), |window| window.end_time);
    let mut entries = Vec::new();
    while let Some(time) = account.wake_time().filter(|time| *time <= end && entries.len() < LATER_EVENTS) {
        account.pass_to(time)?;
        entries.append(&mut account.take_entries());
    }
    entries.truncate(LATER_EVENTS);
    Ok(entries)
}

/// Returns the time of the first change of the plan among `entries`, and both plans. The first plan is no change.
fn changed_plan(entries: &[Entry]) -> Option<(Timestamp, String)> {
    entries.iter().find_map(|entry| match &entry.detail {
        Detail::PlanChanged { from: Some(from), to, .. } => {
            Some((entry.time, format!("from {} to {}", plan_name(from), plan_name(to))))
        }
        _ => None,
    })
}

impl From<&Entry> for Later {
    fn from(entry: &Entry) -> Self {
        Self { time: entry.time, what: format!("{}: {}", entry.detail.kind(), describe(entry)) }
    }
}

/// Returns what the deletion of an object does not do.
fn note_on_deletion(key: &ObjectKey) -> String {
    let object = object_name(key);
    match key.kind {
        Kind::CreditPack => format!(
            "{object} is deleted: its purchase stays, nothing is refunded, and its name buys nothing again"
        ),
        Kind::Subscription => format!(
            "{object} is deleted: its ledger stays, nothing is refunded, and usage is not charged until it exists again"
        ),
        Kind::CreditAdjustment => format!("{object} is deleted: the credits that it gave stay"),
        Kind::UsageReport => format!("{object} is deleted: a charge that was made stays"),
        Kind::Payment => format!("{object} is deleted: its invoice stays as it is"),
    }
}

fn object_name(key: &ObjectKey) -> String {
    format!("{}/{}", key.kind.as_str(), key.name)
}

/// Returns why an object does not have the effect that it asks for, if it does not.
fn refusal(key: &ObjectKey, object: &Value) -> Option<RefusedObject> {
    let conditions = match key.kind {
        Kind::Subscription => refused_request(status(object)?),
        Kind::CreditPack => refused_fact(&status::<CreditPackStatus>(object)?),
        Kind::UsageReport => refused_fact(&status::<UsageReportStatus>(object)?),
        Kind::Payment => refused_fact(&status::<PaymentStatus>(object)?),
        Kind::CreditAdjustment => refused_fact(&status::<CreditAdjustmentStatus>(object)?),
    }?;
    let ready = condition(&conditions, READY)?;
    Some(RefusedObject {
        object: object_name(key),
        reason: ready.reason.clone(),
        message: ready.message.clone(),
    })
}

/// Returns the conditions of a Subscription whose request has no effect.
fn refused_request(status: SubscriptionStatus) -> Option<Vec<Condition>> {
    let ready = condition(&status.conditions, READY)?;
    REFUSED_REQUESTS.contains(&ready.reason.as_str()).then_some(status.conditions)
}

/// Returns the conditions of a status that refuses its object.
fn refused_fact<S: FactStatus>(status: &S) -> Option<Vec<Condition>> {
    let state = status.state().map(FactState::as_str);
    state.filter(|state| matches!(*state, "Refused" | "Rejected")).map(|_| status.conditions().to_vec())
}

fn status<S: DeserializeOwned>(object: &Value) -> Option<S> {
    object.get("status").and_then(|status| serde_json::from_value(status.clone()).ok())
}

impl AccountPreview {
    /// Returns whether nothing happens, now or later by these changes.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.entries.is_empty() && self.refused.is_empty() && self.notes.is_empty() && self.new_purchases == 0
    }
}
