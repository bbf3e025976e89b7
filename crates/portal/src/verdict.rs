//! The wait for the operator's verdict on a change.

use std::time::Duration;

use flashgate_ledger::catalog::{Catalog, PaymentMode};
use flashgate_ledger::invoice::InvoiceState;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

/// Longest wait for a verdict. A client then asks for the state of the session.
pub const WAIT: Duration = Duration::from_secs(5);

/// First interval between two reads. It doubles up to [`LONGEST_INTERVAL`].
const FIRST_INTERVAL: Duration = Duration::from_millis(40);

/// Longest interval between two reads.
const LONGEST_INTERVAL: Duration = Duration::from_millis(320);

/// A wait for a verdict, with growing pauses between the reads.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    deadline: Instant,
    interval: Duration,
}

impl Wait {
    /// Begins to wait.
    #[must_use]
    pub fn begin() -> Self {
        Self { deadline: Instant::now() + WAIT, interval: FIRST_INTERVAL }
    }

    /// Pauses until the next read. Returns false if there is no time for another one.
    pub async fn pause(&mut self) -> bool {
        let has_time = Instant::now() + self.interval <= self.deadline;
        if has_time {
            sleep(self.interval).await;
            self.interval = (self.interval * 2).min(LONGEST_INTERVAL);
        }
        has_time
    }
}

/// State of a checkout session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// It waits for the operator or for a payment.
    Open,
    /// It is done.
    Complete,
    /// It ended without effect.
    Expired,
}

/// State of the payment of a checkout session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// It is not paid.
    Unpaid,
    /// It is paid.
    Paid,
    /// Nothing is owed.
    NoPaymentRequired,
}

/// Returns the states of the session of an invoice.
#[must_use]
pub const fn of_invoice(state: InvoiceState) -> (SessionStatus, PaymentStatus) {
    match state {
        InvoiceState::Open => (SessionStatus::Open, PaymentStatus::Unpaid),
        InvoiceState::Settled | InvoiceState::RefundDue | InvoiceState::Refunded => {
            (SessionStatus::Complete, PaymentStatus::Paid)
        }
        InvoiceState::Void => (SessionStatus::Expired, PaymentStatus::Unpaid),
    }
}

/// Returns the page on which an open invoice is paid. There is none if invoices are settled when they are issued.
#[must_use]
pub fn checkout_url(catalog: &Catalog, invoice: &str) -> Option<String> {
    match catalog.policies.payments.mode {
        PaymentMode::Internal => None,
        PaymentMode::External => {
            catalog.policies.checkout_url.as_ref().map(|template| template.replace("{invoice}", invoice))
        }
    }
}

#[cfg(test)]
mod tests {
    use flashgate_testing::catalog::{external, shipped};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_after_five_seconds_at_most() {
        let (started, mut wait, mut reads) = (Instant::now(), Wait::begin(), 1);
        while wait.pause().await {
            reads += 1;
        }
        let waited = started.elapsed();
        assert!(waited <= WAIT && waited + LONGEST_INTERVAL > WAIT, "{waited:?}");
        assert!((10..30).contains(&reads), "{reads} reads");
    }

    #[test]
    fn an_open_invoice_has_a_page_only_with_external_payments_and_a_template() {
        let template = Some("https://pay.example/i/{invoice}?n={invoice}".to_owned());
        let with = |mut catalog: Catalog| {
            catalog.policies.checkout_url.clone_from(&template);
            checkout_url(&catalog, "acme-1")
        };
        assert_eq!(with(external()).as_deref(), Some("https://pay.example/i/acme-1?n=acme-1"));
        assert_eq!(with(shipped()), None);
        assert_eq!(checkout_url(&external(), "acme-1"), None);
    }
}
