//! Decides how to answer a call of the task API.

use std::time::Instant;

use hyper::header::HeaderName;

use crate::{
    acs3::{Authorization, Operation, Received, Refusal},
    decision::{Address, Decision, Ticket},
    fault::{Fault, Scope},
    page::Query,
    percent,
    record::{ListCall, Request},
    reply::Reply,
    state::{Shared, State, lock},
    tasks::TrackedTask,
    timeline::{self, Clock},
};

const DESCRIBE_TASK_INFO: Operation = Operation {
    action: "DescribeTaskInfo",
    version: "2015-12-15",
};

const DESCRIBE_CLUSTER_TASKS: Operation = Operation {
    action: "DescribeClusterTasks",
    version: "2015-12-15",
};

/// What the task API is asked for.
pub(crate) enum Resource {
    /// The task with this ID. It is empty if the path has none.
    Task(String),
    /// A page of the list of the cluster with this ID.
    List(String, Query),
}

/// A parsed request to the task API.
struct Call<'a> {
    received: Received<'a>,
    region: &'a str,
    resource: &'a Resource,
    account: Option<String>,
    request_id: String,
    now: Instant,
}

/// Decides how to answer a request to the task API.
pub(crate) fn decide(shared: &Shared, received: Received<'_>) -> (Decision, Ticket) {
    let now = Instant::now();
    let mut state = lock(shared);
    let (region, resource) = address(received, state.region_in_path);
    let authorization = Authorization::of(received.headers).ok();
    let mut call = Call {
        received,
        region: &region,
        resource: &resource,
        account: authorization.map(|authorization| authorization.access_key_id),
        request_id: String::new(),
        now,
    };
    let number = state.record(&call);
    call.request_id = match resource {
        Resource::Task(_) => format!("00000000-0000-4000-8000-{number:012}"),
        Resource::List(..) => format!("00000000-0000-4000-a000-{number:012}"),
    };
    let mut decision = state.decide(&call);
    let header = HeaderName::from_static("x-acs-request-id");
    decision.reply.set_header(header, &call.request_id);
    state.record_shown(&resource, number, &decision);
    let ticket = Ticket {
        shared: shared.clone(),
        number,
        address: Address::Api(region, resource),
    };
    (decision, ticket)
}

/// The region, and what is asked for, in a path: `[/REGION][/ANY/PREFIX]/tasks/ID` or
/// `[/REGION][/ANY/PREFIX]/clusters/ID/tasks`.
fn address(received: Received<'_>, region_in_path: bool) -> (String, Resource) {
    let path = received.path;
    let (prefix, resource) = if let Some((prefix, id)) = path_of_list(path) {
        let query = Query::of(received.query);
        (prefix, Resource::List(percent::decode_text(id), query))
    } else {
        let (prefix, id) = match path.rsplit_once("/tasks/") {
            Some((prefix, id)) if !id.contains('/') => (prefix, id),
            _ => (path, ""),
        };
        (prefix, Resource::Task(percent::decode_text(id)))
    };
    let region = if region_in_path {
        percent::decode_text(prefix.split('/').nth(1).unwrap_or_default())
    } else {
        let host = received.headers.get("host");
        let host = host.and_then(|host| host.to_str().ok());
        host.unwrap_or_default().to_owned()
    };
    (region, resource)
}

fn path_of_list(path: &str) -> Option<(&str, &str)> {
    let (prefix, id) = path.strip_suffix("/tasks")?.rsplit_once("/clusters/")?;
    Some((prefix, id)).filter(|_| !id.is_empty() && !id.contains('/'))
}

impl State {
    /// Records that a call has arrived, and returns its number among those of its kind.
    fn record(&mut self, call: &Call<'_>) -> usize {
        self.record.arrived(call.region);
        let authorization = call.received.headers.contains_key("authorization");
        match call.resource {
            Resource::Task(task_id) => {
                let request = Request {
                    task_id: task_id.clone(),
                    region: call.region.to_owned(),
                    at: call.now,
                    answered: None,
                    state: None,
                    authorization,
                    access_key_id: call.account.clone(),
                };
                self.record.tasks.add(task_id, request)
            }
            Resource::List(cluster_id, query) => {
                let list_call = ListCall {
                    cluster_id: cluster_id.clone(),
                    region: call.region.to_owned(),
                    page_number: query.number,
                    page_size: query.size,
                    at: call.now,
                    answered: None,
                    tasks: None,
                    authorization,
                    access_key_id: call.account.clone(),
                };
                self.record.lists.add(cluster_id, list_call)
            }
        }
    }

    /// Records what the answer to a call shows.
    fn record_shown(&mut self, resource: &Resource, number: usize, decision: &Decision) {
        match resource {
            Resource::Task(_) => {
                if let Some(request) = self.record.tasks.call(number) {
                    request.state.clone_from(&decision.state);
                }
            }
            Resource::List(..) => {
                if let Some(call) = self.record.lists.call(number) {
                    call.tasks = decision.tasks;
                }
            }
        }
    }

    fn decide(&mut self, call: &Call<'_>) -> Decision {
        let Call { region, now, .. } = *call;
        let request_id = &call.request_id;
        // Faults and steps count every request, even if it is refused.
        let (scopes, page) = scopes(region, call.resource);
        let fault = self.faults.hit(&scopes, (region, page), now);
        let clock = match call.resource {
            Resource::Task(task_id) => self.tasks.get(region, task_id).map(|task| task.clock(now)),
            Resource::List(..) => None,
        };
        if let Err(refusal) = self.admit(call) {
            return Decision::fault(Reply::refusal(&refusal, request_id), refusal.code);
        }
        let account = call.account.as_deref().unwrap_or_default();
        if let Some(limiter) = &mut self.limiter
            && !limiter.admits(region, account, now)
        {
            let reply = Reply::default().with_fault(&limiter.limit.answer, request_id);
            return Decision::fault(reply, "rate limit");
        }
        let healthy = match call.resource {
            Resource::Task(task_id) => self.healthy(call, task_id, clock, fault.as_ref()),
            Resource::List(cluster_id, query) => self.healthy_page(call, cluster_id, *query),
        };
        let decision = with_fault(healthy, fault.as_ref(), request_id);
        if let (Resource::List(cluster_id, _), Some(_)) = (call.resource, decision.tasks) {
            self.tasks.sent_page(region, cluster_id);
        }
        decision
    }

    /// The answer without a fault, except for another task ID.
    fn healthy(
        &mut self,
        call: &Call<'_>,
        task_id: &str,
        clock: Option<Clock>,
        fault: Option<&Fault>,
    ) -> Decision {
        let task = self.tasks.get(call.region, task_id);
        let Some((clock, TrackedTask { task, .. })) = clock.zip(task) else {
            return Decision::new(Reply::default().with_fault(&self.unknown, &call.request_id));
        };
        let other_id = fault.and_then(|fault| fault.task_id.as_deref());
        let answer = timeline::answer(task, clock, other_id);
        Decision {
            state: Some(answer.state),
            ..Decision::new(Reply::ok(&answer.content_type, answer.body))
        }
    }

    /// The page without a fault.
    fn healthy_page(&mut self, call: &Call<'_>, cluster_id: &str, query: Query) -> Decision {
        let request_id = &call.request_id;
        match self.page((call.region, cluster_id), query, request_id, call.now) {
            Ok(page) => Decision {
                tasks: Some(page.tasks),
                ..Decision::new(Reply::ok("application/json", page.body))
            },
            Err(refusal) => Decision::new(Reply::refusal(&refusal, request_id)),
        }
    }

    /// Checks that the request is for a task or a list, and correctly signed.
    fn admit(&mut self, call: &Call<'_>) -> Result<(), Refusal> {
        let refused = |status, code, message: &str| Err(Refusal::new(status, code, message));
        let operation = match call.resource {
            Resource::Task(task_id) if task_id.is_empty() => {
                let message = "The path is not /tasks/{task_id} or /clusters/{cluster_id}/tasks.";
                return refused(404, "InvalidAction.NotFound", message);
            }
            Resource::Task(_) => DESCRIBE_TASK_INFO,
            Resource::List(..) => DESCRIBE_CLUSTER_TASKS,
        };
        if call.received.method != "GET" {
            return refused(405, "UnsupportedHTTPMethod", "The method is not GET.");
        }
        self.keys.check(call.received, operation, call.now)
    }
}

/// The scopes whose faults apply to a request, the narrowest first; and the page that is asked for.
fn scopes(region: &str, resource: &Resource) -> (Vec<Scope>, Option<u64>) {
    match resource {
        Resource::Task(task_id) => {
            let in_all = Scope::Task(None, task_id.clone());
            let in_one = Scope::Task(Some(region.to_owned()), task_id.clone());
            (vec![in_all, in_one, Scope::AllTasks], None)
        }
        Resource::List(cluster_id, query) => {
            let of_one = Scope::List(cluster_id.clone());
            let page = query.number.unwrap_or(1);
            (vec![of_one, Scope::AllLists], Some(page))
        }
    }
}

/// Applies a fault to the answer.
fn with_fault(healthy: Decision, fault: Option<&Fault>, request_id: &str) -> Decision {
    let Some(fault) = fault else {
        return healthy;
    };
    Decision {
        state: healthy.state.filter(|_| fault.leaves_body()),
        tasks: healthy.tasks.filter(|_| fault.leaves_body()),
        reply: healthy.reply.with_fault(fault, request_id),
        fault: Some(fault.to_string()),
    }
}
