//! Long lists, and many tasks under way.

use std::time::Duration;

use serde_json::json;
use simulator::{List, Order, Task};
use testbed::world::{PATIENCE, World, eventually, eventually_within};

use super::{
    ARGS, CLUSTER, TURN, create, create_with, creates, lists_begun, objects, running, until_listed,
    until_names, world,
};

const OLD: Duration = Duration::from_hours(30);

/// The pages of each list of the cluster that was read to its end.
fn whole_lists(world: &World) -> Vec<Vec<u64>> {
    let log = world.simulator.list_log();
    let pages: Vec<u64> = log.iter().filter_map(|call| call.page_number).collect();
    let lists = pages.chunk_by(|one, next| next > one);
    let mut lists: Vec<Vec<u64>> = lists.map(<[u64]>::to_vec).collect();
    lists.pop();
    lists
}

/// A list of 2,000 tasks, of which three are new. Returns the pages of the lists that were read since.
async fn with_two_thousand(name: &str, order: Order) -> Vec<Vec<u64>> {
    let world = world(name).await;
    world.simulator.set_list(List {
        order,
        ..List::of(CLUSTER)
    });
    let old = (0..1997).map(|number| {
        let age = OLD + Duration::from_secs(number);
        Task::new(&format!("old-{number}"))
            .in_cluster(CLUSTER)
            .aged(age)
    });
    world.simulator.set_tasks(old);
    create(&world).await;
    world.until_source_reason("src", "Listing").await;
    until_listed(&world).await;
    world
        .simulator
        .set_tasks(["new-1", "new-2", "new-3"].map(running));
    until_names(&world, &["new-1", "new-2", "new-3"]).await;
    for name in ["new-1", "new-2", "new-3"] {
        world.until_reason(name, "TaskRunning").await;
    }
    let since = lists_begun(&world, CLUSTER);
    until_listed(&world).await;
    assert_eq!(creates(&world), 3);
    let status = world
        .until_source("src", |status| status.made == Some(3))
        .await;
    assert_eq!(status.recent.len(), 3);
    super::until_source_writes(&world, "src", 2).await;
    assert!(world.simulator.total_requests() <= 6);
    whole_lists(&world).split_off(since)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_new_tasks_of_two_thousand_are_three_creations_and_two_calls_a_list() {
    let lists = with_two_thousand("newest", Order::NewestFirst).await;
    assert!(!lists.is_empty());
    for list in lists {
        assert_eq!(list, [1, 2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_tasks_in_another_order_are_read_to_the_end() {
    let lists = with_two_thousand("oldest", Order::OldestFirst).await;
    let all: Vec<u64> = (1..=20).collect();
    assert!(!lists.is_empty());
    for list in lists {
        assert_eq!(list, all);
    }
}

/// What a thousand tasks under way cost, against polls of each every 15 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tasks_under_way_cost_less_than_a_tenth_of_their_polls() {
    const TASKS: u32 = 1000;
    const POLLS_A_MINUTE: usize = 4000;
    let _turn = TURN.lock().await;
    let mut world = World::new("thousand").await;
    world
        .simulator
        .set_tasks((0..TASKS).map(|number| running(&format!("T-{number}"))));
    let fast = ["--requests-per-second", "1000"];
    world.start_with(&[&ARGS[..], &fast].concat(), &[]);
    create_with(&world, json!({ "interval": "30s" })).await;
    eventually_within(3 * PATIENCE, "all objects are known to run", || async {
        let objects = objects(&world).await;
        let read = objects.iter().filter(|object| {
            let status = object.status.as_ref();
            status.is_some_and(|status| status.state.is_some())
        });
        read.count() == TASKS as usize
    })
    .await;
    let begins = |count: usize| {
        let world = &world;
        async move {
            eventually("the next list", || async {
                lists_begun(world, CLUSTER) >= count
            })
            .await;
            (
                world.simulator.total_list_calls(),
                world.simulator.total_requests(),
            )
        }
    };
    let begun = lists_begun(&world, CLUSTER);
    let before = begins(begun + 1).await;
    // Two intervals are a minute.
    begins(begun + 2).await;
    let after = begins(begun + 3).await;
    let (lists, polls) = (after.0 - before.0, after.1 - before.1);
    println!(
        "in a minute {lists} list calls and {polls} others, where polls would be {POLLS_A_MINUTE}"
    );
    for list in whole_lists(&world).split_off(begun) {
        assert!(list.len() <= 11, "{list:?}");
    }
    assert!(lists + polls < POLLS_A_MINUTE / 10, "{lists} and {polls}");
    let status = world.until_source_reason("src", "Listing").await;
    assert_eq!((status.made, status.recent.len()), (Some(1000), 1000));
    assert_eq!(creates(&world), 1000);
}
