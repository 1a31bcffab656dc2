//! Why a command can't go on, in words for the person who typed it.

use std::{error::Error, fmt};

use kube::{client::AuthError, core::Status};

use scaleouttask_controller::rules::shown;

use crate::exit::Exit;

/// So much of a text is shown.
const TEXT_MAX: usize = 2000;

/// What is asked of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Patch,
}

impl Verb {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Patch => "patch",
        }
    }
}

/// What the words of a failure name.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The API server's address.
    pub server: String,
    /// Where the objects are, such as `in namespace web`.
    pub place: String,
    /// The kubeconfig's program for credentials, where it names one.
    pub program: String,
}

/// Why a command ended early, and with which code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub exit: Exit,
    /// Whether the same may work a little later: there was no answer, or one that says so.
    pub is_passing: bool,
    text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Failure {
    fn new(exit: Exit, text: &str) -> Self {
        Self {
            exit,
            is_passing: false,
            // Some of it may be somebody else's words.
            text: shown(text, TEXT_MAX),
        }
    }

    /// Wrong usage or input.
    pub fn usage(text: impl AsRef<str>) -> Self {
        Self::new(Exit::Usage, text.as_ref())
    }

    /// Somebody has to mend something first.
    pub fn stuck(text: impl AsRef<str>) -> Self {
        Self::new(Exit::Stuck, text.as_ref())
    }

    /// The API server can't be asked, for that reason.
    pub fn unanswered(site: &Site, why: &str) -> Self {
        Self {
            is_passing: true,
            ..Self::stuck(unanswered(&site.server, why))
        }
    }

    /// Of an answer of the API server, or of none.
    pub fn of(error: &kube::Error, verb: Verb, site: &Site) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::unanswered(site, &deepest(error, &site.program));
        };
        let place = &site.place;
        let text = match status.code {
            404 if is_missing_kind(status) => {
                "The cluster doesn't know ScaleOutTasks: install the CRD first, with the chart or \
                 `kubectl apply -f crds/scaleouttasks.yaml`"
                    .to_owned()
            }
            // Of another kind, it is the namespace that isn't there.
            404 => match &status.details {
                Some(details) if details.kind == "scaleouttasks" => {
                    format!("There is no ScaleOutTask {} {place}", details.name)
                }
                Some(details) if !details.name.is_empty() => status.message.clone(),
                _ => unanswered(&site.server, &format!("it answers 404: {}", status.message)),
            },
            // A policy, a webhook or a quota, whatever code it refuses with.
            _ if status.message.contains("denied") => denied(verb, place, status),
            403 => forbidden(verb, place, status),
            401 => format!(
                "The API server doesn't know who you are (401 Unauthorized): check the user of your kubeconfig's context; \
                 nothing could {} ScaleOutTasks {place}",
                verb.as_str()
            ),
            // The API server chooses objects by their task since the CRD says so.
            400 if status.message.contains("spec.taskId") => format!(
                "The cluster's CRD of ScaleOutTasks is of another version: install that of this one. The API server says: {}",
                status.message
            ),
            400 | 422 => {
                return Self::usage(format!("The API server refuses: {}", status.message));
            }
            code => format!("The API server refuses ({code}): {}", status.message),
        };
        Self {
            is_passing: status.code == 429 || status.code >= 500,
            ..Self::stuck(text)
        }
    }

    /// The same, with what follows from it.
    #[must_use]
    pub fn and(mut self, more: &str) -> Self {
        self.text = shown(&format!("{}; {more}", self.text), 2 * TEXT_MAX);
        self
    }
}

/// What is said where the API server can't be asked.
pub fn unanswered(server: &str, why: &str) -> String {
    format!("The API server {server} can't be asked: {why}")
}

/// The API server has no such path, in contrast to no such object, and to a server that is another.
fn is_missing_kind(status: &Status) -> bool {
    let message = &status.message;
    message.contains("could not find the requested resource")
        || message.trim() == "404 page not found"
}

fn forbidden(verb: Verb, place: &str, status: &Status) -> String {
    let name = verb.as_str();
    if !status.message.contains(&format!("cannot {name} ")) {
        return denied(verb, place, status);
    }
    format!(
        "You may not {name} ScaleOutTasks {place}: ask for the verb {name} on scaleouttasks.scaleout.dev. \
         The API server says: {}",
        status.message
    )
}

fn denied(verb: Verb, place: &str, status: &Status) -> String {
    let verb = verb.as_str();
    format!(
        "The API server doesn't let you {verb} ScaleOutTasks {place}: {}",
        status.message
    )
}

/// The cause below a library's own words. `program` is the kubeconfig's for credentials.
pub fn deepest(error: &(dyn Error + 'static), program: &str) -> String {
    let mut cause = error;
    loop {
        if let Some(error) = cause.downcast_ref::<AuthError>()
            && let Some(text) = of_program(error, program)
        {
            return text;
        }
        match cause.source() {
            Some(source) => cause = source,
            None => break,
        }
    }
    let text = cause.to_string();
    let text = text.lines().next().unwrap_or_default();
    if cause.is::<serde_json::Error>() {
        format!("its answer isn't that of an API server: {text}")
    } else {
        text.to_owned()
    }
}

/// How the kubeconfig's program for credentials failed. What it wrote on standard output may be secret.
fn of_program(error: &AuthError, program: &str) -> Option<String> {
    let how = match error {
        AuthError::AuthExecStart(error) => format!("can't be started: {error}"),
        AuthError::AuthExecRun { out, .. } => {
            let said = String::from_utf8_lossy(&out.stderr);
            let said = said.lines().rfind(|line| !line.trim().is_empty());
            let said = said.map(|said| format!(": {said}"));
            format!("failed ({}){}", out.status, said.unwrap_or_default())
        }
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "printed no ExecCredential with a status".to_owned()
        }
        _ => return None,
    };
    Some(format!(
        "the kubeconfig's program for credentials, {program}, {how}"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failure(status: serde_json::Value, verb: Verb) -> (i32, String) {
        let status: Status = serde_json::from_value(status).unwrap();
        let site = Site {
            place: "in namespace web".to_owned(),
            ..Site::default()
        };
        let failure = Failure::of(&kube::Error::Api(Box::new(status)), verb, &site);
        (failure.exit.into(), failure.to_string())
    }

    #[test]
    fn each_answer_of_the_api_server_says_what_to_mend() {
        for (status, verb, code, text) in [
            (
                json!({ "code": 404, "message": "404 page not found" }),
                Verb::List,
                2,
                "install the CRD",
            ),
            (
                json!({ "code": 404, "message": "scaleouttasks \"a\" not found", "details": { "name": "a", "kind": "scaleouttasks" } }),
                Verb::Get,
                2,
                "There is no ScaleOutTask a ",
            ),
            (
                json!({ "code": 404, "message": "namespaces \"web\" not found", "details": { "name": "web", "kind": "namespaces" } }),
                Verb::Create,
                2,
                "namespaces \"web\" not found",
            ),
            (
                json!({ "code": 403, "message": "User \"x\" cannot watch resource \"scaleouttasks\"" }),
                Verb::Watch,
                2,
                "You may not watch",
            ),
            (
                json!({ "code": 403, "message": "exceeded quota" }),
                Verb::Create,
                2,
                "let you create ScaleOutTasks in namespace web: exceeded quota",
            ),
            (
                json!({ "code": 422, "message": "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no" }),
                Verb::Create,
                2,
                "let you create ScaleOutTasks in namespace web: Validating",
            ),
            (
                json!({ "code": 400, "message": "admission webhook \"w\" denied the request: it cannot create" }),
                Verb::Create,
                2,
                "let you create",
            ),
            (
                json!({ "code": 404, "message": "<html>no such page" }),
                Verb::List,
                2,
                "it answers 404: <html>",
            ),
            (
                json!({ "code": 401, "message": "Unauthorized" }),
                Verb::List,
                2,
                "who you are",
            ),
            (
                json!({ "code": 422, "message": "spec.timeout: bad" }),
                Verb::Create,
                64,
                "spec.timeout: bad",
            ),
            (
                json!({ "code": 500, "message": "oh" }),
                Verb::Get,
                2,
                "refuses (500): oh",
            ),
        ] {
            let (got, said) = failure(status, verb);
            assert_eq!(got, code, "{said}");
            assert!(said.contains(text), "{said}");
        }
    }
}
