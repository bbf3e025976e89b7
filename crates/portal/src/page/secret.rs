//! The secret of a visitor's forms. A page of another origin does not know it, so it cannot send one.
//!
//! It is an HMAC with the visitor's token as key. Every process computes the same one, so a form works behind a proxy,
//! with several replicas, and after a restart. A random mask makes each form different, so that the length of
//! compressed pages does not reveal it.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::token::Token;

/// Bytes of a secret and of its mask.
const LENGTH: usize = 16;

/// The text that is authenticated. Another use of the token as a key would need another text.
const PURPOSE: &[u8] = b"flashgate-billing: forms of the page";

/// The secret of a visitor's forms.
#[derive(Clone)]
pub(crate) struct Secret(Hmac<Sha256>);

impl Secret {
    /// Returns the secret of the forms of a token. Without a token it accepts no form.
    pub(crate) fn of(token: &Token) -> Option<Self> {
        let mut code = Hmac::<Sha256>::new_from_slice(&token.digest()).ok()?;
        code.update(PURPOSE);
        Some(Self(code))
    }

    /// Returns the text for a form: a random mask, and the masked secret, in hexadecimal.
    pub(crate) fn text(&self) -> String {
        let mut mask = [0_u8; LENGTH];
        // A form without a mask is as good, except against an attacker who measures lengths.
        let _ = getrandom::fill(&mut mask);
        let secret = self.0.clone().finalize().into_bytes();
        let masked = secret.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
        mask.into_iter().chain(masked).fold(String::with_capacity(4 * LENGTH), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Returns whether a text is from a form of this visitor.
    pub(crate) fn accepts(&self, text: &str) -> bool {
        let Some(bytes) = from_hex(text) else { return false };
        let Some((mask, masked)) = bytes.split_at_checked(LENGTH) else { return false };
        let secret: Vec<u8> = masked.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        masked.len() == LENGTH && self.0.clone().verify_truncated_left(&secret).is_ok()
    }
}

/// Returns the bytes of a text in hexadecimal.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pair = |start: usize| u8::from_str_radix(text.get(start..start + 2)?, 16).ok();
    is_hex.then(|| (0..text.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(token: &str) -> Secret {
        Secret::of(&Token::new(token).expect("token")).expect("secret")
    }

    #[test]
    fn a_form_is_accepted_with_the_token_that_it_was_made_for() {
        let (one, again) = (secret("one"), secret("one"));
        let text = one.text();
        assert!(one.accepts(&text) && again.accepts(&text), "another process computes the same secret");
        assert!(!secret("other").accepts(&text));
        assert_ne!(one.text(), text, "each form has its own mask");
    }

    #[test]
    fn other_texts_are_not_accepted() {
        let text = secret("one").text();
        let flipped = format!("{}{}", &text[..63], if text.ends_with('0') { '1' } else { '0' });
        let (short, long) = (&text[..62], format!("{text}00"));
        for bad in ["", "0", "zz", short, &long, &flipped, &"0".repeat(64), &"é".repeat(32)] {
            assert!(!secret("one").accepts(bad), "{bad}");
        }
    }
}
