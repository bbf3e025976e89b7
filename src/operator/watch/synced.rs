//! The state of each watch, for `/readyz`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time that a watch may fail before the operator is not ready. An API server restarts in less.
const FAILURE_LIMIT: Duration = Duration::from_secs(30);

/// The states of all watches.
#[derive(Clone, Debug, Default)]
pub struct Synced(Arc<Mutex<Vec<State>>>);

/// The state of one watch.
#[derive(Debug)]
struct State {
    /// The objects that it watches, such as `UsageReports`.
    what: String,
    /// Whether its list is complete.
    is_listed: bool,
    /// Whether the server's data went back since its last list.
    is_outdated: bool,
    /// The time of its first failure in a row, and the last error.
    failing: Option<(Instant, String)>,
}

impl Synced {
    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a watch that has not listed anything.
    #[must_use]
    pub fn add(&self, what: String) -> Progress {
        let mut states = self.lock();
        states.push(State { what, is_listed: false, is_outdated: false, failing: None });
        Progress { synced: self.clone(), index: states.len() - 1 }
    }

    /// Returns whether the list of every watch is complete.
    #[must_use]
    pub fn all(&self) -> bool {
        let states = self.lock();
        !states.is_empty() && states.iter().all(|state| state.is_listed)
    }

    /// Returns why the watches are not ready, or `None` if they are.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        self.unready_at(Instant::now())
    }

    fn unready_at(&self, instant: Instant) -> Option<String> {
        let states = self.lock();
        let failing = states.iter().find_map(|state| {
            let (since, error) = state.failing.as_ref()?;
            let age = instant.saturating_duration_since(*since);
            (age >= FAILURE_LIMIT).then(|| {
                format!("{} cannot be listed or watched for {} seconds: {error}", state.what, age.as_secs())
            })
        });
        if failing.is_some() {
            return failing;
        }
        let missing: Vec<&str> =
            states.iter().filter(|state| !state.is_listed).map(|state| state.what.as_str()).collect();
        if states.iter().any(|state| state.is_outdated) {
            let missing = missing.join(", ");
            return Some(format!(
                "the API server's data went back to an earlier state; listing {missing} again"
            ));
        }
        (states.is_empty() || !missing.is_empty())
            .then(|| format!("the first lists are under way: {}", missing.join(", ")))
    }
}

/// A handle with which one watch reports its state.
#[derive(Clone, Debug)]
pub struct Progress {
    synced: Synced,
    index: usize,
}

impl Progress {
    fn change<T: Default>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.synced.lock().get_mut(self.index).map(change).unwrap_or_default()
    }

    /// Records that the list is complete.
    pub fn listed(&self) {
        self.change(|state| (state.is_listed, state.is_outdated) = (true, false));
    }

    /// Records that the server's data went back, so the list is outdated.
    pub fn outdated(&self) {
        self.change(|state| (state.is_listed, state.is_outdated) = (false, true));
    }

    /// Records that a call succeeded. Returns whether calls had failed before.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.change(|state| state.failing.take().is_some())
    }

    /// Records that a call failed.
    pub fn failed(&self, error: String) {
        self.change(|state| {
            let since = state.failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
            state.failing = Some((since, error));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_not_ready_before_its_lists_and_says_which_are_missing() {
        let synced = Synced::default();
        assert!(synced.unready().is_some() && !synced.all());
        let (reports, packs) = (synced.add("UsageReports".to_owned()), synced.add("CreditPacks".to_owned()));
        packs.listed();
        assert_eq!(synced.unready().as_deref(), Some("the first lists are under way: UsageReports"));
        reports.listed();
        assert_eq!((synced.unready(), synced.all()), (None, true));
    }

    #[test]
    fn a_watch_that_fails_for_long_is_named_until_it_succeeds() {
        let synced = Synced::default();
        let reports = synced.add("UsageReports".to_owned());
        reports.listed();
        reports.failed("first".to_owned());
        reports.failed("forbidden".to_owned());
        let begin = Instant::now();
        assert_eq!(synced.unready_at(begin + FAILURE_LIMIT / 2), None);
        let reason = synced.unready_at(begin + FAILURE_LIMIT).unwrap_or_default();
        assert_eq!(reason, "UsageReports cannot be listed or watched for 30 seconds: forbidden");
        assert!(reports.succeeded() && !reports.succeeded());
        assert_eq!(synced.unready_at(begin + FAILURE_LIMIT), None);
    }

    #[test]
    fn an_operator_whose_data_went_back_is_not_ready_until_it_has_listed_again() {
        let synced = Synced::default();
        let reports = synced.add("UsageReports".to_owned());
        reports.listed();
        reports.outdated();
        let reason = synced.unready().unwrap_or_default();
        assert!(reason.contains("went back to an earlier state; listing UsageReports again"), "{reason}");
        reports.listed();
        assert_eq!(synced.unready(), None);
    }
}
