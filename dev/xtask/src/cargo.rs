//! Cargo, run by one of these commands, which cargo itself runs.

use std::process::Command;

/// Without the variables of this package that `cargo run` sets: they would make build scripts run again.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let ours = ["CARGO_MANIFEST_", "CARGO_PKG_"];
        let name = name.to_string_lossy();
        if ours.iter().any(|ours| name.starts_with(ours)) {
            cargo.env_remove(&*name);
        }
    }
    cargo
}
