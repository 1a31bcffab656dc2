//! Chores of this repository.

mod chart_docs;
mod cluster_test;
mod demo;
mod image;
mod soak;
mod verbs;

use std::process::ExitCode;

use cluster_test::Images;

const USAGE: &str = "\
Usage: cargo demo [--keep]
       cargo xtask image [PROGRAM]
       cargo xtask program [PROGRAM]
       cargo xtask cluster-test [--import | --registry REGISTRY]
       cargo xtask chart-docs
       cargo xtask soak
       cargo xtask verbs DIRECTORY

`demo` shows the controller at work: a real etcd and kube-apiserver, a simulated task API and three
tasks, all on loopback, all gone afterwards. Needs Rust and Go, nothing else.

Options:
  --keep   Leave everything running until Ctrl-C, to try kubectl by hand

`image` writes an OCI image of the controller (or of `simulator`) into target/image, without a
container daemon, and the list of its parts (CycloneDX). The same source has the same image.

`program` builds just the static binary that such an image holds, and prints its path.

`cluster-test` tries the chart on the cluster that KUBECONFIG names: install, three tasks, upgrade,
fail-over, uninstall. --import builds the images first and brings them to the containerd of this
machine, which is the node then; with --registry they are pulled from there, once you have pushed
what `image` and `image simulator` made.

`chart-docs` brings the table of values in the chart's README up to date.

`soak` looks at a million states of the core and more under a model checker.

`verbs` compares what the chart lets the controller do with what it did in the tests, by the audit
logs that they keep where SCALEOUTTASK_AUDIT_DIR says.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["demo"] => demo::main(false),
        ["demo", "--keep"] => demo::main(true),
        ["image"] => image::main("scaleouttask-controller"),
        ["image", program] if !program.starts_with('-') => image::main(program),
        ["program"] => image::print_program("scaleouttask-controller"),
        ["program", program] if !program.starts_with('-') => image::print_program(program),
        ["cluster-test"] => cluster_test::main(&Images::Imported),
        ["cluster-test", "--import"] => cluster_test::main(&Images::Import),
        ["cluster-test", "--registry", registry] => {
            cluster_test::main(&Images::In((*registry).to_owned()))
        }
        ["chart-docs"] => chart_docs::main(),
        ["soak"] => soak::main(),
        ["verbs", directory] if !directory.starts_with('-') => verbs::main(directory),
        [
            "demo" | "image" | "program" | "cluster-test" | "chart-docs" | "soak" | "verbs",
            "-h" | "--help",
        ]
        | ["-h" | "--help"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
