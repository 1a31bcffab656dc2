//! Planning turns, and letting calls through their lanes.

use std::time::Duration;

use super::{
    Call, Command, EntryId, Now, Timer, Tracker,
    entry::{Course, Turn},
};
use crate::core::{Account, Input, LaneId, Next, Outcome, Reason, Trouble};

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
            Turn::Call { .. } if entry.course == Course::Calling => {}
            Turn::Call { urgent } => match entry.object.secret() {
                None => self.queue(id, Account::Default, due, urgent, now),
                Some(secret) => {
                    entry.course = Course::Identifying { due, urgent };
                    self.commands.push(Command::Identify { entry: id, secret });
                }
            },
            Turn::Delete => {
                let object = &entry.object;
                self.commands.push(Command::Delete {
                    entry: id,
                    key: object.key.clone(),
                    uid: object.uid.clone(),
                    resource_version: object.resource_version.clone(),
                });
            }
        }
    }

    /// Whose account it is decides where the call waits. Without credentials it ends here.
    pub(super) fn identified(&mut self, id: EntryId, account: Result<String, Trouble>, now: Now) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let Course::Identifying { due, urgent } = entry.course else {
            return;
        };
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
            entry.course = Course::Queued { due };
            let lane = self.lanes.lane(account, region, now.monotonic);
            self.lanes.push(lane, id, urgent);
        }
    }

    pub(super) fn dispatch(&mut self, now: Now) {
        let entries = &mut self.entries;
        let waits = |entry: &super::Entry| matches!(entry.course, Course::Queued { .. });
        while let Some((lane, id)) = self
            .lanes
            .pop(now.monotonic, |id| entries.get(&id).is_some_and(waits))
        {
            let Some(entry) = entries.get_mut(&id) else {
                continue;
            };
            let Course::Queued { due } = entry.course else {
                continue;
            };
            entry.course = Course::Calling;
            let region = self.config.region_of(&entry.object);
            self.commands.push(Command::Call(Call {
                entry: id,
                lane,
                key: entry.object.key.clone(),
                region: region.unwrap_or_default().to_owned(),
                task_id: entry.object.spec.task_id.clone(),
                secret: entry.object.secret(),
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
