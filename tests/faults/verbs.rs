//! The controller uses each verb that the chart grants, and no other.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::{
    core::v1::Secret,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use kube::{Api, api::PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testbed::render::{RELEASE, granted, render_as};
use tokio::time::{sleep, timeout};

use crate::{
    cluster::Cluster,
    proxy::{Action, Kind, Plan, Point, is_streaming_list},
    scenario::{Act, TASK_ID},
    stage::Stage,
};

/// How long a run may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// API group, resource and verb.
type Verb = (String, String, String);

fn verbs(rules: &[Value]) -> BTreeSet<Verb> {
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().unwrap().iter();
        texts
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    let mut verbs = BTreeSet::new();
    for rule in rules {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    verbs.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    verbs
}

/// A release's service account with the permissions of the chart, and an object that needs them all.
struct Trial {
    stage: Stage,
    /// The user name of the controller at the API server.
    user: String,
    /// What the chart grants.
    granted: BTreeSet<Verb>,
}

/// The first write gets a conflict, so that the controller reads the object. Lists don't stream, as
/// where the API server lacks the feature gate `WatchList`: they come in pages.
fn plan() -> Plan {
    let first = Point {
        kind: Kind::PatchStatus,
        ordinal: 1,
    };
    Box::new(move |request| {
        if is_streaming_list(&request.query) {
            Action::Fail(422, None)
        } else if request.point == first {
            Action::Fail(409, None)
        } else {
            Action::Pass
        }
    })
}

fn arguments(namespace: &str) -> Vec<String> {
    let arguments = [
        "--nodes",
        "--secret-credentials",
        "--sources",
        "--leader-elect",
        "--lease-name",
        RELEASE,
    ];
    let namespace = ["--lease-namespace", namespace];
    arguments
        .iter()
        .chain(&namespace)
        .map(|argument| (*argument).to_owned())
        .collect()
}

/// Everything that needs a permission, for those namespaces, and Secrets in one.
fn values(namespaces: &[&str], with_secrets: &str) -> Value {
    json!({
        "namespaces": namespaces,
        "secretCredentials": { "enabled": true, "namespaces": [with_secrets] },
        "nodes": { "enabled": true },
        "sources": { "enabled": true },
        "rbac": { "aggregateToView": false },
    })
}

impl Trial {
    /// Grants everything the chart grants, except that verb.
    async fn new(cluster: &Cluster, name: &str, without: Option<&Verb>) -> Self {
        // The account is in another namespace, whose name is needed first.
        let account = format!("{name}-account");
        cluster.create_namespace(&account).await;
        let user = format!("system:serviceaccount:{account}:{RELEASE}");
        let cluster = cluster.acting_as(&user).await;
        let stage = Stage::new(&cluster, name, plan(), arguments).await;
        let namespace = stage.namespace.clone();
        let values = values(&[&namespace], &namespace);
        let mut objects = render_as(RELEASE, &account, &values).unwrap();
        let granted = verbs(&granted(&objects));
        for object in &mut objects {
            // Moved to the namespace of the Lease, so that each trial has its own.
            if object["metadata"]["namespace"] == account.as_str() {
                object["metadata"]["namespace"] = json!(namespace);
            }
            if let Some(without) = without {
                remove(object, without);
            }
        }
        let client = || cluster.client.clone();
        let own = &namespace;
        for object in &objects {
            match object["kind"].as_str() {
                Some("Role") => create::<Role>(Api::namespaced(client(), own), object).await,
                Some("RoleBinding") => {
                    create::<RoleBinding>(Api::namespaced(client(), own), object).await;
                }
                Some("ClusterRole") => create::<ClusterRole>(Api::all(client()), object).await,
                Some("ClusterRoleBinding") => {
                    create::<ClusterRoleBinding>(Api::all(client()), object).await;
                }
                _ => {}
            }
        }
        Self {
            stage,
            user,
            granted,
        }
    }

    /// Creates an object with its own Secret, which succeeds and is deleted, and a source that finds the task too.
    async fn act(&self) {
        let secret = json!({
            "metadata": { "name": "keys" },
            "stringData": { "accessKeyId": "id", "accessKeySecret": "secret" },
        });
        let client = self.stage.cluster.client.clone();
        create::<Secret>(Api::namespaced(client, &self.stage.namespace), &secret).await;
        let spec = json!({
            "taskId": TASK_ID,
            "ttlSecondsAfterFinished": 0,
            "credentialsSecretRef": { "name": "keys" },
        });
        for act in [
            Act::SetTask(format!("{{id: {TASK_ID}, clusterId: c-1}}")),
            Act::Create(spec),
            Act::CreateSource(json!({ "clusterId": "c-1" })),
            Act::Start,
        ] {
            self.stage.act(&act).await;
        }
    }

    /// The verbs that the controller used, allowed and refused, from the audit log.
    fn used(&self) -> (BTreeSet<Verb>, BTreeSet<Verb>) {
        let (mut allowed, mut refused) = (BTreeSet::new(), BTreeSet::new());
        for event in self.stage.cluster.audited_of(&self.user) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = &event["objectRef"];
            let resource = match object["subresource"].as_str() {
                Some(part) => format!("{}/{part}", text(&object["resource"])),
                None => text(&object["resource"]),
            };
            let verb = (text(&object["apiGroup"]), resource, text(&event["verb"]));
            if event["responseStatus"]["code"] == 403 {
                refused.insert(verb);
            } else {
                allowed.insert(verb);
            }
        }
        (allowed, refused)
    }

    /// Runs the controller until the verbs that it used are as `wanted`.
    async fn until(&self, what: &str, wanted: impl Fn(&BTreeSet<Verb>, &BTreeSet<Verb>) -> bool) {
        let waiting = async {
            self.act().await;
            loop {
                let (allowed, refused) = self.used();
                if wanted(&allowed, &refused) {
                    break;
                }
                sleep(Duration::from_millis(250)).await;
            }
        };
        tokio::select! {
            ended = timeout(PATIENCE, waiting) => {
                let used = self.used();
                ended.unwrap_or_else(|_| panic!("{what}: {used:?}\n{}", self.stage.log()));
            }
            how = self.stage.keep() => panic!("{what}: {how}\n{}", self.stage.log()),
        }
    }
}

/// Removes a verb from a role.
fn remove(object: &mut Value, (group, resource, verb): &Verb) {
    for rule in object["rules"].as_array_mut().into_iter().flatten() {
        if rule["apiGroups"][0] == group.as_str() && rule["resources"][0] == resource.as_str() {
            rule["verbs"]
                .as_array_mut()
                .unwrap()
                .retain(|other| other != verb);
        }
    }
    if let Some(rules) = object["rules"].as_array_mut() {
        rules.retain(|rule| rule["verbs"] != json!([]));
    }
}

async fn create<K>(api: Api<K>, object: &Value)
where
    K: DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
{
    let object = serde_json::from_value(object.clone()).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_uses_each_verb_that_the_chart_grants_and_no_other() {
    let cluster = Cluster::shared().await;
    let trial = Trial::new(&cluster, "verbs", None).await;
    trial
        .until("each verb", |allowed, refused| {
            assert!(refused.is_empty(), "{refused:?}");
            *allowed == trial.granted
        })
        .await;
    println!("granted and used: {:?}", trial.granted);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_of_the_verbs_a_request_is_refused() {
    let cluster = Cluster::shared().await;
    let values = values(&[], "any");
    let all = verbs(&granted(&render_as(RELEASE, "any", &values).unwrap()));
    assert_eq!(all.len(), 16, "{all:?}");
    let each = all.iter().enumerate().map(|(number, verb)| {
        let cluster = &cluster;
        async move {
            let trial = Trial::new(cluster, &format!("no-verb-{number}"), Some(verb)).await;
            let missed = BTreeSet::from([verb.clone()]);
            let what = format!("without {verb:?}");
            trial.until(&what, |_, refused| *refused == missed).await;
        }
    });
    join_all(each).await;
}
