//! What linters look for, in the chart and in what it renders.

use serde_json::{Value, json};
use testbed::render::{
    CHART, NAMESPACE, RELEASE, container, find, helm, rendered, text, values_file,
};

use crate::settings;

#[test]
fn helm_lint_finds_no_problem() {
    for (name, values) in settings::all() {
        let file = values_file(&values);
        let output = helm()
            .args(["lint", "--strict", CHART, "--values"])
            .arg(file.path())
            .output()
            .unwrap();
        let output_text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{name}: {output_text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output_text.contains("1 chart(s) linted, 0 chart(s) failed"),
            "{name}: {output_text}"
        );
    }
}

#[test]
fn no_rendered_line_ends_with_a_blank() {
    for (name, values) in settings::all() {
        let file = values_file(&values);
        let output = helm()
            .args([
                "template",
                RELEASE,
                CHART,
                "--namespace",
                NAMESPACE,
                "--values",
            ])
            .arg(file.path())
            .output()
            .unwrap();
        for (number, line) in text(&output).unwrap().lines().enumerate() {
            assert_eq!(line, line.trim_end(), "{name}, line {}", number + 1);
        }
    }
}

#[test]
fn each_container_says_how_much_memory_and_storage_it_needs_at_most() {
    let objects = rendered(&json!({}));
    let test = &find(&objects, "Pod", &format!("{RELEASE}-test"))["spec"]["containers"];
    for container in [container(&objects), &test[0]] {
        for what in ["memory", "ephemeral-storage"] {
            for kind in ["requests", "limits"] {
                assert!(
                    container["resources"][kind][what].is_string(),
                    "{container}"
                );
            }
        }
    }
}

#[test]
fn a_network_policy_covers_the_pods_of_the_release_and_that_of_helm_test() {
    let values = json!({ "networkPolicy": { "enabled": true }, "service": { "port": 9090 } });
    let objects = rendered(&values);
    let labels = |object: &Value| object["metadata"]["labels"].clone();
    let policy = |name: &str| find(&objects, "NetworkPolicy", name)["spec"].clone();
    let own = &find(&objects, "Deployment", RELEASE)["spec"]["template"];
    let test = find(&objects, "Pod", &format!("{RELEASE}-test"));
    for (policy, pod) in [
        (policy(RELEASE), own),
        (policy(&format!("{RELEASE}-test")), test),
    ] {
        let selected = policy["podSelector"]["matchLabels"].as_object().unwrap();
        assert!(
            selected
                .iter()
                .all(|(name, value)| labels(pod)[name] == *value)
        );
        assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    }
    let of_test = policy(&format!("{RELEASE}-test"));
    assert!(of_test["ingress"].is_null(), "{of_test}");
    let egress = of_test["egress"].as_array().unwrap();
    assert_eq!(egress.len(), 1, "{of_test}");
    assert_eq!(
        egress[0]["ports"],
        json!([{ "port": 9090 }, { "port": 8080 }])
    );
    let selector = &policy(RELEASE)["podSelector"];
    assert_eq!(egress[0]["to"], json!([{ "podSelector": selector }]));
}
