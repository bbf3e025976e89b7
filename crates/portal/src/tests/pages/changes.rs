//! The changes of a plan and the purchases, by forms.

use flashgate_ledger::facts::{PaymentState, Renewal};
use flashgate_testing::TestAccount;
use serde_json::{Value, json};

use super::{START, element, hidden, location, started, started_with};
use crate::tests::{accounts, settings};

#[tokio::test]
async fn a_plan_is_chosen_after_its_effect_and_confirmed_once() {
    let fake = started();
    let plans = fake.part("plan").await.text;
    for plan in ["individual-monthly", "growth-monthly", "growth-yearly", "scale-yearly"] {
        assert!(
            plans.contains(&format!("href=\"/team/acme/plan/{plan}\" data-testid=\"choose-{plan}\"")),
            "{plan}"
        );
    }
    assert!(plans.contains("disabled data-testid=\"choose-starter-monthly\""), "it is in force: {plans}");
    assert!(element(&plans, "choose-individual-yearly").is_none(), "it is not offered");
    let page = fake.part("plan/growth-monthly").await.text;
    let effect = element(&page, "effect").expect("effect");
    for figure in ["+9,500", "300.00 USD", "10,600", "Growth"] {
        assert!(effect.contains(figure), "{figure}: {effect}");
    }
    assert!(element(&page, "confirm").is_some());
    assert_eq!(fake.content().writes, Vec::<Value>::new(), "nothing changes before it is confirmed");
    let (secret, key) = (hidden(&page, "secret"), hidden(&page, "key"));
    for _ in 0..2 {
        let path = "/team/acme/plan/growth-monthly";
        let answered = fake.submit_with(path, &secret, &[("key", &key)], &[]).await;
        assert!(location(&answered).starts_with("/team/acme/outcome/"), "{answered:?}");
        let outcome = fake.load(location(&answered)).await;
        assert_eq!(outcome.status, 200);
    }
    let writes = fake.content().writes.clone();
    assert_eq!(writes.len(), 1, "the second time changes nothing: {writes:?}");
    assert_eq!(writes[0]["spec"], json!({"plan": "growth"}));
}

#[tokio::test]
async fn a_pack_is_bought_once_however_often_the_form_is_sent() {
    let fake = started();
    let packs = fake.part("packs").await.text;
    assert_eq!(element(&packs, "packs-used"), Some("0 of 3"));
    assert!(packs.contains("href=\"/team/acme/packs/plus-100\" data-testid=\"buy-plus-100\""));
    let page = fake.part("packs/plus-100").await.text;
    let effect = element(&page, "effect").expect("effect");
    assert!(effect.contains("+100") && effect.contains("20.00 USD") && effect.contains("1,200"), "{effect}");
    let (secret, key) = (hidden(&page, "secret"), hidden(&page, "key"));
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        let answered = fake.submit_with("/team/acme/packs/plus-100", &secret, &[("key", &key)], &[]).await;
        outcomes.push(location(&answered).to_owned());
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(fake.content().writes.len(), 1);
    let outcome = fake.load(&outcomes[0]).await.text;
    assert!(outcome.contains("The credits arrived"), "{outcome}");
    let listed = fake.part("packs").await.text;
    assert!(element(&listed, "purchase-row").expect("row").contains("Granted"));
}

#[tokio::test]
async fn a_pack_beyond_the_limit_is_disabled_with_the_next_time() {
    let mut test = TestAccount::on_plan("starter", START);
    for name in ["one", "two", "three"] {
        test.buy("2026-02-02T10:00:00Z", name, "plus-100");
    }
    let fake = started_with(settings(), &test, "starter", &accounts::status("1400"));
    let page = fake.part("packs").await.text;
    assert_eq!(element(&page, "packs-used"), Some("3 of 3"));
    assert!(page.contains("disabled data-testid=\"buy-plus-100\""));
    assert!(page.contains("28 Feb 2026, 10:00 UTC"));
    let page = fake.part("packs/plus-100").await.text;
    assert!(element(&page, "confirm").is_none());
    let answered = fake.submit("/team/acme/packs/plus-100", &[("key", "k1")]).await;
    assert_eq!(answered.status, 429, "{answered:?}");
    assert!(answered.text.contains("28 Feb 2026, 10:00 UTC"));
    assert_eq!(fake.content().writes, Vec::<Value>::new());
}

#[tokio::test]
async fn a_refused_order_shows_the_reason_of_the_operator() {
    let fake = started();
    let ready = json!({
        "type": "Ready", "status": "False", "reason": "LedgerFull", "message": "too many open grants",
        "lastTransitionTime": "2026-02-10T12:00:00Z",
    });
    fake.content().verdict = Some(json!({"state": "Refused", "conditions": [ready]}));
    let answered = fake.submit("/team/acme/packs/plus-100", &[("key", "k1")]).await;
    assert_eq!(answered.status, 400);
    assert!(answered.text.contains("Too many open grants."), "{}", answered.text);
}

#[tokio::test]
async fn a_downgrade_is_shown_as_pending_and_undone() {
    let mut test = TestAccount::on_plan("growth", START);
    test.ask("2026-02-05T10:00:00Z", "starter");
    let mut status = accounts::status("9500");
    status["plan"] = json!("growth");
    status["pendingChange"] =
        json!({"plan": "starter", "billingPeriod": "Monthly", "effectiveTime": "2026-02-28T10:00:00Z"});
    let fake = started_with(settings(), &test, "starter", &status);
    let page = fake.part("").await.text;
    let pending = element(&page, "pending-change").expect("pending");
    assert!(pending.contains("Starter") && pending.contains("28 Feb 2026"), "{pending}");
    assert!(element(&page, "undo").is_some());
    let outcome = fake.part("outcome/change_1").await.text;
    assert!(outcome.contains("The change is planned") && outcome.contains("28 Feb 2026"), "{outcome}");
    let answered = fake.submit("/team/acme/undo", &[]).await;
    assert_eq!(location(&answered), "/team/acme/");
    assert_eq!(fake.content().writes[0]["spec"], json!({"plan": "growth", "billingPeriod": "Monthly"}));
    let again = fake.submit("/team/acme/undo", &[]).await;
    assert_eq!((location(&again), fake.content().writes.len()), ("/team/acme/", 1));
}

#[tokio::test]
async fn a_lapsed_account_returns_to_the_plan_that_it_still_names() {
    let mut test = TestAccount::on_plan("starter", "2025-12-31T10:00:00Z");
    test.set_renewal("2026-01-10T10:00:00Z", Renewal::None);
    test.until("2026-02-05T10:00:00Z");
    let mut status = accounts::status("40");
    status["plan"] = json!("organization-free");
    let fake = started_with(settings(), &test, "starter", &status);
    fake.content().objects.get_mut("subscriptions/acme").expect("Subscription")["spec"]["renewal"] =
        json!("None");
    let plans = fake.part("plan").await.text;
    assert!(
        plans.contains("href=\"/team/acme/plan/starter-monthly\" data-testid=\"choose-starter-monthly\""),
        "{plans}"
    );
    let page = fake.part("plan/starter-monthly").await.text;
    let effect = element(&page, "effect").expect("effect");
    assert!(
        effect.contains("At once") && effect.contains("+1,100") && effect.contains("100.00 USD"),
        "{effect}"
    );
}

#[tokio::test]
async fn an_unpaid_upgrade_is_shown_with_its_invoice_and_undone() {
    let mut test = TestAccount::unpaid("starter", START);
    test.pay(START, "evt-1", 1, PaymentState::Settled);
    test.ask("2026-02-05T10:00:00Z", "growth");
    let mut settings = settings();
    settings.catalog = test.catalog.clone();
    settings.catalog.policies.checkout_url = Some("https://pay.example/i/{invoice}".to_owned());
    let mut status = accounts::status("1100");
    status["invoices"] = json!([{
        "number": "acme-1f3a9c2e-0002", "time": "2026-02-05T10:00:00Z", "reason": "Upgrade to growth Monthly",
        "amount": "300", "currency": "USD", "state": "Open", "dueTime": "2026-02-08T10:00:00Z",
    }]);
    let fake = started_with(settings, &test, "growth", &status);
    let page = fake.part("").await.text;
    assert!(
        page.contains("Overdue") && page.contains("href=\"https://pay.example/i/acme-1f3a9c2e-0002\""),
        "{page}"
    );
    let pending = element(&page, "pending-change").expect("pending");
    assert!(pending.contains("Growth") && pending.contains("300.00 USD"), "{pending}");
    fake.submit("/team/acme/undo", &[]).await;
    assert_eq!(fake.content().writes[0]["spec"], json!({"plan": "starter", "billingPeriod": "Monthly"}));
}

#[tokio::test]
async fn unknown_choices_are_not_found() {
    let fake = started();
    for (path, status) in [
        ("plan/platinum-monthly", 400),
        ("plan/individual-yearly", 400),
        ("packs/plus-1", 404),
        ("outcome/acme-1f3a9c2e-9999", 400),
        ("outcome/pack_none", 400),
    ] {
        assert_eq!(fake.part(path).await.status, status, "{path}");
    }
}
