//! Writes `docs/benchmarks.md`, in which each benchmark has a section between markers.

use std::{fs, io};

use super::Result;
use crate::repository;

const HEADING: &str = "\
# Benchmarks

Each section is written by its benchmark.
";

/// Writes a section of `docs/benchmarks.md`, and replaces the one of the same name if there is one.
pub fn replace_section(name: &str, text: &str) -> Result<()> {
    let directory = repository().join("docs");
    fs::create_dir_all(&directory)?;
    let path = directory.join("benchmarks.md");
    let document = match fs::read_to_string(&path) {
        Ok(document) => document,
        Err(error) if error.kind() == io::ErrorKind::NotFound => HEADING.to_owned(),
        Err(error) => return Err(error.into()),
    };
    fs::write(path, with_section(&document, name, text)?)?;
    Ok(())
}

fn with_section(document: &str, name: &str, text: &str) -> Result<String> {
    let begin = format!("<!-- {name}:begin -->");
    let end = format!("<!-- {name}:end -->");
    let section = format!("{begin}\n{}\n{end}", text.trim());
    match (document.split_once(&begin), document.split_once(&end)) {
        (None, None) => Ok(format!("{}\n\n{section}\n", document.trim_end())),
        (Some((before, _)), Some((until, after))) if before.len() < until.len() => {
            Ok(format!("{before}{section}{after}"))
        }
        _ => Err(format!("docs/benchmarks.md lacks one of {begin} and {end}").into()),
    }
}
