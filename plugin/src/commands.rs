//! What each command does.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use scaleouttask_controller::api::ScaleOutTask;
use serde_json::{Value, json};
use tokio::{signal::unix::SignalKind, time::Instant};

use crate::{
    board::{Board, Choice},
    cli::{Cli, Command, PollArgs, TrackArgs, WatchArgs},
    cluster::Cluster,
    exit::Exit,
    explain::explain,
    failure::{Failure, Verb},
    frame::{can_draw, size},
    live::{Way, follow},
    looks::{Looks, Said},
    output::{note, say},
    row::Row,
    signals::{on, until},
    target::Target,
    text::clean,
    track,
    watch::{self, Query, Start},
};

/// So long `track` tries to make the object while the API server doesn't answer.
const INSISTENCE: Duration = Duration::from_mins(1);

/// Runs the command. Returns the exit code.
pub async fn run(cli: Cli) -> Result<Exit, Failure> {
    let mut target = cli.target.without_empty();
    match cli.command {
        Command::Track(args) => {
            // Before a program of the kubeconfig can read from there.
            let task_id = track::task_id(&args.task_id)?;
            track(&target, &task_id, args).await
        }
        Command::Watch(args) => {
            target.all_namespaces = args.all_namespaces;
            let deadline = args.waiting.deadline();
            watch(Cluster::find(&target, deadline).await?, args, deadline).await
        }
        Command::Why { name } => why(&Cluster::find(&target, None).await?, &name).await,
        Command::Poll(args) => {
            let deadline = Instant::now().checked_add(args.wait_timeout);
            poll(Cluster::find(&target, deadline).await?, args, deadline).await
        }
        Command::Suspend(names) => {
            let cluster = Cluster::find(&target, None).await?;
            Ok(suspend(&cluster, &names.names, true).await)
        }
        Command::Resume(names) => {
            let cluster = Cluster::find(&target, None).await?;
            Ok(suspend(&cluster, &names.names, false).await)
        }
    }
}

/// As `kubectl -o name` has it.
fn resource_name(object: &ScaleOutTask) -> String {
    format!("scaleouttask.scaleout.dev/{}", clean(&object.name_any()))
}

async fn track(target: &Target, task_id: &str, args: TrackArgs) -> Result<Exit, Failure> {
    let deadline = args.waiting.deadline();
    let untracked = track::untracked(task_id);
    let made = async {
        let found = Cluster::find(target, deadline).await;
        let cluster = found.map_err(|failure| failure.and(&untracked))?;
        let until = Instant::now() + INSISTENCE;
        let until = deadline.map_or(until, |deadline| deadline.min(until));
        let spec = track::spec(task_id, &args);
        let object = track::object(&cluster, args.name.as_deref(), &spec, until).await?;
        Ok((cluster, object))
    };
    let (mut interrupt, mut terminate) =
        (on(SignalKind::interrupt())?, on(SignalKind::terminate())?);
    let broken_off = |exit| {
        note(&format!("Interrupted; {untracked}, as far as is known"));
        Ok(exit)
    };
    let (cluster, object) = tokio::select! {
        made = made => made?,
        _ = interrupt.recv() => return broken_off(Exit::Interrupted),
        _ = terminate.recv() => return broken_off(Exit::Terminated),
    };
    let row = Row::of(&object);
    let is_too_soon = |row: &Row| args.wait_for_nodes && row.reason == "TaskSucceeded";
    if args.no_wait {
        say(&resource_name(&object));
        return Ok(Exit::Succeeded);
    }
    let query = Query {
        names: vec![row.name.clone()],
        labels: None,
        start: Some(Start {
            uid: row.uid.clone(),
            version: object.resource_version().unwrap_or_default(),
        }),
    };
    let board = Board::new(Choice {
        site: cluster.site(),
        target: cluster.target().clone(),
        ..Choice::default()
    });
    let way = Way {
        output: args.waiting.output,
        deadline,
    };
    let updates = watch::start(cluster, query);
    let end = follow(updates, board, Some(row.clone()), way).await?;
    if end.exit == Exit::Succeeded && end.rows.iter().any(is_too_soon) {
        return Err(track::ended_too_soon(&row.name));
    }
    Ok(end.exit)
}

async fn watch(
    cluster: Cluster,
    args: WatchArgs,
    deadline: Option<Instant>,
) -> Result<Exit, Failure> {
    let is_choice = args.all || args.selector.is_some() || !args.names.is_empty();
    let query = Query {
        names: args.names.clone(),
        labels: args.selector.clone(),
        start: None,
    };
    let board = Board::new(Choice {
        names: args.names,
        labels: args.selector,
        leaves_out_ended: !is_choice,
        site: cluster.site(),
        target: cluster.target().clone(),
    });
    let way = Way {
        output: args.waiting.output,
        deadline,
    };
    let updates = watch::start(cluster, query);
    let end = follow(updates, board, None, way).await?;
    if end.rows.is_empty() && end.exit == Exit::Succeeded {
        note("All have ended: --all shows them");
    }
    Ok(end.exit)
}

async fn why(cluster: &Cluster, name: &str) -> Result<Exit, Failure> {
    let api = cluster.objects();
    let object = cluster.asked(Verb::Get, api.get(name)).await?;
    // Lines of a page that nobody draws are for tools, and stay whole.
    let columns = if can_draw() { size().0 } else { usize::MAX };
    let lines = explain(&object, Timestamp::now(), columns, cluster.target());
    say(&lines.join("\n"));
    Ok(Exit::Succeeded)
}

async fn suspend(cluster: &Cluster, names: &[String], is_suspended: bool) -> Exit {
    let change = json!({ "spec": { "suspend": is_suspended.then_some(true) } });
    let word = if is_suspended { "suspended" } else { "resumed" };
    let (changed, exit) = change_each(cluster, names, &change).await;
    for object in changed {
        say(&format!("{} {word}", resource_name(&object)));
        let has_ended = object
            .status
            .as_ref()
            .is_some_and(|status| status.finished_at.is_some());
        if is_suspended && has_ended {
            note(&format!(
                "{} has ended: nobody asks about it anyway",
                object.name_any()
            ));
        }
    }
    exit
}

/// Patches each of these. One that can't be changed is told; where the API server doesn't answer, the rest isn't tried.
async fn change_each(
    cluster: &Cluster,
    names: &[String],
    change: &Value,
) -> (Vec<ScaleOutTask>, Exit) {
    let mut changed = Vec::new();
    let mut exit = Exit::Succeeded;
    for name in names {
        let api = cluster.objects();
        match cluster
            .asked(Verb::Patch, track::patch(&api, name, change))
            .await
        {
            Ok(object) => changed.push(object),
            Err(failure) => {
                note(&failure.to_string());
                exit = exit.max(failure.exit);
                if failure.is_passing {
                    return (changed, exit);
                }
            }
        }
    }
    (changed, exit)
}

/// Asks for a look at each, and waits until the controller says that it looked.
async fn poll(
    cluster: Cluster,
    args: PollArgs,
    deadline: Option<Instant>,
) -> Result<Exit, Failure> {
    let request = track::look_request();
    let (asked, exit) = change_each(&cluster, &args.names.names, &request).await;
    let names: Vec<String> = asked.iter().map(ResourceExt::name_any).collect();
    if names.is_empty() {
        return Ok(exit);
    }
    let query = Query {
        names: names.clone(),
        ..Query::default()
    };
    let mut looks = Looks::new(names, cluster.site(), cluster.target().clone());
    let mut updates = watch::start(cluster, query);
    let waiting = async {
        while !looks.are_over() {
            match updates.recv().await {
                Some(update) => {
                    let said = looks.take(update?, Timestamp::now());
                    said.iter().for_each(tell);
                }
                None => break,
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = waiting => ended?,
        () = until(deadline) => tell(&looks.give_up()),
    }
    Ok(exit.max(looks.exit()))
}

fn tell(said: &Said) {
    match said {
        Said::Line(line) => say(line),
        Said::Note(text) => note(text),
    }
}
