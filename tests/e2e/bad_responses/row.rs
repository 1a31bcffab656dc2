//! One kind of bad response, and the status that the object must have then.

use serde_json::{Value, json};
use simulator::Fault;

use crate::raw_server::{Part, Wire};

/// In every body and header. Each row replaces it by its own mark of the same length.
const MARK: &str = "LEAK-000";

/// Reason and status of `Ready`, and the type of the other condition, for an object whose task was
/// never read. These are the rows of the contract's table.
pub type Expected = (&'static str, &'static str, &'static str);

pub const UNAVAILABLE: Expected = ("TaskApiUnavailable", "Unknown", "Reconciling");
pub const THROTTLED: Expected = ("Throttled", "Unknown", "Reconciling");
pub const INVALID: Expected = ("InvalidResponse", "Unknown", "Reconciling");
/// Within the grace period.
pub const NOT_FOUND: Expected = ("TaskNotFound", "Unknown", "Reconciling");
pub const DENIED: Expected = ("AccessDenied", "False", "Stalled");
pub const CREDENTIALS: Expected = ("CredentialsInvalid", "False", "Stalled");
pub const CLOCK: Expected = ("ClockSkewed", "False", "Stalled");
pub const REJECTED: Expected = ("RequestRejected", "False", "Stalled");
pub const MISMATCH: Expected = ("ClusterMismatch", "False", "Stalled");
pub const RUNNING: Expected = ("TaskRunning", "False", "Reconciling");
pub const UNKNOWN_STATE: Expected = ("TaskStateUnknown", "False", "Reconciling");
pub const FAILED: Expected = ("TaskFailed", "False", "Stalled");
pub const SUCCEEDED: Expected = ("TaskSucceeded", "True", "");

/// All of them.
pub const ALL_EXPECTED: [Expected; 13] = [
    UNAVAILABLE,
    THROTTLED,
    INVALID,
    NOT_FOUND,
    DENIED,
    CREDENTIALS,
    CLOCK,
    REJECTED,
    MISMATCH,
    RUNNING,
    UNKNOWN_STATE,
    FAILED,
    SUCCEEDED,
];

/// How the task API answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The simulator answers with these faults, one after the other.
    Faults(Vec<Fault>),
    /// The raw server answers. With `true`, the endpoint is https, which the server can't speak.
    Wire(Wire, bool),
}

#[derive(Clone, Debug)]
pub struct Row {
    pub kind: String,
    pub answer: Answer,
    pub expected: Expected,
    /// Fields that the status must have. Those with null must be absent.
    pub shows: Value,
    /// The object's `clusterId`, if any.
    pub cluster: Option<&'static str>,
    /// Whether it recovers within the time of a test.
    pub recovers: bool,
}

impl Row {
    pub fn new(kind: &str, expected: Expected, answer: Answer) -> Self {
        Self {
            kind: kind.to_owned(),
            answer,
            expected,
            shows: json!({}),
            cluster: None,
            recovers: true,
        }
    }

    pub fn showing(self, shows: Value) -> Self {
        Self { shows, ..self }
    }

    pub fn of_cluster(self, cluster: &'static str) -> Self {
        let cluster = Some(cluster);
        Self { cluster, ..self }
    }

    pub fn that_stays(self) -> Self {
        let recovers = false;
        Self { recovers, ..self }
    }

    /// Whether the answer can't be used.
    pub fn is_bad(&self) -> bool {
        ![RUNNING, UNKNOWN_STATE, FAILED, SUCCEEDED].contains(&self.expected)
    }

    /// The type of the Event.
    pub fn severity(&self) -> &'static str {
        if [RUNNING, UNKNOWN_STATE, SUCCEEDED].contains(&self.expected) {
            "Normal"
        } else {
            "Warning"
        }
    }

    /// The value of the label `outcome` in metrics.
    pub fn outcome(&self) -> &'static str {
        if self.is_bad() && self.expected != MISMATCH {
            self.expected.0
        } else {
            "success"
        }
    }

    /// Replaces every mark in the answer by the one with this number.
    pub fn number(&mut self, number: usize) {
        let own = format!("LEAK-{number:03}");
        match &mut self.answer {
            Answer::Faults(faults) => faults.iter_mut().for_each(|fault| mark(fault, &own)),
            Answer::Wire(Wire::Send(parts), _) => {
                for part in parts {
                    if let Part::Bytes(bytes) | Part::Drip(bytes) | Part::Flood(bytes) = part {
                        replace(bytes, own.as_bytes());
                    }
                }
            }
            Answer::Wire(Wire::Refuse | Wire::Close, _) => {}
        }
    }
}

/// Rows that the raw server answers.
pub fn wires<const N: usize>(expected: Expected, rows: [(&str, Vec<Part>); N]) -> Vec<Row> {
    rows.map(|(kind, parts)| Row::new(kind, expected, Answer::Wire(Wire::Send(parts), false)))
        .into()
}

/// Puts the mark into every field of an answer that may hold text.
fn mark(fault: &mut Fault, own: &str) {
    fault.message.get_or_insert_with(|| MARK.to_owned());
    for name in [
        "x-leak",
        "x-leak-leak-000",
        "x-acs-request-id",
        "server",
        "set-cookie",
    ] {
        let name = name.replace("leak-000", &own.to_lowercase());
        fault.headers.insert(name, MARK.to_owned());
    }
    let texts = [&mut fault.body, &mut fault.code, &mut fault.message];
    let more = [
        &mut fault.redirect,
        &mut fault.retry_after,
        &mut fault.content_type,
        &mut fault.task_id,
    ];
    for text in texts.into_iter().chain(more).flatten() {
        *text = text.replace(MARK, own);
    }
    for value in fault.headers.values_mut() {
        *value = value.replace(MARK, own);
    }
}

fn replace(bytes: &mut [u8], own: &[u8]) {
    for start in 0..bytes.len().saturating_sub(MARK.len() - 1) {
        let window = &mut bytes[start..start + MARK.len()];
        if window == MARK.as_bytes() {
            window.copy_from_slice(own);
        }
    }
}
