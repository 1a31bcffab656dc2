//! Runs a controller with one object for each row, and checks what can be seen of it.

use std::{
    collections::HashMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use futures::future::join_all;
use scaleouttask_controller::api::ScaleOutTask;
use serde_json::{Value, json};
use simulator::{Script, Task};
use testbed::world::{PATIENCE, World, eventually, ready};
use testbed::{WholeObject, alias::Alias};

use super::{
    leaks::{KEY_ID, KEY_SECRET, TOKEN, leaks},
    row::{Answer, Row, SUCCEEDED},
};
use crate::raw_server::RawServer;

/// A good answer takes less, even on a busy machine.
const REQUEST_TIMEOUT: &str = "2s";

/// How often the state of all objects is checked.
const CHECK_PERIOD: Duration = Duration::from_millis(500);

pub struct Stage {
    began: Instant,
    world: World,
    rows: Vec<Row>,
    servers: Vec<RawServer>,
    /// Each row has its own host, so that a throttled row delays no other.
    _hosts: Vec<Alias>,
    /// The number of calls for each row that stays, at the time of healing.
    calls_of_staying: Vec<usize>,
}

impl Stage {
    pub async fn set(name: &str, mut rows: Vec<Row>, log_format: &str) -> Self {
        let mut world = World::with_script(name, script()).await;
        let mut servers = Vec::new();
        let mut hosts = Vec::new();
        let mut endpoints = Vec::new();
        for (number, row) in rows.iter_mut().enumerate() {
            row.number(number);
            match &row.answer {
                Answer::Faults(faults) => {
                    let mut task = Task::new(&task_id(number));
                    let mark = json!(format!("LEAK-{number:03}"));
                    task.extra.insert("parameters".to_owned(), mark);
                    task.faults.clone_from(faults);
                    world.simulator.set_task(task);
                    let host = Alias::of(&world.simulator.url()).await;
                    endpoints.push(format!("{}={}", region(number), host.url()));
                    hosts.push(host);
                }
                Answer::Wire(wire, tls) => {
                    let server = RawServer::start(wire.clone());
                    let scheme = if *tls { "https" } else { "http" };
                    let url = server.url().replace("http", scheme);
                    // An operator's URL may hold a token.
                    endpoints.push(format!("{}={url}/LEAK-prefix", region(number)));
                    servers.push(server);
                }
            }
        }
        sign_and_trace(&mut world, log_format, &endpoints);
        let creations = rows.iter().enumerate().map(|(number, row)| {
            let spec = spec(number, row);
            let world = &world;
            async move { world.create(&object_name(number), spec).await }
        });
        join_all(creations).await;
        Self {
            began: Instant::now(),
            world,
            rows,
            servers,
            _hosts: hosts,
            calls_of_staying: Vec::new(),
        }
    }

    pub async fn until_all_statuses_as_expected(&self) {
        self.until_no_problem("not the expected status", |row, object| {
            let is = ready(object);
            let shown = serde_json::to_value(&object.status).unwrap();
            if is != row.expected {
                return Some(format!("{is:?}, not {:?}", row.expected));
            }
            let mut fields = row.shows.as_object().unwrap().iter();
            // A field that is absent reads as null.
            let wrong = fields.find(|(field, value)| shown[*field] != **value);
            wrong.map(|(field, value)| format!("{field} isn't {value} but {}", shown[field]))
        })
        .await;
    }

    /// Requests a poll of each object, as some would be polled too late, and waits until it recovers.
    pub async fn until_all_recovered(&self) {
        let requests = (0..self.rows.len()).map(|number| async move {
            let request = json!({ "scaleout.dev/poll-requested-at": "healed" });
            let patch = json!({ "metadata": { "annotations": request } });
            self.world.patch(&object_name(number), patch).await.unwrap();
        });
        join_all(requests).await;
        self.until_no_problem("not recovered", |row, object| {
            let expected = if row.recovers {
                SUCCEEDED
            } else {
                row.expected
            };
            let is = ready(object);
            (is != expected).then(|| format!("{is:?}"))
        })
        .await;
    }

    /// Waits until `problem` returns none for any object.
    async fn until_no_problem(
        &self,
        what: &str,
        problem: impl Fn(&Row, &WholeObject) -> Option<String>,
    ) {
        let began = Instant::now();
        let mut left: Vec<_> = self.rows.iter().enumerate().collect();
        loop {
            let objects = self.objects().await;
            let mut problems = String::new();
            // Once is enough: on a busy machine a timeout may follow.
            left.retain(|(number, row)| {
                let problem = problem(row, &objects[&object_name(*number)]);
                if let Some(problem) = &problem {
                    writeln!(problems, "{number:03} {}: {problem}", row.kind).unwrap();
                }
                problem.is_some()
            });
            if left.is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{what}:\n{problems}");
            tokio::time::sleep(CHECK_PERIOD).await;
        }
    }

    async fn objects(&self) -> HashMap<String, WholeObject> {
        let all = kube::api::ListParams::default();
        let all = self.world.api().list(&all).await.unwrap();
        all.into_iter()
            .map(|task: ScaleOutTask| WholeObject::from(task))
            .map(|object| (object.name.clone(), object))
            .collect()
    }

    /// Waits until each object has an Event with its reason.
    pub async fn until_all_have_an_event(&self) {
        eventually("every Event", || async {
            let events = get(&self.world, "/apis/events.k8s.io/v1", "events").await;
            let has_event = |(number, row): (usize, &Row)| {
                let mut events = events["items"].as_array().unwrap().iter();
                events.any(|event| {
                    event["regarding"]["name"] == object_name(number)
                        && event["reason"] == row.expected.0
                        && event["type"] == row.severity()
                })
            };
            self.rows.iter().enumerate().all(has_event)
        })
        .await;
    }

    /// Checks that messages are short and have one line.
    pub async fn check_messages(&self) {
        for (name, object) in self.objects().await {
            for condition in &object.status.conditions {
                let message = &condition.message;
                assert!(message.chars().count() <= 1024, "{name}: {message}");
                let odd = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}');
                assert!(!message.contains(odd), "{name}: {message:?}");
            }
        }
        let log = self.world.log();
        assert!(!log.contains("\nERROR forged") && !log.contains(['\u{1b}', '\u{202e}']));
    }

    /// Checks that calls are counted by outcome, with fixed labels only.
    pub async fn check_metrics(&self) {
        let metrics = self.world.admin("/metrics").await.1;
        let mut counted = HashMap::new();
        for line in metrics.lines() {
            let Some(labels) = line.strip_prefix("scaleouttask_task_api_requests_total{") else {
                continue;
            };
            let (labels, count) = labels.rsplit_once("\"} ").unwrap();
            let (_, outcome) = labels.rsplit_once('"').unwrap();
            *counted.entry(outcome).or_default() += count.parse::<usize>().unwrap();
        }
        let mut expected = HashMap::new();
        for row in &self.rows {
            *expected.entry(row.outcome()).or_insert(0) += 1;
        }
        for (outcome, count) in &expected {
            assert!(counted.get(outcome) >= Some(count), "{outcome}: {metrics}");
        }
        let mut outcomes = counted.keys();
        assert!(
            outcomes.all(|outcome| expected.contains_key(outcome)),
            "{counted:?}"
        );
    }

    pub async fn leaks(&self) -> Vec<String> {
        leaks_of(&self.world).await
    }

    /// From now on, the task API gives good answers.
    pub fn heal(&mut self) {
        self.calls_of_staying = self.count_calls_of_staying();
        self.world.simulator.clear_faults();
        self.servers.iter_mut().for_each(RawServer::heal);
    }

    fn count_calls_of_staying(&self) -> Vec<usize> {
        let rows = self.rows.iter().enumerate();
        let stay = rows.filter(|(_, row)| !row.recovers);
        stay.map(|(number, _)| self.world.simulator.requests(&task_id(number)))
            .collect()
    }

    /// Checks that the process never restarted and nothing panicked, and stops it.
    pub fn end(mut self) {
        let log = self.world.log();
        assert_eq!(self.count_calls_of_staying(), self.calls_of_staying);
        assert_eq!(log.matches("that can be listed are known").count(), 1);
        for bug in ["panicked", "please report it"] {
            let reported = log.lines().find(|line| line.contains(bug));
            assert_eq!(reported, None);
        }
        assert_eq!(self.world.stop().0, 0);
        let bad = self.rows.iter().filter(|row| row.is_bad()).count();
        let good = self.rows.len() - bad;
        let took = self.began.elapsed();
        println!("{bad} kinds of bad response, and {good} of odd but good ones, in {took:.1?}");
    }
}

/// A script whose simulator accepts only calls that are signed with the canary credentials.
pub fn script() -> Script {
    let key = format!("accessKeyId: {KEY_ID}, accessKeySecret: {KEY_SECRET}");
    let script = format!("{{credentials: [{{{key}, securityToken: {TOKEN}}}]}}");
    script.parse().unwrap()
}

/// Starts the controller with the canary credentials and the most verbose log.
pub fn sign_and_trace(world: &mut World, log_format: &str, endpoints: &[String]) {
    let args = [
        "--request-timeout",
        REQUEST_TIMEOUT,
        "--log-format",
        log_format,
    ];
    let endpoints = endpoints.join(",");
    let mut env = vec![
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY_ID),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY_SECRET),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", TOKEN),
        ("SCALEOUTTASK_LOG_FILTER", "trace"),
    ];
    if !endpoints.is_empty() {
        env.push(("SCALEOUTTASK_ENDPOINT_FOR", &endpoints));
    }
    world.start_with(&args, &env);
}

/// All leaks in objects, Events, metrics and the log.
pub async fn leaks_of(world: &World) -> Vec<String> {
    let objects = get(world, "/apis/scaleout.dev/v1alpha1", "scaleouttasks").await;
    let events = get(world, "/apis/events.k8s.io/v1", "events").await;
    let places = [
        ("an object", objects.to_string()),
        ("an Event", events.to_string()),
        ("the metrics", world.admin("/metrics").await.1),
        ("the log", world.log()),
    ];
    let [_, (_, events), (_, metrics), (_, log)] = &places;
    let whole = events.contains("Poll") && metrics.contains("# EOF") && log.contains("TRACE");
    assert!(whole, "there is nothing to search");
    let places = places.iter();
    places
        .flat_map(|(place, text)| leaks(place, text))
        .collect()
}

async fn get(world: &World, group: &str, resource: &str) -> Value {
    let url = format!("{group}/namespaces/{}/{resource}", world.namespace);
    let request = http::Request::get(url).body(Vec::new()).unwrap();
    world.client.request(request).await.unwrap()
}

fn spec(number: usize, row: &Row) -> Value {
    // Each row has its own region, so that a throttled row delays no other.
    let mut spec = json!({
        "taskId": task_id(number), "region": region(number), "pollInterval": "1m",
    });
    if let Some(cluster) = row.cluster {
        spec["clusterId"] = json!(cluster);
    }
    spec
}

fn task_id(number: usize) -> String {
    format!("T-{number:03}")
}

fn region(number: usize) -> String {
    format!("r-{number:03}")
}

fn object_name(number: usize) -> String {
    format!("row-{number:03}")
}
