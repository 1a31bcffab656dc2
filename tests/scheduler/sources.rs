//! Sources: which objects are made, what of their objects is asked about, and what is written.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use scaleouttask_controller::{
    api::{ScaleOutTaskSourceSpec, ScaleOutTaskSourceStatus},
    rules::{ListedTask, Object, ObjectKey, PollError, Reason, Source, Task},
    scheduler::{
        Creation, CreationResult, Effect, Input, ListCall, SourceInput, SourceWrite, WriteResult,
    },
};

use crate::fixtures::{Stage, calls, object_in, only_call, only_write, stage, writes};

/// The time at which all tests begin.
fn start() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().unwrap()
}

fn ago(stage: &Stage, minutes: i64) -> Timestamp {
    stage.now.wall - SignedDuration::from_mins(minutes)
}

/// A stage whose watches have shown all there is: no object.
fn stage_with_sources() -> Stage {
    let mut stage = stage();
    stage.now.wall = start();
    stage.handle(Input::Relisting(0));
    stage.handle(Input::ListingDone(0));
    stage.handle(Input::Source(SourceInput::Relisting(0)));
    stage.handle(Input::Source(SourceInput::ListingDone(0)));
    stage
}

fn source(specify: impl FnOnce(&mut ScaleOutTaskSourceSpec)) -> Source {
    let mut spec = ScaleOutTaskSourceSpec {
        cluster_id: "c-1".to_owned(),
        ..ScaleOutTaskSourceSpec::default()
    };
    specify(&mut spec);
    Source {
        key: ObjectKey {
            namespace: "ns".into(),
            name: "src".into(),
        },
        uid: "src-uid".into(),
        resource_version: "1".into(),
        generation: 1,
        created_at: start(),
        spec: spec.into(),
        status: ScaleOutTaskSourceStatus {
            observed_generation: Some(-1),
            ..ScaleOutTaskSourceStatus::default()
        }
        .into(),
        ..Source::default()
    }
}

fn listed(id: &str, created: Timestamp) -> ListedTask {
    ListedTask {
        task_id: id.into(),
        task_type: Some("cluster_scaleout".into()),
        state: "running".into(),
        created: Some(created),
        updated: Some(created),
    }
}

#[derive(Debug, Default)]
struct Asked {
    lists: Vec<ListCall>,
    creations: Vec<Creation>,
    writes: Vec<SourceWrite>,
    others: Vec<Effect>,
}

fn asked(effects: Vec<Effect>) -> Asked {
    let mut asked = Asked::default();
    for effect in effects {
        match effect {
            Effect::List(call) => asked.lists.push(call),
            Effect::Create(creation) => asked.creations.push(*creation),
            Effect::WriteSource(write) => asked.writes.push(*write),
            effect => asked.others.push(effect),
        }
    }
    asked
}

#[track_caller]
fn only_list(effects: Vec<Effect>) -> ListCall {
    let mut asked = asked(effects);
    assert!(asked.others.is_empty(), "{asked:?}");
    assert_eq!(asked.lists.len(), 1, "{asked:?}");
    asked.lists.remove(0)
}

fn apply(stage: &mut Stage, source: &Source) -> Vec<Effect> {
    let source = Box::new(source.clone());
    stage.handle(Input::Source(SourceInput::Applied(0, source)))
}

fn end_page(
    stage: &mut Stage,
    call: &ListCall,
    result: Result<Vec<ListedTask>, PollError>,
) -> Vec<Effect> {
    stage.handle(Input::Source(SourceInput::PageEnded {
        source: call.source,
        queue: call.queue,
        page: call.page,
        result,
        started_at: stage.now.wall,
    }))
}

/// One page with these tasks, and an empty one.
fn end_list(stage: &mut Stage, call: &ListCall, tasks: &[ListedTask]) -> Asked {
    if tasks.is_empty() {
        return asked(end_page(stage, call, Ok(Vec::new())));
    }
    let next = only_list(end_page(stage, call, Ok(tasks.to_vec())));
    assert_eq!(next.page, 2);
    asked(end_page(stage, &next, Ok(Vec::new())))
}

fn end_creation(stage: &mut Stage, creation: &Creation, result: CreationResult) -> Asked {
    let ended = SourceInput::CreationEnded(creation.id, result);
    asked(stage.handle(Input::Source(ended)))
}

/// The object that a creation makes.
fn made(creation: &Creation) -> Object {
    Object {
        source: Some(Box::new("src-uid".into())),
        created_at: start(),
        ..object_in("ns", &creation.key.name, |spec| {
            *spec = creation.object.spec.clone();
        })
    }
}

fn land(stage: &mut Stage, write: &SourceWrite) -> (Source, Asked) {
    let version: u64 = write.source.resource_version.to_string().parse().unwrap();
    let source = Source {
        status: write.status.clone(),
        resource_version: (version + 1).to_string().into(),
        ..write.source.clone()
    };
    let written = WriteResult::Written(Box::new(source.clone()));
    let ended = SourceInput::WriteEnded(write.id, written);
    let asked = asked(stage.handle(Input::Source(ended)));
    (source, asked)
}

fn ids(source: &Source) -> Vec<&str> {
    source.status.recent.ids().collect()
}

/// A source that is listed for the first time.
fn stage_that_lists() -> (Stage, ListCall) {
    let mut stage = stage_with_sources();
    let call = only_list(apply(&mut stage, &source(|_| {})));
    (stage, call)
}

/// A source that has made the object of `T-1`, which is running and was asked about.
fn with_one_object() -> Stage {
    let (mut stage, call) = stage_that_lists();
    let created = ago(&stage, 1);
    let asked_for = end_list(&mut stage, &call, &[listed("T-1", created)]);
    let creation = &asked_for.creations[0];
    let object = made(creation);
    let ended = end_creation(&mut stage, creation, CreationResult::Created);
    land(&mut stage, &ended.writes[0]);
    let call = only_call(stage.apply(object));
    let task = Task {
        state: "running".to_owned(),
        cluster_id: Some("c-1".to_owned()),
        updated: Some(created),
        ..Task::default()
    };
    let write = only_write(stage.end(&call, Ok(task)));
    assert!(stage.land(&write).is_empty());
    stage
}

#[test]
fn what_a_list_shows_is_made_and_remembered_in_one_write() {
    let (mut stage, call) = stage_that_lists();
    assert_eq!(
        (&*call.region, &*call.cluster_id, call.page),
        ("cn-hangzhou", "c-1", 1)
    );
    let tasks = [listed("T-2", ago(&stage, 1)), listed("T-1", ago(&stage, 2))];
    let asked_for = end_list(&mut stage, &call, &tasks);
    let names: Vec<&str> = asked_for
        .creations
        .iter()
        .map(|one| &*one.key.name)
        .collect();
    assert_eq!(names, ["t-1", "t-2"], "the oldest first");
    assert!(asked_for.writes.is_empty());
    let first = end_creation(&mut stage, &asked_for.creations[0], CreationResult::Created);
    assert!(first.writes.is_empty(), "{first:?}");
    let second = end_creation(&mut stage, &asked_for.creations[1], CreationResult::Created);
    let (source, _) = land(&mut stage, &second.writes[0]);
    assert_eq!(
        (source.status.made, ids(&source)),
        (Some(2), vec!["T-1", "T-2"])
    );
    assert_eq!(source.reason(), Some(Reason::Listing));
    // The watch may be late: nothing is made twice, and nothing is written.
    let call = only_list(stage.next());
    let again = end_list(&mut stage, &call, &tasks);
    assert!(
        again.creations.is_empty() && again.writes.is_empty(),
        "{again:?}"
    );
}

#[test]
fn an_object_that_is_gone_is_not_made_again_though_it_was_never_remembered() {
    let (mut stage, call) = stage_that_lists();
    let tasks = [listed("T-1", ago(&stage, 1))];
    let asked_for = end_list(&mut stage, &call, &tasks);
    let object = made(&asked_for.creations[0]);
    let ended = end_creation(&mut stage, &asked_for.creations[0], CreationResult::Created);
    stage.apply(object.clone());
    stage.handle(Input::Gone(object.key));
    // The write is lost, and so is the lead.
    let failed = SourceInput::WriteEnded(ended.writes[0].id, WriteResult::Failed);
    stage.handle(Input::Source(failed));
    stage.handle(Input::LeadsUntil(Duration::ZERO));
    let call = only_list(stage.handle(Input::LeadsUntil(Duration::MAX)));
    let again = end_list(&mut stage, &call, &tasks);
    assert!(again.creations.is_empty(), "{again:?}");
}

#[test]
fn an_object_that_was_never_remembered_is_once_the_lead_is_back() {
    let (mut stage, call) = stage_that_lists();
    let tasks = [listed("T-1", ago(&stage, 1))];
    let asked_for = end_list(&mut stage, &call, &tasks);
    let object = made(&asked_for.creations[0]);
    let ended = end_creation(&mut stage, &asked_for.creations[0], CreationResult::Created);
    stage.apply(object);
    // The write is lost, and so is the lead.
    let failed = SourceInput::WriteEnded(ended.writes[0].id, WriteResult::Failed);
    stage.handle(Input::Source(failed));
    stage.handle(Input::LeadsUntil(Duration::ZERO));
    let mut begun = asked(stage.handle(Input::LeadsUntil(Duration::MAX)));
    let again = end_list(&mut stage, &begun.lists.remove(0), &tasks);
    assert!(again.creations.is_empty(), "{again:?}");
    let status = &again.writes[0].status;
    let ids: Vec<&str> = status.recent.ids().collect();
    assert_eq!((status.made, ids), (Some(1), vec!["T-1"]));
}

#[test]
fn an_object_that_is_there_is_taken_and_counts_only_if_the_source_made_it() {
    for (owner, count) in [(None, 0), (Some("src-uid"), 1)] {
        let mut stage = stage_with_sources();
        let object = Object {
            source: owner.map(|uid| Box::new(uid.into())),
            ..object_in("ns", "t-1", |spec| spec.task_id = "T-1".to_owned())
        };
        stage.apply(object);
        let call = only_list(apply(&mut stage, &source(|_| {})));
        let tasks = [listed("T-1", ago(&stage, 1))];
        let asked_for = end_list(&mut stage, &call, &tasks);
        assert!(asked_for.creations.is_empty());
        let (source, _) = land(&mut stage, &asked_for.writes[0]);
        assert_eq!(
            (source.status.made, ids(&source)),
            (Some(count), vec!["T-1"])
        );
    }
}

/// Somebody deleted a source and made it again: what the first one made goes, or is orphaned.
#[test]
fn what_goes_with_a_source_before_is_made_again_once_it_is_gone() {
    for is_orphaned in [true, false] {
        let mut stage = stage_with_sources();
        let object = Object {
            source: Some(Box::new("before".into())),
            ..object_in("ns", "t-1", |spec| spec.task_id = "T-1".to_owned())
        };
        stage.apply(object.clone());
        let call = only_list(apply(&mut stage, &source(|_| {})));
        let tasks = [listed("T-1", ago(&stage, 1))];
        let asked_for = end_list(&mut stage, &call, &tasks);
        assert!(asked_for.creations.is_empty());
        let (source, _) = land(&mut stage, &asked_for.writes[0]);
        assert!(ids(&source).is_empty());
        if is_orphaned {
            stage.apply(Object {
                source: None,
                resource_version: "2".into(),
                ..object
            });
        } else {
            stage.handle(Input::Gone(object.key));
        }
        let call = loop {
            if let Some(call) = asked(stage.next()).lists.pop() {
                break call;
            }
        };
        let asked_for = end_list(&mut stage, &call, &tasks);
        assert_eq!(asked_for.creations.len(), usize::from(!is_orphaned));
        assert_eq!(asked_for.writes.len(), usize::from(is_orphaned));
    }
}

/// Who may write objects in another namespace can forge their owner.
#[test]
fn an_object_of_another_namespace_is_nothing_to_a_source() {
    let mut stage = stage_with_sources();
    let forged = Object {
        source: Some(Box::new("src-uid".into())),
        ..object_in("other", "t-1", |spec| spec.task_id = "T-1".to_owned())
    };
    let source = source(|_| {});
    let call = only_list(apply(&mut stage, &source));
    stage.apply(forged.clone());
    stage.handle(Input::Gone(forged.key));
    let tasks = [listed("T-1", ago(&stage, 1))];
    assert_eq!(end_list(&mut stage, &call, &tasks).creations.len(), 1);
}

#[test]
fn a_name_of_another_task_gets_the_hash_whether_the_watch_or_the_api_server_tells() {
    let other = object_in("ns", "t-1", |spec| spec.task_id = "t-1".to_owned());
    let hashed = scaleouttask_controller::api::name_with_hash("T-1");
    for is_seen in [true, false] {
        let mut stage = stage_with_sources();
        if is_seen {
            stage.apply(other.clone());
        }
        let call = only_list(apply(&mut stage, &source(|_| {})));
        let tasks = [listed("T-1", ago(&stage, 1))];
        let mut creation = end_list(&mut stage, &call, &tasks).creations.remove(0);
        if !is_seen {
            let exists = CreationResult::Exists(Box::new(other.clone()));
            creation = end_creation(&mut stage, &creation, exists)
                .creations
                .remove(0);
        }
        assert_eq!(*creation.key.name, *hashed);
    }
}

#[test]
fn a_creation_whose_answer_was_lost_counts_once() {
    let (mut stage, call) = stage_that_lists();
    let tasks = [listed("T-1", ago(&stage, 1))];
    let creation = end_list(&mut stage, &call, &tasks).creations.remove(0);
    let object = made(&creation);
    let failed = end_creation(&mut stage, &creation, CreationResult::Failed);
    // What isn't known is retried, and holds up nothing.
    let (first, _) = land(&mut stage, &failed.writes[0]);
    assert_eq!(first.status.made, Some(0));
    let again = asked(stage.next()).creations.remove(0);
    let exists = CreationResult::Exists(Box::new(object));
    let ended = end_creation(&mut stage, &again, exists);
    let (source, _) = land(&mut stage, &ended.writes[0]);
    assert_eq!(source.status.made, Some(1));
}

#[test]
fn a_refused_creation_is_shown_and_holds_up_no_other() {
    let (mut stage, call) = stage_that_lists();
    let tasks = [listed("T-1", ago(&stage, 2)), listed("T-2", ago(&stage, 1))];
    let creations = end_list(&mut stage, &call, &tasks).creations;
    let refused = CreationResult::Refused("quota exceeded".to_owned());
    assert!(
        end_creation(&mut stage, &creations[0], refused)
            .writes
            .is_empty()
    );
    let ended = end_creation(&mut stage, &creations[1], CreationResult::Created);
    let (source, _) = land(&mut stage, &ended.writes[0]);
    assert_eq!(source.reason(), Some(Reason::RequestRejected));
    assert!(source.shown().unwrap().message.contains("quota exceeded"));
    assert_eq!(ids(&source), ["T-2"]);
    let again = asked(stage.next()).creations.remove(0);
    let ended = end_creation(&mut stage, &again, CreationResult::Created);
    let (source, _) = land(&mut stage, &ended.writes[0]);
    assert_eq!(source.reason(), Some(Reason::Listing));
    assert_eq!(source.status.made, Some(2));
}

#[test]
fn what_was_refused_is_not_tried_on_once_it_is_no_longer_asked_for() {
    let (mut stage, call) = stage_that_lists();
    let tasks = [listed("T-1", ago(&stage, 1))];
    let asked_for = end_list(&mut stage, &call, &tasks);
    let refused = CreationResult::Refused("no".to_owned());
    let ended = end_creation(&mut stage, &asked_for.creations[0], refused);
    let (before, _) = land(&mut stage, &ended.writes[0]);
    assert_eq!(before.reason(), Some(Reason::RequestRejected));
    let edited = Source {
        generation: 2,
        resource_version: "9".into(),
        spec: source(|spec| spec.task_types = Some(vec!["other".to_owned()])).spec,
        ..before
    };
    apply(&mut stage, &edited);
    let call = next_list(&mut stage);
    let asked_for = end_list(&mut stage, &call, &tasks);
    assert_eq!(
        asked_for.writes[0].status.conditions.reason(),
        Some(Reason::Listing)
    );
    land(&mut stage, &asked_for.writes[0]);
    let next = only_list(stage.next());
    assert!(end_list(&mut stage, &next, &tasks).creations.is_empty());
}

#[test]
fn what_is_old_of_another_type_or_has_no_id_is_passed_over() {
    let mut stage = stage_with_sources();
    let call = only_list(apply(
        &mut stage,
        &source(|spec| {
            spec.lookback = Some("10m".to_owned());
        }),
    ));
    let of_type = |id: &str, task_type: Option<&str>| ListedTask {
        task_type: task_type.map(Into::into),
        ..listed(id, ago(&stage, 1))
    };
    let no_times = |id: &str| ListedTask {
        created: None,
        updated: None,
        ..listed(id, start())
    };
    // 2020-11-10, by its ID.
    let old_by_id = no_times("T-5faa48fb31b6b8078d000006");
    let old_by_change = ListedTask {
        updated: Some(ago(&stage, 11)),
        ..no_times("T-changed")
    };
    let tasks = [
        listed("T-in", ago(&stage, 9)),
        listed("T-out", ago(&stage, 11)),
        of_type("T-pool", Some("nodepool_scaleout")),
        of_type("T-upgrade", Some("cluster_upgrade")),
        of_type("T-none", None),
        no_times("T-no-times"),
        old_by_id,
        old_by_change,
        listed("", ago(&stage, 1)),
        listed("no id", ago(&stage, 1)),
        of_type("no id either", Some("cluster_upgrade")),
    ];
    let asked_for = end_list(&mut stage, &call, &tasks);
    let mut ids: Vec<&str> = asked_for
        .creations
        .iter()
        .map(|one| &*one.object.spec.task_id)
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["T-in", "T-no-times", "T-pool"]);
    let mut last = Asked::default();
    for creation in &asked_for.creations {
        last = end_creation(&mut stage, creation, CreationResult::Created);
    }
    assert_eq!(last.writes[0].status.unmakeable, 2);
}

#[test]
fn pages_are_read_until_one_is_empty_repeats_or_is_the_twentieth() {
    let page = |number: u32| vec![listed(&format!("T-{number}"), start())];
    let pages_read = |answer: &dyn Fn(u32) -> Vec<ListedTask>| {
        let mut stage = stage_with_sources();
        let source = source(|spec| spec.task_types = Some(vec!["none".to_owned()]));
        let mut call = only_list(apply(&mut stage, &source));
        loop {
            let mut ended = asked(end_page(&mut stage, &call, Ok(answer(call.page))));
            if ended.lists.is_empty() {
                return call.page;
            }
            call = ended.lists.remove(0);
        }
    };
    let nothing = |_: u32| Vec::new();
    let upto = |last: u32| {
        move |number: u32| {
            if number <= last {
                page(number)
            } else {
                Vec::new()
            }
        }
    };
    assert_eq!(pages_read(&nothing), 1);
    assert_eq!(pages_read(&upto(3)), 4);
    assert_eq!(pages_read(&|_| page(1)), 2);
    assert_eq!(pages_read(&upto(50)), 20);
    // Old ones, the newest first: the rest is older.
    let old = |number: u32| -> Vec<ListedTask> {
        let minutes =
            |index: u32| SignedDuration::from_mins(i64::from(2000 + 100 * number + index));
        let task = |index| listed(&format!("T-{number}-{index}"), start() - minutes(index));
        (0..25).map(task).collect()
    };
    assert_eq!(pages_read(&old), 1);
    // The oldest first: what is new may be at the end.
    let rising = |number: u32| -> Vec<ListedTask> { old(100 - number).into_iter().rev().collect() };
    assert_eq!(pages_read(&rising), 20);
}

#[test]
fn an_object_that_is_listed_is_asked_about_when_the_list_shows_a_change() {
    let mut stage = with_one_object();
    let same = listed("T-1", ago(&stage, 1));
    let call = only_list(stage.next());
    let quiet = end_list(&mut stage, &call, std::slice::from_ref(&same));
    assert!(
        quiet.others.is_empty() && quiet.writes.is_empty() && quiet.creations.is_empty(),
        "{quiet:?}"
    );
    let later = Some(stage.now.wall);
    for change in [
        ListedTask {
            state: "success".into(),
            ..same.clone()
        },
        ListedTask {
            updated: later,
            ..same.clone()
        },
        ListedTask {
            updated: None,
            ..same.clone()
        },
    ] {
        let mut stage = with_one_object();
        let call = only_list(stage.next());
        let mut effects = end_page(&mut stage, &call, Ok(vec![change.clone()]));
        effects.retain(|effect| matches!(effect, Effect::Call(_)));
        assert_eq!(&*only_call(effects).task_id, "T-1", "{change:?}");
    }
    // It isn't shown any more.
    let mut stage = with_one_object();
    let call = only_list(stage.next());
    let asked_for = asked(end_page(&mut stage, &call, Ok(Vec::new())));
    assert_eq!(calls(asked_for.others).len(), 1);
}

#[test]
fn where_a_source_cannot_list_its_objects_are_polled_in_their_turn() {
    let mut stage = with_one_object();
    let call = only_list(stage.next());
    let error = Err(PollError::new(Reason::TaskApiUnavailable));
    let failed = asked(end_page(&mut stage, &call, error));
    assert!(failed.writes.is_empty(), "a blip costs no write");
    let began = stage.now.monotonic;
    loop {
        let effects = stage.next();
        if effects
            .iter()
            .any(|effect| matches!(effect, Effect::Call(_)))
        {
            break;
        }
        for call in asked(effects).lists {
            let error = Err(PollError::new(Reason::TaskApiUnavailable));
            for write in asked(end_page(&mut stage, &call, error)).writes {
                land(&mut stage, &write);
            }
        }
    }
    // Within its own poll interval.
    let took = stage.now.monotonic.saturating_sub(began);
    assert!(took <= Duration::from_secs(15), "{took:?}");
}

#[test]
fn a_listed_object_is_polled_every_ten_intervals_at_most_every_five_minutes() {
    for (interval, least, most) in [("30s", 15, 300), ("5s", 15, 300), ("1m", 15, 600)] {
        let mut stage = stage_with_sources();
        let call = only_list(apply(
            &mut stage,
            &source(|spec| {
                spec.interval = Some(interval.to_owned());
            }),
        ));
        let task = listed("T-1", ago(&stage, 1));
        let creation = end_list(&mut stage, &call, std::slice::from_ref(&task))
            .creations
            .remove(0);
        let ended = end_creation(&mut stage, &creation, CreationResult::Created);
        land(&mut stage, &ended.writes[0]);
        let mut call = only_call(stage.apply(made(&creation)));
        let mut waits = Vec::new();
        for _ in 0..3 {
            let answer = Task {
                state: "running".to_owned(),
                cluster_id: Some("c-1".to_owned()),
                updated: task.updated,
                ..Task::default()
            };
            for write in writes(stage.end(&call, Ok(answer))) {
                stage.land(&write);
            }
            let began = stage.now.monotonic;
            call = loop {
                let mut effects = stage.next();
                if let Some(at) = effects
                    .iter()
                    .position(|one| matches!(one, Effect::Call(_)))
                {
                    break only_call(vec![effects.remove(at)]);
                }
                for call in asked(effects).lists {
                    end_list(&mut stage, &call, std::slice::from_ref(&task));
                }
            };
            waits.push(stage.now.monotonic.saturating_sub(began).as_secs());
        }
        assert!(
            waits[0] >= least && waits[0] <= most,
            "{interval}: {waits:?}"
        );
        assert_eq!(waits[1..], [most; 2], "{interval}");
    }
}

#[test]
fn an_object_of_a_source_is_deleted_only_once_the_source_remembers_it() {
    let mut stage = stage_with_sources();
    let call = only_list(apply(
        &mut stage,
        &source(|spec| {
            spec.template = Some(
                serde_json::from_value(serde_json::json!({
                    "spec": { "ttlSecondsAfterFinished": 0 }
                }))
                .unwrap(),
            );
        }),
    ));
    let task = listed("T-1", ago(&stage, 1));
    let creation = end_list(&mut stage, &call, &[task]).creations.remove(0);
    let mut ended = end_creation(&mut stage, &creation, CreationResult::Created);
    let write = ended.writes.remove(0);
    let call = only_call(stage.apply(made(&creation)));
    let answer = Task {
        state: "success".to_owned(),
        cluster_id: Some("c-1".to_owned()),
        ..Task::default()
    };
    let end = only_write(stage.end(&call, Ok(answer)));
    assert!(stage.land(&end).is_empty());
    assert!(stage.next().is_empty(), "not yet");
    land(&mut stage, &write);
    // Until no attempt of a process before can make it again.
    let is_deleted = |stage: &mut Stage, seconds| {
        let effects = stage.after(Duration::from_secs(seconds));
        effects.iter().any(|one| matches!(one, Effect::Delete(_)))
    };
    assert!(!is_deleted(&mut stage, 10));
    assert!(is_deleted(&mut stage, 6));
}

#[test]
fn a_source_begins_once_its_objects_are_known_and_rests_while_it_may_not_list() {
    let mut stage = stage();
    stage.now.wall = start();
    assert!(apply(&mut stage, &source(|_| {})).is_empty());
    stage.handle(Input::Relisting(0));
    let call = only_list(stage.handle(Input::ListingDone(0)));
    // Suspended meanwhile: the answer doesn't count.
    let suspended = Source {
        generation: 2,
        resource_version: "2".into(),
        ..source(|spec| spec.suspend = Some(true))
    };
    let write = asked(apply(&mut stage, &suspended)).writes.remove(0);
    assert_eq!(write.status.conditions.reason(), Some(Reason::Suspended));
    land(&mut stage, &write);
    let tasks = vec![listed("T-1", ago(&stage, 1))];
    assert!(end_page(&mut stage, &call, Ok(tasks)).is_empty());
    assert!(stage.after(Duration::from_hours(1)).is_empty());
    // Resumed.
    let resumed = Source {
        generation: 3,
        resource_version: "4".into(),
        ..source(|_| {})
    };
    only_list(apply(&mut stage, &resumed));
}

#[test]
fn what_was_made_is_written_before_the_end() {
    let (mut stage, call) = stage_that_lists();
    let tasks = [listed("T-1", ago(&stage, 1))];
    let creation = end_list(&mut stage, &call, &tasks).creations.remove(0);
    stage.handle(Input::Stopping);
    assert!(!stage.scheduler.is_settled());
    let ended = end_creation(&mut stage, &creation, CreationResult::Created);
    land(&mut stage, &ended.writes[0]);
    assert!(stage.scheduler.is_settled());
}

#[test]
fn an_object_is_found_by_either_name() {
    let mut stage = stage_with_sources();
    let hashed = scaleouttask_controller::api::name_with_hash("T-1");
    stage.apply(object_in("ns", &hashed, |spec| {
        spec.task_id = "T-1".to_owned();
    }));
    let call = only_list(apply(&mut stage, &source(|_| {})));
    let tasks = [listed("T-1", ago(&stage, 1))];
    assert!(end_list(&mut stage, &call, &tasks).creations.is_empty());
}

fn failure(reason: Reason) -> Result<Vec<ListedTask>, PollError> {
    Err(PollError::new(reason))
}

/// The next lists, other than calls about objects.
fn next_list(stage: &mut Stage) -> ListCall {
    loop {
        if let Some(call) = asked(stage.next()).lists.pop() {
            return call;
        }
    }
}

#[test]
fn what_was_found_before_a_page_failed_is_made_and_the_list_goes_on_there() {
    let (mut stage, call) = stage_that_lists();
    let first = vec![listed("T-1", ago(&stage, 1))];
    let call = only_list(end_page(&mut stage, &call, Ok(first)));
    let found = asked(end_page(
        &mut stage,
        &call,
        failure(Reason::TaskApiUnavailable),
    ));
    assert_eq!(found.creations.len(), 1);
    end_creation(&mut stage, &found.creations[0], CreationResult::Created);
    assert_eq!(next_list(&mut stage).page, 2);
}

#[test]
fn a_page_that_does_not_exist_is_the_end_of_a_list_whose_last_page_was_not_full() {
    for (tasks, is_end) in [(3, true), (100, false)] {
        let (mut stage, call) = stage_that_lists();
        let task = |number| ListedTask {
            task_type: None,
            ..listed(&format!("T-{number}"), start())
        };
        let page = (0..tasks).map(task).collect();
        let call = only_list(end_page(&mut stage, &call, Ok(page)));
        let mut ended = asked(end_page(
            &mut stage,
            &call,
            failure(Reason::RequestRejected),
        ));
        let reason = ended.writes.remove(0).status.conditions.reason();
        let expected = if is_end {
            Reason::Listing
        } else {
            Reason::RequestRejected
        };
        assert_eq!(reason, Some(expected));
    }
}

#[test]
fn a_source_that_is_suspended_while_an_object_is_made_says_so_and_makes_no_other() {
    let other = object_in("ns", "t-1", |spec| spec.task_id = "t-1".to_owned());
    for result in [
        CreationResult::Failed,
        CreationResult::Refused("no".to_owned()),
        CreationResult::Exists(Box::new(other)),
    ] {
        let (mut stage, call) = stage_that_lists();
        let tasks = [listed("T-1", ago(&stage, 1))];
        let creation = end_list(&mut stage, &call, &tasks).creations.remove(0);
        let suspended = Source {
            generation: 2,
            resource_version: "2".into(),
            ..source(|spec| spec.suspend = Some(true))
        };
        assert!(asked(apply(&mut stage, &suspended)).writes.is_empty());
        let ended = end_creation(&mut stage, &creation, result);
        let reason = ended.writes[0].status.conditions.reason();
        assert_eq!(reason, Some(Reason::Suspended));
        assert!(ended.creations.is_empty());
        land(&mut stage, &ended.writes[0]);
        assert!(
            asked(stage.after(Duration::from_hours(1)))
                .creations
                .is_empty()
        );
    }
}

#[test]
fn of_more_tasks_than_fit_each_is_counted_once_and_the_newest_are_remembered() {
    let (mut stage, mut call) = stage_that_lists();
    let oldest = ago(&stage, 30);
    let task = |number: i64| {
        let created = oldest + SignedDuration::from_millis(number);
        listed(&format!("T-{number:04}"), created)
    };
    let all: Vec<ListedTask> = (0..1500).map(task).collect();
    let mut ended = Asked::default();
    for page in all
        .chunks(100)
        .map(<[ListedTask]>::to_vec)
        .chain([Vec::new()])
    {
        ended = asked(end_page(&mut stage, &call, Ok(page)));
        if let Some(next) = ended.lists.pop() {
            call = next;
        }
    }
    let mut writes = Vec::new();
    let mut creations = ended.creations;
    while let Some(creation) = creations.pop() {
        let ended = end_creation(&mut stage, &creation, CreationResult::Created);
        creations.extend(ended.creations);
        writes.extend(ended.writes);
    }
    let (mut source, mut more) = land(&mut stage, &writes.remove(0));
    while let Some(write) = more.writes.pop() {
        (source, more) = land(&mut stage, &write);
    }
    assert_eq!(source.status.made, Some(1500));
    assert_eq!(ids(&source).len(), 1000);
    // None of them is made again, though no watch has shown an object.
    let call = next_list(&mut stage);
    let mut again = asked(end_page(&mut stage, &call, Ok(all)));
    assert!(again.creations.is_empty());
    let call = again.lists.remove(0);
    let again = asked(end_page(&mut stage, &call, Ok(Vec::new())));
    assert!(
        again.creations.is_empty() && again.writes.is_empty(),
        "{:?}",
        again.creations.len()
    );
}

#[test]
fn a_status_that_the_api_server_alters_is_written_once_a_list() {
    let (mut stage, call) = stage_that_lists();
    let write = end_list(&mut stage, &call, &[]).writes.remove(0);
    let kept = Source {
        resource_version: "2".into(),
        status: scaleouttask_controller::rules::SourceStatus {
            made: None,
            ..write.status.clone()
        },
        ..write.source.clone()
    };
    let written = WriteResult::Written(Box::new(kept));
    let ended = stage.handle(Input::Source(SourceInput::WriteEnded(write.id, written)));
    assert!(matches!(&ended[..], [Effect::TellAltered(_)]), "{ended:?}");
    let call = next_list(&mut stage);
    assert_eq!(end_list(&mut stage, &call, &[]).writes.len(), 1);
}

#[test]
fn a_failed_write_is_tried_again_and_an_edit_hurries_it() {
    let (mut stage, call) = stage_that_lists();
    let write = end_list(&mut stage, &call, &[]).writes.remove(0);
    let fail = |stage: &mut Stage, result| {
        let ended = SourceInput::WriteEnded(write.id, result);
        asked(stage.handle(Input::Source(ended)))
    };
    assert!(fail(&mut stage, WriteResult::Failed).writes.is_empty());
    assert_eq!(stage.scheduler.writes_failing(), 1);
    assert_eq!(asked(stage.next()).writes[0].attempts, 1);
    fail(&mut stage, WriteResult::Refused);
    let edited = Source {
        generation: 2,
        resource_version: "2".into(),
        ..source(|spec| spec.suspend = Some(true))
    };
    let again = asked(apply(&mut stage, &edited)).writes;
    land(&mut stage, &again[0]);
    assert_eq!(stage.scheduler.writes_failing(), 0);
}

#[test]
fn once_a_source_is_gone_its_objects_are_polled_in_their_turn() {
    for is_listed_again in [false, true] {
        let mut stage = with_one_object();
        stage.after(Duration::from_millis(10));
        if is_listed_again {
            stage.handle(Input::Source(SourceInput::Relisting(0)));
            stage.handle(Input::Source(SourceInput::ListingDone(0)));
        } else {
            let key = source(|_| {}).key;
            stage.handle(Input::Source(SourceInput::Gone(key)));
        }
        let began = stage.now.monotonic;
        only_call(stage.next());
        let took = stage.now.monotonic.saturating_sub(began);
        assert!(took <= Duration::from_secs(15), "{took:?}");
    }
}

#[test]
fn however_often_a_source_is_edited_it_is_listed_once_in_five_seconds() {
    let (mut stage, call) = stage_that_lists();
    end_list(&mut stage, &call, &[]);
    let began = stage.now.monotonic;
    for edit in 2..40_i64 {
        let edited = Source {
            generation: edit,
            resource_version: (100 + edit).to_string().into(),
            ..source(|_| {})
        };
        let mut lists = asked(apply(&mut stage, &edited)).lists;
        lists.extend(asked(stage.after(Duration::from_millis(500))).lists);
        if !lists.is_empty() {
            let took = stage.now.monotonic.saturating_sub(began);
            return assert!(took >= Duration::from_secs(5), "{took:?}");
        }
    }
    panic!("it was never listed again");
}
