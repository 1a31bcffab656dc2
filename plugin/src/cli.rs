//! The command line.
#![expect(clippy::doc_markdown, reason = "the comments are what `--help` shows")]

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use scaleouttask_controller::api::{is_task_id, parse_duration};
use tokio::time::Instant;

use crate::{lines::Format, target::Target};

/// Start, watch and understand tasks of Alibaba Cloud's Container Service (ACK).
///
/// Exit codes of track and watch: 0 all succeeded, 1 one ended badly, 2 one can't be tracked until somebody mends
/// something, 3 --wait-timeout passed, 4 one was deleted meanwhile, 64 wrong usage or input, 130 Ctrl-C, 143 SIGTERM. Of the other
/// commands: 0 done, 2 not possible, 64 wrong usage; poll also has 3 and 4.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl scaleouttask",
    bin_name = "kubectl scaleouttask",
    // A script's own option gives way to its caller's.
    args_override_self = true,
    version
)]
pub struct Cli {
    #[command(flatten)]
    pub target: Target,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Track a task: make its ScaleOutTask, and watch it to its end.
    Track(TrackArgs),
    /// Watch objects live, until all have ended. Without a choice: those that haven't ended yet.
    Watch(WatchArgs),
    /// Say what is wrong with one and what to do about it.
    Why {
        /// Its name.
        #[arg(value_parser = object_name)]
        name: String,
    },
    /// Have objects looked at now, and wait until that was done.
    Poll(PollArgs),
    /// Have objects not looked at any more, until they are resumed.
    Suspend(Names),
    /// Have suspended objects looked at again.
    Resume(Names),
}

#[derive(Args, Debug)]
pub struct TrackArgs {
    /// ID of the task, or - to read it from standard input: the JSON answer of the call that started the task, with
    /// task_id or taskId in it, or the ID alone.
    pub task_id: String,
    /// Name of the object; by default it is made of the task's ID, in lower case.
    #[arg(long, value_parser = object_name)]
    pub name: Option<String>,
    /// Region of the task; by default the controller's.
    #[arg(long)]
    pub region: Option<String>,
    /// Cluster that the task must belong to.
    #[arg(long)]
    pub cluster_id: Option<String>,
    /// Have the controller stop tracking so long after the object was made, such as 30m.
    #[arg(long, value_name = "DURATION", value_parser = duration_text)]
    pub timeout: Option<String>,
    /// Wait until the nodes of all instances are Ready too.
    #[arg(long)]
    pub wait_for_nodes: bool,
    /// Delete the object so long after it finished, such as 1h.
    #[arg(long, value_name = "DURATION", value_parser = whole_seconds)]
    pub ttl: Option<i32>,
    /// Only make the object, and print its name.
    #[arg(long, conflicts_with = "output")]
    pub no_wait: bool,
    #[command(flatten)]
    pub waiting: Waiting,
}

#[derive(Args, Debug)]
pub struct WatchArgs {
    /// Their names.
    #[arg(conflicts_with_all = ["selector", "all", "all_namespaces"], value_parser = object_name)]
    pub names: Vec<String>,
    /// Those with these labels.
    #[arg(short = 'l', long, conflicts_with = "all")]
    pub selector: Option<String>,
    /// All, also those that have ended already.
    #[arg(long)]
    pub all: bool,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    #[command(flatten)]
    pub waiting: Waiting,
}

/// How long to wait, and how to show it.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Waiting {
    /// Wait no longer than this, such as 30m.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait_timeout: Option<Duration>,
    /// Print a line a change in this form; by default that is plain where there is no terminal.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

impl Waiting {
    /// The end of waiting that begins now.
    pub fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.wait_timeout?)
    }
}

#[derive(Args, Debug)]
pub struct PollArgs {
    #[command(flatten)]
    pub names: Names,
    /// Wait no longer than this.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub wait_timeout: Duration,
}

#[derive(Args, Debug)]
pub struct Names {
    /// Their names.
    #[arg(required = true, value_name = "NAME", value_parser = object_name)]
    pub names: Vec<String>,
}

/// A name, also as `kubectl -o name` writes it.
fn object_name(text: &str) -> Result<String, String> {
    let name = match text.split_once('/') {
        None => Some(text),
        Some((kind, name)) => match kind.strip_suffix(".scaleout.dev").unwrap_or(kind) {
            "scaleouttask" | "scaleouttasks" | "sot" => Some(name),
            _ => None,
        },
    };
    // As the API server has it (RFC 1123).
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    let name = name.filter(|name| !name.is_empty() && name.chars().all(is_plain));
    name.map(str::to_owned).ok_or_else(|| {
        let expected = "expected lower-case letters, digits, '-' and '.'";
        let is_task = text.starts_with("T-") && is_task_id(text);
        let hint = format!("; `kubectl get sot -o name --field-selector=spec.taskId={text}` names the task's object");
        let hint = if is_task { &hint } else { "" };
        format!("can't be the name of a ScaleOutTask: {expected}{hint}")
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// A duration, as it was written: the API server reads it too.
fn duration_text(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

fn whole_seconds(text: &str) -> Result<i32, String> {
    let duration = duration(text)?;
    if duration.subsec_nanos() != 0 {
        return Err("must be whole seconds, such as 90s".to_owned());
    }
    i32::try_from(duration.as_secs()).map_err(|_| "is too long: 68 years are the most".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for line in [
            "",
            "track",
            "track T-1 T-2",
            "track T-1 --no-wait --output json",
            "track T-1 --timeout soon",
            "track T-1 --timeout 5",
            "track T-1 --ttl 1.5s",
            "track T-1 --ttl 700000h",
            "track T-1 --output yaml",
            "watch a --all",
            "watch -l a=b --all",
            "watch a -l a=b",
            "why",
            "why a -A",
            "watch a -A",
            "track T-1 --name A",
            "why pod/a",
            "why sot/",
            "why T-1",
            "why a -n ../b",
            "why a?b",
            "poll",
            "nonsense",
        ] {
            let words = ["kubectl-scaleouttask"]
                .into_iter()
                .chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line:?} was taken");
        }
    }

    #[test]
    fn a_script_may_be_given_what_it_gives_itself() {
        for line in [
            "track - --wait-timeout 30m --wait-timeout 1m",
            "track - --wait-timeout 30m --no-wait",
        ] {
            let words = ["kubectl-scaleouttask"].into_iter();
            let parsed = Cli::try_parse_from(words.chain(line.split(' ')));
            let Command::Track(args) = parsed.unwrap().command else {
                panic!("{line}");
            };
            let minutes = if args.no_wait { 30 } else { 1 };
            assert_eq!(
                args.waiting.wait_timeout,
                Some(Duration::from_mins(minutes))
            );
        }
    }

    #[test]
    fn names_are_taken_as_kubectl_prints_them() {
        for name in [
            "a",
            "sot/a",
            "scaleouttask/a",
            "scaleouttasks/a",
            "scaleouttask.scaleout.dev/a",
        ] {
            assert_eq!(object_name(name), Ok("a".to_owned()), "{name}");
        }
        assert!(object_name("").is_err() && object_name("a b").is_err());
    }

    #[test]
    fn a_time_to_live_is_a_duration_of_whole_seconds() {
        assert_eq!(whole_seconds("1h30m"), Ok(5400));
        assert_eq!(whole_seconds("0s"), Ok(0));
    }
}
