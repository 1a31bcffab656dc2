//! A screen of a terminal as an SVG.

use std::fmt::Write;

use terminal::vt100::{Cell, Color, Screen};

/// Pixels.
const CELL: (f32, f32) = (8.4, 19.0);
const FONT_SIZE: u8 = 14;
const MARGIN: f32 = 16.0;
const BACKGROUND: &str = "#1e2127";
const TEXT: &str = "#dcdfe4";
/// The terminal's first eight colours.
const COLOURS: [&str; 8] = [
    "#5c6370", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#dcdfe4",
];

/// Cells side by side that look alike.
struct Run {
    column: u16,
    columns: u16,
    text: String,
    colour: &'static str,
    is_bold: bool,
}

/// The command that was typed, and what then stood on the screen.
pub(super) fn drawing(command: &str, screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let mut lines: Vec<Vec<Run>> = (0..rows).map(|row| runs(screen, row)).collect();
    while lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines.insert(0, typed(command));
    let width = f32::from(columns) * CELL.0 + 2.0 * MARGIN;
    let (mut y, mut texts) = (MARGIN, String::new());
    for line in lines {
        y += CELL.1;
        for run in line {
            let _ = writeln!(texts, "{}", run.element(y - 5.0));
        }
    }
    let height = y + MARGIN;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="{FONT_SIZE}" xml:space="preserve">
<!-- Drawn by `cargo xtask pictures`. -->
<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>
{texts}</svg>
"#
    )
}

fn typed(command: &str) -> Vec<Run> {
    let text = format!("$ {command}");
    let columns = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    vec![Run {
        column: 0,
        columns,
        text,
        colour: TEXT,
        is_bold: true,
    }]
}

/// The runs of a line, without the blanks around them.
fn runs(screen: &Screen, row: u16) -> Vec<Run> {
    let columns = screen.size().1.get();
    let mut runs: Vec<Run> = Vec::new();
    let cells = (0..columns).filter_map(|column| Some((column, screen.cell(row, column)?)));
    for (column, cell) in cells.filter(|(_, cell)| !cell.is_wide_continuation()) {
        let text = if cell.has_contents() {
            cell.contents()
        } else {
            " "
        };
        let columns = if cell.is_wide() { 2 } else { 1 };
        let (colour, is_bold) = (colour(cell), cell.bold());
        match runs.last_mut() {
            Some(run)
                if run.column + run.columns == column
                    && (run.colour, run.is_bold) == (colour, is_bold)
                    && !(text == " " && run.text.ends_with(' ')) =>
            {
                run.text += text;
                run.columns += columns;
            }
            _ if text == " " => {}
            _ => runs.push(Run {
                column,
                columns,
                text: text.to_owned(),
                colour,
                is_bold,
            }),
        }
    }
    for run in &mut runs {
        if run.text.ends_with(' ') {
            run.text.pop();
            run.columns -= 1;
        }
    }
    runs
}

fn colour(cell: &Cell) -> &'static str {
    match cell.fgcolor() {
        Color::Idx(number) => COLOURS.get(usize::from(number)).copied().unwrap_or(TEXT),
        Color::Default | Color::Rgb(..) => TEXT,
    }
}

impl Run {
    /// As wide as its cells, whatever the font.
    fn element(&self, y: f32) -> String {
        let x = MARGIN + f32::from(self.column) * CELL.0;
        let width = f32::from(self.columns) * CELL.0;
        let weight = if self.is_bold {
            r#" font-weight="bold""#
        } else {
            ""
        };
        format!(
            r#"<text x="{x:.1}" y="{y:.1}" textLength="{width:.1}" fill="{}"{weight}>{}</text>"#,
            self.colour,
            escaped(&self.text)
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use terminal::vt100::Parser;

    use super::*;

    fn size(number: u16) -> NonZeroU16 {
        NonZeroU16::new(number).unwrap()
    }

    #[test]
    fn each_run_stands_at_its_column_with_its_colour() {
        let mut parser = Parser::new(size(3), size(30), 0);
        parser.process("a <b>  正在 x\r\n\u{1b}[31mfailed\u{1b}[0m, one".as_bytes());
        let svg = drawing("sot & more", parser.screen());
        for part in [
            r#"font-weight="bold">$ sot &amp; more</text>"#,
            r##"<text x="16.0" y="49.0" textLength="42.0" fill="#dcdfe4">a &lt;b&gt;</text>"##,
            r##"<text x="74.8" y="49.0" textLength="50.4" fill="#dcdfe4">正在 x</text>"##,
            r##"<text x="16.0" y="68.0" textLength="50.4" fill="#e06c75">failed</text>"##,
            r##"<text x="66.4" y="68.0" textLength="42.0" fill="#dcdfe4">, one</text>"##,
        ] {
            assert!(svg.contains(part), "{part} isn't in\n{svg}");
        }
    }
}
