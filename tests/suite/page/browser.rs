//! Chromium by `WebDriver`: one chromedriver for all tests, and a browser with its own profile for each test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use fantoccini::ClientBuilder;
use fantoccini::wd::Capabilities;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use super::tab::Tab;
use crate::world::made_by;

/// Arguments of Chromium. It reaches this machine only, ends with its driver, and makes no requests of its own.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    // Root has no sandbox, and an unpacked browser has no setuid helper. All pages are ours.
    "--no-sandbox",
    "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "about:blank",
];

/// The folder of `control-plane/browser.sh`, or `None` outside CI on a machine without a browser.
static TOOLS: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = made_by("browser.sh");
    (!folder.as_os_str().is_empty()).then_some(folder)
});

/// The driver that all tests share.
static DRIVER: LazyLock<Option<Driver>> = LazyLock::new(|| Some(Driver::start(TOOLS.as_ref()?)));

/// Starts chromedriver with a folder for the profiles and downloads of its browsers, and prints that folder. Removes
/// both at the end of its own input, which is the end of the test process.
const GUARD: &str = r#"export TMPDIR=$(mktemp -d); echo "$TMPDIR"; "$@" & read -r _; kill $! 2>/dev/null; wait
for _ in {1..50}; do rm -rf -- "$TMPDIR" 2>/dev/null && break; sleep 0.1; done"#;

/// A running chromedriver.
struct Driver {
    address: String,
    /// Its folder for profiles and downloads.
    folder: PathBuf,
    /// The number of browsers that it has started.
    browsers: AtomicU32,
    _guard: Child,
    _output: BufReader<ChildStdout>,
}

impl Driver {
    fn start(tools: &Path) -> Self {
        let mut guard = Command::new("bash")
            .args(["-c", GUARD, "guard"])
            .arg(tools.join("chromedriver"))
            .arg("--port=0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver");
        let mut output = BufReader::new(guard.stdout.take().expect("output"));
        let mut lines = output.by_ref().lines().map_while(Result::ok);
        let folder = lines.next().expect("folder").into();
        let port = lines.find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let address = format!("http://127.0.0.1:{}", port.expect("chromedriver has a port"));
        Self { address, folder, browsers: AtomicU32::new(0), _guard: guard, _output: output }
    }
}

/// Returns the source of axe-core.
pub fn axe() -> &'static str {
    static AXE: LazyLock<String> = LazyLock::new(|| {
        let tools = TOOLS.as_ref().expect("browser");
        std::fs::read_to_string(tools.join("axe.min.js")).expect("axe-core")
    });
    &AXE
}

/// Starts a browser that visits a server, or returns `None` where there is no browser: the test is skipped.
pub async fn visit(origin: &str) -> Option<Tab> {
    let driver = tokio::task::spawn_blocking(|| DRIVER.as_ref()).await.expect("driver")?;
    let downloads = driver.folder.join(driver.browsers.fetch_add(1, Ordering::Relaxed).to_string());
    let options = json!({
        "binary": TOOLS.as_ref()?.join("chromium"),
        "args": ARGUMENTS,
        "prefs": {"download.default_directory": downloads},
    });
    let mut capabilities = Capabilities::new();
    capabilities.insert("browserName".to_owned(), json!("chrome"));
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    capabilities.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL", "performance": "ALL"}));
    let mut session = ClientBuilder::new(HttpConnector::new());
    let client = session.capabilities(capabilities).connect(&driver.address).await.expect("session");
    Some(Tab::new(client, origin, downloads).await)
}
