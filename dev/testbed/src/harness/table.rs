//! Tables in Markdown, aligned so that they are readable in a terminal too.

use std::fmt;

/// A table with a row of titles.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(titles: &[&str]) -> Self {
        Self {
            rows: vec![titles.iter().copied().map(str::to_owned).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(formatter, "| {cell:<width$} ")?;
            }
            writeln!(formatter, "|")?;
            if number == 0 {
                let lines = widths.iter().map(|width| "-".repeat(*width));
                let lines: Vec<String> = lines.collect();
                writeln!(formatter, "| {} |", lines.join(" | "))?;
            }
        }
        Ok(())
    }
}
