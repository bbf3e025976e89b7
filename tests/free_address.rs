//! Addresses for servers that cannot choose a port themselves.

use std::net::{SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// The ports to choose from. The system gives none of them to outgoing connections, nor to servers that ask for port 0.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Returns an address without a listener. No other test of this process gets the same one.
pub fn free_address() -> SocketAddr {
    // Processes that test at the same time begin at different ports.
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        let process = std::process::id() % u32::from(u16::MAX);
        AtomicU16::new(u16::try_from(process).unwrap_or_default().wrapping_mul(64))
    });
    let count = PORTS.end - PORTS.start;
    (0..count)
        .map(|_| PORTS.start + NEXT.fetch_add(1, Ordering::Relaxed) % count)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a free port")
}
