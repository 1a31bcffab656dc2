//! A cluster that the person named by its context. The demo uses a namespace of its own there.

use std::{
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use controlplane::{StderrProgress, tools};
use tempfile::TempDir;

use super::{Access, Error, interrupt, output, quoted, screen};

const CRD: &str = "scaleouttasks.scaleout.dev";
/// The controllers of all releases of the chart.
const CONTROLLERS: [&str; 7] = [
    "get",
    "deployments",
    "--all-namespaces",
    "--selector",
    "app.kubernetes.io/name=scaleouttask-controller",
    "--output",
    "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}",
];
/// The namespaces of all objects.
const NAMESPACES: [&str; 5] = [
    "get",
    "scaleouttasks",
    "--all-namespaces",
    "--output",
    r#"jsonpath={range .items[*]}{.metadata.namespace}{"\n"}{end}"#,
];

pub(crate) struct Named {
    pub(crate) access: Access,
    /// What was made there, and is removed again.
    has_namespace: bool,
    has_crd: bool,
    _directory: TempDir,
}

impl Named {
    /// Takes what kubectl knows of the context, and nothing else of the person's kubeconfig.
    pub(super) fn find(context: &str) -> Result<Self, Error> {
        screen::step(&format!("Use the cluster of the context {context}"));
        let kubectl = kubectl()?;
        let arguments = [
            "config",
            "view",
            "--minify",
            "--flatten",
            "--raw",
            "--context",
            context,
        ];
        let config = output(Command::new(&kubectl).args(arguments), &arguments)?;
        let directory = TempDir::new().map_err(Error::io("make a directory"))?;
        let kubeconfig = directory.path().join("kubeconfig");
        write_private(&kubeconfig, &config).map_err(Error::io("write a kubeconfig"))?;
        let namespace = namespace(std::process::id());
        let typed = format!("kubectl --context {} -n {namespace}", quoted(context));
        let access = Access {
            kubectl,
            kubeconfig,
            namespace,
            directory: directory.path().to_owned(),
            home: None,
            typed,
        };
        let set = ["config", "set-context", "--current", "--namespace"];
        access.kubectl(&[set.as_slice(), &[&access.namespace]].concat())?;
        let controllers = access.kubectl(&CONTROLLERS)?;
        if !controllers.trim().is_empty() {
            return Err(Error::Controller(controllers.trim().to_owned()));
        }
        screen::done(format!("with the namespace {}", access.namespace));
        Ok(Self {
            access,
            has_namespace: false,
            has_crd: false,
            _directory: directory,
        })
    }

    /// Makes the namespace, and the CRD where there is none.
    pub(super) fn prepare(&mut self, crd: &Path) -> Result<(), Error> {
        // From now on something is left behind without an orderly end.
        interrupt::stop_in_order();
        self.has_namespace = true;
        let create = ["create", "namespace", &self.access.namespace];
        self.access.kubectl(&create)?;
        let get = ["get", "crd", CRD, "--ignore-not-found", "--output=name"];
        if !self.access.kubectl(&get)?.trim().is_empty() {
            screen::done(format!("{CRD} is there already, and stays as it is"));
            return Ok(());
        }
        self.has_crd = true;
        self.access.install_crd(crd)
    }

    fn remove(&self) -> Result<(), Error> {
        let delete = |what: &[&str]| {
            let all = [&["delete", "--ignore-not-found", "--wait=false"], what].concat();
            self.access.kubectl_always(&all)
        };
        if self.has_crd {
            let namespaces = self.access.kubectl_always(&NAMESPACES)?;
            let is_mine = |namespace: &str| namespace == self.access.namespace;
            if namespaces.lines().all(is_mine) {
                delete(&["crd", CRD])?;
            }
        }
        if self.has_namespace {
            delete(&["namespace", &self.access.namespace])?;
            screen::say(&format!("Removed the namespace {}.", self.access.namespace));
        }
        Ok(())
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            let namespace = &self.access.namespace;
            eprintln!("\nThe namespace {namespace} may be left; delete it by hand: {error}");
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

/// Unlike any other of this moment.
fn namespace(process: u32) -> String {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs() % 100_000);
    format!("scaleouttask-demo-{seconds}-{process}")
}

/// It may hold a token.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}
