//! The example of Caddy with a real Caddy.

use super::proxies::{Proxy, Setting, block_with, blocks, changed, example, placed};
use super::thaw::{Scene, keys};
use crate::free_address::free_address;
use crate::suite::billed::billed;

/// Returns the example with the addresses of a setting.
pub fn configuration(setting: &Setting) -> String {
    placed(&example("Caddyfile"), setting)
}

/// Returns the example that lets requests through without a gate, as the page says.
pub fn open_configuration(setting: &Setting) -> String {
    let block = block_with("caddy.md", "caddyfile", "lb_policy");
    let (directive, _) = block.split_once("\t\t\t# The other lines stay").expect("a remark");
    let text: String = example("Caddyfile")
        .lines()
        .filter(|line| !line.contains("copy_headers"))
        .fold(String::new(), |text, line| format!("{text}{line}\n"));
    let text =
        changed(&text, "\t\tforward_auth flashgate-billing-gate.flashgate-billing.svc:8090 {\n", directive);
    let site = block_with("caddy.md", "caddyfile", "respond 204");
    changed(&placed(&format!("{text}{site}"), setting), "8089", &free_address().port().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_stops_an_account_at_zero_and_thaws_it() {
    let scene = Scene::open(&billed().await.world, "gate-caddy", &[]).await;
    let proxy = Proxy::caddy(&configuration(&scene.setting())).await;
    scene.walk(&proxy, &keys()).await;
    let open = Proxy::caddy(&open_configuration(&scene.setting())).await;
    scene.kill((&proxy, 502), &open, &keys(), &[]).await;
}

#[test]
fn the_page_shows_the_example_of_caddy() {
    assert_eq!(blocks("caddy.md", "caddyfile").first(), Some(&example("Caddyfile")));
}
