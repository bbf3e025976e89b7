//! Names of accounts: `namespace/name`.

/// Longest name of a namespace, in bytes: a DNS label.
const NAMESPACE_BYTES: usize = 63;

/// Longest name of an object, in bytes: a DNS subdomain.
const OBJECT_BYTES: usize = 253;

/// Longest name of an account, in bytes.
pub const MOST_BYTES: usize = NAMESPACE_BYTES + 1 + OBJECT_BYTES;

/// Returns whether the text is `namespace/name` with names that the API server accepts. This is a part of each answer, so it
/// reads each byte once.
#[must_use]
pub fn is_account(text: &str) -> bool {
    let Some(slash) = text.bytes().position(|byte| byte == b'/') else { return false };
    let (namespace, name) = text.split_at(slash);
    is_namespace(namespace) && is_object(&name[1..])
}

/// Returns whether the text can be the name of a namespace.
#[must_use]
pub fn is_namespace(text: &str) -> bool {
    text.len() <= NAMESPACE_BYTES && has_labels(text, false)
}

/// Returns whether the text can be the name of a Subscription.
#[must_use]
pub fn is_object(text: &str) -> bool {
    text.len() <= OBJECT_BYTES && has_labels(text, true)
}

/// Returns whether the text has only lower-case letters, digits and '-', and starts and ends with a letter or digit. With
/// dots, this holds for each part between them.
fn has_labels(text: &str, with_dots: bool) -> bool {
    let mut before = b'.';
    for byte in text.bytes() {
        let is_allowed = match byte {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'-' => before != b'.',
            b'.' => with_dots && !matches!(before, b'.' | b'-'),
            _ => false,
        };
        if !is_allowed {
            return false;
        }
        before = byte;
    }
    !matches!(before, b'.' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_api_server_accepts_are_accounts() {
        let longest = format!("{}/{}", "n".repeat(63), "o".repeat(253));
        for name in ["team/acme", "a/b", "0/9", "my-team/acme.example.com", &longest] {
            assert!(is_account(name), "{name}");
        }
        assert_eq!(longest.len(), MOST_BYTES);
    }

    #[test]
    fn other_texts_are_no_accounts() {
        let long = (format!("{}/o", "n".repeat(64)), format!("n/{}", "o".repeat(254)));
        for text in [
            "",
            "/",
            "team",
            "team/",
            "/acme",
            "team//acme",
            "team/acme/",
            "team/acme/x",
            "Team/acme",
            "team/Acme",
            "te.am/acme",
            "team/acme ",
            " team/acme",
            "team/ac me",
            "-team/acme",
            "team-/acme",
            "team/-acme",
            "team/acme-",
            "team/.acme",
            "team/acme.",
            "team/a..b",
            "team/a.-b",
            "team/ac_me",
            "team/äcme",
            "team/acme,team/other",
            "team/..",
            "team/%61cme",
            "team/acme\n",
            &long.0,
            &long.1,
        ] {
            assert!(!is_account(text), "{text:?}");
        }
    }
}
