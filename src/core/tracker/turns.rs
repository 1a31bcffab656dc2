//! Planning turns, and letting calls through their lanes.

use std::time::Duration;

use super::{
    Call, Command, Deletion, EntryId, Now, Timer, Tracker,
    entry::{Course, Turn},
};
use crate::core::{
    Account, Input, LaneId, Next, ObjectKey, Outcome, Reason, Trouble, lanes::Place,
};

impl Tracker {
    pub(super) fn unschedule(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.leave_queue();
            if let Some((at, _)) = entry.turn.take() {
                self.timers.remove(&(at, id, Timer::Turn));
            }
        }
    }

    pub(super) fn schedule(&mut self, id: EntryId, next: Next, now: Now) {
        self.unschedule(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let (after, turn) = match next {
            Next::Rest => return,
            Next::Wait(after) => (after, Turn::Wait),
            Next::Call { after, urgent } => (after, Turn::Call { urgent }),
            Next::Delete(after) => (after, Turn::Delete),
        };
        let at = now.monotonic.saturating_add(after);
        entry.turn = Some((at, turn));
        self.timers.insert((at, id, Timer::Turn));
    }

    pub(super) fn take_turn(&mut self, id: EntryId, due: Duration, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let Some((_, turn)) = entry.turn.take() else {
            return;
        };
        match turn {
            Turn::Wait => self.decide(id, Input::Waited, now),
            // A call under way decides what comes next.
            Turn::Call { .. } if entry.is_calling() => {}
            Turn::Call { urgent } => match entry.object.secret() {
                None => self.queue(id, Account::Default, due, urgent, now),
                Some(secret) => {
                    entry.course = Course::Identifying {
                        due,
                        urgent,
                        secret: Box::new(secret.clone()),
                    };
                    self.commands.push(Command::Identify { entry: id, secret });
                }
            },
            Turn::Delete => {
                let object = &entry.object;
                self.commands.push(Command::Delete(Deletion {
                    entry: id,
                    key: object.key.clone(),
                    uid: object.uid.to_string(),
                    resource_version: object.resource_version.to_string(),
                    attempts: entry.refused_deletions,
                }));
            }
        }
    }

    /// Whose account it is decides where the call waits. Without credentials it ends here.
    pub(super) fn identified(
        &mut self,
        id: EntryId,
        secret: &ObjectKey,
        account: Result<String, Trouble>,
        now: Now,
    ) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let (due, urgent) = match &entry.course {
            Course::Identifying {
                due,
                urgent,
                secret: asked,
            } if **asked == *secret => (*due, *urgent),
            // Not asked any more.
            _ => return,
        };
        if entry.object.secret().as_ref() != Some(secret) {
            // The spec names another by now.
            entry.course = Course::Idle;
            return self.decide(id, Input::Seen, now);
        }
        match account {
            Ok(key) => self.queue(id, Account::AccessKey(key), due, urgent, now),
            Err(trouble) => {
                let input = Input::Called {
                    outcome: trouble.into(),
                    started_at: now.wall,
                    poll_request: entry.object.pending_poll_request().map(str::to_owned),
                };
                self.call_ended(id, input, now);
            }
        }
    }

    fn queue(&mut self, id: EntryId, account: Account, due: Duration, urgent: bool, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.course = Course::Idle;
        if let Some(region) = self.config.region_of(&entry.object) {
            let lane = self.lanes.lane(account, region, now.monotonic);
            entry.course = Course::Queued { due, lane };
            let place = match (urgent, entry.was_throttled) {
                (true, _) => Place::Urgent,
                (false, true) => Place::Again,
                (false, false) => Place::InTurn,
            };
            self.lanes.push(lane, id, place);
        }
    }

    pub(super) fn dispatch(&mut self, now: Now) {
        let entries = &mut self.entries;
        while let Some((lane, id)) = self.lanes.pop(now.monotonic, |lane, id| {
            let course = entries.get(&id).map(|entry| &entry.course);
            matches!(course, Some(Course::Queued { lane: own, .. }) if *own == lane)
        }) {
            let Some(entry) = entries.get_mut(&id) else {
                continue;
            };
            let Course::Queued { due, .. } = entry.course else {
                continue;
            };
            let secret = entry.object.secret();
            entry.course = Course::Calling {
                secret: secret.clone().map(Box::new),
            };
            let region = self.config.region_of(&entry.object);
            self.commands.push(Command::Call(Call {
                entry: id,
                lane,
                key: entry.object.key.clone(),
                region: region.unwrap_or_default().to_owned(),
                task_id: entry.object.task_id.to_string(),
                secret,
                poll_request: entry.object.pending_poll_request().map(str::to_owned),
                lag: now.monotonic.saturating_sub(due),
            }));
        }
    }

    /// Throttling slows the whole lane.
    pub(super) fn lane_heard(&mut self, lane: LaneId, outcome: &Outcome, now: Now) {
        self.lanes.ended(lane);
        let Outcome::Trouble(trouble) = outcome else {
            return;
        };
        if let Some(pause) = trouble.retry_after {
            self.lanes.pause(lane, now.monotonic, pause);
        }
        if trouble.reason == Reason::Throttled {
            self.lanes.throttled(lane, now.monotonic);
        }
    }
}
