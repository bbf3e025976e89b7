//! Reasons: one closed list for conditions, Events and metrics.

use flashgate_ledger::refusal::RefusalReason;

/// Declares the reasons with their descriptions.
macro_rules! reasons {
    ($($name:ident: $description:literal,)*) => {
        /// The reason of a condition or an Event.
        ///
        /// `docs/reference/reasons.md` is generated from this list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $description] $name,)*
        }

        impl Reason {
            /// Every reason, in alphabetical order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the name that conditions, Events and metrics show.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Returns the reason whose name is `name`.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == name)
            }

            /// Returns the meaning and the remedy.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => $description,)*
                }
            }
        }
    };
}

reasons! {
    AlreadyExpired: "`spec.expirationTime` is at or before the creation: create the CreditAdjustment again under a new name with a later time.",
    AlreadySettled: "The invoice was settled before: do not pay it again.",
    Applied: "The Payment was applied to its invoice.",
    ArrivalInFuture: "The object's `metadata.creationTimestamp` is more than 60 seconds ahead of the operator's clock, so it is decided when the clock reaches it: check the clocks of the API servers.",
    AwaitingPayment: "The request waits for the payment of an open invoice. It continues when a Payment reports the invoice as settled.",
    BeforeSubscription: "The usage lies before the account's start and cannot be charged.",
    BelowThreshold: "The period's use is below the first alert threshold.",
    BillingPeriodNotOffered: "The plan is not offered for that billing period: choose one that the catalog offers.",
    ChangePending: "A downgrade takes effect at the end of the period. To cancel it, set `spec` back to the plan in force.",
    Charged: "The report was charged; its status is the receipt.",
    ClockDiffers: "The clocks of the meter and of Prometheus differ by more than 60 seconds. Windows are closed by the earlier of the two, so nothing is lost: correct the clock that is wrong.",
    CommitRefused: "The API server rejected the write of the CreditLedger, so nothing is granted or charged: an administrator must remove the policy that rejects it, or apply the CRDs of the operator's version.",
    CounterInexact: "A counter exceeds 2^53, so its floating-point samples no longer hold every whole number: restart the program that exposes it, or divide its usage between more series.",
    CounterMissing: "The counter had series, and none has a sample in the last 24 hours: probably it was renamed, or its programs are no longer scraped. Correct `spec.counter` and `spec.selector`.",
    CreditsExhausted: "The balance is zero or below: further usage becomes debt until credits arrive. Buy a pack or upgrade.",
    CreditsLeft: "The balance is above zero.",
    Deleting: "The Subscription is being deleted: no renewal and no new invoice follow.",
    DuplicateWindow: "A part of the window was charged already for this source: report the rest in a window that touches it, or use another source.",
    FirstPeriodAwaited: "The account's first period has not begun: it begins with its payment, or when the Subscription requests a plan of the catalog.",
    GapClosed: "A source had more than 1,024 separate stretches, or the account more than 4,096, so its oldest gap was closed. A report that would fill it is refused: report it with another source, and report without gaps.",
    Granted: "Credits were granted.",
    HistoryConflict: "The history store has other entries than the CreditLedger, so receipts of charges wait: an administrator must restore the store, or accept the ledger with the annotation `billing.flashgate.dev/accept-sequence`, which begins a new branch of the history.",
    HistoryGap: "The history store has no record of some entries of the account: the message says which. Balances are not affected.",
    HistoryTooShort: "Prometheus no longer has the samples from which a window of the meter starts. The difference to the last reading is charged; increments before a restart of a counter may be missing: keep samples for longer than the longest outage of the meter.",
    InForce: "The requested plan is in force.",
    InvoiceIssued: "An invoice was issued and waits for its payment.",
    InvoiceVoided: "An invoice is no longer owed.",
    Lapsed: "The plan was not renewed, so the account changed to the plan of the catalog's `lapsesTo`. To return, request a plan with `renewal: Automatic`.",
    LedgerAccepted: "An administrator accepted the content of the CreditLedger; billing continues from it.",
    LedgerFull: "The account's ledger has no room for another record: ask an administrator.",
    LedgerInconsistent: "The CreditLedger breaks an invariant or does not match its hash, so nothing is written: an administrator must restore it, or accept its content with the annotation `billing.flashgate.dev/accept-sequence`.",
    LedgerMissing: "The Subscription names a CreditLedger that is gone: an administrator must restore it, or remove `/status/ledger` to reset the account.",
    LedgerNewerFormat: "A later version of the operator wrote the CreditLedger: upgrade this operator.",
    LedgerRegression: "The CreditLedger is older than the one in `status.ledger`, probably from a backup: an administrator must restore the newer one, or accept this one with the annotation `billing.flashgate.dev/accept-sequence`.",
    NameAlreadyUsed: "The name was used for another order: each name is valid for one order, so use a new one.",
    NoPlan: "No plan is in force: usage becomes debt until a plan is in force.",
    NotRenewing: "`renewal: None` ends the plan at the end of the period; set it to `Automatic` before then to keep the plan.",
    NotSettled: "The invoice was never settled, so it cannot be refunded.",
    NotStarted: "The account starts later, at `spec.startTime`. Nothing is granted or charged before that time.",
    PackLimitReached: "The month's packs are used up: buy under a new name from `status.nextAvailableTime` on.",
    PaymentCancelled: "The payment of the order was cancelled: use a new name to buy again.",
    PaymentExpired: "The order was not paid by its due time: use a new name to buy again.",
    PaymentFailed: "Version 0.1.0 refused the order because an attempt to pay it failed: use a new name to buy again.",
    PaymentOverdue: "The invoice was not paid in time or its payment was cancelled, so it is void. To get a new invoice, set `spec.renewal` to None and back to Automatic, or request another plan.",
    PlanChanged: "Another plan or billing period is in force.",
    PlanInForce: "A plan is in force.",
    PlanNotEligible: "Packs cannot be bought under the plan or the unpaid period in force: change the plan or pay, then buy under a new name.",
    PlanNotFound: "The catalog has no such plan: choose one that it has.",
    Purchased: "The credits of a pack arrived.",
    QueryFailed: "Prometheus refuses a query of the meter: the message has its error. Nothing is lost while it keeps the samples.",
    ReceiptsAwaited: "The statuses of earlier charges are not written yet; the report is processed right after.",
    RefundDue: "A void invoice was paid: return the money, then report it with a Payment of state Refunded.",
    Refunded: "The money was returned and the remaining credits were taken.",
    Renewed: "A new period began.",
    ReportsRejected: "The operator rejected reports of the meter, so their usage is not charged: the message has the last one with its reason.",
    Resumed: "The Subscription resumes the account of an earlier one of its name: balance, debt, purchases and limits are as they were.",
    SeriesReplaced: "New series of an account began with more usage than the meter accepts at once, as after a change of their labels. The account waits for a decision by the annotation `billing.flashgate.dev/new-series`: the message has the command.",
    SourceUnreachable: "Prometheus does not answer the meter. Windows wait and are closed later from the same samples: check the server, the network policy and the credentials.",
    StartTooEarly: "`spec.startTime` is longer before the creation of the UsageMeter than reports are accepted: the message has the earliest time.",
    Starting: "The account is about to be opened.",
    SubscriptionMissing: "The Subscription does not exist: create it before the time in the message.",
    SubscriptionNotFound: "No account of that name began in time: create the Subscription first, then this under a new name.",
    TestClockIgnored: "The Subscription requests a test clock that its account cannot use: the message says why.",
    ThresholdReached: "The period's use reached an alert threshold: buy a pack or upgrade before credits run out.",
    TooEarly: "The window of the report ends too long after the report was created: check the reporter's clock and time zone.",
    TooLarge: "The report is worth more credits than one report may be: split it into shorter windows.",
    TooLate: "The report came too long after its window started: send reports sooner, or ask for a CreditAdjustment.",
    TooManySeries: "An account has more series than the readings of a report have room for: divide them between several meters by `spec.selector`.",
    TooManySources: "1,024 sources of this account had a report charged within the acceptance time: give `spec.source` a name that stays the same, such as the gateway's instead of its pod's.",
    Undecodable: "The object cannot be decoded: the message names the field with the wrong value.",
    UnknownAccount: "Series have usage for accounts that do not exist: `status.unmatched` has the values of the label. Create the Subscriptions, or exclude the series by `spec.selector`.",
    UnknownInvoice: "The account has no invoice of that number: take it from `status.invoices`.",
    UnknownPack: "The catalog has no such pack: buy one that it has, under a new name.",
    UnknownRate: "The catalog has no rate for a line, so nothing of the report was charged. Report only operations with a rate.",
    UnknownServer: "The configuration of the meter has no server of this name: add it, or correct `spec.prometheus`.",
    UnratedSeries: "The label of a series has a value for which `spec.usage` names no node type or operation. The account waits: add the value to `values`.",
    WindowNotOver: "The window of the report ends in the future; it is charged then.",
    WindowsReported: "Every window that is due is reported.",
    WindowsWaiting: "Windows are due and are being reported.",
    WrongAmount: "Amount or currency differ from the invoice: report the amount and currency of the invoice.",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<RefusalReason> for Reason {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::BeforeSubscription => Self::BeforeSubscription,
            RefusalReason::TooEarly => Self::TooEarly,
            RefusalReason::TooLate => Self::TooLate,
            RefusalReason::DuplicateWindow => Self::DuplicateWindow,
            RefusalReason::GapClosed => Self::GapClosed,
            RefusalReason::TooManySources => Self::TooManySources,
            RefusalReason::UnknownRate => Self::UnknownRate,
            RefusalReason::TooLarge => Self::TooLarge,
            RefusalReason::UnknownPack => Self::UnknownPack,
            RefusalReason::PlanNotEligible => Self::PlanNotEligible,
            RefusalReason::PackLimitReached => Self::PackLimitReached,
            RefusalReason::NameAlreadyUsed => Self::NameAlreadyUsed,
            RefusalReason::SubscriptionNotFound => Self::SubscriptionNotFound,
            RefusalReason::PaymentCancelled => Self::PaymentCancelled,
            RefusalReason::PaymentFailed => Self::PaymentFailed,
            RefusalReason::PaymentExpired => Self::PaymentExpired,
            RefusalReason::LedgerFull => Self::LedgerFull,
            RefusalReason::UnknownInvoice => Self::UnknownInvoice,
            RefusalReason::WrongAmount => Self::WrongAmount,
            RefusalReason::AlreadySettled => Self::AlreadySettled,
            RefusalReason::NotSettled => Self::NotSettled,
            RefusalReason::AlreadyExpired => Self::AlreadyExpired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_one_word_in_alphabetical_order_and_described_by_a_sentence() {
        assert!(Reason::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
        for reason in Reason::ALL {
            assert!(reason.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()), "{reason}");
            assert!(reason.description().ends_with('.'), "{reason}");
        }
    }

    #[test]
    fn every_refusal_has_its_own_reason_of_the_same_name() {
        for refusal in RefusalReason::ALL {
            assert_eq!(Reason::from(refusal).as_str(), refusal.as_str());
        }
    }
}
