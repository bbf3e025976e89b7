//! The open connections of a server, with their phases. It decides which one is closed for a new one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::phase::{CurrentPhase, Phase};
use super::{Cut, Limits};

/// The open connections.
pub struct Connections {
    limits: Limits,
    started: Instant,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next_id: u64,
    rows: HashMap<u64, Row>,
}

struct Row {
    address: IpAddr,
    /// A request changes it without the lock of the table.
    phase: Arc<CurrentPhase>,
    /// Closes the connection when it is dropped.
    _close: oneshot::Sender<()>,
}

/// Resolves when the connection must be closed.
pub type Closed = oneshot::Receiver<()>;

/// The outcome of a new connection.
pub struct Admission {
    /// The new connection, or `None` if it was refused.
    pub admitted: Option<(Connection, Closed)>,
    /// The connection that was closed for it, or the new one if it was refused.
    pub closed: Option<(Cut, IpAddr)>,
}

impl Connections {
    /// Returns a table without connections.
    pub fn new(limits: Limits) -> Self {
        Self { limits, started: Instant::now(), open: Mutex::default() }
    }

    /// Adds a connection from `address`. If there is no room, closes the one that has been idle the longest.
    pub fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Admission {
        let mut open = self.lock();
        let of_address = open.rows.values().filter(|row| row.address == address).count();
        let is_address_full = of_address >= self.limits.connections_per_address;
        let mut closed = None;
        if is_address_full || open.rows.len() >= self.limits.connections {
            let is_candidate = |row: &Row| !is_address_full || row.address == address;
            let Some(oldest) = open.close_oldest(is_candidate) else {
                return Admission { admitted: None, closed: Some((Cut::Refused, address)) };
            };
            closed = Some((Cut::Replaced, oldest.address));
        }
        let id = open.next_id;
        open.next_id = id.wrapping_add(1);
        let phase = Arc::new(CurrentPhase::new(now.duration_since(self.started)));
        let (close, closing) = oneshot::channel();
        open.rows.insert(id, Row { address, phase: Arc::clone(&phase), _close: close });
        let connection = Connection { id, phase, table: Arc::clone(self) };
        Admission { admitted: Some((connection, closing)), closed }
    }

    /// Closes the connections whose phase exceeds its time limit.
    pub fn close_overdue(&self, now: Instant) -> Vec<(Cut, IpAddr)> {
        let now = now.duration_since(self.started);
        let mut cuts = Vec::new();
        self.lock().rows.retain(|_, row| {
            let Some(seen) = row.phase.read() else { return false };
            let (limit, cut) = seen.phase.limit(&self.limits);
            let is_closed = now.saturating_sub(seen.since) >= limit && row.phase.close(seen);
            if is_closed {
                cuts.push((cut, row.address));
            }
            !is_closed
        });
        cuts
    }

    /// Closes the connections without a running request.
    pub fn close_unused(&self) {
        self.lock().rows.retain(|_, row| {
            let Some(seen) = row.phase.read() else { return false };
            !(matches!(seen.phase, Phase::Head | Phase::Idle) && row.phase.close(seen))
        });
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Closes the candidate that has been in its phase the longest, and returns it. Returns `None` if each of them has a
    /// request that is being handled.
    fn close_oldest(&mut self, is_candidate: impl Fn(&Row) -> bool) -> Option<Row> {
        loop {
            let candidates = self.rows.iter().filter(|(_, row)| is_candidate(row));
            let seen = candidates.filter_map(|(id, row)| Some((*id, row.phase.read()?)));
            let (id, seen) = seen
                .filter(|(_, seen)| seen.phase.can_be_replaced())
                .min_by_key(|(id, seen)| (seen.since, *id))?;
            // It may have begun to handle a request since it was read.
            if self.rows.get(&id).is_some_and(|row| row.phase.close(seen)) {
                return self.rows.remove(&id);
            }
        }
    }
}

/// A connection of the table. Dropping it removes it from the table.
pub struct Connection {
    id: u64,
    phase: Arc<CurrentPhase>,
    table: Arc<Connections>,
}

impl Connection {
    /// Begins a phase.
    pub fn enter(&self, phase: Phase) {
        self.phase.enter(phase, self.table.started.elapsed());
    }

    /// Begins the phase `to` if the connection is in `from`. The change from `Sending` to `Flushing` does not restart the
    /// time limit.
    pub fn advance(&self, from: Phase, to: Phase) {
        self.phase.advance(from, to, || self.table.started.elapsed());
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.table.lock().rows.remove(&self.id);
    }
}
