//! The signals that stop a server.

use tokio::signal::unix::{SignalKind, signal};

/// Returns a future that completes on SIGTERM or SIGINT. `last` is what still ends before the process does.
///
/// # Errors
/// When the signals cannot be received.
pub fn stop_signal(last: &'static str) -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping after {last}"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping after {last}"),
        }
    })
}
