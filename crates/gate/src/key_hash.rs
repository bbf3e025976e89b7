//! Hashes of API keys.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Bytes of a hash: the value of a label has at most 63 characters, so it holds only a part of a SHA-256.
const BYTES: usize = 20;

/// The first 20 bytes of the SHA-256 of an API key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; BYTES]);

impl KeyHash {
    /// Returns the hash of a key.
    #[must_use]
    pub fn of_key(key: &str) -> Self {
        let mut hash = [0; BYTES];
        hash.iter_mut().zip(Sha256::digest(key)).for_each(|(byte, digest)| *byte = digest);
        Self(hash)
    }

    /// Returns the hash that the value of a label states: 40 hexadecimal digits.
    #[must_use]
    pub fn of_label(value: &str) -> Option<Self> {
        let digits = value.as_bytes();
        if digits.len() != 2 * BYTES {
            return None;
        }
        let mut hash = [0; BYTES];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit =
                |at: usize| char::from(pair[at]).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            *byte = digit(0)? << 4 | digit(1)?;
        }
        Some(Self(hash))
    }
}

impl fmt::Debug for KeyHash {
    /// Hides the hash, because logs must not have it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_the_first_40_digits_of_the_keys_sha256() {
        // printf %s key | sha256sum | cut -c1-40
        let value = "2c70e12b7a0646f92279f427c7b38e7334d8e538";
        assert_eq!(KeyHash::of_label(value), Some(KeyHash::of_key("key")));
        assert_eq!(KeyHash::of_label(&value.to_uppercase()), Some(KeyHash::of_key("key")));
        assert_ne!(KeyHash::of_label(value), Some(KeyHash::of_key("kez")));
    }

    #[test]
    fn other_values_of_labels_are_no_hash() {
        let value = "2c70e12b7a0646f92279f427c7b38e7334d8e538";
        for odd in ["", &value[1..], &format!("{value}0"), &value.replace('c', "g"), &"ä".repeat(20)] {
            assert_eq!(KeyHash::of_label(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_hash_is_never_printed() {
        assert_eq!(format!("{:?}", KeyHash::of_key("key")), "KeyHash(..)");
    }
}
