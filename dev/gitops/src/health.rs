//! The status of an object in kstatus and Flux.

/// A status of kstatus that an existing object can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not ready yet, and nobody has to do anything.
    InProgress,
    /// It won't become ready by itself.
    Failed,
    /// Ready.
    Current,
    /// Being deleted.
    Terminating,
}
