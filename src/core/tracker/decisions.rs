//! Deciding about an object, and having its status written.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tracing::error;

use super::{
    Command, Entry, EntryId, Now, Timer, Tracker, Write, WriteResult,
    entry::{Course, Pending},
};
use crate::core::{
    Input, Memory, Next, Notice, Object, ObjectKey, Observe, Policy, Reason, SLOW_RETRY, Verdict,
    backoff::{Failure, next_poll, write_retry_delay},
    object::reason_of,
};

/// What made the core panic may be gone by then.
const AFTER_PANIC: Next = Next::Call {
    after: SLOW_RETRY,
    urgent: false,
};

/// Where so many statuses are being written, no object says that it waits for its first answer.
const WRITING_MAX: usize = 32;

impl Tracker {
    /// Looks at an entry again if what its schedule was decided on has changed.
    pub(super) fn reconsider(&mut self, id: EntryId, now: Now) {
        let Some(entry) = self.entries.get_mut(&id).filter(|_| self.leads) else {
            return;
        };
        let trigger = entry.trigger();
        let changed = trigger.is_news_after(&entry.trigger);
        let pending = entry.pending.as_ref();
        if pending.is_some_and(|pending| pending.in_flight) {
            // The end of the write decides anew. What was planned before is no longer so.
            if changed {
                self.unschedule(id);
            }
            return;
        }
        entry.trigger = trigger;
        let pending = entry.pending.as_ref().map(|pending| pending.input.clone());
        match pending {
            // The API server answers again: no need to wait for the retry.
            Some(input) if changed => self.decide(id, input.or_seen(), now),
            Some(input) => self.decide(id, input, now),
            None if changed => self.decide(id, Input::Seen, now),
            None => {}
        }
    }

    /// Lets the core decide, and has the status written if it differs.
    pub(super) fn decide(&mut self, id: EntryId, mut input: Input, now: Now) {
        let seed = self.seed(id, now);
        let Some(entry) = self.entries.get_mut(&id).filter(|_| self.leads) else {
            return;
        };
        if let Some(pending) = &mut entry.pending {
            if pending.in_flight {
                // A wait that ended meanwhile is nothing new once the write is through.
                if input.is_answer() {
                    pending.meanwhile = Some(input);
                }
                return;
            }
            // An answer that waits to be written isn't given up for anything but another.
            if pending.input.is_answer() && !input.is_answer() {
                input = pending.input.clone();
            }
        }
        let object = entry.object.object();
        let memory = entry.memory;
        let policy = &self.config.policy;
        let Some(verdict) = judge(self.observe, policy, &object, memory, &input, now, seed) else {
            return self.schedule(id, AFTER_PANIC, now);
        };
        if verdict.status == object.status {
            let owed = entry.pending.take().and_then(|pending| pending.notice);
            self.tell(id, owed);
            self.settle(id, verdict.memory, verdict.next, now);
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.learn(&input, verdict.next);
            }
            return;
        }
        self.write(id, input, verdict, object);
    }

    /// Objects that wait for their first answer say so as soon as that holds no answer up: those
    /// are better news.
    pub(super) fn say_who_waits(&mut self, now: Now) {
        while self.writing.len() < WRITING_MAX
            && let Some(id) = self.overdue.pop_first()
        {
            self.decide(id, Input::Waited, now);
        }
    }

    fn write(&mut self, id: EntryId, input: Input, verdict: Verdict, object: Object) {
        if verdict.next.is_some() {
            // What was planned before is no longer so, whether or not the write succeeds.
            self.unschedule(id);
        }
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let (attempts, refused, owed) = match entry.pending.take() {
            Some(pending) => (pending.attempts, pending.refused, pending.notice),
            None => (0, false, None),
        };
        let same_reason = owed.filter(|owed| reason_of(&verdict.status) == Some(owed.reason));
        let notice = verdict.notice.or(same_reason);
        entry.pending = Some(Box::new(Pending {
            input,
            memory: verdict.memory,
            next: verdict.next,
            in_flight: true,
            attempts,
            meanwhile: None,
            refused,
            notice: notice.clone(),
        }));
        // The write, or its retry, says more than that it is late.
        if let Some(at) = entry.overdue_at.take() {
            self.timers.remove(&(at, id, Timer::Overdue));
        }
        self.overdue.remove(&id);
        // What is tried again may take long, and holds up no first answer.
        if attempts == 0 {
            self.writing.insert(id);
        }
        let write = Write {
            entry: id,
            object,
            status: verdict.status,
            notice,
            attempts,
        };
        self.commands.push(Command::Write(Box::new(write)));
    }

    /// A write that nobody heard of has succeeded, or somebody else wrote the same.
    fn tell(&mut self, id: EntryId, owed: Option<Notice>) {
        let entry = self.entries.get(&id);
        if let (Some(entry), Some(notice)) = (entry, owed)
            && entry.object.reason == Some(notice.reason)
        {
            let object = Box::new(entry.object.object());
            self.commands.push(Command::Tell(object, notice));
        }
    }

    pub(super) fn call_ended(&mut self, id: EntryId, input: Input, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.was_throttled = input.trouble() == Some(Reason::Throttled);
        let course = mem::replace(&mut entry.course, Course::Idle);
        let input = match course {
            // What other credentials than those of the spec brought is no word on it.
            Course::Calling { secret } if secret.as_deref() != entry.object.secret().as_ref() => {
                Input::Seen
            }
            _ => input,
        };
        match next_if_known(entry, &input, now) {
            Some(next) if self.leads => self.schedule(id, next, now),
            _ => self.decide(id, input, now),
        }
    }

    pub(super) fn write_ended(&mut self, id: EntryId, result: WriteResult, now: Now) {
        self.writing.remove(&id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let Some(pending) = entry.pending.take() else {
            return;
        };
        match result {
            WriteResult::Written(object) => {
                self.accept(id, *object);
                self.settle(id, pending.memory, pending.next, now);
                if let Some(input) = pending.meanwhile {
                    self.decide(id, input, now);
                }
                self.reconsider(id, now);
            }
            WriteResult::Conflict(object) => {
                self.accept(id, *object);
                let mut pending = Box::new(pending.reopened());
                if pending.attempts > 0 {
                    // Over and over: not at the network's speed.
                    return self.retry_later(id, pending, Failure::Passing, now);
                }
                pending.attempts = 1;
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.pending = Some(pending);
                }
                self.reconsider(id, now);
            }
            // Only the watch knows whether it's gone for good.
            WriteResult::Gone | WriteResult::Failed => {
                self.retry_later(id, Box::new(pending.reopened()), Failure::Passing, now);
            }
            WriteResult::Refused => {
                let mut pending = Box::new(pending.reopened());
                if !pending.refused {
                    pending.attempts = 0;
                }
                pending.refused = true;
                self.retry_later(id, pending, Failure::Lasting, now);
            }
        }
    }

    fn retry_later(&mut self, id: EntryId, mut pending: Box<Pending>, failure: Failure, now: Now) {
        let seed = self.seed(id, now);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let at = now.monotonic + write_retry_delay(pending.attempts, failure, seed);
        pending.attempts = pending.attempts.saturating_add(1);
        entry.pending = Some(pending);
        entry.retry_at = Some(at);
        self.timers.insert((at, id, Timer::Retry));
    }

    pub(super) fn retry_write(&mut self, id: EntryId, at: Duration, now: Now) {
        let retried = self.entries.get_mut(&id).and_then(|entry| {
            entry.retry_at.take_if(|retry_at| *retry_at == at)?;
            let pending = entry.pending.as_ref();
            Some(pending.filter(|pending| !pending.in_flight)?.input.clone())
        });
        if let Some(input) = retried {
            self.decide(id, input, now);
        }
    }

    fn settle(&mut self, id: EntryId, memory: Memory, next: Option<Next>, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.memory = memory;
        // The end was decided here: it is no news when the watch brings it.
        entry.trigger.finished = entry.object.finished;
        if entry.object.has_ready() {
            if let Some(at) = entry.overdue_at.take() {
                self.timers.remove(&(at, id, Timer::Overdue));
            }
            self.overdue.remove(&id);
        }
        match next {
            Some(next) => self.schedule(id, next, now),
            // A wait that leaves the plan as it is, where there is none.
            None if entry.is_idle() => self.decide(id, Input::Seen, now),
            None => {}
        }
    }

    /// The object may have changed since: later it is decided anew whether to delete it.
    pub(super) fn delete_failed(&mut self, id: EntryId, refused: bool, now: Now) {
        let seed = self.seed(id, now);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let wait = if refused {
            let attempts = entry.refused_deletions;
            entry.refused_deletions = attempts.saturating_add(1);
            write_retry_delay(attempts, Failure::Lasting, seed)
        } else {
            entry.refused_deletions = 0;
            write_retry_delay(u32::MAX, Failure::Passing, seed)
        };
        if entry.is_idle() {
            self.schedule(id, Next::Wait(wait), now);
        }
    }

    /// Scatters delays: another at each time, and none that a run with the same clock wouldn't have.
    pub(super) fn seed(&self, id: EntryId, now: Now) -> u64 {
        let nanos = now.monotonic.as_nanos() & u128::from(u64::MAX);
        self.config.seed ^ (id << 32) ^ u64::try_from(nanos).unwrap_or_default()
    }
}

/// When to call again after an answer that is known to change nothing.
fn next_if_known(entry: &Entry, input: &Input, now: Now) -> Option<Next> {
    let Input::Called { started_at, .. } = input else {
        return None;
    };
    let (interval, uid) = (entry.object.poll_interval, &entry.object.uid);
    entry.knows(input).then(|| Next::Call {
        after: next_poll(interval, uid, *started_at, now.wall),
        urgent: false,
    })
}

/// The core's verdict; none if it panicked, which must not end the tracking of other objects.
fn judge(
    observe: Observe,
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Now,
    seed: u64,
) -> Option<Verdict> {
    let verdict = catch_unwind(AssertUnwindSafe(|| {
        observe(policy, object, memory, input, now.wall, seed)
    }));
    if verdict.is_err() {
        let ObjectKey { namespace, name } = &object.key;
        error!(
            namespace,
            name, "deciding about the object panicked; it is tried again later"
        );
    }
    verdict.ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::{SignedDuration, Timestamp};

    use super::{
        super::{Kept, Pools},
        *,
    };
    use crate::core::{Instance, Outcome, Task, Trouble, observe};

    const SEED: u64 = 1;

    fn now(seconds: u64) -> Now {
        Now {
            wall: Timestamp::from_second(1_800_000_000).unwrap()
                + SignedDuration::from_secs(i64::try_from(seconds).unwrap()),
            monotonic: Duration::from_secs(seconds),
        }
    }

    fn called(outcome: Outcome, at: Now, poll_request: Option<&str>) -> Input {
        Input::Called {
            outcome,
            started_at: at.wall,
            poll_request: poll_request.map(str::to_owned),
        }
    }

    fn answer(state: &str, instances: &[&str]) -> Outcome {
        let instance = |status: &&str| Instance {
            id: "i".to_owned(),
            status: (*status).to_owned(),
        };
        Outcome::Answer(Box::new(Task {
            state: state.to_owned(),
            results: instances.iter().map(instance).collect(),
            ..Task::default()
        }))
    }

    fn outcomes() -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = ["running", "paused", "odd", "success", "fail"]
            .iter()
            .flat_map(|state| [answer(state, &[]), answer(state, &["success", "initial"])])
            .collect();
        let reasons = [Reason::TaskNotFound, Reason::TaskApiUnavailable];
        outcomes.extend(reasons.map(|reason| Trouble::new(reason).into()));
        outcomes
    }

    /// An entry that an outcome was decided on twice, so that the second time changed nothing.
    fn entry_after(outcome: &Outcome, timeout: Option<&str>, policy: &Policy) -> Entry {
        let mut object = Object {
            uid: "u".to_owned(),
            ..Object::default()
        };
        object.spec.timeout = timeout.map(str::to_owned);
        let (mut memory, mut next) = (Memory::default(), None);
        let input = called(outcome.clone(), now(10), None);
        for _ in 0..2 {
            let verdict = observe(policy, &object, memory, &input, now(10).wall, SEED);
            (object.status, memory, next) = (verdict.status, verdict.memory, verdict.next);
        }
        let mut entry = Entry::new(Kept::of(object, policy, &mut Pools::default()), 0, 0);
        entry.memory = memory;
        entry.learn(&input, next);
        entry
    }

    /// Not deciding is right only where deciding would bring the same.
    #[test]
    fn an_answer_that_is_known_brings_what_deciding_on_it_brings() {
        let policy = Policy {
            has_default_region: true,
            poll_interval: Duration::from_secs(10),
            allowed_cluster_ids: Vec::new(),
            secret_credentials: false,
        };
        let mut known = 0;
        for (first, timeout) in outcomes()
            .iter()
            .flat_map(|first| [(first, None), (first, Some("1h"))])
        {
            let entry = entry_after(first, timeout, &policy);
            for (second, request) in outcomes()
                .into_iter()
                .flat_map(|second| [(second.clone(), None), (second, Some("request"))])
            {
                let at = now(7200);
                let input = called(second, at, request);
                let Some(next) = next_if_known(&entry, &input, at) else {
                    continue;
                };
                known += 1;
                let object = entry.object.object();
                let verdict = observe(&policy, &object, entry.memory, &input, at.wall, SEED);
                assert_eq!(verdict.status, object.status, "{input:?} after {first:?}");
                assert_eq!(verdict.memory, entry.memory);
                assert_eq!((verdict.notice, verdict.next), (None, Some(next)));
            }
        }
        // Each answer of a task that goes on, again, without a timeout.
        assert_eq!(known, 6);
    }
}
