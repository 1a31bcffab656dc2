//! Statuses that aren't as they were written.

use std::time::Duration;

use scaleouttask_controller::{
    api::ScaleOutTaskStatus,
    rules::{Object, ObjectStatus, PollResult, Task},
    scheduler::{Effect, Input, Write, WriteResult},
};

use crate::fixtures::{Stage, answer, object, only_call, only_write, stage, written};

/// An answer that an older CRD has no field for a part of.
fn answer_with_stage(state: &str, current_stage: &str) -> PollResult {
    Ok(Task {
        current_stage: Some(current_stage.to_owned()),
        ..answer(state)?
    })
}

/// What the API server keeps of a status: the state, and nothing else of the task.
fn pruned(write: &Write) -> Object {
    let kept = ScaleOutTaskStatus {
        state: Some("running".to_owned()),
        ..ScaleOutTaskStatus::default()
    };
    let task = ObjectStatus::from(kept).task;
    let mut object = written(write);
    assert_ne!(object.status.task, task, "something is dropped");
    object.status.task = task;
    object
}

fn land_pruned(stage: &mut Stage, write: &Write) -> Vec<Effect> {
    let mut effects = stage.handle(Input::WriteEnded(
        write.id,
        WriteResult::Written(Box::new(pruned(write))),
    ));
    // The watch shows the same.
    effects.extend(stage.apply(pruned(write)));
    effects
}

fn tells_altered(effects: &[Effect]) -> bool {
    let mut effects = effects.iter();
    effects.any(|effect| matches!(effect, Effect::TellAltered(_)))
}

fn tells_foreign(effects: &[Effect]) -> bool {
    let mut effects = effects.iter();
    effects.any(|effect| matches!(effect, Effect::TellForeign(_)))
}

#[test]
fn a_status_that_the_api_server_prunes_is_told_and_not_written_over_and_over() {
    let mut stage = stage();
    let call = only_call(stage.apply(object("a")));
    let write = only_write(stage.end(&call, answer_with_stage("running", "one")));
    assert!(tells_altered(&land_pruned(&mut stage, &write)));
    for _ in 0..10 {
        let call = only_call(stage.next());
        assert!(
            stage
                .end(&call, answer_with_stage("running", "one"))
                .is_empty()
        );
    }
    // What changes is written once more.
    let call = only_call(stage.next());
    let write = only_write(stage.end(&call, answer_with_stage("running", "two")));
    assert!(tells_altered(&land_pruned(&mut stage, &write)));
    let call = only_call(stage.next());
    assert!(
        stage
            .end(&call, answer_with_stage("running", "two"))
            .is_empty()
    );
}

#[test]
fn once_the_api_server_keeps_what_is_written_nothing_is_told() {
    let mut stage = stage();
    let call = only_call(stage.apply(object("a")));
    let write = only_write(stage.end(&call, answer_with_stage("running", "one")));
    land_pruned(&mut stage, &write);
    let call = only_call(stage.next());
    let write = only_write(stage.end(&call, answer_with_stage("running", "two")));
    let mut effects = stage.land(&write);
    effects.extend(stage.apply(written(&write)));
    assert!(effects.is_empty(), "{effects:?}");
}

/// Another controller with other rules shows its own view.
fn overwritten(stage: &mut Stage, by: &Write, version: u64) -> Vec<Effect> {
    let mut theirs = written(by);
    theirs.status = object("a").status;
    theirs.resource_version = version.to_string().into();
    stage.apply(theirs)
}

#[test]
fn a_status_that_somebody_else_changes_is_told_once_in_four_minutes() {
    let mut stage = stage();
    let call = only_call(stage.apply(object("a")));
    let mut write = only_write(stage.end(&call, answer("running")));
    let mut told = 0;
    let mut version = 10;
    // Each undoes what the other wrote, every 15 s for an hour.
    for _ in 0..240 {
        stage.land(&write);
        version += 1;
        told += u32::from(tells_foreign(&overwritten(&mut stage, &write, version)));
        let call = loop {
            if let [Effect::Call(call)] = &stage.after(Duration::from_secs(15))[..] {
                break call.clone();
            }
        };
        write = only_write(stage.end(&call, answer("running")));
    }
    assert_eq!(told, 15);
}

#[test]
fn what_this_replica_wrote_and_edits_of_the_spec_are_no_foreign_changes() {
    let mut stage = stage();
    let call = only_call(stage.apply(object("a")));
    let write = only_write(stage.end(&call, answer("running")));
    // The watch is faster than the answer.
    assert!(!tells_foreign(&stage.apply(written(&write))));
    assert!(!tells_foreign(&stage.land(&write)));
    assert!(!tells_foreign(&stage.request("ns/a", 7)));
}

#[test]
fn a_write_whose_answer_is_lost_and_that_landed_is_no_foreign_change() {
    let mut stage = stage();
    let call = only_call(stage.apply(object("a")));
    let write = only_write(stage.end(&call, answer("running")));
    stage.land(&write);
    let call = only_call(stage.next());
    let lost = only_write(stage.end(&call, answer("paused")));
    stage.handle(Input::WriteEnded(lost.id, WriteResult::Failed));
    // The retry finds that it isn't so any more, before the watch tells that it was.
    let effects = stage.apply(written(&lost));
    assert!(!tells_foreign(&effects));
}

#[test]
fn objects_whose_write_fails_are_counted_until_it_succeeds() {
    let mut stage = stage();
    let call = only_call(stage.apply(object("a")));
    let mut write = only_write(stage.end(&call, answer("running")));
    for _ in 0..3 {
        stage.handle(Input::WriteEnded(write.id, WriteResult::Refused));
        assert_eq!(stage.scheduler.writes_failing(), 1);
        write = only_write(stage.after(Duration::from_mins(1)));
    }
    // It has waited for so long that it is asked about again.
    let call = only_call(stage.land(&write));
    assert_eq!(stage.scheduler.writes_failing(), 0);
    let write = only_write(stage.end(&call, answer("paused")));
    stage.handle(Input::WriteEnded(write.id, WriteResult::Failed));
    assert_eq!(stage.scheduler.writes_failing(), 1);
    stage.handle(Input::Gone(write.object.key.clone()));
    assert_eq!(stage.scheduler.writes_failing(), 0);
}
