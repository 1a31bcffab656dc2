//! The worlds that are looked at.

use std::time::Duration;

use scaleouttask_controller::{api::ScaleOutTaskSourceSpec, scheduler::CallLimits};

use crate::{
    calm::Calm,
    process::Stalled,
    request::{Fate, Stage, What},
    setting::{Accident, Edit, NodeTruth, Plan, RUNNING, SUCCESS, Setting, Truth},
    variant::Variant,
    world::{Action, World},
};

const FATES: &[Fate] = &[
    Fate::Fails,
    Fate::Unheard,
    Fate::Slow,
    Fate::Late,
    Fate::Refused,
    Fate::Throttled,
];

const SOURCE_ACCIDENTS: &[Accident] = &[
    Accident::Crash,
    Accident::Stall,
    Accident::Relist,
    Accident::StallSources,
    Accident::RelistSources,
];

const SOURCE_EDITS: &[Edit] = &[
    Edit::Delete,
    Edit::SuspendSource,
    Edit::DeleteSource,
    Edit::OrphanSource,
];

/// Ages count: the calendar never goes round.
const FOR_EVER: Duration = Duration::from_hours(1000);

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
        sources(),
        listed(),
        remembrance(),
        succession(),
        echoes(),
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

/// One replica whose source finds two tasks.
pub fn sources() -> Setting {
    let plain = Setting::plain("sources");
    Setting {
        objects: vec![
            plain.objects[0],
            Plan {
                specify: |_| {},
                truths: &[Truth::Missing, SUCCESS],
            },
        ],
        source: Some(|_| {}),
        faults: 2,
        fates: &[Fate::Fails, Fate::Unheard, Fate::Slow, Fate::Late],
        accidents: SOURCE_ACCIDENTS,
        edits: 2,
        edit_kinds: SOURCE_EDITS,
        calendar: FOR_EVER,
        ..plain
    }
}

/// The same with one task, whose object is deleted once it ended.
pub fn remembrance() -> Setting {
    Setting {
        name: "remembrance",
        objects: vec![Plan {
            specify: |_| {},
            truths: &[SUCCESS],
        }],
        source: Some(deletes_at_once),
        ..sources()
    }
}

/// Two replicas, of which one takes the lead that has heard nothing since the other made an object, and deleted it.
pub fn succession() -> Setting {
    Setting {
        name: "succession",
        elects: true,
        faults: 1,
        begin: |setting| {
            let is_synced = |world: &World| {
                let mut processes = world.processes();
                processes.all(|(_, process)| process.source_news.is_empty() && process.synced)
            };
            let listens =
                |action: &Action| matches!(action, Action::Hear(_) | Action::HearOfSource(_));
            let mut world = Calm::led(setting, World::new(setting), listens, is_synced);
            world.process(1).stalled = Stalled {
                objects: true,
                sources: true,
            };
            let hears = |action: &Action| {
                !matches!(
                    action,
                    Action::Hear(1) | Action::HearOfSource(1) | Action::Start(0)
                )
            };
            let is_deleted = |world: &World| {
                let was_made = world.cluster.origin.records[0].creations > 0;
                let is_quiet = world
                    .processes()
                    .all(|(_, process)| process.requests.is_empty());
                was_made && world.cluster.objects[0].is_none() && is_quiet
            };
            let world = Calm::led(setting, world, hears, is_deleted);
            let world = world.after(setting, Action::Befall(0, Accident::Crash));
            let is_led = |world: &World| world.processes().any(|(_, process)| process.leads());
            Calm::led(setting, world, hears, is_led)
        },
        ..remembrance()
    }
}

/// One replica that makes an object at the second try, while the first is still under way.
pub fn echoes() -> Setting {
    Setting {
        name: "echoes",
        faults: 1,
        begin: |setting| {
            let world = at_first_creation(setting);
            let mut world = world.after(setting, Action::End(0, 0, Fate::Late));
            let (_, process) = world.processes().next().unwrap();
            assert!(matches!(process.requests[0].stage, Stage::Late));
            let happens =
                |action: &Action| !matches!(action, Action::Arrive(_) | Action::End(0, 0, _));
            let is_given_up = |world: &World| !world.cluster.orphans.is_empty();
            world = Calm::led(setting, world, happens, is_given_up);
            let happens = |action: &Action| !matches!(action, Action::Arrive(_));
            let is_made = |world: &World| world.cluster.objects[0].is_some();
            Calm::led(setting, world, happens, is_made)
        },
        ..remembrance()
    }
}

/// An object is about to be made.
fn at_first_creation(setting: &Setting) -> World {
    let creates = |world: &World| {
        let (_, process) = world.processes().next().unwrap();
        let mut requests = process.requests.iter();
        requests.any(|request| matches!(request.what, What::Create(..)))
    };
    Calm::led(setting, World::new(setting), |_| true, creates)
}

/// A source whose objects show all there is, and of which the list alone tells more for long.
pub fn listed() -> Setting {
    Setting {
        name: "listed",
        begin: |setting| {
            let is_known = |world: &World| {
                let object = world.cluster.objects[0].as_ref();
                let is_read = object.is_some_and(|object| object.status.was_read());
                let is_quiet = world.processes().all(|(_, one)| one.requests.is_empty());
                is_read && is_quiet && world.cluster.origin.remembers(0)
            };
            Calm::led(setting, World::new(setting), |_| true, is_known)
        },
        source: Some(|spec| spec.interval = Some("1m".to_owned())),
        ..sources()
    }
}

/// A source whose only object has ended, while the calendar goes round.
pub fn resting() -> Setting {
    Setting {
        name: "resting",
        objects: remembrance().objects,
        calendar: Duration::ZERO,
        ..sources()
    }
}

fn deletes_at_once(spec: &mut ScaleOutTaskSourceSpec) {
    let template = spec.template.get_or_insert_default();
    let spec = template.spec.get_or_insert_default();
    spec.ttl_seconds_after_finished = Some(0);
}

/// Worlds too large to be searched.
pub fn large_ones() -> [Setting; 2] {
    [large(), large_sources()]
}

/// Two replicas, two objects, and everything that can go wrong.
fn large() -> Setting {
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

/// Two replicas, a source whose tasks come and end, and everything that can go wrong.
fn large_sources() -> Setting {
    let accidents = accidents().accidents.iter().chain(SOURCE_ACCIDENTS);
    Setting {
        name: "large sources",
        elects: true,
        source: Some(deletes_at_once),
        faults: 12,
        fates: FATES,
        accidents: Vec::leak(accidents.copied().collect()),
        edits: 6,
        ..sources()
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
        V::ForgetsWhatItMade | V::ReadsOnePage | V::MakesBeforeItKnows => Setting {
            accidents: &[],
            ..sources()
        },
        V::CountsWhatMayFail | V::TakesNoAnswerForFailure | V::MakesUnderAnotherName => Setting {
            begin: at_first_creation,
            accidents: &[],
            ..sources()
        },
        V::IsBlindToLists | V::LeavesObjectsUnpolled => Setting {
            faults: 0,
            ..listed()
        },
        V::ForgetsLostObjects => Setting {
            begin: at_first_creation,
            fates: &[Fate::Unheard],
            accidents: &[],
            ..remembrance()
        },
        V::DeletesUnremembered => Setting {
            begin: at_first_creation,
            fates: &[Fate::Fails],
            accidents: &[],
            ..remembrance()
        },
        V::TrustsOldNews => succession(),
        V::ForgetsLateCreations => echoes(),
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
