//! `cargo bench --bench fairness`: 1,000 objects on an account that throttles, beside a region that
//! doesn't; then what one object, namespace or region costs the others. On a real etcd and
//! kube-apiserver and a simulated task API.

mod figures;
mod report;
mod run;
mod scenario;
mod shares;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use testbed::harness::{Cluster, Result, machine, program, replace_section};

use report::Report;
use run::{Windows, run};
use scenario::{BASELINE_AGAIN, Name, SCENARIOS, Scenario};

/// How fair the controller is to 1,000 objects on an account that throttles, and to a region beside
/// it that doesn't; and what one object, namespace or region costs the others. Takes about 36
/// minutes.
#[derive(Parser)]
#[command(name = "fairness", bin_name = "cargo bench --bench fairness --")]
struct Arguments {
    /// Measure for a shorter time, to try it: about 18 minutes, and rough figures
    #[arg(long)]
    quick: bool,
    /// Run these scenarios only
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        value_delimiter = ',',
        value_name = "SCENARIO"
    )]
    only: Vec<Name>,
    /// Write the figures into docs/benchmarks.md
    #[arg(long, conflicts_with = "only")]
    write: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn scenarios(&self) -> Vec<Scenario> {
        let all = SCENARIOS.into_iter().chain([BASELINE_AGAIN]);
        all.filter(|scenario| self.wants(scenario.name)).collect()
    }

    fn wants(&self, name: Name) -> bool {
        self.only.is_empty() || self.only.contains(&name)
    }

    fn windows(&self, scenario: &Scenario) -> Windows {
        let (settling, measured) = match (self.quick, scenario.name) {
            (false, Name::A) => (30, 180),
            (false, _) => (90, 180),
            (true, Name::A) => (10, 40),
            (true, _) => (70, 80),
        };
        Windows {
            settling: Duration::from_secs(settling),
            measured: Duration::from_secs(measured),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.bench {
        println!("It measures, and tests nothing: cargo bench --bench fairness");
        return ExitCode::SUCCESS;
    }
    match bench(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("The benchmark could not run: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(arguments: &Arguments) -> Result<()> {
    let program = program()?;
    let cluster = Cluster::start().await?;
    let mut report = Report::new(machine(&cluster).await?);
    for scenario in arguments.scenarios() {
        let windows = arguments.windows(&scenario);
        let (settling, measured) = (windows.settling, windows.measured);
        eprintln!("{}: {}", scenario.title, scenario.meaning());
        eprintln!("  settles for {settling:?}, then is measured for {measured:?}");
        let figures = run(&cluster, &program, &scenario, windows).await?;
        report.add(scenario, windows, figures);
    }
    for name in shares::NAMES {
        if arguments.wants(name) {
            eprintln!("{}", name.trouble());
            let rows = shares::run(&cluster, &program, name, arguments.quick).await?;
            report.add_shares(rows);
        }
    }
    println!("\n{}", report.tables());
    if arguments.write {
        replace_section("fairness", &report.document())?;
        println!("Written into docs/benchmarks.md.");
    }
    Ok(())
}
