//! Decides how to answer a request.

use std::{collections::HashMap, time::Instant};

use hyper::{StatusCode, header::HeaderName};

use crate::{
    acs3::{Authorization, Received, Refusal},
    fault::{Fault, Scope},
    metadata::{self, Asked},
    percent,
    record::Request,
    reply::Reply,
    state::{Shared, State, TrackedTask, lock},
    sts::{self, Exchange},
    timeline::{self, Clock},
};

/// The reply, and what is logged and recorded about it.
pub(crate) struct Decision {
    pub(crate) reply: Reply,
    /// The task's state, if the body with it is sent.
    pub(crate) state: Option<String>,
    /// The fault that was applied.
    pub(crate) fault: Option<String>,
}

impl Decision {
    fn fault(reply: Reply, fault: &str) -> Self {
        let fault = Some(fault.to_owned());
        Self {
            reply,
            state: None,
            fault,
        }
    }
}

/// A request in progress. It ends when the answer is sent or the client has closed the connection.
pub(crate) struct Ticket {
    shared: Shared,
    number: usize,
    address: Address,
}

/// Whom a request is for.
enum Address {
    /// The task API: the region and the task ID.
    Task(String, String),
    Sts,
    Metadata,
}

impl Ticket {
    pub(crate) fn region(&self) -> &str {
        match &self.address {
            Address::Task(region, _) => region,
            Address::Sts => "sts",
            Address::Metadata => "metadata",
        }
    }

    pub(crate) fn task_id(&self) -> Option<&str> {
        match &self.address {
            Address::Task(_, task_id) => Some(task_id),
            Address::Sts | Address::Metadata => None,
        }
    }

    /// Records that the answer begins.
    pub(crate) fn answered(&self, status: u16) {
        let state = &mut *lock(&self.shared);
        match self.address {
            Address::Task(..) => {
                if let Some(request) = state.record.request(self.number) {
                    request.answered = Some(status);
                }
            }
            Address::Sts => {
                if let Some(exchange) = state.exchanges.get_mut(self.number) {
                    exchange.answered = Some(status);
                }
            }
            Address::Metadata => {}
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Address::Task(region, _) = &self.address {
            lock(&self.shared).record.left(region);
        }
    }
}

/// A parsed request to the task API.
struct TaskRequest<'a> {
    received: Received<'a>,
    region: &'a str,
    task_id: &'a str,
    account: &'a str,
    request_id: &'a str,
    now: Instant,
}

/// Decides how to answer a request to the task API.
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
    let mut decision = state.decide(&TaskRequest {
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
        request.state.clone_from(&decision.state);
    }
    let ticket = Ticket {
        shared: shared.clone(),
        number,
        address: Address::Task(region, task_id),
    };
    (decision, ticket)
}

/// The region and the task ID in a path: `[/REGION][/ANY/PREFIX]/tasks/ID`.
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
    fn decide(&mut self, request: &TaskRequest<'_>) -> Decision {
        let TaskRequest {
            region,
            task_id,
            request_id,
            now,
            ..
        } = *request;
        // Faults and steps count every request, even if it is refused.
        let fault = self.faults.hit(&scopes(region, task_id), region, now);
        let clock = self.task(region, task_id).map(|task| task.clock(now));
        if let Err(refusal) = self.admit(request) {
            return Decision::fault(Reply::refusal(&refusal, request_id), refusal.code);
        }
        if let Some(limiter) = &mut self.limiter
            && !limiter.admits(region, request.account, now)
        {
            let reply = Reply::default().with_fault(&limiter.limit.answer, request_id);
            return Decision::fault(reply, "rate limit");
        }
        let healthy = self.healthy(request, clock, fault.as_ref());
        match fault {
            None => healthy,
            Some(fault) => Decision {
                state: healthy.state.filter(|_| fault.leaves_body()),
                reply: healthy.reply.with_fault(&fault, request_id),
                fault: Some(fault.to_string()),
            },
        }
    }

    /// The answer without a fault, except for another task ID.
    fn healthy(
        &mut self,
        request: &TaskRequest<'_>,
        clock: Option<Clock>,
        fault: Option<&Fault>,
    ) -> Decision {
        let task = self.task(request.region, request.task_id);
        let Some((clock, TrackedTask { task, .. })) = clock.zip(task) else {
            let reply = Reply::default().with_fault(&self.unknown, request.request_id);
            return Decision {
                reply,
                state: None,
                fault: None,
            };
        };
        let other_id = fault.and_then(|fault| fault.task_id.as_deref());
        let answer = timeline::answer(task, clock, other_id);
        Decision {
            reply: Reply::ok(&answer.content_type, answer.body),
            state: Some(answer.state),
            fault: None,
        }
    }

    /// Checks that the request is for a task and correctly signed.
    fn admit(&mut self, request: &TaskRequest<'_>) -> Result<(), Refusal> {
        let refused = |status, code, message: &str| Err(Refusal::new(status, code, message));
        if request.task_id.is_empty() {
            let message = "The path is not /tasks/{task_id}.";
            return refused(404, "InvalidAction.NotFound", message);
        }
        if request.received.method != "GET" {
            return refused(405, "UnsupportedHTTPMethod", "The method is not GET.");
        }
        self.keys.check(request.received, request.now)
    }
}

/// The scopes whose faults apply to a request, the narrowest first.
fn scopes(region: &str, task_id: &str) -> [Scope; 3] {
    [
        Scope::Task(None, task_id.to_owned()),
        Scope::Task(Some(region.to_owned()), task_id.to_owned()),
        Scope::AllTasks,
    ]
}

/// Decides how to answer a call of STS.
pub(crate) fn exchange(
    shared: &Shared,
    method: &str,
    parameters: &HashMap<String, String>,
) -> (Decision, Ticket) {
    let now = Instant::now();
    let mut state = lock(shared);
    let mut exchange = Exchange::new(parameters);
    let number = state.exchanges.len();
    let request_id = format!("00000000-0000-4000-9000-{number:012}");
    let fault = state.faults.hit(&[Scope::Sts], "", now);
    let healthy = fault.as_ref().is_none_or(Fault::leaves_body);
    let is_signed = exchange.action == "AssumeRole";
    let checked = exchange.check().and_then(|()| {
        if is_signed {
            state.keys.check_rpc(method, parameters, now)
        } else {
            Ok(())
        }
    });
    let mut reply = match checked {
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
        reply = reply.with_fault(fault, &request_id);
    }
    state.exchanges.push(exchange);
    let decision = Decision {
        reply,
        state: None,
        fault: fault.map(|fault| fault.to_string()),
    };
    let ticket = Ticket {
        shared: shared.clone(),
        number,
        address: Address::Sts,
    };
    (decision, ticket)
}

/// Decides how to answer a request to the metadata service or the credentials URI.
pub(crate) fn metadata(
    shared: &Shared,
    received: Received<'_>,
    asked: &Asked,
) -> (Decision, Ticket) {
    let now = Instant::now();
    let mut state = lock(shared);
    let metadata = state.metadata.clone();
    let keys = &mut state.keys;
    let issue = |lifetime| keys.issue(lifetime, now);
    let (status, body) = metadata::answer(&metadata, asked, received, issue);
    let mut reply = Reply::ok("text/plain", body);
    reply.status = StatusCode::from_u16(status).unwrap_or_default();
    let decision = Decision {
        reply,
        state: None,
        fault: None,
    };
    let ticket = Ticket {
        shared: shared.clone(),
        number: 0,
        address: Address::Metadata,
    };
    (decision, ticket)
}
