//! Objects with credentials of their own: whose queue they wait in, and which answers count.

use scaleouttask_controller::{
    rules::{ObjectKey, PollError, Reason},
    scheduler::{Call, Effect, Input, ObjectId},
};

use crate::fixtures::{
    Stage, calls, edited, failure, object_in, object_with_secret, only_call,
    stage_of_one_call_at_a_time,
};

/// The object and Secret that the scheduler wants to know the account of.
#[track_caller]
fn identification(effects: &[Effect]) -> (ObjectId, ObjectKey) {
    match effects {
        [Effect::Identify { object, secret }] => (*object, secret.clone()),
        other => panic!("not one identification: {other:?}"),
    }
}

fn identified(object: ObjectId, secret: ObjectKey, account: Result<&str, Reason>) -> Input {
    Input::Identified {
        object,
        secret,
        account: account.map(str::to_owned).map_err(PollError::new),
    }
}

/// A new object whose Secret holds that key, with its call.
fn calling(stage: &mut Stage, name: &str, key: &str) -> Vec<Effect> {
    let (object, secret) = identification(&stage.apply(object_with_secret(name, key)));
    stage.handle(identified(object, secret, Ok(key)))
}

fn renamed_secret(stage: &mut Stage, name: &str, secret: &str) -> Vec<Effect> {
    let name_of_secret = secret.to_owned();
    stage.apply(edited(&object_with_secret(name, "any"), 2, |spec| {
        let reference = scaleouttask_controller::api::SecretReference {
            name: name_of_secret,
        };
        spec.credentials_secret_ref = Some(reference);
    }))
}

#[test]
fn each_account_has_a_queue_of_its_own() {
    let mut stage = stage_of_one_call_at_a_time();
    let busy = only_call(calling(&mut stage, "a", "one"));
    let other = only_call(calling(&mut stage, "b", "two"));
    assert_ne!(busy.queue, other.queue);
    assert!(calling(&mut stage, "c", "one").is_empty(), "it waits");
    let effects = stage.end(&busy, failure(Reason::AccessDenied));
    let names: Vec<_> = calls(effects)
        .into_iter()
        .map(|call| call.key.name)
        .collect();
    assert_eq!(names, ["c".into()]);
}

/// Else a tenant could use up what another's key may do.
#[test]
fn the_key_of_another_namespace_is_another_account() {
    let mut stage = stage_of_one_call_at_a_time();
    let queue_of = |stage: &mut Stage, namespace: &str| -> Call {
        let object = object_in(namespace, namespace, |spec| {
            let name = "keys".to_owned();
            spec.credentials_secret_ref =
                Some(scaleouttask_controller::api::SecretReference { name });
        });
        let (object, secret) = identification(&stage.apply(object));
        only_call(stage.handle(identified(object, secret, Ok("the-same-key"))))
    };
    let (one, other) = (queue_of(&mut stage, "a"), queue_of(&mut stage, "b"));
    assert_ne!(one.queue, other.queue);
}

#[test]
fn an_answer_to_a_call_with_an_old_secret_does_not_count() {
    let mut stage = stage_of_one_call_at_a_time();
    let first = only_call(calling(&mut stage, "a", "one"));
    assert!(renamed_secret(&mut stage, "a", "two").is_empty());
    let effects = stage.end(&first, failure(Reason::CredentialsInvalid));
    assert_eq!(&*identification(&effects).1.name, "two");
}

#[test]
fn an_account_found_for_an_old_secret_is_looked_for_again() {
    for account in [Ok("one"), Err(Reason::CredentialsInvalid)] {
        let mut stage = stage_of_one_call_at_a_time();
        let (object, secret) = identification(&stage.apply(object_with_secret("a", "one")));
        let renamed = renamed_secret(&mut stage, "a", "two");
        assert!(
            renamed.is_empty(),
            "one at a time for an object: {renamed:?}"
        );
        let effects = stage.handle(identified(object, secret, account));
        assert_eq!(&*identification(&effects).1.name, "two");
    }
}

#[test]
fn an_account_found_for_a_suspended_object_brings_no_call() {
    let mut stage = stage_of_one_call_at_a_time();
    let first = object_with_secret("a", "one");
    let (object, secret) = identification(&stage.apply(first.clone()));
    let suspended = edited(&first, 2, |spec| spec.suspend = Some(true));
    let effects = stage.apply(suspended);
    assert!(matches!(effects[..], [Effect::Write(_)]), "{effects:?}");
    let effects = stage.handle(identified(object, secret, Ok("one")));
    assert!(effects.is_empty(), "{effects:?}");
}

#[test]
fn a_place_in_an_old_queue_lets_nothing_through() {
    let mut stage = stage_of_one_call_at_a_time();
    let one = only_call(calling(&mut stage, "busy-one", "one"));
    let _two = only_call(calling(&mut stage, "busy-two", "two"));
    assert!(calling(&mut stage, "a", "one").is_empty());
    let (object, secret) = identification(&renamed_secret(&mut stage, "a", "two"));
    let queued = stage.handle(identified(object, secret, Ok("two")));
    assert!(queued.is_empty(), "{queued:?}");
    let effects = stage.end(&one, failure(Reason::TaskApiUnavailable));
    assert!(effects.is_empty(), "its account is busy: {effects:?}");
}

#[test]
fn few_secrets_are_read_at_a_time_and_half_of_them_for_one_namespace() {
    let mut stage = stage_of_one_call_at_a_time();
    let mut reads = 0;
    for number in 0..100 {
        let object = object_with_secret(&number.to_string(), &number.to_string());
        reads += stage.apply(object).len();
    }
    assert_eq!(reads, 16);
    let other = object_in("other", "x", |spec| {
        let name = "keys".to_owned();
        spec.credentials_secret_ref = Some(scaleouttask_controller::api::SecretReference { name });
    });
    identification(&stage.apply(other));
}

#[test]
fn a_secret_that_is_no_longer_named_holds_no_place() {
    let mut stage = stage_of_one_call_at_a_time();
    let mut reads = Vec::new();
    for number in 0..40 {
        reads.extend(stage.apply(object_with_secret(&number.to_string(), "keys")));
    }
    assert_eq!(reads.len(), 16);
    stage.after(scaleouttask_controller::rules::OVERDUE_AFTER);
    for number in 16..40 {
        let object = object_with_secret(&number.to_string(), "keys");
        stage.apply(edited(&object, 2, |_| {}));
    }
    for read in reads {
        let (object, secret) = identification(&[read]);
        stage.handle(identified(object, secret, Ok("key")));
    }
    let mut reads = 0;
    for number in 100..140 {
        let effects = stage.apply(object_with_secret(&number.to_string(), "keys"));
        let identifies = |effect: &&Effect| matches!(effect, Effect::Identify { .. });
        reads += effects.iter().filter(identifies).count();
    }
    assert_eq!(reads, 16);
}

#[test]
fn poll_requests_without_a_usable_secret_count_once_in_five_seconds_too() {
    let mut stage = stage_of_one_call_at_a_time();
    let mut reads = 0;
    let mut effects = stage.apply(object_with_secret("a", "missing"));
    for tenth in 0..100 {
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Identify { object, secret } => {
                    reads += 1;
                    let missing = Err(Reason::CredentialsInvalid);
                    effects.extend(stage.handle(identified(object, secret, missing)));
                }
                Effect::Write(write) => effects.extend(stage.land(&write)),
                other => panic!("{other:?}"),
            }
        }
        stage.after(std::time::Duration::from_millis(100));
        effects = stage.request("ns/a", tenth);
    }
    assert!((2..=4).contains(&reads), "{reads} in 10 s");
}
