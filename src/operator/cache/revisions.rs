//! The highest resource version that was seen. If the server's latest version is lower, its data went back to
//! an earlier state, for example because etcd was restored from a snapshot. A watch that resumes from a version
//! that the server has not reached delivers nothing. It reports no error until the server passes that version.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The versions that were seen up to some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Number of times that the server's data went back. Versions of different epochs cannot be compared.
    pub epoch: u64,
    /// The highest version of this epoch.
    highest: u128,
}

/// The result of comparing the server's latest version with the versions that were seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// There is no sign that the data went back.
    WentOn,
    /// The data went back.
    WentBack,
    /// The data went back, and an earlier comparison already found it.
    KnownToHaveGoneBack,
}

/// The highest version that was seen of the server's data.
#[derive(Debug)]
pub struct Revisions {
    seen: Mutex<Seen>,
    epoch: watch::Sender<u64>,
}

impl Default for Revisions {
    fn default() -> Self {
        Self { seen: Mutex::default(), epoch: watch::Sender::new(0) }
    }
}

impl Revisions {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the versions that were seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        *self.lock()
    }

    /// Returns a receiver of the epoch, which rises each time the server's data go back.
    #[must_use]
    pub fn epochs(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// Records a version that a list, an object or a bookmark of `epoch` has.
    pub fn note(&self, epoch: u64, resource_version: &str) {
        let mut seen = self.lock();
        if seen.epoch == epoch {
            seen.highest = seen.highest.max(parse(resource_version).unwrap_or_default());
        }
    }

    /// Records the version of a reply that the server just sent.
    pub fn note_latest(&self, resource_version: &str) {
        let epoch = self.lock().epoch;
        self.note(epoch, resource_version);
    }

    /// Compares `resource_version`, the server's latest, with the versions that were seen at `before`. The
    /// caller must take `before` before it sends the request. Begins another epoch if the data went back.
    pub(super) fn compare(&self, before: Seen, resource_version: &str) -> Comparison {
        let Some(latest) = parse(resource_version).filter(|latest| *latest < before.highest) else {
            return Comparison::WentOn;
        };
        let mut seen = self.lock();
        if seen.epoch != before.epoch {
            return Comparison::KnownToHaveGoneBack;
        }
        *seen = Seen { epoch: before.epoch + 1, highest: latest };
        self.epoch.send_replace(seen.epoch);
        Comparison::WentBack
    }
}

/// Returns a resource version as a number, or `None` if it is not a number. Kubernetes defines resource
/// versions as numbers that can be compared.
#[must_use]
pub fn parse(resource_version: &str) -> Option<u128> {
    resource_version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latest_version_below_one_that_was_seen_before_proves_that_the_data_went_back() {
        let revisions = Revisions::default();
        let epochs = revisions.epochs();
        revisions.note(0, "100");
        let before = revisions.seen();
        revisions.note(0, "120");
        let answered_before = revisions.compare(before, "110");
        assert_eq!(
            answered_before,
            Comparison::WentOn,
            "the server may have answered before 120 was written"
        );
        assert_eq!(revisions.compare(revisions.seen(), "120"), Comparison::WentOn);
        assert_eq!(revisions.compare(revisions.seen(), "not a number"), Comparison::WentOn);
        let before = revisions.seen();
        assert_eq!(revisions.compare(before, "80"), Comparison::WentBack);
        assert_eq!(*epochs.borrow(), 1);
        assert_eq!(revisions.compare(before, "80"), Comparison::KnownToHaveGoneBack);
        assert_eq!(revisions.seen().epoch, 1);
    }

    #[test]
    fn versions_from_before_the_data_went_back_no_longer_count() {
        let revisions = Revisions::default();
        revisions.note(0, "100");
        assert_eq!(revisions.compare(revisions.seen(), "80"), Comparison::WentBack);
        revisions.note(0, "130");
        assert_eq!(revisions.compare(revisions.seen(), "81"), Comparison::WentOn);
        revisions.note(1, "90");
        assert_eq!(revisions.compare(revisions.seen(), "89"), Comparison::WentBack);
    }
}
