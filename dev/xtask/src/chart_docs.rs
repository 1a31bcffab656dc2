//! `cargo xtask chart-docs`: writes the table of values in the chart's README from the comments in
//! `values.yaml`.

use std::fmt::Write as _;
use std::fs::{read_to_string, write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

const CHART: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../charts/scaleouttask-controller"
);

/// The table is between the lines that begin with these.
const BEGIN: &str = "<!-- values: begin";
const END: &str = "<!-- values: end";

/// Updates the README.
pub fn main() -> ExitCode {
    match update() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn update() -> Result<(), String> {
    let readme = Path::new(CHART).join("README.md");
    let text = with_table(&read(&readme)?, &table(&read_values()?)?)?;
    write(&readme, text).map_err(|error| format!("can't write {}: {error}", readme.display()))
}

fn read_values() -> Result<String, String> {
    read(&Path::new(CHART).join("values.yaml"))
}

fn read(path: &Path) -> Result<String, String> {
    read_to_string(path).map_err(|error| format!("can't read {}: {error}", path.display()))
}

/// A value and its comment.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    path: String,
    meaning: String,
}

/// The values with comments that begin with `# --`, in their order.
fn entries(values: &str) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let mut parents: Vec<(usize, &str)> = Vec::new();
    let mut comment: Option<String> = None;
    // Lines with more indentation belong to the default of the last value.
    let mut within: Option<usize> = None;
    for line in values.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(words) = text.strip_prefix('#') {
            match (words.strip_prefix(" -- "), &mut comment) {
                (Some(first), _) => comment = Some(first.to_owned()),
                (None, Some(comment)) => *comment += words,
                (None, None) => {}
            }
            continue;
        }
        if text.is_empty() || within.is_some_and(|outer| indent > outer) {
            continue;
        }
        let Some((key, rest)) = text.split_once(':') else {
            return Err(format!("values.yaml: {line:?} is not a value"));
        };
        parents.retain(|(outer, _)| *outer < indent);
        parents.push((indent, key));
        let keys: Vec<&str> = parents.iter().map(|(_, key)| *key).collect();
        let path = keys.join(".");
        within = comment.as_ref().map(|_| indent);
        match comment.take() {
            Some(meaning) => entries.push(Entry { path, meaning }),
            None if rest.is_empty() => {}
            None => {
                return Err(format!(
                    "values.yaml: {path} has no comment that begins with `# --`"
                ));
            }
        }
    }
    Ok(entries)
}

fn table(values: &str) -> Result<String, String> {
    let defaults: Value =
        serde_saphyr::from_str(values).map_err(|error| format!("values.yaml: {error}"))?;
    let mut table = "| value | default | meaning |\n| --- | --- | --- |\n".to_owned();
    for Entry { path, meaning } in entries(values)? {
        let default = defaults.pointer(&format!("/{}", path.replace('.', "/")));
        let default = default.ok_or_else(|| format!("values.yaml: {path} can't be found"))?;
        let meaning = meaning.replace('|', "\\|");
        // Writing to a string can't fail.
        let _ = writeln!(table, "| `{path}` | `{default}` | {meaning} |");
    }
    Ok(table)
}

/// The text with its table replaced by this one.
fn with_table(text: &str, table: &str) -> Result<String, String> {
    let parts = text.find(BEGIN).zip(text.find(END));
    let begin_end = parts.and_then(|(begin, end)| Some((begin + text[begin..].find('\n')?, end)));
    match begin_end {
        Some((begin, end)) if begin < end => {
            Ok(format!("{}\n\n{table}\n{}", &text[..begin], &text[end..]))
        }
        _ => Err(format!(
            "README.md has no lines {BEGIN} … --> and {END} … -->"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_in_the_readme_is_up_to_date() {
        let readme = read(&Path::new(CHART).join("README.md")).unwrap();
        let table = table(&read_values().unwrap()).unwrap();
        assert!(
            with_table(&readme, &table).unwrap() == readme,
            "the chart's README.md is stale: cargo xtask chart-docs"
        );
    }

    #[test]
    fn comments_become_rows_with_path_and_default() {
        let values = "# A file.

# -- First,
# on two lines.
one: 1
group:
  # -- Lists | maps.
  two:
    a: [b]
    # inside
    c: d
  # -- Last.
  three: \"\"
";
        assert_eq!(
            table(values).unwrap(),
            "| value | default | meaning |
| --- | --- | --- |
| `one` | `1` | First, on two lines. |
| `group.two` | `{\"a\":[\"b\"],\"c\":\"d\"}` | Lists \\| maps. |
| `group.three` | `\"\"` | Last. |
"
        );
    }

    #[test]
    fn a_value_without_a_comment_is_an_error_with_its_name() {
        let error = entries("group:\n  one: 1\n").unwrap_err();
        assert!(error.contains("group.one"), "{error}");
    }
}
