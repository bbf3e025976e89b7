//! Hashes that identify contents.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Returns the first `bytes` bytes of the SHA-256 of a content in lower-case hexadecimal.
#[must_use]
pub fn short_hash(content: impl AsRef<[u8]>, bytes: usize) -> String {
    let digest = Sha256::digest(content);
    digest.iter().take(bytes).fold(String::with_capacity(2 * bytes), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_start_of_the_digest() {
        assert_eq!(short_hash("abc", 4), "ba7816bf");
        assert_eq!(short_hash("abc", 100).len(), 64);
    }
}
