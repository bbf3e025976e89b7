//! A private server of PostgreSQL, as a process.

use std::fs;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::free_address::free_address;
use crate::world::{GUARD, made_by, wait_until};

/// Folder with initdb, postgres, psql, `pg_dump` and `pg_restore`.
static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| made_by("postgres.sh"));

/// Number of servers that this process started.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Password of the superuser.
const PASSWORD: &str = "the-password-of-the-tests";

/// User that runs the server if the tests run as root, because PostgreSQL refuses to.
const UNPRIVILEGED: &str = "65534";

/// A server without databases of its own. It ends when this value is dropped, or with the test process.
pub struct Postgres {
    /// The running server, until it is stopped.
    guard: Option<Child>,
    folder: PathBuf,
    address: SocketAddr,
}

impl Postgres {
    /// Starts a server, and waits until it accepts connections.
    pub async fn start() -> Self {
        // Another user must be able to enter the folder, so it is not below that of the checkout.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("flashgate-postgres-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("folder");
        let password = folder.join("password");
        fs::write(&password, PASSWORD).expect("password");
        let is_root = run("id", &["-u"]) == "0";
        if is_root {
            let owner = format!("{UNPRIVILEGED}:{UNPRIVILEGED}");
            run("chown", &["--recursive", &owner, &folder.display().to_string()]);
        }
        let initialize = as_user(is_root, "initdb")
            .args([
                "--username=postgres",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .arg(format!("--pgdata={}", folder.join("data").display()))
            .arg(format!("--pwfile={}", password.display()))
            .output()
            .expect("initdb");
        assert!(initialize.status.success(), "{}", String::from_utf8_lossy(&initialize.stderr));
        let mut postgres = Self { guard: None, folder, address: free_address() };
        postgres.run().await;
        postgres
    }

    /// Runs the server, and waits until it accepts connections. It continues with the data of a server that was stopped.
    pub async fn run(&mut self) {
        let server = as_user(run("id", &["-u"]) == "0", "postgres");
        let mut guard = Command::new("bash")
            .args(["-c", GUARD, "guard"])
            .arg(server.get_program())
            .args(server.get_args())
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(["-p", &self.address.port().to_string()])
            .args(["-c", &format!("unix_socket_directories={}", self.folder.display())])
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.folder.join("log")).expect("log"))
            .spawn()
            .expect("postgres");
        let mut process = String::new();
        let output = guard.stdout.take().expect("output");
        std::io::BufReader::new(output).read_line(&mut process).expect("process");
        self.guard = Some(guard);
        wait_until("PostgreSQL accepts connections", async || self.answers()).await;
    }

    /// Kills the server. Its data stay.
    pub fn stop(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        drop(guard.stdin.take());
        guard.wait().expect("guard");
    }

    /// Returns the folder with psql, `pg_dump` and `pg_restore`.
    pub fn programs() -> &'static Path {
        &PROGRAMS
    }

    /// Returns its host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Returns the URL of its superuser.
    pub fn admin_url(&self) -> String {
        format!("postgres://postgres:{PASSWORD}@{}/postgres", self.address)
    }

    fn answers(&self) -> bool {
        let mut psql = Command::new(PROGRAMS.join("psql"));
        psql.args([&self.admin_url(), "--command", "SELECT 1"]);
        psql.output().expect("psql").status.success()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        // Its processes can still write files.
        let _is_left = fs::remove_dir_all(&self.folder).is_err();
    }
}

/// Returns a command that runs a program of PostgreSQL as an unprivileged user.
fn as_user(is_root: bool, program: &str) -> Command {
    let program = PROGRAMS.join(program);
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let user =
        [format!("--reuid={UNPRIVILEGED}"), format!("--regid={UNPRIVILEGED}"), "--clear-groups".to_owned()];
    command.args(user).arg(program).current_dir(std::env::temp_dir());
    command
}

/// Runs a program, and returns its output. Asserts success.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
