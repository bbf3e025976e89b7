//! A server of another origin, as an attacker runs it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread;

/// Starts a server that answers every request with `body`, and returns its port. It ends with the test process.
pub fn start(body: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let port = listener.local_addr().expect("address").port();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let answer = answer.clone();
            // A browser opens connections that it does not use.
            thread::spawn(move || {
                let head = BufReader::new(&stream).lines().map_while(Result::ok);
                if head.take_while(|line| !line.is_empty()).count() > 0 {
                    drop(stream.write_all(answer.as_bytes()));
                }
            });
        }
    });
    port
}
