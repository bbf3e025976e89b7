//! An account that a caller may see: its Subscription, and its ledger.

use flashgate_api::{CreditLedger, Subscription, SubscriptionStatus};
use flashgate_ledger::Credits;
use flashgate_ledger::catalog::BillingPeriod;
use flashgate_ledger::invoice::{InvoiceState, Purpose};
use flashgate_ledger::ledger::Terms;
use flashgate_preview::account_clock::AccountClock;
use jiff::Timestamp;

use crate::book::{Book, BookState};
use crate::caller::Caller;
use crate::kubernetes::CallError;
use crate::portal::Portal;
use crate::refused::{Refused, of_subscription};

/// An account that a caller may see.
#[derive(Clone, Debug)]
pub struct Account {
    /// The Subscription, read with the caller's token for this request.
    pub subscription: Subscription,
    /// The ledger.
    pub book: BookState,
    /// The present time of the account.
    pub now: Timestamp,
}

impl Portal {
    /// Reads the Subscription with the caller's token. Every call about an account begins with it.
    ///
    /// # Errors
    /// When Kubernetes refuses the token or the call, or the Subscription does not exist.
    pub async fn subscription(&self, caller: &Caller) -> Result<Subscription, Refused> {
        self.kubernetes.get(&caller.token, &caller.namespace, &caller.name).await.map_err(of_subscription)
    }

    /// Reads the Subscription, and then its ledger as far as the caller may.
    ///
    /// # Errors
    /// When Kubernetes refuses the token or the first call, or the Subscription does not exist.
    pub async fn account(&self, caller: &Caller) -> Result<Account, Refused> {
        let subscription = self.subscription(caller).await?;
        let book = self.book(caller).await?;
        let ledger = book.known().map(|book| &book.ledger);
        // Before the first commit it is unknown whether the operator accepts a test clock.
        let clock = AccountClock::of(Some(&subscription), ledger, false, self.clock.now());
        Ok(Account { subscription, book, now: clock.now })
    }

    async fn book(&self, caller: &Caller) -> Result<BookState, Refused> {
        let Caller { token, namespace, name } = caller;
        match self.kubernetes.get::<CreditLedger>(token, namespace, name).await {
            Ok(object) => match Book::of(name, &object) {
                Ok(book) => Ok(BookState::Known(Box::new(book))),
                Err(error) => {
                    tracing::warn!(namespace, name, %error, "the ledger cannot be read");
                    Ok(BookState::Unreadable)
                }
            },
            Err(CallError::NotFound { .. }) => Ok(BookState::Absent),
            Err(CallError::Forbidden { .. }) => Ok(BookState::Forbidden),
            Err(error) => Err(error.into()),
        }
    }
}

/// An invoice of an account, from its ledger or from the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInvoice {
    /// Number that users see.
    pub number: String,
    /// Instant at which it was issued.
    pub time: Timestamp,
    /// Money owed.
    pub amount: Credits,
    /// Currency of the amount.
    pub currency: String,
    /// Its state.
    pub state: InvoiceState,
    /// Its purpose.
    pub purpose: InvoicePurpose,
}

/// The purpose of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvoicePurpose {
    /// The first period.
    Start,
    /// A higher plan.
    Upgrade,
    /// A return after a lapse.
    Reactivation,
    /// A further period.
    Renewal,
    /// A pack.
    Pack,
}

/// The plan of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoicedPlan {
    /// Name of the plan.
    pub plan: String,
    /// Billing period.
    pub billing_period: BillingPeriod,
    /// Price of the period.
    pub price: Credits,
}

impl AccountInvoice {
    /// Returns whether it is an open invoice of a plan. An account has at most one.
    #[must_use]
    pub fn is_open_plan_invoice(&self) -> bool {
        self.state == InvoiceState::Open && self.purpose != InvoicePurpose::Pack
    }
}

impl Account {
    /// Returns the status, which is empty until the operator has seen the Subscription.
    #[must_use]
    pub fn status(&self) -> SubscriptionStatus {
        self.subscription.status.clone().unwrap_or_default()
    }

    /// Returns whether the operator has decided on the last edit of the Subscription.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        observes(&self.subscription, self.subscription.metadata.generation.unwrap_or_default())
    }

    /// Returns the terms in force, if the ledger is known and has some.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        self.book.known()?.ledger.terms.as_ref()
    }

    /// Returns the plan, billing period and price of the invoice with this number, if the ledger knows them.
    #[must_use]
    pub fn plan_of_invoice(&self, number: &str) -> Option<InvoicedPlan> {
        let ledger = &self.book.known()?.ledger;
        let invoice = ledger.invoice(number)?;
        let (plan, billing_period) = match &invoice.purpose {
            Purpose::Change { terms, .. } => (terms.plan.clone(), terms.billing_period),
            Purpose::Renewal { period_number } => {
                let kept = &ledger.statements.kept;
                let period = kept.iter().find(|statement| statement.period_number == *period_number)?;
                (period.plan.clone(), period.billing_period)
            }
            Purpose::Pack { .. } => return None,
        };
        Some(InvoicedPlan { plan, billing_period, price: invoice.amount })
    }

    /// Returns the invoices that are known, oldest first: those of the ledger, or else of the status.
    #[must_use]
    pub fn invoices(&self) -> Vec<AccountInvoice> {
        match self.book.known() {
            Some(book) => book.invoices(),
            None => self.status().invoices.iter().filter_map(of_status).collect(),
        }
    }
}

/// Returns whether the operator has decided on `generation` of a Subscription.
#[must_use]
pub fn observes(subscription: &Subscription, generation: i64) -> bool {
    let status = subscription.status.as_ref();
    status.and_then(|status| status.observed_generation).is_some_and(|observed| observed >= generation)
}

impl Book {
    /// Returns the invoices that the ledger keeps, oldest first.
    #[must_use]
    pub fn invoices(&self) -> Vec<AccountInvoice> {
        let show = |invoice: &flashgate_ledger::invoice::Invoice| AccountInvoice {
            number: self.ledger.invoice_name(invoice.number),
            time: invoice.time,
            amount: invoice.amount,
            currency: invoice.currency.clone(),
            state: invoice.state,
            purpose: purpose_of(invoice.reason().as_str()),
        };
        self.ledger.invoices.iter().map(show).collect()
    }
}

/// Returns an invoice of a status, unless its amount is malformed.
fn of_status(invoice: &flashgate_api::subscription::Invoice) -> Option<AccountInvoice> {
    Some(AccountInvoice {
        number: invoice.number.clone(),
        time: invoice.time,
        amount: invoice.amount.as_str().parse().ok()?,
        currency: invoice.currency.clone(),
        state: invoice.state,
        purpose: purpose_of(&invoice.reason),
    })
}

/// Returns the purpose that the first word of a reason names.
fn purpose_of(reason: &str) -> InvoicePurpose {
    let word = reason.split([' ', ',']).next().unwrap_or_default();
    match word {
        "Start" => InvoicePurpose::Start,
        "Upgrade" => InvoicePurpose::Upgrade,
        "Reactivation" => InvoicePurpose::Reactivation,
        "Pack" => InvoicePurpose::Pack,
        _ => InvoicePurpose::Renewal,
    }
}
