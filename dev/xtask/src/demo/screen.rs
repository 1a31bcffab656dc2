//! The output of the demo. If standard output is not a terminal, only plain lines are appended.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU8, Ordering};

/// The indentation of lines within a step.
pub(crate) const INDENT: &str = "      ";

const BOLD: &str = "1";
const GREEN: &str = "32";

/// The steps announced so far.
static STEP: AtomicU8 = AtomicU8::new(0);

/// Announces the next step.
pub(crate) fn step(title: &str) {
    let number = STEP.fetch_add(1, Ordering::Relaxed) + 1;
    say(&paint(BOLD, format!("[{number}] {title}")));
}

/// Reports that a step or a part of it succeeded.
pub(crate) fn done(text: impl Display) {
    say(&format!("{INDENT}{} {text}", paint(GREEN, "✓")));
}

/// Prints a command that the reader could type.
pub(crate) fn command(text: impl Display) {
    say(&format!("\n{}", paint(BOLD, format!("$ {text}"))));
}

/// Prints lines. Ignores a closed output.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// The columns that the table shows, and their widths, so that rows of different times are aligned.
const COLUMNS: [(&str, usize); 7] = [
    ("NAME", 29),
    ("STATE", 10),
    ("PROGRESS", 11),
    ("NODES", 8),
    ("READY", 8),
    ("REASON", 18),
    ("AGE", 0),
];

/// A table that changes.
#[derive(Default)]
pub(crate) struct Table {
    shown: Vec<Vec<String>>,
}

impl Table {
    /// Redraws kubectl's table in place, or appends the rows that changed.
    pub(crate) fn show(&mut self, text: &str) {
        let rows = shown(&cells(text));
        if is_terminal() && !self.shown.is_empty() {
            let _ = write!(std::io::stdout(), "\x1b[{}A\x1b[J", self.shown.len());
            self.shown.clear();
        }
        for row in &rows {
            // A new age alone is not a change.
            let seen = |shown: &Vec<String>| state(shown) == state(row);
            if !self.shown.iter().any(seen) {
                say(&aligned(row));
            }
        }
        self.shown = rows;
    }
}

/// The cells of kubectl's table. The first line shows where each column begins.
fn cells(text: &str) -> Vec<Vec<String>> {
    let header = text.lines().next().unwrap_or_default();
    let begins = |(at, c): (usize, char)| c != ' ' && (at == 0 || header[..at].ends_with(' '));
    let columns: Vec<usize> = header
        .char_indices()
        .filter(|at| begins(*at))
        .map(|at| at.0)
        .collect();
    let row = |line: &str| {
        let ends = columns.iter().skip(1).copied().chain([line.len()]);
        let cell = |(begin, end): (&usize, usize)| {
            line.get(*begin..end).unwrap_or_default().trim().to_owned()
        };
        columns.iter().zip(ends).map(cell).collect()
    };
    text.lines().map(row).collect()
}

/// The columns that are shown, in their order.
fn shown(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    let titles = rows.first().map_or(&[][..], Vec::as_slice);
    let at = |title| titles.iter().position(|other| other == title);
    let columns: Vec<usize> = COLUMNS.iter().filter_map(|(title, _)| at(title)).collect();
    let chosen = |row: &Vec<String>| {
        let cells = columns.iter().filter_map(|at| row.get(*at));
        cells.cloned().collect()
    };
    rows.iter().map(chosen).collect()
}

fn aligned(row: &[String]) -> String {
    let pad = |(cell, width): (&String, usize)| format!("{cell:<width$}");
    let widths = COLUMNS.iter().map(|(_, width)| *width);
    row.iter().zip(widths).map(pad).collect::<Vec<_>>().concat()
}

/// A row without its last cell, the age.
fn state(row: &[String]) -> &[String] {
    row.split_last().map_or(row, |(_, state)| state)
}

fn paint(style: &str, text: impl Display) -> String {
    if is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        return format!("\x1b[{style}m{text}\x1b[0m");
    }
    text.to_string()
}

/// Whether a reader can type that name.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_different_times_are_aligned() {
        let early = cells("NAME   STATE   READY   AGE\nweb                    0s\n");
        assert_eq!(
            early,
            [["NAME", "STATE", "READY", "AGE"], ["web", "", "", "0s"]]
        );
        let late = cells("NAME   STATE     READY   AGE\nweb    running   False   3s\n");
        assert_eq!(late[1], ["web", "running", "False", "3s"]);
        assert_eq!(aligned(&early[1]).find("0s"), aligned(&late[1]).find("3s"));
    }

    #[test]
    fn of_all_columns_some_are_shown() {
        let rows = cells(
            "NAME   READY   AGE   TASK   NODES   MESSAGE\napp    False   9s    T-1    1/2     text\n",
        );
        let expected = [
            ["NAME", "NODES", "READY", "AGE"],
            ["app", "1/2", "False", "9s"],
        ];
        assert_eq!(shown(&rows), expected);
    }
}
