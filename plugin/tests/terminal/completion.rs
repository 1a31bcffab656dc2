//! Completion, by kubectl's own, in a real bash.

use std::{env, ffi::OsString, fs, os::unix::fs::symlink, path::Path};

use serde_json::json;
use terminal::Terminal;
use testbed::world::World;

use crate::stage::PROGRAM;

/// What bash-completion brings, where it isn't installed: the words, which blanks alone divide.
const WORDS: &str = r#"
_get_comp_words_by_ref() {
  local line=${COMP_LINE:0:COMP_POINT}
  read -ra words <<< "$line"
  [[ $line == *" " ]] && words+=("")
  cword=$((${#words[@]} - 1)) cur=${words[-1]} prev=${words[-2]}
}
__ltrim_colon_completions() { :; }
PS1='> '
"#;

#[tokio::test(flavor = "multi_thread")]
async fn names_commands_and_options_complete_in_bash() {
    let world = World::new("completion").await;
    world.create("web-pool", json!({ "taskId": "T-1" })).await;
    let directory = tempfile::tempdir().unwrap();
    let script = testbed::repository().join("plugin/kubectl_complete-scaleouttask");
    fs::copy(
        script,
        directory.path().join("kubectl_complete-scaleouttask"),
    )
    .unwrap();
    for (target, name) in [
        (PROGRAM, "kubectl-scaleouttask"),
        (PROGRAM, "kubectl-sot"),
        ("kubectl_complete-scaleouttask", "kubectl_complete-sot"),
    ] {
        symlink(target, directory.path().join(name)).unwrap();
    }
    let rc = directory.path().join("rc");
    fs::write(&rc, format!("{WORDS}source <(kubectl completion bash)\n")).unwrap();
    let mut path = OsString::from(directory.path());
    for more in [
        world.plane.binaries().directory(),
        Path::new(&env::var_os("PATH").unwrap()),
    ] {
        path.push(":");
        path.push(more);
    }
    let env = [
        ("PATH", path.as_os_str()),
        ("KUBECONFIG", world.plane.kubeconfig().as_os_str()),
        ("HOME", directory.path().as_os_str()),
    ];
    let rc = rc.to_str().unwrap();
    let bash = Terminal::start("bash", &["--noprofile", "--rcfile", rc, "-i"], &env, 200);
    bash.until("a prompt", |screen| screen.contains("> "));
    for (typed, wanted) in [
        ("kubectl scaleouttask wat\t", "kubectl scaleouttask watch "),
        ("kubectl sot sus\t", "kubectl sot suspend "),
        ("kubectl scaleouttask watch --sel\t", "watch --selector"),
        (
            "kubectl scaleouttask track T-1 --output js\t",
            "--output json",
        ),
        (
            "kubectl scaleouttask track T-1 --output=js\t",
            "--output=json",
        ),
    ] {
        bash.enter(typed);
        bash.until(wanted, |screen| screen.contains(wanted));
        bash.enter("\u{15}");
    }
    let namespace = &world.namespace;
    for words in [
        format!("kubectl scaleouttask watch -n {namespace}"),
        format!("kubectl scaleouttask -n {namespace} why"),
        format!("kubectl sot poll --namespace={namespace}"),
    ] {
        bash.enter(&format!("{words} we\t"));
        let wanted = format!("{words} web-pool");
        bash.until(&wanted, |screen| screen.contains(&wanted));
        bash.enter("\u{15}");
    }
}
