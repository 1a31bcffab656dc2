//! `cargo xtask tenants-test`: tries the set-ups of `docs/tenants.md` on a real cluster with nodes.
//!
//! Each is installed with its own file of values. Then its tenants try what it promises to refuse or to
//! bound, as users of the cluster, and see what users see.

mod one_team;
mod releases;
mod shared;
mod stage;
mod tries;
mod user;

use std::{process::ExitCode, time::Instant};

use crate::cluster::{Cluster, Error, Images, SYSTEM, step};
use stage::{Stage, TEAMS};

/// Installs the chart, and lets tenants try.
type SetUp = fn(&Stage) -> Result<(), Error>;

/// Runs the test.
pub fn main(images: &Images) -> ExitCode {
    let began = Instant::now();
    match run(images) {
        Ok(()) => {
            let seconds = began.elapsed().as_secs();
            println!("The set-ups keep their promises. The test took {seconds} s.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nThe test of tenants failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(images: &Images) -> Result<(), Error> {
    let cluster = Cluster::find()?;
    images.prepare()?;
    let stage = Stage {
        cluster: &cluster,
        images,
    };
    let set_ups: [(&str, SetUp); 3] = [
        ("One team's cluster", one_team::run),
        ("A shared controller", shared::run),
        ("A release for each tenant", releases::run),
    ];
    for (title, set_up) in set_ups {
        cluster.clean()?;
        step(title);
        let result = set_up(&stage);
        if result.is_err() {
            for namespace in [SYSTEM].iter().chain(&TEAMS) {
                cluster.show_state(namespace);
            }
        }
        let cleaned = stage.uninstall();
        result.and(cleaned)?;
    }
    Ok(())
}
