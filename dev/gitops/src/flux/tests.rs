//! The order of the expressions, and what they can use.

use serde_json::json;

use super::{expressions, first_true};
use crate::Health;

const KIND: &str = "ScaleOutTask";

fn kustomization(in_progress: &str, failed: &str, current: &str) -> String {
    let check = json!({
        "apiVersion": "scaleout.dev/v1alpha1", "kind": KIND,
        "current": current, "failed": failed, "inProgress": in_progress,
    });
    // JSON is YAML.
    json!({ "spec": { "healthCheckExprs": [check] } }).to_string()
}

#[test]
fn the_first_true_expression_decides_in_the_order_of_flux() {
    let object = json!({ "metadata": { "generation": 1 } });
    let rows = [
        (["true", "true", "true"], Health::InProgress),
        (["false", "true", "true"], Health::Failed),
        (["false", "false", "true"], Health::Current),
        (["false", "false", "false"], Health::InProgress),
        (
            ["false", "false", "metadata.generation - 2 == -1"],
            Health::Current,
        ),
    ];
    for ([in_progress, failed, current], expected) in rows {
        let expressions = expressions(&kustomization(in_progress, failed, current), KIND).unwrap();
        assert_eq!(first_true(&expressions, &object).unwrap(), expected);
    }
}

#[test]
fn an_expression_that_cannot_be_evaluated_is_an_error() {
    for current in ["status.phase == 'x'", "metadata.generation"] {
        let expressions = expressions(&kustomization("false", "false", current), KIND).unwrap();
        let object = json!({ "metadata": { "generation": 1 } });
        let error = first_true(&expressions, &object).unwrap_err().to_string();
        assert!(error.contains(current), "{error}");
    }
    assert!(expressions(&kustomization("false", "false", "a =="), KIND).is_err());
    assert!(expressions("{spec: {healthCheckExprs: []}}", KIND).is_err());
}
