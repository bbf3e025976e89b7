//! The content of a callback, and the Payment with the same content.

use flashgate_api::schema::OBJECT_NAME_LENGTH;
use flashgate_api::{Amount, Payment, PaymentSpec, PaymentState, SubscriptionRef};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::secrets::Scope;

/// Annotation with the provider's id of the event, unchanged.
pub const EVENT_ID: &str = "billing.flashgate.dev/event-id";

/// Longest id of an event, in bytes. Ids of providers are much shorter.
const ID_BYTES: usize = 256;

/// Hexadecimal digits of the hash in the name of a Payment. With 64 bits, two events of a provider do not
/// collide by chance.
const HASH_LENGTH: usize = 16;

/// The body of a callback. Unknown fields are refused, never ignored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Callback {
    /// The provider's id of the event, which is the same at each delivery.
    pub id: String,
    /// Namespace of the Subscription. It is required if the secret is valid in several namespaces.
    pub namespace: Option<String>,
    /// Name of the Subscription.
    pub subscription: String,
    /// Number of the invoice.
    pub invoice: String,
    /// The reported state.
    pub state: PaymentState,
    /// Amount, as text.
    pub amount: String,
    /// Currency.
    pub currency: String,
    /// The provider's id of the payment, to find it at the provider.
    pub reference: Option<String>,
}

/// Why a body is not a callback.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// It is not such JSON.
    #[error(
        "the body cannot be understood: {0}; must be a JSON object with the texts id, subscription, invoice, state \
         (Settled, Failed, Cancelled or Refunded), amount (such as \"300\"), currency and, optionally, namespace and \
         reference"
    )]
    Json(#[from] serde_json::Error),
    /// The event has no valid id.
    #[error("id has {0} bytes; must be the provider's identifier of the event, of 1 to {ID_BYTES} bytes")]
    Id(usize),
}

/// Why a signed callback is not valid in the namespace that it was sent to. Without this check, someone who
/// records a callback could send it to other namespaces too.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The secret is valid in several namespaces, and the body does not name one.
    #[error(
        "the secret is known in several namespaces, so the signed body must name its own: add \"namespace\": \"{path}\", \
         or use a secret of that namespace alone"
    )]
    NotNamed {
        /// The namespace of the path.
        path: String,
    },
    /// The body names another namespace.
    #[error("the body is for namespace '{named}', but the path names '{path}'; must be the same")]
    Differs {
        /// The namespace of the body.
        named: String,
        /// The namespace of the path.
        path: String,
    },
}

impl Callback {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is not a JSON object with exactly the fields of a callback.
    pub fn parse(body: &[u8]) -> Result<Self, CallbackError> {
        let callback: Self = serde_json::from_slice(body)?;
        match callback.id.len() {
            1..=ID_BYTES => Ok(callback),
            length => Err(CallbackError::Id(length)),
        }
    }

    /// Checks that the signed body is valid in the namespace `path`.
    ///
    /// # Errors
    /// When it names another namespace, or none although the secret is valid in several.
    pub fn check_namespace(&self, path: &str, scope: Scope) -> Result<(), NamespaceError> {
        let path = || path.to_owned();
        match (&self.namespace, scope) {
            (Some(named), _) if *named == path() => Ok(()),
            (Some(named), _) => Err(NamespaceError::Differs { named: named.clone(), path: path() }),
            (None, Scope::OneNamespace) => Ok(()),
            (None, Scope::SeveralNamespaces) => Err(NamespaceError::NotNamed { path: path() }),
        }
    }

    /// Returns the Payment with its content, named after the event.
    #[must_use]
    pub fn into_payment(self) -> Payment {
        let Self { id, namespace: _, subscription, invoice, state, amount, currency, reference } = self;
        let mut payment = Payment::new(
            &object_name(&id),
            PaymentSpec {
                subscription_ref: SubscriptionRef { name: subscription },
                invoice,
                state,
                amount: Amount(amount),
                currency,
                reference,
            },
        );
        payment.metadata.annotations = Some([(EVENT_ID.to_owned(), id)].into());
        payment
    }
}

/// Returns the name of the object for the event `id`. It is the id itself if that is a valid name, otherwise
/// its valid characters and a hash of the id.
///
/// # Guarantees
/// The same id always has the same name. Two ids have different names.
#[must_use]
pub fn object_name(id: &str) -> String {
    if is_object_name(id) {
        return id.to_owned();
    }
    let fits = |character: char| match character.to_ascii_lowercase() {
        character @ ('a'..='z' | '0'..='9') => character,
        _ => '-',
    };
    let room = longest_name().saturating_sub(HASH_LENGTH + 1);
    let readable: String = id.chars().map(fits).take(room).collect();
    let readable = readable.trim_matches('-');
    let hash = Sha256::digest(id).first_chunk().copied().map(u64::from_be_bytes).unwrap_or_default();
    let hash = format!("{hash:0HASH_LENGTH$x}");
    if readable.is_empty() { hash } else { format!("{readable}-{hash}") }
}

fn longest_name() -> usize {
    usize::try_from(OBJECT_NAME_LENGTH).unwrap_or(usize::MAX)
}

/// Returns whether Kubernetes allows `text` as the name of an object (an RFC 1123 subdomain).
fn is_object_name(text: &str) -> bool {
    text.len() <= longest_name() && text.split('.').all(is_label)
}

/// Returns whether `text` is an RFC 1123 label, as a namespace or a part of a name between dots must be.
pub(super) fn is_label(text: &str) -> bool {
    let is_within = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    !text.is_empty()
        && text.as_bytes().iter().all(is_within)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
