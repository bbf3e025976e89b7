//! The gate as a process, with a real control plane, an operator, and real proxies in front of a server.

mod attacks;
mod bound;
mod caddy;
mod calls;
pub mod connection;
pub mod envoy;
mod nginx;
pub mod proxies;
mod stale;
mod thaw;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;

use flashgate_api::Subscription;
use flashgate_testing::catalog::monthly;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cluster_account::{ClusterAccount, LONG_AGO, egress};
use crate::free_address::free_address;
use crate::suite::portal::client::read_answer;
use crate::world::{Namespace, Operator, wait_until};

/// Egress that costs all credits of a month of the plan `starter`.
const ALL_CREDITS: &str = "110G";

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Sends a request with these header lines. Returns nothing if there is no answer.
pub async fn send(
    address: SocketAddr,
    method: &'static str,
    path: &str,
    headers: &[String],
) -> Option<Answer> {
    let lines = headers.iter().fold(String::new(), |lines, line| format!("{lines}{line}\r\n"));
    let body = if method == "POST" { "Content-Length: 2\r\n\r\n{}" } else { "\r\n" };
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{lines}{body}");
    let sent = move || {
        let mut stream = TcpStream::connect(address).ok()?;
        // At once: a proxy that denies the request can close the connection before it reads the body.
        stream.write_all(request.as_bytes()).ok()?;
        read_answer(&mut stream).ok()
    };
    let (status, headers, body) = tokio::task::spawn_blocking(sent).await.expect("sent")?;
    Some(Answer { status, headers, body })
}

/// A gate as a process.
pub struct Gate {
    /// Address of its HTTP server.
    pub address: SocketAddr,
    process: Operator,
}

impl Gate {
    /// Starts a gate with the identity of `kubeconfig`, and waits until it knows the accounts.
    pub async fn start(kubeconfig: &Path, arguments: &[&str]) -> Self {
        Self::start_at(free_address(), kubeconfig, arguments).await
    }

    /// Starts a gate at an address, and waits until it knows the accounts.
    pub async fn start_at(address: SocketAddr, kubeconfig: &Path, arguments: &[&str]) -> Self {
        Self::start_logged(address, kubeconfig, arguments, Stdio::inherit()).await
    }

    /// Starts a gate that logs there, and waits until it knows the accounts.
    pub async fn start_with_log(kubeconfig: &Path, arguments: &[&str], log: Stdio) -> Self {
        Self::start_logged(free_address(), kubeconfig, arguments, log).await
    }

    async fn start_logged(address: SocketAddr, kubeconfig: &Path, arguments: &[&str], log: Stdio) -> Self {
        let listen = address.to_string();
        let arguments: Vec<&str> =
            ["--listen", &listen].into_iter().chain(arguments.iter().copied()).collect();
        let process = Operator::start_command("gate", kubeconfig, &arguments, &[], log);
        let gate = Self { address, process };
        let is_ready = async || gate.get("/healthz", &[]).await.is_some_and(|answer| answer.status == 200);
        wait_until("the gate knows the accounts", is_ready).await;
        gate
    }

    /// Asks the gate.
    pub async fn get(&self, path: &str, headers: &[String]) -> Option<Answer> {
        send(self.address, "GET", path, headers).await
    }

    /// Returns the memory of the gate in KiB.
    pub fn memory_kib(&self) -> u64 {
        self.process.memory_kib()
    }

    /// Stops the gate.
    pub async fn stop(self) {
        self.process.terminate().await;
    }

    /// Kills the gate.
    pub fn kill(self) {
        self.process.kill();
    }
}

/// Creates an account with a month of the plan `starter`.
pub async fn account<'a>(namespace: &Namespace<'a>, name: &str) -> ClusterAccount<'a> {
    let account = namespace.account(name);
    account.subscribe(monthly("starter"), Some(LONG_AGO)).await;
    account.status("/status/gate/open", true).await;
    account
}

/// Charges all credits of a month to an account, and waits until its gate is closed.
pub async fn spend(account: &ClusterAccount<'_>, report: &str) {
    account.report_hour(report, 1, egress(ALL_CREDITS)).await;
    account.status("/status/gate/open", false).await;
}

/// Labels an account with the hash of an API key.
pub async fn give_key(namespace: &Namespace<'_>, name: &str, key: &str) {
    let label = json!({"metadata": {"labels": {"api-key.billing.flashgate.dev/test": hash_of(key)}}});
    let api = namespace.api::<Subscription>();
    api.patch(name, &PatchParams::default(), &Patch::Merge(label)).await.expect("labelled");
}

/// Returns the value of the label for an API key.
pub fn hash_of(key: &str) -> String {
    let digits = Sha256::digest(key).iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    digits[..40].to_owned()
}

/// Returns the header line with an API key.
pub fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}
