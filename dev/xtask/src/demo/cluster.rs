//! The cluster of the demo: an API server of its own, or one that the person named.

mod named;
mod own;

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{error::Error, interrupt, screen};

pub(crate) use self::{named::Named, own::Own};

/// Prints the name, the reason of `Ready` and the finish time of each object.
const REASONS: &str = r#"jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].reason} {.status.finishedAt}{"\n"}{end}"#;

/// How kubectl and the controller find the cluster.
pub(crate) struct Access {
    pub(crate) kubectl: PathBuf,
    /// One file, or a list as in `KUBECONFIG`. Its current context is that cluster.
    pub(crate) kubeconfig: OsString,
    pub(crate) namespace: String,
    /// Where the log goes.
    pub(crate) directory: PathBuf,
    /// The home directory for kubectl, so that it reads and writes none of the person's files.
    pub(crate) home: Option<PathBuf>,
    /// What a reader has to type after a command of kubectl, to reach the same.
    pub(crate) flags: String,
}

/// Where the demo runs. What it made is removed when this is dropped.
pub(crate) enum Cluster {
    Own(Box<Own>),
    Named(Named),
}

impl Cluster {
    /// Starts one, or finds that of the context.
    pub(crate) fn get(context: Option<&str>) -> Result<Self, Error> {
        Ok(match context {
            None => Self::Own(Box::new(Own::start()?)),
            Some(context) => Self::Named(Named::find(context)?),
        })
    }

    pub(crate) fn access(&self) -> &Access {
        match self {
            Self::Own(own) => &own.access,
            Self::Named(named) => &named.access,
        }
    }

    /// Installs the CRDs that are missing, and waits until the API server serves them.
    pub(crate) fn prepare(&mut self, crds: &[PathBuf]) -> Result<(), Error> {
        match self {
            Self::Own(own) => crds.iter().try_for_each(|crd| own.access.install_crd(crd)),
            Self::Named(named) => named.prepare(crds),
        }
    }

    /// Fails once what runs here has ended by itself.
    pub(crate) fn check_running(&mut self) -> Result<(), Error> {
        match self {
            Self::Own(own) => own.check_running(),
            Self::Named(_) => Ok(()),
        }
    }
}

impl Access {
    fn install_crd(&self, crd: &Path) -> Result<(), Error> {
        let create = ["create", "--filename", &crd.to_string_lossy()];
        self.kubectl(&create)?;
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "--filename",
            &crd.to_string_lossy(),
        ];
        self.kubectl(&wait)?;
        screen::done(format!("{} is established", crd_name(crd)));
        Ok(())
    }

    /// Runs kubectl and returns its output.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, Error> {
        interrupt::check()?;
        self.kubectl_always(arguments)
    }

    /// The same, also after Ctrl-C. In its own process group, so that Ctrl-C reaches only the demo.
    fn kubectl_always(&self, arguments: &[&str]) -> Result<String, Error> {
        let mut kubectl = Command::new(&self.kubectl);
        kubectl
            .env("KUBECONFIG", &self.kubeconfig)
            // The person's settings may ask before a deletion.
            .env("KUBERC", "off")
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .process_group(0);
        if let Some(home) = &self.home {
            kubectl.env("HOME", home).env_remove("KUBECACHEDIR");
        }
        output(&mut kubectl, arguments)
    }

    /// What a reader has to type to have kubectl do that.
    pub(crate) fn typed(&self, words: &str) -> String {
        format!("kubectl {words}{}", self.flags)
    }

    /// Shows a command of kubectl and its output.
    pub(crate) fn show(&self, arguments: &[&str]) -> Result<(), Error> {
        let words: Vec<String> = arguments.iter().copied().map(quoted).collect();
        screen::command(self.typed(&words.join(" ")));
        screen::say(&self.kubectl(arguments)?);
        Ok(())
    }

    /// A line for each object, with its reason.
    pub(crate) fn reasons(&self) -> Result<String, Error> {
        self.kubectl(&["get", "scaleouttasks", "--output", REASONS])
    }
}

/// The names and reasons of all finished objects.
pub(super) fn finished(reasons: &str) -> Vec<(String, String)> {
    let finished = |line: &str| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        [name, reason, _finished_at] => Some(((*name).to_owned(), (*reason).to_owned())),
        _ => None,
    };
    reasons.lines().filter_map(finished).collect()
}

/// The name of the CRD in that file.
fn crd_name(file: &Path) -> String {
    let plural = file.file_stem().unwrap_or_default();
    format!("{}.scaleout.dev", plural.display())
}

fn output(kubectl: &mut Command, arguments: &[&str]) -> Result<String, Error> {
    let answer = kubectl.output().map_err(Error::io("start kubectl"))?;
    if !answer.status.success() {
        return Err(Error::Kubectl {
            arguments: arguments.join(" "),
            output: String::from_utf8_lossy(&answer.stderr)
                .trim_end()
                .to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// Quotes an argument for a shell.
pub(super) fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,".contains(c);
    if argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{argument}'")
}
