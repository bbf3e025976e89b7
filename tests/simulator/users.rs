//! Applies the items of a workload to the API server in memory.

use std::collections::BTreeSet;

use flashgate_api::Subscription;
use flashgate_api::subscription::BillingDetails;
use flashgate_ledger::Credits;
use flashgate_preview::convert::ledger_from_wire;
use flashgate_testing::Action;
use flashgate_testing::action::InvoiceChoice;
use flashgate_testing::objects::{created, kind_of, requesting};
use flashgate_testing::simulated::{Object, ObjectKey, ObjectKind, Store};
use flashgate_testing::values::credits;

use crate::oracle::{NAMESPACE, key};
use crate::simulator::workload::Item;

/// Applies `item`. An object that does not exist cannot be edited or deleted; then nothing happens. Returns the account that
/// was reset, if one was.
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
        // Within a second the new account would get the id of the old one, and its history would conflict with it
        // (`HistoryConflict`). No user deletes a ledger that fast.
        Item::Reset { account } => {
            if !is_new(store, account) && store.delete(&key(ObjectKind::CreditLedger, account)).is_ok() {
                forget_ledger(store, account);
                return Some(account.clone());
            }
        }
    }
    None
}

/// Returns whether the ledger of an account was created in this second.
fn is_new(store: &Store, account: &str) -> bool {
    let found = store.get(&key(ObjectKind::CreditLedger, account));
    let created = found.and_then(|ledger| ledger.metadata().creation_timestamp.clone());
    created.is_some_and(|created| created.0.as_second() == store.now().as_second())
}

fn act(store: &mut Store, account: &str, action: Action) {
    match action {
        Action::Edit { request } => edit(store, account, |subscription| {
            subscription.spec = requesting(request, subscription.spec.clone());
        }),
        Action::Unsubscribe => drop(store.delete(&key(ObjectKind::Subscription, account))),
        Action::Delete { kind, name } => drop(store.delete(&key(kind_of(kind), &name))),
        action => {
            let Some(mut object) = created(action, account, |invoice| find(store, account, invoice)) else {
                return;
            };
            object.metadata_mut().namespace = Some(NAMESPACE.to_owned());
            if object.kind() != ObjectKind::Subscription {
                drop(store.delete(&object.key()));
            }
            drop(store.create(object));
        }
    }
}

/// Returns name and amount of an invoice of the stored ledger, or of one that no account has.
fn find(store: &Store, account: &str, invoice: &InvoiceChoice) -> (String, Credits) {
    let found = match store.get(&key(ObjectKind::CreditLedger, account)) {
        Some(Object::CreditLedger(stored)) => {
            ledger_from_wire(account, &stored.spec).ok().and_then(|ledger| invoice.find(&ledger))
        }
        _ => None,
    };
    found.unwrap_or_else(|| (format!("{account}-00000000-0009"), credits("100")))
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
