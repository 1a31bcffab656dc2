//! Who leads: what follows from a Lease, as Kubernetes' own components read it.
//!
//! Times are those of one monotonic clock of this process; clocks of others are never compared. A
//! replica leads for [`RENEW_DEADLINE`] from when its last successful renewal was *sent*. Another
//! takes over once it has seen the Lease unchanged for its whole duration, which began later. So no
//! two lead at a time, as long as both clocks run about equally fast.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// How long others wait for a sign of life before they take over.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// How long a renewal lets its holder lead.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How long the holder waits between renewals, and everyone after a failure.
pub const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// How often a standby looks: more often than it need, so that a released Lease is taken at once.
pub const STANDBY_PERIOD: Duration = Duration::from_secs(1);

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeaseRecord {
    /// Who holds it; empty once released.
    pub holder: String,
    /// How long it lasts without renewal.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: i32,
    /// When its holder says that it renewed it: another time is a sign of life, and no more.
    pub renewed: Option<Timestamp>,
    /// The version of the Lease object, for the next write.
    pub version: String,
}

impl LeaseRecord {
    /// Whether its holder showed no sign of life since. Others may touch the object.
    fn is_as_alive_as(&self, known: &Self) -> bool {
        let version = self.version.clone();
        *self
            == Self {
                version,
                ..known.clone()
            }
    }
}

/// What the replica does next about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    /// Nothing before that time.
    WaitUntil(Duration),
    /// Read it, and tell [`Election::read`].
    Read,
    /// Write this, created where `version` is empty, else in place of that version; and tell
    /// [`Election::claimed`] or [`Election::refused`].
    Claim(LeaseRecord),
}

/// One replica's part in the election.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Election {
    identity: String,
    /// What was last read or written, and since when it is known to be so.
    seen: Option<(Option<LeaseRecord>, Duration)>,
    /// When the renewal was sent that succeeded last.
    renewed_at: Option<Duration>,
    /// When to do something next.
    due: Duration,
    /// Claims refused in a row.
    refusals: u32,
}

impl Election {
    /// A replica that knows nothing yet. `identity` must be another for each process.
    #[must_use]
    pub fn new(identity: String) -> Self {
        Self {
            identity,
            seen: None,
            renewed_at: None,
            due: Duration::ZERO,
            refusals: 0,
        }
    }

    /// Until when this replica leads; none where it stands by.
    #[must_use]
    pub fn leads_until(&self) -> Option<Duration> {
        self.renewed_at.map(|at| at.saturating_add(RENEW_DEADLINE))
    }

    /// What to do now.
    #[must_use]
    pub fn next(&self, now: Duration) -> LeaseStep {
        if now < self.due {
            return LeaseStep::WaitUntil(self.due);
        }
        match &self.seen {
            Some((record, since)) if self.may_claim(record.as_ref(), *since, now) => {
                LeaseStep::Claim(self.claim(record.as_ref()))
            }
            _ => LeaseStep::Read,
        }
    }

    /// The Lease was read; `None` where there is none.
    pub fn read(&mut self, record: Option<LeaseRecord>, now: Duration) {
        let is_other = record.as_ref().is_some_and(|record| !self.is_mine(record));
        if is_other {
            self.renewed_at = None;
        }
        if let (None, Some((Some(known), since))) = (&record, &self.seen)
            && !self.may_claim(Some(known), *since, now)
        {
            // Deleted under its holder, who leads on for a while and creates it again.
            self.due = now.saturating_add(STANDBY_PERIOD);
            return;
        }
        let since = match (&self.seen, &record) {
            (Some((Some(known), since)), Some(record)) if record.is_as_alive_as(known) => *since,
            _ => now,
        };
        let may_claim = self.may_claim(record.as_ref(), since, now);
        self.seen = Some((record, since));
        // A claim that was just refused isn't repeated at the network's speed.
        self.due = if may_claim && self.refusals < 2 {
            now
        } else {
            now.saturating_add(STANDBY_PERIOD)
        };
    }

    /// A claim succeeded that was sent at `sent_at`; the Lease is now as `record` says.
    pub fn claimed(&mut self, record: LeaseRecord, sent_at: Duration) {
        self.seen = Some((Some(record), sent_at));
        self.renewed_at = Some(sent_at);
        self.refusals = 0;
        self.due = sent_at.saturating_add(RETRY_PERIOD);
    }

    /// A claim was refused, for the Lease has changed: it is read before anything else.
    pub fn refused(&mut self, now: Duration) {
        self.seen = None;
        self.refusals = self.refusals.saturating_add(1);
        self.due = now;
    }

    /// A request failed that was sent at `sent_at`, or its answer was lost.
    pub fn failed(&mut self, sent_at: Duration, now: Duration) {
        self.due = now.max(sent_at.saturating_add(RETRY_PERIOD));
    }

    /// What to write for others to take over at once; none where this replica doesn't lead. It
    /// stands by from now on.
    pub fn release(&mut self) -> Option<LeaseRecord> {
        self.renewed_at.take()?;
        let record = self.seen.take()?.0.filter(|record| self.is_mine(record))?;
        Some(LeaseRecord {
            holder: String::new(),
            duration: Duration::from_secs(1),
            ..record
        })
    }

    /// Moves the clock's zero forward. For model checkers, to which states that differ in their age
    /// only are the same.
    pub fn rebase(&mut self, by: Duration) {
        let earlier = |at: Duration| at.saturating_sub(by);
        if let Some((_, since)) = &mut self.seen {
            *since = earlier(*since);
        }
        self.renewed_at = self.renewed_at.map(earlier);
        self.due = earlier(self.due);
    }

    fn is_mine(&self, record: &LeaseRecord) -> bool {
        record.holder == self.identity
    }

    /// Whether nobody else holds the Lease.
    fn may_claim(&self, record: Option<&LeaseRecord>, since: Duration, now: Duration) -> bool {
        record.is_none_or(|record| {
            record.holder.is_empty()
                || self.is_mine(record)
                || now >= since.saturating_add(record.duration)
        })
    }

    fn claim(&self, record: Option<&LeaseRecord>) -> LeaseRecord {
        let transitions = match record {
            None => 0,
            Some(record) if self.is_mine(record) => record.transitions,
            Some(record) => record.transitions.saturating_add(1),
        };
        LeaseRecord {
            holder: self.identity.clone(),
            duration: LEASE_DURATION,
            transitions,
            renewed: None,
            version: record
                .map(|record| record.version.clone())
                .unwrap_or_default(),
        }
    }
}
