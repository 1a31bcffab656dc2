//! What a source shows after each answer, and when it lists again.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use scaleouttask_controller::{
    api::{ScaleOutTaskSourceSpec, ScaleOutTaskSourceStatus, SecretReference},
    rules::{
        Abnormal, AccessRule, AccessRules, Candidate, Heard, Made, Mark, Memory, ObjectKey, Policy,
        PollError, Ready, Reason, Source, SourceCase, SourcePatch, SourceStatus, SourceVerdict,
        manifest, observe_source,
    },
};
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-01-02T00:00:00Z".parse().unwrap()
}

fn policy() -> Policy {
    Policy {
        default_region: Some("cn-hangzhou".to_owned()),
        ..Policy::default()
    }
}

fn source(specify: impl FnOnce(&mut ScaleOutTaskSourceSpec)) -> Source {
    let mut spec = ScaleOutTaskSourceSpec {
        cluster_id: "c-1".to_owned(),
        ..ScaleOutTaskSourceSpec::default()
    };
    specify(&mut spec);
    Source {
        key: ObjectKey {
            namespace: "team-a".into(),
            name: "src".into(),
        },
        uid: "u-1".into(),
        resource_version: "7".into(),
        generation: 1,
        created_at: now(),
        spec: spec.into(),
        ..Source::default()
    }
}

/// A source, and what is remembered between its lists.
struct Told {
    source: Source,
    memory: Memory,
    policy: Policy,
    outdated: BTreeSet<Mark>,
    now: Timestamp,
}

fn listed() -> Heard {
    Heard::Listed {
        asked_at: now(),
        unmakeable: 0,
    }
}

fn failed(reason: Reason) -> Heard {
    Heard::Failed(PollError::new(reason))
}

impl Told {
    fn new(source: Source) -> Self {
        Self {
            source,
            memory: Memory::default(),
            policy: policy(),
            outdated: BTreeSet::new(),
            now: now(),
        }
    }

    fn judge(&self, heard: &Heard, made: &[Made], refusal: Option<&str>) -> SourceVerdict {
        observe_source(&SourceCase {
            policy: &self.policy,
            source: &self.source,
            memory: self.memory,
            heard,
            heard_at: self.now,
            made,
            outdated: &self.outdated,
            refusal,
            now: self.now,
            seed: 1,
        })
    }

    /// Takes what follows as the API server would, by the patch.
    fn hear_all(&mut self, heard: &Heard, made: &[Made], refusal: Option<&str>) -> SourceVerdict {
        let verdict = self.judge(heard, made, refusal);
        assert_eq!(verdict, self.judge(heard, made, refusal));
        let from = &self.source.status;
        let mut status = whole(from);
        let patch = SourcePatch {
            from,
            to: &verdict.status,
        };
        merge(&mut status, serde_json::to_value(patch).unwrap());
        let status: ScaleOutTaskSourceStatus = serde_json::from_value(status).unwrap();
        assert_eq!(SourceStatus::from(status), verdict.status);
        self.source.status = verdict.status.clone();
        self.memory = verdict.memory;
        verdict
    }

    fn hear(&mut self, heard: &Heard) -> SourceVerdict {
        self.hear_all(heard, &[], None)
    }

    fn shows(&self) -> (Ready, Abnormal, Reason) {
        let shown = self.source.shown().unwrap();
        (shown.ready, shown.abnormal, shown.reason.unwrap())
    }
}

/// The status as the API server has it.
fn whole(status: &SourceStatus) -> Value {
    let nothing = SourceStatus::default();
    let patch = SourcePatch {
        from: &nothing,
        to: status,
    };
    serde_json::to_value(patch).unwrap()
}

fn merge(into: &mut Value, patch: Value) {
    let (Value::Object(into), Value::Object(patch)) = (into, patch) else {
        panic!("statuses are objects");
    };
    for (name, value) in patch {
        if value.is_null() {
            into.remove(&name);
        } else {
            into.insert(name, value);
        }
    }
}

#[test]
fn a_source_that_lists_is_ready_and_writes_nothing_while_nothing_changes() {
    let mut told = Told::new(source(|_| {}));
    let first = told.hear(&Heard::Nothing);
    assert_eq!((first.next, first.lists), (Some(Duration::ZERO), false));
    assert!(told.source.shown().is_none());
    let verdict = told.hear(&listed());
    assert!(
        verdict.next.unwrap() > Duration::from_secs(1),
        "no hot loop"
    );
    assert_eq!(told.shows(), (Ready::True, Abnormal::None, Reason::Listing));
    assert_eq!(told.source.status.observed_generation, Some(1));
    assert_eq!(verdict.note.unwrap().reason, Reason::Listing);
    assert!(verdict.lists && verdict.next.unwrap() <= Duration::from_secs(30));
    let before = told.source.status.clone();
    told.now += SignedDuration::from_secs(30);
    let again = told.hear(&listed());
    assert_eq!((again.status, again.note), (before, None));
    // After a restart too.
    let restarted = told.hear(&Heard::Nothing);
    assert!(restarted.lists && restarted.next.unwrap() <= Duration::from_secs(30));
}

#[test]
fn each_trouble_shows_as_it_does_for_a_task_and_ends_with_the_next_list() {
    use Reason::{
        AccessDenied, ClockSkewed, CredentialsInvalid, InvalidResponse, RequestRejected,
        TaskApiUnavailable, TaskNotFound, Throttled,
    };

    let (mut transient, mut lasting) = (Vec::new(), Vec::new());
    for reason in [
        Reason::TaskApiUnavailable,
        Reason::Throttled,
        Reason::InvalidResponse,
        Reason::TaskNotFound,
        Reason::AccessDenied,
        Reason::CredentialsInvalid,
        Reason::ClockSkewed,
        Reason::RequestRejected,
    ] {
        let mut told = Told::new(source(|_| {}));
        told.hear(&listed());
        let first = told.hear(&failed(reason));
        let is_lasting = told.shows().2 == reason;
        if is_lasting {
            lasting.push(reason);
            let stalled = (Ready::False, Abnormal::Stalled, reason);
            assert_eq!((told.shows(), first.lists), (stalled, false));
        } else {
            transient.push(reason);
            assert_eq!(told.shows().2, Reason::Listing, "a blip costs no write");
            assert!(first.lists, "nor a poll of each object");
            assert!(!told.hear(&failed(reason)).lists);
            let reconciling = (Ready::False, Abnormal::Reconciling, reason);
            assert_eq!(told.shows(), reconciling);
        }
        assert!(told.source.status.conditions.shown().unwrap().message.len() > 20);
        assert!(told.hear(&listed()).lists);
        assert_eq!(told.shows(), (Ready::True, Abnormal::None, Reason::Listing));
    }
    assert_eq!(
        transient,
        [TaskApiUnavailable, Throttled, InvalidResponse, TaskNotFound]
    );
    assert_eq!(
        lasting,
        [
            AccessDenied,
            CredentialsInvalid,
            ClockSkewed,
            RequestRejected
        ]
    );
}

/// Its objects needn't be polled for a moment, but for longer.
#[test]
fn a_list_that_is_held_for_longer_than_its_interval_stands_for_no_polls() {
    for (wait, stands) in [(29, true), (31, false)] {
        let mut told = Told::new(source(|_| {}));
        told.hear(&listed());
        let error = PollError {
            retry_after: Some(Duration::from_secs(wait)),
            ..PollError::new(Reason::TaskApiUnavailable)
        };
        assert_eq!(told.hear(&Heard::Failed(error)).lists, stands);
    }
}

#[test]
fn a_source_that_was_never_listed_stays_unknown_whatever_the_trouble() {
    let mut told = Told::new(source(|_| {}));
    told.hear(&failed(Reason::AccessDenied));
    told.hear(&failed(Reason::TaskApiUnavailable));
    told.hear(&failed(Reason::TaskApiUnavailable));
    assert_eq!(told.shows().0, Ready::Unknown);
}

#[test]
fn a_cluster_that_is_no_longer_allowed_leaves_only_what_is_not_made_again() {
    let mut told = Told::new(source(|_| {}));
    let heard = Heard::Listed {
        asked_at: now(),
        unmakeable: 2,
    };
    told.hear_all(&heard, &[made("T-1", true)], None);
    told.policy.allowed_cluster_ids = vec!["c-2".to_owned()];
    told.hear(&Heard::Nothing);
    let status = &told.source.status;
    assert_eq!((&status.last_made, status.unmakeable), (&None, 0));
    assert_eq!(status.recent.ids().collect::<Vec<_>>(), ["T-1"]);
}

#[test]
fn a_cluster_that_is_not_known_stalls_after_two_minutes_with_the_words_for_a_cluster() {
    let mut told = Told::new(source(|_| {}));
    told.hear(&failed(Reason::TaskNotFound));
    told.now += SignedDuration::from_secs(119);
    let verdict = told.hear(&failed(Reason::TaskNotFound));
    assert_eq!(told.shows().1, Abnormal::Reconciling);
    assert!(verdict.next.unwrap() <= Duration::from_secs(1));
    told.now += SignedDuration::from_secs(1);
    told.hear(&failed(Reason::TaskNotFound));
    assert_eq!(
        told.shows(),
        (Ready::False, Abnormal::Stalled, Reason::TaskNotFound)
    );
    let message = &told.source.shown().unwrap().message;
    assert!(
        message.contains("no such cluster: check spec.clusterId"),
        "{message}"
    );
}

#[test]
fn a_denied_list_names_its_own_action() {
    let mut told = Told::new(source(|_| {}));
    told.hear(&failed(Reason::AccessDenied));
    let message = &told.source.shown().unwrap().message;
    assert!(message.contains("cs:DescribeClusterTasks"), "{message}");
}

#[test]
fn what_may_not_list_says_why_and_rests() {
    let rule = |clusters: &[&str]| AccessRule {
        namespaces: vec!["team-*".to_owned()],
        cluster_ids: Some(clusters.iter().map(|id| (*id).to_owned()).collect()),
        ..AccessRule::default()
    };
    let access = |rules| Policy {
        access: Some(AccessRules::new(rules)),
        ..policy()
    };
    let secret = SecretReference {
        name: "s".to_owned(),
    };
    let with_secret =
        |spec: &mut ScaleOutTaskSourceSpec| spec.credentials_secret_ref = Some(secret);
    let rows = [
        (source(|_| {}), access(vec![rule(&["c-1"])]), None),
        (
            source(|_| {}),
            access(vec![rule(&["c-2"])]),
            Some(Reason::NotAllowed),
        ),
        (source(|_| {}), access(Vec::new()), Some(Reason::NotAllowed)),
        (
            source(|_| {}),
            Policy {
                allowed_regions: ["cn-beijing".to_owned()].into(),
                ..policy()
            },
            Some(Reason::NotAllowed),
        ),
        (
            source(|_| {}),
            Policy {
                default_region: None,
                ..policy()
            },
            Some(Reason::RegionMissing),
        ),
        (
            source(with_secret),
            policy(),
            Some(Reason::CredentialsInvalid),
        ),
        (
            source(|_| {}),
            Policy {
                allowed_cluster_ids: vec!["c-2".to_owned()],
                ..policy()
            },
            Some(Reason::ClusterMismatch),
        ),
        (
            source(|_| {}),
            Policy {
                allowed_cluster_ids: vec!["c-1".to_owned()],
                ..policy()
            },
            None,
        ),
    ];
    for (source, policy, reason) in rows {
        let mut told = Told {
            policy,
            ..Told::new(source)
        };
        let verdict = told.hear(&Heard::Nothing);
        match reason {
            None => assert_eq!(verdict.next, Some(Duration::ZERO)),
            Some(reason) => {
                assert_eq!(told.shows(), (Ready::False, Abnormal::Stalled, reason));
                assert_eq!((verdict.next, verdict.lists), (None, false));
            }
        }
    }
}

#[test]
fn a_suspended_source_is_unknown_until_it_was_listed_once() {
    let mut told = Told::new(source(|spec| spec.suspend = Some(true)));
    let verdict = told.hear(&Heard::Nothing);
    assert_eq!(
        told.shows(),
        (Ready::Unknown, Abnormal::None, Reason::Suspended)
    );
    assert_eq!((verdict.next, verdict.lists), (None, false));
    told.source.spec.suspend = false;
    told.hear(&listed());
    told.source.spec.suspend = true;
    told.hear(&Heard::Nothing);
    assert_eq!(
        told.shows(),
        (Ready::False, Abnormal::None, Reason::Suspended)
    );
}

#[test]
fn an_interval_is_no_shorter_than_a_rule_or_the_operator_wants() {
    let own = source(|spec| spec.interval = Some("10s".to_owned()));
    for (least, every) in [(1, 10), (60, 60)] {
        let policy = Policy {
            min_poll_interval: Duration::from_secs(least),
            ..policy()
        };
        assert_eq!(own.interval(&policy), Duration::from_secs(every));
    }
}

fn made(id: &str, is_own: bool) -> Made {
    Made {
        task_id: id.into(),
        name: id.to_lowercase().into(),
        at: now(),
        is_own,
        born: None,
    }
}

#[test]
fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
    let mut told = Told::new(source(|_| {}));
    let many: Vec<Made> = (0..990)
        .map(|number| made(&format!("T-{number}"), true))
        .collect();
    told.hear_all(&listed(), &many, None);
    let more: Vec<Made> = (990..1010)
        .map(|number| made(&format!("T-{number}"), true))
        .collect();
    told.hear_all(&listed(), &more, None);
    let status = &told.source.status;
    let ids: Vec<&str> = status.recent.ids().collect();
    assert_eq!((ids.len(), ids[0], ids[999]), (1000, "T-10", "T-1009"));
    assert_eq!(status.made, Some(1010));
    assert_eq!(&*status.last_made.as_ref().unwrap().task_id, "T-1009");
}

#[test]
fn what_the_list_shows_to_be_old_is_forgotten_once_something_is_written() {
    let mut told = Told::new(source(|_| {}));
    // However old the ID looks.
    let id = "T-5faa48fb31b6b8078d000006";
    told.hear_all(&listed(), &[made(id, true)], None);
    told.hear_all(&listed(), &[made("T-later", true)], None);
    assert_eq!(told.source.status.recent.ids().count(), 2);
    told.outdated.insert(Mark::of(id));
    told.hear(&listed());
    assert_eq!(told.source.status.recent.ids().count(), 2);
    told.hear_all(&listed(), &[made("T-last", false)], None);
    let ids: Vec<&str> = told.source.status.recent.ids().collect();
    assert_eq!(ids, ["T-later", "T-last"]);
    assert_eq!(told.source.status.made, Some(2));
}

#[test]
fn the_object_of_a_task_has_what_source_and_template_say() {
    let mut source = source(|spec| {
        spec.region = Some("cn-beijing".to_owned());
        spec.credentials_secret_ref = Some(SecretReference {
            name: "s".to_owned(),
        });
        spec.template = serde_json::from_value(json!({
            "metadata": { "labels": { "a": "b", "team": "x" }, "annotations": { "c": "d" } },
            "spec": { "pollInterval": "5s", "timeout": "1h", "ttlSecondsAfterFinished": 60,
                      "waitForNodes": true },
        }))
        .unwrap();
    });
    source.labels = std::sync::Arc::new([("team".to_owned(), "web".to_owned())].into());
    let policy = Policy {
        selected_by: vec!["team".to_owned(), "other".to_owned()],
        ..policy()
    };
    let task = Candidate {
        task_id: "T-1".into(),
        task_type: Some("cluster_scaleout".into()),
        born: None,
    };
    let object = serde_json::to_value(manifest(&source, &policy, "t-1", &task)).unwrap();
    let expected = json!({
        "apiVersion": "scaleout.dev/v1alpha1",
        "kind": "ScaleOutTask",
        "metadata": {
            "name": "t-1", "namespace": "team-a",
            "labels": { "a": "b", "team": "web", "scaleout.dev/source": "src",
                        "scaleout.dev/task-type": "cluster_scaleout" },
            "annotations": { "c": "d" },
            "ownerReferences": [{ "apiVersion": "scaleout.dev/v1alpha1",
                "kind": "ScaleOutTaskSource", "name": "src", "uid": "u-1", "controller": true,
                "blockOwnerDeletion": false }],
        },
        "spec": { "taskId": "T-1", "region": "cn-beijing", "clusterId": "c-1",
            "credentialsSecretRef": { "name": "s" }, "pollInterval": "5s", "timeout": "1h",
            "ttlSecondsAfterFinished": 60, "waitForNodes": true },
    });
    assert_eq!(object, expected);
}

fn any_heard() -> impl Strategy<Value = Heard> {
    let reasons = [
        Reason::TaskApiUnavailable,
        Reason::Throttled,
        Reason::InvalidResponse,
        Reason::TaskNotFound,
        Reason::AccessDenied,
        Reason::CredentialsInvalid,
        Reason::ClockSkewed,
        Reason::RequestRejected,
    ];
    prop_oneof![
        Just(Heard::Nothing),
        (0_i64..3).prop_map(|unmakeable| Heard::Listed {
            asked_at: now(),
            unmakeable
        }),
        prop::sample::select(reasons.to_vec()).prop_map(failed),
    ]
}

proptest! {
    /// Conditions that kstatus, `kubectl wait` and the like read right, whatever happens.
    #[test]
    fn no_history_of_a_source_contradicts_itself(
        steps in prop::collection::vec((any_heard(), any::<bool>(), 0_i64..200, prop::option::of("[a-z]{1,8}")), 1..40),
    ) {
        let mut told = Told::new(source(|_| {}));
        let mut unwritten = Vec::new();
        for (number, (heard, suspend, seconds, refusal)) in steps.into_iter().enumerate() {
            told.now += SignedDuration::from_secs(seconds);
            if told.source.spec.suspend != suspend {
                told.source.spec.suspend = suspend;
                told.source.generation += 1;
            }
            unwritten.push(made(&format!("T-{number}"), number % 2 == 0));
            let heard = if suspend { Heard::Nothing } else { heard };
            let verdict = told.hear_all(&heard, &unwritten, refusal.as_deref());
            // What was made is shown beside a reason, and waits for one.
            let remembered = told.source.status.recent.ids().count();
            let Some(shown) = told.source.shown() else {
                prop_assert_eq!(remembered, 0);
                continue;
            };
            prop_assert_eq!(remembered, number + 1);
            unwritten.clear();
            let reason = shown.reason.unwrap();
            prop_assert_eq!(shown.ready == Ready::True, reason == Reason::Listing);
            prop_assert!(shown.ready != Ready::True || shown.abnormal == Abnormal::None);
            let list = told.source.status.conditions.to_list();
            prop_assert!(list.iter().all(|one| one.reason == reason.as_str() && one.type_ != "Finished"));
            prop_assert!(verdict.next.is_some() != suspend);
            prop_assert!(!verdict.lists || !suspend);
        }
    }
}
