//! Objects with credentials of their own: whose queue they wait in, and whose word is taken.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::{
    api::SecretReference,
    core::{
        Call, Command, Config, EntryId, Event, LaneLimits, Now, Object, ObjectKey, Outcome, Policy,
        Reason, Tracker, Trouble,
    },
};

const NOW: Now = Now {
    wall: Timestamp::UNIX_EPOCH,
    monotonic: Duration::from_secs(1),
};

fn tracker(concurrency: usize) -> Tracker {
    let mut tracker = Tracker::new(Config {
        policy: Policy {
            has_default_region: true,
            poll_interval: Duration::from_secs(15),
            allowed_cluster_ids: Vec::new(),
            secret_credentials: true,
        },
        default_region: Some("cn-hangzhou".to_owned()),
        limits: LaneLimits {
            requests_per_second: 1000.0,
            concurrency,
        },
        seed: 1,
    });
    tracker.handle(Event::LeadsUntil(Duration::MAX), NOW);
    tracker
}

fn with_secret(name: &str, secret: &str, generation: i64) -> Event {
    let mut object = Object {
        key: ObjectKey {
            namespace: "ns".to_owned(),
            name: name.to_owned(),
        },
        uid: name.to_owned(),
        resource_version: generation.to_string(),
        generation,
        ..Object::default()
    };
    object.spec.credentials_secret_ref = Some(SecretReference {
        name: secret.to_owned(),
    });
    Event::Applied(0, Box::new(object))
}

/// The entry and Secret that the tracker wants to know the account of.
fn identification(commands: &[Command]) -> (EntryId, ObjectKey) {
    match commands {
        [Command::Identify { entry, secret }] => (*entry, secret.clone()),
        other => panic!("not one identification: {other:?}"),
    }
}

fn call(commands: Vec<Command>) -> Call {
    match <[Command; 1]>::try_from(commands) {
        Ok([Command::Call(call)]) => call,
        other => panic!("not one call: {other:?}"),
    }
}

/// An object of that account, with its call.
fn calling(tracker: &mut Tracker, name: &str, account: &str) -> Vec<Command> {
    let (entry, secret) = identification(&tracker.handle(with_secret(name, account, 1), NOW));
    tracker.handle(
        Event::Identified {
            entry,
            secret,
            account: Ok(account.to_owned()),
        },
        NOW,
    )
}

fn ended(call: Call, outcome: Outcome) -> Event {
    Event::CallEnded {
        entry: call.entry,
        lane: call.lane,
        outcome,
        started_at: NOW.wall,
        poll_request: call.poll_request,
    }
}

#[test]
fn each_account_has_a_queue_of_its_own() {
    let mut tracker = tracker(1);
    let busy = call(calling(&mut tracker, "a", "one"));
    let other = call(calling(&mut tracker, "b", "two"));
    assert_ne!(busy.lane, other.lane);
    assert!(calling(&mut tracker, "c", "one").is_empty(), "it waits");
    let refused = Trouble::new(Reason::AccessDenied).into();
    let commands = tracker.handle(ended(busy, refused), NOW);
    assert!(
        commands
            .iter()
            .any(|command| matches!(command, Command::Call(call) if call.key.name == "c")),
        "{commands:?}"
    );
}

#[test]
fn what_an_old_secret_brought_is_no_word_on_the_new() {
    let mut tracker = tracker(1);
    let first = call(calling(&mut tracker, "a", "one"));
    assert!(tracker.handle(with_secret("a", "two", 2), NOW).is_empty());
    let refused = Trouble::new(Reason::CredentialsInvalid).into();
    let commands = tracker.handle(ended(first, refused), NOW);
    assert_eq!(identification(&commands).1.name, "two");
}

#[test]
fn an_account_found_for_an_old_secret_is_looked_for_again() {
    let mut tracker = tracker(1);
    let (entry, secret) = identification(&tracker.handle(with_secret("a", "one", 1), NOW));
    let renewed = tracker.handle(with_secret("a", "two", 2), NOW);
    assert_eq!(identification(&renewed).1.name, "two");
    // The first's answer comes late, and finds another question asked.
    for account in [
        Ok("one".to_owned()),
        Err(Trouble::new(Reason::CredentialsInvalid)),
    ] {
        let commands = tracker.handle(
            Event::Identified {
                entry,
                secret: secret.clone(),
                account,
            },
            NOW,
        );
        assert!(
            commands
                .iter()
                .all(|command| matches!(command, Command::Identify { .. })),
            "{commands:?}"
        );
    }
}

#[test]
fn a_place_in_an_old_queue_lets_nobody_through() {
    let mut tracker = tracker(1);
    let one = call(calling(&mut tracker, "busy-one", "one"));
    let _two = call(calling(&mut tracker, "busy-two", "two"));
    assert!(calling(&mut tracker, "a", "one").is_empty());
    let (entry, secret) = identification(&tracker.handle(with_secret("a", "two", 2), NOW));
    let queued = tracker.handle(
        Event::Identified {
            entry,
            secret,
            account: Ok("two".to_owned()),
        },
        NOW,
    );
    assert!(queued.is_empty(), "{queued:?}");
    let unavailable = Trouble::new(Reason::TaskApiUnavailable).into();
    let commands = tracker.handle(ended(one, unavailable), NOW);
    assert!(commands.is_empty(), "its account is busy: {commands:?}");
}
