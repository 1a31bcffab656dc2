//! Secrets with credentials, and the right to read them.

use k8s_openapi::api::{
    core::v1::Secret,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::world::{GROUP, World};

/// Grants what the chart grants in a namespace that uses Secrets.
pub async fn grant_secrets(world: &World) {
    grant_secrets_in(world, &world.namespace).await;
}

/// The same in another namespace.
pub async fn grant_secrets_in(world: &World, namespace: &str) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "read-secrets" },
        "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "read-secrets" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read-secrets" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": GROUP }],
    });
    let apply = PatchParams::apply("tests").force();
    let roles: Api<Role> = Api::namespaced(world.client.clone(), namespace);
    let bindings: Api<RoleBinding> = Api::namespaced(world.client.clone(), namespace);
    roles
        .patch("read-secrets", &apply, &Patch::Apply(&role))
        .await
        .unwrap();
    bindings
        .patch("read-secrets", &apply, &Patch::Apply(&binding))
        .await
        .unwrap();
}

/// The victim's key ID, with that secret.
pub async fn put_secret_in(world: &World, namespace: &str, name: &str, secret: &str) {
    let data = json!({ "accessKeyId": "LTAI-victim", "accessKeySecret": secret });
    put(world, namespace, name, &data).await;
}

/// These keys of a Secret.
pub async fn put(world: &World, namespace: &str, name: &str, data: &Value) {
    let api: Api<Secret> = Api::namespaced(world.client.clone(), namespace);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data,
    });
    let apply = PatchParams::apply("tests").force();
    api.patch(name, &apply, &Patch::Apply(&secret))
        .await
        .unwrap();
}
