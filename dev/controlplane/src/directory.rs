//! A temporary directory that is removed even if this process is killed.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Error;
use crate::process::SHELL;

/// Removes the directory when its input ends. Retries while dying processes still write.
const REMOVER: &str = r#"
read -r _
tries=0
while ! rm -rf -- "$1" && [ "$tries" -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
"#;

/// A private temporary directory. A static is never dropped, and neither is anything in a killed
/// process. In both cases, the remover process deletes it.
#[derive(Debug)]
pub(crate) struct Directory {
    path: TempDir,
    remover: Child,
}

impl Directory {
    pub(crate) fn create() -> Result<Self, Error> {
        let path = tempfile::Builder::new()
            .prefix("controlplane-")
            .tempdir()
            .map_err(Error::io("create a temporary directory"))?;
        let remover = Command::new(SHELL)
            .args(["-c", REMOVER, "remover"])
            .arg(path.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::io(format!("start {SHELL}")))?;
        Ok(Self { path, remover })
    }

    pub(crate) fn path(&self) -> &Path {
        self.path.path()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        let _ = self.remover.wait();
    }
}
