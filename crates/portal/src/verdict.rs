//! The wait for the operator's verdict on a change.

use std::time::Duration;

use flashgate_ledger::catalog::{Catalog, PaymentMode};
use flashgate_ledger::invoice::InvoiceState;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use crate::refused::Refused;

/// Longest wait for a verdict. A client then asks for the state of the session.
pub const WAIT: Duration = Duration::from_secs(5);

/// First interval between two reads. It doubles up to [`LONGEST_INTERVAL`].
const FIRST_INTERVAL: Duration = Duration::from_millis(40);

/// Longest interval between two reads.
const LONGEST_INTERVAL: Duration = Duration::from_millis(320);

/// Reads an object until `read` returns a verdict. Returns `None` if there is none in time.
///
/// # Errors
/// When a read fails.
pub async fn await_verdict<T>(
    mut read: impl AsyncFnMut() -> Result<Option<T>, Refused>,
) -> Result<Option<T>, Refused> {
    let deadline = Instant::now() + WAIT;
    let mut interval = FIRST_INTERVAL;
    loop {
        if let Some(verdict) = read().await? {
            return Ok(Some(verdict));
        }
        if Instant::now() + interval > deadline {
            return Ok(None);
        }
        sleep(interval).await;
        interval = (interval * 2).min(LONGEST_INTERVAL);
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
    async fn the_wait_ends_with_the_verdict_or_after_five_seconds() {
        let mut reads = 0;
        let found = await_verdict(async || {
            reads += 1;
            Ok((reads == 3).then_some(reads))
        });
        assert_eq!(found.await, Ok(Some(3)));
        let started = Instant::now();
        assert_eq!(await_verdict(async || Ok(None::<u32>)).await, Ok(None));
        let waited = started.elapsed();
        assert!(waited <= WAIT && waited > WAIT - LONGEST_INTERVAL, "{waited:?}");
        let failed = Refused::missing();
        assert_eq!(await_verdict(async || Err::<Option<u32>, _>(failed.clone())).await, Err(failed.clone()));
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
