//! Why there is no image.

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
    #[error("can't read {path}: {error}")]
    Read { path: String, error: io::Error },
    #[error("can't write {path}: {error}")]
    Write { path: String, error: io::Error },
    #[error("cargo told what this can't read: {0}")]
    Metadata(#[from] serde_json::Error),
    #[error("can't put the archive together: {0}")]
    Archive(#[from] io::Error),
    #[error("no image is made for {0}; there are scaleouttask-controller and simulator")]
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
