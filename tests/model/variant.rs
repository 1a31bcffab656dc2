//! Broken variants of the core, each of which the checker must catch.

use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use scaleouttask_controller::{
    rules::{
        Case, Conditions, Mark, Next, Node, NodeInstance, Object, ObjectKey, Observe,
        ObserveSource, SourceCase, SourceVerdict, TaskChange, TaskState, Verdict, observe,
        observe_source,
    },
    scheduler::{
        CallLimits, CreationId, CreationResult, DeletionResult, Election, Fairness, Input,
        LEASE_DURATION, LeaseRecord, NodeInput, RENEW_DEADLINE, SourceInput, SourceWrite,
        WriteResult,
    },
};

use crate::promise::Promise;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// As it is.
    None,
    PollsTheFinished,
    PollsTheSuspended,
    GivesUpAfterTrouble,
    ForgetsPollRequests,
    EchoesBeforeTheCall,
    ClearsInTrouble,
    TakesAnyLateAnswer,
    DeletesTooEarly,
    WritesOverAndOver,
    WritesBlindly,
    DeletesBlindly,
    TakesConflictsForSuccess,
    ForgetsFailedWrites,
    ForgetsGoneObjects,
    IsDeafWhileStandingBy,
    NeverStandsBy,
    LeadsTooLong,
    TakesOverAtOnce,
    SeesNoSignOfLife,
    ClaimsBlindly,
    ServesWhoComesFirst,
    LetsOneTakeAllSlots,
    PrefersRequestsAlways,
    CallsTooManyAtOnce,
    ForgetsFailedCalls,
    ForgetsFailedDeletions,
    TakesOneAnswerForAnother,
    ForgetsReadyNodes,
    ForgetsLostNodes,
    TakesTwoListsForOne,
    TakesRegisteredForReady,
    IsBlindWhileWaiting,
    CountsWhatMayFail,
    TakesNoAnswerForFailure,
    ForgetsLostObjects,
    ForgetsWhatItMade,
    DeletesUnremembered,
    MakesUnderAnotherName,
    IsBlindToLists,
    LeavesObjectsUnpolled,
    ReadsOnePage,
    MakesBeforeItKnows,
    TrustsOldNews,
    ForgetsLateCreations,
}

/// Every broken one, with the promises of which it breaks at least one.
pub const BROKEN: [(Variant, &[Promise]); 44] = [
    (Variant::PollsTheFinished, &[Promise::FinishedIsNeverPolled]),
    (
        Variant::PollsTheSuspended,
        &[Promise::SuspendedIsNeverPolled],
    ),
    (Variant::GivesUpAfterTrouble, &[Promise::Converges]),
    (Variant::ForgetsPollRequests, &[Promise::Converges]),
    (
        Variant::EchoesBeforeTheCall,
        &[Promise::PollRequestIsActedOn],
    ),
    (Variant::ClearsInTrouble, &[Promise::WhatIsKnownStays]),
    (Variant::TakesAnyLateAnswer, &[Promise::FinishedStaysSo]),
    (Variant::DeletesTooEarly, &[Promise::OnlyFinishedIsDeleted]),
    (Variant::WritesOverAndOver, &[Promise::ComesToRest]),
    (Variant::WritesBlindly, &[Promise::NoStaleWrite]),
    (Variant::DeletesBlindly, &[Promise::OnlyFinishedIsDeleted]),
    (Variant::TakesConflictsForSuccess, &[Promise::Converges]),
    (Variant::ForgetsFailedWrites, &[Promise::Converges]),
    (Variant::ForgetsGoneObjects, &[Promise::GoneIsNeverPolled]),
    (
        Variant::IsDeafWhileStandingBy,
        &[Promise::FinishedIsNeverPolled],
    ),
    (Variant::NeverStandsBy, &[Promise::NoLeadBeyondItsTime]),
    (Variant::LeadsTooLong, &[Promise::NoLeadBeyondItsTime]),
    (Variant::TakesOverAtOnce, &[Promise::OneLeader]),
    (Variant::SeesNoSignOfLife, &[Promise::OneLeader]),
    (Variant::ClaimsBlindly, &[Promise::OneLeader]),
    (
        Variant::ServesWhoComesFirst,
        &[Promise::NamespacesTakeTurns],
    ),
    (
        Variant::LetsOneTakeAllSlots,
        &[Promise::NamespacesShareSlots],
    ),
    (
        Variant::PrefersRequestsAlways,
        &[Promise::RequestsTakeTurns],
    ),
    (Variant::CallsTooManyAtOnce, &[Promise::CallsAreBounded]),
    (Variant::ForgetsFailedCalls, &[Promise::Converges]),
    (Variant::ForgetsFailedDeletions, &[Promise::Converges]),
    (Variant::TakesOneAnswerForAnother, &[Promise::Converges]),
    (Variant::ForgetsReadyNodes, &[Promise::Converges]),
    (
        Variant::ForgetsLostNodes,
        &[Promise::NodesWereReady, Promise::Converges],
    ),
    (
        Variant::TakesTwoListsForOne,
        &[Promise::NodesWereReady, Promise::Converges],
    ),
    (Variant::TakesRegisteredForReady, &[Promise::NodesWereReady]),
    (Variant::IsBlindWhileWaiting, &[Promise::Converges]),
    (Variant::CountsWhatMayFail, &[Promise::NoneMissed]),
    (
        Variant::TakesNoAnswerForFailure,
        &[Promise::OneCreationAtATime],
    ),
    (Variant::ForgetsLostObjects, &[Promise::MadeOnce]),
    (Variant::ForgetsWhatItMade, &[Promise::MadeIsCounted]),
    (Variant::DeletesUnremembered, &[Promise::RememberedFirst]),
    (Variant::MakesUnderAnotherName, &[Promise::MadeOnce]),
    (Variant::IsBlindToLists, &[Promise::Converges]),
    (Variant::LeavesObjectsUnpolled, &[Promise::Converges]),
    (Variant::ReadsOnePage, &[Promise::NoneMissed]),
    (
        Variant::MakesBeforeItKnows,
        &[Promise::ObjectsAreKnownFirst],
    ),
    (Variant::TrustsOldNews, &[Promise::MadeOnce]),
    (Variant::ForgetsLateCreations, &[Promise::MadeOnce]),
];

/// How long a lead lasts that nobody ends.
const FOR_EVER: Duration = Duration::MAX;

impl Variant {
    /// The rules for what is shown.
    pub fn rules(self) -> Observe {
        match self {
            Self::PollsTheFinished => polls_the_finished,
            Self::PollsTheSuspended => polls_the_suspended,
            Self::GivesUpAfterTrouble => gives_up_after_trouble,
            Self::ForgetsPollRequests => forgets_poll_requests,
            Self::EchoesBeforeTheCall => echoes_before_the_call,
            Self::ClearsInTrouble => clears_in_trouble,
            Self::TakesAnyLateAnswer => takes_any_late_answer,
            Self::DeletesTooEarly => deletes_too_early,
            Self::WritesOverAndOver => writes_over_and_over,
            Self::TakesOneAnswerForAnother => takes_one_answer_for_another,
            Self::TakesRegisteredForReady => takes_registered_for_ready,
            Self::IsBlindWhileWaiting => is_blind_while_waiting,
            _ => observe,
        }
    }

    /// What the scheduler hears of an event.
    pub fn heard(self, event: Input, leads: bool) -> Option<Input> {
        match (self, event) {
            (Self::TakesConflictsForSuccess, Input::WriteEnded(id, WriteResult::Conflict(now))) => {
                Some(Input::WriteEnded(id, WriteResult::Written(now)))
            }
            (Self::ForgetsFailedWrites, Input::WriteEnded(_, WriteResult::Failed))
            | (Self::ForgetsFailedCalls, Input::CallEnded { result: Err(_), .. })
            | (Self::ForgetsFailedDeletions, Input::DeletionEnded(_, DeletionResult::Failed))
            | (Self::ForgetsGoneObjects, Input::Gone(_) | Input::ListingDone(_))
            | (Self::ForgetsLostNodes, Input::Nodes(NodeInput::Gone(_)))
            | (Self::TakesTwoListsForOne, Input::Nodes(NodeInput::Relisting)) => None,
            (Self::IsDeafWhileStandingBy, Input::Applied(..)) if !leads => None,
            (Self::ForgetsReadyNodes, Input::Nodes(NodeInput::Applied(node))) if node.is_ready => {
                None
            }
            (_, Input::Source(event)) => Some(Input::Source(self.heard_of_source(event))),
            (Self::MakesBeforeItKnows, Input::Relisting(watch)) => Some(Input::ListingDone(watch)),
            (Self::DeletesUnremembered, event) => Some(with_object(event, without_source)),
            (Self::ForgetsLateCreations, event) => Some(with_object(event, made_long_ago)),
            (_, event) => Some(event),
        }
    }

    fn heard_of_source(self, event: SourceInput) -> SourceInput {
        match (self, event) {
            (
                Self::ReadsOnePage | Self::IsBlindToLists,
                SourceInput::PageEnded {
                    source,
                    queue,
                    page,
                    result: Ok(mut tasks),
                    started_at,
                },
            ) => {
                if self == Self::ReadsOnePage && page > 1 {
                    tasks.clear();
                }
                for task in &mut tasks {
                    if self == Self::IsBlindToLists {
                        task.state = "running".into();
                    }
                }
                SourceInput::PageEnded {
                    source,
                    queue,
                    page,
                    result: Ok(tasks),
                    started_at,
                }
            }
            (
                Self::MakesUnderAnotherName,
                SourceInput::CreationEnded(id, CreationResult::Exists(mut object)),
            ) => {
                object.spec.task_id = "T-other".into();
                SourceInput::CreationEnded(id, CreationResult::Exists(object))
            }
            (_, event) => event,
        }
    }

    /// What the scheduler hears before an event.
    pub fn misheard(
        self,
        event: &Input,
        known: impl FnOnce(&ObjectKey) -> Option<Object>,
    ) -> Option<Input> {
        match event {
            Input::Gone(key) if self == Self::ForgetsLostObjects => {
                let object = Object {
                    source: None,
                    ..known(key)?
                };
                Some(Input::Applied(0, Box::new(object)))
            }
            _ => None,
        }
    }

    /// What the scheduler is told of a creation before it has ended.
    pub fn foretold(self, creation: CreationId) -> Option<SourceInput> {
        let result = match self {
            Self::CountsWhatMayFail => CreationResult::Created,
            Self::TakesNoAnswerForFailure => CreationResult::Failed,
            _ => return None,
        };
        Some(SourceInput::CreationEnded(creation, result))
    }

    /// Whether a source counts as written where only its version was to be checked.
    pub fn takes_as_written(self, write: &SourceWrite) -> bool {
        self == Self::TrustsOldNews && write.status == write.source.status
    }

    /// The rules of sources.
    pub fn source_rules(self) -> ObserveSource {
        match self {
            Self::ForgetsWhatItMade => forgets_what_it_made,
            Self::LeavesObjectsUnpolled => leaves_objects_unpolled,
            _ => observe_source,
        }
    }

    /// The rules of fairness.
    pub fn fairness(self) -> Fairness {
        let all = Fairness::default();
        match self {
            Self::ServesWhoComesFirst => Fairness {
                namespaces_take_turns: false,
                ..all
            },
            Self::LetsOneTakeAllSlots => Fairness {
                namespaces_share_slots: false,
                ..all
            },
            Self::PrefersRequestsAlways => Fairness {
                requests_take_turns: false,
                ..all
            },
            _ => all,
        }
    }

    /// How many calls may be made.
    pub fn limits(self, limits: CallLimits) -> CallLimits {
        match self {
            Self::CallsTooManyAtOnce => CallLimits {
                concurrency: 2,
                max_calls: 2,
                ..limits
            },
            _ => limits,
        }
    }

    /// Until when a replica leads.
    pub fn leads_until(self, election: Option<&Election>) -> Duration {
        match election {
            None => FOR_EVER,
            Some(election) => match election.leads_until() {
                Some(_) if self == Self::NeverStandsBy => FOR_EVER,
                until => until.unwrap_or_default(),
            },
        }
    }

    /// The Lease as the election reads it.
    pub fn read(self, record: Option<LeaseRecord>) -> Option<LeaseRecord> {
        record.map(|record| match self {
            Self::TakesOverAtOnce => LeaseRecord {
                duration: Duration::ZERO,
                ..record
            },
            Self::SeesNoSignOfLife => LeaseRecord {
                renewed: None,
                ..record
            },
            _ => record,
        })
    }

    /// From when on a renewal counts.
    pub fn renewed_at(self, sent_at: Duration) -> Duration {
        match self {
            Self::LeadsTooLong => sent_at + LEASE_DURATION.saturating_sub(RENEW_DEADLINE),
            _ => sent_at,
        }
    }
}

fn with_object(mut event: Input, change: fn(&mut Object)) -> Input {
    if let Input::Applied(_, object)
    | Input::Listed(_, object)
    | Input::WriteEnded(_, WriteResult::Written(object) | WriteResult::Conflict(object)) =
        &mut event
    {
        change(object);
    }
    event
}

/// As if no source had made an object that has ended.
fn without_source(object: &mut Object) {
    if object.is_finished() {
        object.source = None;
    }
}

fn made_long_ago(object: &mut Object) {
    object.created_at -= SignedDuration::from_hours(1);
}

fn forgets_what_it_made(case: &SourceCase<'_>) -> SourceVerdict {
    observe_source(&SourceCase { made: &[], ..*case })
}

/// As if a list stood for polls for ever.
fn leaves_objects_unpolled(case: &SourceCase<'_>) -> SourceVerdict {
    SourceVerdict {
        lists: true,
        ..observe_source(case)
    }
}

fn polls_the_finished(case: &Case<'_>) -> Verdict {
    let mut verdict = observe(case);
    if verdict.next == Some(Next::Rest) {
        verdict.next = Some(Next::Call {
            after: case.policy.poll_interval,
            requested: false,
        });
    }
    verdict
}

/// The verdict on the object as it would be with a change.
fn observe_changed(case: &Case<'_>, change: impl FnOnce(&mut Object)) -> Verdict {
    let mut object = case.object.clone();
    change(&mut object);
    observe(&Case {
        object: &object,
        ..*case
    })
}

fn polls_the_suspended(case: &Case<'_>) -> Verdict {
    observe_changed(case, |object| object.spec.suspend = false)
}

fn gives_up_after_trouble(case: &Case<'_>) -> Verdict {
    let mut verdict = observe(case);
    if case.occasion.poll_error().is_some() {
        verdict.next = Some(Next::Rest);
    }
    verdict
}

fn forgets_poll_requests(case: &Case<'_>) -> Verdict {
    observe_changed(case, |object| {
        if object.is_finished() {
            object.poll_request = None;
        }
    })
}

fn echoes_before_the_call(case: &Case<'_>) -> Verdict {
    let mut verdict = observe(case);
    if case.object.poll_request.is_some() {
        let echo = &mut verdict.status.last_handled_poll_request;
        echo.clone_from(&case.object.poll_request);
    }
    verdict
}

fn clears_in_trouble(case: &Case<'_>) -> Verdict {
    let mut verdict = observe(case);
    if verdict.memory.failures >= 2 {
        verdict.status.state = TaskState::Pending;
    }
    verdict
}

/// As if the object hadn't finished.
fn takes_any_late_answer(case: &Case<'_>) -> Verdict {
    observe_changed(case, |object| {
        if object.is_finished() && case.occasion.is_poll() {
            object.status.conditions = Conditions::default();
        }
    })
}

/// As where all fingerprints are alike.
fn takes_one_answer_for_another(case: &Case<'_>) -> Verdict {
    let mut verdict = observe(case);
    if case.object.status.was_read() {
        verdict.status = case.object.status.clone();
        verdict.task = TaskChange::None;
    }
    verdict
}

/// As if each Node that has registered were Ready.
fn takes_registered_for_ready(case: &Case<'_>) -> Verdict {
    let mut nodes = case.nodes.clone();
    for number in 0..2 {
        let (id, provider_id) = (format!("i-{number}"), format!("r.i-{number}"));
        if let Some((name, false)) = case.nodes.find(Mark::of(&id), None) {
            nodes.apply(Node {
                name: name.clone(),
                instance: NodeInstance::parse(&provider_id),
                is_ready: true,
                cluster: None,
            });
        }
    }
    observe(&Case {
        nodes: &nodes,
        ..*case
    })
}

/// As where the end of a write asks for no second look.
fn is_blind_while_waiting(case: &Case<'_>) -> Verdict {
    let verdict = observe(case);
    let shown = &case.object.status;
    if shown.nodes.is_some() && !case.occasion.is_poll() {
        return Verdict {
            status: shown.clone(),
            task: TaskChange::None,
            note: None,
            ..verdict
        };
    }
    verdict
}

fn deletes_too_early(case: &Case<'_>) -> Verdict {
    let mut verdict = observe(case);
    if case.object.spec.ttl().is_some() {
        verdict.next = Some(Next::Delete(Duration::ZERO));
    }
    verdict
}

/// Something else at each poll, as the time of the poll is in some controllers.
fn writes_over_and_over(case: &Case<'_>) -> Verdict {
    let mut verdict = observe(case);
    if case.occasion.is_poll() {
        let was = case.object.status.state;
        verdict.status.state = match was {
            TaskState::Unknown => verdict.status.state,
            _ => TaskState::Unknown,
        };
    }
    verdict
}
