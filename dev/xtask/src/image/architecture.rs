//! The processors that there are images for.

use std::{env, process::Command};

use super::error::Error;

/// A processor, by the name that images and nodes have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    /// All, in the order of the index.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// This machine's.
    pub fn of_this_machine() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Arm64
        } else {
            Self::Amd64
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// What Rust calls it, with a C library that is linked statically.
    pub fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// The variables that tell cargo which compiler of C and which linker to use.
    pub fn tools(self) -> Result<Vec<(String, String)>, Error> {
        let target = self.target().replace('-', "_");
        let mut tools = Vec::new();
        let compiler = format!("CC_{target}");
        if env::var_os(&compiler).is_none() {
            tools.push((compiler, self.compiler()?));
        }
        if self != Self::of_this_machine() {
            // Rust's own links for every processor.
            let linker = format!("CARGO_TARGET_{}_LINKER", target.to_ascii_uppercase());
            tools.push((linker, "rust-lld".to_owned()));
        }
        Ok(tools)
    }

    /// The C code needs no C library, so the compiler of the host works, or one for another system.
    fn compiler(self) -> Result<String, Error> {
        if self == Self::of_this_machine() {
            return Ok("cc".to_owned());
        }
        let cross = match self {
            Self::Amd64 => "x86_64-linux-gnu-gcc",
            Self::Arm64 => "aarch64-linux-gnu-gcc",
        };
        let found = [cross, "clang"].into_iter().find(|name| works(name));
        found
            .map(str::to_owned)
            .ok_or(Error::Compiler(self.name(), cross))
    }
}

/// Whether that program is there and can be run.
pub fn works(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}
