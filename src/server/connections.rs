//! The open connections of a server, with their phases. It decides which one is closed for a new one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Cut, Limits};

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the head of a request.
    Head,
    /// Waiting for the body of a request.
    Body,
    /// Handling the request.
    Handling,
    /// Producing and sending the answer.
    Sending,
    /// The answer is complete, and the rest of it is being sent.
    Flushing,
    /// The answer was sent, and the client may send another request.
    Idle,
}

impl Phase {
    /// Returns whether a connection in this phase may be closed for a new one: its request is incomplete or
    /// answered.
    const fn can_be_replaced(self) -> bool {
        !matches!(self, Self::Handling)
    }

    /// Returns the time limit of the phase, and the reason when it is exceeded.
    const fn limit(self, limits: &Limits) -> (Duration, Cut) {
        match self {
            Self::Head => (limits.head, Cut::HeadTimeout),
            Self::Body => (limits.body, Cut::BodyTimeout),
            Self::Handling => (limits.handling, Cut::HandlingTimeout),
            Self::Sending | Self::Flushing => (limits.sending, Cut::SendingTimeout),
            Self::Idle => (limits.idle, Cut::IdleTimeout),
        }
    }
}

/// The open connections.
pub struct Connections {
    limits: Limits,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next_id: u64,
    rows: HashMap<u64, Row>,
}

struct Row {
    address: IpAddr,
    phase: Phase,
    since: Instant,
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
        Self { limits, open: Mutex::default() }
    }

    /// Adds a connection from `address`. If there is no room, closes the one that has been idle the longest.
    pub fn admit(self: &Arc<Self>, address: IpAddr, now: Instant) -> Admission {
        let mut open = self.lock();
        let of_address = open.rows.values().filter(|row| row.address == address).count();
        let is_address_full = of_address >= self.limits.connections_per_address;
        let mut closed = None;
        if is_address_full || open.rows.len() >= self.limits.connections {
            let candidates = open.rows.iter().filter(|(_, row)| !is_address_full || row.address == address);
            let oldest = candidates
                .filter(|(_, row)| row.phase.can_be_replaced())
                .min_by_key(|(id, row)| (row.since, **id));
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                return Admission { admitted: None, closed: Some((Cut::Refused, address)) };
            };
            closed = open.rows.remove(&oldest).map(|row| (Cut::Replaced, row.address));
        }
        let id = open.next_id;
        open.next_id = id.wrapping_add(1);
        let (close, closing) = oneshot::channel();
        open.rows.insert(id, Row { address, phase: Phase::Head, since: now, _close: close });
        let connection = Connection { id, table: Arc::clone(self) };
        Admission { admitted: Some((connection, closing)), closed }
    }

    /// Closes the connections whose phase exceeds its time limit.
    pub fn close_overdue(&self, now: Instant) -> Vec<(Cut, IpAddr)> {
        let mut cuts = Vec::new();
        self.lock().rows.retain(|_, row| {
            let (limit, cut) = row.phase.limit(&self.limits);
            let is_overdue = now.duration_since(row.since) >= limit;
            if is_overdue {
                cuts.push((cut, row.address));
            }
            !is_overdue
        });
        cuts
    }

    /// Closes the connections without a running request.
    pub fn close_unused(&self) {
        self.lock().rows.retain(|_, row| !matches!(row.phase, Phase::Head | Phase::Idle));
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection of the table. Dropping it removes it from the table.
pub struct Connection {
    id: u64,
    table: Arc<Connections>,
}

impl Connection {
    /// Begins a phase.
    pub fn enter(&self, phase: Phase) {
        if let Some(row) = self.table.lock().rows.get_mut(&self.id) {
            (row.phase, row.since) = (phase, Instant::now());
        }
    }

    /// Begins the phase `to` if the connection is in `from`. The change from `Sending` to `Flushing` does not
    /// restart the time limit.
    pub fn advance(&self, from: Phase, to: Phase) {
        if let Some(row) = self.table.lock().rows.get_mut(&self.id)
            && row.phase == from
        {
            row.phase = to;
            if to != Phase::Flushing {
                row.since = Instant::now();
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.table.lock().rows.remove(&self.id);
    }
}
