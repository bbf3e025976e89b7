//! Empty stores: a file of SQLite, or a database of a private PostgreSQL.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use flashgate_history::{HistoryUrl, Store};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tempfile::TempDir;

/// An empty store, with its tables.
pub struct Place {
    pub url: HistoryUrl,
    pub store: Store,
    _folder: Option<TempDir>,
}

impl Place {
    /// Executes a statement that the library does not have.
    pub async fn execute(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.url {
            HistoryUrl::Sqlite(path) => {
                let url = format!("sqlite:{}", path.display());
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                connection.execute(sql).await.unwrap().rows_affected()
            }
            HistoryUrl::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
                connection.execute(sql).await.unwrap().rows_affected()
            }
            HistoryUrl::None => unreachable!("a place has a store"),
        }
    }

    pub const fn is_sqlite(&self) -> bool {
        matches!(self.url, HistoryUrl::Sqlite(_))
    }
}

/// Returns a place without tables.
pub fn sqlite_without_tables() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let url = HistoryUrl::Sqlite(folder.path().join("history.db"));
    let store = Store::open(&url).unwrap().unwrap();
    Place { url, store, _folder: Some(folder) }
}

pub async fn sqlite() -> Place {
    let place = sqlite_without_tables();
    place.store.migrate().await.unwrap();
    place
}

/// Returns a place without tables in the PostgreSQL that all tests share.
pub async fn postgres_without_tables() -> Place {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start).database().await
}

pub async fn postgres() -> Place {
    let place = postgres_without_tables().await;
    place.store.migrate().await.unwrap();
    place
}

/// A private PostgreSQL. The script that runs it sees the end of its input when this process ends.
pub struct Server {
    _script: Child,
    folder: String,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Server {
    pub fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres-server.sh");
        let mut child = Command::new(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script starts");
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let folder = line(&mut output);
        assert!(!folder.is_empty(), "PostgreSQL did not start");
        Self { _script: child, folder, pipes: Mutex::new((input, output)) }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://history:unused@localhost/{database}?host={}", self.folder)
    }

    /// Creates a database.
    pub async fn database(&self) -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut connection = sqlx::PgConnection::connect(&self.url("postgres")).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        let url: HistoryUrl = self.url(&name).parse().unwrap();
        let store = Store::open(&url).unwrap().unwrap();
        Place { url, store, _folder: None }
    }

    /// Stops the server (`stop`) or starts it again (`start`), or suspends (`hang`) or resumes (`resume`) its processes.
    pub fn order(&self, order: &str) {
        let mut pipes = self.pipes.lock().unwrap();
        let (input, output) = &mut *pipes;
        writeln!(input, "{order}").unwrap();
        let done = line(output);
        assert!(done.starts_with(order), "{order}: {done}");
    }
}

fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}
