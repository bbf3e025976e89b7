//! The rate limit of Events. Many Events of one account and reason become a few Events with their number.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flashgate_api::event::Event;
use flashgate_api::reason::Reason;
use flashgate_cluster::EventObject;

use crate::throttle::{Passed, Throttle};

/// Events of one account and reason that are published without delay. After that, one each period.
pub const BURST: u32 = 10;

/// Time between two Events of one account and reason once the burst is used up.
pub const PERIOD: Duration = Duration::from_mins(1);

/// Largest number of pairs of account and reason in memory, at about 100 bytes each.
const MOST_TOPICS: usize = 65_536;

/// Largest length of an Event's note, in characters. The API sets it.
const NOTE_LENGTH: usize = 1_024;

/// The key of a limit: namespace, account, reason.
type Topic = (String, String, Reason);

/// The rate limit of Events.
#[derive(Debug)]
pub struct EventLimit {
    throttle: Mutex<Throttle<Topic, Event<EventObject>>>,
}

impl Default for EventLimit {
    fn default() -> Self {
        Self { throttle: Mutex::new(Throttle::new(BURST, PERIOD, MOST_TOPICS)) }
    }
}

impl EventLimit {
    /// Returns the Event if it may be published now. Otherwise holds it back, and a later Event includes it in
    /// its number.
    pub fn offer(
        &self,
        account: &str,
        event: Event<EventObject>,
        uptime: Duration,
    ) -> Option<Event<EventObject>> {
        let topic = (event.object.version.namespace.clone(), account.to_owned(), event.reason);
        self.lock().offer(topic, event, uptime).map(summed)
    }

    /// Returns the held back Events that may be published now: the latest of each account and reason, with
    /// their number.
    pub fn due(&self, uptime: Duration) -> Vec<Event<EventObject>> {
        self.lock().due(uptime).into_iter().map(summed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Throttle<Topic, Event<EventObject>>> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the Event with the number of held back Events in its message.
fn summed(passed: Passed<Event<EventObject>>) -> Event<EventObject> {
    let Passed { mut item, more } = passed;
    if more > 0 {
        let suffix = format!(" (and {more} more like it)");
        let room = NOTE_LENGTH.saturating_sub(suffix.len());
        item.message = item.message.chars().take(room).chain(suffix.chars()).collect();
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;
    use flashgate_api::UsageReport;
    use flashgate_cluster::Version;

    fn event(number: u32, reason: Reason) -> Event<EventObject> {
        let version = Version {
            namespace: "tenant".to_owned(),
            name: format!("report-{number}"),
            uid: String::new(),
            resource_version: String::new(),
        };
        let message = format!("{number}: {}", "x".repeat(2_000));
        Event::warning(EventObject::new::<UsageReport>(version), reason, message)
    }

    #[test]
    fn a_thousand_refusals_become_a_few_events_with_their_number() {
        let limit = EventLimit::default();
        let at = Duration::from_secs;
        let published: Vec<Event<EventObject>> = (0..1_019)
            .filter_map(|number| limit.offer("acme", event(number, Reason::DuplicateWindow), at(1)))
            .collect();
        assert_eq!(published.len(), 10);
        assert!(published.iter().all(|event| !event.message.contains("more like it")));
        assert_eq!(limit.due(at(60)), []);
        let due = limit.due(at(61));
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].object.version.name.as_str(), due[0].message.len()), ("report-1018", NOTE_LENGTH));
        assert!(due[0].message.ends_with(" (and 1008 more like it)"), "{}", due[0].message);
        assert_eq!(limit.due(at(10_000)), []);
    }

    #[test]
    fn accounts_and_reasons_do_not_share_a_limit() {
        let limit = EventLimit::default();
        let mut published = 0;
        for reason in [Reason::UnknownRate, Reason::TooLate] {
            for account in ["acme", "wayne"] {
                let offers = (0..50)
                    .filter_map(|number| limit.offer(account, event(number, reason), Duration::from_secs(1)));
                published += offers.count();
            }
        }
        assert_eq!(published, 40);
    }
}
