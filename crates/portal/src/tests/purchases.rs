//! Purchases and changes of the plan, with an operator that decides at once.

use flashgate_testing::TestAccount;
use serde_json::{Value, json};

use super::fake::{Answered, Fake};
use super::{accounts, settings};
use crate::portal::{Settings, Writes};

const START: &str = "2026-01-31T10:00:00Z";

fn started_with(settings: Settings, test: &TestAccount, plan: &str, status: &Value) -> Fake {
    let subscription = json!(accounts::subscription(plan, status));
    let ledger = json!(accounts::ledger(test));
    let fake = Fake::start(settings, [("subscriptions/acme", subscription), ("creditledgers/acme", ledger)]);
    fake.content().verdict =
        Some(json!({"state": "Granted", "invoice": "acme-1f3a9c2e-0002", "credits": "100"}));
    fake
}

fn started() -> Fake {
    let test = TestAccount::on_plan("starter", START);
    started_with(settings(), &test, "starter", &accounts::status("1100"))
}

async fn buy(fake: &Fake, pack: &str, key: Option<&str>) -> Answered {
    let headers: Vec<_> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
    fake.call("POST", "credits/packs/buy", Some(&json!({"packId": pack})), &headers).await
}

async fn change(fake: &Fake, period: &str, key: Option<&str>) -> Answered {
    let headers: Vec<_> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
    let body = json!({"subscriptionPeriodId": period});
    fake.call("POST", "subscriptions/buy", Some(&body), &headers).await
}

/// Returns the names of the orders that were created.
fn orders(fake: &Fake) -> Vec<String> {
    let content = fake.content();
    let names = content.objects.keys().filter_map(|path| path.strip_prefix("creditpacks/"));
    names.map(str::to_owned).collect()
}

fn refused(verdict: &str, message: &str) -> Value {
    let ready = json!({
        "type": "Ready", "status": "False", "reason": verdict, "message": message,
        "lastTransitionTime": "2026-02-10T12:00:00Z",
    });
    json!({"state": "Refused", "nextAvailableTime": "2026-02-28T10:00:00Z", "conditions": [ready]})
}

#[tokio::test]
async fn a_pack_is_an_order_whose_session_is_its_invoice() {
    let fake = started();
    let answered = buy(&fake, "plus-100", None).await;
    let expected = json!({"success": true, "checkoutUrl": null, "sessionId": "acme-1f3a9c2e-0002", "status": "complete"});
    assert_eq!((answered.status, answered.body), (200, expected));
    let written = fake.content().writes.clone();
    assert_eq!(written[0]["spec"], json!({"subscriptionRef": {"name": "acme"}, "pack": "plus-100"}));
    buy(&fake, "plus-100", None).await;
    assert_eq!(orders(&fake).len(), 2, "each request without a key is an order");
}

#[tokio::test]
async fn a_repeated_key_buys_once_and_gets_the_same_answer() {
    let fake = started();
    let first = buy(&fake, "plus-100", Some("order-7")).await;
    let again = buy(&fake, "plus-100", Some("order-7")).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    assert_eq!(orders(&fake).len(), 1);
    let other = buy(&fake, "plus-500", Some("order-7")).await;
    assert_eq!((other.status, &other.body["error_code"]), (409, &json!("IDEMPOTENCY_KEY_REUSED")));
    assert_eq!(buy(&fake, "plus-100", Some("order-8")).await.status, 200);
    assert_eq!(orders(&fake).len(), 2);
}

#[tokio::test]
async fn a_repetition_gets_its_answer_even_if_the_limit_is_reached_since() {
    let mut test = TestAccount::on_plan("starter", START);
    let fake = started_with(settings(), &test, "starter", &accounts::status("1100"));
    assert_eq!(buy(&fake, "plus-100", Some("order-1")).await.status, 200);
    for name in ["a", "b", "c"] {
        test.buy("2026-02-01T10:00:00Z", name, "plus-100");
    }
    let ledger = json!(accounts::ledger(&test));
    fake.content().objects.insert("creditledgers/acme".to_owned(), ledger);
    assert_eq!(buy(&fake, "plus-100", Some("order-1")).await.status, 200);
    let next = buy(&fake, "plus-100", Some("order-2")).await;
    assert_eq!((next.status, &next.body["error_code"]), (429, &json!("PACK_LIMIT_REACHED")));
    assert_eq!(next.body["nextAvailableAt"], "2026-02-28T10:00:00.000Z");
    assert_eq!(orders(&fake).len(), 1, "no order is created that would be refused");
}

#[tokio::test]
async fn an_order_that_the_operator_refuses_has_the_status_of_its_reason() {
    for (reason, status, code) in [
        ("PlanNotEligible", 403, "PLAN_NOT_ELIGIBLE"),
        ("UnknownPack", 404, "PACK_NOT_FOUND"),
        ("PackLimitReached", 429, "PACK_LIMIT_REACHED"),
        ("NameAlreadyUsed", 409, "IDEMPOTENCY_KEY_REUSED"),
        ("LedgerFull", 400, "ORDER_REFUSED"),
        ("PaymentExpired", 400, "ORDER_REFUSED"),
    ] {
        let fake = started();
        fake.content().verdict = Some(refused(reason, "why"));
        let answered = buy(&fake, "plus-100", None).await;
        assert_eq!((answered.status, &answered.body["error_code"]), (status, &json!(code)), "{reason}");
        let next = answered.body.get("nextAvailableAt").cloned();
        assert_eq!(next, (status == 429).then(|| json!("2026-02-28T10:00:00.000Z")), "{reason}");
    }
}

#[tokio::test]
async fn an_order_that_would_be_refused_is_not_created() {
    let fake = started();
    let answered = buy(&fake, "plus-7", None).await;
    assert_eq!((answered.status, &answered.body["error_code"]), (404, &json!("PACK_NOT_FOUND")));
    let test = TestAccount::on_plan("individual", START);
    let free = started_with(settings(), &test, "individual", &accounts::status("10"));
    let answered = buy(&free, "plus-100", None).await;
    assert_eq!((answered.status, &answered.body["error_code"]), (403, &json!("PLAN_NOT_ELIGIBLE")));
    assert_eq!((orders(&fake).len(), orders(&free).len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_verdict_the_session_is_open_after_five_seconds() {
    let fake = started();
    fake.content().verdict = None;
    let answered = buy(&fake, "plus-100", Some("order-7")).await;
    let session = answered.body["sessionId"].as_str().expect("session").to_owned();
    assert_eq!((answered.status, &answered.body["status"]), (200, &json!("open")));
    assert_eq!(session, format!("pack_{}", orders(&fake)[0]));
    let state = fake.get(&format!("subscriptions/checkout-session/{session}")).await;
    assert_eq!((state.status, &state.body["status"]), (200, &json!("open")));
}

#[tokio::test]
async fn a_plan_is_requested_by_a_patch_of_what_differs() {
    let fake = started();
    let answered = change(&fake, "growth-yearly", None).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    assert_eq!(answered.body["previousSubscription"], json!({"id": "starter", "name": "Starter"}));
    assert_eq!(
        (&answered.body["isSubscriptionChange"], &answered.body["isFreeSubscription"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(answered.body["sessionId"], "change_2");
    let written = fake.content().writes.clone();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0]["spec"], json!({"plan": "growth", "billingPeriod": "Yearly"}));
    assert_eq!(written[0]["metadata"]["resourceVersion"], "7");
}

#[tokio::test]
async fn a_free_plan_has_a_session_of_its_own() {
    let fake = started();
    let answered = change(&fake, "organization-free-monthly", None).await;
    assert_eq!(
        (&answered.body["sessionId"], &answered.body["checkoutUrl"]),
        (&json!("free_sub_2"), &Value::Null)
    );
    assert_eq!(answered.body["isFreeSubscription"], true);
    let state = fake.get("subscriptions/checkout-session/free_sub_2").await;
    assert_eq!(state.body["payment_status"], "no_payment_required");
}

#[tokio::test]
async fn a_repeated_key_changes_the_plan_once_even_after_another_change() {
    let fake = started();
    let first = change(&fake, "growth-monthly", Some("change-1")).await;
    change(&fake, "scale-monthly", Some("change-2")).await;
    let again = change(&fake, "growth-monthly", Some("change-1")).await;
    assert_eq!((first.status, first.body["sessionId"].clone()), (200, again.body["sessionId"].clone()));
    assert_eq!(again.body["previousSubscription"]["id"], "starter");
    assert_eq!(
        fake.content().objects["subscriptions/acme"]["spec"]["plan"],
        "scale",
        "it is not changed back"
    );
    assert_eq!(fake.content().writes.len(), 2);
    let other = change(&fake, "starter-monthly", Some("change-1")).await;
    assert_eq!((other.status, &other.body["error_code"]), (409, &json!("IDEMPOTENCY_KEY_REUSED")));
}

#[tokio::test]
async fn a_change_that_conflicts_is_decided_on_again() {
    let fake = started();
    fake.content().conflicts = vec!["patch subscriptions", "patch subscriptions"];
    assert_eq!(change(&fake, "growth-monthly", None).await.status, 200);
    assert_eq!(fake.content().writes.len(), 1);
    let reads = fake.content().calls.iter().filter(|call| *call == "get subscriptions/acme").count();
    assert!(reads >= 4, "each attempt reads it again");
    fake.content().conflicts = vec!["patch subscriptions"; 5];
    let answered = change(&fake, "scale-monthly", None).await;
    assert_eq!((answered.status, &answered.body["error_code"]), (409, &json!("CONFLICT")));
}

#[tokio::test]
async fn an_unknown_billing_period_is_refused() {
    let fake = started();
    for period in ["individual-yearly", "platinum-monthly", "", "growth"] {
        let answered = change(&fake, period, None).await;
        let code = &answered.body["error_code"];
        assert_eq!((answered.status, code), (400, &json!("SUBSCRIPTION_PERIOD_NOT_FOUND")), "{period}");
    }
    assert_eq!(fake.content().writes, Vec::<Value>::new());
}

#[tokio::test]
async fn a_cancellation_sets_renewal_and_a_repeated_one_nothing() {
    let fake = started();
    for _ in 0..2 {
        let answered = fake.call("POST", "subscriptions/cancel", None, &[]).await;
        let message = "The plan does not renew. It stays in force until 2026-02-28T10:00:00Z.";
        assert_eq!((answered.status, &answered.body["message"]), (200, &json!(message)));
    }
    let written = fake.content().writes.clone();
    assert_eq!(written.iter().map(|patch| &patch["spec"]).collect::<Vec<_>>(), [&json!({"renewal": "None"})]);
    assert_eq!(fake.get("subscriptions/my").await.body["data"]["autoRenew"], false);
}

#[tokio::test(start_paused = true)]
async fn a_pending_upgrade_is_cancelled_by_requesting_the_plan_in_force() {
    let mut test = TestAccount::unpaid("starter", START);
    test.pay(START, "evt-1", 1, flashgate_ledger::facts::PaymentState::Settled);
    test.ask("2026-02-05T10:00:00Z", "growth");
    let fake = started_with(settings(), &test, "growth", &accounts::status("1100"));
    let pending = fake.get("subscriptions/pending-payment").await;
    assert_eq!((pending.status, &pending.body["data"]["amount"]), (200, &json!(300)));
    let answered = fake.call("DELETE", "subscriptions/pending-payment", None, &[]).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    assert_eq!(answered.body["data"]["paymentId"], pending.body["data"]["id"]);
    assert_eq!(fake.content().writes[0]["spec"], json!({"plan": "starter", "billingPeriod": "Monthly"}));
}

#[tokio::test]
async fn the_first_payment_cannot_be_cancelled() {
    let test = TestAccount::unpaid("starter", START);
    let fake = started_with(settings(), &test, "starter", &json!({"observedGeneration": 1}));
    let answered = fake.call("DELETE", "subscriptions/pending-payment", None, &[]).await;
    assert_eq!((answered.status, &answered.body["error_code"]), (400, &json!("PAYMENT_NOT_CANCELLABLE")));
    assert_eq!(fake.content().writes, Vec::<Value>::new());
}

#[tokio::test]
async fn where_changes_are_made_by_manifests_the_answer_has_the_object_to_apply() {
    let test = TestAccount::on_plan("starter", START);
    let settings = Settings { writes: Writes::Manifests, ..settings() };
    let fake = started_with(settings, &test, "starter", &accounts::status("1100"));
    let answered = change(&fake, "growth-yearly", None).await;
    assert_eq!((answered.status, &answered.body["error_code"]), (403, &json!("WRITES_BY_MANIFEST")));
    let manifest = answered.body["manifest"].as_str().expect("manifest");
    let manifest: Value = serde_yaml::from_str(manifest).expect("YAML");
    assert_eq!(manifest["spec"]["plan"], "growth");
    assert_eq!(manifest["metadata"], json!({"namespace": "team", "name": "acme"}));
    let answered = buy(&fake, "plus-100", Some("order-7")).await;
    let manifest: Value =
        serde_yaml::from_str(answered.body["manifest"].as_str().expect("manifest")).expect("YAML");
    assert_eq!((&manifest["kind"], &manifest["spec"]["pack"]), (&json!("CreditPack"), &json!("plus-100")));
    assert_eq!(fake.content().writes, Vec::<Value>::new());
}
