//! Tools for tests: kubectl, helm, promtool, the CRDs of the Prometheus Operator, and the vendor's library for
//! credentials.

use std::path::PathBuf;

use crate::Binaries;
use crate::cache::{Cache, variable};
use crate::error::Error;
use crate::go::{
    self, ALIBABA_CLOUD, CONTROLLER_GEN, HELM, KUBECTL, KUBERNETES, Module, PROMETHEUS, PROMTOOL,
    Program, VENDORS_CREDENTIALS,
};
use crate::progress::Progress;

/// The Go types of the Prometheus Operator's CRDs.
const MONITORING: &str =
    "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1";

/// The path of kubectl, for who needs no more: in `KUBEBUILDER_ASSETS` if it is set, else built once from the pinned
/// Go module.
pub fn kubectl(progress: &mut dyn Progress) -> Result<PathBuf, Error> {
    if variable("KUBEBUILDER_ASSETS").is_some() {
        return Ok(Binaries::locate_or_build(progress)?.kubectl());
    }
    built(&KUBERNETES, &KUBECTL, progress)
}

/// The path of helm: `HELM` if it is set, else built once from the pinned Go module.
pub fn helm(progress: &mut dyn Progress) -> Result<PathBuf, Error> {
    locate_or_build("HELM", &KUBERNETES, &HELM, progress)
}

/// The path of promtool: `PROMTOOL` if it is set, else built once from the pinned Go module.
pub fn promtool(progress: &mut dyn Progress) -> Result<PathBuf, Error> {
    locate_or_build("PROMTOOL", &PROMETHEUS, &PROMTOOL, progress)
}

/// The path of a program that prints the access key that the vendor's own library finds in its
/// environment, as JSON: `VENDORS_CREDENTIALS` if it is set, else built once from the pinned Go module.
pub fn vendors_credentials(progress: &mut dyn Progress) -> Result<PathBuf, Error> {
    let (module, program) = (&ALIBABA_CLOUD, &VENDORS_CREDENTIALS);
    locate_or_build("VENDORS_CREDENTIALS", module, program, progress)
}

fn locate_or_build(
    name: &str,
    module: &'static Module,
    program: &'static [Program; 1],
    progress: &mut dyn Progress,
) -> Result<PathBuf, Error> {
    match variable(name) {
        Some(path) => Ok(path),
        None => built(module, program, progress),
    }
}

fn built(
    module: &'static Module,
    program: &'static [Program; 1],
    progress: &mut dyn Progress,
) -> Result<PathBuf, Error> {
    let cache = Cache::of(module)?;
    cache.build(program, progress)?;
    Ok(cache.bin().join(program[0].name))
}

/// A directory with the Prometheus Operator's CRDs of `monitoring.coreos.com/v1`. They are generated
/// once from its Go types, as in its own releases.
pub fn monitoring_crds(progress: &mut dyn Progress) -> Result<PathBuf, Error> {
    let cache = Cache::of(&KUBERNETES)?;
    let directory = cache.bin().join("monitoring-crds");
    if directory.is_dir() {
        return Ok(directory);
    }
    cache.build(&CONTROLLER_GEN, progress)?;
    let _lock = cache.lock(progress)?;
    if directory.is_dir() {
        return Ok(directory);
    }
    let [generator] = &CONTROLLER_GEN;
    let partial = cache.module().join(format!("crds.{}", std::process::id()));
    let arguments = [
        // Descriptions are most of their size, and the API server doesn't need them.
        "crd:maxDescLen=0".to_owned(),
        format!("paths={MONITORING}"),
        format!("output:dir={}", partial.display()),
    ];
    let path = cache.bin().join(generator.name);
    go::run(&cache.module(), &path, &arguments, generator.name)?;
    std::fs::rename(&partial, &directory)
        .map_err(Error::io(format!("rename {}", partial.display())))?;
    Ok(directory)
}
