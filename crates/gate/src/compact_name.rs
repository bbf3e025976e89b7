//! Names of accounts that are stored in place.

/// Longest name that is stored in place, in bytes. With it, the state of an account fills one line of the processor's cache.
const INLINE_BYTES: usize = 30;

/// A name. Most names are short, and a pointer to each of them would cost memory and time.
#[derive(Debug)]
pub enum CompactName {
    /// A short name: its length and bytes.
    Inline(u8, [u8; INLINE_BYTES]),
    /// A long name.
    Boxed(Box<str>),
}

impl CompactName {
    /// The empty name, which no account has.
    pub const EMPTY: Self = Self::Inline(0, [0; INLINE_BYTES]);

    /// Returns the bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Boxed(name) => name.as_bytes(),
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl From<&str> for CompactName {
    fn from(name: &str) -> Self {
        let mut bytes = [0; INLINE_BYTES];
        match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(start), Ok(length)) => {
                start.copy_from_slice(name.as_bytes());
                Self::Inline(length, bytes)
            }
            _ => Self::Boxed(Box::from(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_are_kept() {
        assert_eq!(size_of::<CompactName>(), 32);
        for length in 0..=320 {
            let name: String = ('a'..='z').cycle().take(length).collect();
            let compact = CompactName::from(name.as_str());
            assert_eq!(compact.as_str(), name);
            assert_eq!(matches!(compact, CompactName::Inline(..)), length <= INLINE_BYTES, "{length}");
        }
        assert_eq!(CompactName::EMPTY.as_str(), "");
    }
}
