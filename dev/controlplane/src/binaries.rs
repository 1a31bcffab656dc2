//! Finds etcd, kube-apiserver and kubectl, or builds them once.

use std::path::{Path, PathBuf};

use crate::cache::{Cache, missing, variable};
use crate::error::Error;
use crate::go::{CONTROL_PLANE, KUBERNETES};
use crate::progress::Progress;

/// A directory that holds etcd, kube-apiserver and kubectl.
#[derive(Debug, Clone)]
pub struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// Uses the programs in `KUBEBUILDER_ASSETS` if it is set. Otherwise builds them once from a
    /// pinned Go module into the user's cache: `$SCALEOUTTASK_CACHE_DIR`, else
    /// `$XDG_CACHE_HOME/scaleouttask-controller`, else `~/.cache/scaleouttask-controller`.
    pub fn locate_or_build(progress: &mut dyn Progress) -> Result<Self, Error> {
        if let Some(directory) = variable("KUBEBUILDER_ASSETS") {
            return Self::of_directory(directory);
        }
        Self::build(progress)
    }

    /// The programs of the pinned module, built once.
    pub(crate) fn build(progress: &mut dyn Progress) -> Result<Self, Error> {
        let cache = Cache::of(&KUBERNETES)?;
        cache.build(&CONTROL_PLANE, progress)?;
        let directory = cache.bin();
        Ok(Self { directory })
    }

    /// The directory of the programs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The path of etcd.
    #[must_use]
    pub fn etcd(&self) -> PathBuf {
        self.directory.join("etcd")
    }

    /// The path of the API server.
    #[must_use]
    pub fn kube_apiserver(&self) -> PathBuf {
        self.directory.join("kube-apiserver")
    }

    /// The path of kubectl.
    #[must_use]
    pub fn kubectl(&self) -> PathBuf {
        self.directory.join("kubectl")
    }

    pub(crate) fn of_directory(directory: PathBuf) -> Result<Self, Error> {
        match missing(&directory, &CONTROL_PLANE).first() {
            None => Ok(Self { directory }),
            Some(program) => Err(Error::AssetMissing {
                directory,
                program: program.name,
            }),
        }
    }
}
