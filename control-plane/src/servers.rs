//! The command lines of the servers. A comment has the reason of each flag that is not obvious.

use std::path::Path;

use crate::programs::Programs;

pub(crate) const ETCD: &str = "etcd";
pub(crate) const API_SERVER: &str = "kube-apiserver";
pub(crate) const CONTROLLER_MANAGER: &str = "kube-controller-manager";

/// The certificate that the API server creates for itself, with its CA.
pub(crate) const CERTIFICATE: &str = "certificates/apiserver.crt";

pub(crate) fn etcd(programs: &Programs, folder: &Path, extra: &[String]) -> Vec<String> {
    let folder = folder.display();
    let mut command = vec![
        program(programs, ETCD),
        format!("--data-dir={folder}/etcd"),
        // Sockets in a folder that only this user can enter need no free ports, and no other user can connect.
        format!("--listen-client-urls=unix://{folder}/etcd.socket"),
        format!("--listen-peer-urls=unix://{folder}/etcd-peer.socket"),
        // It must have the form of host and port. No client uses it.
        "--advertise-client-urls=http://localhost:0".to_owned(),
        // The data is temporary. Do not use this for benchmarks of durability.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ];
    command.extend_from_slice(extra);
    command
}

pub(crate) fn api_server(
    programs: &Programs,
    folder: &Path,
    port: u16,
    admit_service_accounts: bool,
    extra: &[String],
) -> Vec<String> {
    let folder = folder.display();
    let mut command = vec![
        program(programs, API_SERVER),
        format!("--etcd-servers=unix://{folder}/etcd.socket"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={folder}/certificates"),
        "--authorization-mode=RBAC".to_owned(),
        format!("--token-auth-file={folder}/tokens.csv"),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        // The key of its certificate also signs tokens, so no other key is needed.
        format!("--service-account-key-file={folder}/certificates/apiserver.key"),
        format!("--service-account-signing-key-file={folder}/certificates/apiserver.key"),
    ];
    if !admit_service_accounts {
        // This plug-in requires the ServiceAccount `default` for each pod, and no controller creates it.
        command.push("--disable-admission-plugins=ServiceAccount".to_owned());
    }
    command.extend_from_slice(extra);
    command
}

pub(crate) fn controller_manager(
    programs: &Programs,
    folder: &Path,
    port: u16,
    kubeconfig: &Path,
    controllers: &[String],
) -> Vec<String> {
    let folder = folder.display();
    vec![
        program(programs, CONTROLLER_MANAGER),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--controllers={}", controllers.join(",")),
        // There is only one, and an election would only delay it.
        "--leader-elect=false".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={folder}/certificates"),
        format!("--root-ca-file={folder}/{CERTIFICATE}"),
        format!("--service-account-private-key-file={folder}/certificates/apiserver.key"),
    ]
}

fn program(programs: &Programs, name: &str) -> String {
    programs.path(name).display().to_string()
}
