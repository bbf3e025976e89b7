//! Names of orders, and idempotency keys.

use axum::http::HeaderMap;
use jiff::Timestamp;

use crate::hash::short_hash;
use crate::refused::Refused;

/// Header with which a client marks repetitions of one request.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Longest idempotency key.
const KEY_LENGTH: usize = 255;

/// Longest name of an object.
const NAME_LENGTH: usize = 253;

/// Bytes of a hash in a name.
const HASH_BYTES: usize = 16;

/// Digits of a ULID: Crockford's base 32 in lower case.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Returns the idempotency key of a request, if it has one.
///
/// # Errors
/// When it is empty, too long, has other characters than visible ASCII, or is given twice.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let refused = || Refused::parameter(IDEMPOTENCY_KEY, "1 to 255 visible ASCII characters, given once");
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let key = first.to_str().map_err(|_| refused())?;
    let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if given.next().is_some() || key.is_empty() || key.len() > KEY_LENGTH || !key.bytes().all(is_visible) {
        return Err(refused());
    }
    Ok(Some(key.to_owned()))
}

/// Returns a hash of an idempotency key for one account. It does not reveal the key.
#[must_use]
pub fn key_hash(namespace: &str, subscription: &str, key: &str) -> String {
    // No name has a NUL or a '/', so different inputs never give the same text.
    short_hash(format!("{namespace}/{subscription}\0{key}"), HASH_BYTES)
}

/// Returns the name of an order: the Subscription's, cut to fit, and `unique`.
#[must_use]
pub fn order_name(subscription: &str, unique: &str) -> String {
    let room = NAME_LENGTH.saturating_sub(unique.len()).saturating_sub(1);
    let cut: String = subscription.chars().take(room).collect();
    format!("{}-{unique}", cut.trim_end_matches(['-', '.']))
}

/// Returns a ULID in lower case: 48 bits of milliseconds since 1970 and 80 random bits.
///
/// # Errors
/// When the operating system gives no random numbers.
pub fn new_ulid(now: Timestamp) -> Result<String, getrandom::Error> {
    let mut random = [0_u8; 16];
    let (_, low) = random.split_at_mut(6);
    getrandom::fill(low)?;
    let millis = u128::try_from(now.as_millisecond()).unwrap_or_default();
    Ok(base32((millis << 80) | u128::from_be_bytes(random)))
}

/// Returns a number as 26 digits.
fn base32(number: u128) -> String {
    let digit = |index: u32| {
        let value = usize::try_from((number >> (5 * index)) & 31).unwrap_or_default();
        char::from(BASE32.get(value).copied().unwrap_or(b'0'))
    };
    (0..26).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::caller::is_object_name;

    fn key_of(values: &[&[u8]]) -> Result<Option<String>, Refused> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).expect("value"));
        }
        idempotency_key(&headers)
    }

    #[test]
    fn a_key_is_visible_ascii_and_given_once() {
        assert_eq!(key_of(&[]), Ok(None));
        assert_eq!(key_of(&[b"order 7"]), Ok(Some("order 7".to_owned())));
        let long = [b'a'; 256];
        for values in [vec![&b""[..]], vec![&b"a"[..], &b"a"[..]], vec![&long[..]], vec!["\u{e9}".as_bytes()]]
        {
            assert!(key_of(&values).is_err(), "{values:?}");
        }
    }

    #[test]
    fn the_same_key_gives_the_same_name_for_one_account_and_others_for_others() {
        let name = |namespace, subscription: &str, key| {
            order_name(subscription, &key_hash(namespace, subscription, key))
        };
        let one = name("team", "acme", "order-7");
        assert_eq!(one, name("team", "acme", "order-7"));
        assert!(one.starts_with("acme-") && one.len() == "acme-".len() + 32, "{one}");
        for other in [
            name("team", "acme", "order-8"),
            name("other", "acme", "order-7"),
            name("team", "acm", "order-7"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn every_name_is_the_name_of_an_object() {
        let hash = "0".repeat(32);
        for subscription in
            ["a", "acme.example.org", &"a".repeat(253), &format!("{}.b{}", "a".repeat(219), "c".repeat(30))]
        {
            let name = order_name(subscription, &hash);
            assert!(is_object_name(&name), "{name}");
        }
    }

    #[test]
    fn ulids_are_lower_case_and_sorted_by_time() {
        let at = |millis| new_ulid(Timestamp::from_millisecond(millis).expect("time")).expect("ULID");
        let (one, same, later) = (at(1_469_918_176_385), at(1_469_918_176_385), at(1_469_918_176_386));
        assert!(one.starts_with("01aryz6s41"), "{one}");
        assert_eq!(one.len(), 26);
        assert_ne!(one, same);
        assert!(one < later && same < later);
        assert!(is_object_name(&order_name("acme", &one)));
        assert_eq!(base32(u128::MAX), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
    }
}
