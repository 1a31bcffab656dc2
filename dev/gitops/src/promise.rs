//! The promises of `docs/gitops/README.md` about every object.

use serde_json::Value;

use crate::{
    ArgoCd, Error, Health, argocd,
    field::{conditions, generation, is_terminating, kind, observed_generation},
    flux, kstatus,
};

/// Final reasons for one that did, and whose nodes are there where somebody waits for them.
const SUCCESSES: [&str; 2] = ["TaskSucceeded", "NodesReady"];
/// The reason of a source that finds tasks.
const LISTING: &str = "Listing";
/// Final reasons of `Ready` for a task that didn't succeed.
const FAILURES: [&str; 4] = ["InstancesFailed", "TaskFailed", "TaskCanceled", "TimedOut"];

/// The verdict of each tool about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// From the health script.
    pub argocd: ArgoCd,
    /// From the expressions.
    pub flux: Health,
    /// From the conditions alone.
    pub kstatus: Health,
}

impl Verdicts {
    /// The common verdict, or `None` if they differ.
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

/// The verdict of each tool about the object.
pub fn verdicts(object: &Value) -> Result<Verdicts, Error> {
    Ok(Verdicts {
        argocd: argocd(object)?.0,
        flux: flux(object)?,
        kstatus: kstatus(object)?,
    })
}

/// Checks the object against the promises. The error says which are broken.
///
/// - All tools agree.
/// - It is healthy if and only if the task succeeded, or the source lists, and the status is about the current
///   generation.
/// - It is failed if such a status says that the task failed or that the object is stalled.
///
/// An object that is being deleted must only not be healthy.
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
    let expected = expected(object)?;
    let mut breaches = Vec::new();
    if verdicts.agreed().is_none() {
        breaches.push(format!("the tools differ: {verdicts:?}"));
    }
    if expected != Some(Health::Current) && verdicts.is_any(Health::Current) {
        breaches.push(format!(
            "healthy without a success of the current generation: {verdicts:?}"
        ));
    }
    if let Some(expected) = expected
        && verdicts.agreed() != Some(expected)
    {
        breaches.push(format!("not {expected:?} to every tool: {verdicts:?}"));
    }
    Ok(breaches)
}

/// The verdict that the tools must have. `None` if several are right, but never that the object is
/// healthy.
fn expected(object: &Value) -> Result<Option<Health>, Error> {
    let observed = observed_generation(object)?;
    if observed.is_none() || observed != generation(object)? {
        return Ok(None);
    }
    let conditions = conditions(object)?;
    let find = |type_| conditions.iter().find(|condition| condition.type_ == type_);
    let is_stalled = find("Stalled").is_some_and(|stalled| stalled.status == "True");
    let reason = find("Ready").map_or("", |ready| ready.reason);
    let is_success = match kind(object)? {
        "ScaleOutTaskSource" => reason == LISTING,
        _ => SUCCESSES.contains(&reason),
    };
    Ok(if is_stalled || FAILURES.contains(&reason) {
        Some(Health::Failed)
    } else if is_success {
        Some(Health::Current)
    } else {
        None
    })
}
