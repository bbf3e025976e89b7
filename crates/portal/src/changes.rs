//! Changes of a Subscription: merge patches that are bound to the version that they are based on.

use flashgate_api::Subscription;
use serde_json::{Value, json};

use crate::account::{Account, observes};
use crate::caller::Caller;
use crate::kubernetes::CallError;
use crate::portal::Portal;
use crate::refused::{Refused, of_subscription};
use crate::verdict::Wait;

/// Attempts to change an object that others, such as the operator, change at the same time.
const ATTEMPTS: u32 = 5;

/// A change of a Subscription.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Fields of the spec to set.
    pub spec: Value,
    /// Annotations to set.
    pub annotations: Option<Value>,
}

impl Change {
    /// Returns a change of fields of the spec.
    #[must_use]
    pub const fn of_spec(spec: Value) -> Self {
        Self { spec, annotations: None }
    }

    /// Returns whether it sets no field of the spec.
    #[must_use]
    pub fn keeps_spec(&self) -> bool {
        self.spec.as_object().is_none_or(serde_json::Map::is_empty)
    }
}

impl Portal {
    /// Changes the Subscription, unless it changed since `subscription` was read.
    ///
    /// # Errors
    /// When the call fails.
    pub(crate) async fn change(
        &self,
        caller: &Caller,
        subscription: &Subscription,
        change: &Change,
    ) -> Result<Subscription, CallError> {
        let mut metadata = json!({
            "uid": subscription.metadata.uid, "resourceVersion": subscription.metadata.resource_version,
        });
        if let (Some(metadata), Some(annotations)) = (metadata.as_object_mut(), &change.annotations) {
            metadata.insert("annotations".to_owned(), annotations.clone());
        }
        let mut patch = json!({ "metadata": metadata });
        if let (Some(patch), false) = (patch.as_object_mut(), change.keeps_spec()) {
            patch.insert("spec".to_owned(), change.spec.clone());
        }
        self.kubernetes.patch(&caller.token, &caller.namespace, &caller.name, &patch).await
    }

    /// Reads the account and changes its Subscription by the change that `decide` returns. If another client changes
    /// it at the same time, does both again. `decide` returns no change if nothing is to be done. Returns the account
    /// before the change, and the Subscription after it.
    ///
    /// # Errors
    /// When a call fails, or `decide` refuses the change.
    pub(crate) async fn change_account(
        &self,
        caller: &Caller,
        mut decide: impl FnMut(&Account) -> Result<Option<Change>, Refused>,
    ) -> Result<(Account, Subscription), Refused> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let account = self.account(caller).await?;
            let Some(change) = decide(&account)? else {
                let subscription = account.subscription.clone();
                return Ok((account, subscription));
            };
            self.check_writes(|| crate::manifest::of_change(&account.subscription, &change.spec))?;
            match self.change(caller, &account.subscription, &change).await {
                Ok(changed) => return Ok((account, changed)),
                Err(CallError::Conflict { .. }) if attempt < ATTEMPTS => {}
                Err(error) => return Err(of_subscription(error)),
            }
        }
    }

    /// Waits until the operator has decided on a generation of the Subscription. Returns the account then, or `None`
    /// if there is no decision in time.
    ///
    /// # Errors
    /// When a call fails.
    pub(crate) async fn decided(&self, caller: &Caller, generation: i64) -> Result<Option<Account>, Refused> {
        let mut wait = Wait::begin();
        loop {
            let subscription = self.subscription(caller).await?;
            if observes(&subscription, generation) {
                return self.account(caller).await.map(Some);
            }
            if !wait.pause().await {
                return Ok(None);
            }
        }
    }
}
