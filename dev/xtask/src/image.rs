//! `cargo xtask image`: builds an image with a static binary for each architecture, without a container daemon.

mod architecture;
mod archive;
mod binary;
mod error;
mod oci;
mod sbom;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

pub use self::{
    architecture::{Architecture, works},
    archive::{gzip, tar},
    binary::Binary,
    error::Error,
};

/// The directory of images, below the target directory.
const DIRECTORY: &str = "image";

/// Which program to build, and for which processors.
pub struct Choice {
    program: String,
    architectures: Vec<Architecture>,
}

impl Choice {
    /// What the arguments of a command say, `[PROGRAM] [--arch ARCH]`: by default the controller, for `architectures`.
    fn of(arguments: &[&str], architectures: &[Architecture]) -> Option<Self> {
        let (program, rest) = match arguments {
            [program, rest @ ..] if !program.starts_with('-') => (*program, rest),
            rest => ("scaleouttask-controller", rest),
        };
        let architectures = match rest {
            [] => architectures.to_vec(),
            ["--arch", name] => vec![Architecture::named(name)?],
            _ => return None,
        };
        let program = program.to_owned();
        Some(Self {
            program,
            architectures,
        })
    }

    /// The program, for this machine alone.
    pub fn for_this_machine(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            architectures: vec![Architecture::of_this_machine()],
        }
    }
}

/// Builds the image, and the list of its parts.
pub fn main(arguments: &[&str]) -> Option<ExitCode> {
    let choice = Choice::of(arguments, &Architecture::ALL)?;
    Some(exit_code(build(&choice).map(drop)))
}

/// Builds the binary for the image, and prints its path.
pub fn print_program(arguments: &[&str]) -> Option<ExitCode> {
    let choice = Choice::of(arguments, &[Architecture::of_this_machine()])?;
    let mut built = choice
        .architectures
        .iter()
        .map(|one| Binary::build(&choice.program, *one));
    Some(exit_code(built.try_for_each(|binary| {
        println!("{}", binary?.path.display());
        Ok(())
    })))
}

fn exit_code(done: Result<(), Error>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the image, and the list of its parts. Returns the archive's path.
pub fn build(choice: &Choice) -> Result<PathBuf, Error> {
    let program = &choice.program;
    let mut binaries = Vec::new();
    let mut built = None;
    for architecture in &choice.architectures {
        let binary = Binary::build(program, *architecture)?;
        let bytes = binary.bytes()?;
        let name = architecture.name();
        println!("{name}: the program has {} bytes", bytes.len());
        binaries.push((*architecture, bytes));
        built = Some(binary);
    }
    let built = built.ok_or_else(|| Error::Program(program.clone()))?;
    let sbom = sbom::of(program, &choice.architectures)?;
    let image = oci::Image::new(program, &built.version, binaries, sbom.clone())?;
    let directory = built.target_directory.join(DIRECTORY);
    fs::create_dir_all(&directory).map_err(|error| Error::write(&directory, error))?;
    let archive = directory.join(format!("{program}.tar"));
    save(&archive, &image.archive)?;
    save(&directory.join(format!("{program}.cdx.json")), &sbom)?;
    println!("image {}", image.name);
    println!("index {}", image.digest);
    println!("{} bytes", image.archive.len());
    Ok(archive)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|error| Error::write(path, error))?;
    println!("wrote {}", path.display());
    Ok(())
}
