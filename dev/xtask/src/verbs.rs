//! `cargo xtask verbs`: compares the permissions in the chart with the requests in audit logs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use controlplane::{StderrProgress, tools};
use serde_json::Value;

const CHART: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../charts/scaleouttask-controller"
);

/// The user agent of the controller.
const USER_AGENT: &str = "scaleouttask-controller/";

/// API group, resource and verb.
type Verb = (String, String, String);

/// Compares both. The audit logs are all files in `directory`.
pub fn main(directory: &str) -> ExitCode {
    match compare(Path::new(directory)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(directory: &Path) -> Result<bool, String> {
    let granted = granted()?;
    let used = used(directory)?;
    let all: BTreeSet<&Verb> = granted.iter().chain(used.keys()).collect();
    let mut same = true;
    for verb in all {
        let (group, resource, name) = verb;
        let count = used.get(verb).copied().unwrap_or_default();
        let remark = match (granted.contains(verb), count) {
            (true, 0) => "  granted, and never used",
            (false, _) => "  used, and not granted by the chart",
            _ => "",
        };
        same &= remark.is_empty();
        let kind = if group.is_empty() {
            resource.clone()
        } else {
            format!("{resource}.{group}")
        };
        println!("{count:>8} × {name:<7} {kind}{remark}");
    }
    println!("{} verbs granted, {} used", granted.len(), used.len());
    Ok(same)
}

/// The permissions in the chart, with all options enabled.
fn granted() -> Result<BTreeSet<Verb>, String> {
    let helm = tools::helm(&mut StderrProgress::default()).map_err(|error| error.to_string())?;
    let arguments = [
        "template",
        "scaleouttask-controller",
        CHART,
        "--set=secretCredentials.enabled=true,secretCredentials.namespaces={default}",
        "--set=nodes.enabled=true,sources.enabled=true,rbac.aggregateToView=false",
    ];
    let output = Command::new(helm).args(arguments).output();
    let output = output.map_err(|error| format!("can't run helm: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let objects: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8_lossy(&output.stdout))
        .map_err(|error| format!("can't read what helm renders: {error}"))?;
    let rules = objects.iter().flat_map(|object| list(&object["rules"]));
    Ok(rules.flat_map(verbs).collect())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> Vec<String> {
    list(value)
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn verbs(rule: &Value) -> Vec<Verb> {
    let mut verbs = Vec::new();
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                verbs.push((group.clone(), resource.clone(), verb));
            }
        }
    }
    verbs
}

/// The allowed requests of the controller, and their numbers.
fn used(directory: &Path) -> Result<BTreeMap<Verb, u64>, String> {
    let failed = |error| format!("can't read {}: {error}", directory.display());
    let mut used = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path: PathBuf = entry.map_err(failed)?.path();
        // The last line may be incomplete if the process was killed.
        let log = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let log = String::from_utf8_lossy(&log);
        let events = log.lines().filter(|line| line.contains(USER_AGENT));
        for event in events.filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if let Some(verb) = verb_of(&event) {
                *used.entry(verb).or_default() += 1;
            }
        }
    }
    Ok(used)
}

/// The verb of a request, if the controller sent it and it was allowed.
fn verb_of(event: &Value) -> Option<Verb> {
    let agent = event["userAgent"].as_str()?;
    let code = event["responseStatus"]["code"].as_u64()?;
    if !agent.starts_with(USER_AGENT) || matches!(code, 401 | 403) {
        return None;
    }
    let object = &event["objectRef"];
    let resource = object["resource"].as_str()?;
    let resource = match object["subresource"].as_str() {
        Some(part) => format!("{resource}/{part}"),
        None => resource.to_owned(),
    };
    let group = object["apiGroup"].as_str().unwrap_or_default();
    Some((
        group.to_owned(),
        resource,
        event["verb"].as_str()?.to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_allowed_requests_of_the_controller_count() {
        let event = |agent: &str, code: u16| {
            verb_of(&json!({
                "userAgent": agent, "verb": "patch", "responseStatus": { "code": code },
                "objectRef": {
                    "apiGroup": "scaleout.dev", "resource": "scaleouttasks", "subresource": "status",
                },
            }))
        };
        let verb = ["scaleout.dev", "scaleouttasks/status", "patch"].map(str::to_owned);
        assert_eq!(
            event("scaleouttask-controller/0.1.0", 409),
            Some(verb.into())
        );
        assert_eq!(event("scaleouttask-controller/0.1.0", 403), None);
        assert_eq!(event("kubectl/v1.37.2", 200), None);
    }
}
