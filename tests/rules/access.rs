//! What the operator's rules don't allow is neither asked nor shown.

use std::time::Duration;

use scaleouttask_controller::rules::{AccessRule, AccessRules, Next};

use crate::fixtures::{Story, answer, next_call};

/// Rules that allow no namespace anything.
fn nothing() -> AccessRules {
    AccessRules::default()
}

/// One rule for all namespaces.
fn all(rule: AccessRule) -> AccessRules {
    AccessRules::new(vec![AccessRule {
        namespaces: vec!["*".to_owned()],
        ..rule
    }])
}

fn check_hidden(story: &Story) {
    let status = story.status();
    assert_eq!(status.state, None);
    assert_eq!(status.cluster_id, None);
    assert_eq!(status.task_result, None);
    assert_eq!(status.finished_at, None);
}

#[test]
fn a_rule_that_becomes_narrower_hides_what_it_no_longer_allows() {
    for state in ["running", "paused", "success", "fail", "canceled"] {
        let mut story = Story::polled(state);
        story.policy.access = Some(nothing());
        story.restart();
        assert_eq!(story.seen(10).next, Some(Next::Rest), "{state}");
        assert_eq!(story.shows(), "False Stalled NotAllowed", "{state}");
        check_hidden(&story);
        // It stays so, and nothing is written again.
        let before = story.status().clone();
        story.restart();
        assert_eq!(story.seen(1000).next, Some(Next::Rest), "{state}");
        assert_eq!(*story.status(), before, "{state}");
    }
}

#[test]
fn a_suspended_object_is_cleared_and_stays_suspended() {
    let mut story = Story::polled("running");
    story.edit(|spec| spec.suspend = Some(true));
    story.seen(5);
    assert_eq!(story.shows(), "False - Suspended");
    story.policy.access = Some(nothing());
    assert_eq!(story.seen(10).next, Some(Next::Rest));
    assert_eq!(story.shows(), "Unknown - Suspended");
    check_hidden(&story);
}

#[test]
fn the_answer_of_a_call_under_way_is_not_shown() {
    let mut story = Story::polled("running");
    story.request("now");
    story.policy.access = Some(nothing());
    story.call_ends(5, 10, Some("now"), answer("success"));
    assert_eq!(story.shows(), "False Stalled NotAllowed");
    check_hidden(&story);
    let echo = story.status().last_handled_poll_request.as_deref();
    assert_eq!(echo, Some("now"));
}

#[test]
fn no_timeout_ends_what_may_not_ask_and_no_poll_request_asks() {
    let mut story = Story::new(|spec| spec.timeout = Some("1m".into()));
    story.policy.access = Some(nothing());
    story.request("now");
    for seconds in [1, 60, 3600] {
        assert_eq!(story.seen(seconds).next, Some(Next::Rest));
        assert_eq!(story.shows(), "False Stalled NotAllowed");
    }
}

#[test]
fn what_is_allowed_again_is_asked_at_once() {
    let mut story = Story::polled("success");
    story.policy.access = Some(nothing());
    story.seen(10);
    story.policy.access = Some(all(AccessRule::default()));
    story.restart();
    assert_eq!(next_call(&story.seen(20)).0, Duration::ZERO);
    story.called(20, answer("success"));
    assert_eq!(story.shows(), "True - TaskSucceeded");
}

#[test]
fn the_shortest_interval_of_a_rule_holds_whatever_the_spec_says() {
    let next = |story: &mut Story| next_call(&story.called(1, answer("running"))).0;
    let quick = || Story::new(|spec| spec.poll_interval = Some("1s".into()));
    assert!(next(&mut quick()) <= Duration::from_secs(1));
    let mut bounded = quick();
    bounded.policy.access = Some(all(AccessRule {
        min_poll_interval: Some(Duration::from_mins(1)),
        ..AccessRule::default()
    }));
    assert!(next(&mut bounded) > Duration::from_secs(2));
    let mut by_flag = quick();
    by_flag.policy.min_poll_interval = Duration::from_mins(1);
    assert_eq!(next(&mut by_flag), next(&mut bounded));
}
