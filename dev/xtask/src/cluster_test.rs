//! `cargo xtask cluster-test`: tests the chart on a real cluster with nodes.
//!
//! It uses the cluster in `KUBECONFIG`, its own two namespaces and its own release name. It leaves only
//! the CRDs behind, and the provider ID of a Node that had none and is this machine.

mod node;
mod source;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::cluster::{
    CHART, Cluster, Error, Images, LIMIT, NAME, OF_RELEASE, RELEASE, SYSTEM, done, repository,
    step, text,
};

use node::Node;

/// The namespace of the tasks and the simulated task API.
const TASKS: &str = "scaleout-test-tasks";

/// The tasks of the demo, and the reason that each must end with.
const EXPECTED: [(&str, &str); 3] = [
    ("web-pool", "TaskSucceeded"),
    ("gpu-pool", "TaskFailed"),
    ("batch-pool", "InstancesFailed"),
];

/// How long another replica may take to become the leader.
const TAKEOVER: Duration = Duration::from_secs(20);

/// Runs the test.
pub fn main(images: &Images) -> ExitCode {
    let began = Instant::now();
    match run(images) {
        Ok(()) => {
            println!(
                "The chart works. The test took {} s.",
                began.elapsed().as_secs()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nThe cluster test failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(images: &Images) -> Result<(), Error> {
    let cluster = Cluster::find()?;
    images.prepare()?;
    cluster.clean()?;
    let result = test(&cluster, images);
    if result.is_err() {
        cluster.show_state(SYSTEM);
        cluster.show_state(TASKS);
    }
    let cleaned = cluster.clean();
    result.and(cleaned)
}

fn test(cluster: &Cluster, images: &Images) -> Result<(), Error> {
    step("Create namespaces that enforce the restricted Pod Security level");
    for namespace in [SYSTEM, TASKS] {
        cluster.create_namespace(namespace)?;
    }

    step("Start a simulated task API in a pod");
    let node = Node::find(cluster, images)?;
    let script = Node::script(node.as_ref())?;
    let endpoint = cluster.start_simulator(TASKS, script.path(), images)?;

    step("helm install --wait");
    install(cluster, images, &endpoint, "1s")?;
    check_pods(cluster)?;

    step("helm test");
    helm_test(cluster)?;

    step("Track three tasks to their end");
    let demo = repository().join("dev/xtask/demo/tasks.yaml");
    cluster.kubectl(TASKS, &["apply", "--filename", &text(&demo)])?;
    wait_for_ends(cluster)?;
    check_reasons(cluster)?;

    step("Wait for a node");
    match node {
        Some(node) => node.wait_for(cluster)?,
        None => done("skipped: no Node has, or may be given, a provider ID of an instance"),
    }

    step("Find the tasks of a cluster, which nobody named");
    source::wait_for_ends(cluster)?;

    step("helm upgrade --wait");
    install(cluster, images, &endpoint, "2s")?;
    check_pods(cluster)?;
    check_reasons(cluster)?;
    source::check(cluster)?;

    step("Delete the leader's pod while a task runs");
    fail_over(cluster)?;
    check_pods(cluster)?;

    step("helm uninstall, which keeps the objects");
    cluster.helm(&["uninstall", RELEASE, "--namespace", SYSTEM, "--wait"])?;
    check_nothing_left(cluster)?;
    check_reasons(cluster)?;
    source::check(cluster)
}

fn helm_test(cluster: &Cluster) -> Result<(), Error> {
    let test = ["test", RELEASE, "--namespace", SYSTEM, "--timeout", "60s"];
    let output = cluster.helm(&test)?;
    if !output.contains("Succeeded") {
        return Err(Error::HelmTest(output));
    }
    done("the test pod succeeded");
    Ok(())
}

/// Checks that all objects of the release are deleted. The Lease belongs to the controller and stays.
fn check_nothing_left(cluster: &Cluster) -> Result<(), Error> {
    let kinds = "deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets,\
                 clusterroles,clusterrolebindings";
    let label = format!("--selector={OF_RELEASE}");
    let left = cluster.kubectl(SYSTEM, &["get", kinds, &label, "--output=name"])?;
    if !left.is_empty() {
        return Err(Error::Left(left));
    }
    done("only the CRDs and their objects are left");
    Ok(())
}

fn install(
    cluster: &Cluster,
    images: &Images,
    endpoint: &str,
    poll_interval: &str,
) -> Result<(), Error> {
    let chart = text(&repository().join(CHART));
    let values = [
        format!(
            "image.repository={}scaleouttask-controller",
            images.prefix()
        ),
        format!("endpoint={endpoint}"),
        format!("pollInterval={poll_interval}"),
        "allowInsecureEndpoint=true".to_owned(),
        "credentials.none=true".to_owned(),
        "nodes.enabled=true".to_owned(),
        "region=cn-hangzhou".to_owned(),
        source::VALUE.to_owned(),
        format!("crds.install={}", cluster.may_install_crd()?),
    ];
    let mut arguments = vec!["upgrade", "--install", RELEASE, &chart];
    arguments.extend(["--namespace", SYSTEM, "--wait", "--timeout", "90s"]);
    for value in &values {
        arguments.extend(["--set", value]);
    }
    cluster.helm(&arguments).map(drop)
}

/// Checks that all pods are ready and none was restarted.
fn check_pods(cluster: &Cluster) -> Result<(), Error> {
    let deployment = format!("deployment/{NAME}");
    cluster.kubectl(SYSTEM, &["rollout", "status", &deployment, LIMIT])?;
    let restarts = [
        "get",
        "pods",
        "--output=jsonpath={.items[*].status.containerStatuses[*].restartCount}",
    ];
    let restarts = cluster.kubectl(SYSTEM, &restarts)?;
    if restarts.split_whitespace().any(|count| count != "0") {
        return Err(Error::Restarts(restarts));
    }
    done("pods ready, no restarts");
    Ok(())
}

fn wait_for_ends(cluster: &Cluster) -> Result<(), Error> {
    let wait = [
        "wait",
        "scaleouttasks",
        "--all",
        "--for=jsonpath={.status.finishedAt}",
        LIMIT,
    ];
    cluster.kubectl(TASKS, &wait).map(drop)
}

fn check_reasons(cluster: &Cluster) -> Result<(), Error> {
    for (name, expected) in EXPECTED {
        expect(cluster, TASKS, name, expected)?;
    }
    done("each task has the expected reason");
    Ok(())
}

/// Checks the reason of an object.
fn expect(cluster: &Cluster, namespace: &str, name: &str, expected: &str) -> Result<(), Error> {
    let found = cluster.reason(namespace, name)?;
    if found == expected {
        return Ok(());
    }
    Err(Error::Unexpected {
        name: name.to_owned(),
        expected: expected.to_owned(),
        found,
    })
}

/// Starts the tasks again, deletes the leader's pod meanwhile, and waits for their end.
fn fail_over(cluster: &Cluster) -> Result<(), Error> {
    // An upgrade hands the Lease over: for a moment nobody holds it.
    let before = wait_for_holder(cluster, "")?;
    // Restart the simulator, so that the timelines of the tasks start again.
    cluster.kubectl(TASKS, &["rollout", "restart", "deployment/simulator"])?;
    let rollout = ["rollout", "status", "deployment/simulator", LIMIT];
    cluster.kubectl(TASKS, &rollout)?;
    let demo = repository().join("dev/xtask/demo/tasks.yaml");
    cluster.kubectl(TASKS, &["delete", "--filename", &text(&demo)])?;
    cluster.kubectl(TASKS, &["apply", "--filename", &text(&demo)])?;
    let running = [
        "wait",
        "scaleouttask/web-pool",
        "--for=jsonpath={.status.state}=running",
        LIMIT,
    ];
    cluster.kubectl(TASKS, &running)?;
    let pods = cluster.kubectl(SYSTEM, &["get", "pods", "--output=name"])?;
    let pod = pods
        .split_whitespace()
        .find(|pod| before.starts_with(pod.trim_start_matches("pod/")));
    let pod = pod.ok_or_else(|| Error::NoLeader(before.clone()))?;
    cluster.kubectl(SYSTEM, &["delete", pod, "--wait=false"])?;
    wait_for_holder(cluster, &before)?;
    done("another replica leads");
    wait_for_ends(cluster)?;
    check_reasons(cluster)
}

/// Waits until another than `before` holds the Lease.
fn wait_for_holder(cluster: &Cluster, before: &str) -> Result<String, Error> {
    let deadline = Instant::now() + TAKEOVER;
    loop {
        let holder = cluster.lease_holder()?;
        if !holder.is_empty() && holder != before {
            return Ok(holder);
        }
        if Instant::now() > deadline {
            return Err(Error::NoLeader(before.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
