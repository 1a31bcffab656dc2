//! Runs of failures: when they are shown, when they end, and when calls are retried.

use std::time::Duration;

use scaleouttask_controller::rules::{GRACE, Occasion, PollError, PollResult, Reason};

use crate::fixtures::{INTERVAL, Story, answer, at, next_call, poll_error, task};

const TRANSIENT: [Reason; 4] = [
    Reason::TaskApiUnavailable,
    Reason::Throttled,
    Reason::InvalidResponse,
    Reason::TaskNotFound,
];
const STALLING: [Reason; 4] = [
    Reason::AccessDenied,
    Reason::CredentialsInvalid,
    Reason::ClockSkewed,
    Reason::RequestRejected,
];

#[test]
fn the_latest_of_mixed_reasons_is_shown() {
    let mut story = Story::polled("running");
    story.called(2, poll_error(Reason::TaskNotFound));
    for (seconds, reason) in (3..).zip(TRANSIENT.into_iter().chain(TRANSIENT)) {
        story.called(seconds, poll_error(reason));
        let shows = format!("False Reconciling {}", reason.as_str());
        assert_eq!(story.shows(), shows);
    }
}

#[test]
fn each_reason_has_one_message_so_that_repeats_write_nothing() {
    for reason in TRANSIENT {
        let mut story = Story::polled("running");
        story.called(2, poll_error(reason));
        story.called(3, poll_error(reason));
        let written = story.status().clone();
        for seconds in 4..30 {
            let odd = PollError {
                code: Some(format!("Code{seconds}")),
                detail: Some(format!("detail {seconds}")),
                ..poll_error(reason)
            };
            let verdict = story.called(seconds, odd);
            assert_eq!(verdict.status, written, "{reason:?}");
            assert_eq!(verdict.note, None, "{reason:?}");
        }
    }
}

#[test]
fn an_answer_ends_a_run() {
    let mut story = Story::polled("running");
    let before = story.status().clone();
    for seconds in 2..20 {
        story.called(seconds * 2, poll_error(Reason::TaskApiUnavailable));
        assert_eq!(story.status(), &before, "always the first failure in a row");
        story.called(seconds * 2 + 1, answer("running"));
    }
}

#[test]
fn after_recovery_the_task_is_shown_again() {
    let mut story = Story::polled("running");
    let before = story.status().clone();
    for seconds in [2, 3] {
        story.called(seconds, poll_error(Reason::Throttled));
    }
    story.called(4, answer("running"));
    assert_eq!(story.status(), &before);
}

#[test]
fn transient_errors_back_off_exponentially_with_full_jitter() {
    for reason in [
        Reason::TaskApiUnavailable,
        Reason::Throttled,
        Reason::InvalidResponse,
    ] {
        let ceilings = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300];
        let mut longest = [Duration::ZERO; 12];
        let mut shortest = [Duration::MAX; 12];
        for seed in 0..200 {
            let mut story = Story::plain();
            story.seed = seed;
            for failure in 0..12 {
                let (after, requested) = next_call(&story.called(1, poll_error(reason)));
                assert!(!requested);
                longest[failure] = longest[failure].max(after);
                shortest[failure] = shortest[failure].min(after);
            }
        }
        for (failure, ceiling) in ceilings.into_iter().enumerate() {
            let ceiling = Duration::from_secs(ceiling);
            let name = format!("{reason:?}, failure {}", failure + 1);
            assert!(longest[failure] <= ceiling, "{name}: {longest:?}");
            assert!(
                longest[failure] > ceiling.mul_f64(0.9),
                "{name}: {longest:?}"
            );
            assert!(
                shortest[failure] < ceiling.mul_f64(0.1),
                "{name}: {shortest:?}"
            );
        }
    }
}

#[test]
fn a_good_answer_resets_the_backoff() {
    for seed in 0..50 {
        let mut story = Story::plain();
        story.seed = seed;
        for seconds in 1..12 {
            story.called(seconds, poll_error(Reason::TaskApiUnavailable));
        }
        let (after, _) = next_call(&story.called(20, answer("running")));
        assert!(after <= INTERVAL, "{after:?}");
        let verdict = story.called(21, poll_error(Reason::TaskApiUnavailable));
        assert!(next_call(&verdict).0 <= Duration::from_secs(1));
    }
}

#[test]
fn stalled_objects_are_retried_every_five_minutes_with_ten_percent_jitter() {
    for reason in STALLING {
        for seed in 0..100 {
            let mut story = Story::new(|spec| spec.poll_interval = Some("1s".into()));
            story.seed = seed;
            for seconds in [1, 301, 601] {
                let (after, requested) = next_call(&story.called(seconds, poll_error(reason)));
                assert!((270.0..=330.0).contains(&after.as_secs_f64()), "{after:?}");
                assert!(!requested);
            }
        }
    }
}

#[test]
fn retry_after_is_respected_and_never_replaces_the_backoff() {
    for seconds in [0, 1, 60, 300] {
        let pause = Duration::from_secs(seconds);
        let asks = PollError {
            retry_after: Some(pause),
            ..poll_error(Reason::Throttled)
        };
        let mut story = Story::plain();
        assert!(next_call(&story.called(1, asks.clone())).0 >= pause);
        let mut delays = (2..100).map(|now| next_call(&story.called(now, asks.clone())).0);
        assert!(
            delays.any(|delay| delay > Duration::ZERO),
            "no hot loop at {pause:?}"
        );
    }
}

#[test]
fn the_poll_interval_is_the_specs_or_the_controllers() {
    let rows = [
        (None, 15),
        (Some("1s"), 1),
        (Some("1m30s"), 90),
        (Some("1h"), 3600),
        // What the API server would refuse counts as not set.
        (Some("0s"), 15),
        (Some("2h"), 15),
        (Some("soon"), 15),
    ];
    for (interval, seconds) in rows {
        let mut story = Story::new(|spec| spec.poll_interval = interval.map(Into::into));
        let interval_is = Duration::from_secs(seconds);
        let (first, requested) = next_call(&story.called(1, answer("running")));
        assert!(first <= interval_is, "{interval:?}: {first:?}");
        assert!(!requested);
        // From the object's own slot on, the delay is the interval.
        let slot = at(1) + first;
        let input = Occasion::Polled {
            result: answer("running"),
            started_at: slot,
            poll_request: None,
        };
        let verdict = story.happens(&input, slot);
        let (after, _) = next_call(&verdict);
        assert_eq!(after, interval_is, "{interval:?}");
    }
}

#[test]
fn objects_created_together_are_polled_at_different_times() {
    let delays: Vec<_> = (0..50)
        .map(|uid| {
            let mut story = Story::plain();
            story.object.uid = format!("uid-{uid}");
            next_call(&story.called(1, answer("running"))).0
        })
        .collect();
    assert!(delays.iter().all(|delay| *delay <= INTERVAL));
    let early = delays.iter().filter(|delay| **delay < INTERVAL / 2).count();
    assert!((10..=40).contains(&early), "{delays:?}");
}

#[test]
fn an_answer_that_waits_to_be_written_delays_no_poll() {
    let mut story = Story::plain();
    let verdict = story.call_ends(1, 1 + 15, None, answer("running"));
    assert_eq!(next_call(&verdict).0, Duration::ZERO);
}

#[test]
fn a_missing_task_has_two_minutes_from_the_first_of_an_unbroken_run() {
    assert_eq!(GRACE.as_secs(), 120);
    let missing = || PollResult::Err(poll_error(Reason::TaskNotFound));
    let down = || PollResult::Err(poll_error(Reason::TaskApiUnavailable));
    let rows = [
        (
            "alone",
            vec![(10, missing()), (129, missing())],
            "Unknown Reconciling TaskNotFound",
        ),
        (
            "too long",
            vec![(10, missing()), (131, missing())],
            "False Stalled TaskNotFound",
        ),
        (
            "other errors don't end the run",
            vec![(10, missing()), (60, down()), (131, missing())],
            "False Stalled TaskNotFound",
        ),
        (
            "other errors don't begin it",
            vec![(10, down()), (60, missing()), (131, missing())],
            "Unknown Reconciling TaskNotFound",
        ),
        (
            "an answer ends it",
            vec![
                (10, missing()),
                (60, answer("running")),
                (131, missing()),
                (132, missing()),
            ],
            "False Reconciling TaskNotFound",
        ),
        (
            "also for a task that was read",
            vec![(1, answer("running")), (10, missing()), (131, missing())],
            "False Stalled TaskNotFound",
        ),
    ];
    for (name, calls, shows) in rows {
        let mut story = Story::plain();
        for (seconds, result) in calls {
            story.called(seconds, result);
        }
        assert_eq!(story.shows(), shows, "{name}");
    }
}

#[test]
fn a_missing_task_is_polled_again_when_its_grace_ends() {
    let mut story = Story::plain();
    let mut now = 0;
    let mut calls = 0;
    while story.shows() != "False Stalled TaskNotFound" {
        let (after, _) = next_call(&story.called(now, poll_error(Reason::TaskNotFound)));
        now += i64::try_from(after.as_secs()).unwrap().max(1);
        calls += 1;
        assert!(calls < 200, "it never stalls");
        assert!(
            now <= 122 || story.shows() == "False Stalled TaskNotFound",
            "at {now}"
        );
    }
    let (after, _) = next_call(&story.called(now, poll_error(Reason::TaskNotFound)));
    assert!(after.as_secs() >= 270, "{after:?}");
}

#[test]
fn a_restart_never_unstalls_a_missing_task() {
    let mut story = Story::plain();
    story.called(1, poll_error(Reason::TaskNotFound));
    story.called(200, poll_error(Reason::TaskNotFound));
    let stalled = story.status().clone();
    story.restart();
    for seconds in [300, 301, 302] {
        let verdict = story.called(seconds, poll_error(Reason::TaskNotFound));
        assert_eq!(verdict.status, stalled);
        assert!(next_call(&verdict).0.as_secs() >= 270);
    }
}

#[test]
fn a_restart_may_start_the_grace_anew() {
    let mut story = Story::plain();
    story.called(1, poll_error(Reason::TaskNotFound));
    story.called(60, poll_error(Reason::TaskNotFound));
    story.restart();
    story.called(130, poll_error(Reason::TaskNotFound));
    assert_eq!(story.shows(), "Unknown Reconciling TaskNotFound");
    story.called(251, poll_error(Reason::TaskNotFound));
    assert_eq!(story.shows(), "False Stalled TaskNotFound");
}

#[test]
fn the_first_failure_after_a_restart_is_not_shown() {
    for reason in TRANSIENT {
        for mut story in [Story::polled("running"), stalled(Reason::AccessDenied)] {
            let before = story.status().clone();
            story.restart();
            story.called(100, poll_error(reason));
            assert_eq!(story.status(), &before, "{reason:?}");
        }
    }
}

#[test]
fn a_single_failure_does_not_unstall() {
    for stalling in STALLING {
        for reason in TRANSIENT {
            let mut story = stalled(stalling);
            let before = story.status().clone();
            let verdict = story.called(1000, poll_error(reason));
            assert_eq!(verdict.status, before, "{stalling:?} {reason:?}");
            assert!(
                next_call(&verdict).0 <= Duration::from_secs(1),
                "{:?}",
                verdict.next
            );
        }
    }
}

#[test]
fn a_restart_delays_a_retry_by_at_most_five_minutes() {
    for reason in TRANSIENT.into_iter().chain(STALLING) {
        for uid in 0..50 {
            let mut story = stalled(reason);
            story.called(600, poll_error(reason));
            story.object.uid = uid.to_string();
            story.object.spec.poll_interval = Some("1h".into());
            story.restart();
            let (after, _) = next_call(&story.seen(1000));
            assert!(after <= Duration::from_secs(330), "{reason:?}: {after:?}");
        }
    }
}

#[test]
fn running_tasks_are_polled_at_once_after_a_restart() {
    for state in ["running", "paused", "odd"] {
        let mut story = Story::polled(state);
        story.restart();
        assert_eq!(next_call(&story.seen(100)), (Duration::ZERO, false));
    }
}

#[test]
fn an_answer_counts_after_any_errors() {
    for reason in TRANSIENT.into_iter().chain(STALLING) {
        let mut story = stalled(reason);
        story.called(300, answer(&task("running").state));
        assert_eq!(story.shows(), "False Reconciling TaskRunning", "{reason:?}");
    }
}

fn missing_secret() -> PollError {
    PollError {
        is_missing_secret: true,
        detail: Some("Secret keys doesn't exist".into()),
        ..poll_error(Reason::CredentialsInvalid)
    }
}

#[test]
fn a_secret_that_comes_within_two_minutes_is_no_failure() {
    for (mut story, ready) in [
        (Story::plain(), "Unknown"),
        (Story::polled("running"), "False"),
    ] {
        let before = story.shows();
        for seconds in (10..=120).step_by(10) {
            let verdict = story.called(seconds, missing_secret());
            assert_eq!(next_call(&verdict).0, Duration::from_secs(10));
            if seconds == 10 {
                assert_eq!(story.shows(), before, "a blip costs no write");
            } else {
                assert_eq!(
                    story.shows(),
                    format!("{ready} Reconciling CredentialsInvalid")
                );
            }
        }
        story.called(125, answer("running"));
        assert_eq!(story.shows(), "False Reconciling TaskRunning");
    }
}

#[test]
fn a_secret_that_stays_missing_stalls_after_two_minutes_and_is_looked_for_each_minute() {
    let mut story = Story::plain();
    story.called(10, missing_secret());
    let verdict = story.called(125, missing_secret());
    assert_eq!(
        next_call(&verdict).0,
        Duration::from_secs(5),
        "at the end of its time"
    );
    let verdict = story.called(130, missing_secret());
    assert_eq!(story.shows(), "False Stalled CredentialsInvalid");
    assert_eq!(story.message(), "Secret keys doesn't exist");
    assert_eq!(next_call(&verdict).0, Duration::from_mins(1));
    // A restart takes nothing back.
    story.restart();
    story.called(200, missing_secret());
    assert_eq!(story.shows(), "False Stalled CredentialsInvalid");
    // Nor do other troubles in between begin it anew.
    let mut story = Story::plain();
    story.called(0, missing_secret());
    story.called(60, poll_error(Reason::TaskNotFound));
    story.called(120, missing_secret());
    assert_eq!(story.shows(), "False Stalled CredentialsInvalid");
}

/// An object with five errors of this kind in a row.
fn stalled(reason: Reason) -> Story {
    let mut story = Story::polled("running");
    for seconds in 2..7 {
        story.called(seconds, poll_error(reason));
    }
    story
}
