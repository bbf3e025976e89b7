//! The result of a decision.

use jiff::Timestamp;

use crate::entry::Entry;
use crate::ledger::Ledger;
use crate::period::Window;
use crate::queue::Acceptance;
use crate::verdict::{AdjustmentVerdict, PackVerdict, PaymentVerdict, ReportVerdict, Verdict};

/// The result of a decision: what to write, what to report, and when to decide again.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The ledger to commit; absent when there is nothing to commit.
    pub commit: Option<Box<Ledger>>,
    /// Entries in order, including refused reports, which are not part of the ledger.
    pub entries: Vec<Entry>,
    /// Gaps between charged windows that had to close, by source (Law 9).
    pub closed_gaps: Vec<(String, Window)>,
    /// The outcome of each report that was charged or refused, and of each that waits and that the facts ask about.
    pub reports: Vec<Verdict<ReportVerdict>>,
    /// The outcome of each pack.
    pub packs: Vec<Verdict<PackVerdict>>,
    /// The outcome of each payment.
    pub payments: Vec<Verdict<PaymentVerdict>>,
    /// The outcome of each adjustment.
    pub adjustments: Vec<Verdict<AdjustmentVerdict>>,
    /// When something will happen by itself; absent when nothing will.
    pub wake_time: Option<Timestamp>,
    /// Whether facts are left that the next commit will take up.
    pub has_more: bool,
    /// Whether reports are due that can be charged only when earlier charges have their receipts.
    pub waits_for_receipts: bool,
    /// The inputs that decide how reports wait, besides the time and each report itself.
    pub wait_basis: WaitBasis,
}

/// The inputs that decide how reports wait, besides the time and each report itself. While they are the same, the wait
/// of a report changes only with its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitBasis(pub(crate) Acceptance);
