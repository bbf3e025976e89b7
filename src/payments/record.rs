//! Creates Payments. A callback is acknowledged only after its Payment exists.

use std::time::Duration;

use flashgate_api::Payment;
use kube::api::PostParams;
use kube::core::Status;
use kube::{Api, Client, ResourceExt};

use super::callback::is_label;

/// Field manager of Payments, which the API server records in `managedFields`.
const FIELD_MANAGER: &str = "flashgate-billing-payments";

/// Time limit of one call to the API server. Providers give up after 10 to 30 seconds and send again.
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

/// Why there is no Payment with the content of the callback.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The namespace does not exist or is not billed by this operator.
    #[error(
        "namespace '{namespace}' does not exist or is not billed by this operator; must be the namespace of the Subscription"
    )]
    NamespaceNotFound {
        /// The namespace.
        namespace: String,
    },
    /// The event was delivered before with other content.
    #[error(
        "Payment '{name}' exists with another content; each delivery of an event must have the same content"
    )]
    Differs {
        /// Name of the Payment.
        name: String,
    },
    /// The API server refused the content of the callback.
    #[error("the API server refused the Payment: {message}")]
    Refused {
        /// Its message.
        message: String,
    },
    /// The API server is unreachable or failing. It is unknown whether the Payment exists.
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
    /// Returns a recorder for `namespaces`. If there are none, it is for all.
    #[must_use]
    pub fn new(client: Client, namespaces: Vec<String>) -> Self {
        Self { client, namespaces }
    }

    /// Creates `payment` in `namespace` unless it exists.
    ///
    /// # Guarantees
    /// Repeated and concurrent calls create one object with its name, and the content of that object is that of
    /// `payment`.
    ///
    /// # Errors
    /// When the Payment may not exist.
    pub async fn record(&self, namespace: &str, payment: &Payment) -> Result<Recorded, RecordError> {
        // The namespace becomes part of a URL, so it must be a valid name.
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

/// Returns the error for a refusal of the API server: the content of the callback, or another cause.
fn refusal(namespace: String, status: Status) -> RecordError {
    let is_namespace = status.details.as_ref().is_some_and(|details| details.kind == "namespaces");
    match status.code {
        404 if is_namespace => RecordError::NamespaceNotFound { namespace },
        400 | 403 | 422 => RecordError::Refused { message: status.message },
        _ => unavailable(kube::Error::Api(Box::new(status))),
    }
}
