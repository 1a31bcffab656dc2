//! What one namespace floods the controller with: others' new objects show their status and have their Event as
//! soon as without it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PostParams};
use scaleouttask_controller::api::{ScaleOutTaskSpec, SecretReference};
use serde_json::json;
use simulator::{Fault, Task};
use testbed::{
    admission::Rule,
    harness::percentile,
    newcomers::{TASK, Wait, newcomers},
    objects::{Edits, create_all, names},
    polls::{ROUNDS, Window},
    secrets::{grant_secrets, grant_secrets_in, put_secret_in},
    world::{World, eventually},
};

use crate::fairness::TURN;

/// What a busy machine adds to a wait by itself.
const NOISE: f64 = 0.05;

/// A world with a second, calm namespace, in which new objects come while the first floods the controller.
struct Flood {
    world: World,
    calm: String,
    before: Vec<f64>,
}

impl Flood {
    async fn start(name: &str, args: &[&str]) -> Self {
        let mut world = World::new(name).await;
        let calm = world.add_namespace("calm").await;
        world.simulator.set_task(Task::in_state(TASK, "running"));
        let common = ["--credentials", "none", "--namespace", &calm];
        let fast = ["--requests-per-second", "1000"];
        world.start_with(&[&common[..], &fast, args].concat(), &[]);
        let mut flood = Self {
            world,
            calm,
            before: Vec::new(),
        };
        flood.before = flood.waits("before").await;
        flood
    }

    /// From the creation of each new object in the calm namespace to its Event, in seconds.
    async fn waits(&self, prefix: &str) -> Vec<f64> {
        let pause = Duration::from_millis(500);
        let waits = newcomers(&self.world.client, &self.calm, prefix, 12, pause).await;
        let whole = |wait: &Wait| (wait.status + wait.event).as_secs_f64();
        waits.unwrap().iter().map(whole).collect()
    }

    /// Checks that they wait no longer than twice as long as without the flood. Something else may keep the machine
    /// busy for a while, so a longer wait counts where it is there each time.
    async fn check(&self, what: &str) {
        self.check_renewed(what, async |_| {}).await;
    }

    /// The same for a flood that ebbs: `renew` makes it anew for each measurement but the first.
    async fn check_renewed(&self, what: &str, renew: impl AsyncFn(usize)) {
        let alone = percentile(&self.before, 50);
        for round in 1..=ROUNDS {
            if round > 1 {
                renew(round).await;
            }
            let beside = percentile(&self.waits(&format!("during-{round}")).await, 50);
            println!(
                "{what}: a new object of another namespace has its Event after {beside:.3} s, alone {alone:.3} s"
            );
            if beside <= 2.0 * alone + NOISE {
                return;
            }
        }
        panic!("{what}: it was late each time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_one_namespace_delay_no_other() {
    let _turn = TURN.lock().await;
    let flood = Flood::start("edits", &[]).await;
    flood
        .world
        .fill(&flood.world.namespace, "edited", 100, "1h")
        .await;
    // Each is a write of `observedGeneration`, and a call.
    let edits = Edits::start(
        flood.world.api(),
        names("edited", 100),
        60,
        |round| json!({ "spec": { "timeout": format!("{}h", round + 1) } }),
    );
    eventually("all are edited", || async { edits.made() >= 100 }).await;
    flood.check("60 edits a second").await;
    assert!(edits.made() > 300, "{}", edits.made());
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_deletions_of_one_namespace_delay_no_other() {
    const ENDED: usize = 200;
    let _turn = TURN.lock().await;
    let flood = Flood::start("deletions", &[]).await;
    let world = &flood.world;
    let rule = Rule::refuse_deletions(world.plane, &world.client, &world.namespace).await;
    let _rule = rule.unwrap();
    let refused = || {
        let verbs = world.audited_verbs("scaleouttasks");
        verbs.iter().filter(|verb| *verb == "delete").count()
    };
    let fill = async |round| {
        let objects = (0..ENDED).map(|number| {
            let name = format!("ended-{round}-{number}");
            world.add_task(&format!("{{id: {name}}}"));
            let spec = ScaleOutTaskSpec {
                task_id: name.clone(),
                ttl_seconds_after_finished: Some(0),
                ..ScaleOutTaskSpec::default()
            };
            (name, spec)
        });
        let wanted = refused() + ENDED;
        create_all(&world.api(), objects).await.unwrap();
        eventually("each deletion was refused", || async {
            refused() >= wanted
        })
        .await;
    };
    fill(1).await;
    flood
        .check_renewed("200 objects that can't be deleted", fill)
        .await;
}

/// Who knows the ID of another's access key, but not its secret, spends nothing of that account.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_anothers_key_id_delays_nobody() {
    let _turn = TURN.lock().await;
    let keys = "{credentials: [{accessKeyId: LTAI-victim, accessKeySecret: right}]}";
    let mut world = World::with_script("stolen", keys.parse().unwrap()).await;
    let victim = world.add_namespace("victim").await;
    let rights = [&world.namespace, &victim].map(String::clone);
    for namespace in &rights {
        grant_secrets_in(&world, namespace).await;
        let secret = if *namespace == victim {
            "right"
        } else {
            "wrong"
        };
        put_secret_in(&world, namespace, "keys", secret).await;
    }
    let with_secret = |name: String| {
        let spec = ScaleOutTaskSpec {
            task_id: name.clone(),
            credentials_secret_ref: Some(SecretReference {
                name: "keys".to_owned(),
            }),
            poll_interval: Some("2s".to_owned()),
            ..ScaleOutTaskSpec::default()
        };
        (name, spec)
    };
    for name in names("victim", 6) {
        world.simulator.set_task(Task::in_state(&name, "running"));
    }
    let args = [
        "--credentials",
        "none",
        "--secret-credentials",
        "--namespace",
        &victim,
    ];
    world.start_with(&args, &[]);
    let api = world.api_in(&victim);
    create_all(&api, names("victim", 6).into_iter().map(with_secret))
        .await
        .unwrap();
    Window::pass(Duration::from_secs(4)).await;
    let alone = Window::pass(Duration::from_secs(8)).await;
    create_all(
        &world.api(),
        names("thief", 30).into_iter().map(with_secret),
    )
    .await
    .unwrap();
    let _edits = Edits::start(
        world.api(),
        names("thief", 30),
        30,
        |round| json!({ "metadata": { "annotations": { "scaleout.dev/poll-requested-at": round.to_string() } } }),
    );
    Window::pass(Duration::from_secs(4)).await;
    let beside = Window::pass(Duration::from_secs(8)).await;
    let log = world.simulator.request_log();
    let [alone, beside] = [alone, beside].map(|window| window.rate(&log, "victim-"));
    println!(
        "the victim's calls: {alone:.1}/s alone, {beside:.1}/s beside {} of the thief's",
        log.len()
    );
    assert!(log.iter().any(|call| call.task_id.starts_with("thief-")));
    assert!(beside >= 0.8 * alone, "{beside} of {alone} a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_one_namespace_delay_no_other() {
    const SECRETS: usize = 150;
    let _turn = TURN.lock().await;
    let flood = Flood::start("flood-of-secrets", &["--secret-credentials"]).await;
    let world = &flood.world;
    grant_secrets(world).await;
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    // A third is missing, a third has a megabyte beside its key.
    for number in 0..SECRETS / 3 * 2 {
        let large = "t".repeat(if number % 2 == 0 { 1_000_000 } else { 1 });
        let secret = json!({
            "metadata": { "name": format!("s-{number}") },
            "stringData": { "accessKeyId": "k", "accessKeySecret": "s", "other": large },
        });
        let secret = serde_json::from_value(secret).unwrap();
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }
    let objects = (0..SECRETS).map(|number| {
        let spec = ScaleOutTaskSpec {
            task_id: format!("none-{number}"),
            credentials_secret_ref: Some(SecretReference {
                name: format!("s-{number}"),
            }),
            ..ScaleOutTaskSpec::default()
        };
        (format!("o-{number}"), spec)
    });
    create_all(&world.api(), objects).await.unwrap();
    let edits = Edits::start(
        world.api(),
        names("o", SECRETS),
        40,
        |round| json!({ "metadata": { "annotations": { "scaleout.dev/poll-requested-at": round.to_string() } } }),
    );
    eventually("Secrets are read", || async {
        world.audited_verbs("secrets").len() >= SECRETS
    })
    .await;
    flood.check("150 Secrets, missing or of a megabyte").await;
    assert!(edits.made() > 100, "{}", edits.made());
}

/// Each key is an account with a queue of its own, and keys cost a tenant nothing.
#[tokio::test(flavor = "multi_thread")]
async fn many_accounts_of_one_namespace_delay_no_other() {
    const ACCOUNTS: usize = 80;
    let _turn = TURN.lock().await;
    let mut world = World::new("accounts").await;
    let victim = world.add_namespace("victim").await;
    grant_secrets(&world).await;
    let slow = Fault::delay(Duration::from_millis(300));
    world.simulator.set_fault_for_all(slow);
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &world.namespace);
    for (number, name) in names("key", ACCOUNTS).into_iter().enumerate() {
        let secret = json!({
            "metadata": { "name": name },
            "stringData": { "accessKeyId": format!("LTAI-{number}"), "accessKeySecret": "s" },
        });
        let secret = serde_json::from_value(secret).unwrap();
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }
    world
        .simulator
        .set_task(Task::in_state("victim-0", "running"));
    let args = [
        "--credentials",
        "none",
        "--secret-credentials",
        "--max-calls",
        "8",
    ];
    world.start_with(&[&args[..], &["--namespace", &victim]].concat(), &[]);
    world.fill(&victim, "victim", 1, "1s").await;
    Window::pass(Duration::from_secs(3)).await;
    let alone = Window::pass(Duration::from_secs(8)).await;
    let objects = (0..ACCOUNTS).map(|number| {
        let name = format!("greedy-{number}");
        world.simulator.set_task(Task::in_state(&name, "running"));
        let spec = ScaleOutTaskSpec {
            task_id: name.clone(),
            credentials_secret_ref: Some(SecretReference {
                name: format!("key-{number}"),
            }),
            poll_interval: Some("1s".to_owned()),
            ..ScaleOutTaskSpec::default()
        };
        (name, spec)
    });
    create_all(&world.api(), objects).await.unwrap();
    Window::pass(Duration::from_secs(8)).await;
    let beside = Window::pass(Duration::from_secs(12)).await;
    let log = world.simulator.request_log();
    let greedy = beside.rate(&log, "greedy-");
    let [alone, beside] = [alone, beside].map(|window| window.rate(&log, "victim-"));
    println!(
        "the victim's calls: {alone:.2}/s alone, {beside:.2}/s beside {greedy:.1}/s of 80 accounts"
    );
    assert!(greedy > 10.0, "{greedy} a second");
    assert!(beside >= 0.5 * alone, "{beside} of {alone} a second");
}
