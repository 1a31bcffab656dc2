//! Permissions and service account tokens.

use serde_json::{Value, json};
use testbed::render::{
    NAMESPACE, RELEASE, arguments, find, granted, kinds, pod, read, render_as, rendered,
};

use crate::settings;

#[test]
fn named_namespaces_get_roles_and_there_is_no_cluster_role() {
    let objects = rendered(
        &json!({ "namespaces": ["team-a", "team-b"], "rbac": { "aggregateToView": false } }),
    );
    assert!(
        !kinds(&objects)
            .iter()
            .any(|kind| kind.starts_with("ClusterRole"))
    );
    for namespace in ["team-a", "team-b"] {
        let in_namespace: Vec<&Value> = objects
            .iter()
            .filter(|object| object["metadata"]["namespace"] == namespace)
            .collect();
        assert_eq!(in_namespace.len(), 2, "{in_namespace:?}");
        let binding = in_namespace
            .iter()
            .find(|object| object["kind"] == "RoleBinding")
            .unwrap();
        assert_eq!(
            binding["subjects"],
            json!([{ "kind": "ServiceAccount", "name": RELEASE, "namespace": NAMESPACE }])
        );
    }
}

#[test]
fn secrets_can_be_read_only_in_the_named_namespaces() {
    let is_about_secrets = |object: &&Value| {
        let rules = object["rules"].as_array();
        rules.is_some_and(|rules| {
            rules
                .iter()
                .any(|rule| rule["resources"] == json!(["secrets"]))
        })
    };
    let objects = rendered(&json!({}));
    assert!(!objects.iter().any(|object| is_about_secrets(&object)));

    let objects = rendered(&settings::namespaced());
    let found: Vec<&Value> = objects.iter().filter(is_about_secrets).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["kind"], "Role");
    assert_eq!(found[0]["metadata"]["namespace"], "team-b");
    let rules = json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }]);
    assert_eq!(found[0]["rules"], rules);
}

/// Also where the release is kept to namespaces: Nodes are in none.
#[test]
fn nodes_can_be_listed_and_watched_only_where_that_is_enabled() {
    let is_about_nodes = |rule: &Value| rule["resources"] == json!(["nodes"]);
    let off = json!({ "nodes": { "enabled": false } });
    for values in [json!({}), off, json!({ "namespaces": ["team-a"] })] {
        assert!(!granted(&rendered(&values)).iter().any(is_about_nodes));
        assert!(!arguments(&rendered(&values)).contains(&"--nodes"));
    }
    let all = json!({ "nodes": { "enabled": true } });
    for values in [all, settings::namespaced()] {
        let objects = rendered(&values);
        let name = format!("{NAMESPACE}-{RELEASE}-nodes");
        let role = find(&objects, "ClusterRole", &name);
        let rules =
            json!([{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"] }]);
        assert_eq!(role["rules"], rules);
        let rules = granted(&objects);
        let count = rules.iter().filter(|rule| is_about_nodes(rule)).count();
        assert_eq!(count, 1, "in that role alone");
        let binding = find(&objects, "ClusterRoleBinding", &name);
        assert_eq!(binding["roleRef"]["name"], name.as_str());
        assert_eq!(
            binding["subjects"],
            json!([{ "kind": "ServiceAccount", "name": RELEASE, "namespace": NAMESPACE }])
        );
        assert!(arguments(&objects).contains(&"--nodes"));
    }
    let theirs = json!({
        "nodes": { "enabled": true }, "rbac": { "create": false, "aggregateToView": false },
    });
    let kinds = kinds(&rendered(&theirs));
    assert!(!kinds.iter().any(|kind| kind.starts_with("ClusterRole")));
}

/// And no finalizer or other write of a source than its status.
#[test]
fn sources_are_read_and_objects_made_only_where_that_is_enabled() {
    let is_about_sources = |rule: &Value| {
        let resources = rule["resources"].to_string();
        resources.contains("scaleouttasksources") || rule["verbs"] == json!(["create"])
    };
    let of_group = |objects: &[Value]| {
        let mut rules = granted(objects);
        rules.retain(|rule| rule["apiGroups"] == json!(["scaleout.dev"]) && is_about_sources(rule));
        rules
    };
    for values in [json!({}), json!({ "namespaces": ["team-a"] })] {
        let objects = rendered(&values);
        assert_eq!(of_group(&objects), Vec::<Value>::new());
        assert!(!arguments(&objects).contains(&"--sources"));
    }
    let rule = |resource: &str, verbs: &[&str]| json!({ "apiGroups": ["scaleout.dev"], "resources": [resource], "verbs": verbs });
    let rules = [
        rule("scaleouttasksources", &["list", "watch"]),
        rule("scaleouttasksources/status", &["patch"]),
        rule("scaleouttasks", &["create"]),
    ];
    let listed = json!({ "sources": { "list": [{ "clusterId": "c1" }] } });
    for values in [json!({ "sources": { "enabled": true } }), listed] {
        let objects = rendered(&values);
        assert_eq!(of_group(&objects), rules);
        assert!(arguments(&objects).contains(&"--sources"));
    }
    let objects = rendered(&settings::namespaced());
    for namespace in ["team-a", "team-b"] {
        let is_here = |object: &&Value| {
            object["metadata"]["namespace"] == namespace
                && object["metadata"]["name"] == format!("{NAMESPACE}-{RELEASE}")
        };
        let here: Vec<Value> = objects.iter().filter(is_here).cloned().collect();
        assert_eq!(of_group(&here), rules, "{namespace}");
    }
}

#[test]
fn each_release_has_its_own_lease() {
    let objects = render_as("tasks-web", "ops", &json!({})).unwrap();
    let name = "tasks-web-scaleouttask-controller";
    let role = find(&objects, "Role", &format!("{name}-lease"));
    assert_eq!(role["metadata"]["namespace"], "ops");
    assert_eq!(role["rules"][0]["resourceNames"], json!([name]));
    let arguments =
        &find(&objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]["args"];
    let lease = json!(format!("--lease-name={name}"));
    assert!(arguments.as_array().unwrap().contains(&lease));
}

#[test]
fn users_get_permissions_by_the_roles_view_and_edit() {
    let may_edit = json!({ "rbac": { "aggregateToEdit": true } });
    let objects = rendered(&may_edit);
    for (role, verbs) in [
        ("view", json!(["get", "list", "watch"])),
        (
            "edit",
            json!(["create", "update", "patch", "delete", "deletecollection"]),
        ),
    ] {
        let object = find(
            &objects,
            "ClusterRole",
            &format!("{NAMESPACE}-{RELEASE}-{role}"),
        );
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{role}");
        assert_eq!(object["metadata"]["labels"][&label], "true");
        assert_eq!(object["rules"][0]["verbs"], verbs);
        let resources = object["rules"][0]["resources"].as_array().unwrap();
        for kind in ["scaleouttasks", "scaleouttasksources"] {
            assert!(resources.contains(&json!(kind)), "{role}: {kind}");
        }
    }
}

/// Who may make objects reads any task of the account.
#[test]
fn nobody_may_make_objects_unless_the_operator_says_so() {
    let users = |values: &Value| {
        let kinds = kinds(&rendered(values));
        let mut roles = kinds
            .into_iter()
            .filter(|kind| kind.starts_with("ClusterRole "));
        let names = ["view", "edit"].map(|role| format!("{NAMESPACE}-{RELEASE}-{role}"));
        let all: Vec<String> = roles.by_ref().collect();
        names.map(|name| all.iter().any(|role| role.ends_with(&name)))
    };
    assert_eq!(users(&json!({})), [true, false]);
    let rbac = |view: bool, edit: bool| json!({ "rbac": { "aggregateToView": view, "aggregateToEdit": edit } });
    assert_eq!(users(&rbac(false, true)), [false, true]);
    assert_eq!(users(&rbac(false, false)), [false, false]);
}

#[test]
fn the_controller_may_delete_only_where_it_is_told_to() {
    let verbs = |values: &Value| {
        let objects = rendered(values);
        let role = find(&objects, "ClusterRole", &format!("{NAMESPACE}-{RELEASE}"));
        role["rules"][0]["verbs"].clone()
    };
    assert_eq!(verbs(&json!({})), json!(["get", "list", "watch", "delete"]));
    let never = json!({ "rbac": { "delete": false } });
    assert_eq!(verbs(&never), json!(["get", "list", "watch"]));
}

/// The role for benchmarks is written by hand, so that they don't need Helm.
#[test]
fn the_role_for_benchmarks_has_the_same_rules() {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&read("dev/testbed/rbac.yaml")).unwrap();
    let name = format!("{NAMESPACE}-{RELEASE}");
    let objects = rendered(&json!({}));
    let role = find(&objects, "ClusterRole", &name);
    assert_eq!(documents[0]["rules"], role["rules"]);
    assert_eq!(
        granted(&objects).len(),
        role["rules"].as_array().unwrap().len() + 2
    );
    let with = rendered(&json!({ "sources": { "enabled": true } }));
    let with = &find(&with, "ClusterRole", &name)["rules"];
    let rules = |part: &Value| part.as_array().unwrap().clone();
    let own = find(&documents, "ClusterRole", &format!("{RELEASE}-sources"));
    assert_eq!(
        [rules(&role["rules"]), rules(&own["rules"])].concat(),
        rules(with)
    );
}

#[test]
fn pods_have_only_the_token_that_they_need() {
    let objects = rendered(&json!({}));
    let account = find(&objects, "ServiceAccount", RELEASE);
    assert_eq!(account["automountServiceAccountToken"], false);
    let spec = &pod(&objects)["spec"];
    assert_eq!(spec["automountServiceAccountToken"], false);
    let volumes = spec["volumes"].as_array().unwrap();
    assert_eq!(volumes.len(), 1, "{volumes:?}");
    let token = &volumes[0]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(
        *token,
        json!({ "path": "token", "expirationSeconds": 3600 })
    );
}
