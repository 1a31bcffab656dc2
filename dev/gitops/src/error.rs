//! Why an object has no verdict.

use thiserror::Error;

/// Why one of the tools comes to no verdict about an object.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// The health script failed.
    #[error("the health script fails: {0}")]
    Script(String),
    /// The health script gave back something that Argo CD doesn't take.
    #[error("the health script returns {0} instead of a table")]
    NoTable(&'static str),
    /// The Kustomization can't be read.
    #[error("the Kustomization with the expressions can't be read: {0}")]
    Kustomization(String),
    /// The Kustomization has no expressions for this kind.
    #[error("the Kustomization has no expressions for {0}")]
    NoExpressions(&'static str),
    /// An expression isn't CEL.
    #[error("`{expression}` isn't CEL: {reason}")]
    Syntax {
        /// As it is written.
        expression: String,
        /// What the parser says.
        reason: String,
    },
    /// An expression can't be evaluated on this object.
    #[error("`{expression}` can't be evaluated: {reason}")]
    Evaluation {
        /// As it is written.
        expression: String,
        /// What the evaluation says.
        reason: String,
    },
    /// A field isn't what every Kubernetes object has there.
    #[error("{field} isn't {expected}")]
    Field {
        /// The field's path.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
}

// As text, for Lua's own error can't be shared between threads.
impl From<mlua::Error> for Error {
    fn from(error: mlua::Error) -> Self {
        Self::Script(error.to_string())
    }
}
