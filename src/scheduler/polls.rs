//! Planning calls, and letting them through their queues.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    Account, Call, Effect, ObjectId, QueueId, Scheduler, Timer,
    call_queues::{NextCall, Priority},
    input::Now,
    tracked::{Planned, PollState},
};
use crate::rules::{Next, ObjectKey, Occasion, PollError, PollResult, Reason};

/// A poll request puts a call forward once in this time for an object.
const REQUEST_PERIOD: Duration = Duration::from_secs(5);

impl Scheduler {
    /// Takes back what is planned. A call under way goes on.
    pub(super) fn unplan(&mut self, id: ObjectId) {
        self.leave_call_queue(id);
        if let Some(tracked) = self.objects.get_mut(&id)
            && let Some((at, _)) = tracked.planned.take()
        {
            self.timers.remove(&(at, id, Timer::Planned));
        }
    }

    /// Takes back a call that hasn't begun.
    pub(super) fn leave_call_queue(&mut self, id: ObjectId) {
        if let Some((caller, secrets, calls)) = self.caller(id) {
            caller.poll.take_back(caller.namespace, secrets, calls);
        }
    }

    pub(super) fn plan(&mut self, id: ObjectId, next: Next, now: Now) {
        self.unplan(id);
        let Some(tracked) = self.objects.get_mut(&id).filter(|_| !self.stopping) else {
            return;
        };
        let (at, planned) = match next {
            Next::Rest => return,
            Next::Wait(after) => (now.monotonic.saturating_add(after), Planned::Wait),
            Next::Delete(after) => (now.monotonic.saturating_add(after), Planned::Delete),
            Next::Call { after, requested } => {
                let due = now.monotonic.saturating_add(after);
                let requestable = requestable_at(tracked.requested_at, now);
                if requested && requestable <= due {
                    (requestable, Planned::Call(Priority::Requested))
                } else if tracked.was_throttled {
                    (due, Planned::Call(Priority::Throttled))
                } else {
                    (due, Planned::Call(Priority::Due))
                }
            }
        };
        tracked.planned = Some((at, planned));
        self.timers.insert((at, id, Timer::Planned));
    }

    /// A new poll request puts the next call forward, and leaves the plan as it is where that isn't
    /// its time yet.
    pub(super) fn request_call(&mut self, id: ObjectId, now: Now) {
        let Some(tracked) = self.objects.get(&id) else {
            return;
        };
        // An answer waits to be written: the end of that finds the request.
        if tracked
            .write
            .as_ref()
            .is_some_and(|write| write.occasion.is_poll())
        {
            return;
        }
        let (due_at, priority) = match (&tracked.poll, tracked.planned) {
            // Its end finds the request.
            (PollState::Calling { .. }, _) => return,
            (
                PollState::Unidentified { due, priority, .. }
                | PollState::Identifying {
                    due: Some((due, priority)),
                },
                _,
            ) => (*due, *priority),
            (PollState::Queued { due, place, .. }, _) => (*due, place.priority),
            (_, Some((due, Planned::Call(priority)))) => (due, priority),
            // Nothing is to be called by itself: is it to be now?
            _ => return self.decide(id, Occasion::Seen, now),
        };
        let at = requestable_at(tracked.requested_at, now);
        // It is requested already, or due before a request may put it forward.
        if priority == Priority::Requested || at > due_at.max(now.monotonic) {
            return;
        }
        if at <= now.monotonic && self.request_queued_call(id) {
            return;
        }
        let after = at.saturating_sub(now.monotonic);
        let requested = true;
        self.plan(id, Next::Call { after, requested }, now);
    }

    /// A call that waits in its queue goes before others; whether it waits there.
    fn request_queued_call(&mut self, id: ObjectId) -> bool {
        let Some(tracked) = self.objects.get_mut(&id) else {
            return false;
        };
        let namespace = &tracked.object.key.namespace;
        let PollState::Queued { queue, place, .. } = &mut tracked.poll else {
            return false;
        };
        *place = self.calls.request(*queue, namespace, *place);
        true
    }

    /// What was planned is due now.
    pub(super) fn is_due(&mut self, id: ObjectId, at: Duration, now: Now) {
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        let Some((_, planned)) = tracked.planned.take() else {
            return;
        };
        match planned {
            Planned::Wait => self.decide(id, Occasion::Waited, now),
            Planned::Delete => self.queue_deletion(id),
            Planned::Call(priority) => {
                if priority == Priority::Requested {
                    // It counts also where the credentials bring no call.
                    tracked.requested_at = Some(now.monotonic);
                }
                self.begin_call(id, at, priority, now);
            }
        }
    }

    /// Lets a call that is due wait for its turn, or first for the account that it is made for.
    pub(super) fn begin_call(&mut self, id: ObjectId, at: Duration, priority: Priority, now: Now) {
        let Some((caller, secrets, _)) = self.caller(id) else {
            return;
        };
        match caller.poll {
            // The end of a call under way decides what comes next.
            PollState::Calling { .. } => {}
            PollState::Identifying { due } => *due = Some((at, priority)),
            poll if caller.secret_name.is_some() => {
                let place = secrets.push(caller.namespace, id, ());
                *poll = PollState::Unidentified {
                    due: at,
                    priority,
                    place,
                };
            }
            _ => self.queue_call(id, Account::Default, at, priority, now),
        }
    }

    pub(super) fn start_identifications(&mut self) {
        while let Some(started) = self.secrets.start(()..=(), |_| true) {
            let id = started.id;
            if let Some((caller, ..)) = self.caller(id)
                && let PollState::Unidentified { due, priority, .. } = *caller.poll
                && let Some(secret) = caller.secret()
            {
                *caller.poll = PollState::Identifying {
                    due: Some((due, priority)),
                };
                self.effects.push(Effect::Identify { object: id, secret });
            } else {
                self.secrets.ended(id);
            }
        }
    }

    /// Whose account it is decides where the call waits. Without credentials it ends here.
    pub(super) fn identified(
        &mut self,
        id: ObjectId,
        secret: &ObjectKey,
        account: Result<String, PollError>,
        now: Now,
    ) {
        self.secrets.ended(id);
        let Some((caller, ..)) = self.caller(id) else {
            return;
        };
        let PollState::Identifying { due } = *caller.poll else {
            return;
        };
        *caller.poll = PollState::Idle;
        let Some((due, priority)) = due else {
            return;
        };
        let is_named = caller.secret().as_ref() == Some(secret);
        match account {
            _ if !is_named => self.names_another_secret(id, due, now),
            Ok(access_key_id) => {
                let namespace = secret.namespace.clone();
                let account = Account::Secret {
                    namespace,
                    access_key_id,
                };
                self.queue_call(id, account, due, priority, now);
            }
            Err(error) => self.has_no_account(id, error, now),
        }
    }

    /// A Secret was looked at that isn't asked for any more.
    fn names_another_secret(&mut self, id: ObjectId, due: Duration, now: Now) {
        if self.sources.contains(id) {
            self.begin_page(id, due, now);
        } else {
            self.decide(id, Occasion::Seen, now);
        }
    }

    /// Nobody knows whose account it is: no call is made.
    fn has_no_account(&mut self, id: ObjectId, error: PollError, now: Now) {
        if self.sources.contains(id) {
            self.listing_failed(id, error, now);
        } else if let Some(tracked) = self.objects.get(&id) {
            let poll_request = tracked.object.pending_poll_request().map(Into::into);
            self.call_ended(id, Err(error), now.wall, poll_request, now);
        }
    }

    fn queue_call(
        &mut self,
        id: ObjectId,
        account: Account,
        due: Duration,
        priority: Priority,
        now: Now,
    ) {
        let Some((caller, _, calls)) = self.caller(id) else {
            return;
        };
        let Some(host) = caller.host() else {
            return;
        };
        let queue = calls.queue(account, host, now.monotonic);
        if let Some(place) = calls.push(queue, caller.namespace, id, priority) {
            *caller.poll = PollState::Queued { due, queue, place };
        }
    }

    pub(super) fn start_calls(&mut self, now: Now) {
        while let Some(NextCall { queue, started }) = self.calls.start(now.monotonic, |namespace| {
            !self.congested.contains(namespace)
        }) {
            if self.sources.contains(started.id) {
                if !self.start_page(started.id, queue, now) {
                    self.calls.ended(queue, true);
                }
                continue;
            }
            let tracked = self.objects.get_mut(&started.id);
            let due = tracked.as_ref().and_then(|tracked| match tracked.poll {
                PollState::Queued { due, .. } => Some(due),
                _ => None,
            });
            let (Some(tracked), Some(due)) = (tracked, due) else {
                self.calls.ended(queue, true);
                continue;
            };
            let is_requested = started.place.priority == Priority::Requested;
            if is_requested {
                tracked.requested_at = Some(now.monotonic);
            }
            let object = &tracked.object;
            let secret = object.secret();
            tracked.poll = PollState::Calling {
                secret: secret.clone().map(Box::new),
            };
            let region = object.region(&self.config.policy);
            self.effects.push(Effect::Call(Call {
                object: started.id,
                queue,
                key: object.key.clone(),
                region: region.unwrap_or_default().into(),
                task_id: object.spec.task_id.clone(),
                secret,
                only_cluster: self.config.policy.only_cluster(object).map(Into::into),
                poll_request: object.pending_poll_request().map(Into::into),
                lag: now.monotonic.saturating_sub(due),
                is_requested,
            }));
        }
    }

    /// What an answer means for the queue that the call was in. `subject`: the task, or the cluster, that it was
    /// about, where that is still known.
    pub(super) fn queue_answered(
        &mut self,
        queue: QueueId,
        subject: Option<&str>,
        error: Option<&PollError>,
        now: Now,
    ) {
        let Some(error) = error else {
            return self.calls.ended(queue, true);
        };
        self.calls.ended(queue, !error.is_silence);
        match (error.reason, error.retry_after) {
            (Reason::Throttled, wait) => {
                if let Some(wait) = wait {
                    self.calls.pause(queue, now.monotonic, wait);
                }
                self.calls.throttled(queue, now.monotonic);
            }
            (_, Some(wait)) => {
                if let Some(subject) = subject {
                    self.calls.failed(queue, subject, now.monotonic, wait);
                }
            }
            (_, None) => {}
        }
    }

    pub(super) fn call_ended(
        &mut self,
        id: ObjectId,
        result: PollResult,
        started_at: Timestamp,
        poll_request: Option<Box<str>>,
        now: Now,
    ) {
        let Some(tracked) = self.objects.get_mut(&id) else {
            return;
        };
        let error = result.as_ref().err();
        tracked.was_throttled = error.is_some_and(|error| error.reason == Reason::Throttled);
        let poll = std::mem::replace(&mut tracked.poll, PollState::Idle);
        let occasion = match poll {
            // An answer got with credentials that the spec no longer names doesn't count.
            PollState::Calling { secret }
                if secret.as_deref() != tracked.object.secret().as_ref() =>
            {
                Occasion::Seen
            }
            _ => Occasion::Polled {
                result,
                started_at,
                poll_request,
            },
        };
        self.decide(id, occasion, now);
    }
}

/// When a poll request may put the next call forward.
fn requestable_at(requested_at: Option<Duration>, now: Now) -> Duration {
    let next = requested_at.map(|at| at.saturating_add(REQUEST_PERIOD));
    next.map_or(now.monotonic, |at| at.max(now.monotonic))
}
