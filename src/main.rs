//! The controller's process.

use std::{
    hash::{BuildHasher, RandomState},
    io::Write,
    process::ExitCode,
};

use scaleouttask_controller::{
    api,
    check::check,
    cli::{CheckArgs, Cli, Command, RunArgs},
    controller, logging,
};
use tokio::signal::unix::{SignalKind, signal};

/// The static program's own allocator asks the kernel for memory at nearly every poll.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Said to the user as it is.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    // One TLS provider for the API server and the task API; only a second call could fail.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let done = match Cli::from_command_line().command {
        Command::Crd => print_crd(),
        Command::Run(args) => run(*args),
        Command::Check(args) => ask(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_crd() -> Result<(), Failure> {
    std::io::stdout().write_all(api::crd_yaml()?.as_bytes())?;
    Ok(())
}

fn ask(args: &CheckArgs) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let patience = args.wait.unwrap_or_default();
    let said = runtime.block_on(check(&args.host, args.port, patience))?;
    println!("{said}");
    Ok(())
}

fn run(args: RunArgs) -> Result<(), Failure> {
    // A process-wide number that differs at each start; scatter needs no better randomness.
    let seed = RandomState::new().hash_one("seed");
    let settings = args
        .into_settings(seed)
        .unwrap_or_else(|error| error.exit());
    logging::init(settings.log_format, settings.log_filter.clone());

    // All of it is waiting, and the little between is cheaper where no threads hand it on.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // A task of its own: what wakes the outermost future goes through the kernel.
    let running = runtime.spawn(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stopped = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        controller::run(settings, stopped).await?;
        Ok::<(), Failure>(())
    });
    let done = runtime.block_on(running);
    // A look-up of a name that hangs must not hold up the end.
    runtime.shutdown_background();
    done?
}
