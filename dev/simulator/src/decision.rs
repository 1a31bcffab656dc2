//! Decisions how to answer a request.

use std::{collections::HashMap, time::Instant};

use hyper::StatusCode;

use crate::{
    acs3::Received,
    call::Resource,
    fault::{Fault, Scope},
    metadata::{self, Asked},
    reply::Reply,
    state::{Shared, State, lock},
    sts::{self, Exchange},
};

/// The reply, and what is logged and recorded about it.
pub(crate) struct Decision {
    pub(crate) reply: Reply,
    /// The task's state, if the body with it is sent.
    pub(crate) state: Option<String>,
    /// How many tasks are in the answer, if a page with them is sent.
    pub(crate) tasks: Option<usize>,
    /// The fault that was applied.
    pub(crate) fault: Option<String>,
}

impl Decision {
    pub(crate) fn new(reply: Reply) -> Self {
        Self {
            reply,
            state: None,
            tasks: None,
            fault: None,
        }
    }

    pub(crate) fn fault(reply: Reply, fault: &str) -> Self {
        Self {
            fault: Some(fault.to_owned()),
            ..Self::new(reply)
        }
    }
}

/// A request in progress. It ends when the answer is sent or the client has closed the connection.
pub(crate) struct Ticket {
    pub(crate) shared: Shared,
    pub(crate) number: usize,
    pub(crate) address: Address,
}

/// Whom a request is for.
pub(crate) enum Address {
    /// The task API, in a region.
    Api(String, Resource),
    Sts,
    Metadata,
}

impl Ticket {
    pub(crate) fn region(&self) -> &str {
        match &self.address {
            Address::Api(region, _) => region,
            Address::Sts => "sts",
            Address::Metadata => "metadata",
        }
    }

    pub(crate) fn task_id(&self) -> Option<&str> {
        match &self.address {
            Address::Api(_, Resource::Task(task_id)) => Some(task_id),
            _ => None,
        }
    }

    pub(crate) fn cluster_id(&self) -> Option<&str> {
        match &self.address {
            Address::Api(_, Resource::List(cluster_id, _)) => Some(cluster_id),
            _ => None,
        }
    }

    /// Records that the answer begins.
    pub(crate) fn answered(&self, status: u16) {
        let State {
            record, exchanges, ..
        } = &mut *lock(&self.shared);
        let number = self.number;
        let answered = match &self.address {
            Address::Api(_, Resource::Task(_)) => {
                record.tasks.call(number).map(|call| &mut call.answered)
            }
            Address::Api(_, Resource::List(..)) => {
                record.lists.call(number).map(|call| &mut call.answered)
            }
            Address::Sts => exchanges.get_mut(number).map(|one| &mut one.answered),
            Address::Metadata => None,
        };
        if let Some(answered) = answered {
            *answered = Some(status);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Address::Api(region, _) = &self.address {
            lock(&self.shared).record.left(region);
        }
    }
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
    let fault = state.faults.hit(&[Scope::Sts], ("", None), now);
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
        fault: fault.map(|fault| fault.to_string()),
        ..Decision::new(reply)
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
    let ticket = Ticket {
        shared: shared.clone(),
        number: 0,
        address: Address::Metadata,
    };
    (Decision::new(reply), ticket)
}
