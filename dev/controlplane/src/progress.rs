//! Shows the progress while the programs are being built.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// How often a line is repeated if it cannot be redrawn in place.
const REPEAT: Duration = Duration::from_secs(15);

/// Receives the progress of a build.
pub trait Progress {
    /// Another process builds the programs, and this one waits for it. Called once.
    fn waiting(&mut self);
    /// The build of these programs into `directory` starts. Called once.
    fn started(&mut self, programs: &[&str], directory: &Path);
    /// `program` is being built. Called about ten times a second.
    fn building(&mut self, program: &str);
    /// `program` is built.
    fn built(&mut self, program: &str);
}

/// Writes the progress to standard error, also in tests, whose other output is captured.
#[derive(Debug, Default)]
pub struct StderrProgress {
    indent: &'static str,
    line: Option<StatusLine>,
}

impl StderrProgress {
    /// Puts `indent` before each line.
    #[must_use]
    pub fn indented(indent: &'static str) -> Self {
        Self { indent, line: None }
    }

    fn print(&self, text: &str) {
        draw(&format!("{}{text}\n", self.indent));
    }
}

impl Progress for StderrProgress {
    fn waiting(&mut self) {
        self.print("Waiting for another process that builds the test control plane.");
    }

    fn started(&mut self, programs: &[&str], directory: &Path) {
        let programs = match programs {
            [others @ .., last] if !others.is_empty() => {
                format!("{} and {last}", others.join(", "))
            }
            _ => programs.concat(),
        };
        self.print(&format!(
            "Building {programs} from source. This happens once and takes some"
        ));
        self.print(&format!("minutes; it goes to {}", directory.display()));
    }

    fn building(&mut self, program: &str) {
        let indent = self.indent;
        self.line
            .get_or_insert_with(|| StatusLine::new(indent, &format!("building {program}")))
            .tick();
    }

    fn built(&mut self, program: &str) {
        if let Some(line) = self.line.take() {
            line.finish(&format!("built {program}"));
        }
    }
}

/// One line on standard error for something that takes a while, with the time so far. On a terminal,
/// it is redrawn in place. Elsewhere, it is repeated every 15 s.
#[derive(Debug)]
pub struct StatusLine {
    indent: &'static str,
    label: String,
    started: Instant,
    repeated: Instant,
    terminal: bool,
}

impl StatusLine {
    /// Starts the clock of the line. Nothing is drawn before the first [`tick`](Self::tick).
    #[must_use]
    pub fn new(indent: &'static str, label: &str) -> Self {
        let now = Instant::now();
        Self {
            indent,
            label: label.to_owned(),
            started: now,
            repeated: now,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Redraws the line. Call it about ten times a second.
    pub fn tick(&mut self) {
        let elapsed = self.started.elapsed();
        let (indent, label, time) = (self.indent, &self.label, duration(elapsed));
        if self.terminal {
            let frame = usize::try_from(elapsed.as_millis() / 100).unwrap_or_default();
            let frame = FRAMES[frame % FRAMES.len()];
            draw(&format!("\r{indent}{frame} {label} ({time})\x1b[K"));
        } else if self.repeated.elapsed() >= REPEAT {
            self.repeated = Instant::now();
            draw(&format!("{indent}… {label} ({time})\n"));
        }
    }

    /// Ends the line with `done` and the time it took.
    pub fn finish(mut self, done: &str) {
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        let (indent, time) = (self.indent, duration(self.started.elapsed()));
        draw(&format!("{start}{indent}✓ {done} ({time})\n"));
        self.terminal = false;
    }
}

impl Drop for StatusLine {
    /// Removes an unfinished line, as an error follows.
    fn drop(&mut self) {
        if self.terminal {
            draw("\r\x1b[K");
        }
    }
}

fn duration(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s => format!("{} min {:02} s", s / 60, s % 60),
    }
}

/// Avoids `eprint!`, which tests capture.
fn draw(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}
