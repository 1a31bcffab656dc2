//! Faults: what is wrong with an answer, and for which requests.

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

/// A fault of answers. All fields that are set apply together. The others leave the answer unchanged, so
/// `Fault::default()` has no effect.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fault {
    /// The requests that it applies to, counted from 1 since the fault was set. By default all.
    pub requests: Requests,
    /// Applies only from this long after the fault was set.
    #[serde(deserialize_with = "values::optional_duration")]
    pub after: Option<Duration>,
    /// Applies only until this long after the fault was set.
    #[serde(deserialize_with = "values::optional_duration")]
    pub until: Option<Duration>,
    /// Applies only to requests to this region. By default to all.
    pub region: Option<String>,
    /// Applies only to calls for these pages of a list, whichever call it is.
    pub pages: Option<Requests>,
    /// The HTTP status, 200 to 599. From 300 on, the body becomes `{code, message, requestId}`.
    #[serde(deserialize_with = "status")]
    pub status: Option<u16>,
    /// The `code` of the error body. By default one that fits the status. Sets the status to 400 if there
    /// is no `status`.
    pub code: Option<String>,
    /// The `message` of the error body.
    pub message: Option<String>,
    /// Headers that are added to the answer or replace its own.
    #[serde(deserialize_with = "headers")]
    pub headers: BTreeMap<String, String>,
    /// The `Retry-After` header, unchanged.
    pub retry_after: Option<String>,
    /// Answers with this `Location` and status 302, unless `status` is set.
    pub redirect: Option<String>,
    /// Waits this long before the answer begins.
    #[serde(deserialize_with = "values::optional_duration")]
    pub delay: Option<Duration>,
    /// What happens instead of a complete answer.
    pub kind: Option<Kind>,
    /// Another body, byte for byte. `""` is an empty body.
    pub body: Option<String>,
    /// A file to read `body` from, relative to the script.
    pub body_file: Option<PathBuf>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// Another task ID in the body of a single task.
    pub task_id: Option<String>,
    /// Pads the body with blanks to this many bytes.
    pub size: Option<usize>,
    /// Sends only this many bytes of the body, fewer than `Content-Length`, then closes the connection.
    pub truncate: Option<usize>,
    /// Sends the body in small pieces.
    pub slow: Option<Slow>,
}

/// What happens instead of a complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Never answers. The connection stays open.
    Hang,
    /// Resets the connection (TCP RST).
    Reset,
    /// Answers with bytes that are neither JSON nor XML nor UTF-8.
    Garbage,
    /// Sends the body, then blanks forever.
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
    /// An HTTP status with a matching error body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }

    /// An error of the API with this status and `code`.
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

    /// Limits the fault to calls for these pages of a list.
    #[must_use]
    pub fn on_pages(self, pages: RangeInclusive<u64>) -> Self {
        Self {
            pages: Some(Requests::from(pages)),
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

    /// Whether the original body is still sent, at least in part.
    pub(crate) fn leaves_body(&self) -> bool {
        let status = self.status.unwrap_or(200) < 300 && self.redirect.is_none();
        let kind = matches!(self.kind, None | Some(Kind::Endless));
        status && kind && self.code.is_none() && self.body.is_none()
    }

    /// Whether the fault is for such requests. Only these are counted.
    fn is_for(&self, region: &str, page: Option<u64>) -> bool {
        let in_region = self.region.as_deref().is_none_or(|only| only == region);
        let on_page = |pages: &Requests| page.is_some_and(|page| pages.contains(page));
        in_region && self.pages.as_ref().is_none_or(on_page)
    }

    /// Whether the fault applies to the `number`th request, `age` after the fault was set.
    pub(crate) fn hits(&self, number: u64, age: Duration) -> bool {
        self.requests.contains(number)
            && self.after.is_none_or(|after| age >= after)
            && self.until.is_none_or(|until| age < until)
    }
}

impl fmt::Display for Fault {
    /// A short description.
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

    /// Parses a fault as in a script, such as `{requests: 1-3, status: 503}`.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        script::parse(text)
    }
}

/// A set of requests or pages, counted from 1: `1-3`, `2`, `4-` or `1-3,7`. By default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests(Vec<RangeInclusive<u64>>);

impl Requests {
    pub(crate) fn contains(&self, number: u64) -> bool {
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

/// What a fault applies to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// A task, in one region or in all.
    Task(Option<String>, String),
    AllTasks,
    /// The list of a cluster's tasks.
    List(String),
    AllLists,
    Sts,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub(crate) struct Faults(HashMap<Scope, Vec<ActiveFault>>);

/// A fault, when it was set, and the number of requests since.
#[derive(Debug)]
struct ActiveFault {
    fault: Fault,
    set_at: Instant,
    requests: u64,
}

impl Faults {
    /// Replaces the faults of a scope.
    pub(crate) fn set(&mut self, scope: Scope, faults: Vec<Fault>, now: Instant) {
        let set = |fault| ActiveFault {
            fault,
            set_at: now,
            requests: 0,
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

    /// Counts a request, and returns the first fault that applies to it, in the order of the scopes.
    pub(crate) fn hit(
        &mut self,
        scopes: &[Scope],
        (region, page): (&str, Option<u64>),
        now: Instant,
    ) -> Option<Fault> {
        let mut hit = None;
        for scope in scopes {
            for set in self.0.get_mut(scope).into_iter().flatten() {
                if !set.fault.is_for(region, page) {
                    continue;
                }
                set.requests += 1;
                if hit.is_none() && set.fault.hits(set.requests, now.duration_since(set.set_at)) {
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
            assert!(text.parse::<Requests>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_fault_applies_only_in_its_time() {
        let fault: Fault = "{after: 2s, until: 5s, status: 503}".parse().unwrap();
        let hits = |seconds| fault.hits(1, Duration::from_secs(seconds));
        assert_eq!(
            [hits(1), hits(2), hits(4), hits(5)],
            [false, true, true, false]
        );
    }
}
