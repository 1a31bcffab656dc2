//! Requests that go on beside the loop. Whatever becomes of one, its end is an input.

use std::{panic::AssertUnwindSafe, time::Instant};

use futures::FutureExt;
use tokio::task::JoinSet;
use tracing::{Instrument, Span, error};

use crate::scheduler::Input;

/// Jobs under way.
#[derive(Default)]
pub struct Jobs(JoinSet<Ended>);

/// A job's end.
pub struct Ended {
    /// What it brought.
    pub input: Input,
    /// When it began.
    pub began: Instant,
    /// The term in which it began.
    pub term: u64,
}

impl Jobs {
    /// Starts a job. Spans are of debug level, for one that is on costs more than all else that the loop
    /// does about an object: lines above that level name the object themselves. If it panics, that is one object's trouble: it ends as `otherwise` says.
    pub fn spawn(
        &mut self,
        term: u64,
        span: Span,
        job: impl Future<Output = Input> + Send + 'static,
        otherwise: impl FnOnce() -> Input + Send + 'static,
    ) {
        let began = Instant::now();
        // A job is large: boxed at once, it isn't copied on its way to the runtime.
        let job = Box::pin(AssertUnwindSafe(job).catch_unwind()).instrument(span);
        self.0.spawn(async move {
            let input = job.await.unwrap_or_else(|_| {
                let input = otherwise();
                error!(?input, "a fault of this program; please report it");
                input
            });
            Ended { input, began, term }
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

    /// Drops all.
    pub fn abandon(&mut self) {
        self.0 = JoinSet::new();
    }
}
