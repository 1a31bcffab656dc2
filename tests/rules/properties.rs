//! Properties that hold at every step of every history.

use std::time::Duration;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::{SignedDuration, Timestamp},
};
use proptest::{prelude::*, test_runner::Config};
use scaleouttask_controller::{
    api::ScaleOutTaskStatus,
    rules::{Mark, Memory, Next, Occasion, PollError, Reason, Severity},
};

use crate::{
    fixtures::{NOTE_BYTES, Object, decide},
    histories::{MARK, Step, histories, play, stories},
};

const OWN_TYPES: [&str; 3] = ["Ready", "Reconciling", "Stalled"];

/// Declares tests that run a check at every step of arbitrary histories.
macro_rules! at_every_step {
    ($($(#[$attribute:meta])* $name:ident => $check:expr;)*) => {
        proptest! {
            #![proptest_config(Config {
                // Only a quarter of the default, or of PROPTEST_CASES, as there are many properties.
                cases: Config::default().cases.div_ceil(4),
                failure_persistence: None,
                ..Config::default()
            })]
            $(
                $(#[$attribute])*
                #[test]
                fn $name(story in stories(), events in histories()) {
                    play(story, &events, $check)?;
                }
            )*
        }
    };
}

at_every_step! {
    all_conditions_have_the_same_reason_and_message => conditions_agree;
    transition_times_move_only_with_the_status => transitions_are_true;
    every_text_has_its_maximum_length => texts_have_their_length;
    counts_add_up => counts_add_up_in;
    the_same_inputs_give_the_same_verdict => decides_the_same_again;
    the_same_input_again_changes_nothing => settles;
    the_stored_status_is_read_back_unchanged => reads_back;
    each_new_reason_and_nothing_else_gets_an_event => has_events;
    only_a_requested_call_or_more_time_reopens_a_finished_object => stays_finished;
    finished_objects_have_their_finish_time => has_its_end;
    finished_objects_need_no_call_and_no_timer => rests_when_finished;
    suspended_and_blocked_objects_are_not_called => calls_are_allowed;
    no_call_is_later_than_the_deadline => calls_meet_the_deadline;
    delays_are_within_their_limits => delays_are_limited;
    poll_requests_are_served_and_echoed_by_their_call => requests_are_served;
    a_task_of_another_cluster_leaves_no_trace => hides_foreign_tasks;
    an_answer_sets_the_status_and_ends_a_run_of_failures => knows_what_was_answered;
    errors_keep_what_is_known => keeps_what_is_known;
    a_restart_never_unstalls => restart_keeps_stalls;
    nodes_are_ready_only_once_all_are_in_one_look => shows_nodes;
    no_tool_takes_an_object_for_done_before_its_nodes_are_ready => tools_wait;
}

fn own_conditions(status: &ScaleOutTaskStatus) -> impl Iterator<Item = &Condition> {
    let own = |condition: &&Condition| OWN_TYPES.contains(&condition.type_.as_str());
    status.conditions.iter().filter(own)
}

fn find<'a>(status: &'a ScaleOutTaskStatus, type_: &str) -> Option<&'a Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == type_)
}

fn final_reason(object: &Object) -> Option<Reason> {
    object.reason().filter(|reason| reason.is_final())
}

fn conditions_agree(step: &Step) -> Result<(), TestCaseError> {
    let status = &step.verdict.status;
    let Some(ready) = find(status, "Ready") else {
        prop_assert_eq!(status.observed_generation, Some(-1));
        prop_assert!(status.conditions.is_empty());
        return Ok(());
    };
    prop_assert!(
        status
            .observed_generation
            .is_some_and(|generation| generation >= 0)
    );
    let abnormal: Vec<_> = own_conditions(status).skip(1).collect();
    prop_assert!(abnormal.len() <= 1, "{:?}", abnormal);
    for condition in own_conditions(status) {
        prop_assert_eq!(&condition.reason, &ready.reason);
        prop_assert_eq!(&condition.message, &ready.message);
        prop_assert_eq!(condition.observed_generation, status.observed_generation);
        prop_assert!(condition.type_ == "Ready" || condition.status == "True");
    }
    let succeeded = ["TaskSucceeded", "NodesReady"].contains(&ready.reason.as_str());
    prop_assert_eq!(ready.status == "True", succeeded);
    let suspended = ready.reason == "Suspended";
    prop_assert_eq!(abnormal.is_empty(), succeeded || suspended);
    Ok(())
}

fn transitions_are_true(step: &Step) -> Result<(), TestCaseError> {
    let now = Timestamp::from_second(step.now.as_second()).unwrap();
    for condition in own_conditions(&step.verdict.status) {
        let before = find(&step.before.object.status, &condition.type_);
        let expected = match before {
            Some(before) if before.status == condition.status => before.last_transition_time.0,
            _ => now,
        };
        prop_assert_eq!(
            condition.last_transition_time.0,
            expected,
            "{}",
            condition.type_
        );
    }
    Ok(())
}

fn texts_have_their_length(step: &Step) -> Result<(), TestCaseError> {
    let status = &step.verdict.status;
    let mut texts = vec![
        (&status.cluster_id, 64),
        (&status.task_type, 64),
        (&status.current_stage, 64),
        (&status.state, 64),
        (&status.progress, 24),
        (&status.last_handled_poll_request, 64),
    ];
    if let Some(error) = &status.error {
        texts.extend([(&error.code, 128), (&error.message, 1024)]);
    }
    let texts = texts
        .into_iter()
        .filter_map(|(text, most)| Some((text.as_ref()?, most)));
    let results = status.task_result.iter().flatten();
    let results = results.flat_map(|result| [(&result.data, 128), (&result.status, 64)]);
    let messages = status
        .conditions
        .iter()
        .map(|condition| (&condition.message, 1024));
    for (text, most) in texts.chain(results).chain(messages) {
        prop_assert!(text.chars().count() <= most, "{text}");
    }
    prop_assert!(
        status
            .task_result
            .as_ref()
            .is_none_or(|results| results.len() <= 1000)
    );
    Ok(())
}

fn counts_add_up_in(step: &Step) -> Result<(), TestCaseError> {
    let status = &step.verdict.status;
    let listed = status.task_result.as_ref().map_or(0, Vec::len);
    let Some(counts) = status.instances else {
        prop_assert_eq!((listed, &status.progress), (0, &None));
        return Ok(());
    };
    prop_assert_eq!(
        counts.total,
        counts.succeeded + counts.failed + counts.pending
    );
    prop_assert!(counts.succeeded >= 0 && counts.failed >= 0 && counts.pending >= 0);
    prop_assert_eq!(listed, usize::try_from(counts.total).unwrap().min(1000));
    let progress = format!("{}/{}", counts.succeeded, counts.total);
    prop_assert_eq!(
        status.progress.clone(),
        (counts.total > 0).then_some(progress)
    );
    Ok(())
}

fn decides_the_same_again(step: &Step) -> Result<(), TestCaseError> {
    let before = &step.before;
    let again = decide(
        &before.policy,
        &before.object,
        &before.nodes,
        before.memory,
        &step.input,
        step.now,
        before.seed,
    );
    prop_assert_eq!(&again, &step.verdict);
    Ok(())
}

fn settles(step: &Step) -> Result<(), TestCaseError> {
    let later = step.now + SignedDuration::from_secs(7);
    // After the deadline, the same input has another result.
    let expires = step
        .after
        .deadline()
        .is_some_and(|deadline| deadline <= later);
    if expires && !step.after.is_finished() {
        return Ok(());
    }
    // The first failure of a run is not shown, but the second is.
    if step.poll_error().is_some() && step.verdict.memory.failures == 1 {
        return Ok(());
    }
    let grace_ends = step.verdict.memory.not_found_since.is_some();
    if grace_ends && step.poll_error().is_some() {
        return Ok(());
    }
    let again = decide(
        &step.before.policy,
        &step.after,
        &step.before.nodes,
        step.verdict.memory,
        &step.input,
        later,
        step.before.seed,
    );
    prop_assert_eq!(&again.status, &step.verdict.status);
    prop_assert_eq!(again.note, None);
    Ok(())
}

fn reads_back(step: &Step) -> Result<(), TestCaseError> {
    let status = &step.verdict.status;
    let stored = serde_json::to_string(status).unwrap();
    let read: ScaleOutTaskStatus = serde_json::from_str(&stored).unwrap();
    prop_assert_eq!(&read, status);
    Ok(())
}

fn has_events(step: &Step) -> Result<(), TestCaseError> {
    let before = step.before.object.reason();
    let after = step.after.reason();
    let normal = [
        "TaskRunning",
        "TaskPaused",
        "TaskStateUnknown",
        "TaskSucceeded",
        "WaitingForNodes",
        "NodesReady",
        "Suspended",
    ];
    let expected = after.filter(|_| after != before && after != Some(Reason::Pending));
    let note = step.verdict.note.as_ref();
    prop_assert_eq!(note.map(|note| note.reason), expected);
    if let (Some(note), Some(ready)) = (note, step.after.ready()) {
        let is_normal = normal.contains(&ready.reason.as_str());
        prop_assert_eq!(note.severity == Severity::Normal, is_normal);
        prop_assert!(ready.message.starts_with(&*note.message));
        prop_assert!(note.message.len() <= NOTE_BYTES);
    }
    Ok(())
}

fn stays_finished(step: &Step) -> Result<(), TestCaseError> {
    let before = &step.before.object;
    let Some(reason) = final_reason(before) else {
        return Ok(());
    };
    if step.after.reason() == Some(reason) || step.handled_request().is_some() || step.narrows() {
        return Ok(());
    }
    prop_assert_eq!(reason, Reason::TimedOut);
    prop_assert_ne!(before.status.observed_generation, Some(before.generation));
    let finished_at = before.status.finished_at.as_ref().unwrap().0;
    let more_time = before
        .deadline()
        .is_none_or(|deadline| deadline > finished_at);
    prop_assert!(more_time, "{:?}", before.spec.timeout);
    Ok(())
}

fn has_its_end(step: &Step) -> Result<(), TestCaseError> {
    let finished = final_reason(&step.after).is_some();
    let finished_at = step.verdict.status.finished_at.as_ref();
    prop_assert_eq!(finished_at.is_some(), finished);
    let same = final_reason(&step.before.object) == final_reason(&step.after);
    let anew = !same || !step.before.object.is_finished();
    if let (Some(finished_at), true) = (finished_at, anew && step.after.is_finished()) {
        let now = Timestamp::from_second(step.now.as_second()).unwrap();
        prop_assert_eq!(finished_at.0, now);
    }
    Ok(())
}

fn rests_when_finished(step: &Step) -> Result<(), TestCaseError> {
    let acknowledged = step.after.status.observed_generation == Some(step.after.generation);
    if final_reason(&step.after).is_none() || !acknowledged {
        return Ok(());
    }
    let may_call = step.request_waits() && !step.suspended() && !step.blocked();
    let ttl = step.after.spec.ttl_seconds_after_finished;
    match step.verdict.next.unwrap() {
        Next::Call { after, requested } => {
            prop_assert!(may_call && requested && after.is_zero());
        }
        Next::Delete(after) => {
            let ttl = Duration::from_secs(u64::try_from(ttl.unwrap()).unwrap());
            prop_assert!(!may_call && after <= ttl);
        }
        Next::Rest => prop_assert!(!may_call && ttl.is_none()),
        Next::Wait(after) => prop_assert!(false, "waits {after:?}"),
    }
    Ok(())
}

fn calls_are_allowed(step: &Step) -> Result<(), TestCaseError> {
    let calls = matches!(step.verdict.next, Some(Next::Call { .. }));
    prop_assert!(!(calls && step.suspended()), "{:?}", step.after.reason());
    prop_assert!(!(calls && step.blocked()), "{:?}", step.after.reason());
    let waits = step.after.reason() == Some(Reason::WaitingForNodes);
    if !calls && !waits && step.verdict.next.is_some() && final_reason(&step.after).is_none() {
        prop_assert!(
            step.suspended() || step.blocked(),
            "{:?}",
            step.after.reason()
        );
    }
    Ok(())
}

/// As many as are shown, and never Ready without all of them.
fn shows_nodes(step: &Step) -> Result<(), TestCaseError> {
    let status = &step.verdict.status;
    let reason = step.after.reason();
    let was = step.before.object.reason();
    // One that was told to wait no more is asked about, and shows what it did until then.
    let waits = step.after.spec.wait_for_nodes == Some(true);
    let looks = waits && reason == Some(Reason::WaitingForNodes) && step.before.nodes.are_listed();
    let ends = reason == Some(Reason::NodesReady) && was != reason;
    if !looks && !ends {
        return Ok(());
    }
    let results = status.task_result.as_deref().unwrap_or_default();
    let region = step.after.spec.region.as_deref().map(Mark::of);
    let is_ready = |id: &str| {
        let node = step.before.nodes.find(Mark::of(id), region);
        node.is_some_and(|(_, is_ready)| is_ready)
    };
    let ready = results
        .iter()
        .filter(|result| is_ready(&result.data))
        .count();
    if ends {
        prop_assert_eq!(ready, results.len());
        prop_assert!(step.before.nodes.are_listed() || results.is_empty());
    } else if results.len() < 1000 {
        prop_assert_eq!(
            status.nodes.clone(),
            Some(format!("{ready}/{}", results.len()))
        );
        prop_assert!(ready < results.len());
    }
    Ok(())
}

/// kstatus, Flux's expressions and Argo CD's script agree on each status, and wait as long as it does.
fn tools_wait(step: &Step) -> Result<(), TestCaseError> {
    let (before, after) = (&step.before.object, &step.after);
    if after.deleting || after.status == before.status {
        return Ok(());
    }
    let object = serde_json::json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": "ScaleOutTask",
        "metadata": { "name": "web-pool", "namespace": "default", "generation": after.generation },
        "spec": after.spec, "status": after.status,
    });
    gitops::check(&object).map_err(TestCaseError::fail)?;
    let agreed = gitops::verdicts(&object).unwrap().agreed();
    if agreed == Some(gitops::Health::Current) && after.spec.wait_for_nodes == Some(true) {
        // What ended without nodes stays so.
        let ended = before.is_finished() && before.reason() == Some(Reason::TaskSucceeded);
        prop_assert!(ended || after.reason() == Some(Reason::NodesReady));
    }
    Ok(())
}

fn calls_meet_the_deadline(step: &Step) -> Result<(), TestCaseError> {
    // Who can't tell the time can't tell that the deadline has passed.
    let is_skewed = |error: &PollError| error.reason == Reason::ClockSkewed;
    let is_over = step
        .after
        .deadline()
        .is_some_and(|deadline| deadline <= step.now);
    if is_over && step.poll_error().is_some_and(is_skewed) {
        return Ok(());
    }
    let left = step.after.deadline().map(|deadline| {
        let left = deadline.duration_since(step.now);
        Duration::try_from(left).unwrap_or_default()
    });
    if let (Some(left), Some(Next::Call { after, .. } | Next::Wait(after))) =
        (left, step.verdict.next)
    {
        prop_assert!(after <= left, "{after:?}, but {left:?} left");
    }
    Ok(())
}

fn delays_are_limited(step: &Step) -> Result<(), TestCaseError> {
    let Some(Next::Call {
        after,
        requested: false,
    }) = step.verdict.next
    else {
        return Ok(());
    };
    let interval = step.after.poll_interval(&step.before.policy);
    let slowly = Duration::from_secs(270)..=Duration::from_secs(330);
    let (least, most) = match (&step.input, step.foreign_task(), step.poll_error()) {
        _ if step.narrows() => slowly.into_inner(),
        (Occasion::Seen | Occasion::Waited, ..) => (Duration::ZERO, interval),
        (_, Some(_), _) => slowly.into_inner(),
        (_, _, Some(error)) if shown_as_stall(step, error) => slowly.into_inner(),
        (_, _, Some(error)) => {
            let doubled = 1_u64 << step.verdict.memory.failures.saturating_sub(1).min(10);
            let backoff = Duration::from_secs(doubled.min(300));
            let pause = error.retry_after.unwrap_or_default();
            let grace = error.reason == Reason::TaskNotFound;
            (
                if grace { Duration::ZERO } else { pause },
                pause.max(backoff),
            )
        }
        // From the start of the call to the object's own slot.
        _ => (Duration::ZERO, interval),
    };
    prop_assert!(after <= most, "{after:?} is more than {most:?}");
    let at_deadline = step.after.deadline().is_some_and(|deadline| {
        let left = Duration::try_from(deadline.duration_since(step.now)).unwrap_or_default();
        after == left
    });
    prop_assert!(
        after >= least || at_deadline,
        "{after:?} is less than {least:?}"
    );
    Ok(())
}

fn shown_as_stall(step: &Step, error: &PollError) -> bool {
    let stalled = find(&step.after.status, "Stalled");
    stalled.is_some_and(|stalled| stalled.reason == error.reason.as_str())
}

/// An edit of an object that shows something puts its call forward as a poll request does.
fn is_edit(step: &Step) -> bool {
    let object = &step.before.object;
    let is_new = object.status.observed_generation != Some(object.generation);
    let expired = object
        .kept()
        .deadline()
        .is_some_and(|deadline| deadline <= step.now);
    step.input == Occasion::Seen && is_new && object.ready().is_some() && !expired
}

fn requests_are_served(step: &Step) -> Result<(), TestCaseError> {
    let echo = &step.verdict.status.last_handled_poll_request;
    if echo != &step.before.object.status.last_handled_poll_request {
        prop_assert_eq!(echo.as_deref(), step.handled_request());
    }
    if step.handled_request().is_some() && !step.suspended() && !step.blocked() {
        prop_assert_eq!(echo.as_deref(), step.handled_request());
    }
    if let Some(Next::Call { after, requested }) = step.verdict.next {
        prop_assert!(requested || !step.request_waits());
        prop_assert!(!requested || step.request_waits() || is_edit(step));
        prop_assert!(!requested || after.is_zero());
    }
    Ok(())
}

fn hides_foreign_tasks(step: &Step) -> Result<(), TestCaseError> {
    let status = &step.verdict.status;
    let is_shown = status.state.is_some() && !step.before.object.deleting;
    prop_assert!(!is_shown || !step.is_foreign(status.cluster_id.as_ref()));
    let Some(task) = step.foreign_task() else {
        return Ok(());
    };
    let status = serde_json::to_string(&step.verdict.status).unwrap();
    let known = serde_json::to_string(&step.before.object.status).unwrap();
    let mut words: Vec<_> = [&task.task_id, &task.task_type, &task.current_stage]
        .into_iter()
        .flatten()
        .collect();
    words.extend(
        task.error
            .iter()
            .flat_map(|(code, message)| [code, message])
            .flatten(),
    );
    words.extend(task.results.listed().iter().map(|instance| &instance.id));
    words.push(&task.state);
    for word in words.into_iter().filter(|word| word.starts_with(MARK)) {
        let word: String = word.chars().take(12).collect();
        prop_assert!(!status.contains(&word) || known.contains(&word), "{word}");
    }
    if step.after.reason() == Some(Reason::ClusterMismatch) {
        let shown = step.verdict.status.clone();
        let bare = ScaleOutTaskStatus {
            observed_generation: shown.observed_generation,
            conditions: shown.conditions.clone(),
            last_handled_poll_request: shown.last_handled_poll_request.clone(),
            ..ScaleOutTaskStatus::default()
        };
        prop_assert_eq!(shown, bare);
    }
    Ok(())
}

fn knows_what_was_answered(step: &Step) -> Result<(), TestCaseError> {
    let status = &step.verdict.status;
    if let (Some(_), Some(ready)) = (&status.state, find(status, "Ready")) {
        prop_assert_ne!(&ready.status, "Unknown", "{}", ready.reason);
    }
    let Occasion::Polled { result, .. } = &step.input else {
        return Ok(());
    };
    let read = result.is_ok() && step.foreign_task().is_none();
    if read && !step.before.object.is_finished() {
        prop_assert_eq!(step.verdict.memory, Memory::default());
        prop_assert!(status.state.is_some());
    }
    Ok(())
}

fn keeps_what_is_known(step: &Step) -> Result<(), TestCaseError> {
    if step.poll_error().is_none() || step.narrows() {
        return Ok(());
    }
    let before = &step.before.object.status;
    let after = &step.verdict.status;
    let unconditional = |status: &ScaleOutTaskStatus| ScaleOutTaskStatus {
        observed_generation: None,
        conditions: Vec::new(),
        finished_at: None,
        last_handled_poll_request: None,
        ..status.clone()
    };
    prop_assert_eq!(unconditional(after), unconditional(before));
    if let (Some(was), Some(is), Some(_)) = (
        find(before, "Ready"),
        find(after, "Ready"),
        find(after, "Reconciling"),
    ) {
        prop_assert_eq!(&is.status, &was.status);
    }
    Ok(())
}

fn restart_keeps_stalls(step: &Step) -> Result<(), TestCaseError> {
    let Some(stalled) = find(&step.before.object.status, "Stalled") else {
        return Ok(());
    };
    if final_reason(&step.before.object).is_some() || step.suspended() || step.blocked() {
        return Ok(());
    }
    let reason = Reason::parse(&stalled.reason).unwrap();
    let rows = [Reason::TaskApiUnavailable, Reason::Throttled, reason];
    for error in rows.map(PollError::new).into_iter().filter(|error| {
        !matches!(
            error.reason,
            Reason::RegionMissing | Reason::ClusterMismatch
        )
    }) {
        let verdict = decide(
            &step.before.policy,
            &step.before.object,
            &step.before.nodes,
            Memory::default(),
            &Occasion::Polled {
                result: Err(error),
                started_at: step.now,
                poll_request: None,
            },
            step.now,
            step.before.seed,
        );
        prop_assert!(find(&verdict.status, "Stalled").is_some());
    }
    Ok(())
}
