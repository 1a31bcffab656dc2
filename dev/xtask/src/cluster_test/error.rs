//! What went wrong on the cluster.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("set KUBECONFIG to the file of the cluster to try the chart on")]
    NoKubeconfig,
    #[error(transparent)]
    ControlPlane(#[from] controlplane::Error),
    #[error("can't run {program}: {error}; is it on the PATH?")]
    Run { program: String, error: io::Error },
    #[error("{command} failed:\n{output}")]
    Failed { command: String, output: String },
    #[error("pods were restarted: {0} times")]
    Restarts(String),
    #[error("{name} ended with the reason {found:?}, not {expected}")]
    Unexpected {
        name: &'static str,
        expected: &'static str,
        found: String,
    },
    #[error("no other replica took the lease from {0:?}")]
    NoLeader(String),
    #[error(transparent)]
    Image(#[from] crate::image::Error),
    #[error("the test of the release said:\n{0}")]
    HelmTest(String),
    #[error("{0} is left of the release")]
    Left(String),
}
