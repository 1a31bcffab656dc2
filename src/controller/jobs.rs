//! Work that goes on beside the loop. Whatever becomes of it, its end is an event.

use std::{panic::AssertUnwindSafe, time::Instant};

use futures::FutureExt;
use tokio::task::JoinSet;
use tracing::error;

use crate::core::Event;

/// Jobs under way.
#[derive(Default)]
pub struct Jobs(JoinSet<Ended>);

/// A job's end.
pub struct Ended {
    /// What it brought.
    pub event: Event,
    /// When what it belongs to began.
    pub began: Instant,
}

impl Jobs {
    /// Starts a job. If it panics, that is one object's trouble: it ends as `otherwise` says.
    pub fn spawn(
        &mut self,
        began: Instant,
        job: impl Future<Output = Event> + Send + 'static,
        otherwise: impl FnOnce() -> Event + Send + 'static,
    ) {
        // In its place at once: it is large, and would be copied from hand to hand.
        let job = Box::pin(AssertUnwindSafe(job).catch_unwind());
        self.0.spawn(async move {
            let event = job.await.unwrap_or_else(|_| {
                let event = otherwise();
                error!(?event, "a fault of this program; please report it");
                event
            });
            Ended { event, began }
        });
    }

    /// The next that ends; waits for ever where there is none.
    pub async fn next(&mut self) -> Ended {
        loop {
            match self.0.join_next().await {
                Some(Ok(ended)) => return ended,
                Some(Err(_cancelled)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Drops all: their ends are nobody's news.
    pub fn abandon(&mut self) {
        self.0 = JoinSet::new();
    }
}
