//! What `docs/gitops/README.md` promises of every object.

use serde_json::Value;

use crate::{
    ArgoCd, Error, Health, argocd,
    field::{conditions, generation, is_terminating, observed_generation},
    flux, kstatus,
};

const SUCCESS: &str = "TaskSucceeded";
/// Reasons of `Ready` after which a task that didn't succeed isn't followed any more.
const BAD_ENDS: [&str; 4] = ["InstancesFailed", "TaskFailed", "TaskCanceled", "TimedOut"];

/// What each tool makes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// By the health script.
    pub argocd: ArgoCd,
    /// By the expressions.
    pub flux: Health,
    /// By the conditions alone.
    pub kstatus: Health,
}

impl Verdicts {
    /// What all three say; None where they differ.
    #[must_use]
    pub fn agreed(self) -> Option<Health> {
        let same = self.flux == self.kstatus && self.argocd.health() == Some(self.kstatus);
        same.then_some(self.kstatus)
    }

    fn is_any(self, health: Health) -> bool {
        let all = [self.argocd.health(), Some(self.flux), Some(self.kstatus)];
        all.contains(&Some(health))
    }
}

/// What each tool makes of the object.
pub fn verdicts(object: &Value) -> Result<Verdicts, Error> {
    Ok(Verdicts {
        argocd: argocd(object)?.0,
        flux: flux(object)?,
        kstatus: kstatus(object)?,
    })
}

/// Holds the object against the promises; says in words what it breaks.
///
/// - All tools agree.
/// - It is healthy if, and only if, the task succeeded and the status is of the current generation.
/// - It has failed where such a status says that the task ended badly, or that it is stalled.
///
/// An object that is being deleted has to be nothing but not healthy.
pub fn check(object: &Value) -> Result<(), String> {
    let breaches = breaches(object).map_err(|error| error.to_string())?;
    if breaches.is_empty() {
        return Ok(());
    }
    Err(breaches.join("; "))
}

fn breaches(object: &Value) -> Result<Vec<String>, Error> {
    if is_terminating(object)? {
        let is_healthy = kstatus(object)? == Health::Current;
        let breach = "it is being deleted, and Current to kstatus".to_owned();
        return Ok(is_healthy.then_some(breach).into_iter().collect());
    }
    let verdicts = verdicts(object)?;
    let due = due(object)?;
    let mut breaches = Vec::new();
    if verdicts.agreed().is_none() {
        breaches.push(format!("the tools differ: {verdicts:?}"));
    }
    if due != Some(Health::Current) && verdicts.is_any(Health::Current) {
        breaches.push(format!(
            "healthy without a success of the current generation: {verdicts:?}"
        ));
    }
    if let Some(due) = due
        && verdicts.agreed() != Some(due)
    {
        breaches.push(format!("not {due:?} to every tool: {verdicts:?}"));
    }
    Ok(breaches)
}

/// What the tools must say, by the conditions' meaning; None where several answers are right, though
/// never that it is healthy.
fn due(object: &Value) -> Result<Option<Health>, Error> {
    let observed = observed_generation(object)?;
    if observed.is_none() || observed != generation(object)? {
        return Ok(None);
    }
    let conditions = conditions(object)?;
    let find = |type_| conditions.iter().find(|condition| condition.type_ == type_);
    let is_stalled = find("Stalled").is_some_and(|stalled| stalled.status == "True");
    let reason = find("Ready").map_or("", |ready| ready.reason);
    Ok(if is_stalled || BAD_ENDS.contains(&reason) {
        Some(Health::Failed)
    } else if reason == SUCCESS {
        Some(Health::Current)
    } else {
        None
    })
}
