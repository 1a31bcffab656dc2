//! Errors of the demo.

use std::io;

/// Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("interrupted")]
    Interrupted,

    #[error(transparent)]
    ControlPlane(#[from] controlplane::Error),

    #[error(transparent)]
    Script(#[from] simulator::ScriptError),

    #[error("cannot {action}: {source}")]
    Io { action: String, source: io::Error },

    #[error("cargo could not build the programs: see above")]
    Build,

    #[error(
        "the cluster runs {0} already, which would track the demo's tasks too: name another cluster"
    )]
    Controller(String),

    #[error("no screen showed all of this at once: {0}; a quieter machine may")]
    Unseen(String),

    #[error("kubectl {arguments} failed:\n{output}")]
    Kubectl { arguments: String, output: String },

    #[error("not every task ended within {seconds} s; the end of the controller's log:\n{log}")]
    Unfinished { seconds: u64, log: String },

    #[error(
        "{name} ended with the reason {found}, not {expected}; the end of the controller's log:\n{log}"
    )]
    Unexpected {
        name: &'static str,
        expected: &'static str,
        found: String,
        log: String,
    },
}

impl Error {
    /// For `map_err`: adds what was tried.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
