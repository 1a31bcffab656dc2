//! What keeps a replica from writing once it may no longer lead.

use std::{future::pending, time::Duration};

use tokio::{sync::watch, time::sleep_until};

use super::clock::Clock;

/// Until when this replica leads, for all who write. Clones see the same.
#[derive(Clone, Debug)]
pub struct Fence {
    until: watch::Receiver<Duration>,
    clock: Clock,
}

/// The other end of a [`Fence`], for whoever holds the Lease.
#[derive(Debug)]
pub struct FenceKeeper(watch::Sender<Duration>);

impl Fence {
    /// A fence that is closed until its keeper opens it.
    pub fn closed(clock: Clock) -> (FenceKeeper, Self) {
        let (sender, until) = watch::channel(Duration::ZERO);
        (FenceKeeper(sender), Self { until, clock })
    }

    /// What `write` brings; none where the fence is closed, or closes before that.
    pub async fn guard<T>(&self, write: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.closed_again() => None,
            written = write => Some(written),
        }
    }

    /// Waits until no write may go on. One that began in time may still wait for its connection.
    async fn closed_again(&self) {
        let mut until = self.until.clone();
        loop {
            let end = *until.borrow_and_update();
            if self.clock.elapsed() >= end {
                return;
            }
            let expiry = async {
                match self.clock.instant(end) {
                    Some(at) => sleep_until(at.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = expiry => {}
                changed = until.changed() => if changed.is_err() {
                    return;
                }
            }
        }
    }

    /// The next time until which this replica leads. Never, once the keeper is gone.
    pub async fn changed(&mut self) -> Duration {
        if self.until.changed().await.is_err() {
            pending::<()>().await;
        }
        *self.until.borrow_and_update()
    }
}

impl FenceKeeper {
    /// This replica leads until then.
    pub fn lead_until(&self, until: Duration) {
        self.0.send_if_modified(|known| {
            let is_new = *known != until;
            *known = until;
            is_new
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_fence_closes_by_itself_in_time() {
        let clock = Clock::start();
        let (keeper, mut fence) = Fence::closed(clock);
        assert_eq!(fence.guard(async {}).await, None);
        let until = clock.elapsed() + Duration::from_millis(200);
        keeper.lead_until(until);
        assert_eq!(fence.guard(async {}).await, Some(()));
        assert_eq!(fence.changed().await, until);
        fence.closed_again().await;
        assert!(clock.elapsed() >= until);
        assert_eq!(fence.guard(async {}).await, None);
    }

    #[tokio::test]
    async fn what_waits_for_the_end_follows_each_renewal() {
        let clock = Clock::start();
        let (keeper, fence) = Fence::closed(clock);
        keeper.lead_until(Duration::MAX);
        let ended = tokio::spawn(async move { fence.closed_again().await });
        tokio::task::yield_now().await;
        assert!(!ended.is_finished());
        keeper.lead_until(Duration::ZERO);
        ended.await.unwrap();
    }
}
