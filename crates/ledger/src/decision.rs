//! The result of a decision.

use jiff::Timestamp;

use crate::entry::Entry;
use crate::ledger::Ledger;
use crate::period::Window;
use crate::queue::Acceptance;
use crate::verdict::{AdjustmentVerdict, PackVerdict, PaymentVerdict, ReportVerdict, Verdict};

/// The result of a decision: the next ledger, the verdicts, and the time of the next decision.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The ledger to commit; absent when there is nothing to commit.
    pub commit: Option<Box<Ledger>>,
    /// Entries in order, including refused reports, which are not part of the ledger.
    pub entries: Vec<Entry>,
    /// Gaps between charged windows that had to close, by source (Law 9).
    pub closed_gaps: Vec<(String, Window)>,
    /// The outcome of each report that was charged or refused, and of each pending report that the facts ask
    /// about.
    pub reports: Vec<Verdict<ReportVerdict>>,
    /// The outcome of each pack.
    pub packs: Vec<Verdict<PackVerdict>>,
    /// The outcome of each payment.
    pub payments: Vec<Verdict<PaymentVerdict>>,
    /// The outcome of each adjustment.
    pub adjustments: Vec<Verdict<AdjustmentVerdict>>,
    /// Time of the next change that needs no new fact. Absent if there is none.
    pub wake_time: Option<Timestamp>,
    /// True if facts are left for the next commit.
    pub has_more: bool,
    /// True if due reports cannot be charged before earlier charges have their receipts.
    pub waits_for_receipts: bool,
    /// The inputs that determine the waits of reports, besides the time and each report itself.
    pub wait_basis: WaitBasis,
}

/// The inputs that determine the waits of reports, besides the time and each report itself. While they are the
/// same, the wait of a report changes only with its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitBasis(pub(crate) Acceptance);
