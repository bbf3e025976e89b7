//! The sign-in by a token, its cookies, and the sign-out.

use axum::http::header;

use super::{FORM, hidden, location, started, started_with};
use crate::portal::Settings;
use crate::tests::fake::{Answered, Fake, TOKEN};
use crate::tests::{accounts, settings};

/// Returns the cookies that an answer sets.
fn set_cookies(answered: &Answered) -> Vec<&str> {
    answered.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().expect("cookie")).collect()
}

/// Returns the cookies of an answer as a browser sends them: without those that it removes.
fn sent(answered: &Answered) -> String {
    let pairs = set_cookies(answered).into_iter().filter_map(|cookie| cookie.split(';').next());
    pairs.filter(|pair| !pair.ends_with('=')).collect::<Vec<_>>().join("; ")
}

/// Sends the form of the sign-in that a browser was shown.
async fn sign_in(fake: &Fake, next: &str, token: &str) -> Answered {
    let form = fake.visit("GET", "/-/login", &[], "").await;
    let secret = hidden(&form.text, "secret");
    let body = serde_urlencoded::to_string([("secret", secret.as_str()), ("next", next), ("token", token)]);
    let headers = [("cookie", sent(&form)), ("content-type", FORM.to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fake.visit("POST", "/-/login", &headers, &body.expect("form")).await
}

#[tokio::test]
async fn a_visitor_without_a_token_signs_in_and_returns_to_the_page() {
    let fake = started();
    let answered = fake.visit("GET", "/team/acme/history?kind=Charged", &[], "").await;
    assert_eq!(location(&answered), "/-/login?next=%2Fteam%2Facme%2Fhistory%3Fkind%3DCharged");
    assert_eq!(fake.content().calls, Vec::<String>::new());
    let form = fake.visit("GET", location(&answered), &[], "").await;
    assert_eq!(hidden(&form.text, "next"), "/team/acme/history?kind=Charged");
    for token in [TOKEN, &format!(" {TOKEN}\n"), &format!("Bearer {TOKEN}")] {
        let answered = sign_in(&fake, "/team/acme/history?kind=Charged", token).await;
        assert_eq!(location(&answered), "/team/acme/history?kind=Charged");
        let page = fake.visit("GET", "/team/acme/", &[("cookie", &sent(&answered))], "").await;
        assert_eq!(page.status, 200);
        assert!(page.text.contains("Sign out") && !page.text.contains(TOKEN));
    }
}

#[tokio::test]
async fn the_cookies_of_a_sign_in_are_hidden_from_scripts_and_other_sites() {
    let fake = started();
    let answered = sign_in(&fake, "/", TOKEN).await;
    assert!(!set_cookies(&answered).is_empty());
    for cookie in set_cookies(&answered) {
        for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(attribute), "{cookie}");
        }
        assert!(!cookie.contains("Secure") && !cookie.contains("Domain"), "{cookie}");
    }
    assert!(set_cookies(&answered)[0].contains("Max-Age=3600"));
    let settings = Settings { public_url: "https://billing.example".to_owned(), ..settings() };
    let test = flashgate_testing::TestAccount::on_plan("starter", super::START);
    let fake = started_with(settings, &test, "starter", &accounts::status("1100"));
    for cookie in set_cookies(&sign_in(&fake, "/", TOKEN).await) {
        assert!(cookie.starts_with("__Host-flashgate-") && cookie.contains("Secure"), "{cookie}");
    }
}

#[tokio::test]
async fn the_api_reads_no_cookies() {
    let fake = started();
    let cookies = sent(&sign_in(&fake, "/", TOKEN).await);
    let answered = fake.visit("GET", "/api/team/acme/credits/balance", &[("cookie", &cookies)], "").await;
    assert_eq!((answered.status, &answered.body["error_code"]), (401, &serde_json::json!("UNAUTHORIZED")));
}

#[tokio::test]
async fn a_token_that_kubernetes_refuses_is_not_kept_and_not_shown() {
    let fake = started();
    for (token, status, message) in [
        ("f0rged", 401, "Kubernetes does not accept this token"),
        ("not a token", 400, "This is not a token"),
        ("", 400, "This is not a token"),
        (&"f0rged".repeat(3_000), 400, "accepts at most 14000"),
    ] {
        let answered = sign_in(&fake, "/", token).await;
        assert_eq!(answered.status, status, "{answered:?}");
        assert!(answered.text.contains(message), "{}", answered.text);
        assert!(!answered.text.contains("f0rged") && !sent(&answered).contains("f0rged"));
    }
}

#[tokio::test]
async fn a_form_of_the_sign_in_from_elsewhere_signs_nobody_in() {
    let fake = started();
    let body = format!("secret=0&next=%2F&token={TOKEN}");
    for cookie in ["", "flashgate-login-form=1", "flashgate-login-form="] {
        let answered =
            fake.visit("POST", "/-/login", &[("cookie", cookie), ("content-type", FORM)], &body).await;
        assert_eq!(answered.status, 403);
        assert!(!sent(&answered).contains(TOKEN));
    }
}

#[tokio::test]
async fn the_sign_in_leads_only_to_this_site() {
    let fake = started();
    for next in ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", ""] {
        assert_eq!(location(&sign_in(&fake, next, TOKEN).await), "/", "{next}");
        let encoded = serde_urlencoded::to_string([("next", next)]).expect("query");
        let form = fake.visit("GET", &format!("/-/login?{encoded}"), &[], "").await;
        assert_eq!(hidden(&form.text, "next"), "/");
    }
}

#[tokio::test]
async fn a_token_that_is_no_longer_accepted_leads_to_the_sign_in_once() {
    let fake = started();
    let cookie = [("cookie", "flashgate-token-0=0ld")];
    let answered = fake.visit("GET", "/team/acme/", &cookie, "").await;
    assert_eq!(location(&answered), "/-/login?next=%2Fteam%2Facme%2F");
    let form = fake.visit("GET", "/-/login", &cookie, "").await;
    assert!(form.text.contains("does not accept your token any more") && !form.text.contains("0ld"));
    assert!(
        set_cookies(&form)
            .iter()
            .any(|cookie| cookie.starts_with("flashgate-token-0=; ") && cookie.contains("Max-Age=0"))
    );
    let signed_in = format!("flashgate-token-0={TOKEN}");
    let answered = fake.visit("GET", "/-/login?next=/team/acme/", &[("cookie", &signed_in)], "").await;
    assert_eq!(location(&answered), "/team/acme/", "a visitor who is signed in needs no form");
    let authorization = [("authorization", "Bearer 0ld")];
    let page = fake.visit("GET", "/team/acme/", &authorization, "").await;
    assert_eq!(page.status, 401, "the sign-in cannot replace the token of a proxy");
    assert!(page.text.contains("The proxy in front of this page sent the token"));
}

#[tokio::test]
async fn the_sign_out_removes_the_cookies() {
    let fake = started();
    let cookies = sent(&sign_in(&fake, "/", TOKEN).await);
    let page = fake.visit("GET", "/team/acme/", &[("cookie", &cookies)], "").await;
    let missing = fake.visit("GET", "/team/other/", &[("cookie", &cookies)], "").await;
    assert!(missing.status == 404 && missing.text.contains("Sign out"), "{}", missing.text);
    let body = format!("secret={}", hidden(&page.text, "secret"));
    let headers = [("cookie", cookies.as_str()), ("content-type", FORM)];
    let refused = fake.visit("POST", "/-/logout", &headers, "secret=0").await;
    assert_eq!(refused.status, 403);
    let answered = fake.visit("POST", "/-/logout", &headers, &body).await;
    assert_eq!(location(&answered), "/-/login");
    assert_eq!((sent(&answered).as_str(), set_cookies(&answered).len()), ("", 4));
}
