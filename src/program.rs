//! What each command of the program does.

use std::{
    error::Error,
    hash::{BuildHasher, RandomState},
    io::Write,
    process,
};

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    access_file::{self, AccessFileError},
    api,
    check::check,
    cli::{CheckArgs, Command, CrdArgs, CrdName, RunArgs, usage_error},
    controller, logging,
};

/// Shown to the user as it is.
type Failure = Box<dyn Error + Send + Sync>;

/// Does what the command says.
///
/// # Errors
/// Why it can't, in one line.
pub fn run(command: Command) -> Result<(), Failure> {
    // One TLS provider for the API server and the task API; only a second call could fail.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    match command {
        Command::Crd(args) => print_crds(&args),
        Command::Run(args) => run_controller(*args),
        Command::Check(args) => ask(&args),
    }
}

/// One document for each, such that `kubectl apply --filename -` takes them.
fn print_crds(args: &CrdArgs) -> Result<(), Failure> {
    let crds = match args.name {
        None => vec![api::crd(), api::source_crd()],
        Some(CrdName::ScaleOutTasks) => vec![api::crd()],
        Some(CrdName::ScaleOutTaskSources) => vec![api::source_crd()],
    };
    let documents: Vec<String> = crds.iter().map(api::crd_yaml).collect::<Result<_, _>>()?;
    std::io::stdout().write_all(documents.join("---\n").as_bytes())?;
    Ok(())
}

fn ask(args: &CheckArgs) -> Result<(), Failure> {
    let patience = args.wait.unwrap_or_default();
    let answer = runtime()?.block_on(check(&args.host, args.port, patience))?;
    println!("{answer}");
    Ok(())
}

fn run_controller(args: RunArgs) -> Result<(), Failure> {
    // A process-wide number that differs at each start; scatter needs no better randomness.
    let seed = RandomState::new().hash_one("seed");
    let mut settings = args
        .into_settings(seed)
        .unwrap_or_else(|error| error.exit());
    if let Some(path) = &settings.access_file {
        let rules = access_file::read(path).map_err(|error| match error {
            // Wrong usage, as a wrong flag is.
            AccessFileError::Malformed { .. } => usage_error(&error.to_string()).exit(),
            AccessFileError::Unreadable { .. } => error,
        })?;
        settings.scheduler.policy.access = Some(rules);
    }
    logging::init(settings.log_format, settings.log_filter.clone());
    let runtime = runtime()?;
    // A task of its own: what wakes the outermost future goes through the kernel.
    let running = runtime.spawn(async {
        let signals = Signals::listen()?;
        Box::pin(controller::run(settings, signals.shutdown())).await?;
        Ok::<(), Failure>(())
    });
    let done = runtime.block_on(running);
    // A look-up of a name that hangs must not hold up the end.
    runtime.shutdown_background();
    done?
}

/// All of it is waiting, and the little between is cheaper where no threads hand it on.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// The signals that ask the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Ends at the first signal. A second one ends the process at once.
    async fn shutdown(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            process::exit(1);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
