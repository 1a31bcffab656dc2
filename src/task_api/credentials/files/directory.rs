//! An access key in files, one for each part, as a Secret is mounted into a pod.

use std::{path::Path, thread, time::Duration};

use super::super::{Credentials, error::FileProblem};

/// How often the files are read until two reads are alike.
const READS: usize = 5;
/// The pause between two reads: who writes one file after the other is done by then.
const PAUSE: Duration = Duration::from_millis(100);

/// The parts of the key as they are now. Blocks for some tenths of a second.
///
/// The kubelet swaps a link to change all files at once, and others write one after the other. So they are
/// read until two reads are alike: a key of one version is hardly ever taken with the secret of the next, and
/// where it is, the next read mends it.
pub(in super::super) fn read(directory: &Path) -> Result<Credentials, FileProblem> {
    if !directory.is_dir() {
        return Err(FileProblem::NotADirectory);
    }
    let mut last = read_once(directory);
    for _ in 1..READS {
        thread::sleep(PAUSE);
        let now = read_once(directory);
        match (&last, &now) {
            (Ok(before), Ok(after)) if before.is_same_as(after) => return now,
            (Err(before), Err(after)) if before == after => return now,
            _ => last = now,
        }
    }
    Err(FileProblem::Unsettled)
}

fn read_once(directory: &Path) -> Result<Credentials, FileProblem> {
    let required = |name| part(directory, name)?.ok_or(FileProblem::NoKeyFile(name));
    Ok(Credentials {
        access_key_id: required("accessKeyId")?,
        access_key_secret: required("accessKeySecret")?.into(),
        security_token: part(directory, "securityToken")?.map(Into::into),
        expires_at: None,
    })
}

fn part(directory: &Path, name: &'static str) -> Result<Option<String>, FileProblem> {
    match super::read(&directory.join(name)) {
        // A value that was typed into a file often ends in a line break.
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(FileProblem::Missing) => Ok(None),
        Err(problem) => Err(FileProblem::Part(name, Box::new(problem))),
    }
}
