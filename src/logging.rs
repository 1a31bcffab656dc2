//! Logging to standard error.

use std::io;

use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::LogFormat;

/// Sets up logging for the process. A second call has no effect.
pub fn init(format: LogFormat, filter: EnvFilter) {
    // Where nobody reads the log any more, the work goes on without: saying so would fail as well, by a panic.
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .log_internal_errors(false);
    let set = match format {
        LogFormat::Text => lines
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .with_target(false)
            .try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    // Fails only at a second call.
    drop(set);
}
