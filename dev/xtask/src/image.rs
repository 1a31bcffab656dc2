//! `cargo xtask image`: builds an image with a static binary, without a container daemon.

mod binary;
mod error;
mod oci;
mod sbom;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use self::binary::Binary;
pub use self::error::Error;

/// The directory of images, below the target directory.
const DIRECTORY: &str = "image";

/// Builds the image of `program`, and its list of parts.
pub fn main(program: &str) -> ExitCode {
    exit_code(build(program).map(drop))
}

/// Builds the binary for the image of `program`, and prints its path.
pub fn print_program(program: &str) -> ExitCode {
    let built = Binary::build(program);
    exit_code(built.map(|binary| println!("{}", binary.path.display())))
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

/// Builds the image of `program`, and its list of parts. Returns the archive's path.
pub fn build(program: &str) -> Result<PathBuf, Error> {
    let binary = Binary::build(program)?;
    let sbom = sbom::of(program)?;
    let image = oci::Image::new(program, &binary.version, binary.bytes()?, sbom.clone())?;
    let directory = binary.target_directory.join(DIRECTORY);
    fs::create_dir_all(&directory).map_err(|error| Error::write(&directory, error))?;
    let archive = directory.join(format!("{program}.tar"));
    save(&archive, &image.archive)?;
    save(&directory.join(format!("{program}.cdx.json")), &sbom)?;
    println!("image {}", image.name);
    println!("manifest {}", image.digest);
    println!(
        "{} bytes, of which the program has {}",
        image.archive.len(),
        image.program_size
    );
    Ok(archive)
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|error| Error::write(path, error))?;
    println!("wrote {}", path.display());
    Ok(())
}
