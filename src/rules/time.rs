//! Arithmetic on times as Kubernetes shows them.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// The second that `time` lies in. Kubernetes' times have whole seconds: a fraction would never
/// compare equal once it was written.
pub fn floor_to_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// How long from `since` to `now`; zero where the clock ran backwards.
pub fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
