//! `docs/architecture.md` against the code: what it names is there, and each file is on the map.

use std::{collections::BTreeSet, fs, path::Path};

use crate::document::{code, path, read};

const ARCHITECTURE: &str = "docs/architecture.md";

/// The files below `src`, as the page writes their paths.
fn files() -> BTreeSet<String> {
    let root = path("src");
    let mut files = BTreeSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap().path();
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let below = entry.strip_prefix(&root).unwrap();
                files.insert(below.to_str().unwrap().to_owned());
            }
        }
    }
    files
}

/// All words that the code has, its comments and texts among them.
fn words(files: &BTreeSet<String>) -> BTreeSet<String> {
    let text = |file: &String| read(&format!("src/{file}"));
    let is_inner = |c: char| c.is_alphanumeric() || c == '_';
    let split = |text: String| -> Vec<String> {
        let words = text.split(|c| !is_inner(c));
        words.map(str::to_owned).collect()
    };
    files.iter().map(text).flat_map(split).collect()
}

/// What the page writes as code, but for whole blocks.
fn spans() -> Vec<String> {
    let text = read(ARCHITECTURE);
    let outside = text.split("```").step_by(2);
    let spans = outside.flat_map(code);
    spans.map(str::to_owned).collect()
}

fn is_path(span: &str) -> bool {
    span.contains('/') || Path::new(span).extension().is_some_and(|end| end == "rs")
}

#[test]
fn each_name_on_the_map_is_one_of_the_code() {
    let files = files();
    let words = words(&files);
    let mut unknown = BTreeSet::new();
    for span in spans().iter().filter(|span| !span.starts_with("--")) {
        let is_known = if is_path(span) {
            let folder = format!("{span}/");
            let mut all = files.iter();
            all.any(|file| file == span || file.starts_with(&folder))
        } else {
            span.split("::").all(|part| words.contains(part))
        };
        if !is_known {
            unknown.insert(span.clone());
        }
    }
    assert!(
        unknown.is_empty(),
        "{ARCHITECTURE}: not in src: {unknown:?}"
    );
}

#[test]
fn each_file_of_the_code_is_on_the_map() {
    let spans = spans();
    let is_named = |file: &&String| {
        let mut all = spans.iter();
        all.any(|span| *file == span || file.starts_with(&format!("{span}/")) && is_path(span))
    };
    // These list what is beside them, and nothing else.
    let is_list = |file: &&String| {
        let lists = ["api/mod.rs", "lib.rs", "rules/mod.rs", "task_api/mod.rs"];
        lists.contains(&file.as_str())
    };
    let files = files();
    let missing: Vec<_> = files
        .iter()
        .filter(|file| !is_list(file) && !is_named(file))
        .collect();
    assert!(
        missing.is_empty(),
        "{ARCHITECTURE}: add to the code map: {missing:?}"
    );
}
