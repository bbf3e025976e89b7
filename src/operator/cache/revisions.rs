//! How far the server's data are: the highest resource version that was seen. A latest version below it proves that the
//! data went back, as they do when etcd is restored from a snapshot. A watch that resumes from a later version than the
//! server has brings nothing, without any error, until the server has passed that version.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// What was seen by some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// How often the server's data have gone back. Versions of different epochs cannot be compared.
    pub epoch: u64,
    /// The highest version of this epoch.
    highest: u128,
}

/// How the server's latest version compares with what was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Nothing speaks against the data having only gone on.
    WentOn,
    /// The data went back.
    WentBack,
    /// The data went back, and that was found out before.
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

    /// Returns what was seen by now.
    #[must_use]
    pub fn seen(&self) -> Seen {
        *self.lock()
    }

    /// Returns a receiver of the epoch, which rises each time the server's data go back.
    #[must_use]
    pub fn epochs(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }

    /// Takes note of a version that a list, an object or a bookmark of `epoch` carries.
    pub fn note(&self, epoch: u64, resource_version: &str) {
        let mut seen = self.lock();
        if seen.epoch == epoch {
            seen.highest = seen.highest.max(parse(resource_version).unwrap_or_default());
        }
    }

    /// Takes note of a version that a reply of the server just carried.
    pub fn note_latest(&self, resource_version: &str) {
        let epoch = self.lock().epoch;
        self.note(epoch, resource_version);
    }

    /// Compares `resource_version`, the server's latest, with what was seen by `before`, which must have been taken before
    /// the server was asked. Begins another epoch when the data went back.
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

/// Returns the number that a resource version is. Kubernetes defines them as numbers that can be compared; what is not a
/// number is compared with nothing.
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
