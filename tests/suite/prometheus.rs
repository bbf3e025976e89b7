//! Real Prometheus and promtool, as processes.

use std::fs;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::free_address::free_address;
use crate::world::{GUARD, root, wait_for};

/// Folder with prometheus and promtool.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| {
    let script = root().join("control-plane/prometheus.sh");
    let output = Command::new(script).stderr(Stdio::inherit()).output().expect("prometheus.sh");
    assert!(output.status.success(), "prometheus is missing");
    String::from_utf8(output.stdout).expect("path").trim_end().into()
});

/// Runs promtool in the project folder.
pub fn promtool(arguments: &[&str]) -> Output {
    Command::new(PROGRAMS.join("promtool")).args(arguments).current_dir(root()).output().expect("promtool")
}

/// An operator as a scrape target.
pub struct Target {
    /// The namespace of its pod.
    pub namespace: &'static str,
    /// The name of its pod.
    pub pod: &'static str,
    /// The address of its metrics.
    pub address: SocketAddr,
}

/// A Prometheus that scrapes and evaluates every second. It ends when this value is dropped, or with the test
/// process.
pub struct Prometheus {
    guard: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts a Prometheus with these rules. It scrapes `targets` as the chart's `ServiceMonitor` specifies.
    pub async fn start(folder: &Path, targets: &[Target], rules: &Value) -> Self {
        let folder = folder.join("prometheus");
        fs::create_dir_all(&folder).expect("folder");
        fs::write(folder.join("rules.yaml"), rules.to_string()).expect("rules");
        let targets = targets.iter().map(|target| {
            let labels = json!({"namespace": target.namespace, "pod": target.pod});
            json!({"targets": [target.address.to_string()], "labels": labels})
        });
        let configuration = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{
                "job_name": "flashgate-billing",
                "honor_labels": true,
                "static_configs": targets.collect::<Vec<_>>(),
            }],
        });
        Self::with_configuration(&folder, &configuration, &[]).await
    }

    /// Starts a Prometheus that has only the samples of this text in the format of `OpenMetrics`, each with its time.
    pub async fn of_samples(folder: &Path, text: &str, arguments: &[&str]) -> Self {
        let folder = folder.join("prometheus");
        fs::create_dir_all(&folder).expect("folder");
        let samples = folder.join("samples");
        fs::write(&samples, format!("{text}# EOF\n")).expect("samples");
        let [samples, data] = [samples, folder.join("data")].map(|path| path.display().to_string());
        let made = promtool(&["tsdb", "create-blocks-from", "openmetrics", &samples, &data]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self::with_configuration(&folder, &json!({}), arguments).await
    }

    /// Starts a Prometheus with this configuration, whose data are in a folder.
    pub async fn with_configuration(folder: &Path, configuration: &Value, arguments: &[&str]) -> Self {
        fs::create_dir_all(folder).expect("folder");
        let file = folder.join("prometheus.yaml");
        fs::write(&file, configuration.to_string()).expect("configuration");
        let address = free_address();
        let mut guard = Command::new("bash")
            .args(["-c", GUARD, "guard"])
            .arg(PROGRAMS.join("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("log")).expect("log"))
            .spawn()
            .expect("prometheus");
        let mut process = String::new();
        let output = guard.stdout.take().expect("output");
        std::io::BufReader::new(output).read_line(&mut process).expect("process");
        let prometheus = Self { guard, address };
        let ready = async || matches!(get(address, "/-/ready"), Some((200, _))).then_some(());
        wait_for("Prometheus is ready", ready).await;
        prometheus
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the current result of a query: labels, each with a value.
    pub fn query(&self, query: &str) -> Vec<Value> {
        let path = format!("/api/v1/query?query={}", percent_encoded(query));
        let (status, body) = get(self.address, &path).expect("Prometheus answers");
        assert_eq!(status, 200, "{query}: {body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        answer["data"]["result"].as_array().expect("result").clone()
    }

    /// Waits until a query has a result.
    pub async fn expect(&self, query: &str) -> Vec<Value> {
        let found = async || Some(self.query(query)).filter(|found| !found.is_empty());
        wait_for(query, found).await
    }

    /// Returns the labels of the firing alerts.
    pub fn firing(&self) -> Vec<Value> {
        self.query(r#"ALERTS{alertstate="firing"}"#).iter().map(|found| found["metric"].clone()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().expect("guard");
    }
}

/// Sends a GET request. Returns the status and the body, or nothing if there is no answer.
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    // With this HTTP version the answer arrives in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

fn percent_encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    encoded.collect()
}
