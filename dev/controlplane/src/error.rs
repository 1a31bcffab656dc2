//! Errors. Each message says what to do.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the control plane could not be built, started or restarted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `KUBEBUILDER_ASSETS` is set, but lacks a program.
    #[error(
        "KUBEBUILDER_ASSETS is {}, which holds no {program}: put etcd, kube-apiserver and kubectl there, or unset it",
        directory.display()
    )]
    AssetMissing {
        /// The variable's value.
        directory: PathBuf,
        /// The first program that is not there.
        program: &'static str,
    },

    /// There is no cache directory.
    #[error(
        "there is no cache directory to build the test control plane in: set HOME, XDG_CACHE_HOME or SCALEOUTTASK_CACHE_DIR"
    )]
    NoCacheDirectory,

    /// There is no Go toolchain on `PATH`.
    #[error("Go {minimum} or newer is needed to build the test control plane: {GET_GO}")]
    GoMissing {
        /// The oldest version that works.
        minimum: String,
    },

    /// The Go toolchain on `PATH` is too old.
    #[error(
        "Go {minimum} or newer is needed to build the test control plane, and this is {found}: {GET_GO}"
    )]
    GoTooOld {
        /// The oldest version that works.
        minimum: String,
        /// The version that was found.
        found: String,
    },

    /// `go build` failed.
    #[error(
        "go could not build {program}; the end of its output:\n{output}\nCheck the network and the free disk space, then start again: what is built already is kept"
    )]
    GoBuild {
        /// The program that was being built.
        program: &'static str,
        /// The last lines of its output.
        output: String,
    },

    /// There is no such version of Kubernetes.
    #[error("no version of Kubernetes 1.{minor} is published as a Go module: name another")]
    NotPublished {
        /// The minor version.
        minor: u32,
    },

    /// A file, directory or process could not be used.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, with the path.
        action: String,
        /// The error of the system.
        source: io::Error,
    },

    /// A certificate or key could not be created.
    #[error("cannot create the test control plane's certificates: {0}")]
    Certificate(#[from] rcgen::Error),

    /// A process exited by itself.
    #[error("{name} ended by itself ({status}); the end of its log:\n{log}")]
    Exited {
        /// The program.
        name: String,
        /// Its exit status.
        status: String,
        /// The last lines of its log.
        log: String,
    },

    /// The API server did not become ready.
    #[error("the API server was not ready within {} s: is the machine overloaded? The end of its log:\n{log}", waited.as_secs())]
    NotReady {
        /// How long it was waited for.
        waited: Duration,
        /// The last lines of its log.
        log: String,
    },
}

const GET_GO: &str = "install it from your system's packages or go.dev, \
    or set KUBEBUILDER_ASSETS to a directory that holds etcd, kube-apiserver and kubectl, \
    and HELM and PROMTOOL to these programs";

impl Error {
    /// For `map_err`: adds what was tried.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// Whether a process failed because its port is in use.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Exited { log, .. } if log.contains("address already in use"))
    }
}

/// Writes a file.
pub(crate) fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), Error> {
    std::fs::write(path, contents).map_err(Error::io(format!("write {}", path.display())))
}

/// Creates a directory and its parents.
pub(crate) fn create_dir(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(Error::io(format!("create {}", path.display())))
}
