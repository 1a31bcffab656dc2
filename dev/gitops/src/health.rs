//! How an object is, as kstatus and Flux put it.

/// A status of kstatus, as far as an object that exists can have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not there yet, and no one has to do anything.
    InProgress,
    /// Doesn't get there by itself.
    Failed,
    /// Arrived.
    Current,
    /// On its way out.
    Terminating,
}
