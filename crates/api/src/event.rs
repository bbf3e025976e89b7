//! Events about objects of this product.

use crate::reason::Reason;

/// An Event. `O` identifies its object: a name while the operator decides on the Event, a reference with a
/// resourceVersion when it publishes the Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<O> {
    /// The object that the Event is about.
    pub object: O,
    /// Normal or warning.
    pub kind: EventKind,
    /// The reason in one word.
    pub reason: Reason,
    /// The explanation in a sentence.
    pub message: String,
}

/// The `type` of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// No action is needed.
    Normal,
    /// An administrator should act or investigate.
    Warning,
}

impl EventKind {
    /// Returns the `type` of the Event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

impl<O> Event<O> {
    /// Returns a normal Event.
    pub const fn normal(object: O, reason: Reason, message: String) -> Self {
        Self { object, kind: EventKind::Normal, reason, message }
    }

    /// Returns a warning Event.
    pub const fn warning(object: O, reason: Reason, message: String) -> Self {
        Self { object, kind: EventKind::Warning, reason, message }
    }

    /// Returns this Event with `object` as its object.
    pub fn about<P>(self, object: P) -> Event<P> {
        let Self { object: _, kind, reason, message } = self;
        Event { object, kind, reason, message }
    }
}
