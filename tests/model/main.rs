//! The core under a model checker: two replicas, two objects or a source that makes them, and a world
//! in which requests fail, get lost and come late, watches tell old news, processes crash and freeze,
//! and the Lease is lost. See `promise.rs` for what must hold in every state that can be reached.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod calm;
mod check;
mod cluster;
mod process;
mod promise;
mod request;
mod setting;
mod settings;
mod shared;
mod source;
mod variant;
mod world;

use check::Small;

/// For each setting, states that are near, with those that are met again.
const STATES: usize = 20_000;
const SOAKED: usize = 900_000;

#[test]
fn every_small_world_keeps_its_promises() {
    for setting in settings::small() {
        let name = setting.name;
        let found = Small::new(setting).search(STATES);
        println!("{name}: {found}");
        assert!(found.broken.is_none(), "{name}: {found}");
    }
}

#[test]
fn long_ways_through_large_worlds_keep_the_promises_too() {
    for setting in settings::large_ones() {
        let name = setting.name;
        let found = Small::new(setting).walk(1, STATES);
        println!("{name}: {found}");
        assert!(found.broken.is_none(), "{name}: {found}");
    }
}

/// Else no world with a source would be small.
#[test]
fn a_source_at_rest_comes_to_the_same_state_again() {
    let setting = settings::resting();
    let begin = (setting.begin)(&setting);
    assert!(calm::Calm::recurs(&setting, &begin));
}

#[test]
fn every_broken_variant_is_caught() {
    for (variant, promises) in variant::BROKEN {
        let setting = settings::of(variant);
        let name = setting.name;
        let found = Small::new(setting).search(20 * STATES);
        let states = found.states;
        let Some((promise, way)) = found.broken else {
            panic!("{variant:?} isn't caught in {name}, in {states} states");
        };
        println!("{variant:?} is caught in {name} after {states} states: {promise}");
        assert!(promises.contains(&promise), "{variant:?}: {promise}\n{way}");
    }
}

#[test]
#[ignore = "a million states and more, by `cargo xtask soak`"]
fn soak() {
    let mut states = 0;
    let seed = 1;
    for setting in settings::all() {
        let name = setting.name;
        let found = Small::new(setting).search(SOAKED);
        println!("{name}: {found}");
        assert!(found.broken.is_none(), "{name}: {found}");
        states += found.states;
    }
    let mut walked = 0;
    for setting in settings::large_ones() {
        let name = setting.name;
        let found = Small::new(setting).walk(seed, SOAKED);
        println!("{name}: {found}");
        assert!(found.broken.is_none(), "{name}: {found}");
        walked += found.states;
    }
    println!("{states} different states, and {walked} on the long ways");
    assert!(states > 1_000_000, "{states}");
}
