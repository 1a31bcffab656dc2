//! Prints lines. Where nobody reads them any more, there is nobody to tell.

use std::io::{self, Write};

/// To standard output.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// To standard error: what isn't a change of an object.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", crate::text::clean(line));
}
