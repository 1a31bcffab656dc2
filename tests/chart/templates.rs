//! The rendered templates for various values.

use clap::{CommandFactory, Parser};
use scaleouttask_controller::cli::Cli;
use serde_json::{Value, json};
use testbed::render::{
    CHART, NAMESPACE, RELEASE, arguments, container, find, helm, kinds, pod, read, render_as,
    rendered, text, values_file,
};

use crate::settings;

#[test]
fn the_default_is_two_replicas_and_nothing_optional() {
    let objects = rendered(&json!({}));
    assert_eq!(
        kinds(&objects),
        [
            "ClusterRole scaleout-system-scaleouttask-controller",
            "ClusterRole scaleout-system-scaleouttask-controller-view",
            "ClusterRoleBinding scaleout-system-scaleouttask-controller",
            "CustomResourceDefinition scaleouttasks.scaleout.dev",
            "CustomResourceDefinition scaleouttasksources.scaleout.dev",
            "Deployment scaleouttask-controller",
            "Pod scaleouttask-controller-test",
            "PodDisruptionBudget scaleouttask-controller",
            "Role scaleouttask-controller-lease",
            "RoleBinding scaleouttask-controller-lease",
            "Service scaleouttask-controller",
            "ServiceAccount scaleouttask-controller",
        ]
    );
    let deployment = find(&objects, "Deployment", RELEASE);
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert!(arguments(&objects).contains(&"--leader-elect"));
    let pod = &pod(&objects)["spec"];
    assert_eq!(
        pod["topologySpreadConstraints"][0]["topologyKey"],
        "kubernetes.io/hostname"
    );
    let budget = find(&objects, "PodDisruptionBudget", RELEASE);
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    // Each workload is selected by the labels that its pods have.
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for selector in [
        &deployment["spec"]["selector"]["matchLabels"],
        &budget["spec"]["selector"]["matchLabels"],
        &find(&objects, "Service", RELEASE)["spec"]["selector"],
        &pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ] {
        for (key, value) in selector.as_object().unwrap() {
            assert_eq!(&labels[key], value, "{key}");
        }
    }
}

#[test]
fn both_probes_use_the_admin_port() {
    let objects = rendered(&json!({}));
    let container = container(&objects);
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(
            container[probe]["httpGet"],
            json!({ "path": path, "port": "admin" })
        );
    }
    let port = json!({ "admin": { "port": 9999 } });
    let objects = rendered(&port);
    assert_eq!(self::container(&objects)["ports"][0]["containerPort"], 9999);
    assert!(arguments(&objects).contains(&"--admin-address=0.0.0.0:9999"));
}

#[test]
fn each_value_sets_its_flag() {
    let rows = [
        (json!({ "region": "cn-hangzhou" }), "--region=cn-hangzhou"),
        (
            json!({ "endpoint": "https://cs-vpc.{region}.example.com" }),
            "--endpoint=https://cs-vpc.{region}.example.com",
        ),
        (
            json!({ "endpointFor": { "cn-beijing": "https://cs.example.com" } }),
            "--endpoint-for=cn-beijing=https://cs.example.com",
        ),
        (
            json!({ "allowInsecureEndpoint": true }),
            "--allow-insecure-endpoint",
        ),
        (
            json!({ "credentials": { "none": true } }),
            "--credentials=none",
        ),
        (
            json!({ "credentials": { "existingSecret": "keys" } }),
            "--credentials-directory=/var/run/secrets/scaleouttask-controller/credentials",
        ),
        (json!({ "namespaces": ["a", "b"] }), "--namespace=b"),
        (
            json!({ "selector": "team in (web,data)" }),
            "--selector=team in (web,data)",
        ),
        (json!({ "nodes": { "enabled": true } }), "--nodes"),
        (json!({ "sources": { "enabled": true } }), "--sources"),
        (json!({ "pollInterval": "1m30s" }), "--poll-interval=1m30s"),
        (
            json!({ "requestsPerSecond": 0.5 }),
            "--requests-per-second=0.5",
        ),
        (
            json!({ "requestsPerSecond": 1_000_000 }),
            "--requests-per-second=1e+06",
        ),
        (json!({ "concurrency": 1_000_000 }), "--concurrency=1000000"),
        (json!({ "maxCalls": 7 }), "--max-calls=7"),
        (json!({ "minPollInterval": "5s" }), "--min-poll-interval=5s"),
        (
            json!({ "allowedRegions": ["cn-a", "cn-b"] }),
            "--allowed-region=cn-b",
        ),
        (
            json!({ "access": { "rules": [] } }),
            "--access-file=/etc/scaleouttask-controller/access.yaml",
        ),
        (json!({ "network": "vpc" }), "--network=vpc"),
        (json!({ "requestTimeout": "3s" }), "--request-timeout=3s"),
        (
            json!({ "allowedClusterIds": ["c1", "c2"] }),
            "--allowed-cluster-id=c2",
        ),
        (settings::everything(), "--secret-credentials"),
        (
            json!({ "fullnameOverride": "tracker" }),
            "--lease-name=tracker",
        ),
        (json!({}), "--lease-namespace=scaleout-system"),
        (
            json!({ "admin": { "address": "[::]" } }),
            "--admin-address=[::]:8080",
        ),
        (json!({ "log": { "format": "text" } }), "--log-format=text"),
        (
            json!({ "log": { "filter": "debug" } }),
            "--log-filter=debug",
        ),
    ];
    let program = Cli::command();
    let run = program.find_subcommand("run").unwrap();
    for flag in run.get_arguments().filter_map(clap::Arg::get_long) {
        // The chart always runs with a Lease.
        let has_row = |(_, argument): &(Value, &str)| {
            let name = argument.split('=').next().unwrap();
            name.strip_prefix("--") == Some(flag)
        };
        assert!(
            flag == "leader-elect" || rows.iter().any(has_row),
            "--{flag} has no value"
        );
    }
    for (values, argument) in rows {
        let objects = rendered(&values);
        let name = values["fullnameOverride"].as_str().unwrap_or(RELEASE);
        let arguments = &find(&objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
            [0]["args"];
        let arguments = arguments.as_array().unwrap();
        assert!(
            arguments.contains(&json!(argument)),
            "{argument}: {arguments:?}"
        );
    }
}

#[test]
fn the_program_accepts_all_rendered_arguments() {
    for (name, values) in settings::all() {
        let objects = rendered(&values);
        let arguments = arguments(&objects);
        let all = std::iter::once("scaleouttask-controller").chain(arguments.iter().copied());
        let parsed = Cli::try_parse_from(all);
        assert!(parsed.is_ok(), "{name}: {}", parsed.unwrap_err());
    }
}

#[test]
fn helm_test_uses_the_image_of_the_controller() {
    let objects = rendered(&json!({}));
    let pod = find(&objects, "Pod", &format!("{RELEASE}-test"));
    let container_of_test = &pod["spec"]["containers"][0];
    assert_eq!(container_of_test["image"], container(&objects)["image"]);
    let arguments = container_of_test["args"].as_array().unwrap();
    assert!(arguments.contains(&json!("--host=$(SCALEOUTTASK_CONTROLLER_SERVICE_HOST)")));
}

#[test]
fn the_crds_are_the_committed_ones_and_kept_by_default() {
    for name in ["scaleouttasks", "scaleouttasksources"] {
        let crd = |values: Value| {
            let name = format!("{name}.scaleout.dev");
            find(&rendered(&values), "CustomResourceDefinition", &name).clone()
        };
        let committed = read(&format!("crds/{name}.yaml"));
        let committed: Value = serde_saphyr::from_str(&committed).unwrap();
        let kept = crd(json!({}));
        assert_eq!(in_floats(&kept["spec"]), in_floats(&committed["spec"]));
        assert_eq!(
            kept["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
        assert_eq!(
            kept["metadata"]["annotations"]["argocd.argoproj.io/sync-options"],
            "Prune=false,Delete=false"
        );
        let deletable = crd(json!({ "crds": { "keep": false } }));
        assert_eq!(deletable["metadata"]["annotations"], Value::Null);
    }
    let none = rendered(&json!({ "crds": { "install": false } }));
    assert!(
        !none
            .iter()
            .any(|object| object["kind"] == "CustomResourceDefinition")
    );
}

/// Converts numbers to floats, as Helm writes large numbers in another form.
fn in_floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(in_floats).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            fields
                .map(|(name, value)| (name.clone(), in_floats(value)))
                .collect()
        }
        other => other.clone(),
    }
}

#[test]
fn objects_that_others_manage_can_be_left_out() {
    let values = json!({
        "serviceAccount": { "create": false, "name": "theirs" },
        "rbac": { "create": false, "aggregateToView": false },
        "podDisruptionBudget": { "enabled": false },
        "service": { "enabled": false },
        "crds": { "install": false },
    });
    let objects = rendered(&values);
    assert_eq!(kinds(&objects), ["Deployment scaleouttask-controller"]);
    assert_eq!(pod(&objects)["spec"]["serviceAccountName"], "theirs");
}

/// The program reads what the chart writes, and other rules roll the pods.
#[test]
fn access_rules_reach_the_program_and_a_change_rolls_the_pods() {
    let values = |cluster: &str| {
        json!({ "access": { "rules": [{
            "namespaces": ["team-a", "team-a-*"], "clusterIds": [cluster], "regions": ["cn-hangzhou"],
            "credentials": ["controller"], "minPollInterval": "15s",
        }] } })
    };
    let checksum =
        |objects: &[Value]| pod(objects)["metadata"]["annotations"]["checksum/access"].clone();
    let (one, two) = (rendered(&values("c1")), rendered(&values("c2")));
    assert!(checksum(&one).is_string());
    assert_ne!(checksum(&one), checksum(&two));
    assert!(checksum(&rendered(&json!({}))).is_null());
    let map = find(&one, "ConfigMap", &format!("{RELEASE}-access"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), map["data"]["access.yaml"].as_str().unwrap()).unwrap();
    let rules = scaleouttask_controller::access_file::read(file.path()).unwrap();
    let rule = rules.rule("team-a-x").unwrap();
    assert!(rule.cluster_ids.as_ref().unwrap().contains("c1"));
    assert!(rules.rule("other").is_none());
    let mounts = container(&one)["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "access");
    assert_eq!(mount.unwrap()["mountPath"], "/etc/scaleouttask-controller");
}

#[test]
fn optional_objects_can_be_enabled() {
    let objects = rendered(&settings::everything());
    let monitor = find(&objects, "PodMonitor", RELEASE);
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["port"], "admin");
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["interval"], "30s");
    let rule = find(&objects, "PrometheusRule", RELEASE);
    let alerts: Value =
        serde_saphyr::from_str(&read("charts/scaleouttask-controller/files/alerts.yaml")).unwrap();
    assert_eq!(rule["spec"], alerts);
    let dashboard = find(&objects, "ConfigMap", &format!("{RELEASE}-dashboard"));
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    let text = dashboard["data"]["scaleouttask-controller.json"]
        .as_str()
        .unwrap();
    let shown: Value = serde_json::from_str(text).unwrap();
    let file: Value =
        serde_json::from_str(&read("charts/scaleouttask-controller/files/dashboard.json")).unwrap();
    assert_eq!(shown, file);
}

#[test]
fn settings_of_pods_are_passed_on() {
    let values = settings::everything();
    let objects = rendered(&values);
    let pod = pod(&objects);
    for field in [
        "imagePullSecrets",
        "priorityClassName",
        "nodeSelector",
        "dnsConfig",
        "hostAliases",
        "tolerations",
        "affinity",
        "topologySpreadConstraints",
    ] {
        assert_eq!(pod["spec"][field], values[field], "{field}");
    }
    assert_eq!(pod["metadata"]["labels"]["team"], "platform");
    assert_eq!(pod["metadata"]["annotations"]["example.com/note"], "yes");
    let container = container(&objects);
    assert_eq!(
        container["image"],
        json!(format!("registry.example.com/tracker@sha256:{:064}", 1))
    );
    assert_eq!(container["env"], values["extraEnv"]);
    let account = find(&objects, "ServiceAccount", RELEASE);
    assert_eq!(
        account["metadata"]["annotations"]["example.com/owner"],
        "platform"
    );
}

#[test]
fn labels_for_all_objects_reach_each_of_them_and_no_selector() {
    let objects = rendered(&settings::everything());
    for object in &objects {
        let cost = &object["metadata"]["labels"]["cost"];
        assert_eq!(
            cost, "1234",
            "{} {}",
            object["kind"], object["metadata"]["name"]
        );
    }
    let deployment = find(&objects, "Deployment", RELEASE);
    assert!(deployment["spec"]["selector"]["matchLabels"]["cost"].is_null());
    assert_eq!(
        deployment["metadata"]["annotations"]["example.com/reload"],
        "true"
    );
    assert_eq!(
        arguments(&objects).last(),
        Some(&"--allow-insecure-endpoint")
    );
}

/// Thousands of Services with long names would be too much for the program's environment.
#[test]
fn the_services_of_a_namespace_are_no_variables_of_the_controller() {
    for values in [json!({}), settings::everything()] {
        assert_eq!(pod(&rendered(&values))["spec"]["enableServiceLinks"], false);
    }
}

#[test]
fn pods_are_kept_to_nodes_that_the_image_is_for() {
    const REQUIRED: &str = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchExpressions/0";
    let pods = |values: &Value| {
        let objects = rendered(values);
        let test = objects.iter().find(|object| object["kind"] == "Pod");
        [pod(&objects)["spec"].clone(), test.unwrap()["spec"].clone()]
    };
    let both =
        json!({ "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"] });
    for spec in pods(&json!({})) {
        assert_eq!(spec.pointer(REQUIRED), Some(&both));
        assert!(spec["nodeSelector"].is_null());
    }
    // An affinity between pods leaves it as it is, one to nodes replaces it.
    let spread = json!({ "podAntiAffinity": {} });
    for spec in pods(&json!({ "affinity": spread })) {
        assert_eq!(spec.pointer(REQUIRED), Some(&both));
        assert_eq!(spec["affinity"]["podAntiAffinity"], json!({}));
    }
    let zone = json!({ "key": "zone", "operator": "Exists" });
    let nodes = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [zone] }] } } });
    for spec in pods(&json!({ "affinity": nodes })) {
        assert_eq!(spec.pointer(REQUIRED), Some(&zone));
    }
    let arm = json!({ "kubernetes.io/arch": "arm64" });
    let values = json!({ "image": { "architectures": [] }, "nodeSelector": arm });
    for spec in pods(&values) {
        assert!(spec["affinity"].is_null());
        assert_eq!(spec["nodeSelector"], arm);
    }
}

#[test]
fn further_authorities_are_mounted_where_the_program_looks_for_them() {
    let name = json!("private-ca");
    for (values, volume) in [
        (
            json!({ "configMap": name }),
            json!({ "name": "ca", "configMap": { "name": name } }),
        ),
        (
            json!({ "secret": name }),
            json!({ "name": "ca", "secret": { "secretName": name } }),
        ),
    ] {
        let objects = rendered(&json!({ "caCertificates": values }));
        let volumes = pod(&objects)["spec"]["volumes"].clone();
        assert!(volumes.as_array().unwrap().contains(&volume), "{volumes}");
        let container = container(&objects);
        let directory = &container["env"][0];
        assert_eq!(directory["name"], "SSL_CERT_DIR");
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["name"] == "ca").unwrap();
        assert_eq!(mount["mountPath"], directory["value"]);
    }
    let both = json!({ "caCertificates": { "configMap": "a", "secret": "b" } });
    assert!(testbed::render::render(&both).is_err());
}

#[test]
fn names_that_look_like_numbers_stay_strings() {
    let values = json!({
        "namespaces": ["123"],
        "secretCredentials": { "enabled": true, "namespaces": ["123"] },
        "serviceAccount": { "name": "1" },
        "credentials": { "existingSecret": "456" },
        "priorityClassName": "7",
        "nameOverride": "a1",
    });
    let objects = render_as("true", "999", &values).unwrap();
    for object in &objects {
        assert!(
            object["metadata"]["namespace"].is_null()
                || object["metadata"]["namespace"].is_string()
        );
        for (label, value) in object["metadata"]["labels"].as_object().unwrap() {
            assert!(value.is_string(), "{label}: {value}");
        }
    }
    let spec = &find(&objects, "Deployment", "true-a1")["spec"]["template"]["spec"];
    assert_eq!(spec["serviceAccountName"], "1");
    assert_eq!(spec["priorityClassName"], "7");
    let mut volumes = spec["volumes"].as_array().unwrap().iter();
    let key = volumes
        .find(|volume| volume["name"] == "credentials")
        .unwrap();
    assert_eq!(key["projected"]["sources"][0]["secret"]["name"], "456");
}

#[test]
fn runbook_urls_use_the_configured_base_url() {
    let values = json!({ "prometheusRule": {
        "enabled": true, "runbookBaseUrl": "https://wiki.example.com/runbooks/",
    } });
    let objects = rendered(&values);
    let rule = find(&objects, "PrometheusRule", RELEASE);
    let alert = &rule["spec"]["groups"][0]["rules"][0];
    assert_eq!(
        alert["annotations"]["runbook_url"],
        "https://wiki.example.com/runbooks/ScaleOutTaskFailed.md"
    );
}

#[test]
fn labels_from_values_never_replace_the_charts_own() {
    let theirs = json!({ "app.kubernetes.io/name": "theirs", "team": "platform" });
    let values = json!({
        "podLabels": theirs,
        "podMonitor": { "enabled": true, "labels": theirs },
    });
    let objects = rendered(&values);
    let monitor = &find(&objects, "PodMonitor", RELEASE)["metadata"]["labels"];
    for labels in [monitor, &pod(&objects)["metadata"]["labels"]] {
        assert_eq!(labels["app.kubernetes.io/name"], "scaleouttask-controller");
        assert_eq!(labels["team"], "platform");
    }
}

#[test]
fn the_timing_of_a_probe_can_be_left_to_kubernetes() {
    let objects = rendered(&json!({ "livenessProbe": null }));
    let probe = &container(&objects)["livenessProbe"];
    assert_eq!(
        *probe,
        json!({ "httpGet": { "path": "/livez", "port": "admin" } })
    );
}

#[test]
fn names_are_short_enough_for_any_release_name() {
    let release = "a-release-with-the-longest-name-that-helm-lets-it-hav";
    let objects = render_as(release, NAMESPACE, &settings::everything()).unwrap();
    for object in &objects {
        let name = object["metadata"]["name"].as_str().unwrap();
        // Names of Services and names that become values of labels must be shorter.
        let is_role = object["kind"].as_str().unwrap().contains("Role");
        let is_free = is_role
            || [
                "CustomResourceDefinition",
                "ConfigMap",
                "Pod",
                "ValidatingAdmissionPolicy",
                "ValidatingAdmissionPolicyBinding",
            ]
            .iter()
            .any(|kind| object["kind"] == *kind);
        let most = if is_free { 253 } else { 63 };
        assert!(name.len() <= most && !name.ends_with('-'), "{name}");
        for (label, value) in object["metadata"]["labels"].as_object().unwrap() {
            assert!(value.as_str().unwrap().len() <= 63, "{label}: {value}");
        }
    }
}

/// What Helm prints once it has installed the chart.
fn notes(values: &Value) -> String {
    let file = values_file(values);
    let output = helm()
        .args(["install", RELEASE, CHART, "--namespace", NAMESPACE])
        .args(["--dry-run=client", "--values"])
        .arg(file.path())
        .output()
        .unwrap();
    let output_text = text(&output).unwrap();
    output_text.split_once("NOTES:").unwrap().1.to_owned()
}

#[test]
fn the_notes_of_helm_can_be_copied() {
    let notes = notes(&json!({ "selector": "team=web", "credentials": { "none": true } }));
    for part in [
        "kubectl --namespace scaleout-system rollout status deployment/scaleouttask-controller",
        "\"team\": \"web\"",
        "without credentials",
        "region: cn-hangzhou",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    let manifest = notes
        .split_once("<<'END'\n")
        .unwrap()
        .1
        .split_once("\nEND")
        .unwrap()
        .0;
    let object: Value = serde_saphyr::from_str(manifest).unwrap();
    assert_eq!(object["kind"], "ScaleOutTask");
}

#[test]
fn the_notes_of_helm_say_where_tasks_are_found() {
    let said = |sources: Value| {
        let notes = notes(&json!({ "sources": sources }));
        let line = notes.lines().find(|line| line.starts_with("It finds"));
        line.map(str::to_owned)
    };
    let one = json!({ "clusterId": "c1" });
    let rows = [
        (json!({}), None),
        (
            json!({ "enabled": true }),
            Some("each cluster that a ScaleOutTaskSource names"),
        ),
        (json!({ "list": [one] }), Some("the tasks of one cluster,")),
        (
            json!({ "list": [one, { "clusterId": "c2" }] }),
            Some("the tasks of 2 clusters,"),
        ),
    ];
    for (sources, expected) in rows {
        let said = said(sources);
        let is_right = match (&said, expected) {
            (Some(said), Some(expected)) => said.contains(expected),
            (said, expected) => said.is_none() && expected.is_none(),
        };
        assert!(is_right, "{expected:?}: {said:?}");
    }
}

#[test]
fn the_notes_of_helm_say_whether_objects_can_wait_for_nodes() {
    for enabled in [true, false] {
        let notes = notes(&json!({ "nodes": { "enabled": enabled } }));
        let line = "\nObjects with waitForNodes are Ready once the Nodes of their instances are.\n";
        assert_eq!(notes.contains(line), enabled, "{notes}");
    }
}

#[test]
fn the_notes_of_helm_say_who_may_read_what() {
    let edit = "Who may edit a namespace may make objects there.\n";
    let nobody = "Only cluster administrators may make objects";
    let all = "Who makes one reads any task that these credentials may read: to say less, set access.rules.\n";
    let ruled =
        "Who makes one reads what access.rules let that namespace ask; without a rule, nothing.\n";
    let nothing = "Who makes one reads nothing: access.rules is empty.\n";
    let rule = json!([{ "namespaces": ["team-a"] }]);
    let lines = [edit, nobody, all, ruled, nothing];
    for (aggregates, may_make) in [(true, edit), (false, nobody)] {
        for (rules, reads) in [
            (json!(null), all),
            (rule.clone(), ruled),
            (json!([]), nothing),
        ] {
            let notes = notes(&json!({
                "rbac": { "aggregateToEdit": aggregates }, "access": { "rules": rules },
            }));
            for line in lines {
                let expected = line == may_make || line == reads;
                assert_eq!(notes.contains(line), expected, "{line}: {notes}");
            }
        }
    }
    let notes = notes(&json!({ "allowedClusterIds": ["c1", "c2"] }));
    assert!(
        notes.contains("may read, of the clusters c1, c2: "),
        "{notes}"
    );
}
