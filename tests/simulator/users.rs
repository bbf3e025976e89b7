//! What users do, done to the server.

use std::collections::BTreeSet;

use flashgate_api::credit_pack::CreditPackSpec;
use flashgate_api::subscription::BillingDetails;
use flashgate_api::usage_report::{UsageLine, UsageWindow};
use flashgate_api::{
    Amount, CreditAdjustment, CreditAdjustmentSpec, CreditPack, Payment, PaymentSpec, PaymentState, Quantity,
    Subscription, SubscriptionRef, SubscriptionSpec, UsageReport, UsageReportSpec,
};
use flashgate_billing::operator::convert::ledger_from_wire;
use flashgate_cluster::Kind;
use flashgate_ledger::invoice::Invoice;
use flashgate_testing::simulated::{Object, ObjectKey, ObjectKind, Store};
use jiff::Timestamp;

use crate::oracle::{NAMESPACE, key};
use crate::workload::{Ask, Item, Usage};

/// Does `item`. What is not there cannot be edited or deleted; then nothing happens. Returns the account that was
/// reset, if one was.
pub fn apply(store: &mut Store, item: &Item) -> Option<String> {
    match item {
        Item::Subscribe { account, ask, start_time } => {
            let spec = SubscriptionSpec { start_time: *start_time, ..spec_of(*ask) };
            create(store, Subscription::new(account, spec));
        }
        Item::Edit { account, ask } => edit(store, account, |subscription| {
            let SubscriptionSpec { plan, billing_period, renewal, .. } = spec_of(*ask);
            subscription.spec =
                SubscriptionSpec { plan, billing_period, renewal, ..subscription.spec.clone() };
        }),
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
        Item::Report { name, account, usage } => {
            replace(store, UsageReport::new(name, report_of(account, usage)));
        }
        Item::Pack { name, account, pack } => {
            let spec = CreditPackSpec { subscription_ref: reference(account), pack: (*pack).to_owned() };
            replace(store, CreditPack::new(name, spec));
        }
        Item::Pay { name, account, back, state, is_wrong } => {
            let spec = payment_of(store, account, *back, *state, *is_wrong);
            replace(store, Payment::new(name, spec));
        }
        Item::Adjust { name, account, credits, expiration_time } => {
            replace(store, CreditAdjustment::new(name, adjustment_of(account, credits, *expiration_time)));
        }
        Item::Delete { kind, name } => drop(store.delete(&key(*kind, name))),
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

/// Ends what a reset left undone: where a status still names the ledger that was removed, or names it again since its
/// write was under way, it is removed there. Returns whether there was any.
pub fn mend_resets(store: &mut Store, accounts: &BTreeSet<String>) -> bool {
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

fn spec_of(ask: Ask) -> SubscriptionSpec {
    let Ask { plan, billing_period, renewal } = ask;
    SubscriptionSpec { plan: plan.to_owned(), billing_period, renewal, ..SubscriptionSpec::default() }
}

fn reference(account: &str) -> SubscriptionRef {
    SubscriptionRef { name: account.to_owned() }
}

fn report_of(account: &str, usage: &Usage) -> UsageReportSpec {
    let lines = usage.lines.iter().map(|(node_type, operation, quantity)| UsageLine {
        node_type: (*node_type).to_owned(),
        operation: (*operation).to_owned(),
        quantity: Quantity((*quantity).to_owned()),
        ..UsageLine::default()
    });
    UsageReportSpec {
        subscription_ref: reference(account),
        source: usage.source.to_owned(),
        window: UsageWindow { start_time: usage.start_time, end_time: usage.end_time },
        usage: lines.collect(),
    }
}

fn payment_of(store: &Store, account: &str, back: usize, state: PaymentState, is_wrong: bool) -> PaymentSpec {
    let invoice = match store.get(&key(ObjectKind::CreditLedger, account)) {
        Some(Object::CreditLedger(stored)) => {
            ledger_from_wire(account, &stored.spec).ok().and_then(|ledger| {
                let Invoice { number, amount, .. } = ledger.invoices.iter().rev().nth(back)?;
                Some((ledger.invoice_name(*number), amount.to_string()))
            })
        }
        _ => None,
    };
    let (invoice, amount) = invoice.unwrap_or_else(|| (format!("{account}-00000000-0009"), "100".to_owned()));
    PaymentSpec {
        subscription_ref: reference(account),
        invoice,
        state,
        amount: Amount(if is_wrong { "0.01".to_owned() } else { amount }),
        currency: "USD".to_owned(),
        reference: None,
    }
}

fn adjustment_of(account: &str, credits: &str, expiration_time: Option<Timestamp>) -> CreditAdjustmentSpec {
    CreditAdjustmentSpec {
        subscription_ref: reference(account),
        credits: credits.into(),
        reason: "because".to_owned(),
        expiration_time,
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
