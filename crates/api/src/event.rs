//! Events about objects of this product.

use crate::reason::Reason;

/// An Event. Its object is an `O`: a name where the Event is decided on, an object at a version where it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<O> {
    /// The object that the Event is about.
    pub object: O,
    /// Whether someone should look.
    pub kind: EventKind,
    /// The reason, in one word.
    pub reason: Reason,
    /// The reason, in a sentence.
    pub message: String,
}

/// Whether someone should look: the `type` of an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// All is well.
    Normal,
    /// Someone should look.
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
    /// Returns an Event about something that went as it should.
    pub const fn normal(object: O, reason: Reason, message: String) -> Self {
        Self { object, kind: EventKind::Normal, reason, message }
    }

    /// Returns an Event about something that someone should look at.
    pub const fn warning(object: O, reason: Reason, message: String) -> Self {
        Self { object, kind: EventKind::Warning, reason, message }
    }

    /// Returns the same Event about `object`.
    pub fn about<P>(self, object: P) -> Event<P> {
        let Self { object: _, kind, reason, message } = self;
        Event { object, kind, reason, message }
    }
}
