//! Users, their tokens and their kubeconfig files.

use std::fs::File;
use std::io::{self, Read};

/// A user that the API server knows from its start.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    pub(crate) token: String,
}

impl User {
    pub(crate) fn new(name: &str, groups: Vec<String>) -> io::Result<Self> {
        Ok(Self { name: name.to_owned(), groups, token: random_token()? })
    }

    /// Returns the line of a `--token-auth-file`: token, user, uid, groups.
    fn line(&self) -> String {
        let Self { name, groups, token } = self;
        format!("{token},{},{},{}\n", quoted(name), quoted(name), quoted(&groups.join(",")))
    }
}

/// Returns the content of a `--token-auth-file`.
pub(crate) fn token_file(users: &[User]) -> String {
    users.iter().map(User::line).collect()
}

/// Returns a kubeconfig with one context.
pub(crate) fn kubeconfig(url: &str, certificate_authority: &str, user: &str, token: &str) -> String {
    format!(
        r#"apiVersion: v1
kind: Config
clusters:
- name: private
  cluster: {{server: "{url}", certificate-authority: "{certificate_authority}"}}
users:
- name: "{user}"
  user: {{token: "{token}"}}
contexts:
- name: private
  context: {{cluster: private, user: "{user}"}}
current-context: private
"#
    )
}

/// Returns a quoted CSV field. A quotation mark inside it is doubled.
fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

/// Returns a token of 128 random bits, because other users of the machine can reach the port.
fn random_token() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let [one, other] = [random_token(), random_token()].map(|token| token.expect("a token"));
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }

    #[test]
    fn a_token_file_quotes_what_has_commas_and_quotation_marks() {
        let user = User {
            name: "a\"b".to_owned(),
            groups: vec!["x".to_owned(), "y".to_owned()],
            token: "t".to_owned(),
        };
        assert_eq!(token_file(&[user]), "t,\"a\"\"b\",\"a\"\"b\",\"x,y\"\n");
    }
}
