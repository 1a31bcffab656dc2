//! The output of the demo. If standard output is not a terminal, only plain lines are appended.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::Path;
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

fn paint(style: &str, text: impl Display) -> String {
    if is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
        return format!("\x1b[{style}m{text}\x1b[0m");
    }
    text.to_string()
}

/// Whether a reader can type that name.
pub(crate) fn is_on_path(program: impl AsRef<Path>) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(&program).is_file())
}

fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}
