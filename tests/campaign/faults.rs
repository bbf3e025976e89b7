//! What can befall an exchange between an operator and the server.

use std::fmt;
use std::time::Duration;

/// A fault of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It takes effect and the connection is cut before the reply.
    LoseReply,
    /// The server answers with this status at once, and nothing takes effect.
    Refuse(u16),
    /// It takes effect and is answered with this status all the same.
    Belie(u16),
    /// It is sent twice; the reply is the second one.
    Resend,
    /// The connection is cut, and the request arrives after others that were sent later.
    ArriveLate,
    /// It is held until nothing else goes on, and then takes effect.
    Hold,
    /// It takes its time.
    Delay,
    /// The connection is cut before anything took effect.
    Cut,
    /// Nothing ever answers.
    Swallow,
    /// The operator is killed when the server has taken it up and before the reply.
    KillBeforeReply,
    /// The operator is killed before anything took effect.
    KillBeforeSending,
    /// The operator is killed right after the reply.
    KillAfterReply,
}

impl Fault {
    /// What befalls writes, one at a time.
    pub const OF_WRITES: [Self; 11] = [
        Self::LoseReply,
        Self::Refuse(409),
        Self::Refuse(429),
        Self::Refuse(503),
        Self::Refuse(504),
        Self::Belie(504),
        Self::Resend,
        Self::ArriveLate,
        Self::Delay,
        Self::Cut,
        Self::Swallow,
    ];

    /// What befalls reads.
    pub const OF_READS: [Self; 4] = [Self::LoseReply, Self::Refuse(503), Self::Delay, Self::Swallow];

    /// How long something takes that takes its time: other things come first, and no limit is met.
    pub const DELAY: Duration = Duration::from_millis(700);
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoseReply => formatter.write_str("reply-lost"),
            Self::Refuse(code) => write!(formatter, "answered-{code}"),
            Self::Belie(code) => write!(formatter, "done-and-answered-{code}"),
            Self::Resend => formatter.write_str("sent-twice"),
            Self::ArriveLate => formatter.write_str("arrives-late"),
            Self::Hold => formatter.write_str("held"),
            Self::Delay => formatter.write_str("delayed"),
            Self::Cut => formatter.write_str("cut"),
            Self::Swallow => formatter.write_str("swallowed"),
            Self::KillBeforeReply => formatter.write_str("killed-after-sending"),
            Self::KillBeforeSending => formatter.write_str("killed-before-sending"),
            Self::KillAfterReply => formatter.write_str("killed-after-reply"),
        }
    }
}
