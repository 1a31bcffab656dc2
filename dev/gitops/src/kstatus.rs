//! kstatus's rules for custom resources.

use serde_json::Value;

use crate::{
    Error, Health,
    field::{conditions, generation, is_terminating, observed_generation},
};

/// The object's status, like `Compute` in `pkg/kstatus/status` (`status.go`, `generic.go`) of
/// sigs.k8s.io/cli-utils, which `fluxcd/cli-utils` has unchanged: first `checkGenericProperties`, then
/// `checkReadyCondition`. If neither decides, the object is current.
pub fn kstatus(object: &Value) -> Result<Health, Error> {
    if let Some(health) = by_generic_properties(object)? {
        return Ok(health);
    }
    Ok(by_ready(object)?.unwrap_or(Health::Current))
}

fn by_generic_properties(object: &Value) -> Result<Option<Health>, Error> {
    if is_terminating(object)? {
        return Ok(Some(Health::Terminating));
    }
    if let Some(generation) = generation(object)?
        && let Some(observed) = observed_generation(object)?
        && observed != generation
    {
        return Ok(Some(Health::InProgress));
    }
    // The first of the two conditions decides.
    let conditions = conditions(object)?;
    Ok(conditions
        .iter()
        .find_map(|condition| match (condition.type_, condition.status) {
            ("Reconciling", "True") => Some(Health::InProgress),
            ("Stalled", "True") => Some(Health::Failed),
            _ => None,
        }))
}

fn by_ready(object: &Value) -> Result<Option<Health>, Error> {
    let conditions = conditions(object)?;
    Ok(conditions
        .iter()
        .filter(|condition| condition.type_ == "Ready")
        .find_map(|ready| match ready.status {
            "True" => Some(Health::Current),
            "False" | "Unknown" => Some(Health::InProgress),
            _ => None,
        }))
}
