//! Why a task failed: in its object, without a look at the console.

use serde_json::json;
use testbed::world::{World, eventually, ready};

const ERROR: &str = "{id: T-error, duration: 1s, outcome: fail,
    error: {code: QuotaExceed.ElasticQuota, message: the quota is used up},
    events: [{level: error, message: not this}], stages: [{name: create, message: nor this}]}";

/// All that the task says comes one by one, each with the second request after.
const EVENTS: &str = r#"{id: T-events, created: "2026-01-01T00:00:00Z", updated: "2026-01-01T00:00:01Z", steps: [
    {state: running, extra: {target: {type: nodepool, id: np1}}},
    {afterRequests: 2, extra: {stages: [{state: running, start_time: "2026-01-01 08:00:00", message: creating}]}},
    {afterRequests: 4, extra: {events: [
        {level: info, reason: Creating, message: creating 2 instances, source: ess, timestamp: "1767225600000"}]}},
    {afterRequests: 6, extra: {events: [
        {level: info, reason: Creating, message: creating 2 instances, source: ess, timestamp: "1767225600000"},
        {level: error, reason: NoStock, message: sold out in zone h, source: ess, timestamp: "1767225660000"}]}},
    {afterRequests: 8, extra: {stages: [{state: failed, start_time: "2026-01-01 08:00:00",
        end_time: "2026-01-01 08:02:00", message: no instance came}]}},
    {afterRequests: 10, state: fail}]}"#;

const STAGE: &str = "{id: T-stage, duration: 1s, outcome: fail,
    stages: [{name: check}, {name: create, message: the security group is full}]}";

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_explained_by_error_events_or_stages_and_each_change_is_one_write() {
    let mut world = World::new("why").await;
    for task in [ERROR, EVENTS, STAGE] {
        world.add_task(task);
    }
    world.start();
    let history = world.history("events");
    let rows = [
        ("error", "QuotaExceed.ElasticQuota: the quota is used up"),
        ("events", "sold out in zone h"),
        ("stage", "the security group is full"),
    ];
    for (name, _) in rows {
        world
            .create(name, json!({ "taskId": format!("T-{name}") }))
            .await;
    }
    for (name, cause) in rows {
        let object = world.until_reason(name, "TaskFailed").await;
        assert_eq!(ready(&object), ("TaskFailed", "False", "Stalled"));
        let message = &object.ready().unwrap().message;
        assert!(message.contains(cause), "{message}");
        let described = world.kubectl_text(&["describe", "scaleouttask", name]);
        let described = described.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(described.contains(cause), "{described}");
    }
    let object = world.get("events").await;
    let status = &object.status;
    assert_eq!(status.events.as_ref().map(Vec::len), Some(2));
    assert_eq!(status.stages.as_ref().map(Vec::len), Some(1));
    let target = status
        .target
        .as_ref()
        .and_then(|target| target.id.as_deref());
    assert_eq!(target, Some("np1"));

    eventually("the watch sees the end", || async {
        history.statuses().last() == Some(status)
    })
    .await;
    // The new object without a status, and then each step once.
    assert_eq!(history.statuses().len(), 7);
    world.until_writes("events", 6).await;
    assert_eq!(world.writes("events"), [200; 6]);
}
