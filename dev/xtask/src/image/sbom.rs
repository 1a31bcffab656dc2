//! The list of the parts of a program, as `CycloneDX`: <https://cyclonedx.org/docs/1.6/json/>.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{architecture::Architecture, binary::metadata, error::Error};

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// `None` for packages of this workspace.
    source: Option<String>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// `None` for a normal dependency, which is linked.
    kind: Option<String>,
}

/// The crates that are linked into `program`, and their dependencies. Without a time and a serial
/// number, so that the same program always has the same list.
pub fn of(program: &str, architectures: &[Architecture]) -> Result<Vec<u8>, Error> {
    let platforms: Vec<&str> = architectures
        .iter()
        .flat_map(|one| ["--filter-platform", one.target()])
        .collect();
    let metadata: Metadata = serde_json::from_slice(&metadata(&platforms)?)?;
    let packages: BTreeMap<&str, &Package> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package))
        .collect();
    let is_linked = |package: &Package| {
        let mut kinds = package.targets.iter().flat_map(|target| &target.kind);
        !kinds.any(|kind| kind == "proc-macro")
    };
    let linked: BTreeMap<&str, Vec<&str>> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| {
            let linked = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind.is_none())
                    && packages
                        .get(&*dependency.pkg)
                        .is_some_and(|package| is_linked(package))
            });
            (
                node.id.as_str(),
                linked.map(|dependency| dependency.pkg.as_str()).collect(),
            )
        })
        .collect();
    let root = metadata
        .packages
        .iter()
        .find(|package| package.name == program);
    let root = root.ok_or_else(|| Error::Program(program.to_owned()))?;
    let mut parts = BTreeSet::new();
    let mut open = vec![root.id.as_str()];
    while let Some(id) = open.pop() {
        if parts.insert(id) {
            open.extend(linked.get(id).into_iter().flatten());
        }
    }
    let part = |id: &&str| packages.get(id).copied();
    let others = parts
        .iter()
        .filter_map(part)
        .filter(|package| package.id != root.id);
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": component(root, "application") },
        "components": others.map(|package| component(package, "library")).collect::<Vec<_>>(),
        "dependencies": parts.iter().filter_map(part).map(|package| json!({
            "ref": purl(package),
            "dependsOn": linked.get(&*package.id).into_iter().flatten()
                .filter_map(part).map(purl).collect::<BTreeSet<_>>(),
        })).collect::<Vec<_>>(),
    });
    Ok(format!("{bom:#}\n").into_bytes())
}

fn component(package: &Package, kind: &str) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
    });
    if let Some(license) = &package.license {
        // Some crates still separate their licences by a slash.
        let expression = license.replace('/', " OR ");
        component["licenses"] = json!([{ "expression": expression }]);
    }
    if package.source.is_none() {
        component["scope"] = json!("required");
    }
    component
}

fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}
