//! An encoding for texts with NUL characters, which PostgreSQL does not store.

use std::borrow::Cow;

/// Returns `text` without NUL characters: `\` becomes `\\`, and NUL becomes `\0`.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    if text.contains(['\0', '\\']) {
        Cow::Owned(text.replace('\\', r"\\").replace('\0', r"\0"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns the text that [`encode`] encoded.
pub(crate) fn decode(stored: &str) -> String {
    let mut text = String::with_capacity(stored.len());
    let mut characters = stored.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(if characters.next() == Some('0') { '\0' } else { '\\' }),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_is_read_back_and_stored_without_nul(text in r"[\\0a\x00]{0,6}|\PC*") {
            let stored = encode(&text);
            prop_assert!(!stored.contains('\0'));
            prop_assert_eq!(decode(&stored), text);
        }
    }
}
