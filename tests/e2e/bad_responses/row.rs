//! One kind of bad response, and what the object must come to that gets it.

use serde_json::{Value, json};
use simulator::Fault;

use crate::raw_server::{Part, Wire};

/// Stands in every body and header. Each row gets a number of its own, of the same length.
const MARK: &str = "LEAK-000";

/// Reason and status of `Ready`, and the type of the condition beside it, as the contract's table
/// has them for an object whose task was never read.
pub type Ending = (&'static str, &'static str, &'static str);

pub const UNAVAILABLE: Ending = ("TaskApiUnavailable", "Unknown", "Reconciling");
pub const THROTTLED: Ending = ("Throttled", "Unknown", "Reconciling");
pub const INVALID: Ending = ("InvalidResponse", "Unknown", "Reconciling");
/// Within the grace.
pub const NOT_FOUND: Ending = ("TaskNotFound", "Unknown", "Reconciling");
pub const DENIED: Ending = ("AccessDenied", "False", "Stalled");
pub const CREDENTIALS: Ending = ("CredentialsInvalid", "False", "Stalled");
pub const CLOCK: Ending = ("ClockSkewed", "False", "Stalled");
pub const REJECTED: Ending = ("RequestRejected", "False", "Stalled");
pub const MISMATCH: Ending = ("ClusterMismatch", "False", "Stalled");
pub const RUNNING: Ending = ("TaskRunning", "False", "Reconciling");
pub const UNKNOWN_STATE: Ending = ("TaskStateUnknown", "False", "Reconciling");
pub const FAILED: Ending = ("TaskFailed", "False", "Stalled");
pub const SUCCEEDED: Ending = ("TaskSucceeded", "True", "");

/// All of them.
pub const ENDINGS: [Ending; 13] = [
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

/// How the task API goes wrong.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As the simulator can; these faults in turn.
    Faults(Vec<Fault>),
    /// On the wire. With `true`, the endpoint is https, which no server here speaks.
    Wire(Wire, bool),
}

#[derive(Clone, Debug)]
pub struct Row {
    pub kind: String,
    pub answer: Answer,
    pub ending: Ending,
    /// What the status must have, and with null what it must not.
    pub shows: Value,
    /// The cluster that the object expects, if any.
    pub cluster: Option<&'static str>,
    /// Whether it recovers within the time of a test.
    pub recovers: bool,
}

impl Row {
    pub fn new(kind: &str, ending: Ending, answer: Answer) -> Self {
        Self {
            kind: kind.to_owned(),
            answer,
            ending,
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

    /// Whether the answer says nothing about the task that can be used.
    pub fn is_trouble(&self) -> bool {
        ![RUNNING, UNKNOWN_STATE, FAILED, SUCCEEDED].contains(&self.ending)
    }

    /// How the Event is marked.
    pub fn severity(&self) -> &'static str {
        if [RUNNING, UNKNOWN_STATE, SUCCEEDED].contains(&self.ending) {
            "Normal"
        } else {
            "Warning"
        }
    }

    /// What the metrics call the end of such a call.
    pub fn outcome(&self) -> &'static str {
        if self.is_trouble() && self.ending != MISMATCH {
            self.ending.0
        } else {
            "success"
        }
    }

    /// Gives every mark in the answer this number.
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

/// Rows of bytes on the wire.
pub fn wires<const N: usize>(ending: Ending, rows: [(&str, Vec<Part>); N]) -> Vec<Row> {
    rows.map(|(kind, parts)| Row::new(kind, ending, Answer::Wire(Wire::Send(parts), false)))
        .into()
}

/// Puts the mark into every part of an answer that may hold text.
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
