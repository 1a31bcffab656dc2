//! The loop: what happens goes into the tracker, what it asks for is carried out.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::time::{sleep_until, timeout};
use tracing::{info, warn};

use super::{
    activity::Activity,
    backlog::Backlog,
    calls::Caller,
    clock::Clock,
    fence::Fence,
    jobs::{Ended, Jobs},
    notices::Notices,
    watch,
    writes::Writer,
};
use crate::{
    admin::{Health, Part},
    cli::Scope,
    core::{Call, Census, Command, EntryId, Event, ObjectKey, Reason, Tracker, Trouble},
    metrics::Metrics,
};

/// First attempts at a write, under way at the same time.
const NEWS_CONCURRENCY: usize = 32;
/// The same for other attempts and for deletions.
const REST_CONCURRENCY: usize = 16;
/// Where so many first attempts wait, answers of the task API wait too: each would only add to them.
const NEWS_WAITING_MAX: usize = 100;
/// How long writes may go on after the order to stop, and then the Events.
const DRAIN: Duration = Duration::from_secs(2);
const DRAIN_NOTICES: Duration = Duration::from_millis(700);
/// The loop shows that it is alive at least so often.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Everything the loop works with.
pub struct Engine {
    client: Client,
    scope: Scope,
    caller: Arc<Caller>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    clock: Clock,
    fence: Fence,
    tracker: Tracker,
    /// Whether the tracker led after the last event.
    leads: bool,
    /// The counts that the metrics show; none before the first event.
    published: Option<Census>,
    calls: Jobs,
    /// First attempts at a write.
    news: Backlog,
    /// Other attempts, and deletions: apart, so that what the API server doesn't take from some
    /// objects holds up no others.
    rest: Backlog,
    writer: Writer,
    notices: Notices,
    /// Watches whose first list isn't done.
    unlisted: HashSet<usize>,
}

impl Engine {
    /// An engine that hasn't begun.
    pub fn new(
        client: Client,
        scope: Scope,
        caller: Caller,
        tracker: Tracker,
        health: Arc<Health>,
        clock: Clock,
        fence: Fence,
    ) -> Self {
        let metrics = caller.metrics.clone();
        let activity = Activity::default();
        let notices = Notices::start(client.clone(), fence.clone(), activity.clone());
        let writer = Writer {
            client: client.clone(),
            fence: fence.clone(),
            metrics: metrics.clone(),
            notices: notices.sender(),
            activity,
        };
        Self {
            unlisted: (0..scope.watches()).collect(),
            client,
            scope,
            caller: Arc::new(caller),
            metrics,
            health,
            clock,
            fence,
            tracker,
            leads: false,
            published: None,
            calls: Jobs::default(),
            news: Backlog::new(NEWS_CONCURRENCY),
            rest: Backlog::new(REST_CONCURRENCY),
            writer,
            notices,
        }
    }

    /// Runs until `shutdown` ends; then calls are dropped, and writes under way finished.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut events = Box::pin(watch::watch(&self.client, &self.scope));
        let mut shutdown = Box::pin(shutdown);
        loop {
            self.health.beat(Part::Engine);
            let wake = self.wake_at();
            let ended = tokio::select! {
                () = &mut shutdown => break,
                until = self.fence.changed() => Event::LeadsUntil(until).into(),
                Some(event) = events.next() => event.into(),
                ended = self.calls.next(), if self.news.waiting() < NEWS_WAITING_MAX => ended,
                ended = self.news.next() => ended,
                ended = self.rest.next() => ended,
                () = sleep_until(wake.into()) => Event::Tick.into(),
            };
            self.take(ended, true);
        }
        drop(events);
        self.drain().await;
    }

    fn wake_at(&self) -> Instant {
        let heartbeat = Instant::now() + HEARTBEAT;
        let due = self.tracker.next_wake();
        due.and_then(|at| self.clock.instant(at))
            .map_or(heartbeat, |at| at.min(heartbeat))
    }

    /// Hands an event to the tracker and carries out what it asks for; no new calls and deletions
    /// unless `calling`.
    fn take(&mut self, ended: Ended, calling: bool) {
        let Ended { event, began } = ended;
        if let Event::ListingDone(watch) = event
            && self.unlisted.remove(&watch)
            && self.unlisted.is_empty()
        {
            info!("all ScaleOutTasks are known");
            self.health.set_synced();
        }
        let answered = match &event {
            Event::CallEnded { entry, .. } => Some(*entry),
            _ => None,
        };
        let commands = self.tracker.handle(event, self.clock.now());
        self.note_leadership();
        let writes = |entry| {
            let mut written = commands.iter().filter_map(written_entry);
            written.any(|written| written == entry)
        };
        if answered.is_some_and(|entry| !writes(entry)) {
            self.metrics.reconciled("unchanged", began.elapsed());
        }
        for command in commands {
            match command {
                Command::Tell(object, notice) => self.writer.tell(&object, notice),
                Command::Write(ref write) if write.attempts == 0 => self.news.push(command, began),
                Command::Write(_) => self.rest.push(command, began),
                Command::Delete(_) if calling => self.rest.push(command, began),
                Command::Identify { entry, secret } if calling => {
                    self.identify(entry, secret, began);
                }
                Command::Call(call) if calling => self.call(call),
                _ => {}
            }
        }
        self.news.begin(&self.writer);
        self.rest.begin(&self.writer);
        self.count();
    }

    fn identify(&mut self, entry: EntryId, secret: ObjectKey, began: Instant) {
        let asked = secret.clone();
        let otherwise = move || Event::Identified {
            entry,
            secret: asked,
            account: Err(Trouble::new(Reason::TaskApiUnavailable)),
        };
        let job = self.caller.clone().identify(entry, secret);
        self.calls.spawn(began, job, otherwise);
    }

    fn call(&mut self, call: Call) {
        let (entry, lane, poll_request) = (call.entry, call.lane, call.poll_request.clone());
        let otherwise = move || Event::CallEnded {
            entry,
            lane,
            outcome: Trouble::new(Reason::InvalidResponse).into(),
            started_at: Timestamp::now(),
            poll_request,
        };
        let job = self.caller.clone().call(call);
        self.calls.spawn(Instant::now(), job, otherwise);
    }

    fn note_leadership(&mut self) {
        let leads = self.tracker.leads();
        if leads == self.leads {
            return;
        }
        self.leads = leads;
        self.published = None;
        self.metrics.leads(leads);
        if leads {
            info!("leading");
        } else {
            self.calls.abandon();
            self.news.forget_waiting();
            self.rest.forget_waiting();
            warn!("standing by");
        }
    }

    /// A standby counts nothing, so that sums over all replicas are right.
    fn count(&mut self) {
        let census = self.tracker.census();
        // Most events change no count.
        if self.leads && self.published.as_ref() != Some(census) {
            self.metrics.counted(census);
            self.published = Some(census.clone());
        }
    }

    /// No new calls; what was learnt is written and told.
    async fn drain(mut self) {
        info!("stopping");
        let end = Instant::now() + DRAIN + DRAIN_NOTICES;
        self.calls.abandon();
        self.rest.forget_deletions();
        self.tracker.wind_up();
        // A status that isn't written is at the next start, and then told. Others are told now or
        // never.
        self.notices.wait_no_more();
        let rest = async {
            while !(self.news.is_idle() && self.rest.is_idle()) {
                let ended = tokio::select! {
                    ended = self.news.next() => ended,
                    ended = self.rest.next() => ended,
                };
                self.take(ended, false);
            }
        };
        if timeout(DRAIN, rest).await.is_err() {
            warn!("the API server didn't take every status in time; the next start writes them");
        }
        self.news.abandon();
        self.rest.abandon();
        drop(self.writer);
        self.notices.finish(end).await;
    }
}

impl From<Event> for Ended {
    fn from(event: Event) -> Self {
        Self {
            event,
            began: Instant::now(),
        }
    }
}

fn written_entry(command: &Command) -> Option<EntryId> {
    match command {
        Command::Write(write) => Some(write.entry),
        _ => None,
    }
}
