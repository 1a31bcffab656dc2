//! What a replica does when it begins to lead.

use std::{collections::BTreeSet, time::Duration};

use scaleouttask_controller::scheduler::{Effect, Input};

use crate::fixtures::{Stage, object};

/// Many, but not so many that their calls would have to wait for each other.
const OBJECTS: usize = 2500;

#[test]
fn a_new_leader_looks_at_all_objects_but_not_at_all_in_one_turn() {
    let mut stage = Stage::with(|limits| {
        limits.concurrency = OBJECTS;
        // One host has at most half of them.
        limits.max_calls = 2 * OBJECTS;
    });
    stage.handle(Input::LeadsUntil(Duration::ZERO));
    for number in 0..OBJECTS {
        let effects = stage.apply(object(&number.to_string()));
        assert!(effects.is_empty(), "a standby asks for nothing");
    }
    let mut called = BTreeSet::new();
    let mut effects = stage.handle(Input::LeadsUntil(Duration::MAX));
    while !effects.is_empty() {
        assert!(effects.len() <= 1000, "{} in one turn", effects.len());
        for effect in effects {
            match effect {
                Effect::Call(call) => assert!(called.insert(call.object), "called twice"),
                other => panic!("{other:?}"),
            }
        }
        // The next turn follows at once.
        effects = stage.after(Duration::ZERO);
    }
    assert_eq!(called.len(), OBJECTS);
}
