//! Limits of requests: size, origin, rate, and the answers that caches may keep.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use futures::stream;
use serde_json::json;

use super::fake::{Fake, TOKEN};
use super::{accounts, settings};
use crate::body::BODY_BYTES;
use crate::portal::Settings;

fn started(settings: Settings) -> Fake {
    let subscription = json!(accounts::subscription("starter", &accounts::status("1100")));
    Fake::start(settings, [("subscriptions/acme", subscription)])
}

fn buy(body: Body) -> Request<Body> {
    Request::builder()
        .method("POST")
        .uri("/api/team/acme/credits/packs/buy")
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .expect("request")
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_or_not_its_length_is_declared() {
    let fake = started(settings());
    let answered = fake.send(buy(Body::from(vec![b' '; BODY_BYTES + 1]))).await;
    assert_eq!((answered.status, &answered.body["error_code"]), (413, &json!("BODY_TOO_LARGE")));
    assert_eq!(fake.content().calls, Vec::<String>::new(), "it is refused before it is read");
    let chunks = (0..70).map(|_| Ok::<_, Infallible>(Bytes::from(vec![b' '; 1_024])));
    let answered = fake.send(buy(Body::from_stream(stream::iter(chunks)))).await;
    assert_eq!((answered.status, &answered.body["error_code"]), (413, &json!("BODY_TOO_LARGE")));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_refused_in_time() {
    let fake = started(settings());
    let never = stream::pending::<Result<Bytes, Infallible>>();
    let answered = fake.send(buy(Body::from_stream(never))).await;
    assert_eq!((answered.status, &answered.body["error_code"]), (408, &json!("REQUEST_TIMEOUT")));
}

#[tokio::test]
async fn a_body_must_be_json_with_the_documented_fields() {
    let fake = started(settings());
    for (body, code) in
        [("", "INVALID_BODY"), ("{", "INVALID_BODY"), ("{}", "INVALID_BODY"), ("[]", "INVALID_BODY")]
    {
        let answered = fake.send(buy(Body::from(body))).await;
        assert_eq!((answered.status, &answered.body["error_code"]), (400, &json!(code)), "{body}");
    }
    let mut request = buy(Body::from("packId=plus-100"));
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, "application/x-www-form-urlencoded".parse().expect("type"));
    let answered = fake.send(request).await;
    assert_eq!((answered.status, &answered.body["error_code"]), (415, &json!("UNSUPPORTED_MEDIA_TYPE")));
}

#[tokio::test]
async fn a_change_from_a_foreign_page_is_refused_before_anything_is_read() {
    let fake = started(settings());
    let order = json!({"packId": "plus-100"});
    for headers in [[("origin", "https://evil.example")], [("sec-fetch-site", "cross-site")]] {
        let answered = fake.call("POST", "credits/packs/buy", Some(&order), &headers).await;
        assert_eq!((answered.status, &answered.body["error_code"]), (403, &json!("FOREIGN_ORIGIN")));
    }
    assert_eq!(fake.content().calls, Vec::<String>::new());
    let own = [("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")];
    let answered = fake.call("POST", "subscriptions/portal", None, &own).await;
    assert_eq!(answered.status, 200, "{answered:?}");
}

#[tokio::test]
async fn too_many_requests_of_a_token_answer_429_with_a_time_to_wait() {
    let fake = started(Settings { requests_per_second: 1, ..settings() });
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answered = fake.get("subscriptions/my").await;
        if answered.status == 429 {
            assert_eq!(answered.body["error_code"], "RATE_LIMITED");
            assert_eq!(answered.headers[header::RETRY_AFTER], "1");
        }
        statuses.push(answered.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(fake.get("credits/packs").await.status, 200, "lists have no limit");
}

#[tokio::test]
async fn lists_have_an_entity_tag_and_answers_about_an_account_are_not_stored() {
    let fake = started(settings());
    for path in ["credits/packs", "credits/rates", "subscriptions"] {
        let first = fake.get(path).await;
        let tag = first.headers[header::ETAG].to_str().expect("tag").to_owned();
        let again = fake.call("GET", path, None, &[("if-none-match", &tag)]).await;
        assert_eq!((first.status, again.status), (200, 304), "{path}");
    }
    for path in ["credits/balance", "subscriptions/my", "v2/stats/credits?window=24h"] {
        assert_eq!(fake.get(path).await.headers[header::CACHE_CONTROL], "no-store", "{path}");
    }
}

#[tokio::test]
async fn answers_are_compressed_for_clients_that_accept_it() {
    let fake = started(settings());
    let answered = fake.call("GET", "../../../openapi.json", None, &[]).await;
    assert_eq!(answered.status, 404, "paths are not normalized");
    let request =
        Request::builder().uri("/openapi.json").header("accept-encoding", "gzip").body(Body::empty());
    let answered = fake.send(request.expect("request")).await;
    assert_eq!(answered.headers[header::CONTENT_ENCODING], "gzip");
}

#[tokio::test]
async fn the_url_of_the_page_comes_from_the_settings_and_not_from_the_request() {
    let fake = started(Settings { public_url: "https://billing.example/base".to_owned(), ..settings() });
    let answered = fake.call("POST", "subscriptions/portal", None, &[("host", "evil.example")]).await;
    assert_eq!(answered.body, json!({"success": true, "url": "https://billing.example/base/team/acme/"}));
}
