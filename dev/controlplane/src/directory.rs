//! A temporary directory that goes away even when we are killed.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Error;
use crate::process::SHELL;

/// Removes the directory when its input ends, trying again while dying processes still write.
const JANITOR: &str = r#"
read -r _
tries=0
while ! rm -rf -- "$1" && [ "$tries" -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
"#;

/// A private temporary directory. A static is never dropped, and a killed process drops nothing:
/// in both cases the janitor removes it.
#[derive(Debug)]
pub(crate) struct Directory {
    path: TempDir,
    janitor: Child,
}

impl Directory {
    pub(crate) fn create() -> Result<Self, Error> {
        let path = tempfile::Builder::new()
            .prefix("controlplane-")
            .tempdir()
            .map_err(Error::io("make a temporary directory"))?;
        let janitor = Command::new(SHELL)
            .args(["-c", JANITOR, "janitor"])
            .arg(path.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::io(format!("start {SHELL}")))?;
        Ok(Self { path, janitor })
    }

    pub(crate) fn path(&self) -> &Path {
        self.path.path()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(self.janitor.stdin.take());
        let _ = self.janitor.wait();
    }
}
