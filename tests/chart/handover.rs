//! A CRD that kubectl applied is handed over to Helm by the README's commands.

use serde_json::json;
use testbed::render::{CHART, RELEASE};

use crate::{
    cluster::{CRD, Cluster, SOURCE_CRD},
    readme::{Shell, block},
    release::{knows_ttl, older_chart},
};

/// How somebody may apply a CRD.
const WAYS: [&[&str]; 2] = [&["apply"], &["apply", "--server-side", "--force-conflicts"]];

#[test]
fn helm_takes_over_a_crd_by_the_commands_of_the_readme_and_keeps_it() {
    let cluster = Cluster::start();
    let values = json!({ "credentials": { "none": true } });
    let shell = Shell::new(&values);
    let older = older_chart();
    let newer = older.path().join("files/scaleouttasksources.yaml");
    let older = older.path().join("files/scaleouttasks.yaml");
    let apply_older = |how: &[&str]| {
        let files = [&*older, &newer].map(|path| path.to_str().unwrap());
        let files = files.map(|path| ["--filename", path]).concat();
        cluster.kubectl(&[how, &files].concat()).unwrap();
        assert!(!knows_ttl(&cluster.crd()));
    };
    let commands = block("## The CRDs", "console", "kubectl label");
    let (labels, upgrade) = commands.split_at(commands.find("$ helm").unwrap());
    let remove = || {
        cluster.helm(&["uninstall", RELEASE], &values).unwrap();
        cluster
            .kubectl(&["delete", "crd", CRD, SOURCE_CRD])
            .unwrap();
    };
    for way in WAYS {
        apply_older(way);
        shell.run(&cluster, labels).unwrap();
        let install = ["install", RELEASE, CHART, "--create-namespace"];
        let error = cluster.helm(&install, &values).unwrap_err();
        assert!(error.contains("conflict with \"kubectl"), "{error}");
        shell.run(&cluster, &commands).unwrap();
        assert!(knows_ttl(&cluster.crd()), "{way:?}");
        cluster.helm(&["upgrade", RELEASE, CHART], &values).unwrap();
        remove();
    }

    // The same between two upgrades.
    cluster.helm(&["install", RELEASE, CHART], &values).unwrap();
    for way in WAYS {
        apply_older(way);
        let error = cluster
            .helm(&["upgrade", RELEASE, CHART], &values)
            .unwrap_err();
        assert!(error.contains("conflict with \"kubectl"), "{error}");
        shell.run(&cluster, upgrade).unwrap();
        assert!(knows_ttl(&cluster.crd()), "{way:?}");
        cluster.helm(&["upgrade", RELEASE, CHART], &values).unwrap();
    }
    remove();

    // Helm 3 made its releases by patches; Helm 4 may upgrade one.
    let by_patches = ["install", RELEASE, CHART, "--server-side=false"];
    cluster.helm(&by_patches, &values).unwrap();
    apply_older(WAYS[1]);
    shell.run(&cluster, upgrade).unwrap();
    assert!(knows_ttl(&cluster.crd()));
    remove();
}
