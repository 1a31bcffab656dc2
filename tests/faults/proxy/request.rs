//! Classifies, counts and records requests.

use std::{collections::HashMap, fmt};

use http::{Method, request::Parts};

use super::Action;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// In pages, or as a watch that begins with all objects.
    List,
    /// From a version on.
    Watch,
    /// A read of one object, as after a conflict.
    Read,
    PatchStatus,
    Delete,
    /// Of a found task.
    CreateObject,
    /// The same of sources.
    ListSources,
    WatchSources,
    PatchSource,
    CreateEvent,
    PatchEvent,
    /// Any request for a Lease. Their number depends on the time, so they are counted separately.
    Lease,
    Other,
}

/// Identifies a request by its kind and its number among those of its kind, from 1. A number among all
/// requests would be ambiguous, as requests of different kinds are sent concurrently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    pub kind: Kind,
    pub ordinal: usize,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// The number among all requests, from 1. Requests for Leases are counted separately.
    pub number: usize,
    pub point: Point,
    /// The number of the client's process that sent it, from 1.
    pub life: u32,
    /// Its kind and its number since that process started.
    pub point_in_life: Point,
    pub method: Method,
    pub path: String,
    pub query: String,
}

/// A request and its result.
#[derive(Clone, Debug)]
pub struct Record {
    pub request: Request,
    pub action: Action,
    /// The response codes of the API server. Empty if it never got the request.
    pub answers: Vec<u16>,
}

impl Request {
    /// Whether it is a watch, also one that begins with all objects.
    pub fn streams(&self) -> bool {
        self.point.kind.list().is_some() && self.query.contains("watch=")
    }
}

/// Gives requests their numbers.
#[derive(Debug, Default)]
pub struct Counter {
    all: usize,
    leases: usize,
    of_kind: HashMap<Kind, usize>,
    of_kind_in_life: HashMap<(u32, Kind), usize>,
}

impl Kind {
    fn of(method: &Method, path: &str, query: &str) -> Self {
        let [collection, name, part] = segments(path);
        match (method, collection) {
            (_, "leases") => Self::Lease,
            (&Method::GET, "scaleouttasks") if !name.is_empty() => Self::Read,
            (&Method::GET, "scaleouttasks") if is_streaming_list(query) => Self::List,
            (&Method::GET, "scaleouttasks") if query.contains("watch=") => Self::Watch,
            (&Method::GET, "scaleouttasks") => Self::List,
            (&Method::PATCH, "scaleouttasks") if part == "status" => Self::PatchStatus,
            (&Method::DELETE, "scaleouttasks") => Self::Delete,
            (&Method::POST, "scaleouttasks") => Self::CreateObject,
            (&Method::GET, "scaleouttasksources") if is_streaming_list(query) => Self::ListSources,
            (&Method::GET, "scaleouttasksources") if query.contains("watch=") => Self::WatchSources,
            (&Method::GET, "scaleouttasksources") => Self::ListSources,
            (&Method::PATCH, "scaleouttasksources") if part == "status" => Self::PatchSource,
            (&Method::POST, "events") => Self::CreateEvent,
            (&Method::PATCH, "events") => Self::PatchEvent,
            _ => Self::Other,
        }
    }

    /// Whether it changes something.
    pub fn is_write(self) -> bool {
        self != Self::Read && self.list().is_none()
    }

    /// Of lists and watches, the list of the same objects.
    pub fn list(self) -> Option<Self> {
        match self {
            Self::List | Self::Watch => Some(Self::List),
            Self::ListSources | Self::WatchSources => Some(Self::ListSources),
            _ => None,
        }
    }
}

/// Whether a watch begins with all objects.
pub fn is_streaming_list(query: &str) -> bool {
    query.contains("sendInitialEvents=true")
}

/// The resource, name and subresource in a path like `/apis/GROUP/VERSION/namespaces/NS/…`.
fn segments(path: &str) -> [&str; 3] {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let resource_at = if parts.get(3) == Some(&"namespaces") {
        5
    } else {
        3
    };
    [0, 1, 2].map(|after| parts.get(resource_at + after).copied().unwrap_or_default())
}

impl Counter {
    pub fn count(&mut self, life: u32, head: &Parts) -> Request {
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let kind = Kind::of(&head.method, path, query);
        let number = match kind {
            Kind::Lease => &mut self.leases,
            _ => &mut self.all,
        };
        let ordinal = self.of_kind.entry(kind).or_default();
        let in_life = self.of_kind_in_life.entry((life, kind)).or_default();
        for count in [&mut *number, &mut *ordinal, &mut *in_life] {
            *count += 1;
        }
        let point = |ordinal| Point { kind, ordinal };
        Request {
            number: *number,
            point: point(*ordinal),
            life,
            point_in_life: point(*in_life),
            method: head.method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.ordinal)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            request,
            action,
            answers,
        } = self;
        let Request {
            number,
            point,
            life,
            method,
            path,
            ..
        } = request;
        write!(
            f,
            "{number} of life {life}: {point}: {method} {path}: {action:?}: {answers:?}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_classified_by_their_purpose() {
        let base = "/apis/scaleout.dev/v1alpha1/namespaces/events/scaleouttasks";
        let sources = "/apis/scaleout.dev/v1alpha1/namespaces/a/scaleouttasksources";
        let events = "/apis/events.k8s.io/v1/namespaces/leases/events";
        let rows = [
            (Method::GET, base.to_owned(), "limit=500", Kind::List),
            (Method::GET, base.to_owned(), "&watch=true", Kind::Watch),
            (Method::GET, format!("{base}/one"), "", Kind::Read),
            (
                Method::PATCH,
                format!("{base}/one/status"),
                "",
                Kind::PatchStatus,
            ),
            (Method::DELETE, format!("{base}/one"), "", Kind::Delete),
            (Method::POST, base.to_owned(), "", Kind::CreateObject),
            (Method::GET, sources.to_owned(), "", Kind::ListSources),
            (
                Method::GET,
                sources.to_owned(),
                "watch=1",
                Kind::WatchSources,
            ),
            (
                Method::PATCH,
                format!("{sources}/src/status"),
                "",
                Kind::PatchSource,
            ),
            (Method::POST, events.to_owned(), "", Kind::CreateEvent),
            (Method::PATCH, format!("{events}/x.1"), "", Kind::PatchEvent),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b".to_owned(),
                "",
                Kind::Lease,
            ),
            (Method::GET, "/version".to_owned(), "", Kind::Other),
        ];
        for (method, path, query, kind) in rows {
            assert_eq!(Kind::of(&method, &path, query), kind, "{method} {path}");
        }
    }
}
