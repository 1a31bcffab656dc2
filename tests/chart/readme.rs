//! The chart's README: what its code blocks say, and a shell that runs their commands.

use std::{env, ffi::OsString, fs, os::unix::fs::symlink, path::Path, process::Command};

use serde_json::Value;
use tempfile::TempDir;
use testbed::{
    render::{helm, read, text},
    repository,
};

use crate::cluster::Cluster;

/// The only code block below that heading that has this language and these words.
pub fn block(heading: &str, language: &str, words: &str) -> String {
    let readme = read("charts/scaleouttask-controller/README.md");
    let section = readme.split_once(&format!("\n{heading}\n")).unwrap().1;
    let section = section.split("\n#").next().unwrap();
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    let mut found = blocks.filter(|block| block.contains(words));
    let block = found
        .next()
        .unwrap_or_else(|| panic!("{heading}: no block with {words}"));
    assert!(found.next().is_none(), "{heading}: two blocks with {words}");
    block.to_owned()
}

/// A directory like a checkout, in which the README's commands can be run.
pub struct Shell(TempDir);

impl Shell {
    pub fn new(values: &Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir(path.join("bin")).unwrap();
        symlink(helm().get_program(), path.join("bin/helm")).unwrap();
        for name in ["charts", "crds"] {
            symlink(repository().join(name), path.join(name)).unwrap();
        }
        fs::write(path.join("values.yaml"), values.to_string()).unwrap();
        Self(directory)
    }

    /// Has that directory there, under that name.
    pub fn link(&self, name: &str, directory: &Path) {
        symlink(directory, self.0.path().join(name)).unwrap();
    }

    /// Runs the commands of a block, which begin with `$`. Each must succeed.
    pub fn run(&self, cluster: &Cluster, block: &str) -> Result<String, String> {
        let script: String = block
            .lines()
            .map(|line| line.strip_prefix("$ ").unwrap_or(line).to_owned() + "\n")
            .collect();
        let mut path = OsString::from(self.0.path().join("bin"));
        for next in [
            cluster.0.binaries().directory().into(),
            env::var_os("PATH").unwrap(),
        ] {
            path.push(":");
            path.push(next);
        }
        let mut shell = Command::new("sh");
        let variables = helm();
        let variables = variables.get_envs();
        shell
            .args(["-euc", &script])
            .envs(variables.filter_map(|(name, value)| Some((name, value?))))
            .env("PATH", path)
            .env("KUBECONFIG", cluster.0.kubeconfig())
            .current_dir(self.0.path());
        text(&shell.output().unwrap())
    }
}
