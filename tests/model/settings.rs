//! The worlds that are looked at.

use std::time::Duration;

use scaleouttask_controller::scheduler::CallLimits;

use crate::{
    request::Fate,
    setting::{Accident, Edit, NodeTruth, Plan, RUNNING, SUCCESS, Setting, Truth},
    variant::Variant,
};

const FATES: &[Fate] = &[
    Fate::Fails,
    Fate::Unheard,
    Fate::Slow,
    Fate::Late,
    Fate::Refused,
    Fate::Throttled,
];

/// Each with its kind of trouble, and little enough of it to see far.
pub fn small() -> Vec<Setting> {
    let mut settings = all();
    for setting in &mut settings {
        setting.faults = 1;
        setting.edits = setting.edits.min(1);
    }
    settings
}

/// The same with more of it.
pub fn all() -> Vec<Setting> {
    vec![
        failures(),
        trouble(),
        users(),
        leaders(),
        lapses(),
        accidents(),
        unknown(),
        queues(),
        nodes(),
        joining(),
    ]
}

/// One replica, two objects, and each request in trouble.
pub fn trouble() -> Setting {
    let plain = Setting::plain("trouble");
    Setting {
        objects: vec![plain.objects[0]; 2],
        faults: 2,
        fates: FATES,
        accidents: &[Accident::Crash, Accident::Stall, Accident::Relist],
        ..plain
    }
}

/// One object that users don't leave alone.
pub fn users() -> Setting {
    Setting {
        objects: vec![Plan {
            specify: |spec| spec.timeout = Some("25s".to_owned()),
            truths: &[RUNNING, SUCCESS, RUNNING],
        }],
        faults: 1,
        fates: FATES,
        accidents: &[Accident::Crash, Accident::Stall, Accident::Relist],
        edits: 2,
        edit_kinds: &[
            Edit::ToggleSuspend,
            Edit::AskForPoll,
            Edit::LiftTimeout,
            Edit::SetTtl,
            Edit::Touch,
            Edit::DeleteOrCreate,
        ],
        calendar: Duration::from_secs(40),
        ..Setting::plain("users")
    }
}

/// Two replicas, and each request in trouble.
pub fn leaders() -> Setting {
    Setting {
        elects: true,
        faults: 2,
        fates: FATES,
        ..Setting::plain("leaders")
    }
}

/// Two replicas that crash, freeze and lose the Lease.
pub fn accidents() -> Setting {
    Setting {
        elects: true,
        faults: 2,
        accidents: &[
            Accident::Crash,
            Accident::Stop,
            Accident::Freeze,
            Accident::Stall,
            Accident::Relist,
            Accident::Steal,
            Accident::Unlease,
        ],
        ..Setting::plain("accidents")
    }
}

/// Two replicas that freeze, and whose requests are slow.
pub fn lapses() -> Setting {
    Setting {
        elects: true,
        faults: 2,
        fates: &[Fate::Slow],
        accidents: &[Accident::Freeze],
        objects: vec![Plan {
            specify: |_| {},
            truths: &[SUCCESS],
        }],
        ..Setting::plain("lapses")
    }
}

/// One replica whose requests fail.
pub fn failures() -> Setting {
    Setting {
        faults: 3,
        fates: &[Fate::Fails],
        ..Setting::plain("failures")
    }
}

/// A task that the API knows late, if at all.
pub fn unknown() -> Setting {
    Setting {
        objects: vec![Plan {
            specify: |_| {},
            truths: &[Truth::Missing, RUNNING, Truth::State("fail")],
        }],
        faults: 2,
        fates: &[Fate::Fails, Fate::Unheard, Fate::Slow, Fate::Late],
        calendar: Duration::from_mins(3),
        ..Setting::plain("unknown")
    }
}

/// Three objects of one namespace and one of another, of which one is called at a time, and one of
/// each namespace written.
pub fn queues() -> Setting {
    let plain = Setting::plain("queues");
    Setting {
        objects: vec![plain.objects[0]; 4],
        edits: 3,
        edit_kinds: &[Edit::AskForPoll],
        limits: CallLimits {
            concurrency: 1,
            max_calls: 1,
            ..plain.limits
        },
        write_slots: 2,
        ..plain
    }
}

/// One replica, and two nodes that come, go and come again, and whose watch starts over.
pub fn nodes() -> Setting {
    Setting {
        objects: vec![Plan {
            specify: |spec| spec.wait_for_nodes = Some(true),
            truths: &[SUCCESS],
        }],
        nodes: &[
            &[NodeTruth::Ready, NodeTruth::Gone, NodeTruth::Ready],
            &[
                NodeTruth::NotReady,
                NodeTruth::Ready,
                NodeTruth::NotReady,
                NodeTruth::Ready,
            ],
        ],
        faults: 2,
        fates: &[Fate::Fails, Fate::Unheard, Fate::Slow],
        accidents: &[Accident::RelistNodes],
        ..Setting::plain("nodes")
    }
}

/// The same with a task that goes on, users and a crash.
pub fn joining() -> Setting {
    Setting {
        objects: vec![Plan {
            specify: |spec| {
                spec.wait_for_nodes = Some(true);
                spec.timeout = Some("25s".to_owned());
            },
            truths: &[RUNNING, SUCCESS],
        }],
        nodes: &[
            &[NodeTruth::Gone, NodeTruth::Ready],
            &[NodeTruth::Gone, NodeTruth::NotReady, NodeTruth::Ready],
        ],
        faults: 1,
        fates: FATES,
        accidents: &[
            Accident::Crash,
            Accident::Stall,
            Accident::Relist,
            Accident::RelistNodes,
        ],
        edits: 1,
        edit_kinds: &[
            Edit::ToggleSuspend,
            Edit::AskForPoll,
            Edit::LiftTimeout,
            Edit::DeleteOrCreate,
        ],
        calendar: Duration::from_secs(40),
        ..Setting::plain("joining")
    }
}

/// Two replicas, two objects, and everything that can go wrong.
pub fn large() -> Setting {
    Setting {
        elects: true,
        objects: vec![users().objects[0], unknown().objects[0]],
        faults: 12,
        fates: FATES,
        accidents: accidents().accidents,
        edits: 6,
        edit_kinds: users().edit_kinds,
        calendar: Duration::from_mins(1),
        ..Setting::plain("large")
    }
}

/// Where a broken variant shows.
pub fn of(variant: Variant) -> Setting {
    use Variant as V;
    let setting = match variant {
        V::None | V::PollsTheFinished | V::WritesOverAndOver | V::TakesOneAnswerForAnother => {
            Setting::plain("plain")
        }
        V::GivesUpAfterTrouble
        | V::ClearsInTrouble
        | V::ForgetsFailedWrites
        | V::ForgetsFailedCalls => failures(),
        V::ServesWhoComesFirst | V::LetsOneTakeAllSlots | V::CallsTooManyAtOnce => Setting {
            edits: 0,
            ..queues()
        },
        V::PrefersRequestsAlways => Setting {
            objects: vec![Setting::plain("plain").objects[0]; 3],
            edits: 2,
            ..queues()
        },
        V::PollsTheSuspended
        | V::ForgetsPollRequests
        | V::EchoesBeforeTheCall
        | V::DeletesTooEarly
        | V::DeletesBlindly
        | V::ForgetsFailedDeletions
        | V::WritesBlindly
        | V::TakesConflictsForSuccess
        | V::ForgetsGoneObjects => Setting {
            faults: 0,
            ..users()
        },
        V::ForgetsReadyNodes
        | V::ForgetsLostNodes
        | V::TakesTwoListsForOne
        | V::TakesRegisteredForReady
        | V::IsBlindWhileWaiting => nodes(),
        V::TakesAnyLateAnswer => accidents(),
        V::IsDeafWhileStandingBy | V::TakesOverAtOnce | V::SeesNoSignOfLife | V::ClaimsBlindly => {
            Setting {
                accidents: &[Accident::Crash],
                ..accidents()
            }
        }
        V::NeverStandsBy | V::LeadsTooLong => Setting {
            faults: 1,
            fates: &[],
            ..lapses()
        },
    };
    Setting { variant, ..setting }
}
