//! Whether statuses are being written: what is less urgent waits meanwhile.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// How long nothing must have been written for it to be quiet.
const QUIET: Duration = Duration::from_millis(100);

/// When a status was last written. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    over: bool,
}

impl Activity {
    /// A write begins or ends.
    pub fn happens(&self) {
        self.state().last = Some(Instant::now());
    }

    /// From now on nobody waits.
    pub fn is_over(&self) {
        self.state().over = true;
    }

    /// Waits until nothing was written for a while, but not beyond `deadline`.
    pub async fn until_quiet(&self, deadline: Instant) {
        while let Some(pause) = self.pause(deadline) {
            sleep(pause).await;
        }
    }

    fn pause(&self, deadline: Instant) -> Option<Duration> {
        let state = self.state();
        let quiet_at = (state.last? + QUIET).min(deadline);
        let pause = quiet_at.saturating_duration_since(Instant::now());
        (!state.over && !pause.is_zero()).then_some(pause)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waited(activity: &Activity, at_most: Duration) -> Duration {
        let begin = Instant::now();
        activity.until_quiet(begin + at_most).await;
        begin.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_quiet_a_while_after_the_last_write() {
        let activity = Activity::default();
        let long = Duration::from_secs(10);
        assert_eq!(waited(&activity, long).await, Duration::ZERO);
        activity.happens();
        assert!(waited(&activity, long).await >= QUIET);
        assert_eq!(waited(&activity, long).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn writes_without_end_hold_nobody_up_for_ever() {
        let activity = Activity::default();
        let writes = async {
            loop {
                activity.happens();
                sleep(QUIET / 2).await;
            }
        };
        let long = Duration::from_secs(10);
        let took = tokio::select! {
            biased;
            () = writes => unreachable!(),
            took = waited(&activity, long) => took,
        };
        assert!(took >= long && took < long + QUIET, "{took:?}");
        activity.happens();
        activity.is_over();
        assert_eq!(waited(&activity, long).await, Duration::ZERO);
    }
}
