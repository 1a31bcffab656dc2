//! An etcd and a kube-apiserver of the demo's own.

use controlplane::{Binaries, ControlPlane, Options, StderrProgress};

use super::{Access, Error, screen};

pub(crate) struct Own {
    pub(crate) access: Access,
    plane: ControlPlane,
}

impl Own {
    /// Finds or builds the programs, and starts them.
    pub(super) fn start() -> Result<Self, Error> {
        screen::step("etcd, kube-apiserver and kubectl");
        let mut progress = StderrProgress::indented(screen::INDENT);
        let binaries = Binaries::locate_or_build(&mut progress)?;
        screen::done(format!("in {}", binaries.directory().display()));

        screen::step("Start etcd and kube-apiserver");
        let plane = ControlPlane::start_with(&binaries, &Options::default())?;
        screen::done(plane.server());
        let access = Access {
            kubectl: binaries.kubectl(),
            kubeconfig: plane.kubeconfig().into(),
            namespace: "default".to_owned(),
            directory: plane.directory().to_owned(),
            home: Some(plane.directory().to_owned()),
            flags: String::new(),
        };
        Ok(Self { access, plane })
    }

    pub(super) fn check_running(&mut self) -> Result<(), Error> {
        Ok(self.plane.check_running()?)
    }
}
