//! `cargo xtask plugin`: the static builds of the kubectl plugin as archives, their checksums, and a krew manifest.

use std::{fs, io, path::Path, process::ExitCode};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::{
    cluster::repository,
    image::{Architecture, Binary, Error, gzip, tar},
};

const PROGRAM: &str = "kubectl-scaleouttask";
const COMPLETION: &str = "kubectl_complete-scaleouttask";
/// The directory of archives, below the target directory.
const DIRECTORY: &str = "plugin";
/// Where archives are to be found, until somebody says where they are published.
const PLACE: &str = "https://example.com/scaleouttask-controller";

/// Builds all, and writes it below the target directory.
pub fn main(arguments: &[&str]) -> Option<ExitCode> {
    let place = match arguments {
        [] => PLACE,
        ["--url", place] => place.trim_end_matches('/'),
        _ => return None,
    };
    Some(match build(place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// An archive of one architecture.
struct Archive {
    architecture: Architecture,
    name: String,
    sha256: String,
}

fn build(place: &str) -> Result<(), Error> {
    let root = repository();
    let read = |path: &Path| fs::read(path).map_err(|error| Error::read(path, error));
    let completion = read(&root.join("plugin").join(COMPLETION))?;
    let license = read(&root.join("LICENSE"))?;
    let mut archives = Vec::new();
    let mut last = None;
    for architecture in Architecture::ALL {
        let binary = Binary::build(PROGRAM, architecture)?;
        let directory = binary.target_directory.join(DIRECTORY);
        fs::create_dir_all(&directory).map_err(|error| Error::write(&directory, error))?;
        let name = format!(
            "{PROGRAM}_{}_linux_{}.tar.gz",
            binary.version,
            architecture.name()
        );
        let program = binary.bytes()?;
        let files = [
            (PROGRAM.to_owned(), 0o755, program),
            (COMPLETION.to_owned(), 0o755, completion.clone()),
            ("LICENSE".to_owned(), 0o644, license.clone()),
        ];
        let path = directory.join(&name);
        let bytes = archive(&files).map_err(|error| Error::write(&path, error))?;
        let sha256 = HEXLOWER.encode(&Sha256::digest(&bytes));
        save(&path, &bytes)?;
        archives.push(Archive {
            architecture,
            name,
            sha256,
        });
        last = Some((directory, binary.version));
    }
    let (directory, version) = last.ok_or_else(|| Error::Program(PROGRAM.to_owned()))?;
    let sums = archives
        .iter()
        .map(|Archive { sha256, name, .. }| format!("{sha256}  {name}\n"));
    save(
        &directory.join("SHA256SUMS"),
        sums.collect::<String>().as_bytes(),
    )?;
    save(
        &directory.join("scaleouttask.yaml"),
        manifest(&version, place, &archives).as_bytes(),
    )
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|error| Error::write(path, error))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// The same files give the same archive: it holds no times and no names of users.
fn archive(files: &[(String, u32, Vec<u8>)]) -> io::Result<Vec<u8>> {
    gzip(&tar(files)?)
}

/// What krew installs by.
fn manifest(version: &str, place: &str, archives: &[Archive]) -> String {
    let head = format!(
        "apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: scaleouttask
spec:
  version: v{version}
  shortDescription: Start, watch and understand scale-outs of ACK clusters
  description: |
    Tracks the tasks of Alibaba Cloud's Container Service (ACK) by ScaleOutTask objects: makes one of a
    task, shows it live, ends with an exit code that tells how it went, and says what to do where it
    went wrong. Needs the controller of these objects in the cluster.
  platforms:
"
    );
    let platform = |Archive {
                        architecture,
                        name,
                        sha256,
                    }: &Archive| {
        let architecture = architecture.name();
        format!(
            "  - selector:
      matchLabels:
        os: linux
        arch: {architecture}
    uri: {place}/{name}
    sha256: {sha256}
    bin: {PROGRAM}
"
        )
    };
    head + &archives.iter().map(platform).collect::<String>()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_manifest_has_the_sum_of_each_archive() {
        let archives = Architecture::ALL.map(|architecture| Archive {
            architecture,
            name: format!("plugin-{}.tar.gz", architecture.name()),
            sha256: format!("sum-{}", architecture.name()),
        });
        let text = manifest("0.1.0", "https://example.org", &archives);
        let manifest: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(manifest["spec"]["version"], "v0.1.0");
        for (index, name) in ["amd64", "arm64"].iter().enumerate() {
            let platform = &manifest["spec"]["platforms"][index];
            assert_eq!(platform["selector"]["matchLabels"]["arch"], *name);
            assert_eq!(
                platform["uri"],
                format!("https://example.org/plugin-{name}.tar.gz")
            );
            assert_eq!(platform["sha256"], format!("sum-{name}"));
        }
    }

    #[test]
    fn the_same_files_make_the_same_archive() {
        let files = [("a", 0o755, b"program".to_vec()), ("b", 0o644, Vec::new())];
        let files = files.map(|(name, mode, bytes)| (name.to_owned(), mode, bytes));
        assert_eq!(archive(&files).unwrap(), archive(&files).unwrap());
        let bytes = archive(&files).unwrap();
        let mut read = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let names: Vec<String> = read
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["a", "b"]);
    }
}
