//! Chores of this repository.

mod demo;
mod soak;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo demo [--keep]
       cargo xtask soak

`demo` shows the controller at work: a real etcd and kube-apiserver, a simulated task API and three
tasks, all on loopback, all gone afterwards. Needs Rust and Go, nothing else.

Options:
  --keep   Leave everything running until Ctrl-C, to try kubectl by hand

`soak` looks at a million states of the core and more under a model checker.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["demo"] => demo::main(false),
        ["demo", "--keep"] => demo::main(true),
        ["soak"] => soak::main(),
        ["demo" | "soak", "-h" | "--help"] | ["-h" | "--help"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
