//! The faults of a request between an operator and the API server.

use std::fmt;
use std::time::Duration;

/// A fault of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request takes effect and the connection is cut before the reply.
    LoseReply,
    /// The server replies with this status at once. The request has no effect.
    Refuse(u16),
    /// The request takes effect, but the reply has this status.
    WrongStatus(u16),
    /// The request is sent twice. The operator gets the second reply.
    Resend,
    /// The connection is cut. The request arrives after later requests.
    ArriveLate,
    /// The request is held until there is no other traffic. Then it takes effect.
    Hold,
    /// The request is delayed.
    Delay,
    /// The connection is cut before the request has an effect.
    Cut,
    /// There is no reply.
    NoReply,
    /// The operator is killed after the server has processed the request, before the reply.
    KillBeforeReply,
    /// The operator is killed before the request has an effect.
    KillBeforeSending,
    /// The operator is killed right after the reply.
    KillAfterReply,
}

impl Fault {
    /// The faults of writes.
    pub const OF_WRITES: [Self; 11] = [
        Self::LoseReply,
        Self::Refuse(409),
        Self::Refuse(429),
        Self::Refuse(503),
        Self::Refuse(504),
        Self::WrongStatus(504),
        Self::Resend,
        Self::ArriveLate,
        Self::Delay,
        Self::Cut,
        Self::NoReply,
    ];

    /// The faults of reads.
    pub const OF_READS: [Self; 4] = [Self::LoseReply, Self::Refuse(503), Self::Delay, Self::NoReply];

    /// Length of a delay. Other requests overtake the delayed one, and no timeout expires.
    pub const DELAY: Duration = Duration::from_millis(700);
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoseReply => formatter.write_str("reply-lost"),
            Self::Refuse(code) => write!(formatter, "answered-{code}"),
            Self::WrongStatus(code) => write!(formatter, "done-and-answered-{code}"),
            Self::Resend => formatter.write_str("sent-twice"),
            Self::ArriveLate => formatter.write_str("arrives-late"),
            Self::Hold => formatter.write_str("held"),
            Self::Delay => formatter.write_str("delayed"),
            Self::Cut => formatter.write_str("cut"),
            Self::NoReply => formatter.write_str("swallowed"),
            Self::KillBeforeReply => formatter.write_str("killed-after-sending"),
            Self::KillBeforeSending => formatter.write_str("killed-before-sending"),
            Self::KillAfterReply => formatter.write_str("killed-after-reply"),
        }
    }
}
