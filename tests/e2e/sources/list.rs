//! Lists by pages, right and wrong ones.

use simulator::{List, Listed, Task};
use testbed::world::World;

use super::{creates, lists_begun, spec_of, until_all_listed, until_names, world};

/// How many tasks a list has.
const TASKS: usize = 7;

/// How a list behaves, and how many calls it costs each time; none where that differs.
struct Row {
    cluster: &'static str,
    list: &'static str,
    calls: Option<usize>,
}

fn rows() -> Vec<Row> {
    let row = |cluster, list, calls| Row {
        cluster,
        list,
        calls,
    };
    vec![
        row("usual", "{clusterId: usual}", Some(2)),
        row("small", "{clusterId: small, maxPageSize: 3}", Some(4)),
        row("single", "{clusterId: single, maxPageSize: 1}", Some(8)),
        row(
            "first",
            "{clusterId: first, ignorePageNumber: true}",
            Some(2),
        ),
        row(
            "few",
            "{clusterId: few, maxPageSize: 3, totalCount: 1}",
            Some(4),
        ),
        row("many", "{clusterId: many, totalCount: 999}", Some(2)),
        row(
            "uncounted",
            "{clusterId: uncounted, omit: [total_count]}",
            Some(2),
        ),
        row(
            "bare",
            "{clusterId: bare, maxPageSize: 4, omit: [requestId]}",
            Some(3),
        ),
        // What is on its last page was on the others too: that ends it.
        row("repeats", "{clusterId: repeats, maxPageSize: 3}", Some(3)),
        row("comes", "{clusterId: comes, maxPageSize: 3}", None),
        row("goes", "{clusterId: goes, maxPageSize: 3}", None),
    ]
}

fn set_tasks(world: &World, cluster: &str) {
    let tasks = (1..=TASKS).map(|number| {
        let task = Task::new(&format!("{cluster}-{number}")).in_cluster(cluster);
        let newest = number == TASKS;
        let listed = match cluster {
            "repeats" if number == 1 => "{repeatOn: '1-2'}".to_owned(),
            // Moves one that was shown to the next page.
            "comes" if newest => "{afterPages: 1}".to_owned(),
            // Moves one that wasn't to the page before.
            "goes" if newest => "{untilPages: 1}".to_owned(),
            _ => "{}".to_owned(),
        };
        let whole = format!("{{id: x, listed: {listed}}}");
        task.listed(whole.parse::<Task>().unwrap().listed)
    });
    world.simulator.set_tasks(tasks);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_is_found_once_whatever_the_pages_are_like() {
    let mut world = World::new("pages").await;
    for row in rows() {
        world.simulator.set_list(row.list.parse::<List>().unwrap());
        set_tasks(&world, row.cluster);
        world.create_source(row.cluster, spec_of(row.cluster)).await;
    }
    let rate = ["--requests-per-second", "100"];
    world.start_with(&[&super::ARGS[..], &rate].concat(), &[]);
    let mut wanted: Vec<String> = rows()
        .iter()
        .flat_map(|row| (1..=TASKS).map(|number| format!("{}-{number}", row.cluster)))
        .collect();
    wanted.sort();
    let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
    until_names(&world, &names).await;
    let clusters: Vec<&str> = rows().iter().map(|row| row.cluster).collect();
    until_all_listed(&world, &clusters).await;
    assert_eq!(creates(&world), wanted.len());
    let log = world.simulator.list_log();
    for row in rows() {
        let status = world.until_source_reason(row.cluster, "Listing").await;
        assert_eq!(status.made, Some(7), "{}", row.cluster);
        assert_eq!(status.recent.len(), TASKS, "{}", row.cluster);
        let Some(calls) = row.calls else {
            continue;
        };
        let pages = log.iter().filter(|call| call.cluster_id == row.cluster);
        let pages: Vec<u64> = pages.map(|call| call.page_number.unwrap()).collect();
        let mut lists = pages.chunk_by(|one, next| next > one);
        let whole = lists.by_ref().take(lists_begun(&world, row.cluster) - 1);
        for list in whole {
            let all: Vec<u64> = (1..=calls as u64).collect();
            assert_eq!(list, all, "{}", row.cluster);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_with_the_page_that_failed() {
    let world = world("cut").await;
    let list =
        "{clusterId: c-1, maxPageSize: 2, faults: [{pages: '2', requests: '1', status: 500}]}";
    world.simulator.set_list(list.parse::<List>().unwrap());
    let tasks = (1..=4).map(|number| super::running(&format!("T-{number}")));
    world.simulator.set_tasks(tasks);
    super::create(&world).await;
    until_names(&world, &["t-1", "t-2", "t-3", "t-4"]).await;
    // One failure shows nothing. What was found before it is made at once.
    world
        .until_source("src", |status| status.made == Some(4))
        .await;
    super::until_source_writes(&world, "src", 1).await;
    let log = world.simulator.list_log();
    let pages: Vec<u64> = log.iter().filter_map(|call| call.page_number).collect();
    assert_eq!(pages[..4], [1, 2, 2, 3]);
    assert_eq!(world.events("src").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_more_pages_than_are_read_shows_its_first() {
    let world = world("endless").await;
    let list = "{clusterId: c-1, maxPageSize: 1}";
    world.simulator.set_list(list.parse::<List>().unwrap());
    let tasks = (1..=25).map(|number| Task {
        listed: Listed::default(),
        ..super::ended(&format!("T-{number}"))
    });
    world.simulator.set_tasks(tasks);
    super::create(&world).await;
    let status = world.until_source_reason("src", "Listing").await;
    assert_eq!(status.made, Some(20));
    let log = world.simulator.list_log();
    assert_eq!(
        log.iter().filter_map(|call| call.page_number).max(),
        Some(20)
    );
}
