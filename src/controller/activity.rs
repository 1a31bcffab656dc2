//! Whether many statuses are being written: what is less urgent waits meanwhile.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// How long nothing must have been written for it to be quiet.
const QUIET: Duration = Duration::from_millis(100);
/// So many beginnings and ends of writes, each soon after another, hold nobody up: who waits may be
/// killed meanwhile.
const FEW: u32 = 16;

/// When statuses were written of late. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    /// How many came, each within [`QUIET`] of the one before.
    run: u32,
    over: bool,
}

impl Activity {
    /// A write begins or ends.
    pub fn happens(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let goes_on = state.last.is_some_and(|last| now - last < QUIET);
        state.run = if goes_on {
            state.run.saturating_add(1)
        } else {
            1
        };
        state.last = Some(now);
    }

    /// From now on nobody waits.
    pub fn is_over(&self) {
        self.state().over = true;
    }

    /// Waits, when much was written of late, until nothing was for a while; but not beyond
    /// `deadline`.
    pub async fn until_quiet(&self, deadline: Instant) {
        while let Some(pause) = self.pause(deadline) {
            sleep(pause).await;
        }
    }

    fn pause(&self, deadline: Instant) -> Option<Duration> {
        let state = self.state();
        let quiet_at = (state.last? + QUIET).min(deadline);
        let pause = quiet_at.saturating_duration_since(Instant::now());
        (state.run > FEW && !state.over && !pause.is_zero()).then_some(pause)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happens_often(activity: &Activity) {
        for _ in 0..=FEW {
            activity.happens();
        }
    }

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
        happens_often(&activity);
        assert!(waited(&activity, long).await >= QUIET);
        assert_eq!(waited(&activity, long).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_writes_hold_nobody_up() {
        let activity = Activity::default();
        for _ in 0..10 {
            activity.happens();
            activity.happens();
            assert_eq!(waited(&activity, QUIET).await, Duration::ZERO);
            sleep(QUIET).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn writes_without_end_hold_nobody_up_for_ever() {
        let activity = Activity::default();
        let writes = async {
            loop {
                happens_often(&activity);
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
        happens_often(&activity);
        activity.is_over();
        assert_eq!(waited(&activity, long).await, Duration::ZERO);
    }
}
