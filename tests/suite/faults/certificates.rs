//! An API server with a new certificate.

use std::path::Path;
use std::process::Command;

use super::{Watched, open_account};
use crate::world::{Namespace, World};

/// Runs openssl in `folder`.
fn openssl(folder: &Path, arguments: &str) {
    let arguments = arguments.split_whitespace();
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Creates a certificate authority in `folder`, and two certificates for the API server.
fn make_certificates(folder: &Path) {
    std::fs::write(folder.join("extensions"), "subjectAltName=IP:127.0.0.1\n").expect("extensions");
    openssl(
        folder,
        "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=authority -keyout ca.key -out ca.crt",
    );
    for name in ["first", "second"] {
        openssl(
            folder,
            &format!("req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"),
        );
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -extfile extensions \
                 -out {name}.crt"
            ),
        );
    }
}

/// Makes the API server use this certificate after its next start.
async fn show(world: &World, name: &str) {
    let folder = world.plane.folder();
    let read = |file: String| std::fs::read_to_string(folder.join(file)).expect("file");
    let chain = [read(format!("{name}.crt")), read("ca.crt".to_owned())].concat();
    std::fs::write(folder.join("certificates/apiserver.crt"), chain).expect("certificate");
    std::fs::write(folder.join("certificates/apiserver.key"), read(format!("{name}.key"))).expect("key");
    world.plane.restart_apiserver().await.expect("restarted");
}

#[tokio::test]
async fn a_new_server_certificate_of_the_same_authority_needs_no_restart() {
    let world = World::start().await;
    make_certificates(world.plane.folder());
    show(&world, "first").await;
    let watched = Watched::start(&world);
    let account = open_account(&world, "certificates").await;
    show(&world, "second").await;
    let account = Namespace { client: world.client().await, ..(*account).clone() }.account("acme");
    account.adjust("goodwill", "10").await;
    account.balance("1110").await;
    assert!(!watched.operator.has_stopped());
    let ready = watched.operator.get("/readyz").map(|(status, _)| status);
    assert_eq!(ready, Some(200), "{}", watched.read_log());
}
