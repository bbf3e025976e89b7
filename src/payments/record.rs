//! Makes sure that a Payment exists. Nothing is acknowledged before it does.

use std::time::Duration;

use flashgate_api::Payment;
use kube::api::PostParams;
use kube::core::Status;
use kube::{Api, Client, ResourceExt};

use super::callback::is_label;

/// Name under which Payments are created; the API server keeps it in `managedFields`.
const FIELD_MANAGER: &str = "flashgate-billing-payments";

/// Limit of one call to the API server: providers give up after some 10 to 30 seconds and send again.
const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Longest name of a namespace.
const NAMESPACE_LENGTH: usize = 63;

/// A Payment that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether this callback created it.
    pub is_new: bool,
}

/// Why there is no Payment that states what the callback says.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The namespace is not there, or not billed by this operator.
    #[error(
        "namespace '{namespace}' does not exist or is not billed by this operator; must be the namespace of the Subscription"
    )]
    NamespaceNotFound {
        /// The namespace.
        namespace: String,
    },
    /// The event was delivered before and said something else.
    #[error(
        "Payment '{name}' exists with another content; each delivery of an event must have the same content"
    )]
    Differs {
        /// Name of the Payment.
        name: String,
    },
    /// The API server refused what the callback says.
    #[error("the API server refused the Payment: {message}")]
    Refused {
        /// Its message.
        message: String,
    },
    /// The API server cannot be reached, or is unwell; whether the Payment exists is unknown.
    #[error("the API server cannot take the Payment now; send the event again")]
    Unavailable {
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Creates Payments in the namespaces that are billed.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    namespaces: Vec<String>,
}

impl Recorder {
    /// Returns a recorder for `namespaces`, or for all when there are none.
    #[must_use]
    pub fn new(client: Client, namespaces: Vec<String>) -> Self {
        Self { client, namespaces }
    }

    /// Makes sure that `payment` exists in `namespace`.
    ///
    /// # Guarantees
    /// However often and at once it is asked for, there is one object of its name; it states what `payment` does.
    ///
    /// # Errors
    /// When it is not known to exist.
    pub async fn record(&self, namespace: &str, payment: &Payment) -> Result<Recorded, RecordError> {
        // The name becomes part of a URL: what is no name must not get there.
        let is_name = namespace.len() <= NAMESPACE_LENGTH && is_label(namespace);
        let is_billed =
            self.namespaces.is_empty() || self.namespaces.iter().any(|billed| billed == namespace);
        if !is_name || !is_billed {
            return Err(RecordError::NamespaceNotFound { namespace: namespace.to_owned() });
        }
        let payments: Api<Payment> = Api::namespaced(self.client.clone(), namespace);
        let (namespace, name) = (namespace.to_owned(), payment.name_any());
        let params = PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) };
        match within_limit(payments.create(&params, payment)).await? {
            Ok(_) => Ok(Recorded { namespace, name, is_new: true }),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let existing = within_limit(payments.get(&name)).await?.map_err(unavailable)?;
                if existing.spec == payment.spec {
                    Ok(Recorded { namespace, name, is_new: false })
                } else {
                    Err(RecordError::Differs { name })
                }
            }
            Err(kube::Error::Api(status)) => Err(refusal(namespace, *status)),
            Err(error) => Err(unavailable(error)),
        }
    }
}

async fn within_limit<T>(
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<Result<T, kube::Error>, RecordError> {
    let reply = tokio::time::timeout(CALL_LIMIT, call).await;
    reply.map_err(|elapsed| RecordError::Unavailable { source: elapsed.into() })
}

fn unavailable(error: kube::Error) -> RecordError {
    RecordError::Unavailable { source: error.into() }
}

/// Tells what the callback says apart from what has nothing to do with it.
fn refusal(namespace: String, status: Status) -> RecordError {
    let is_namespace = status.details.as_ref().is_some_and(|details| details.kind == "namespaces");
    match status.code {
        404 if is_namespace => RecordError::NamespaceNotFound { namespace },
        400 | 403 | 422 => RecordError::Refused { message: status.message },
        _ => unavailable(kube::Error::Api(Box::new(status))),
    }
}
