//! Faults: how an answer goes wrong, and for which requests.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant},
};

use hyper::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    script::{self, ScriptError},
    values,
};

/// One way for answers to go wrong. Everything set applies together; what is not set stays as the
/// healthy answer has it, so `Fault::default()` harms nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fault {
    /// Which requests it hits, counted from 1 since the fault was set; by default all.
    pub requests: Requests,
    /// Hits only this long after the fault was set, and later.
    #[serde(deserialize_with = "values::optional_duration")]
    pub after: Option<Duration>,
    /// Hits only until this long after the fault was set.
    #[serde(deserialize_with = "values::optional_duration")]
    pub until: Option<Duration>,
    /// Hits only requests to this region; by default to any.
    pub region: Option<String>,
    /// The HTTP status, 200 to 599; from 300 on, the body becomes `{code, message, requestId}`.
    #[serde(deserialize_with = "status")]
    pub status: Option<u16>,
    /// The `code` of the error body; by default one that fits the status. Without a `status`, 400.
    pub code: Option<String>,
    /// The `message` of the error body.
    pub message: Option<String>,
    /// Headers added to the answer, or replacing its own.
    #[serde(deserialize_with = "headers")]
    pub headers: BTreeMap<String, String>,
    /// The `Retry-After` header, as it is written here.
    pub retry_after: Option<String>,
    /// Answers 302 (unless `status` says otherwise) with this `Location`.
    pub redirect: Option<String>,
    /// Waits this long before the answer begins.
    #[serde(deserialize_with = "values::optional_duration")]
    pub delay: Option<Duration>,
    /// What happens in place of a whole answer.
    pub kind: Option<Kind>,
    /// The body in place of the healthy one, byte for byte; `""` is an empty body.
    pub body: Option<String>,
    /// A file to read `body` from, relative to the script.
    pub body_file: Option<PathBuf>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The task ID that the body names in place of the right one.
    pub task_id: Option<String>,
    /// Pads the body with blanks to this many bytes.
    pub size: Option<usize>,
    /// Sends only this many bytes of the body that `Content-Length` promises, then closes.
    pub truncate: Option<usize>,
    /// Sends the body in small pieces.
    pub slow: Option<Slow>,
}

/// What happens in place of a whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Never answers; the connection stays open.
    Hang,
    /// Resets the connection (TCP RST).
    Reset,
    /// Answers with bytes that are neither JSON nor XML nor UTF-8.
    Garbage,
    /// Sends the body, then blanks, chunk after chunk without an end.
    Endless,
}

/// A body in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slow {
    /// Bytes in a piece.
    pub bytes: NonZeroUsize,
    /// The pause before each piece but the first.
    #[serde(deserialize_with = "values::duration")]
    pub every: Duration,
}

impl Fault {
    /// Any HTTP status, with the error body that goes with it.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// An error of the API: its status and its `code`.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        Self {
            code: Some(code.to_owned()),
            ..Self::status(status)
        }
    }

    /// Never answers.
    #[must_use]
    pub fn hang() -> Self {
        Self {
            kind: Some(Kind::Hang),
            ..Self::default()
        }
    }

    /// Resets the connection.
    #[must_use]
    pub fn reset() -> Self {
        Self {
            kind: Some(Kind::Reset),
            ..Self::default()
        }
    }

    /// Answers as usual, but later.
    #[must_use]
    pub fn delay(delay: Duration) -> Self {
        Self {
            delay: Some(delay),
            ..Self::default()
        }
    }

    /// Limits the fault to these requests, counted from 1 since the fault was set.
    #[must_use]
    pub fn on(self, requests: RangeInclusive<u64>) -> Self {
        Self {
            requests: Requests::from(requests),
            ..self
        }
    }

    /// Limits the fault to requests to this region.
    #[must_use]
    pub fn in_region(self, region: &str) -> Self {
        Self {
            region: Some(region.to_owned()),
            ..self
        }
    }

    /// Whether the answer's own body is still sent, whole or not.
    pub(crate) fn leaves_body(&self) -> bool {
        let status = self.status.unwrap_or(200) < 300 && self.redirect.is_none();
        let kind = matches!(self.kind, None | Some(Kind::Endless));
        status && kind && self.code.is_none() && self.body.is_none()
    }

    /// Whether the fault hits the `number`th request, `age` after the fault was set.
    pub(crate) fn hits(&self, number: u64, age: Duration) -> bool {
        self.requests.contains(number)
            && self.after.is_none_or(|after| age >= after)
            && self.until.is_none_or(|until| age < until)
    }
}

impl fmt::Display for Fault {
    /// What it does, in a few words.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            self.status.map(|status| format!("status {status}")),
            self.code.clone(),
            self.delay.map(|delay| format!("delay {delay:?}")),
            self.kind.map(|kind| format!("{kind:?}").to_lowercase()),
            self.redirect.as_ref().map(|_| "redirect".to_owned()),
            self.body
                .as_ref()
                .map(|body| format!("body of {} bytes", body.len())),
            self.task_id.as_ref().map(|_| "other task_id".to_owned()),
            self.size.map(|size| format!("size {size}")),
            self.truncate
                .map(|sent| format!("truncated to {sent} bytes")),
            self.slow
                .map(|slow| format!("{} bytes every {:?}", slow.bytes, slow.every)),
        ];
        let words: Vec<_> = words.into_iter().flatten().collect();
        formatter.write_str(if words.is_empty() { "headers" } else { "" })?;
        formatter.write_str(&words.join(", "))
    }
}

impl FromStr for Fault {
    type Err = ScriptError;

    /// Reads a fault as a script writes it, such as `{requests: 1-3, status: 503}`.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        script::parse(text)
    }
}

/// A set of requests, counted from 1: `1-3`, `2`, `4-` or `1-3,7`; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests(Vec<RangeInclusive<u64>>);

impl Requests {
    fn contains(&self, number: u64) -> bool {
        self.0.is_empty() || self.0.iter().any(|range| range.contains(&number))
    }
}

impl From<RangeInclusive<u64>> for Requests {
    fn from(range: RangeInclusive<u64>) -> Self {
        Self(vec![range])
    }
}

impl FromStr for Requests {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(|part| range(part.trim()))
            .collect::<Option<_>>()
            .map(Self)
            .ok_or_else(|| format!("{text:?} names no requests: write 1-3, 2, 4- or 1-3,7"))
    }
}

fn range(part: &str) -> Option<RangeInclusive<u64>> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let first: u64 = first.trim().parse().ok()?;
    let last = match last.trim() {
        "" => u64::MAX,
        last => last.parse().ok()?,
    };
    (1..=last).contains(&first).then_some(first..=last)
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let status = Option::<u16>::deserialize(deserializer)?;
    match status {
        Some(status) if !(200..=599).contains(&status) => Err(D::Error::custom(format!(
            "status: {status} is not between 200 and 599"
        ))),
        status => Ok(status),
    }
}

fn headers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let headers = BTreeMap::<String, String>::deserialize(deserializer)?;
    for (name, value) in &headers {
        if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
            return Err(D::Error::custom(format!(
                "headers: {name}: {value:?} can't be a header"
            )));
        }
    }
    Ok(headers)
}

/// What a fault is set for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// A task, in one region or in every.
    Task(Option<String>, String),
    AllTasks,
    Sts,
}

/// The faults that are set, each with what it has seen since.
#[derive(Debug, Default)]
pub(crate) struct Faults(HashMap<Scope, Vec<Set>>);

#[derive(Debug)]
struct Set {
    fault: Fault,
    since: Instant,
    seen: u64,
}

impl Faults {
    /// Sets the faults of a scope, in place of those it had.
    pub(crate) fn set(&mut self, scope: Scope, faults: Vec<Fault>, now: Instant) {
        let set = |fault| Set {
            fault,
            since: now,
            seen: 0,
        };
        self.0.insert(scope, faults.into_iter().map(set).collect());
    }

    /// Removes the faults of a task, in all regions.
    pub(crate) fn remove_task(&mut self, task_id: &str) {
        self.0
            .retain(|scope, _| !matches!(scope, Scope::Task(_, id) if id == task_id));
    }

    /// Removes the faults of all scopes.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts a request, and gives the first fault that hits it; scopes go in the order given.
    pub(crate) fn hit(&mut self, scopes: &[Scope], region: &str, now: Instant) -> Option<Fault> {
        let mut hit = None;
        for scope in scopes {
            for set in self.0.get_mut(scope).into_iter().flatten() {
                if set
                    .fault
                    .region
                    .as_deref()
                    .is_some_and(|only| only != region)
                {
                    continue;
                }
                set.seen += 1;
                if hit.is_none() && set.fault.hits(set.seen, now.duration_since(set.since)) {
                    hit = Some(set.fault.clone());
                }
            }
        }
        hit
    }
}

impl<'de> Deserialize<'de> for Requests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_ranges_counted_from_one() {
        let hit = |text: &str| -> Vec<u64> {
            let requests: Requests = text.parse().unwrap();
            (1..=9)
                .filter(|number| requests.contains(*number))
                .collect()
        };
        assert_eq!(hit("1-3"), [1, 2, 3]);
        assert_eq!(hit("2"), [2]);
        assert_eq!(hit("8-"), [8, 9]);
        assert_eq!(hit("1-2, 7"), [1, 2, 7]);
        for text in ["", "0", "3-1", "a", "-3"] {
            assert!(text.parse::<Requests>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_fault_keeps_to_its_time() {
        let fault: Fault = "{after: 2s, until: 5s, status: 503}".parse().unwrap();
        let hits = |seconds| fault.hits(1, Duration::from_secs(seconds));
        assert_eq!(
            [hits(1), hits(2), hits(4), hits(5)],
            [false, true, true, false]
        );
    }
}
