//! Commands for work on this repository.

mod arm64_test;
mod cargo;
mod chart_docs;
mod cluster;
mod cluster_test;
mod demo;
mod dns_test;
mod image;
mod plugin;
mod soak;
mod tenants_test;
mod verbs;
mod versions;

use std::process::ExitCode;

use cluster::Images;
use demo::Options;

const USAGE: &str = "\
Usage: cargo demo [--keep] [--context NAME]
       cargo xtask image [PROGRAM] [--arch amd64|arm64]
       cargo xtask program [PROGRAM] [--arch amd64|arm64]
       cargo xtask plugin [--url URL]
       cargo xtask pictures
       cargo xtask arm64-test
       cargo xtask cluster-test [--import | --registry REGISTRY]
       cargo xtask tenants-test [--import | --registry REGISTRY]
       cargo xtask dns-test
       cargo xtask chart-docs
       cargo xtask versions [--brief] [1.MINOR...]
       cargo xtask soak
       cargo xtask verbs DIRECTORY

`demo` shows the controller at work: a real etcd and kube-apiserver, a simulated task API and four
tasks, of which one waits for its nodes. All run on loopback and are removed at the end. Needs only Rust
and Go.

Options:
  --keep           Keep everything running until Ctrl-C, to try kubectl
  --context NAME   Use the cluster of this context in place of one of its own, with a namespace that
                   goes afterwards, and the CRD too unless it was there; without the task that waits
                   for nodes, for it makes no Nodes there

`image` writes an OCI image of the controller (or of `simulator`) for all architectures into
target/image, without a container daemon, and the list of its parts (CycloneDX). The same source gives
the same image.

`program` builds only the static binary for the image, for this machine, and prints its path.

`plugin` writes archives of kubectl-scaleouttask for all architectures, their checksums and a krew manifest
into target/plugin. The manifest says that the archives are at URL.

`pictures` draws docs/pictures from a run of the demo.

`arm64-test` runs the controller and the plugin for arm64 under qemu: the CRD, the signatures, and the demo
to its end. Where qemu or the C compiler for arm64 is missing, it installs them from Debian's packages.

`cluster-test` tests the chart on the cluster in KUBECONFIG: install, three tasks, waiting for a node,
tasks that nobody named, upgrade, failover, uninstall. --import builds the images and imports them into
the containerd of this machine, which must be the node, and gives that one a provider ID if it has none.
With --registry, the images are pulled from there; first push the images that `image` and `image
simulator` write.

`tenants-test` installs the chart on that cluster as docs/tenants.md has it, and lets tenants try what
each set-up promises to refuse. It makes and deletes the namespaces team-a and team-b.

`dns-test` tests how the static program finds hosts by their names where DNS fails in part or is slow. It
needs user namespaces, `ip` and `mount`, and touches nothing outside namespaces of its own.

`chart-docs` updates the table of values in the chart's README.

`versions` runs the tests that speak with an API server against the newest patch of each supported
minor version of Kubernetes, or of those named. It builds each kube-apiserver once.

`soak` runs the model checker over more than a million states, and disturbs each request of a source
in each way.

`verbs` compares the permissions in the chart with the requests of the controller in the tests. It
reads the audit logs that tests write to SCALEOUTTASK_AUDIT_DIR.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["demo", rest @ ..] if let Some(options) = Options::of(rest) => demo::main(&options),
        ["image", rest @ ..] if let Some(done) = image::main(rest) => done,
        ["program", rest @ ..] if let Some(done) = image::print_program(rest) => done,
        ["plugin", rest @ ..] if let Some(done) = plugin::main(rest) => done,
        ["pictures"] => demo::pictures::main(),
        ["arm64-test"] => arm64_test::main(),
        ["cluster-test", rest @ ..] if let Some(images) = Images::of(rest) => {
            cluster_test::main(&images)
        }
        ["tenants-test", rest @ ..] if let Some(images) = Images::of(rest) => {
            tenants_test::main(&images)
        }
        ["dns-test"] => dns_test::main(),
        // What it runs in namespaces of its own.
        ["dns-test", "--inside", program] => dns_test::inside(program),
        ["chart-docs"] => chart_docs::main(),
        ["versions", rest @ ..] if let Some(choice) = versions::Choice::of(rest) => {
            versions::main(&choice)
        }
        ["soak"] => soak::main(),
        ["verbs", directory] if !directory.starts_with('-') => verbs::main(directory),
        [
            "demo" | "image" | "program" | "plugin" | "pictures" | "arm64-test" | "cluster-test"
            | "tenants-test" | "dns-test" | "chart-docs" | "versions" | "soak" | "verbs",
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
