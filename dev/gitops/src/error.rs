//! Why a tool has no verdict about an object.

use thiserror::Error;

/// Why a tool has no verdict about an object.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// There is no check for such objects.
    #[error("there is no check for the kind {0}")]
    UnknownKind(String),
    /// The health script failed.
    #[error("the health script fails: {0}")]
    Script(String),
    /// The health script returned something that Argo CD doesn't accept.
    #[error("the health script returns {0} instead of a table")]
    NoTable(&'static str),
    /// The Kustomization can't be read.
    #[error("the Kustomization with the expressions can't be read: {0}")]
    Kustomization(String),
    /// The Kustomization has no expressions for this kind.
    #[error("the Kustomization has no expressions for {0}")]
    NoExpressions(String),
    /// An expression isn't CEL.
    #[error("`{expression}` isn't CEL: {reason}")]
    Syntax {
        /// The expression.
        expression: String,
        /// The parser's error.
        reason: String,
    },
    /// An expression can't be evaluated on this object.
    #[error("`{expression}` can't be evaluated: {reason}")]
    Evaluation {
        /// The expression.
        expression: String,
        /// The error of the evaluation.
        reason: String,
    },
    /// A field has another type than in every Kubernetes object.
    #[error("{field} isn't {expected}")]
    Field {
        /// The field's path.
        field: String,
        /// The expected type.
        expected: &'static str,
    },
}

// Kept as text, because Lua's own error can't be shared between threads.
impl From<mlua::Error> for Error {
    fn from(error: mlua::Error) -> Self {
        Self::Script(error.to_string())
    }
}
