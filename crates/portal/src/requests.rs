//! Requests of a plan with an idempotency key, kept in an annotation of the Subscription.

use flashgate_api::Subscription;
use serde::{Deserialize, Serialize};

/// Annotation with the last requests that had an idempotency key.
pub const REQUESTS: &str = "billing.flashgate.dev/plan-requests";

/// Number of requests that are kept.
const KEPT: usize = 8;

/// A request of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRequest {
    /// Hash of the idempotency key. Empty if the request has none; it is not kept then.
    pub key: String,
    /// Identifier of the requested billing period.
    pub period: String,
    /// Generation of the Subscription that makes the request.
    pub generation: i64,
    /// Plan in force before it. Absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Number of the last invoice before it. Absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_invoice: Option<String>,
}

/// The requests that a Subscription keeps, oldest first. Only its owner can change them, and no amount depends on them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanRequests(Vec<PlanRequest>);

impl PlanRequests {
    /// Returns the requests in the annotation. A malformed annotation has none.
    #[must_use]
    pub fn of(subscription: &Subscription) -> Self {
        let annotations = subscription.metadata.annotations.as_ref();
        let text = annotations.and_then(|annotations| annotations.get(REQUESTS));
        Self(text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    }

    /// Returns the request with this key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&PlanRequest> {
        self.0.iter().find(|request| request.key == key)
    }

    /// Returns the text of the annotation with another request.
    #[must_use]
    pub fn with(mut self, request: PlanRequest) -> String {
        self.0.push(request);
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use flashgate_api::SubscriptionSpec;

    use super::*;

    fn request(key: &str) -> PlanRequest {
        PlanRequest {
            key: key.to_owned(),
            period: "starter-monthly".to_owned(),
            generation: 3,
            from: None,
            last_invoice: Some("acme-1f3a9c2e-0001".to_owned()),
        }
    }

    fn annotated(text: &str) -> Subscription {
        let mut subscription = Subscription::new("acme", SubscriptionSpec::default());
        subscription.metadata.annotations = Some([(REQUESTS.to_owned(), text.to_owned())].into());
        subscription
    }

    #[test]
    fn the_last_requests_are_kept_and_found_by_their_key() {
        let mut subscription = Subscription::new("acme", SubscriptionSpec::default());
        for number in 0..12 {
            let text = PlanRequests::of(&subscription).with(request(&number.to_string()));
            subscription = annotated(&text);
        }
        let kept = PlanRequests::of(&subscription);
        assert_eq!((kept.find("3"), kept.find("4")), (None, Some(&request("4"))));
        assert_eq!(kept.find("11"), Some(&request("11")));
    }

    #[test]
    fn a_malformed_annotation_has_no_requests() {
        for text in ["", "x", "{}", "[1]"] {
            assert_eq!(PlanRequests::of(&annotated(text)), PlanRequests::default(), "{text}");
        }
    }
}
