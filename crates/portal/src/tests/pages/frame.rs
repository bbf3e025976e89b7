//! The frame of every page, its headers, its test ids, and the files.

use axum::http::header;

use super::{PARTS, element, started};

#[tokio::test]
async fn every_part_has_the_frame_and_marks_itself_in_the_navigation() {
    let fake = started();
    for part in PARTS {
        let answered = fake.part(part).await;
        let page = &answered.text;
        assert_eq!(answered.status, 200, "{part}: {page}");
        assert_eq!(answered.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{part}");
        let current = format!("href=\"/team/acme/{part}\" aria-current=\"page\"");
        let (navigation, _) = page.split_once("</nav>").expect("navigation");
        assert_eq!(navigation.matches("aria-current").count(), 1, "{part}");
        for text in
            [current.as_str(), "<main id=\"content\"", "class=\"skip\"", "<nav class=\"parts\" aria-label"]
        {
            assert!(page.contains(text), "{part} lacks {text}");
        }
        assert_eq!(page.matches("<h1").count(), 1, "{part}");
    }
}

#[tokio::test]
async fn every_page_has_a_strict_policy_and_nothing_that_it_forbids() {
    let fake = started();
    let paths = PARTS.map(|part| format!("/team/acme/{part}"));
    let others =
        ["/", "/-/login", "/none", "/team/other/", "/team/acme/plan/growth-monthly"].map(str::to_owned);
    for path in paths.iter().chain(&others) {
        let answered = fake.load(path).await;
        let headers = &answered.headers;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().expect("policy");
        for rule in ["default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
        assert_eq!(headers[header::REFERRER_POLICY], "same-origin");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY");
        for forbidden in ["<script", "<style", " style=", " onclick", "javascript:", "http://", "https://"] {
            let page = answered.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(forbidden), "{path} has {forbidden}");
        }
    }
}

#[tokio::test]
async fn the_overview_shows_balance_plan_and_renewal() {
    let fake = started();
    fake.content().objects.get_mut("subscriptions/acme").expect("Subscription")["status"]["renewalTime"] =
        serde_json::json!("2026-02-28T10:00:00Z");
    let page = fake.part("").await.text;
    assert_eq!(element(&page, "balance"), Some("1,100"));
    assert_eq!(element(&page, "plan"), Some("Starter"));
    assert_eq!(element(&page, "renews"), Some("28 Feb 2026, 10:00 UTC"));
    assert_eq!(element(&page, "packs-used"), Some("0 of 3"));
    assert_eq!((element(&page, "pending-change"), element(&page, "undo")), (None, None));
}

#[tokio::test]
async fn an_account_without_a_slash_leads_to_its_overview() {
    let fake = started();
    assert_eq!(super::location(&fake.load("/team/acme").await), "/team/acme/");
    assert_eq!(fake.load("/team/acme%0d%0aX-A:b").await.status, 404);
}

#[tokio::test]
async fn files_are_kept_by_browsers_for_as_long_as_their_content_stays() {
    let fake = started();
    let page = fake.part("").await.text;
    for (name, content_type) in [("style.css", "text/css; charset=utf-8"), ("icon.svg", "image/svg+xml")] {
        let start = format!("/-/{name}?v=");
        let at = page.find(&start).expect("link");
        let path = page[at..].split('"').next().expect("end");
        let answered = fake.visit("GET", path, &[], "").await;
        assert_eq!(
            (answered.status, &answered.headers[header::CONTENT_TYPE]),
            (200, &content_type.parse().expect("type"))
        );
        assert_eq!(answered.headers[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        let tag = answered.headers[header::ETAG].to_str().expect("tag");
        let again = fake.visit("GET", path, &[("if-none-match", tag)], "").await;
        assert_eq!(again.status, 304);
        let other = fake.visit("GET", &format!("{start}0"), &[], "").await;
        assert_eq!(other.headers[header::CACHE_CONTROL], "no-cache");
    }
}
