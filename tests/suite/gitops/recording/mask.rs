//! Masks the values that differ between recordings: identities, hashes, and times of the wall clock.

use flashgate_cluster::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The mask of a time of the wall clock. Times of a test clock are not masked.
const TIME: &str = "2026-03-01T00:00:00Z";
/// The length of `2026-03-01T00:00:00Z`.
const TIME_LENGTH: usize = 20;
/// The largest distance from now of a time of the wall clock: an object waits a day for its Subscription.
const NEAR: SignedDuration = SignedDuration::from_hours(72);

/// The mask of the seconds by which a meter lags that cannot read its server.
const LAG: i64 = 7_200;

/// The mask of the account id in the numbers of invoices.
const ACCOUNT: &str = "1f3a9c2e";

/// The places of identities, with their masks.
const IDENTITIES: [(&str, &str); 9] = [
    ("/metadata/uid", "00000000-0000-4000-8000-000000000001"),
    ("/status/ledger/uid", "00000000-0000-4000-8000-000000000002"),
    ("/status/ledger/hash", "0000000000000000000000000000000000000000000000000000000000000000"),
    ("/spec/subscription/uid", "00000000-0000-4000-8000-000000000003"),
    ("/spec/hash", "1111111111111111111111111111111111111111111111111111111111111111"),
    ("/spec/previousHash", "2222222222222222222222222222222222222222222222222222222222222222"),
    ("/spec/entryHash", "3333333333333333333333333333333333333333333333333333333333333333"),
    ("/spec/account", ACCOUNT),
    ("/spec/writer", "flashgate-billing-0"),
];

/// Returns an object without what differs, of the account whose book is `ledger`.
pub fn mask(mut object: Value, ledger: Option<&Value>) -> Value {
    let metadata = object["metadata"].as_object_mut().expect("metadata");
    metadata.remove("managedFields");
    metadata.remove("resourceVersion");
    let mut text = object.to_string();
    for source in [Some(&object), ledger].into_iter().flatten() {
        for (pointer, stands_for_it) in IDENTITIES {
            let identity = source.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            // The first commit has no previous hash.
            if !identity.is_empty() {
                text = text.replace(identity, stands_for_it);
            }
        }
    }
    // The invoices of a missing ledger still name the account.
    let invoice = object.pointer("/status/invoices/0/number").and_then(Value::as_str);
    if let Some(account) = invoice.and_then(|number| number.rsplit('-').nth(1)) {
        text = text.replace(account, ACCOUNT);
    }
    let mut object: Value = serde_json::from_str(&text).expect("JSON");
    let is_read = object.pointer("/spec/prometheus").is_none_or(|server| server == "default");
    if let Some(lag) = object.pointer_mut("/status/lagSeconds").filter(|_| !is_read) {
        *lag = LAG.into();
    }
    mask_times(&mut object, Clock::system().now());
    object
}

fn mask_times(value: &mut Value, now: Timestamp) {
    match value {
        Value::String(text) => *value = json!(without_times(text, now)),
        Value::Array(items) => items.iter_mut().for_each(|item| mask_times(item, now)),
        Value::Object(fields) => fields.values_mut().for_each(|field| mask_times(field, now)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns a text with [`TIME`] for each time near now.
fn without_times(text: &str, now: Timestamp) -> String {
    let is_near = |part: &&str| {
        let time = part.parse::<Timestamp>();
        time.is_ok_and(|time| now.duration_since(time).abs() < NEAR)
    };
    let parts = text.char_indices().filter_map(|(start, _)| text.get(start..start + TIME_LENGTH));
    let near: Vec<&str> = parts.filter(is_near).collect();
    near.into_iter().fold(text.to_owned(), |text, time| text.replace(time, TIME))
}

#[test]
fn times_near_now_are_masked_and_those_of_a_test_clock_are_not() {
    let now: Timestamp = "2026-11-23T10:00:00Z".parse().expect("time");
    let text = "create it before 2026-11-24T09:59:58Z: the window ends at 2026-03-01T10:00:00Z";
    let masked = "create it before 2026-03-01T00:00:00Z: the window ends at 2026-03-01T10:00:00Z";
    assert_eq!(without_times(text, now), masked);
}
