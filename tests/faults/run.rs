//! One run of a scenario, with or without disturbances.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    time::{sleep, sleep_until, timeout},
};

use crate::{
    cluster::Cluster,
    proxy::{Action, Kind, Plan, Point, Request},
    result::{self, Allowance, EventCounts, RunResult},
    scenario::{Scenario, Step},
    stage::{Arguments, Stage},
};

/// No step takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(75);
/// Longer than the longest poll interval of a scenario.
const QUIET: Duration = Duration::from_millis(1300);
/// An Event is retried after 0.5 s and after 2 s.
const EVENTS_WITHIN: Duration = Duration::from_secs(10);
/// Limits how many runs of all tests are made at the same time.
static SLOTS: Semaphore = Semaphore::const_new(24);

/// Which request is disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Counted over all processes of the controller.
    Ever(Point),
    /// Counted since this process started.
    InLife(u32, Point),
    /// Counted as by `Ever`, and it may be that the controller has no need of the request.
    IfSent(Point),
}

/// One request and what is done to it.
#[derive(Clone, Debug)]
pub struct Disturbance {
    pub at: At,
    pub action: Action,
}

/// A run to make.
#[derive(Clone)]
pub struct Run {
    pub scenario: Scenario,
    pub disturbances: Vec<Disturbance>,
    pub allowed: Allowance,
    /// Arguments of the controller beside those of the scenario.
    pub arguments: Arguments,
}

impl Run {
    pub fn undisturbed(scenario: Scenario) -> Self {
        Self {
            scenario,
            disturbances: Vec::new(),
            allowed: Allowance::default(),
            arguments: |_| Vec::new(),
        }
    }

    /// Makes the run. An error says why it couldn't be completed.
    pub async fn make(&self, cluster: &Cluster) -> Result<RunResult, String> {
        let _slot = SLOTS.acquire().await.unwrap();
        let audit_start = cluster.audit_end();
        let plan = plan(self.disturbances.clone());
        let arguments = |namespace: &str| {
            let own = (self.arguments)(namespace);
            let scenario = self.scenario.arguments.iter();
            scenario.map(|one| (*one).to_owned()).chain(own).collect()
        };
        let stage = Stage::new(cluster, self.scenario.name, plan, arguments).await;
        tokio::select! {
            result = self.play(&stage, audit_start) => Ok(result),
            ended = stage.keep() => Err(explain(&stage, &ended)),
        }
    }

    /// After an error, what was made until then is in the result.
    async fn play(&self, stage: &Stage, audit_start: u64) -> RunResult {
        let mut flaws = Vec::new();
        if let Err(error) = self.take_steps(stage).await {
            flaws.push(explain(stage, &error));
        }
        let (calls, versions) = (
            stage.simulator.total_requests(),
            stage.observer.seen().versions(),
        );
        let until_disturbed = timeout(PATIENCE, self.until_disturbed(stage));
        if flaws.is_empty() && until_disturbed.await.is_err() {
            let error = "a request that should be disturbed was never sent";
            flaws.push(explain(stage, error));
        }
        let quiet = Instant::now() + QUIET;
        self.until_events(stage).await;
        sleep_until(quiet.into()).await;
        let seen = stage.observer.seen();
        flaws.extend(result::flaws(&seen));
        RunResult {
            objects: result::objects(&seen),
            of_tasks: result::of_tasks(&seen),
            sources: result::sources(&seen),
            audited: stage.cluster.audited(audit_start, &stage.namespace),
            events: result::count_events(stage).await,
            calls_after: stage.simulator.total_requests() - calls,
            versions_after: seen.versions() - versions,
            records: stage.proxy.records(),
            flaws,
        }
    }

    async fn take_steps(&self, stage: &Stage) -> Result<(), String> {
        for step in (self.scenario.steps)() {
            take(stage, &step).await?;
        }
        Ok(())
    }

    /// Waits until every disturbance took place and the controller watches again after it.
    async fn until_disturbed(&self, stage: &Stage) {
        let kills = |action: &Action| matches!(action, Action::Freeze(_));
        let optional = |disturbance: &&Disturbance| matches!(disturbance.at, At::IfSent(_));
        let optional = self.disturbances.iter().filter(optional).count();
        let lives = self
            .disturbances
            .iter()
            .filter(|disturbance| kills(&disturbance.action))
            .fold(1, |lives, _| lives + 1);
        stage
            .proxy
            .until(|records| {
                let disturbed = records
                    .iter()
                    .filter(|record| record.action != Action::Pass);
                disturbed.count() + optional >= self.disturbances.len()
            })
            .await;
        stage.until_watching(lives).await;
    }

    /// Waits until no more Events are missing than allowed.
    async fn until_events(&self, stage: &Stage) {
        let enough = async {
            let is_missing = |counts: &EventCounts| {
                let expected = self.scenario.events.iter();
                let missing = expected.map(|(name, type_, reason, expected)| {
                    let count = counts.get(&[*name, *type_, *reason].map(str::to_owned));
                    (expected - count.copied().unwrap_or_default()).max(0)
                });
                missing.sum::<i32>() > self.allowed.lost_events
            };
            while is_missing(&result::count_events(stage).await) {
                sleep(Duration::from_millis(100)).await;
            }
        };
        // What is still missing then shows in the result.
        timeout(EVENTS_WITHIN, enough).await.ok();
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.scenario.name)?;
        for Disturbance { at, action } in &self.disturbances {
            match at {
                At::Ever(point) | At::IfSent(point) => write!(f, ", {point}: {action:?}")?,
                At::InLife(life, point) => write!(f, ", {point} of life {life}: {action:?}")?,
            }
        }
        Ok(())
    }
}

fn explain(stage: &Stage, error: &str) -> String {
    let records = stage.proxy.records();
    let records: Vec<_> = records.iter().map(ToString::to_string).collect();
    format!(
        "{error}\nrequests:\n{}\nlog:\n{}",
        records.join("\n"),
        stage.log()
    )
}

async fn take(stage: &Stage, step: &Step) -> Result<(), String> {
    for act in &step.acts {
        let acted = timeout(PATIENCE, stage.act(act)).await;
        acted.map_err(|_| format!("{} timed out at {act:?}", step.what))?;
    }
    let done = stage.observer.until(PATIENCE, step.done).await;
    done.map_err(|now| format!("{} had no effect; {now}", step.what))
}

/// Disturbs each of the requests once. But a watch that is too old stays too old until the next list.
fn plan(mut disturbances: Vec<Disturbance>) -> Plan {
    let mut too_old = BTreeSet::new();
    Box::new(move |request: &Request| {
        let kind = request.point.kind;
        let hit = disturbances
            .iter()
            .position(|disturbance| match disturbance.at {
                At::Ever(point) | At::IfSent(point) => request.point == point,
                At::InLife(life, point) => request.life == life && request.point_in_life == point,
            });
        let action = match hit {
            Some(hit) => disturbances.remove(hit).action,
            None if too_old.contains(&kind) => Action::GoneStatus,
            None => Action::Pass,
        };
        too_old.retain(|watch: &Kind| watch.list() != Some(kind));
        if action == Action::GoneStatus {
            too_old.insert(kind);
        }
        action
    })
}
