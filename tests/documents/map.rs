//! `docs/architecture.md` and `CONTRIBUTING.md` against the code: the names in them exist, and each file
//! is on the map.

use std::{collections::BTreeSet, fs, path::Path};

use crate::document::{code, path, read};

const ARCHITECTURE: &str = "docs/architecture.md";
const CONTRIBUTING: &str = "CONTRIBUTING.md";

/// The files in a folder of the repository, by their paths below it.
fn files(folder: &str) -> BTreeSet<String> {
    let root = path(folder);
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

/// All words in the text files of a folder, those in comments among them.
fn words(folder: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for file in files(folder) {
        let Ok(text) = fs::read_to_string(path(folder).join(file)) else {
            continue;
        };
        let is_inner = |c: char| c.is_alphanumeric() || c == '_';
        words.extend(text.split(|c| !is_inner(c)).map(str::to_owned));
    }
    words
}

/// What a page writes as code, without whole blocks.
fn spans(page: &str) -> BTreeSet<String> {
    let text = read(page);
    let outside = text.split("```").step_by(2);
    outside.flat_map(code).map(str::to_owned).collect()
}

fn is_path(span: &str) -> bool {
    span.contains('/') || Path::new(span).extension().is_some_and(|end| end == "rs")
}

#[test]
fn each_name_on_the_map_exists_in_the_code() {
    let (files, words) = (files("src"), words("src"));
    let mut unknown = BTreeSet::new();
    for span in spans(ARCHITECTURE) {
        let exists = if span.starts_with("--") {
            true
        } else if is_path(&span) {
            let folder = format!("{span}/");
            let mut all = files.iter();
            all.any(|file| *file == span || file.starts_with(&folder))
        } else {
            span.split("::").all(|part| words.contains(part))
        };
        if !exists {
            unknown.insert(span);
        }
    }
    assert!(
        unknown.is_empty(),
        "{ARCHITECTURE}: not in src: {unknown:?}"
    );
}

#[test]
fn each_source_file_is_on_the_map() {
    let spans = spans(ARCHITECTURE);
    let is_named = |file: &&String| {
        let mut all = spans.iter();
        all.any(|span| *file == span || is_path(span) && file.starts_with(&format!("{span}/")))
    };
    // These only list the modules beside them.
    let is_list = |file: &&String| {
        let lists = ["api/mod.rs", "lib.rs", "rules/mod.rs", "task_api/mod.rs"];
        lists.contains(&file.as_str())
    };
    let files = files("src");
    let missing: Vec<_> = files
        .iter()
        .filter(|file| !is_list(file) && !is_named(file))
        .collect();
    assert!(
        missing.is_empty(),
        "{ARCHITECTURE}: add to the code map: {missing:?}"
    );
}

/// Tests and functions that it names, and files.
#[test]
fn each_name_in_the_guide_for_contributors_exists() {
    let folders = ["src", "tests", "dev", "benches", "charts", "plugin"];
    let words: BTreeSet<String> = folders.into_iter().flat_map(words).collect();
    let is_name = |span: &str| {
        let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
        span.contains(['_', ':']) && span.chars().all(is_inner)
    };
    let mut unknown = spans(CONTRIBUTING);
    unknown.retain(|span| {
        let folder = span.split('/').next().unwrap_or_default();
        if folder != span && path(folder).is_dir() {
            !span.contains("NAME") && !path(span).exists()
        } else {
            is_name(span) && !span.split("::").all(|part| words.contains(part))
        }
    });
    assert!(unknown.is_empty(), "{CONTRIBUTING}: not found: {unknown:?}");
}
