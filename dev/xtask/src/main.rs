//! Commands for work on this repository.

mod chart_docs;
mod cluster;
mod cluster_test;
mod demo;
mod image;
mod soak;
mod tenants_test;
mod verbs;
mod versions;

use std::process::ExitCode;

use cluster::Images;

const USAGE: &str = "\
Usage: cargo demo [--keep]
       cargo xtask image [PROGRAM]
       cargo xtask program [PROGRAM]
       cargo xtask cluster-test [--import | --registry REGISTRY]
       cargo xtask tenants-test [--import | --registry REGISTRY]
       cargo xtask chart-docs
       cargo xtask versions [1.MINOR...]
       cargo xtask soak
       cargo xtask verbs DIRECTORY

`demo` shows the controller at work: a real etcd and kube-apiserver, a simulated task API and three
tasks. All run on loopback and are removed at the end. Needs only Rust and Go.

Options:
  --keep   Keep everything running until Ctrl-C, to try kubectl

`image` writes an OCI image of the controller (or of `simulator`) into target/image, without a
container daemon, and the list of its parts (CycloneDX). The same source gives the same image.

`program` builds only the static binary for the image, and prints its path.

`cluster-test` tests the chart on the cluster in KUBECONFIG: install, three tasks, upgrade, failover,
uninstall. --import builds the images and imports them into the containerd of this machine, which must
be the node. With --registry, the images are pulled from there; first push the images that `image` and
`image simulator` write.

`tenants-test` installs the chart on that cluster as docs/tenants.md has it, and lets tenants try what
each set-up promises to refuse. It makes and deletes the namespaces team-a and team-b.

`chart-docs` updates the table of values in the chart's README.

`versions` runs the tests that speak with an API server against the newest patch of each supported
minor version of Kubernetes, or of those named. It builds each kube-apiserver once.

`soak` runs the model checker over more than a million states.

`verbs` compares the permissions in the chart with the requests of the controller in the tests. It
reads the audit logs that tests write to SCALEOUTTASK_AUDIT_DIR.";

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
        ["cluster-test", rest @ ..] if let Some(images) = Images::of(rest) => {
            cluster_test::main(&images)
        }
        ["tenants-test", rest @ ..] if let Some(images) = Images::of(rest) => {
            tenants_test::main(&images)
        }
        ["chart-docs"] => chart_docs::main(),
        ["versions", rest @ ..] if let Some(minors) = versions::minors(rest) => {
            versions::main(&minors)
        }
        ["soak"] => soak::main(),
        ["verbs", directory] if !directory.starts_with('-') => verbs::main(directory),
        [
            "demo" | "image" | "program" | "cluster-test" | "tenants-test" | "chart-docs"
            | "versions" | "soak" | "verbs",
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
