//! Errors of building an image.

use std::{io, path::Path};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("can't run {program}: {error}; is it on the PATH?")]
    Run { program: String, error: io::Error },
    #[error("{0} failed; see above")]
    Failed(String),
    #[error(
        "Rust's standard library for {0} is missing, and rustup couldn't fetch it: \
         rustup target add {0}"
    )]
    Target(&'static str),
    #[error(
        "there is no C compiler for {0}: install {1} or clang; \
         `cargo xtask image` also builds for this machine alone, by --arch"
    )]
    Compiler(&'static str, &'static str),
    #[error("can't read {path}: {error}")]
    Read { path: String, error: io::Error },
    #[error("can't write {path}: {error}")]
    Write { path: String, error: io::Error },
    #[error("can't read the output of cargo metadata: {0}")]
    Metadata(#[from] serde_json::Error),
    #[error("can't write the archive: {0}")]
    Archive(#[from] io::Error),
    #[error("there is no image of {0}; choose scaleouttask-controller or simulator")]
    Program(String),
}

impl Error {
    pub fn write(path: &Path, error: io::Error) -> Self {
        let path = path.display().to_string();
        Self::Write { path, error }
    }

    pub fn read(path: &Path, error: io::Error) -> Self {
        let path = path.display().to_string();
        Self::Read { path, error }
    }
}
