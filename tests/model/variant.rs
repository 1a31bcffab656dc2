//! Broken variants of the core, each of which the checker must catch.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use scaleouttask_controller::core::{
    Election, Event, Input, LEASE_DURATION, LeaseRecord, Memory, Next, Object, Observe, Outcome,
    Policy, RENEW_DEADLINE, Verdict, WriteResult, observe,
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
}

/// Every broken one, with the promises of which it breaks at least one.
pub const BROKEN: [(Variant, &[Promise]); 20] = [
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
            _ => observe,
        }
    }

    /// What the tracker hears of an event.
    pub fn heard(self, event: Event, leads: bool) -> Option<Event> {
        match (self, event) {
            (Self::TakesConflictsForSuccess, Event::WriteEnded(id, WriteResult::Conflict(now))) => {
                Some(Event::WriteEnded(id, WriteResult::Written(now)))
            }
            (Self::ForgetsFailedWrites, Event::WriteEnded(_, WriteResult::Failed))
            | (Self::ForgetsGoneObjects, Event::Gone(_) | Event::ListingDone(_)) => None,
            (Self::IsDeafWhileStandingBy, Event::Applied(..)) if !leads => None,
            (_, event) => Some(event),
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

fn polls_the_finished(
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let mut verdict = observe(policy, object, memory, input, now, seed);
    if verdict.next == Some(Next::Rest) {
        verdict.next = Some(Next::Call {
            after: policy.poll_interval,
            urgent: false,
        });
    }
    verdict
}

fn polls_the_suspended(
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let mut object = object.clone();
    object.spec.suspend = None;
    observe(policy, &object, memory, input, now, seed)
}

fn gives_up_after_trouble(
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let mut verdict = observe(policy, object, memory, input, now, seed);
    let is_trouble = matches!(
        input,
        Input::Called {
            outcome: Outcome::Trouble(_),
            ..
        }
    );
    if is_trouble {
        verdict.next = Some(Next::Rest);
    }
    verdict
}

fn forgets_poll_requests(
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let mut object = object.clone();
    if object.is_finished() {
        object.poll_request = None;
    }
    observe(policy, &object, memory, input, now, seed)
}

fn echoes_before_the_call(
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let mut verdict = observe(policy, object, memory, input, now, seed);
    if object.poll_request.is_some() {
        let echo = &mut verdict.status.last_handled_poll_request;
        echo.clone_from(&object.poll_request);
    }
    verdict
}

fn clears_in_trouble(
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let mut verdict = observe(policy, object, memory, input, now, seed);
    if verdict.memory.failures >= 2 {
        verdict.status.state = None;
    }
    verdict
}

/// As if the object hadn't finished.
fn takes_any_late_answer(
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let mut object = object.clone();
    if object.is_finished() && matches!(input, Input::Called { .. }) {
        object.status.conditions.clear();
    }
    observe(policy, &object, memory, input, now, seed)
}

fn deletes_too_early(
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let mut verdict = observe(policy, object, memory, input, now, seed);
    if object.spec.ttl_seconds_after_finished.is_some() {
        verdict.next = Some(Next::Delete(Duration::ZERO));
    }
    verdict
}

/// A time of the last poll in the status, as some controllers have it.
fn writes_over_and_over(
    policy: &Policy,
    object: &Object,
    memory: Memory,
    input: &Input,
    now: Timestamp,
    seed: u64,
) -> Verdict {
    let mut verdict = observe(policy, object, memory, input, now, seed);
    if matches!(input, Input::Called { .. }) {
        let was = object.status.current_stage.as_deref();
        verdict.status.current_stage = (was != Some("polled")).then(|| "polled".to_owned());
    }
    verdict
}
