//! A connection that is kept for many checks, as a proxy keeps it.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A connection that sends checks, each after the answer to the one before.
pub struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Connection {
    /// Connects to a gate, or to a server that answers like one.
    pub async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::new(stream), line: String::new() }
    }

    /// Asks about an account, which must be open.
    pub async fn check(&mut self, account: &str) {
        let request = format!("GET /check HTTP/1.1\r\nHost: gate\r\nx-flashgate-account: {account}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).await.expect("sent");
        self.read_line().await;
        assert!(self.line.starts_with("HTTP/1.1 200"), "{}", self.line);
        let mut length = 0;
        while self.read_line().await > 2 {
            if let Some(value) = self.line.strip_prefix("content-length: ") {
                length = value.trim().parse().expect("a length");
            }
        }
        self.stream.read_exact(&mut vec![0; length]).await.expect("a body");
    }

    async fn read_line(&mut self) -> usize {
        self.line.clear();
        self.stream.read_line(&mut self.line).await.expect("a line")
    }
}
