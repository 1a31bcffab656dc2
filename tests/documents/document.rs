//! A Markdown file, as far as the tests read it.

use std::{collections::BTreeMap, fs, path::PathBuf};

/// The file that these tests are about.
pub const REFERENCE: &str = "docs/reference.md";

/// A row of a table: its cells by the titles of their columns.
pub type Row = BTreeMap<String, String>;

/// Where a file of the repository is.
pub fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// The text of a file of the repository.
pub fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The rows of the table that follows `<!-- table: NAME -->`.
pub fn table(name: &str) -> Vec<Row> {
    let text = read(REFERENCE);
    let marker = format!("<!-- table: {name} -->\n");
    let (_, after) = text
        .split_once(&marker)
        .unwrap_or_else(|| panic!("{REFERENCE}: no table after {}", marker.trim()));
    let mut lines = after.lines().take_while(|line| line.starts_with('|'));
    let titles = cells(lines.next().expect("a line of titles"));
    lines
        .skip(1)
        .map(|line| {
            let cells = cells(line);
            assert_eq!(
                cells.len(),
                titles.len(),
                "{REFERENCE}: the cells of {line}"
            );
            titles.iter().cloned().zip(cells).collect()
        })
        .collect()
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

/// What is written as code in a cell, piece by piece.
pub fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The text of a cell that is one piece of code and nothing else.
pub fn only_code(cell: &str) -> Option<&str> {
    let inner = cell.strip_prefix('`')?.strip_suffix('`')?;
    (!inner.contains('`')).then_some(inner)
}

/// The fenced blocks of YAML, each with the number of its first line.
pub fn yaml_blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if line == "```yaml" {
            let inner: Vec<_> = lines
                .by_ref()
                .take_while(|(_, line)| *line != "```")
                .collect();
            let first = inner.first().expect("a block that isn't empty").0 + 1;
            let text: Vec<&str> = inner.into_iter().map(|(_, line)| line).collect();
            blocks.push((first, text.join("\n")));
        }
    }
    blocks
}

/// What has to be done so that the document has what the code has, in the same order.
pub fn differences(table: &str, documented: &[String], in_code: &[String]) -> Vec<String> {
    let lacks = |list: &[String], entry: &String| !list.contains(entry);
    let mut todo: Vec<String> = Vec::new();
    for entry in in_code.iter().filter(|entry| lacks(documented, entry)) {
        todo.push(format!("add `{entry}` to the table \"{table}\""));
    }
    for (index, entry) in documented.iter().enumerate() {
        if lacks(in_code, entry) {
            todo.push(format!(
                "take `{entry}` out of the table \"{table}\": the code doesn't have it"
            ));
        } else if documented[..index].contains(entry) {
            todo.push(format!("list `{entry}` only once in the table \"{table}\""));
        }
    }
    todo
}

/// Fails with all that has to be done to the document.
pub fn assert_nothing_to_do(todo: &[String]) {
    assert!(todo.is_empty(), "{REFERENCE}:\n- {}", todo.join("\n- "));
}
