//! Conversion of actions to the objects that users create. The cluster in memory and the real one share it.

use flashgate_api::credit_pack::CreditPackSpec;
use flashgate_api::usage_report::{UsageLine as WireLine, UsageWindow};
use flashgate_api::{
    Amount, CreditAdjustment, CreditAdjustmentSpec, CreditPack, Payment, PaymentSpec, Quantity, Subscription,
    SubscriptionRef, SubscriptionSpec, UsageReport, UsageReportSpec,
};
use flashgate_ledger::Credits;
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::facts::Request;

use crate::action::{Action, InvoiceChoice, UsageLine};
use crate::simulated::{Object, ObjectKind};

/// Returns the object that `action` creates about `account`, if it creates one. `find` returns the name and the amount of
/// the invoice of a payment.
pub fn created(
    action: Action,
    account: &str,
    find: impl FnOnce(&InvoiceChoice) -> (String, Credits),
) -> Option<Object> {
    let subscription_ref = SubscriptionRef { name: account.to_owned() };
    Some(match action {
        Action::Rest
        | Action::Edit { .. }
        | Action::Unsubscribe
        | Action::Delete { .. }
        | Action::ChangeCatalog { .. } => return None,
        Action::Subscribe { request, start_time } => {
            let spec = SubscriptionSpec { start_time, ..requesting(request, SubscriptionSpec::default()) };
            Subscription::new(account, spec).into()
        }
        Action::Report { name, source, window, usage } => {
            let window = UsageWindow { start_time: window.start_time, end_time: window.end_time };
            let usage = usage.into_iter().map(line).collect();
            UsageReport::new(
                &name,
                UsageReportSpec { subscription_ref, source, window, usage, readings: None },
            )
            .into()
        }
        Action::Buy { name, pack } => {
            CreditPack::new(&name, CreditPackSpec { subscription_ref, pack }).into()
        }
        Action::Pay { name, invoice, state, amount } => {
            let (invoice, due) = find(&invoice);
            let amount = Amount(amount.unwrap_or(due).to_string());
            let currency = "USD".to_owned();
            let spec = PaymentSpec { subscription_ref, invoice, state, amount, currency, reference: None };
            Payment::new(&name, spec).into()
        }
        Action::Adjust { name, credits, expiration_time } => {
            let (credits, reason) = (credits.to_string().as_str().into(), "because".to_owned());
            let spec = CreditAdjustmentSpec { subscription_ref, credits, reason, expiration_time };
            CreditAdjustment::new(&name, spec).into()
        }
    })
}

/// Returns `spec` with `request`.
pub fn requesting(request: Request, spec: SubscriptionSpec) -> SubscriptionSpec {
    let Request { plan, billing_period, renewal } = request;
    SubscriptionSpec { plan, billing_period, renewal, ..spec }
}

/// Returns the kind of the object that states a fact of this kind.
pub const fn kind_of(kind: FactKind) -> ObjectKind {
    match kind {
        FactKind::UsageReport => ObjectKind::UsageReport,
        FactKind::CreditPack => ObjectKind::CreditPack,
        FactKind::Payment => ObjectKind::Payment,
        FactKind::CreditAdjustment => ObjectKind::CreditAdjustment,
    }
}

fn line(line: UsageLine) -> WireLine {
    let UsageLine { node_type, operation, quantity } = line;
    WireLine { node_type, operation, quantity: Quantity(quantity), ..WireLine::default() }
}
