//! Files that hold credentials, or say how to get them.

pub(super) mod cli;
pub(super) mod directory;
pub(super) mod ini;
mod profile;

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
};

use super::error::FileProblem;

/// No file of credentials is longer.
const MAX: u64 = 1024 * 1024;

/// The text of a file, without a byte order mark.
pub(super) fn read(path: &Path) -> Result<String, FileProblem> {
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => FileProblem::Missing,
        kind => FileProblem::Unreadable(kind),
    };
    // To open anything but a file may block for ever.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(FileProblem::NotAFile);
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX {
        return Err(FileProblem::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| FileProblem::NotText)?;
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

#[cfg(test)]
mod tests;
