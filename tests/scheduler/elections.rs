//! The election: who may claim the Lease and when, and that no two lead at a time.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use scaleouttask_controller::scheduler::{
    Election, LEASE_DURATION, LeaseRecord, LeaseStep, RENEW_DEADLINE, RETRY_PERIOD, STANDBY_PERIOD,
};

const fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn held_by(holder: &str, version: &str) -> LeaseRecord {
    LeaseRecord {
        holder: holder.to_owned(),
        duration: LEASE_DURATION,
        transitions: 3,
        // Each version is a renewal.
        renewed: version
            .parse()
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok()),
        version: version.to_owned(),
    }
}

fn claim(election: &Election, now: Duration) -> LeaseRecord {
    match election.next(now) {
        LeaseStep::Claim(record) => record,
        other => panic!("no claim: {other:?}"),
    }
}

/// One that leads since it claimed at `now`.
fn leader(now: Duration) -> Election {
    let mut election = Election::new("me".to_owned());
    election.read(None, now);
    election.claimed(held_by("me", "1"), now);
    election
}

#[test]
fn a_missing_lease_is_created() {
    let mut election = Election::new("me".to_owned());
    assert_eq!(election.next(at(0)), LeaseStep::Read);
    election.read(None, at(5));
    let record = claim(&election, at(5));
    assert_eq!(
        (record.holder.as_str(), record.version.as_str()),
        ("me", "")
    );
    assert_eq!(record.transitions, 0);
    assert_eq!(election.leads_until(), None);
    election.claimed(held_by("me", "1"), at(5));
    assert_eq!(election.leads_until(), Some(at(5) + RENEW_DEADLINE));
}

#[test]
fn a_released_lease_is_taken_at_once_and_counted() {
    let mut election = Election::new("me".to_owned());
    election.read(Some(held_by("", "7")), at(0));
    let record = claim(&election, at(0));
    assert_eq!((record.transitions, record.version.as_str()), (4, "7"));
}

#[test]
fn anothers_lease_is_taken_once_it_was_seen_unchanged_for_its_whole_duration() {
    let mut election = Election::new("me".to_owned());
    let mut now = at(0);
    while now < at(500) + LEASE_DURATION {
        assert_eq!(election.next(now), LeaseStep::Read, "{now:?}");
        // Renewed once, half a second on: that counts, not the first sight.
        let version = if now < at(500) { "1" } else { "2" };
        election.read(Some(held_by("other", version)), now);
        let pause = LeaseStep::WaitUntil(now + STANDBY_PERIOD);
        assert_eq!(election.next(now), pause);
        now += STANDBY_PERIOD;
    }
    election.read(Some(held_by("other", "2")), now);
    assert_eq!(claim(&election, now).version, "2");
}

#[test]
fn who_touches_the_lease_renews_it_not() {
    let mut election = Election::new("me".to_owned());
    election.read(Some(held_by("other", "1")), at(0));
    let touched = LeaseRecord {
        version: "9".to_owned(),
        ..held_by("other", "1")
    };
    election.read(Some(touched), LEASE_DURATION);
    assert_eq!(claim(&election, LEASE_DURATION).version, "9");
}

#[test]
fn a_lease_deleted_under_its_holder_is_left_to_it_for_a_while() {
    let mut election = Election::new("me".to_owned());
    election.read(Some(held_by("other", "1")), at(0));
    election.read(None, at(1000));
    assert_eq!(
        election.next(at(1000)),
        LeaseStep::WaitUntil(at(1000) + STANDBY_PERIOD)
    );
    assert_eq!(election.next(at(2000)), LeaseStep::Read);
    election.read(None, LEASE_DURATION);
    assert_eq!(claim(&election, LEASE_DURATION).holder, "me");
    // The holder itself finds it missing when it renews, and creates it at once.
    let mut holder = leader(at(0));
    holder.refused(at(2000));
    holder.read(None, at(2000));
    assert_eq!(claim(&holder, at(2000)).version, "");
}

#[test]
fn the_holder_renews_every_two_seconds_in_place_of_its_own_version() {
    let mut election = leader(at(0));
    assert_eq!(election.next(at(1)), LeaseStep::WaitUntil(RETRY_PERIOD));
    let record = claim(&election, RETRY_PERIOD);
    let renewed = None;
    assert_eq!(
        record,
        LeaseRecord {
            renewed,
            ..held_by("me", "1")
        }
    );
    election.claimed(held_by("me", "2"), RETRY_PERIOD);
    assert_eq!(election.leads_until(), Some(RETRY_PERIOD + RENEW_DEADLINE));
}

#[test]
fn a_renewal_counts_from_when_it_was_sent() {
    let mut election = leader(at(0));
    // The answer took five seconds.
    election.claimed(held_by("me", "2"), at(2000));
    assert_eq!(election.leads_until(), Some(at(2000) + RENEW_DEADLINE));
    assert!(matches!(election.next(at(7000)), LeaseStep::Claim(_)));
}

#[test]
fn a_failed_renewal_is_tried_again_and_extends_nothing() {
    let mut election = leader(at(0));
    election.failed(at(2000), at(2100));
    assert_eq!(election.next(at(2100)), LeaseStep::WaitUntil(at(4000)));
    // A slow failure is followed at once.
    election.failed(at(4000), at(7000));
    assert!(matches!(election.next(at(7000)), LeaseStep::Claim(_)));
    assert_eq!(election.leads_until(), Some(RENEW_DEADLINE));
}

#[test]
fn a_refused_renewal_is_followed_by_a_look_and_by_standing_by() {
    let mut election = leader(at(0));
    election.refused(at(2000));
    assert_eq!(election.next(at(2000)), LeaseStep::Read);
    election.read(Some(held_by("other", "9")), at(2001));
    assert_eq!(election.leads_until(), None);
    assert!(matches!(election.next(at(2001)), LeaseStep::WaitUntil(_)));
}

#[test]
fn ones_own_lease_that_was_renewed_unheard_is_renewed_again() {
    let mut election = leader(at(0));
    election.refused(at(2000));
    election.read(Some(held_by("me", "2")), at(2001));
    assert_eq!(claim(&election, at(2001)).version, "2");
}

#[test]
fn refusals_in_a_row_make_no_hot_loop() {
    let mut election = leader(at(0));
    for _ in 0..3 {
        election.refused(at(2000));
        election.read(Some(held_by("", "9")), at(2000));
    }
    let pause = LeaseStep::WaitUntil(at(2000) + STANDBY_PERIOD);
    assert_eq!(election.next(at(2000)), pause);
}

#[test]
fn giving_back_leaves_the_lease_to_anyone_and_ends_the_lead() {
    let mut election = leader(at(0));
    let record = election.release().unwrap();
    assert_eq!((record.holder.as_str(), record.version.as_str()), ("", "1"));
    assert_eq!(election.leads_until(), None);
    assert_eq!(Election::new("me".to_owned()).release(), None);
}

/// What may become of a request about the Lease.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It takes so many milliseconds to arrive, and so many more to be answered.
    Answered(u64, u64),
    /// It is lost on the way.
    Lost,
    /// It arrives, and its answer is lost.
    Unheard,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => (0_u64..50, 0_u64..50).prop_map(|(there, back)| Fate::Answered(there, back)),
        1 => (0_u64..2500, 0_u64..2500).prop_map(|(there, back)| Fate::Answered(there, back)),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Unheard),
    ];
    prop::collection::vec(fate, 400)
}

/// A replica, and when it does its next step. Its clock began at another time than others'.
struct Replica {
    election: Election,
    clock: Duration,
    next_at: Duration,
    fates: Vec<Fate>,
}

/// The Lease at the API server.
#[derive(Default)]
struct Server {
    record: Option<LeaseRecord>,
    version: u32,
}

impl Server {
    fn claim(&mut self, mut record: LeaseRecord) -> Result<LeaseRecord, ()> {
        let version = self.record.as_ref().map(|record| record.version.as_str());
        if version.unwrap_or_default() != record.version {
            return Err(());
        }
        self.version += 1;
        record.renewed = Timestamp::from_second(self.version.into()).ok();
        record.version = self.version.to_string();
        self.record = Some(record.clone());
        Ok(record)
    }
}

impl Replica {
    fn local(&self, now: Duration) -> Duration {
        now + self.clock
    }

    fn leads(&self, now: Duration) -> bool {
        let until = self.election.leads_until();
        until.is_some_and(|until| self.local(now) < until)
    }

    /// One step at `now`. A request's arrival is taken to be at once: only its answer is late,
    /// which is the worse of the two for the sender.
    fn step(&mut self, server: &mut Server, now: Duration) {
        let sent_at = self.local(now);
        let step = self.election.next(sent_at);
        if let LeaseStep::WaitUntil(at) = step {
            self.next_at = at.saturating_sub(self.clock);
            return;
        }
        let fate = self.fates.pop().unwrap_or(Fate::Answered(1, 1));
        let (arrives, took) = match fate {
            Fate::Answered(there, back) => (true, Some(there + back)),
            Fate::Lost => (false, None),
            Fate::Unheard => (true, None),
        };
        let answered_at = now + Duration::from_millis(took.unwrap_or(3000));
        let local = self.local(answered_at);
        self.next_at = answered_at;
        match step {
            LeaseStep::Claim(record) if arrives => match (server.claim(record), took) {
                (Ok(record), Some(_)) => self.election.claimed(record, sent_at),
                (Err(()), Some(_)) => self.election.refused(local),
                (_, None) => self.election.failed(sent_at, local),
            },
            LeaseStep::Read if took.is_some() => self.election.read(server.record.clone(), local),
            _ => self.election.failed(sent_at, local),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_two_lead_at_a_time_and_somebody_does_in_the_end(
        all_fates in prop::collection::vec(fates(), 3),
        starts in prop::collection::vec(0_u64..20_000, 3),
    ) {
        let mut server = Server::default();
        let mut replicas: Vec<Replica> = all_fates
            .into_iter()
            .zip(starts)
            .enumerate()
            .map(|(number, (fates, start))| Replica {
                election: Election::new(format!("replica-{number}")),
                clock: at(1000 * start),
                next_at: at(start),
                fates,
            })
            .collect();
        let end = Duration::from_mins(15);
        loop {
            let next = replicas.iter_mut().min_by_key(|replica| replica.next_at).unwrap();
            let now = next.next_at;
            if now > end {
                break;
            }
            next.step(&mut server, now);
            let leaders = replicas.iter().filter(|replica| replica.leads(now)).count();
            prop_assert!(leaders <= 1, "{leaders} lead at {now:?}");
        }
        prop_assert!(replicas.iter().any(|replica| replica.leads(end)), "nobody leads");
    }
}
