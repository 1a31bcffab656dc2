//! Reading times that the API server takes and we can't, such as those past the year 9999. Whoever
//! writes one into a status must not stop the tracking of the object.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use serde::{Deserialize, Deserializer};

/// A time, or none where it can't be read.
pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| read(&text)))
}

/// To the second: what is written has no fraction, so one that is read would always differ.
fn read(text: &str) -> Option<Time> {
    let time: Timestamp = text.parse().ok()?;
    Timestamp::from_second(time.as_second()).ok().map(Time)
}

/// Conditions; a time that can't be read counts as long ago.
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
        let long_ago = Time(Timestamp::UNIX_EPOCH);
        Self {
            last_transition_time: read(&wire.last_transition_time).unwrap_or(long_ago),
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
    fn a_status_with_times_beyond_our_calendar_is_read() {
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
