//! Runs a script as the ACK task API.

use std::{
    error::Error,
    io::{self, IsTerminal, stderr},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, ValueEnum};
use simulator::{Credentials, DEMONSTRATION, Script, ScriptError, Simulator};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tracing::info;
use tracing_subscriber::EnvFilter;

/// A simulated ACK task API: its tasks change along their timelines, and its script can set faults.
#[derive(Parser)]
#[command(version, after_long_help = help())]
struct Arguments {
    /// The script; by default a demonstration (--help shows it)
    script: Option<PathBuf>,

    /// Address to listen on; requests may have any path before /tasks/ and /clusters/
    #[arg(long, default_value = "127.0.0.1:8081", env = "SIMULATOR_LISTEN")]
    listen: SocketAddr,

    /// Require requests that are signed with this access key or one of the script
    #[arg(long, requires = "access_key_secret", env = "SIMULATOR_ACCESS_KEY_ID")]
    access_key_id: Option<String>,

    /// The secret of that access key
    #[arg(
        long,
        requires = "access_key_id",
        env = "SIMULATOR_ACCESS_KEY_SECRET",
        hide_env_values = true
    )]
    access_key_secret: Option<String>,

    /// The security token that must be sent with that access key
    #[arg(
        long,
        requires = "access_key_id",
        env = "SIMULATOR_SECURITY_TOKEN",
        hide_env_values = true
    )]
    security_token: Option<String>,

    /// Format of the log, which has a line for each request
    #[arg(long, default_value = "text", env = "SIMULATOR_LOG_FORMAT")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For machines
    Json,
}

fn help() -> String {
    format!(
        "\
Example:
  simulator tasks.yaml --listen 127.0.0.1:8081
  curl http://127.0.0.1:8081/tasks/T-succeeds
  curl 'http://127.0.0.1:8081/clusters/c00000000000000000000000000000001/tasks?page_number=1&page_size=2'

STS (AssumeRole, AssumeRoleWithOIDC), an instance's metadata service (/latest/) and a credentials URI
(/credentials) are served at the same address. RUST_LOG filters the log.

The script of the demonstration:

{DEMONSTRATION}"
    )
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.log_format);
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let mut script = if let Some(path) = &arguments.script {
        Script::load(path).map_err(|error| match error {
            ScriptError::Yaml(_) => format!("{}: {error}", path.display()),
            named @ ScriptError::File { .. } => named.to_string(),
        })?
    } else {
        info!("no script was given: playing the demonstration");
        DEMONSTRATION.parse()?
    };
    let key = arguments.access_key_id.zip(arguments.access_key_secret);
    script
        .credentials
        .extend(key.map(|(access_key_id, access_key_secret)| Credentials {
            access_key_id,
            access_key_secret,
            security_token: arguments.security_token,
        }));
    let tasks: Vec<_> = script.tasks.iter().map(|task| task.id.clone()).collect();
    // Handle signals before the server listens.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signals = runtime.block_on(async { Signals::new() })?;
    let simulator = Simulator::start_on(script, arguments.listen)
        .map_err(|error| format!("can't listen on {}: {error}", arguments.listen))?;
    info!(url = simulator.url(), tasks = tasks.join(" "), "listening");
    let signal = runtime.block_on(signals.next());
    let (requests, lists) = (simulator.total_requests(), simulator.total_list_calls());
    info!(signal, requests, lists, "stopping");
    Ok(())
}

/// The signals that stop the program.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
