//! The fence keeps a replica from writing once it may no longer lead.

use std::{future::pending, time::Duration};

use tokio::{sync::watch, time::sleep_until};

use crate::clock::Clock;

/// Until when this replica leads. All writers check it. Clones share the time.
#[derive(Clone, Debug)]
pub struct Fence {
    until: watch::Receiver<Duration>,
    clock: Clock,
}

/// Opens and closes a [`Fence`]. The Lease's holder keeps it.
#[derive(Debug)]
pub struct FenceKeeper(watch::Sender<Duration>);

impl Fence {
    /// A fence that is closed until its keeper opens it.
    pub fn closed(clock: Clock) -> (FenceKeeper, Self) {
        let (sender, until) = watch::channel(Duration::ZERO);
        (FenceKeeper(sender), Self { until, clock })
    }

    /// Runs `write` and returns its result, or `None` if the fence is closed or closes meanwhile.
    pub async fn guard<T>(&self, write: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.wait_closed() => None,
            written = write => Some(written),
        }
    }

    /// Waits until the fence is closed. A write that began in time may still wait for a connection,
    /// so it is cancelled then.
    async fn wait_closed(&self) {
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

    /// Waits for a change of the time until which this replica leads. Waits forever once the keeper
    /// is gone.
    pub async fn changed(&mut self) -> Duration {
        if self.until.changed().await.is_err() {
            pending::<()>().await;
        }
        *self.until.borrow_and_update()
    }
}

impl FenceKeeper {
    /// Sets the time until which this replica leads.
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
    async fn the_fence_closes_by_itself_when_its_time_is_over() {
        let clock = Clock::start();
        let (keeper, mut fence) = Fence::closed(clock.clone());
        assert_eq!(fence.guard(async {}).await, None);
        let until = clock.elapsed() + Duration::from_millis(200);
        keeper.lead_until(until);
        assert_eq!(fence.guard(async {}).await, Some(()));
        assert_eq!(fence.changed().await, until);
        fence.wait_closed().await;
        assert!(clock.elapsed() >= until);
        assert_eq!(fence.guard(async {}).await, None);
    }

    #[tokio::test]
    async fn waiting_for_the_end_follows_each_renewal() {
        let clock = Clock::start();
        let (keeper, fence) = Fence::closed(clock.clone());
        keeper.lead_until(Duration::MAX);
        let ended = tokio::spawn(async move { fence.wait_closed().await });
        tokio::task::yield_now().await;
        assert!(!ended.is_finished());
        keeper.lead_until(Duration::ZERO);
        ended.await.unwrap();
    }
}
