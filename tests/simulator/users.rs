//! Applies the items of a workload to the server.

use std::collections::BTreeSet;

use flashgate_api as api;
use flashgate_api::credit_pack::CreditPackSpec;
use flashgate_api::subscription::BillingDetails;
use flashgate_api::usage_report::UsageWindow;
use flashgate_api::{
    Amount, CreditAdjustment, CreditAdjustmentSpec, CreditPack, Payment, PaymentSpec, Quantity, Subscription,
    SubscriptionRef, SubscriptionSpec, UsageReport, UsageReportSpec,
};
use flashgate_billing::operator::convert::ledger_from_wire;
use flashgate_cluster::Kind;
use flashgate_ledger::Credits;
use flashgate_ledger::entry::FactKind;
use flashgate_ledger::facts::{PaymentState, Request};
use flashgate_testing::Action;
use flashgate_testing::action::{InvoiceChoice, UsageLine};
use flashgate_testing::simulated::{Object, ObjectKey, ObjectKind, Store};
use flashgate_testing::values::credits;

use crate::oracle::{NAMESPACE, key};
use crate::simulator::workload::Item;

/// Applies `item`. An edit or deletion of an object that does not exist does nothing. Returns the account
/// that was reset, if any.
pub fn apply(store: &mut Store, item: &Item) -> Option<String> {
    match item {
        Item::Act { account, action } => act(store, account, action.clone()),
        Item::Touch { account, text, in_spec } => edit(store, account, |subscription| {
            if *in_spec {
                let name = Some(text.clone());
                subscription.spec.billing_details =
                    Some(BillingDetails { name, ..BillingDetails::default() });
            } else {
                let annotations = subscription.metadata.annotations.get_or_insert_default();
                annotations.insert("touched".to_owned(), text.clone());
            }
        }),
        Item::Wipe { kind, name } => wipe(store, *kind, name.as_deref()),
        Item::Reset { account } => {
            if store.delete(&key(ObjectKind::CreditLedger, account)).is_ok() {
                forget_ledger(store, account);
                return Some(account.clone());
            }
        }
    }
    None
}

fn act(store: &mut Store, account: &str, action: Action) {
    let subscription_ref = SubscriptionRef { name: account.to_owned() };
    match action {
        // The catalog does not change during a run.
        Action::Rest | Action::ChangeCatalog { .. } => {}
        Action::Subscribe { request, start_time } => {
            let spec = SubscriptionSpec { start_time, ..requesting(request, SubscriptionSpec::default()) };
            create(store, Subscription::new(account, spec));
        }
        Action::Edit { request } => edit(store, account, |subscription| {
            subscription.spec = requesting(request, subscription.spec.clone());
        }),
        Action::Unsubscribe => drop(store.delete(&key(ObjectKind::Subscription, account))),
        Action::Report { name, source, window, usage } => {
            let window = UsageWindow { start_time: window.start_time, end_time: window.end_time };
            let usage = usage.into_iter().map(line).collect();
            let spec = UsageReportSpec { subscription_ref, source, window, usage };
            replace(store, UsageReport::new(&name, spec));
        }
        Action::Buy { name, pack } => {
            replace(store, CreditPack::new(&name, CreditPackSpec { subscription_ref, pack }));
        }
        Action::Pay { name, invoice, state, amount } => {
            let spec = payment_of(store, account, &invoice, state, amount);
            replace(store, Payment::new(&name, spec));
        }
        Action::Adjust { name, credits, expiration_time } => {
            let (credits, reason) = (credits.to_string().as_str().into(), "because".to_owned());
            let spec = CreditAdjustmentSpec { subscription_ref, credits, reason, expiration_time };
            replace(store, CreditAdjustment::new(&name, spec));
        }
        Action::Delete { kind, name } => drop(store.delete(&key(kind_of(kind), &name))),
    }
}

const fn kind_of(kind: FactKind) -> ObjectKind {
    match kind {
        FactKind::UsageReport => ObjectKind::UsageReport,
        FactKind::CreditPack => ObjectKind::CreditPack,
        FactKind::Payment => ObjectKind::Payment,
        FactKind::CreditAdjustment => ObjectKind::CreditAdjustment,
    }
}

/// Completes a reset. A status that still names the removed ledger, or names it again because its write was
/// in flight, is removed. Returns whether there was such a status.
pub fn complete_resets(store: &mut Store, accounts: &BTreeSet<String>) -> bool {
    let revision = store.revision();
    for account in accounts {
        let held = store.get(&key(ObjectKind::CreditLedger, account)).map(|ledger| ledger.uid().to_owned());
        let shown = match store.get(&key(ObjectKind::Subscription, account)) {
            Some(Object::Subscription(subscription)) => {
                subscription.status.as_ref().and_then(|status| Some(status.ledger.as_ref()?.uid.clone()))
            }
            _ => None,
        };
        if shown.is_some() && shown != held {
            forget_ledger(store, account);
        }
    }
    store.revision() > revision
}

fn forget_ledger(store: &mut Store, account: &str) {
    edit(store, account, |subscription| {
        if let Some(status) = &mut subscription.status {
            status.ledger = None;
        }
    });
}

fn requesting(request: Request, spec: SubscriptionSpec) -> SubscriptionSpec {
    let Request { plan, billing_period, renewal } = request;
    SubscriptionSpec { plan, billing_period, renewal, ..spec }
}

fn line(line: UsageLine) -> api::usage_report::UsageLine {
    let UsageLine { node_type, operation, quantity } = line;
    let quantity = Quantity(quantity);
    api::usage_report::UsageLine { node_type, operation, quantity, ..Default::default() }
}

/// Returns a payment of an invoice in the stored ledger, or of an invoice that no account has.
fn payment_of(
    store: &Store,
    account: &str,
    invoice: &InvoiceChoice,
    state: PaymentState,
    amount: Option<Credits>,
) -> PaymentSpec {
    let found = match store.get(&key(ObjectKind::CreditLedger, account)) {
        Some(Object::CreditLedger(stored)) => {
            ledger_from_wire(account, &stored.spec).ok().and_then(|ledger| invoice.find(&ledger))
        }
        _ => None,
    };
    let (invoice, due) = found.unwrap_or_else(|| (format!("{account}-00000000-0009"), credits("100")));
    PaymentSpec {
        subscription_ref: SubscriptionRef { name: account.to_owned() },
        invoice,
        state: serde_json::from_value(state.as_str().into()).expect("state"),
        amount: Amount(amount.unwrap_or(due).to_string()),
        currency: "USD".to_owned(),
        reference: None,
    }
}

fn create<K: Kind>(store: &mut Store, mut object: K)
where
    Object: From<K>,
{
    object.meta_mut().namespace = Some(NAMESPACE.to_owned());
    drop(store.create(object.into()));
}

fn replace<K: Kind>(store: &mut Store, object: K)
where
    Object: From<K>,
{
    let name = object.meta().name.clone().unwrap_or_default();
    if let Some(kind) = ObjectKind::of::<K>() {
        drop(store.delete(&key(kind, &name)));
    }
    create(store, object);
}

fn edit(store: &mut Store, account: &str, change: impl FnOnce(&mut Subscription)) {
    let change = |object: &mut Object| {
        if let Object::Subscription(subscription) = object {
            change(std::sync::Arc::make_mut(subscription));
        }
    };
    drop(store.edit(&key(ObjectKind::Subscription, account), change));
}

fn wipe(store: &mut Store, kind: ObjectKind, name: Option<&str>) {
    let of_kind = |object: &&Object| object.kind() == kind && kind != ObjectKind::CreditLedger;
    let keys: Vec<ObjectKey> = store.objects().filter(of_kind).map(Object::key).collect();
    for key in keys.iter().filter(|key| name.is_none_or(|name| key.name == name)) {
        drop(store.wipe_status(key));
    }
}
