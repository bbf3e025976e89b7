//! Conditions, in the form that kstatus and Argo CD expect.

use flashgate_api::reason::Reason;
use flashgate_api::{READY, RECONCILING, STALLED};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Characters that the schema allows for a message.
const MESSAGE_LENGTH: usize = 32_768;

/// The readiness of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Readiness {
    progress: Progress,
    reason: Reason,
    message: String,
}

/// The progress of what the object asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The request is complete.
    Done,
    /// The request is pending and needs no action.
    Waits,
    /// A user or administrator must act.
    Stuck,
}

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: &'static str,
    pub(super) holds: bool,
    pub(super) reason: Reason,
    pub(super) message: String,
}

impl Readiness {
    /// Returns the readiness of a request that is complete.
    pub(super) const fn done(reason: Reason, message: String) -> Self {
        Self { progress: Progress::Done, reason, message }
    }

    /// Returns the readiness of a request that is pending and needs no action.
    pub(super) const fn waits(reason: Reason, message: String) -> Self {
        Self { progress: Progress::Waits, reason, message }
    }

    /// Returns the readiness of a request that needs an action of a user or administrator.
    pub(super) const fn stuck(reason: Reason, message: String) -> Self {
        Self { progress: Progress::Stuck, reason, message }
    }

    /// Adds to the message.
    pub(super) fn add(&mut self, remark: &str) {
        self.message.push_str("; ");
        self.message.push_str(remark);
    }

    /// Returns `Ready`, and the condition that explains why it is not True.
    pub(super) fn findings(self) -> Vec<Finding> {
        let Self { progress, reason, message } = self;
        let finding = |kind, holds| Finding { kind, holds, reason, message: message.clone() };
        match progress {
            Progress::Done => vec![finding(READY, true)],
            Progress::Waits => vec![finding(READY, false), finding(RECONCILING, true)],
            Progress::Stuck => vec![finding(READY, false), finding(STALLED, true)],
        }
    }
}

/// Returns conditions. Each keeps the time of its last transition until its status changes.
pub(super) fn conditions(
    before: &[Condition],
    findings: Vec<Finding>,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let condition = |finding: Finding| {
        let status = if finding.holds { "True" } else { "False" };
        let unchanged =
            before.iter().find(|condition| condition.type_ == finding.kind && condition.status == status);
        Condition {
            type_: finding.kind.to_owned(),
            status: status.to_owned(),
            observed_generation: Some(generation),
            last_transition_time: unchanged
                .map_or(Time(now), |condition| condition.last_transition_time.clone()),
            reason: finding.reason.as_str().to_owned(),
            message: finding.message.chars().take(MESSAGE_LENGTH).collect(),
        }
    };
    findings.into_iter().map(condition).collect()
}

/// Returns `before` with its readiness conditions replaced by those of `readiness`. The others are unchanged.
pub(super) fn replace_conditions(
    before: &[Condition],
    readiness: Readiness,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = conditions(before, readiness.findings(), generation, now);
    let others =
        before.iter().filter(|condition| ![READY, RECONCILING, STALLED].contains(&condition.type_.as_str()));
    conditions.extend(others.cloned());
    conditions
}

/// Returns the message for an object whose creation time is in the future.
#[must_use]
pub fn arrival_in_future(arrival: Timestamp) -> String {
    format!(
        "it was created at {arrival}, which is ahead of the operator's clock; it is decided then: check the clocks of \
         the API servers"
    )
}
