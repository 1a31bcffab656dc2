//! Errors of the tests on a cluster.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("set KUBECONFIG to the kubeconfig of the cluster to test the chart on")]
    NoKubeconfig,
    #[error(transparent)]
    ControlPlane(#[from] controlplane::Error),
    #[error("can't run {program}: {error}; is it on the PATH?")]
    Run { program: String, error: io::Error },
    #[error("{command} failed:\n{output}")]
    Failed { command: String, output: String },
    #[error("pods were restarted: {0} times")]
    Restarts(String),
    #[error("{name} has the reason {found:?}, not {expected}")]
    Unexpected {
        name: String,
        expected: String,
        found: String,
    },
    #[error("can't make the script of the simulated task API: {0}")]
    Script(io::Error),
    #[error("{0}")]
    NotKept(String),
    #[error("no replica other than {0:?} acquired the lease in time")]
    NoLeader(String),
    #[error(transparent)]
    Image(#[from] crate::image::Error),
    #[error("helm test failed:\n{0}")]
    HelmTest(String),
    #[error("the release left {0}")]
    Left(String),
}
