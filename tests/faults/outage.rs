//! The API server is down, or every request is disturbed, for a while. The controller keeps running,
//! and shows what happened meanwhile soon after.

use std::time::Duration;

use controlplane::{ControlPlane, Options};
use futures::{StreamExt, future::join_all};
use kube::{
    api::{ListParams, WatchParams},
    core::WatchEvent,
};
use serde_json::json;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    cluster::Cluster,
    fleet::Fleet,
    proxy::{Action, Kind, Proxy, Request},
};

/// How long an outage lasts.
const OUTAGE: Duration = Duration::from_secs(8);
/// Long enough for the pauses between attempts to reach their maximum.
const LONG_OUTAGE: Duration = Duration::from_secs(20);
/// How soon after an outage everything must be shown.
const SOON: Duration = Duration::from_secs(10);
/// How many more file descriptors than usual may be open during an outage.
const MORE_DESCRIPTORS: usize = 40;
/// How many more may be open after it.
const KEPT_DESCRIPTORS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_end_while_the_api_server_is_down_are_shown_soon_after() {
    type Outage = fn(&mut ControlPlane);
    let outages: [(&str, Outage); 2] = [
        ("stopped", |plane| plane.stop_apiserver().unwrap()),
        ("killed", |plane| plane.kill_apiserver().unwrap()),
    ];
    let mut plane = own_plane(Options::default()).await;
    let cluster = Cluster::prepared(&plane).await;
    for (name, outage) in outages {
        let mut fleet = Fleet::start(&cluster, name, &cluster.kubeconfig).await;
        fleet.may_miss_versions();
        let quiet = fleet.quiet_descriptors().await;
        let watch = fleet.watch_descriptors();
        plane = on(plane, outage).await;
        let ends = fleet.end_tasks();
        fleet.until_polled().await;
        sleep(OUTAGE).await;
        plane = on(plane, |plane| plane.start_apiserver().unwrap()).await;
        let took = fleet.until_shown(SOON, &ends).await;
        fleet.assert_alive();
        let most = watch.most();
        println!(
            "API server {name}: shown {took:?} after its return; {quiet} descriptors, at most {most}"
        );
        assert!(
            most <= quiet + MORE_DESCRIPTORS,
            "{most} descriptors, usually {quiet}"
        );
        fleet
            .until_descriptors(SOON, quiet + KEPT_DESCRIPTORS)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_shown_soon_after_all_requests_were_disturbed() {
    let gone: Disturb = |request| match request.point.kind {
        Kind::Watch => Action::Gone,
        _ => Action::Pass,
    };
    let rows: [(&str, Disturb, Duration); 5] = [
        ("slow", |_| Action::Delay(Duration::from_secs(2)), OUTAGE),
        ("failing", |_| Action::Fail(500, None), OUTAGE),
        ("throttled", |_| Action::Fail(429, Some(1)), OUTAGE),
        ("cut", |_| Action::DropBefore, LONG_OUTAGE),
        ("gone", gone, OUTAGE),
    ];
    let cluster = Cluster::shared().await;
    let each = rows
        .map(|(name, disturb, duration)| disturb_for(&cluster, name, vec![(disturb, duration)]));
    join_all(each).await;
}

/// An API server that has just started may refuse what it allows later, as it hasn't read the roles.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_at_the_end_of_an_outage_are_retried_soon() {
    let cluster = Cluster::shared().await;
    let phases: Vec<(Disturb, Duration)> = vec![
        (|_| Action::DropBefore, LONG_OUTAGE),
        // Longer than the longest pause between two attempts.
        (|_| Action::Fail(403, None), Duration::from_secs(6)),
    ];
    disturb_for(&cluster, "refused", phases).await;
}

/// What is done to each request during the outage.
type Disturb = fn(&Request) -> Action;

async fn disturb_for(cluster: &Cluster, name: &str, phases: Vec<(Disturb, Duration)>) {
    let proxy = Proxy::start(cluster.upstream.clone(), Box::new(|_| Action::Pass)).await;
    let mut fleet = Fleet::start(cluster, name, &proxy.kubeconfig()).await;
    let quiet = fleet.quiet_descriptors().await;
    let (watch, before) = (fleet.watch_descriptors(), proxy.records().len());
    proxy.set_plan(Box::new(phases[0].0));
    proxy.cut();
    let mut shown = fleet.end_tasks();
    // Only a watch or a new list shows these changes.
    fleet.set_task("new", "success", "success");
    fleet.create("new").await;
    let suspend = json!({ "spec": { "suspend": true } });
    fleet.patch("goes-on", &suspend).await;
    shown.retain(|(name, _)| *name != "goes-on");
    shown.extend([("goes-on", "Suspended"), ("new", "TaskSucceeded")]);
    for (disturb, duration) in phases {
        proxy.set_plan(Box::new(disturb));
        sleep(duration).await;
    }
    proxy.set_plan(Box::new(|_| Action::Pass));
    let requests = proxy.records().len() - before;
    let took = fleet.until_shown(SOON, &shown).await;
    fleet.assert_alive();
    let (most, open) = (watch.most(), proxy.connections());
    println!(
        "requests {name}: shown {took:?} after that; {requests} requests meanwhile; \
         {quiet} descriptors, at most {most}; {open} connections"
    );
    assert!(
        most <= quiet + MORE_DESCRIPTORS,
        "{most} descriptors, usually {quiet}"
    );
    let at_rest = quiet + KEPT_DESCRIPTORS;
    fleet.until_descriptors(SOON, at_rest).await;
}

/// As with a webhook that hangs.
#[tokio::test(flavor = "multi_thread")]
async fn many_deletions_that_hang_delay_no_other_object() {
    const DELETED: usize = 200;
    let cluster = Cluster::shared().await;
    let plan = |request: &Request| match request.point.kind {
        Kind::Delete => Action::Hold,
        _ => Action::Pass,
    };
    let proxy = Proxy::start(cluster.upstream.clone(), Box::new(plan)).await;
    let mut fleet = Fleet::start(&cluster, "deleted", &proxy.kubeconfig()).await;
    fleet.set_task("over", "success", "success");
    for number in 0..DELETED {
        let spec = json!({ "taskId": "over", "ttlSecondsAfterFinished": 0 });
        fleet.create_with(&format!("over-{number}"), &spec).await;
    }
    let over: Vec<String> = (0..DELETED)
        .map(|number| format!("over-{number}"))
        .collect();
    let over: Vec<(&str, &str)> = over
        .iter()
        .map(|name| (name.as_str(), "TaskSucceeded"))
        .collect();
    fleet.until_shown(OUTAGE * 8, &over).await;
    let ends = fleet.end_tasks();
    fleet.set_task("new", "success", "success");
    fleet.create("new").await;
    let took = fleet
        .until_shown(SOON, &[ends, vec![("new", "TaskSucceeded")]].concat())
        .await;
    proxy.release();
    timeout(OUTAGE * 8, async {
        while fleet
            .objects()
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len()
            > 5
        {
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .expect("the objects are deleted");
    fleet.assert_alive();
    println!("{DELETED} deletions hang: others shown {took:?} later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_a_compacted_version_leads_to_a_new_list() {
    // Without the watch cache, a watch can start only as far back as etcd's history reaches.
    let options = Options::default()
        .apiserver_arg("--etcd-compaction-interval=1s")
        .apiserver_arg("--watch-cache=false");
    let plane = own_plane(options).await;
    let cluster = Cluster::prepared(&plane).await;
    let proxy = Proxy::start(cluster.upstream.clone(), Box::new(|_| Action::Pass)).await;
    let mut fleet = Fleet::start(&cluster, "compacted", &proxy.kubeconfig()).await;
    let before = proxy.records().len();
    proxy.set_plan(Box::new(|request| match request.point.kind {
        Kind::Watch => Action::Hold,
        _ => Action::Pass,
    }));
    proxy.cut();
    proxy
        .until(|records| {
            records.len() > before
                && records[before..]
                    .iter()
                    .any(|record| record.action == Action::Hold)
        })
        .await;
    let records = proxy.records();
    let held = records
        .iter()
        .find(|record| record.action == Action::Hold)
        .unwrap();
    let version = held
        .request
        .query
        .split('&')
        .find_map(|pair| pair.strip_prefix("resourceVersion="));
    let ends = fleet.end_tasks();
    fleet.set_task("new", "success", "success");
    fleet.create("new").await;
    timeout(OUTAGE * 4, until_compacted(&fleet, version.unwrap()))
        .await
        .expect("no compaction");
    proxy.release();
    let ends = [ends, vec![("new", "TaskSucceeded")]].concat();
    let took = fleet.until_shown(SOON, &ends).await;
    fleet.assert_alive();
    let after: Vec<Kind> = proxy.records()[before..]
        .iter()
        .map(|record| record.request.point.kind)
        .collect();
    println!("version {version:?} compacted: shown {took:?} after the watch went on; {after:?}");
    assert!(after.contains(&Kind::List), "{after:?}");
}

/// Waits until this version is too old for a watch.
async fn until_compacted(fleet: &Fleet, version: &str) {
    loop {
        let api = fleet.objects();
        let params = WatchParams::default().timeout(1);
        let mut events = api.watch(&params, version).await.unwrap().boxed();
        if let Some(Ok(WatchEvent::Error(status))) = events.next().await
            && status.code == 410
        {
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn own_plane(options: Options) -> ControlPlane {
    let starting = spawn_blocking(move || ControlPlane::start(&options).unwrap());
    starting.await.unwrap()
}

/// Runs a blocking action on a control plane.
async fn on(mut plane: ControlPlane, act: fn(&mut ControlPlane)) -> ControlPlane {
    let acting = spawn_blocking(move || {
        act(&mut plane);
        plane
    });
    acting.await.unwrap()
}
