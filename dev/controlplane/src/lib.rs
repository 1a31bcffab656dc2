//! A real etcd and kube-apiserver on loopback, for tests and the demo.
//!
//! [`ControlPlane::start`] starts one for a single test, [`shared`] one for all tests of a binary. The
//! programs come from `KUBEBUILDER_ASSETS` or are built once, see [`Binaries::locate_or_build`].

use std::sync::OnceLock;

mod binaries;
mod cache;
mod directory;
mod error;
mod go;
mod kubeconfig;
mod options;
mod plane;
mod process;
mod progress;
mod random;
mod tls;
pub mod tools;
pub mod versions;

pub use binaries::Binaries;
pub use error::Error;
pub use options::{AuditLevel, Options};
pub use plane::ControlPlane;
pub use process::{Process, Signal};
pub use progress::{Progress, StatusLine, StderrProgress};
pub use random::free_port;

/// One control plane for all tests of a test binary, started at the first call.
///
/// # Panics
/// If it could not be started.
#[expect(clippy::panic, reason = "for tests only")]
pub fn shared() -> &'static ControlPlane {
    static SHARED: OnceLock<Result<ControlPlane, Error>> = OnceLock::new();
    match SHARED.get_or_init(|| ControlPlane::start(&Options::default())) {
        Ok(plane) => plane,
        Err(error) => panic!("the control plane did not start: {error}"),
    }
}
