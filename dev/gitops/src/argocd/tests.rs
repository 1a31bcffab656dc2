//! What the script gets, and how its result is used.

use serde_json::{Value, json};

use super::{ArgoCd, run};

fn result_of(script: &str, object: &Value) -> String {
    match run(script, object) {
        Ok((status, message)) => format!("{status:?} {message}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_script_has_the_object_and_only_the_libraries_of_argo_cd() {
    let script = "local found = {}
        for _, name in ipairs({'string', 'math', 'io', 'os', 'debug', 'require', 'table'}) do
            if _G[name] ~= nil then table.insert(found, name) end
        end
        return { status = 'Healthy', message = table.concat(found) .. ' ' .. obj.kind .. _VERSION }";
    let object = json!({ "kind": "ScaleOutTask" });
    assert_eq!(
        result_of(script, &object),
        "Healthy table ScaleOutTaskLua 5.1"
    );
}

#[test]
fn values_are_converted_as_in_argo_cd() {
    let object = json!({ "null": null, "number": 2, "list": ["a", "b"], "yes": true });
    let script = "local all = obj.null == nil and obj.number == 2 and #obj.list == 2
        and obj.list[1] == 'a' and obj.yes
        return { status = all and 'Healthy' or 'Degraded' }";
    assert_eq!(run(script, &object).unwrap().0, ArgoCd::Healthy);
}

#[test]
fn a_result_that_argo_cd_does_not_accept_is_never_healthy() {
    let rows = [
        (
            "return { status = 'Ready' }",
            "Unknown Lua returned an invalid health status",
        ),
        ("return {}", "Unknown Lua returned an invalid health status"),
        (
            "return 'Healthy'",
            "the health script returns string instead of a table",
        ),
    ];
    for (script, expected) in rows {
        assert_eq!(result_of(script, &json!({})), expected, "{script}");
    }
    let endless = result_of("while true do end", &json!({}));
    assert!(endless.contains("it takes too long"), "{endless}");
}
