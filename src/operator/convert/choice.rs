//! The words that users choose from, as the ledger's types and back.

use flashgate_ledger::catalog::{BillingPeriod, PackPurchases};
use flashgate_ledger::facts::{PaymentState, Renewal};
use flashgate_ledger::invoice::InvoiceState;
use flashgate_ledger::ledger::RequestState;

use crate::api;
use crate::api::credit_ledger::{LedgerRequestState, PackPurchases as WirePackPurchases};
use crate::api::subscription::InvoiceState as WireInvoiceState;

impl From<api::BillingPeriod> for BillingPeriod {
    fn from(period: api::BillingPeriod) -> Self {
        match period {
            api::BillingPeriod::Monthly => Self::Monthly,
            api::BillingPeriod::Yearly => Self::Yearly,
        }
    }
}

impl From<BillingPeriod> for api::BillingPeriod {
    fn from(period: BillingPeriod) -> Self {
        match period {
            BillingPeriod::Monthly => Self::Monthly,
            BillingPeriod::Yearly => Self::Yearly,
        }
    }
}

impl From<api::Renewal> for Renewal {
    fn from(renewal: api::Renewal) -> Self {
        match renewal {
            api::Renewal::Automatic => Self::Automatic,
            api::Renewal::None => Self::None,
        }
    }
}

impl From<Renewal> for api::Renewal {
    fn from(renewal: Renewal) -> Self {
        match renewal {
            Renewal::Automatic => Self::Automatic,
            Renewal::None => Self::None,
        }
    }
}

impl From<WirePackPurchases> for PackPurchases {
    fn from(purchases: WirePackPurchases) -> Self {
        match purchases {
            WirePackPurchases::Allowed => Self::Allowed,
            WirePackPurchases::Refused => Self::Refused,
        }
    }
}

impl From<PackPurchases> for WirePackPurchases {
    fn from(purchases: PackPurchases) -> Self {
        match purchases {
            PackPurchases::Allowed => Self::Allowed,
            PackPurchases::Refused => Self::Refused,
        }
    }
}

impl From<LedgerRequestState> for RequestState {
    fn from(state: LedgerRequestState) -> Self {
        match state {
            LedgerRequestState::Decided => Self::Decided,
            LedgerRequestState::Lapsed => Self::Lapsed,
            LedgerRequestState::Voided => Self::Voided,
            LedgerRequestState::PlanNotFound => Self::PlanNotFound,
            LedgerRequestState::BillingPeriodNotOffered => Self::BillingPeriodNotOffered,
            LedgerRequestState::LedgerFull => Self::LedgerFull,
        }
    }
}

impl From<RequestState> for LedgerRequestState {
    fn from(state: RequestState) -> Self {
        match state {
            RequestState::Decided => Self::Decided,
            RequestState::Lapsed => Self::Lapsed,
            RequestState::Voided => Self::Voided,
            RequestState::PlanNotFound => Self::PlanNotFound,
            RequestState::BillingPeriodNotOffered => Self::BillingPeriodNotOffered,
            RequestState::LedgerFull => Self::LedgerFull,
        }
    }
}

impl From<api::PaymentState> for PaymentState {
    fn from(state: api::PaymentState) -> Self {
        match state {
            api::PaymentState::Settled => Self::Settled,
            api::PaymentState::Failed => Self::Failed,
            api::PaymentState::Cancelled => Self::Cancelled,
            api::PaymentState::Refunded => Self::Refunded,
        }
    }
}

impl From<InvoiceState> for WireInvoiceState {
    fn from(state: InvoiceState) -> Self {
        match state {
            InvoiceState::Open => Self::Open,
            InvoiceState::Settled => Self::Settled,
            InvoiceState::Void => Self::Void,
            InvoiceState::RefundDue => Self::RefundDue,
            InvoiceState::Refunded => Self::Refunded,
        }
    }
}
