//! Reads times that the API server accepts but our parser doesn't, such as those past the year 9999.
//! Such a time in a status must not stop the tracking of the object.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use serde::{Deserialize, Deserializer};

/// Reads a time, or `None` if it can't be parsed.
pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| read(&text)))
}

/// Reads a time and drops its fraction of a second. The controller writes none, so a status with one
/// would always differ.
fn read(text: &str) -> Option<Time> {
    let time: Timestamp = text.parse().ok()?;
    Timestamp::from_second(time.as_second()).ok().map(Time)
}

/// Reads conditions. A time that can't be parsed becomes the Unix epoch.
pub fn conditions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Condition>, D::Error> {
    let wire = Vec::<WireCondition>::deserialize(deserializer)?;
    Ok(wire.into_iter().map(Condition::from).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCondition {
    last_transition_time: String,
    message: String,
    observed_generation: Option<i64>,
    reason: String,
    status: String,
    #[serde(rename = "type")]
    type_: String,
}

impl From<WireCondition> for Condition {
    fn from(wire: WireCondition) -> Self {
        let epoch = Time(Timestamp::UNIX_EPOCH);
        Self {
            last_transition_time: read(&wire.last_transition_time).unwrap_or(epoch),
            message: wire.message,
            observed_generation: wire.observed_generation,
            reason: wire.reason,
            status: wire.status,
            type_: wire.type_,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::ScaleOutTaskStatus;

    #[test]
    fn a_status_with_times_that_cannot_be_parsed_is_read() {
        let status = json!({
            "created": "9999-12-31T23:59:59Z",
            "updated": "2026-01-01T00:00:00.5Z",
            "finishedAt": "2026-01-01T00:00:00-24:00",
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "TaskSucceeded", "message": "",
                "lastTransitionTime": "9999-12-31T23:59:59Z",
            }],
        });
        let status: ScaleOutTaskStatus = serde_json::from_value(status).unwrap();
        assert_eq!(status.created, None);
        let updated = serde_json::to_value(&status.updated).unwrap();
        assert_eq!(updated, "2026-01-01T00:00:00Z");
        let again = serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
        assert_eq!(status, again);
        assert_eq!(status.conditions[0].reason, "TaskSucceeded");
    }
}
