//! Runs the documented checks on Argo CD's test cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{collections::BTreeSet, fs, path::PathBuf};

use gitops::{ArgoCd, Health, argocd, check, flux, kstatus};
use serde::Deserialize;
use serde_json::{Value, json};

/// An object that the API server never returns, because the CRD gives each object a status.
const WITHOUT_STATUS: &str = "testdata/progressing_noStatus.yaml";

/// A test case in the format of Argo CD.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    input_path: String,
    health_status: HealthStatus,
}

#[derive(Deserialize)]
struct HealthStatus {
    status: ArgoCd,
    message: String,
}

#[derive(Deserialize)]
struct Cases {
    tests: Vec<Case>,
}

fn documents() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/gitops")
}

/// The folder of a kind, in the form of Argo CD's own.
struct Resource(PathBuf);

impl Resource {
    fn all() -> [Self; 2] {
        ["ScaleOutTask", "ScaleOutTaskSource"]
            .map(|kind| Self(documents().join("argocd/scaleout.dev").join(kind)))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }

    fn cases(&self) -> Vec<Case> {
        let cases: Cases = serde_saphyr::from_str(&self.read("health_test.yaml")).unwrap();
        assert!(!cases.tests.is_empty());
        cases.tests
    }

    fn object(&self, input_path: &str) -> Value {
        serde_saphyr::from_str(&self.read(input_path)).unwrap()
    }
}

#[test]
fn argo_cd_has_the_verdict_of_its_test_cases() {
    for resource in Resource::all() {
        for case in resource.cases() {
            let expected = (case.health_status.status, case.health_status.message);
            let verdict = argocd(&resource.object(&case.input_path)).unwrap();
            assert_eq!(verdict, expected, "{}", case.input_path);
        }
    }
}

#[test]
fn the_scripts_of_both_kinds_have_the_same_rules() {
    let rules = Resource::all().map(|resource| {
        let script = resource.read("health.lua");
        script.split_once('\n').unwrap().1.to_owned()
    });
    assert_eq!(rules[0], rules[1]);
}

#[test]
fn every_file_of_testdata_is_a_case() {
    for resource in Resource::all() {
        let files = fs::read_dir(resource.0.join("testdata")).unwrap();
        let name = |file: fs::DirEntry| format!("testdata/{}", file.file_name().display());
        let files: BTreeSet<_> = files.map(|file| name(file.unwrap())).collect();
        let cases = resource.cases().into_iter();
        let cases: BTreeSet<_> = cases.map(|case| case.input_path).collect();
        assert_eq!(cases, files);
    }
}

#[test]
fn flux_and_kstatus_agree_with_argo_cd_on_each_case() {
    for resource in Resource::all() {
        let mut cases = resource.cases();
        cases.retain(|case| case.input_path != WITHOUT_STATUS);
        for case in cases {
            let object = resource.object(&case.input_path);
            let expected = case.health_status.status.health().unwrap();
            assert_eq!(flux(&object).unwrap(), expected, "{}", case.input_path);
            assert_eq!(kstatus(&object).unwrap(), expected, "{}", case.input_path);
            assert_eq!(check(&object), Ok(()), "{}", case.input_path);
        }
    }
}

#[test]
fn without_the_default_of_the_crd_kstatus_would_take_an_untouched_object_for_finished() {
    for resource in Resource::all() {
        let object = resource.object(WITHOUT_STATUS);
        assert_eq!(kstatus(&object).unwrap(), Health::Current);
        assert!(flux(&object).is_err());
        assert_eq!(argocd(&object).unwrap().0, ArgoCd::Progressing);
    }
}

#[test]
fn the_tables_of_the_readme_pair_the_verdicts_that_agree() {
    let readme = fs::read_to_string(documents().join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| {
        let mut columns = line.strip_prefix('|')?.split('|').skip(1).map(str::trim);
        let mut verdict = || columns.next()?.strip_prefix('`')?.strip_suffix('`');
        Some((verdict()?, verdict()?))
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 9, "{rows:?}");
    for (kstatus, argocd) in rows {
        let argocd: ArgoCd = serde_json::from_value(argocd.into()).unwrap();
        assert_eq!(format!("{:?}", argocd.health().unwrap()), kstatus);
    }
}

/// The YAML documents of a file.
fn yaml(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(documents().join(path)).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

fn minutes(duration: &Value) -> u32 {
    let text = duration.as_str().unwrap();
    text.strip_suffix('m').unwrap().parse().unwrap()
}

#[test]
fn in_flux_the_second_wave_depends_on_the_nodes_of_the_first() {
    let kustomizations = yaml("flux/waves.yaml");
    let [first, second] = &kustomizations[..] else {
        panic!("{kustomizations:?}");
    };
    let task = &yaml("waves/node-pools/web-pool.yaml")[0]["spec"];
    assert_eq!(task["waitForNodes"], true);
    for (kustomization, folder) in [(first, "node-pools"), (second, "apps")] {
        let spec = &kustomization["spec"];
        assert_eq!(spec["path"], format!("./waves/{folder}"));
        assert!(documents().join("waves").join(folder).is_dir());
        assert_eq!(spec["wait"], true);
    }
    let name = &first["metadata"]["name"];
    assert_eq!(second["spec"]["dependsOn"], json!([{ "name": name }]));
    // The object tells which nodes are missing, so it must be first.
    assert!(minutes(&first["spec"]["timeout"]) > minutes(&task["timeout"]));
}

#[test]
fn in_argo_cd_the_second_wave_comes_after_the_nodes_of_the_first() {
    let source = &yaml("argocd/waves.yaml")[0]["spec"]["source"];
    assert_eq!(source["path"], "waves");
    assert_eq!(source["directory"]["recurse"], true);
    let wave = |path: &str| -> i32 {
        let object = &yaml(path)[0];
        let wave = &object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"];
        wave.as_str().unwrap().parse().unwrap()
    };
    assert!(wave("waves/node-pools/web-pool.yaml") < wave("waves/apps/web.yaml"));
}
