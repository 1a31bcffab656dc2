//! Tasks that nobody names, which a source of the release finds.

use super::expect;
use crate::cluster::{Cluster, Error, LIMIT, SYSTEM, done};

/// The one value that has the release find them.
pub const VALUE: &str = "sources.list[0].clusterId=c82e6987e2961451182edacd74faf";

/// The source: it has the name of the cluster, and is in the release's namespace.
const SOURCE: &str = "c82e6987e2961451182edacd74faf";

/// The objects that it makes, and the reason that each must end with.
const FOUND: [(&str, &str); 2] = [
    ("t-6764d027be846d01310006b1", "TaskSucceeded"),
    ("t-6764d0a1be846d01310006c4", "TaskCanceled"),
];

/// Waits until its tasks are objects and have ended.
pub fn wait_for_ends(cluster: &Cluster) -> Result<(), Error> {
    for (name, _) in FOUND {
        let object = format!("scaleouttask/{name}");
        for until in ["--for=create", "--for=condition=Finished"] {
            cluster.kubectl(SYSTEM, &["wait", &object, until, LIMIT])?;
        }
        done(&format!("{name} was made, and ended"));
    }
    check(cluster)
}

/// Checks that the source lists, and that it made each object once.
pub fn check(cluster: &Cluster) -> Result<(), Error> {
    for (name, expected) in FOUND {
        expect(cluster, SYSTEM, name, expected)?;
    }
    let path =
        r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")].reason} {.status.made}"#;
    let shown = cluster.kubectl(SYSTEM, &["get", "scaleouttasksource", SOURCE, path])?;
    let expected = format!("Listing {}", FOUND.len());
    if shown != expected {
        let said = format!("the source shows {shown:?}, not {expected:?}");
        return Err(Error::NotKept(said));
    }
    done("the source lists, and made each object once");
    Ok(())
}

#[cfg(test)]
mod tests {
    use simulator::Script;

    use super::*;
    use crate::cluster::{DEMO, repository};

    #[test]
    fn the_script_has_these_tasks_in_the_cluster_of_the_source() {
        assert!(VALUE.ends_with(&format!("={SOURCE}")));
        let script = Script::load(&repository().join(DEMO)).unwrap();
        let tasks = script.tasks.iter().filter(|task| task.cluster_id == SOURCE);
        let names: Vec<String> = tasks.map(|task| task.id.to_lowercase()).collect();
        assert_eq!(names, FOUND.map(|(name, _)| name));
    }
}
