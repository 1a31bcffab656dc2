//! What keeps a replica from writing once it may no longer lead.

use std::time::Duration;

use tokio::sync::watch;

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

    /// Whether a write may start now.
    pub fn is_open(&self) -> bool {
        self.clock.elapsed() < *self.until.borrow()
    }

    /// The next time until which this replica leads. Never, once the keeper is gone.
    pub async fn changed(&mut self) -> Duration {
        if self.until.changed().await.is_err() {
            std::future::pending::<()>().await;
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
        assert!(!fence.is_open());
        let until = clock.elapsed() + Duration::from_millis(200);
        keeper.lead_until(until);
        assert!(fence.is_open());
        assert_eq!(fence.changed().await, until);
        while clock.elapsed() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!fence.is_open());
    }
}
