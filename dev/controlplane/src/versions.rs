//! API servers of other versions of Kubernetes than the pinned one.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::cache::Cache;
use crate::error::Error;
use crate::go::{self, API_SERVER, KUBERNETES, Module};
use crate::{Binaries, Progress};

/// The newest patch of Kubernetes `1.MINOR` that is published as a Go module, such as `v1.33.4`.
///
/// # Errors
/// If Go can't tell.
pub fn newest_patch(minor: u32) -> Result<String, Error> {
    let versions = go::list(&["-versions", KUBERNETES.main])?;
    let prefix = format!("v1.{minor}.");
    let patches = versions.split_whitespace().filter_map(|version| {
        let patch = version.strip_prefix(&prefix)?.parse::<u32>().ok()?;
        Some((patch, version))
    });
    let newest = patches.max().map(|(_, version)| version.to_owned());
    newest.ok_or(Error::NotPublished { minor })
}

/// The API server of that version, such as `v1.33.4`, beside the pinned etcd and kubectl. It is built once, into the
/// cache, whatever `KUBEBUILDER_ASSETS` has.
///
/// # Errors
/// If it can't be built.
pub fn binaries(version: &str, progress: &mut dyn Progress) -> Result<Binaries, Error> {
    let pinned = Binaries::build(progress)?;
    if version == KUBERNETES.version() {
        return Ok(pinned);
    }
    // Builds take static modules, and few are made.
    let go_mod = go_mod(version)?.leak();
    let module = Box::leak(Box::new(Module::of_kubernetes(go_mod)));
    let cache = Cache::of(module)?;
    cache.build(&API_SERVER, progress)?;
    for program in [pinned.etcd(), pinned.kubectl()] {
        link(&program, &cache.bin())?;
    }
    Binaries::of_directory(cache.bin())
}

fn link(program: &Path, directory: &Path) -> Result<(), Error> {
    let link = directory.join(program.file_name().unwrap_or_default());
    // One of an older cache may lead nowhere.
    let removed = match fs::remove_file(&link) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let linked = removed.and_then(|()| symlink(program, &link));
    linked.map_err(Error::io(format!("create {}", link.display())))
}

/// Kubernetes requires its own libraries as `v0.0.0`, from its own repository. Elsewhere they are published beside it.
fn go_mod(version: &str) -> Result<String, Error> {
    let module = KUBERNETES.main;
    let query = format!("{module}@{version}");
    let path = go::list(&["-f", "{{.GoMod}}", &query])?;
    let own = fs::read_to_string(&path).map_err(Error::io(format!("read {path}")))?;
    let mut text = format!("module controlplane/binaries\n\nrequire {module} {version}\n\n");
    let published = version.replacen("v1.", "v0.", 1);
    for line in own.lines() {
        if line.starts_with("go ") {
            let _ = writeln!(text, "{line}");
        } else if let Some(library) = line.trim().strip_suffix(" v0.0.0") {
            let _ = writeln!(text, "replace {library} => {library} {published}");
        }
    }
    Ok(text)
}
