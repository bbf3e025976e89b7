//! Tests of lookups, above all of requests that try to name another account.

use http::HeaderValue;

use super::*;

fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("value"));
    }
    map
}

fn named(lookup: &Lookup, given: &[(&'static str, &str)], path: Option<&str>) -> Option<String> {
    match lookup.named(&headers(given), path)? {
        Named::Name(name) => Some(name.into_owned()),
        Named::Key(_) => None,
    }
}

#[test]
fn a_header_names_an_account() {
    let lookup = Lookup::header("X-Flashgate-Account").expect("lookup");
    for name in ["team/acme", "a/b.c", "n-1/0"] {
        assert_eq!(named(&lookup, &[("x-flashgate-account", name)], None).as_deref(), Some(name));
    }
}

#[test]
fn a_header_in_doubt_names_no_account() {
    let lookup = Lookup::header("x-flashgate-account").expect("lookup");
    assert_eq!(named(&lookup, &[], Some("/team/acme")), None);
    assert_eq!(named(&lookup, &[("x-other", "team/acme")], None), None);
    for twice in
        [["team/acme", "team/acme"], ["team/acme", "team/other"], ["team/acme", ""], ["", "team/acme"]]
    {
        let given = twice.map(|name| ("x-flashgate-account", name));
        assert_eq!(named(&lookup, &given, None), None, "{twice:?}");
    }
    for value in [
        "",
        "team/acme,team/other",
        "team/acme,",
        ",team/acme",
        "team/acme, team/acme",
        " team/acme",
        "team/acme ",
        "team/ acme",
        "team\t/acme",
        "Team/acme",
        "team/ACME",
        "team",
        "team/",
        "/acme",
        "team//acme",
        "team/acme/",
        "team/acme/x",
        "team%2Facme",
        "team/%61cme",
        "team/acme?x",
        "team/acme;other",
        "\"team/acme\"",
        "team/../acme",
        "team/\u{e4}cme",
        "team/acm\u{435}",
    ] {
        assert_eq!(named(&lookup, &[("x-flashgate-account", value)], None), None, "{value:?}");
    }
}

#[test]
fn a_template_names_an_account() {
    let lookup = Lookup::template("{header:x-team}/{path:2}").expect("lookup");
    assert!(lookup.needs_path());
    let team = |team| [("x-team", team)];
    assert_eq!(named(&lookup, &team("ai"), Some("/v1/acme?x=/y")).as_deref(), Some("ai/acme"));
    assert_eq!(named(&lookup, &team("ai"), Some("/v1/%61cme/chat")).as_deref(), Some("ai/acme"));
    for (header, path) in [
        ("ai", "/v1"),
        ("ai", "/v1/ACME"),
        ("ai", "/v1/../acme"),
        ("ai", "/v1/acme%2Fother"),
        ("ai", "/v1/%2561cme"),
        ("ai", "/v1/acme;x"),
        ("ai", "https://host/acme"),
        ("ai/acme", "/v1/other"),
        ("ai,b", "/v1/acme"),
        ("AI", "/v1/acme"),
    ] {
        assert_eq!(named(&lookup, &team(header), Some(path)), None, "{header} {path}");
    }
}

#[test]
fn a_header_of_a_template_can_have_the_slash_only_once() {
    let lookup = Lookup::template("{header:x-account}").expect("lookup");
    let account = |value| named(&lookup, &[("x-account", value)], None);
    assert_eq!(account("ai/acme").as_deref(), Some("ai/acme"));
    for value in ["ai", "ai/acme/x", "ai/", "/acme"] {
        assert_eq!(account(value), None, "{value}");
    }
}

#[test]
fn an_api_key_is_hashed_without_its_scheme() {
    let lookup = Lookup::api_key("Authorization").expect("lookup");
    let hash = |values: &[&str]| {
        let given: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
        match lookup.named(&headers(&given), None)? {
            Named::Key(hash) => Some(hash),
            Named::Name(_) => None,
        }
    };
    let key = Some(KeyHash::of_key("sk-1"));
    for value in ["sk-1", "Bearer sk-1", "bearer sk-1", "BEARER  sk-1"] {
        assert_eq!(hash(&[value]), key, "{value:?}");
    }
    for value in
        ["Bearer", "Basic sk-1", "Bearer sk-2", "Bearer sk-1 ", "Bearersk-1", "\u{e4}\u{e4}\u{e4}\u{e4}"]
    {
        assert_ne!(hash(&[value]), key, "{value:?}");
    }
    for values in [&[][..], &[""], &["Bearer "], &["sk-1", "sk-1"], &["sk-1,sk-2"], &["sk-1", ""]] {
        assert_eq!(hash(values), None, "{values:?}");
    }
}

#[test]
fn a_path_names_an_account() {
    let named = |path| match named_by_path(path)? {
        Named::Name(name) => Some(name.into_owned()),
        Named::Key(_) => None,
    };
    for path in ["team/acme", "team/%61cme", "%74eam/acme", "te%61m/acme"] {
        assert_eq!(named(path).as_deref(), Some("team/acme"), "{path}");
    }
    for path in [
        "",
        "team",
        "team/",
        "/acme",
        "/team/acme",
        "team//acme",
        "team/acme/",
        "team/acme/x",
        "team%2Facme",
        "team/acme%2F",
        "team/ac%2Fme",
        "team/%2561cme",
        "Team/acme",
        "team/%41cme",
        "team/acme%00",
        "team/%ff",
        "team/%zz",
        "team/%",
        "team/..%2Fother%2Facme",
        "../acme",
        "team/..",
        "%2E%2E/acme",
    ] {
        assert_eq!(named(path), None, "{path}");
    }
}

#[test]
fn the_original_path_is_the_one_that_all_headers_state() {
    let path = |given: &[(&'static str, &str)]| original_path(&headers(given)).map(str::to_owned);
    let one = Some("/ai/acme?x".to_owned());
    assert_eq!(path(&[("x-original-uri", "/ai/acme?x")]), one);
    assert_eq!(path(&[("x-forwarded-uri", "/ai/acme?x")]), one);
    assert_eq!(path(&[("x-original-uri", "/ai/acme?x"), ("x-forwarded-uri", "/ai/acme?x")]), one);
    for given in [
        &[][..],
        &[("x-original-uri", "/a"), ("x-forwarded-uri", "/b")],
        &[("x-original-uri", "/a"), ("x-original-uri", "/b")],
        &[("x-original-uri", "/a"), ("x-forwarded-uri", "")],
        &[("x-original-uri", "/\u{e4}"), ("x-forwarded-uri", "/a")],
        &[("x-original-uri", "/\u{e4}")],
    ] {
        assert_eq!(path(given), None, "{given:?}");
    }
}

#[test]
fn a_lookup_that_cannot_be_used_says_why() {
    for name in ["", "x account", "x:account", "x\u{e4}", "x\n"] {
        for lookup in [Lookup::header(name), Lookup::api_key(name)] {
            assert_eq!(lookup, Err(LookupError::Header(name.to_owned())));
        }
    }
    assert_eq!(
        Lookup::header("x account").expect_err("error").to_string(),
        "'x account' is no name of a header: use letters, digits and '-', such as 'x-flashgate-account'"
    );
    assert_eq!(
        Lookup::template("a/{path:0}").expect_err("error").to_string(),
        "the template 'a/{path:0}' cannot be used: '{path:0}' must have the number of a segment of the path, from 1: \
         '{path:2}' is 'acme' of '/ai/acme/chat'"
    );
}
