//! The example of nginx with a real nginx.

use super::proxies::{Proxy, Setting, block_with, changed, example, placed};
use super::thaw::{Scene, keys};
use crate::suite::billed::billed;

/// Returns the example with the addresses of a setting.
pub fn configuration(setting: &Setting) -> String {
    placed(&example("nginx.conf"), setting)
}

/// Returns the example that lets requests through without a gate, as the page says.
pub fn open_configuration(setting: &Setting) -> String {
    let block = block_with("nginx.md", "nginx", "location = /flashgate-open");
    let line = block.lines().find(|line| line.contains("error_page 502")).expect("a line");
    let (_, location) = block.split_once("    location = /flashgate-open").expect("a location");
    let check = "    location = /flashgate-check {\n";
    let text = changed(&configuration(setting), check, &format!("{check}{line}\n"));
    let end = text.rfind('}').expect("the end of the server");
    format!("{}\n    location = /flashgate-open{location}}}\n", &text[..end])
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_stops_an_account_at_zero_and_thaws_it() {
    let scene = Scene::open(&billed().await.world, "gate-nginx", &[]).await;
    let proxy = Proxy::nginx(&configuration(&scene.setting())).await;
    scene.walk(&proxy, &keys()).await;
    let open = Proxy::nginx(&open_configuration(&scene.setting())).await;
    scene.kill((&proxy, 503), &open, &keys(), &[]).await;
}

#[test]
fn the_page_shows_the_examples_of_nginx() {
    assert_eq!(super::proxies::blocks("nginx.md", "nginx").first(), Some(&example("nginx.conf")));
    assert_eq!(super::proxies::blocks("nginx.md", "yaml").first(), Some(&example("ingress-nginx.yaml")));
}
