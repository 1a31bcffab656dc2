//! Exit codes.

/// How a command ended. Of several ends the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All succeeded.
    Succeeded,
    /// One ended badly.
    Failed,
    /// One can't be tracked until somebody mends something.
    Stuck,
    /// `--wait-timeout` passed.
    WaitTimedOut,
    /// One was deleted meanwhile.
    Deleted,
    /// Wrong usage or input.
    Usage,
    /// Ctrl-C, or nobody reads the output any more.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl From<Exit> for i32 {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Succeeded => 0,
            Exit::Failed => 1,
            Exit::Stuck => 2,
            Exit::WaitTimedOut => 3,
            Exit::Deleted => 4,
            Exit::Usage => 64,
            // As shells say which signal ended something.
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }
}
