//! The cache of built programs in the user's cache directory.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, create_dir};
use crate::go::{self, Module, Program};
use crate::progress::Progress;

/// The programs built from one version of a Go module for one platform.
pub(crate) struct Cache {
    home: PathBuf,
    module: &'static Module,
}

impl Cache {
    /// The cache in `$SCALEOUTTASK_CACHE_DIR`, else `$XDG_CACHE_HOME/scaleouttask-controller`, else
    /// `~/.cache/scaleouttask-controller`.
    pub(crate) fn of(module: &'static Module) -> Result<Self, Error> {
        let home = directory()?.join(module.name).join(module.build_id());
        Ok(Self { home, module })
    }

    /// The directory of the built programs.
    pub(crate) fn bin(&self) -> PathBuf {
        self.home.join("bin")
    }

    /// The directory of the module's files. It exists once something was built.
    pub(crate) fn module(&self) -> PathBuf {
        self.home.join("module")
    }

    /// Builds those of the programs that are missing.
    pub(crate) fn build(
        &self,
        programs: &[Program],
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        let bin = self.bin();
        if missing(&bin, programs).is_empty() {
            return Ok(());
        }
        create_dir(&bin)?;
        let _lock = self.lock(progress)?;
        // Another process may have built them all while this one waited for the lock.
        let missing = missing(&bin, programs);
        if missing.is_empty() {
            return Ok(());
        }
        let module = self.module();
        self.module.write(&module)?;
        go::check_toolchain(self.module, &module)?;
        let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
        progress.started(&names, &bin);
        for program in missing {
            // Renamed when complete, so that a partial program never has the final name.
            let partial = module.join(format!("{}.{}", program.name, std::process::id()));
            go::build(self.module, &module, program, &partial, &mut || {
                progress.building(program.name);
            })?;
            std::fs::rename(&partial, bin.join(program.name))
                .map_err(Error::io(format!("rename {}", partial.display())))?;
            progress.built(program.name);
        }
        Ok(())
    }

    /// Waits for the lock. The system releases it when the holding process ends in any way.
    pub(crate) fn lock(&self, progress: &mut dyn Progress) -> Result<File, Error> {
        let path = self.home.join("lock");
        let failed = || Error::io(format!("lock {}", path.display()));
        let file = File::create(&path).map_err(failed())?;
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
}

/// The programs that are not in the directory.
pub(crate) fn missing<'a>(directory: &Path, programs: &'a [Program]) -> Vec<&'a Program> {
    programs
        .iter()
        .filter(|program| !directory.join(program.name).is_file())
        .collect()
}

fn directory() -> Result<PathBuf, Error> {
    let under = |root: PathBuf, rest: &str| root.join(rest).join("scaleouttask-controller");
    variable("SCALEOUTTASK_CACHE_DIR")
        .or_else(|| Some(under(variable("XDG_CACHE_HOME")?, "")))
        .or_else(|| Some(under(variable("HOME")?, ".cache")))
        .ok_or(Error::NoCacheDirectory)
}

/// An environment variable. An empty one counts as not set.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
