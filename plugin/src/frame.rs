//! Draws lines on the terminal in place of those that it drew before. docs/decisions/live-table.md has why no crate
//! does.

use std::io::{self, IsTerminal, Write};

use terminal_size::{Height, Width};

use crate::text::{width, without_colours};

const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";

/// Whether it can be drawn on standard output.
pub fn can_draw() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    io::stdout().is_terminal() && !is_dumb
}

/// Columns and lines of the terminal.
pub fn size() -> (usize, usize) {
    let size = terminal_size::terminal_size_of(io::stdout());
    let (Width(columns), Height(lines)) = size.unwrap_or((Width(80), Height(24)));
    // Some terminals don't know theirs.
    let known = |number: u16, otherwise: usize| {
        if number == 0 {
            otherwise
        } else {
            number.into()
        }
    };
    (known(columns, 80), known(lines, 24))
}

/// Whether colours are wanted: <https://no-color.org>.
pub fn has_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What is drawn, above the cursor. The cursor stays to be seen: whatever ends or stops the program, the terminal is as
/// it was.
#[derive(Default)]
pub struct Frame {
    widths: Vec<usize>,
}

impl Frame {
    /// Draws these lines, none of which is wider than the terminal, in place of the last ones.
    pub fn draw(&mut self, lines: &[String], columns: usize) -> io::Result<()> {
        let mut text = up(&self.widths, columns);
        for line in lines {
            text += line;
            text += CLEAR_LINE;
            text.push('\n');
        }
        text += CLEAR_BELOW;
        self.widths = lines
            .iter()
            .map(|line| width(&without_colours(line)))
            .collect();
        write(&text)
    }

    /// Whether something is drawn.
    pub fn is_drawn(&self) -> bool {
        !self.widths.is_empty()
    }

    /// Takes what is drawn away, so that something else can be written there.
    pub fn clear(&mut self, columns: usize) -> io::Result<()> {
        let text = up(&self.widths, columns) + CLEAR_BELOW;
        self.widths.clear();
        write(&text)
    }
}

/// To the first of lines of these widths. A terminal that became narrower may have broken some in several.
fn up(widths: &[usize], columns: usize) -> String {
    let rows = widths
        .iter()
        .map(|width| width.div_ceil(columns.max(1)).max(1));
    match rows.sum::<usize>() {
        0 => "\r".to_owned(),
        rows => format!("\r\u{1b}[{rows}A"),
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if !self.widths.is_empty() {
            // What Ctrl-C left on the line goes too. There is nobody to tell of a failure.
            let _ = write(&format!("\r{CLEAR_LINE}"));
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_up_counts_lines_that_a_narrower_terminal_broke() {
        let widths = [80, 0, 41];
        assert_eq!(up(&widths, 80), "\r\u{1b}[3A");
        assert_eq!(up(&widths, 40), "\r\u{1b}[5A");
        assert_eq!(up(&[], 80), "\r");
        assert_eq!(without_colours("a \u{1b}[31mb\u{1b}[0m c"), "a b c");
    }
}
