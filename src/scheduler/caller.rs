//! Who calls the task API: an object or a source. Until a call begins they are alike.

use std::sync::Arc;

use super::{
    Config, ObjectId, Scheduler,
    call_queues::CallQueues,
    sources::TrackedSource,
    tracked::{PollState, Tracked},
    work_queue::WorkQueue,
};
use crate::{rules::ObjectKey, task_api::endpoint::Endpoints};

/// What a call is queued by.
pub struct Caller<'a> {
    pub poll: &'a mut PollState,
    pub namespace: &'a Arc<str>,
    /// Where to ask; none where nothing says.
    pub region: Option<&'a str>,
    /// The Secret with its own credentials.
    pub secret_name: Option<&'a str>,
    pub endpoints: &'a Endpoints,
}

impl Caller<'_> {
    pub fn secret(&self) -> Option<ObjectKey> {
        Some(ObjectKey {
            namespace: self.namespace.clone(),
            name: self.secret_name?.into(),
        })
    }

    /// Which host answers.
    pub fn host(&self) -> Option<String> {
        Some(self.endpoints.host(self.region?))
    }
}

impl Tracked {
    fn caller<'a>(&'a mut self, config: &'a Config) -> Caller<'a> {
        Caller {
            poll: &mut self.poll,
            namespace: &self.object.key.namespace,
            region: self.object.region(&config.policy),
            secret_name: self.object.spec.secret_name(),
            endpoints: &config.endpoints,
        }
    }
}

impl TrackedSource {
    fn caller<'a>(&'a mut self, config: &'a Config) -> Caller<'a> {
        Caller {
            poll: &mut self.poll,
            namespace: &self.source.key.namespace,
            region: self.source.region(&config.policy),
            secret_name: self.source.spec.secret_name.as_deref(),
            endpoints: &config.endpoints,
        }
    }
}

impl Scheduler {
    /// The caller with that ID, and the queues that it waits in.
    pub(super) fn caller(
        &mut self,
        id: ObjectId,
    ) -> Option<(Caller<'_>, &mut WorkQueue<()>, &mut CallQueues)> {
        let config = &self.config;
        let caller = match self.objects.get_mut(&id) {
            Some(tracked) => tracked.caller(config),
            None => self.sources.get_mut(id)?.caller(config),
        };
        Some((caller, &mut self.secrets, &mut self.calls))
    }
}
