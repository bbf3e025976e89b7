//! Each way in which usage is not charged or credits are not granted, caused on a running operator.

use flashgate_api::{CreditAdjustment, CreditLedger, CreditLedgerSpec, Subscription, UsageReport};
use flashgate_cluster::clock::Clock;
use flashgate_preview::convert::hash_of;
use flashgate_testing::catalog::monthly;
use jiff::SignedDuration;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::causes::Scene;
use crate::suite::faults::etcd;
use crate::world::{wait_for, wait_until};

/// Number of adjustments: more than an account may have open.
const ADJUSTMENTS: usize = 60;

impl Scene<'_> {
    async fn account(&self, name: &str) {
        let account = self.tenants.account(name);
        account.subscribe(monthly("organization-free"), None).await;
        account.balance("40").await;
    }

    async fn is_rejected(&self, report: &str, reason: &str) {
        self.tenants.state_is::<UsageReport>(report, "Rejected").await;
        self.tenants.expect::<UsageReport>(report, "/status/conditions/0/reason", reason).await;
    }

    /// Reports usage without a rate, and the same hour several times.
    pub async fn report_refused_usage(&self) {
        self.report_as("unheard", "low", "Unheard", "1", 5).await;
        self.is_rejected("unheard", "UnknownRate").await;
        for again in 0..6 {
            let name = format!("again-{again}");
            self.report_as(&name, "low", "StorageEgress", "1M", 1).await;
            self.is_rejected(&name, "DuplicateWindow").await;
        }
    }

    async fn adjust(&self, account: &str, name: &str) {
        self.tenants.account(account).adjust(name, "1").await;
    }

    /// Creates more adjustments than an account can hold. Then makes room as the runbook says, with usage
    /// that exhausts some.
    pub async fn fill_a_ledger(&self) {
        self.account("full").await;
        for number in 0..ADJUSTMENTS {
            self.adjust("full", &format!("gift-{number}")).await;
        }
        let mut refused = 0;
        for number in 0..ADJUSTMENTS {
            let name = format!("gift-{number}");
            let state = wait_for(&format!("{name} is judged"), async || {
                let adjustment = self.tenants.get::<CreditAdjustment>(&name).await?;
                adjustment.pointer("/status/state").cloned()
            })
            .await;
            refused += usize::from(state == "Refused");
        }
        assert!(refused > 0, "none of {ADJUSTMENTS} adjustments was refused");
        self.adjust("full", "one-more").await;
        self.tenants.state_is::<CreditAdjustment>("one-more", "Refused").await;
        self.tenants
            .expect::<CreditAdjustment>("one-more", "/status/conditions/0/reason", "LedgerFull")
            .await;
        self.report_as("full-1", "full", "StorageEgress", "6G", 1).await;
        self.tenants.state_is::<UsageReport>("full-1", "Charged").await;
        self.adjust("full", "one-more-then").await;
        self.tenants.state_is::<CreditAdjustment>("one-more-then", "Granted").await;
    }

    /// Denies the commits of one account, writes the ledger of another as a later operator would, and breaks
    /// a third. Reports usage of the account whose ledger is lost.
    pub async fn block_accounts(&self) {
        for name in ["newer", "broken"] {
            self.account(name).await;
        }
        self.edit_ledger("newer", |spec| spec.format_version = 99).await;
        self.edit_ledger("broken", |spec| spec.grants = vec!["no grant".to_owned()]).await;
        self.deny_ledgers_named("refused").await;
        self.tenants.account("refused").subscribe(monthly("organization-free"), None).await;
        for (name, reason) in
            [("newer", "LedgerNewerFormat"), ("broken", "Undecodable"), ("refused", "CommitRefused")]
        {
            self.tenants.reason_is::<Subscription>(name, reason).await;
        }
        self.report_as("lost-1", "lost", "StorageEgress", "1M", 1).await;
    }

    /// Applies a policy of somebody else, and waits until it is in force.
    async fn deny_ledgers_named(&self, name: &str) {
        let policy = policy_against_ledger(name);
        self.tenants.kubectl(&["apply", "-f", "-"], Some(&policy)).await.succeeded().expect("applied");
        let ledger = self.tenants.api::<CreditLedger>().get("low").await.expect("ledger");
        let attempt = json!({
            "apiVersion": "billing.flashgate.dev/v1alpha1", "kind": "CreditLedger", "metadata": {"name": name},
            "spec": ledger.spec,
        })
        .to_string();
        wait_until("the policy is in force", async || {
            let create = ["create", "--dry-run=server", "-f", "-"];
            let tried = self.tenants.kubectl(&create, Some(&attempt)).await;
            tried.stderr.contains("no ledger of this name")
        })
        .await;
    }

    /// Overwrites a ledger with a hash that fits.
    async fn edit_ledger(&self, name: &str, edit: impl FnOnce(&mut CreditLedgerSpec)) {
        let edit = |spec: &mut CreditLedgerSpec| {
            edit(spec);
            spec.hash = hash_of(spec);
        };
        self.tenants.account(name).edit_ledger(edit).await;
    }

    /// Stores an object as an API server with a clock one hour ahead would.
    pub async fn store_future_object(&self) {
        self.adjust("missing", "past").await;
        let bytes = |text: String| ByteString(text.into_bytes());
        let key =
            |name: &str| bytes(format!("/registry/billing.flashgate.dev/creditadjustments/tenants/{name}"));
        let stored = etcd(self.world, "/v3/kv/range", &json!({"key": key("past")}));
        let stored: ByteString = serde_json::from_value(stored["kvs"][0]["value"].clone()).expect("stored");
        let mut object: Value = serde_json::from_slice(&stored.0).expect("JSON");
        let time = Clock::system().now() + SignedDuration::from_hours(1);
        object["metadata"]["name"] = json!("future");
        object["metadata"]["uid"] = json!("11111111-2222-4333-8444-555555555555");
        object["metadata"]["creationTimestamp"] = json!(time.to_string());
        etcd(self.world, "/v3/kv/put", &json!({"key": key("future"), "value": bytes(object.to_string())}));
    }

    /// Waits until each alert with several causes has fired for each of them.
    pub async fn each_cause_fires_its_alert(&self) {
        let causes = [
            r#"alertname="FlashgateAccountStuck",reason="CommitRefused""#,
            r#"alertname="FlashgateAccountStuck",reason="LedgerNewerFormat""#,
            r#"alertname="FlashgateAccountStuck",reason="Undecodable""#,
            r#"alertname="FlashgateUsageRefused",reason="UnknownRate""#,
            r#"alertname="FlashgateSubscriptionMissing",kind="UsageReport""#,
            r#"alertname="FlashgateSubscriptionMissing",kind="CreditAdjustment""#,
            r#"alertname="FlashgateArrivalInFuture",kind="CreditAdjustment""#,
        ];
        for cause in causes {
            self.prometheus.expect(&format!("ALERTS{{alertstate=\"firing\",{cause}}}")).await;
        }
    }
}

/// Returns a policy that denies all writes of one ledger. It is not part of the chart.
fn policy_against_ledger(name: &str) -> String {
    let metadata = json!({"name": format!("no-ledger-{name}")});
    let group = "admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": metadata,
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": ["billing.flashgate.dev"], "apiVersions": ["*"], "resources": ["creditledgers"],
                "operations": ["CREATE"], "resourceNames": [name],
            }]},
            "validations": [{"expression": "false", "message": "no ledger of this name"}],
        },
    });
    let binding = json!({
        "apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata,
        "spec": {"policyName": metadata["name"], "validationActions": ["Deny"]},
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}).to_string()
}
