//! A cluster that the person named by its context. The demo uses a namespace of its own there.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use controlplane::{StderrProgress, tools};
use tempfile::TempDir;

use super::{Access, Error, crd_name, interrupt, quoted, screen};

const CHART: &str = "scaleouttask-controller";
/// Prints each Deployment's name, and what its labels say of the chart.
const DEPLOYMENTS: [&str; 5] = [
    "get",
    "deployments",
    "--all-namespaces",
    "--output",
    r#"jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.metadata.labels.helm\.sh/chart} {.metadata.labels.app\.kubernetes\.io/name}{"\n"}{end}"#,
];
/// Prints the namespaces of all objects.
const NAMESPACES: [&str; 5] = [
    "get",
    "scaleout",
    "--all-namespaces",
    "--output",
    r#"jsonpath={range .items[*]}{.metadata.namespace}{"\n"}{end}"#,
];

pub(crate) struct Named {
    pub(crate) access: Access,
    /// What was made there, and is removed again.
    has_namespace: bool,
    crds: Vec<String>,
    _directory: TempDir,
}

impl Named {
    /// Takes the person's kubeconfig, with that context as the current one.
    pub(super) fn find(context: &str) -> Result<Self, Error> {
        screen::step(&format!("Use the cluster of the context {context}"));
        // From now on something is left behind without an orderly end.
        interrupt::stop_in_order();
        let directory = TempDir::new().map_err(Error::io("make a directory"))?;
        let namespace = namespace(std::process::id());
        let flags = format!(" --context {} -n {namespace}", quoted(context));
        let access = Access {
            kubectl: kubectl()?,
            kubeconfig: kubeconfig(directory.path(), context)?,
            namespace,
            directory: directory.path().to_owned(),
            home: None,
            flags,
        };
        // Fails where there is no such context.
        access.kubectl(&["config", "view", "--minify"])?;
        if let Some(controller) = controller(&access.kubectl(&DEPLOYMENTS)?) {
            return Err(Error::Controller(controller));
        }
        screen::done(format!("with the namespace {}", access.namespace));
        Ok(Self {
            access,
            has_namespace: false,
            crds: Vec::new(),
            _directory: directory,
        })
    }

    /// Makes the namespace, and the CRDs that are missing.
    pub(super) fn prepare(&mut self, crds: &[PathBuf]) -> Result<(), Error> {
        self.has_namespace = true;
        let create = ["create", "namespace", &self.access.namespace];
        self.access.kubectl(&create)?;
        for crd in crds {
            let name = crd_name(crd);
            let get = ["get", "crd", &name, "--ignore-not-found", "--output=name"];
            if self.access.kubectl(&get)?.trim().is_empty() {
                self.crds.push(name);
                self.access.install_crd(crd)?;
            } else {
                screen::done(format!("{name} is there already, and stays as it is"));
            }
        }
        Ok(())
    }

    /// Deletes one thing, and says so.
    fn delete(&self, kind: &str, name: &str) {
        let delete = ["delete", "--ignore-not-found", "--wait=false", kind, name];
        match self.access.kubectl_always(&delete) {
            Ok(_) => screen::say(&format!("Removed the {kind} {name}.")),
            Err(error) => eprintln!("\nThe {kind} {name} may be left; delete it by hand: {error}"),
        }
    }

    /// Whether nobody else has objects.
    fn is_alone(&self) -> bool {
        let namespaces = self.access.kubectl_always(&NAMESPACES);
        let is_mine = |namespace: &str| namespace == self.access.namespace;
        namespaces.is_ok_and(|namespaces| namespaces.lines().all(is_mine))
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if self.has_namespace {
            self.delete("namespace", &self.access.namespace);
        }
        let is_alone = self.crds.is_empty() || self.is_alone();
        for crd in &self.crds {
            if is_alone {
                self.delete("crd", crd);
            } else {
                screen::say(&format!("The crd {crd} stays: others may have objects."));
            }
        }
    }
}

/// The person's own, which fits the cluster; else the project's.
fn kubectl() -> Result<PathBuf, Error> {
    if screen::is_on_path("kubectl") {
        return Ok("kubectl".into());
    }
    let mut progress = StderrProgress::indented(screen::INDENT);
    Ok(tools::kubectl(&mut progress)?)
}

/// The person's files, behind one that names the context: the first that names one counts.
fn kubeconfig(directory: &Path, context: &str) -> Result<OsString, Error> {
    let first = directory.join("context");
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": context,
    });
    fs::write(&first, text.to_string()).map_err(Error::io("write a kubeconfig"))?;
    let own = env::var_os("KUBECONFIG").filter(|list| !list.is_empty());
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    let own = own.unwrap_or_else(|| home.join(".kube/config").into_os_string());
    let mut list = first.into_os_string();
    list.push(":");
    list.push(own);
    Ok(list)
}

/// The first release of the chart, by its labels.
fn controller(deployments: &str) -> Option<String> {
    deployments.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        words
            .any(|word| word.starts_with(CHART))
            .then(|| name.to_owned())
    })
}

/// Unlike any other of this moment.
fn namespace(process: u32) -> String {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs() % 100_000);
    format!("scaleouttask-demo-{seconds}-{process}")
}
