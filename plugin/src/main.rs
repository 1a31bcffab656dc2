//! `kubectl scaleouttask`: start, watch and understand a task from the terminal.
//!
//! What is shown is decided by a pure core: [`answer`], [`row`], [`board`], [`looks`], [`table`], [`lines`], [`explain`],
//! [`advice`] and [`retries`] turn objects, failures and times into text, waits and an exit code. Around it a thin shell:
//! [`cluster`], [`watch`], [`live`] and [`signals`].

mod advice;
mod answer;
mod board;
mod cli;
mod cluster;
mod commands;
mod complete;
mod exit;
mod explain;
mod failure;
mod frame;
mod lines;
mod live;
mod looks;
mod output;
mod proxy;
mod retries;
mod row;
mod signals;
mod table;
mod target;
mod text;
mod track;
mod watch;

use std::{env, process::ExitCode};

use clap::Parser;

use crate::{cli::Cli, exit::Exit};

/// What kubectl calls to complete a command line. Not one of clap's commands, which would take the line's options for
/// its own.
const COMPLETE: &str = "__complete";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut words = env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned());
    let code = if words.next().as_deref() == Some(COMPLETE) {
        complete::complete(&words.collect::<Vec<_>>()).await;
        Exit::Succeeded
    } else {
        run().await
    };
    // Not by returning: a look-up of a name, or a read of a terminal, may hang in a thread.
    std::process::exit(code.into())
}

async fn run() -> Exit {
    match Cli::try_parse() {
        Ok(cli) => Box::pin(commands::run(cli))
            .await
            .unwrap_or_else(|failure| {
                output::note(&failure.to_string());
                failure.exit
            }),
        Err(error) => {
            // Nobody reads it any more: there is nobody to tell.
            let _ = error.print();
            let is_help = error.exit_code() == 0;
            if is_help {
                Exit::Succeeded
            } else {
                Exit::Usage
            }
        }
    }
}
