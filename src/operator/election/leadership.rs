//! Whether this operator leads. The work queue checks it before each reconcile.

use tokio::sync::watch;
use tokio::time::Instant;

/// A handle that reports whether this operator leads.
///
/// Leadership ends by itself at its deadline, even if the process was suspended in between.
#[derive(Clone, Debug)]
pub struct Leadership {
    /// When the leadership ends unless it is renewed. `None` without leader election.
    until: Option<watch::Receiver<Instant>>,
}

impl Leadership {
    /// Returns the leadership of an operator without leader election: it always leads.
    #[must_use]
    pub const fn without_election() -> Self {
        Self { until: None }
    }

    /// Returns a leadership that has not begun, and the sender that sets when it ends.
    #[must_use]
    pub fn with_election() -> (watch::Sender<Instant>, Self) {
        let (sender, until) = watch::channel(Instant::now());
        (sender, Self { until: Some(until) })
    }

    /// Returns whether this operator leads now.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.until.as_ref().is_none_or(|until| Instant::now() < *until.borrow())
    }

    /// Waits until this operator leads.
    pub async fn begins(&mut self) {
        let Some(until) = &mut self.until else { return };
        while Instant::now() >= *until.borrow_and_update() {
            if until.changed().await.is_err() {
                // The election has ended.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until this operator no longer leads.
    pub async fn ends(&mut self) {
        let Some(until) = &mut self.until else { return std::future::pending().await };
        loop {
            let end = *until.borrow_and_update();
            if Instant::now() >= end {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(end) => {}
                changed = until.changed() => if changed.is_err() {
                    tokio::time::sleep_until(end).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    const TERM: Duration = Duration::from_millis(40);

    /// Long enough for any test.
    const AGE: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn leadership_ends_by_itself_unless_it_is_renewed() {
        let (until, mut leadership) = Leadership::with_election();
        assert!(!leadership.is_leading());
        assert!(leadership.begins().now_or_never().is_none());
        let start = Instant::now();
        until.send_replace(start + TERM);
        let renewed = async {
            leadership.begins().await;
            until.send_replace(start + TERM * 2);
            leadership.ends().await;
        };
        renewed.await;
        assert!(start.elapsed() >= TERM * 2);
        assert!(!leadership.is_leading());
    }

    #[tokio::test]
    async fn leadership_that_is_taken_back_ends_at_once_and_may_begin_again() {
        let (until, mut leadership) = Leadership::with_election();
        until.send_replace(Instant::now() + AGE);
        assert!(leadership.begins().now_or_never().is_some());
        assert!(leadership.ends().now_or_never().is_none());
        until.send_replace(Instant::now());
        leadership.ends().await;
        until.send_replace(Instant::now() + AGE);
        leadership.begins().await;
        assert!(leadership.is_leading());
    }

    #[tokio::test]
    async fn leadership_ends_when_the_election_stops() {
        let (until, mut leadership) = Leadership::with_election();
        until.send_replace(Instant::now() + TERM);
        drop(until);
        leadership.ends().await;
        assert!(leadership.begins().now_or_never().is_none());
    }

    #[tokio::test]
    async fn an_operator_without_leader_election_always_leads() {
        let mut leadership = Leadership::without_election();
        assert!(leadership.begins().now_or_never().is_some());
        assert!(leadership.is_leading());
        assert!(leadership.ends().now_or_never().is_none());
    }
}
