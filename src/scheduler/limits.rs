//! How much may be under way at the same time.

/// How many calls of the task API may be made.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// Calls a second in each queue.
    pub requests_per_second: f64,
    /// Calls under way at the same time in each queue.
    pub concurrency: usize,
    /// Calls under way at the same time in all queues together.
    pub max_calls: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            requests_per_second: 20.0,
            concurrency: 32,
            max_calls: 256,
        }
    }
}

/// How many requests to the API server may be under way at the same time. Namespaces share them:
/// one alone has half of each.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    /// First attempts at writes of status.
    pub writes: usize,
    /// Other attempts.
    pub retries: usize,
    /// Deletions.
    pub deletions: usize,
    /// Creations of objects for found tasks.
    pub creations: usize,
    /// Reads of Secrets.
    pub secrets: usize,
    /// Answers that may wait to be written. Where a namespace holds its share of them, its calls
    /// wait: each would only add to them.
    pub answers: usize,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            writes: 64,
            retries: 32,
            deletions: 32,
            creations: 32,
            secrets: 32,
            answers: 200,
        }
    }
}

/// The rules of fairness. Always all true in production: tests switch one off to see that the model
/// notices.
#[derive(Clone, Copy, Debug)]
pub struct Fairness {
    /// If false, what waits longest comes first, whatever its namespace.
    pub namespaces_take_turns: bool,
    /// If false, a namespace may take all slots.
    pub namespaces_share_slots: bool,
    /// If false, requested calls always go before others.
    pub requests_take_turns: bool,
}

impl Default for Fairness {
    fn default() -> Self {
        Self {
            namespaces_take_turns: true,
            namespaces_share_slots: true,
            requests_take_turns: true,
        }
    }
}
