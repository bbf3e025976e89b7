//! The example of Envoy with a real Envoy, and each variant on its page.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::proxies::{Proxy, Setting, block_with, blocks, example, place};
use super::spend;
use super::thaw::{Clients, Scene};
use crate::free_address::free_address;
use crate::suite::billed::billed;
use crate::world::root;

/// The lookup of the example.
const BY_KEY: [&str; 2] = ["--api-key-header", "authorization"];

/// The key that signs tokens.
const SECRET: &[u8] = b"the key of the tests for tokens of 256 bits";

/// Returns the example with the addresses of a setting, with the keys of a block on the page, and with more time:
/// several tests share the machine.
pub fn configuration(setting: &Setting, block: Option<&str>) -> Value {
    let mut configuration: Value = serde_yaml::from_str(&example("envoy.yaml")).expect("YAML");
    if let Some(block) = block {
        let block: Value = serde_yaml::from_str(&block_with("envoy.md", "yaml", block)).expect("YAML");
        let manager = manager(&mut configuration);
        for key in ["route_config", "http_filters"] {
            if !block[key].is_null() {
                manager[key] = block[key].clone();
            }
        }
        if !block["clusters"].is_null() {
            configuration["static_resources"]["clusters"][0] = block["clusters"][0].clone();
        }
    }
    for (index, (name, address)) in
        [("gate", setting.gate), ("models", setting.backend)].into_iter().enumerate()
    {
        let cluster = &mut configuration["static_resources"]["clusters"][index];
        assert_eq!(cluster["name"], name);
        let endpoint = cluster.pointer_mut("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address");
        *endpoint.expect("an endpoint") = place(address);
    }
    let service = filter(&mut configuration, "ext_authz");
    for timeout in ["/http_service/server_uri/timeout", "/grpc_service/timeout"] {
        if let Some(timeout) = service.pointer_mut(timeout) {
            *timeout = "10s".into();
        }
    }
    configuration
}

/// Returns the HTTP connection manager of a configuration.
fn manager(configuration: &mut Value) -> &mut Value {
    let path = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    configuration.pointer_mut(path).expect("a connection manager")
}

/// Returns the configuration of a filter.
fn filter<'a>(configuration: &'a mut Value, name: &str) -> &'a mut Value {
    let filters = manager(configuration)["http_filters"].as_array_mut().expect("filters");
    let named = |filter: &&mut Value| filter["name"] == format!("envoy.filters.http.{name}");
    &mut filters.iter_mut().find(named).expect("a filter")["typed_config"]
}

/// Returns a configuration that lets requests through without a gate, as the page says.
fn open_configuration(mut configuration: Value) -> Value {
    let filter = filter(&mut configuration, "ext_authz");
    filter["failure_mode_allow"] = true.into();
    filter["failure_mode_allow_header_add"] = true.into();
    configuration
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_stops_an_account_at_zero_and_thaws_it() {
    let scene = Scene::open(&billed().await.world, "gate-envoy", &BY_KEY).await;
    let clients = scene.keys();
    let proxy = Proxy::envoy(configuration(&scene.setting(), None)).await;
    scene.walk(&proxy, &clients).await;
    let open = Proxy::envoy(open_configuration(configuration(&scene.setting(), None))).await;
    scene.kill((&proxy, 503), &open, &clients, &BY_KEY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_removes_the_other_keys_before_litellm() {
    let scene = Scene::open(&billed().await.world, "gate-litellm", &BY_KEY).await;
    let mut configuration = configuration(&scene.setting(), None);
    let block: Value = serde_yaml::from_str(&block_with("litellm.md", "yaml", "mutations:")).expect("YAML");
    let removal = &mut manager(&mut configuration)["early_header_mutation_extensions"][0]["typed_config"];
    assert!(removal["mutations"].is_array(), "{removal}");
    removal["mutations"] = block["mutations"].clone();
    let proxy = Proxy::envoy(configuration).await;
    let others = ["X-Litellm-Api-Key", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key"];
    let others: Vec<String> = others.iter().map(|name| format!("{name}: key-of-another-account")).collect();
    let answer = proxy.answers(200, &[scene.keys().acme, others.clone()].concat()).await;
    assert!(!answer.body.contains("key-of-another-account"), "{answer:?}");
    assert_eq!(proxy.request(&others).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_stops_an_account_at_zero_by_grpc() {
    let grpc = free_address();
    let listen = grpc.to_string();
    let arguments = [BY_KEY.as_slice(), &["--grpc-listen", &listen]].concat();
    let scene = Scene::open(&billed().await.world, "gate-envoy-grpc", &arguments).await;
    let clients = scene.keys();
    let setting = Setting { gate: grpc, ..scene.setting() };
    let by_grpc = || configuration(&setting, Some("grpc_service:"));
    let proxy = Proxy::envoy(by_grpc()).await;
    scene.walk(&proxy, &clients).await;
    let open = Proxy::envoy(open_configuration(by_grpc())).await;
    scene.kill((&proxy, 503), &open, &clients, &arguments).await;
}

/// Returns a token for an organization.
fn token(organization: &str) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "HS256", "typ": "JWT", "kid": "one"}));
    let claims =
        part(json!({"iss": "https://login.example.com", "org": organization, "exp": 4_000_000_000_i64}));
    let signed = format!("{header}.{claims}");
    let mut signature = Hmac::<Sha256>::new_from_slice(SECRET).expect("key");
    signature.update(signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.finalize().into_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_the_account_from_a_verified_token() {
    let world = &billed().await.world;
    let template = "gate-envoy-token/{header:x-org-id}";
    let scene = Scene::open(world, "gate-envoy-token", &["--account", template]).await;
    let keys = json!({"keys": [
        {"kty": "oct", "alg": "HS256", "kid": "one", "k": BASE64_URL_SAFE_NO_PAD.encode(SECRET)},
    ]});
    let mut by_token = configuration(&scene.setting(), Some("jwt_authn.v3"));
    let provider = &mut filter(&mut by_token, "jwt_authn")["providers"]["login"];
    provider["local_jwks"] = json!({"inline_string": keys.to_string()});
    let of = |organization: &str| vec![super::bearer(&token(organization)), "X-Org-Id: globex".to_owned()];
    let clients =
        Clients { acme: of("acme"), globex: of("globex"), unknown: of("nowhere"), unknown_status: 403 };
    let proxy = Proxy::envoy(by_token.clone()).await;
    let answer = proxy.request(&["X-Org-Id: globex".to_owned()]).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    scene.walk(&proxy, &clients).await;

    // Istio allows requests without a token. The header of the client is removed for them too.
    let rule = &mut filter(&mut by_token, "jwt_authn")["rules"][0]["requires"];
    *rule = json!({"requires_any": {"requirements": [{"provider_name": "login"}, {"allow_missing": {}}]}});
    let lenient = Proxy::envoy(by_token).await;
    let answer = lenient.request(&["X-Org-Id: globex".to_owned()]).await;
    assert_eq!(
        (answer.status, answer.header("x-flashgate-reason")),
        (403, Some("UnknownAccount")),
        "{answer:?}"
    );
}

/// Returns the configuration in which the host name decides the account. The host is that of the listener.
pub fn by_host(setting: &Setting) -> Value {
    let mut by_host = configuration(setting, Some("HeaderMutationPerRoute"));
    let host = &mut manager(&mut by_host)["route_config"]["virtual_hosts"][0];
    assert_eq!(host["domains"], json!(["acme.ai.example.com"]));
    host["domains"] = json!(["*"]);
    let account = host.pointer_mut(
        "/typed_per_filter_config/envoy.filters.http.header_mutation/mutations/request_mutations/0/append/header/value",
    );
    *account.expect("an account") = format!("{}/acme", setting.namespace).into();
    by_host
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_the_account_from_the_host_name() {
    let scene = Scene::open(&billed().await.world, "gate-envoy-host", &[]).await;
    let proxy = Proxy::envoy(by_host(&scene.setting())).await;
    let forged = vec!["X-Flashgate-Account: gate-envoy-host/globex".to_owned()];
    let answer = proxy.answers(200, &forged).await;
    assert_eq!(answer.json()["x-flashgate-account"], "gate-envoy-host/acme", "{answer:?}");
    spend(&scene.acme, "all").await;
    let answer = proxy.answers(402, &forged).await;
    assert_eq!(answer.json()["account"], "gate-envoy-host/acme", "{answer:?}");
}

#[test]
fn the_example_has_the_route_that_the_first_page_replaces() {
    let page = std::fs::read_to_string(root().join("docs/how-to/stop-at-zero.md")).expect("page");
    let route = "route: {cluster: models, timeout: 0s}";
    assert!(page.contains(route) && example("envoy.yaml").contains(route));
}

#[test]
fn the_pages_show_the_examples() {
    for (page, file) in [
        ("envoy.md", "envoy.yaml"),
        ("envoy-gateway.md", "envoy-gateway.yaml"),
        ("agentgateway.md", "agentgateway.yaml"),
        ("traefik.md", "traefik.yaml"),
        ("istio.md", "istio.yaml"),
    ] {
        assert!(blocks(page, "yaml").contains(&example(file)), "{page} does not show {file}");
    }
}
