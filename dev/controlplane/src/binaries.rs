//! Finds etcd, kube-apiserver and kubectl, or builds them once.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, create_dir};
use crate::go::{self, PROGRAMS, Program};
use crate::progress::Progress;

/// A directory that holds etcd, kube-apiserver and kubectl.
#[derive(Debug, Clone)]
pub struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// Takes the programs from `KUBEBUILDER_ASSETS` if it is set. Otherwise they are built from a
    /// pinned Go module into the user's cache, once: `$SCALEOUTTASK_CACHE_DIR`, else
    /// `$XDG_CACHE_HOME/scaleouttask-controller`, else `~/.cache/scaleouttask-controller`.
    pub fn locate_or_build(progress: &mut dyn Progress) -> Result<Self, Error> {
        match variable("KUBEBUILDER_ASSETS") {
            Some(directory) => Self::in_assets(directory),
            None => Self::in_cache(&cache_directory()?, progress),
        }
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

    fn in_assets(directory: PathBuf) -> Result<Self, Error> {
        let binaries = Self { directory };
        let missing = binaries.missing().next();
        match missing {
            None => Ok(binaries),
            Some(Program { name: program, .. }) => Err(Error::AssetMissing {
                directory: binaries.directory,
                program,
            }),
        }
    }

    fn in_cache(cache: &Path, progress: &mut dyn Progress) -> Result<Self, Error> {
        let home = cache.join("control-plane").join(go::build_id());
        let binaries = Self {
            directory: home.join("bin"),
        };
        if binaries.missing().next().is_some() {
            create_dir(&binaries.directory)?;
            let _lock = lock(&home.join("lock"), progress)?;
            binaries.build(&home.join("module"), progress)?;
        }
        Ok(binaries)
    }

    /// Builds what is missing. Called by one process at a time.
    fn build(&self, module: &Path, progress: &mut dyn Progress) -> Result<(), Error> {
        // Another process may have built them all while this one waited for the lock.
        if self.missing().next().is_none() {
            return Ok(());
        }
        go::write_module(module)?;
        go::check_toolchain(module)?;
        progress.started(&self.directory);
        for program in self.missing() {
            // A half-built program never has its name.
            let partial = module.join(format!("{}.{}", program.name, std::process::id()));
            go::build(module, program, &partial, &mut || {
                progress.building(program.name);
            })?;
            std::fs::rename(&partial, self.directory.join(program.name))
                .map_err(Error::io(format!("rename {}", partial.display())))?;
            progress.built(program.name);
        }
        Ok(())
    }

    fn missing(&self) -> impl Iterator<Item = &'static Program> {
        PROGRAMS
            .iter()
            .filter(|program| !self.directory.join(program.name).is_file())
    }
}

/// Waits for the lock, which the system frees when its holder ends, however it does.
fn lock(path: &Path, progress: &mut dyn Progress) -> Result<File, Error> {
    let failed = || Error::io(format!("lock {}", path.display()));
    let file = File::create(path).map_err(failed())?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress.waiting();
            file.lock().map_err(failed())?;
        }
        Err(TryLockError::Error(source)) => return Err(failed()(source)),
    }
    Ok(file)
}

fn cache_directory() -> Result<PathBuf, Error> {
    let under = |root: PathBuf, rest: &str| root.join(rest).join("scaleouttask-controller");
    variable("SCALEOUTTASK_CACHE_DIR")
        .or_else(|| Some(under(variable("XDG_CACHE_HOME")?, "")))
        .or_else(|| Some(under(variable("HOME")?, ".cache")))
        .ok_or(Error::NoCacheDirectory)
}

/// A variable of the environment; an empty one counts as absent.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
