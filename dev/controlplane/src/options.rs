//! Options of a control plane.

use std::fmt::Write as _;

/// How much of each request the audit log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuditLevel {
    /// The user, the request and the status of the response.
    #[default]
    Metadata,
    /// The bodies of requests and responses too.
    RequestResponse,
}

/// Options of a control plane. The default is right for most tests.
#[derive(Debug, Clone, Default)]
pub struct Options {
    audit: AuditLevel,
    feature_gates: Vec<(String, bool)>,
    apiserver_args: Vec<String>,
}

impl Options {
    /// Sets how much of each request the audit log holds.
    #[must_use]
    pub fn audit(mut self, level: AuditLevel) -> Self {
        self.audit = level;
        self
    }

    /// Turns a feature gate of the API server on or off, such as `WatchList`.
    #[must_use]
    pub fn feature_gate(mut self, name: &str, enabled: bool) -> Self {
        self.feature_gates.push((name.to_owned(), enabled));
        self
    }

    /// Adds an argument for the API server, such as `--v=4`. It overrides the default ones.
    #[must_use]
    pub fn apiserver_arg(mut self, argument: impl Into<String>) -> Self {
        self.apiserver_args.push(argument.into());
        self
    }

    /// Logs one line for each request that ended, and for each watch that started. The requests of the
    /// API server to itself are left out.
    pub(crate) fn audit_policy(&self) -> String {
        let level = match self.audit {
            AuditLevel::Metadata => "Metadata",
            AuditLevel::RequestResponse => "RequestResponse",
        };
        format!(
            "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [system:apiserver]
- level: {level}
"
        )
    }

    /// The arguments that these options add.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut gates = String::new();
        for (name, enabled) in &self.feature_gates {
            // Writing to a string cannot fail.
            let _ = write!(gates, "{name}={enabled},");
        }
        let gates =
            (!gates.is_empty()).then(|| format!("--feature-gates={}", gates.trim_end_matches(',')));
        gates
            .into_iter()
            .chain(self.apiserver_args.iter().cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feature_gates_become_one_argument() {
        let options = Options::default()
            .feature_gate("WatchList", false)
            .feature_gate("Other", true)
            .apiserver_arg("--v=2");
        assert_eq!(
            options.arguments(),
            ["--feature-gates=WatchList=false,Other=true", "--v=2"]
        );
        assert!(Options::default().arguments().is_empty());
    }
}
