//! A leader that can write statuses but not renew its Lease must stop writing by itself.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    cluster::Cluster,
    proxy::{Action, Kind, Plan},
    scenario::{Act, TASK_ID},
    stage::Stage,
};

/// How long a replica may write after it sent its last successful renewal.
const DEADLINE: Duration = Duration::from_secs(10);

type Arrivals = Arc<Mutex<Vec<(Kind, Instant)>>>;

/// Records when requests arrive. If not `renewable`, requests for the Lease fail.
fn plan(arrivals: &Arrivals, renewable: bool) -> Plan {
    let arrivals = arrivals.clone();
    Box::new(move |request| {
        let kind = request.point.kind;
        arrivals.lock().unwrap().push((kind, Instant::now()));
        if kind == Kind::Lease && !renewable {
            Action::Fail(500, None)
        } else {
            Action::Pass
        }
    })
}

/// The times at which requests of that kind arrived.
fn times(arrivals: &Arrivals, wanted: Kind) -> Vec<Instant> {
    let arrivals = arrivals.lock().unwrap();
    let of_kind = arrivals.iter().filter(|(kind, _)| *kind == wanted);
    of_kind.map(|(_, at)| *at).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_starts_ten_seconds_after_the_last_renewal() {
    let cluster = Cluster::shared().await;
    let arrivals = Arrivals::default();
    let under_a_lease = |namespace: &str| {
        let lease = ["--leader-elect", "--lease-namespace", namespace];
        lease.map(str::to_owned).to_vec()
    };
    let stage = Stage::new(&cluster, "fence", plan(&arrivals, true), under_a_lease).await;
    tokio::select! {
        () = lose_and_regain_the_lease(&stage, &arrivals) => {}
        ended = stage.keep() => panic!("{ended}\n{}", stage.log()),
    }
}

async fn lose_and_regain_the_lease(stage: &Stage, arrivals: &Arrivals) {
    stage.act(&Act::Start).await;
    set_task(stage, 0).await;
    let spec = json!({ "taskId": TASK_ID, "pollInterval": "1s" });
    stage.act(&Act::Create(spec)).await;
    stage
        .proxy
        .until(|records| {
            let mut kinds = records.iter().map(|record| record.request.point.kind);
            kinds.any(|kind| kind == Kind::PatchStatus)
        })
        .await;
    stage.proxy.set_plan(plan(arrivals, false));
    let renewed = *times(arrivals, Kind::Lease).last().unwrap();

    // Each poll brings a change, so that there is a write each second.
    let mut step = 0;
    while renewed.elapsed() < DEADLINE + Duration::from_secs(6) {
        step += 1;
        set_task(stage, step).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let last_write = *times(arrivals, Kind::PatchStatus).last().unwrap();
    let after = last_write - renewed;
    println!("the last write started {after:?} after the last renewal");
    assert!(after < DEADLINE, "{after:?}\n{}", stage.log());
    assert!(after > DEADLINE / 2, "it stopped early: {after:?}");
    assert!(stage.log().contains("standing by"), "{}", stage.log());
    let calls = stage.simulator.requests(TASK_ID);

    stage.proxy.set_plan(plan(arrivals, true));
    let resumed = async {
        while times(arrivals, Kind::PatchStatus).last() <= Some(&last_write) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), resumed)
        .await
        .unwrap_or_else(|_| panic!("the replica doesn't lead again\n{}", stage.log()));
    assert!(stage.simulator.requests(TASK_ID) > calls);
}

/// Sets a running task with one more instance at each step.
async fn set_task(stage: &Stage, step: usize) {
    let instances: Vec<String> = (0..=step)
        .map(|number| format!("{{data: i-{number}, status: initail}}"))
        .collect();
    let results = instances.join(", ");
    let task = format!("{{id: {TASK_ID}, steps: [{{state: running, taskResult: [{results}]}}]}}");
    stage.act(&Act::SetTask(task)).await;
}
