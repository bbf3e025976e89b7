//! Tests of the table: each change against a table that is filled from scratch, and its size.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tests::account;

const KEYS: [&str; 3] = ["key-0", "key-1", "key-2"];

fn name_by_key(table: &Table, key: &str) -> Option<String> {
    table.find_by_key(KeyHash::of_key(key)).map(|found| found.name)
}

/// Lists the accounts of a namespace, or of all.
fn list(table: &mut Table, namespace: Option<&str>, accounts: &[Account]) -> usize {
    table.begin_list(0..table.slots(), namespace);
    for account in accounts {
        table.put(account);
    }
    table.end_list(0..table.slots(), namespace)
}

#[test]
fn an_account_is_found_as_it_was_stored() {
    let mut table = Table::default();
    table.put(&account("team/acme", true, &[]));
    table.put(&Account {
        is_low: true,
        balance: None,
        plan: None,
        renewal: None,
        reason: "Paused".to_owned(),
        ..account("team/other", false, &[])
    });
    let found = table.find("team/acme").expect("found");
    assert_eq!((found.is_open, found.is_low, found.balance), (true, false, "12.5".parse().ok()));
    assert_eq!(found.plan.expect("plan").text, "starter");
    assert_eq!(found.reason.expect("reason").text, "CreditsLeft");
    assert_eq!(found.renewal, Some(1_796_083_200));
    let found = table.find("team/other").expect("found");
    assert_eq!((found.is_open, found.is_low, found.balance), (false, true, None));
    assert_eq!((found.plan, found.renewal), (None, None));
    assert_eq!(found.reason.expect("reason").text, "Paused");
    for absent in ["team/acm", "team/acme2", "acme", "", "team"] {
        assert_eq!(table.find(absent), None, "{absent}");
    }
}

#[test]
fn accounts_are_counted() {
    let mut table = Table::default();
    assert!(table.is_empty());
    table.put(&account("a/1", true, &[]));
    table.put(&account("a/2", false, &[]));
    table.put(&account("a/2", false, &[]));
    assert_eq!((table.len(), table.closed()), (2, 1));
    table.put(&account("a/1", false, &[]));
    assert_eq!((table.len(), table.closed()), (2, 2));
    table.put(&account("a/2", true, &[]));
    table.remove("a/1");
    table.remove("a/1");
    table.remove("a/3");
    assert_eq!((table.len(), table.closed()), (1, 0));
}

#[test]
fn a_list_removes_the_accounts_of_its_namespace_that_are_gone() {
    let mut table = Table::default();
    for name in ["a/1", "a/2", "ab/1", "b/1"] {
        table.put(&account(name, true, &[]));
    }
    assert_eq!(list(&mut table, Some("a"), &[account("a/2", false, &[])]), 1);
    let names = |table: &Table| {
        ["a/1", "a/2", "ab/1", "b/1", "c/1"]
            .into_iter()
            .filter(|name| table.find(name).is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&table), ["a/2", "ab/1", "b/1"]);
    assert!(!table.find("a/2").expect("found").is_open);
    assert_eq!(list(&mut table, None, &[account("c/1", true, &[])]), 3);
    assert_eq!(names(&table), ["c/1"]);
    assert_eq!(list(&mut table, None, &[]), 1);
    assert!(table.is_empty());
}

#[test]
fn a_list_that_was_interrupted_does_not_keep_accounts_that_are_gone() {
    let mut table = Table::default();
    table.put(&account("a/1", true, &[]));
    table.begin_list(0..table.slots(), None);
    table.put(&account("a/1", true, &[]));
    table.put(&account("a/2", true, &[]));
    // The list was interrupted here, and a/1 was deleted.
    assert_eq!(list(&mut table, None, &[account("a/2", true, &[])]), 1);
    assert_eq!(table.find("a/1"), None);
}

#[test]
fn accounts_stay_in_use_while_a_list_is_made() {
    let mut table = Table::default();
    table.put(&account("a/1", true, &["key-0"]));
    table.begin_list(0..table.slots(), None);
    assert!(table.find("a/1").is_some());
    assert_eq!(name_by_key(&table, "key-0").as_deref(), Some("a/1"));
}

#[test]
fn an_api_key_leads_to_its_account_while_the_label_exists() {
    let mut table = Table::default();
    table.put(&account("a/1", true, &["key-0", "key-1"]));
    assert_eq!(name_by_key(&table, "key-0").as_deref(), Some("a/1"));
    assert_eq!(name_by_key(&table, "key-1").as_deref(), Some("a/1"));
    assert_eq!(name_by_key(&table, "key-2"), None);
    table.put(&account("a/1", true, &["key-1", "key-2"]));
    assert_eq!(name_by_key(&table, "key-0"), None);
    assert_eq!(name_by_key(&table, "key-1").as_deref(), Some("a/1"));
    assert_eq!(name_by_key(&table, "key-2").as_deref(), Some("a/1"));
    table.remove("a/1");
    assert_eq!(KEYS.map(|key| name_by_key(&table, key)), [None, None, None]);
    assert_eq!(table.keys.count(), 0);
}

#[test]
fn an_api_key_of_several_accounts_leads_to_none() {
    let mut table = Table::default();
    let nothing = Sharing::new();
    assert_eq!(table.put(&account("a/1", true, &["key-0"])), nothing);
    assert_eq!(table.put(&account("a/2", true, &["key-0", "key-1"])), ["a/1"]);
    assert_eq!(name_by_key(&table, "key-0"), None);
    assert_eq!(name_by_key(&table, "key-1").as_deref(), Some("a/2"));
    // The same state again is not reported again.
    assert_eq!(table.put(&account("a/2", false, &["key-0", "key-1"])), nothing);
    assert_eq!(table.put(&account("a/3", true, &["key-0", "key-1"])), ["a/1", "a/2"]);
    table.remove("a/3");
    table.put(&account("a/1", true, &[]));
    assert_eq!(name_by_key(&table, "key-0").as_deref(), Some("a/2"));
}

#[test]
fn the_slot_of_a_removed_account_is_used_again() {
    let mut table = Table::default();
    for round in 0..1_000 {
        let name = format!("a/{round}");
        table.put(&account(&name, round % 2 == 0, &["key-0"]));
        assert_eq!(name_by_key(&table, "key-0"), Some(name.clone()));
        table.remove(&name);
    }
    assert_eq!((table.slots(), table.len(), table.closed()), (1, 0, 0));
}

#[test]
fn an_account_takes_less_than_200_bytes() {
    const ACCOUNTS: usize = 100_000;
    assert_eq!(size_of::<Slot>(), 64);
    for (keys_each, most) in [(0, 80), (1, 120)] {
        let mut table = Table::default();
        for number in 0..ACCOUNTS {
            let keys = [format!("key-{number}")];
            let keys: Vec<&str> = keys.iter().take(keys_each).map(String::as_str).collect();
            table.put(&account(&format!("customers-{}/account-{number}", number % 10), true, &keys));
        }
        // Pages that were never written take no memory.
        let bytes = size_of_val(&*table.slots) + table.by_name.allocation_size() + table.keys.bytes();
        assert!(bytes / ACCOUNTS <= most, "{} bytes an account with {keys_each} API keys", bytes / ACCOUNTS);
    }
}

/// A change of the cluster.
#[derive(Clone, Debug)]
enum Change {
    Put(Account),
    Removed(String),
    /// The watch of a namespace begins again with a list.
    Listed(&'static str),
    /// A list that is interrupted after some accounts.
    Interrupted(&'static str, usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    let namespace = || prop::sample::select(vec!["a", "b"]);
    let name = (namespace(), 0..4_u8).prop_map(|(namespace, number)| format!("{namespace}/{number}"));
    let keys = prop::sample::subsequence(KEYS.to_vec(), 0..=3);
    let put = (name.clone(), any::<bool>(), any::<bool>(), any::<Option<i8>>(), keys);
    let put = put.prop_map(|(name, is_open, is_low, number, keys)| {
        Change::Put(Account {
            is_low,
            balance: number.map(|number| Credits::from_nanos(number.into()).expect("credits")),
            plan: number.map(|number| format!("plan-{}", number % 3)),
            renewal: number.map(i64::from),
            ..account(&name, is_open, &keys)
        })
    });
    prop_oneof![
        6 => put,
        3 => name.prop_map(Change::Removed),
        1 => namespace().prop_map(Change::Listed),
        1 => (namespace(), 0..4_usize).prop_map(|(namespace, count)| Change::Interrupted(namespace, count)),
    ]
}

/// Returns all that the table answers.
fn content(table: &Table) -> (Vec<Option<Found>>, Vec<Option<Found>>, usize, usize) {
    let names =
        ["a", "b"].iter().flat_map(|namespace| (0..4).map(move |number| format!("{namespace}/{number}")));
    let by_name = names.map(|name| table.find(&name)).collect();
    let by_key = KEYS.iter().map(|key| table.find_by_key(KeyHash::of_key(key))).collect();
    (by_name, by_key, table.len(), table.closed())
}

proptest! {
    #[test]
    fn any_sequence_of_events_gives_the_table_of_a_fresh_list(
        // Events that are missed reach the table only by the next list of their namespace.
        changes in prop::collection::vec((any_change(), prop::bool::weighted(0.2)), 0..80)
    ) {
        let (mut cluster, mut table) = (BTreeMap::<String, Account>::new(), Table::default());
        for (change, is_missed) in changes {
            let all_of = |cluster: &BTreeMap<String, Account>, namespace| {
                cluster.values().filter(|account| is_in(&account.name, Some(namespace))).cloned().collect::<Vec<_>>()
            };
            match change {
                Change::Put(account) => {
                    cluster.insert(account.name.clone(), account.clone());
                    if !is_missed {
                        table.put(&account);
                    }
                }
                Change::Removed(name) => {
                    cluster.remove(&name);
                    if !is_missed {
                        table.remove(&name);
                    }
                }
                Change::Listed(namespace) => {
                    list(&mut table, Some(namespace), &all_of(&cluster, namespace));
                }
                Change::Interrupted(namespace, count) => {
                    table.begin_list(0..table.slots(), Some(namespace));
                    all_of(&cluster, namespace).into_iter().take(count).for_each(|account| drop(table.put(&account)));
                }
            }
        }
        let mut fresh = Table::default();
        for namespace in ["a", "b"] {
            let all = cluster.values().filter(|account| is_in(&account.name, Some(namespace)));
            list(&mut table, Some(namespace), &all.clone().cloned().collect::<Vec<_>>());
            all.for_each(|account| drop(fresh.put(account)));
        }
        prop_assert_eq!(content(&table), content(&fresh));
    }

    #[test]
    fn events_alone_give_the_table_of_a_fresh_list(changes in prop::collection::vec(any_change(), 0..80)) {
        let (mut cluster, mut table) = (BTreeMap::<String, Account>::new(), Table::default());
        for change in changes {
            match change {
                Change::Put(account) => {
                    cluster.insert(account.name.clone(), account.clone());
                    table.put(&account);
                }
                Change::Removed(name) => {
                    cluster.remove(&name);
                    table.remove(&name);
                }
                Change::Listed(_) | Change::Interrupted(..) => {}
            }
        }
        let mut fresh = Table::default();
        for account in cluster.values() {
            fresh.put(account);
        }
        prop_assert_eq!(content(&table), content(&fresh));
    }
}
