//! What is answered to a request.

use std::{collections::HashMap, time::Instant};

use hyper::header::HeaderName;

use crate::{
    acs3::{Authorization, Received, Refusal},
    fault::{Fault, Scope},
    percent,
    record::Request,
    reply::Reply,
    state::{Moving, Shared, State, lock},
    sts::{self, Exchange},
    timeline::{self, Clock},
};

/// What is to be answered, and for log and record what it tells.
pub(crate) struct Decision {
    pub(crate) reply: Reply,
    /// The task's state, where the body that tells it is sent.
    pub(crate) told: Option<String>,
    /// What went wrong, as it was meant to.
    pub(crate) trouble: Option<String>,
}

impl Decision {
    fn trouble(reply: Reply, trouble: &str) -> Self {
        let trouble = Some(trouble.to_owned());
        Self {
            reply,
            told: None,
            trouble,
        }
    }
}

/// A request until its answer is sent, or its client has left.
pub(crate) struct Ticket {
    shared: Shared,
    number: usize,
    /// The region and the task's ID; none for an exchange.
    address: Option<(String, String)>,
}

impl Ticket {
    pub(crate) fn region(&self) -> &str {
        self.address.as_ref().map_or("sts", |(region, _)| region)
    }

    pub(crate) fn task_id(&self) -> Option<&str> {
        self.address.as_ref().map(|(_, task_id)| task_id.as_str())
    }

    /// Notes that the answer begins.
    pub(crate) fn answered(&self, status: u16) {
        let state = &mut *lock(&self.shared);
        if self.address.is_none() {
            if let Some(exchange) = state.exchanges.get_mut(self.number) {
                exchange.answered = Some(status);
            }
        } else if let Some(request) = state.record.request(self.number) {
            request.answered = Some(status);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some((region, _)) = &self.address {
            lock(&self.shared).record.left(region);
        }
    }
}

/// A request of the task API, taken apart.
struct Asked<'a> {
    received: Received<'a>,
    region: &'a str,
    task_id: &'a str,
    account: &'a str,
    request_id: &'a str,
    now: Instant,
}

/// Decides what to answer to a request of the task API.
pub(crate) fn decide(shared: &Shared, received: Received<'_>) -> (Decision, Ticket) {
    let now = Instant::now();
    let mut state = lock(shared);
    let (region, task_id) = address(received, state.region_in_path);
    let authorization = Authorization::of(received.headers).ok();
    let access_key_id = authorization.map(|authorization| authorization.access_key_id);
    let number = state.record.arrived(Request {
        task_id: task_id.clone(),
        region: region.clone(),
        at: now,
        answered: None,
        state: None,
        authorization: received.headers.contains_key("authorization"),
        access_key_id: access_key_id.clone(),
    });
    let request_id = format!("00000000-0000-4000-8000-{number:012}");
    let mut decision = state.decide(&Asked {
        received,
        region: &region,
        task_id: &task_id,
        account: access_key_id.as_deref().unwrap_or_default(),
        request_id: &request_id,
        now,
    });
    let header = HeaderName::from_static("x-acs-request-id");
    decision.reply.set_header(header, &request_id);
    if let Some(request) = state.record.request(number) {
        request.state.clone_from(&decision.told);
    }
    let ticket = Ticket {
        shared: shared.clone(),
        number,
        address: Some((region, task_id)),
    };
    (decision, ticket)
}

/// The region and the task that a path names: `[/REGION][/ANY/PREFIX]/tasks/ID`.
fn address(received: Received<'_>, region_in_path: bool) -> (String, String) {
    let (prefix, id) = match received.path.rsplit_once("/tasks/") {
        Some((prefix, id)) if !id.contains('/') => (prefix, id),
        _ => (received.path, ""),
    };
    let region = if region_in_path {
        percent::decode_text(prefix.split('/').nth(1).unwrap_or_default())
    } else {
        let host = received.headers.get("host");
        let host = host.and_then(|host| host.to_str().ok());
        host.unwrap_or_default().to_owned()
    };
    (region, percent::decode_text(id))
}

impl State {
    fn decide(&mut self, asked: &Asked<'_>) -> Decision {
        let Asked {
            region,
            task_id,
            request_id,
            now,
            ..
        } = *asked;
        // All that counts requests counts every one, whatever comes of it.
        let fault = self.faults.hit(&scopes(region, task_id), region, now);
        let clock = self.task(region, task_id).map(|task| task.clock(now));
        if let Err(refusal) = self.admit(asked) {
            return Decision::trouble(Reply::refusal(&refusal, request_id), refusal.code);
        }
        if let Some(limiter) = &mut self.limiter
            && !limiter.admits(region, asked.account, now)
        {
            let reply = Reply::default().spoilt(&limiter.limit.answer, request_id);
            return Decision::trouble(reply, "rate limit");
        }
        let healthy = self.healthy(asked, clock, fault.as_ref());
        match fault {
            None => healthy,
            Some(fault) => Decision {
                told: healthy.told.filter(|_| fault.leaves_body()),
                reply: healthy.reply.spoilt(&fault, request_id),
                trouble: Some(fault.to_string()),
            },
        }
    }

    /// The answer without a fault, except for another task ID.
    fn healthy(
        &mut self,
        asked: &Asked<'_>,
        clock: Option<Clock>,
        fault: Option<&Fault>,
    ) -> Decision {
        let task = self.task(asked.region, asked.task_id);
        let Some((clock, Moving { task, .. })) = clock.zip(task) else {
            let reply = Reply::default().spoilt(&self.unknown, asked.request_id);
            return Decision {
                reply,
                told: None,
                trouble: None,
            };
        };
        let other_id = fault.and_then(|fault| fault.task_id.as_deref());
        let answer = timeline::answer(task, clock, other_id);
        Decision {
            reply: Reply::ok(&answer.content_type, answer.body),
            told: Some(answer.state),
            trouble: None,
        }
    }

    /// Whether the request is one for a task, and signed as it must be.
    fn admit(&mut self, asked: &Asked<'_>) -> Result<(), Refusal> {
        let refused = |status, code, message: &str| Err(Refusal::new(status, code, message));
        if asked.task_id.is_empty() {
            let message = "The path is not /tasks/{task_id}.";
            return refused(404, "InvalidAction.NotFound", message);
        }
        if asked.received.method != "GET" {
            return refused(405, "UnsupportedHTTPMethod", "The method is not GET.");
        }
        self.keys.check(asked.received, asked.now)
    }
}

/// The scopes whose faults a request meets, the narrowest first.
fn scopes(region: &str, task_id: &str) -> [Scope; 3] {
    [
        Scope::Task(None, task_id.to_owned()),
        Scope::Task(Some(region.to_owned()), task_id.to_owned()),
        Scope::AllTasks,
    ]
}

/// Decides what to answer to an exchange of an OIDC token.
pub(crate) fn exchange(
    shared: &Shared,
    parameters: &HashMap<String, String>,
) -> (Decision, Ticket) {
    let now = Instant::now();
    let mut state = lock(shared);
    let mut exchange = Exchange::new(parameters);
    let number = state.exchanges.len();
    let request_id = format!("00000000-0000-4000-9000-{number:012}");
    let fault = state.faults.hit(&[Scope::Sts], "", now);
    let healthy = fault.as_ref().is_none_or(Fault::leaves_body);
    let mut reply = match exchange.check() {
        Err(refusal) => Reply::refusal(&refusal, &request_id),
        Ok(()) if healthy => {
            let lifetime = state.sts_lifetime;
            let issued = state.keys.issue(lifetime, now);
            exchange.access_key_id = Some(issued.access_key_id.clone());
            let body = sts::body(&exchange, &issued, &request_id);
            Reply::ok("application/json", body)
        }
        Ok(()) => Reply::default(),
    };
    if let Some(fault) = &fault {
        reply = reply.spoilt(fault, &request_id);
    }
    state.exchanges.push(exchange);
    let decision = Decision {
        reply,
        told: None,
        trouble: fault.map(|fault| fault.to_string()),
    };
    let ticket = Ticket {
        shared: shared.clone(),
        number,
        address: None,
    };
    (decision, ticket)
}
