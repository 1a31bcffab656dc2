//! What each command does.

use std::io::{self, Write};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use scaleouttask_controller::api::{POLL_REQUESTED_AT, ScaleOutTask};
use serde_json::json;

use crate::{
    board::{Board, Choice, Update},
    cli::{Cli, Command, PollArgs, TrackArgs, WatchArgs},
    cluster::{Cluster, asked},
    complete::complete,
    exit::Exit,
    explain::explain,
    failure::{Failure, Verb},
    frame::{can_draw, size},
    lines::{Format, line},
    live::follow,
    row::Row,
    track,
    watch::{self, Query, Start, Updates},
};

/// Runs the command. Returns the exit code.
pub async fn run(cli: Cli) -> Result<Exit, Failure> {
    let target = cli.target;
    if target.all_namespaces && !matches!(cli.command, Command::Watch(_)) {
        return Err(Failure::usage(
            "--all-namespaces is for watch: name the namespace",
        ));
    }
    match cli.command {
        Command::Track(args) => {
            // Before a program of the kubeconfig can read from there.
            let task_id = track::task_id(&args.task_id)?;
            track(Cluster::of(&target)?, &task_id, args).await
        }
        Command::Watch(args) => {
            if target.all_namespaces && !args.names.is_empty() {
                return Err(Failure::usage(
                    "A name and --all-namespaces don't go together: name the namespace",
                ));
            }
            watch(Cluster::of(&target)?, args).await
        }
        Command::Why { name } => why(&Cluster::of(&target)?, &name).await,
        Command::Poll(args) => poll(Cluster::of(&target)?, args).await,
        Command::Suspend(names) => suspend(&Cluster::of(&target)?, &names.names, true).await,
        Command::Resume(names) => suspend(&Cluster::of(&target)?, &names.names, false).await,
        Command::Complete { words } => {
            complete(&words).await;
            Ok(Exit::Succeeded)
        }
    }
}

/// As `kubectl -o name` has it.
fn resource_name(object: &ScaleOutTask) -> String {
    format!("scaleouttask.scaleout.dev/{}", object.name_any())
}

async fn track(cluster: Cluster, task_id: &str, args: TrackArgs) -> Result<Exit, Failure> {
    let spec = track::spec(task_id, &args);
    let object = track::object(&cluster, args.name.as_deref(), &spec).await?;
    if args.no_wait {
        println!("{}", resource_name(&object));
        return Ok(Exit::Succeeded);
    }
    let row = Row::of(&object);
    let query = Query {
        names: vec![row.name.clone()],
        labels: None,
        start: Some(Start {
            uid: row.uid.clone(),
            version: object.resource_version().unwrap_or_default(),
        }),
    };
    let updates = watch::start(cluster, query);
    let end = follow(updates, Board::default(), Some(row), args.waiting, false).await?;
    let is_too_soon = |row: &Row| args.wait_for_nodes && row.reason == "TaskSucceeded";
    if end.exit == Exit::Succeeded
        && let Some(row) = end.rows.iter().find(|row| is_too_soon(row))
    {
        let name = &row.name;
        return Err(Failure::stuck(format!(
            "{name} ended before it was told to wait for nodes: delete it, and run this again"
        )));
    }
    Ok(end.exit)
}

async fn watch(cluster: Cluster, args: WatchArgs) -> Result<Exit, Failure> {
    let is_choice = args.all || args.selector.is_some() || !args.names.is_empty();
    let query = Query {
        names: args.names.clone(),
        labels: args.selector,
        start: None,
    };
    let with_namespace = cluster.all_namespaces;
    let board = Board::new(Choice {
        names: args.names,
        leaves_out_ended: !is_choice,
        place: cluster.place(),
    });
    let updates = watch::start(cluster, query);
    let end = follow(updates, board, None, args.waiting, with_namespace).await?;
    if end.rows.is_empty() && end.exit == Exit::Succeeded {
        eprintln!("All have ended: --all shows them");
    }
    Ok(end.exit)
}

async fn why(cluster: &Cluster, name: &str) -> Result<Exit, Failure> {
    let found = asked(cluster.objects().get_opt(name), Verb::Get, &cluster.place()).await?;
    let object = found.ok_or_else(|| missing(cluster, name))?;
    // Lines of a page that nobody draws are for tools, and stay whole.
    let columns = if can_draw() { size().0 } else { usize::MAX };
    let lines = explain(&object, Timestamp::now(), columns);
    // Where nobody reads it, there is nobody to tell.
    let _ = writeln!(io::stdout().lock(), "{}", lines.join("\n"));
    Ok(Exit::Succeeded)
}

fn missing(cluster: &Cluster, name: &str) -> Failure {
    Failure::stuck(format!(
        "There is no ScaleOutTask {name} {}",
        cluster.place()
    ))
}

async fn suspend(cluster: &Cluster, names: &[String], is_suspended: bool) -> Result<Exit, Failure> {
    let change = json!({ "spec": { "suspend": is_suspended.then_some(true) } });
    let word = if is_suspended { "suspended" } else { "resumed" };
    for name in names {
        let object = track::patch(&cluster.objects(), name, &change, &cluster.place()).await?;
        println!("{} {word}", resource_name(&object));
    }
    Ok(Exit::Succeeded)
}

/// Asks for a look at each, and waits until the controller says that it looked.
async fn poll(cluster: Cluster, args: PollArgs) -> Result<Exit, Failure> {
    let names = args.names.names;
    let request = Timestamp::now().to_string();
    let change = json!({ "metadata": { "annotations": { POLL_REQUESTED_AT: &request } } });
    for name in &names {
        track::patch(&cluster.objects(), name, &change, &cluster.place()).await?;
    }
    let query = Query {
        names: names.clone(),
        ..Query::default()
    };
    let updates = watch::start(cluster, query);
    let looked_at = looks(updates, names.clone(), &request);
    if let Ok(exit) = tokio::time::timeout(args.wait_timeout, looked_at).await {
        return exit;
    }
    eprintln!("Nobody looked in time: does a controller run?");
    Ok(Exit::WaitTimedOut)
}

async fn looks(
    mut updates: Updates,
    mut names: Vec<String>,
    request: &str,
) -> Result<Exit, Failure> {
    while let Some(update) = updates.recv().await {
        let row = match update? {
            Update::Seen(row) if names.contains(&row.name) => row,
            Update::Gone(row) if names.contains(&row.name) => {
                eprintln!("{} was deleted", row.name);
                return Ok(Exit::Deleted);
            }
            _ => continue,
        };
        if row.handled_poll_request.as_deref() == Some(request) {
            // Where nobody reads it, there is nobody to tell.
            let _ = writeln!(
                io::stdout().lock(),
                "{}",
                line(&row, Format::Plain, false, Timestamp::now())
            );
            names.retain(|name| *name != row.name);
        } else if row.is_suspended {
            let name = &row.name;
            return Err(Failure::stuck(format!(
                "{name} is suspended, and looked at once it is resumed: kubectl scaleouttask resume {name}"
            )));
        }
        if names.is_empty() {
            return Ok(Exit::Succeeded);
        }
    }
    Ok(Exit::Interrupted)
}
