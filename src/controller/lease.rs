//! Acquires, renews and releases the Lease.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::fence::FenceKeeper;
use crate::{
    admin::{Health, Part},
    clock::Clock,
    scheduler::{Election, LEASE_DURATION, LeaseRecord, LeaseStep},
};

/// How long one request may take. Three fit into the renew deadline.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a candidate checks whether the objects are listed.
const SYNC_PERIOD: Duration = Duration::from_millis(50);
/// How long releasing the Lease may take, as the process is about to end.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(1200);
const RELEASE_ATTEMPTS: usize = 3;

/// The Lease to acquire, and the identity to acquire it with.
#[derive(Clone, Debug)]
pub struct LeaseName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The identity of this replica. It is unique for each process.
    pub identity: String,
}

/// Takes part in the leader election.
pub struct Candidate {
    api: Api<Lease>,
    name: LeaseName,
    clock: Clock,
    keeper: FenceKeeper,
    health: Arc<Health>,
    election: Election,
    /// The Lease as it was last read or written. A write keeps the fields that others set.
    last: Option<Lease>,
    /// The holder that was logged last.
    logged_holder: Option<String>,
    logged_error: Option<String>,
}

impl Candidate {
    /// A candidate that hasn't started.
    pub fn new(
        client: Client,
        name: LeaseName,
        clock: Clock,
        keeper: FenceKeeper,
        health: Arc<Health>,
    ) -> Self {
        Self {
            api: Api::namespaced(client, &name.namespace),
            election: Election::new(name.identity.clone()),
            name,
            clock,
            keeper,
            health,
            last: None,
            logged_holder: None,
            logged_error: None,
        }
    }

    /// Acquires and renews the Lease until `stop` ends, then releases it.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            self.health.beat(Part::Lease);
            // A replica that hasn't listed the objects leaves the Lease to others.
            let pause = if self.health.is_synced() {
                self.step().await
            } else {
                SYNC_PERIOD
            };
            // A request in flight is never cancelled: releasing depends on its result.
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = sleep(pause) => {}
            }
        }
        self.release().await;
    }

    /// Does one step of the election, and returns how long to wait before the next.
    async fn step(&mut self) -> Duration {
        let pause = match self.election.next(self.clock.elapsed()) {
            LeaseStep::WaitUntil(at) => at.saturating_sub(self.clock.elapsed()),
            LeaseStep::Read => {
                self.read().await;
                Duration::ZERO
            }
            LeaseStep::Claim(record) => {
                self.claim(record).await;
                Duration::ZERO
            }
        };
        let until = self.election.leads_until().unwrap_or_default();
        self.keeper.lead_until(until);
        pause
    }

    async fn read(&mut self) {
        let sent_at = self.clock.elapsed();
        match send(self.api.get_opt(&self.name.name)).await {
            Ok(lease) => {
                let record = lease.as_ref().map(record_of);
                self.last = lease;
                self.log_holder(record.as_ref());
                self.election.read(record, self.clock.elapsed());
            }
            Err(error) => self.failed(sent_at, &error),
        }
    }

    async fn claim(&mut self, record: LeaseRecord) {
        let lease = self.lease_of(&record);
        let sent_at = self.clock.elapsed();
        let params = PostParams::default();
        let written = if record.version.is_empty() {
            send(self.api.create(&params, &lease)).await
        } else {
            send(self.api.replace(&self.name.name, &params, &lease)).await
        };
        match written {
            Ok(lease) => {
                let record = record_of(&lease);
                self.last = Some(lease);
                self.log_holder(Some(&record));
                self.election.claimed(record, sent_at);
            }
            // The Lease was deleted, or another replica was faster.
            Err(LeaseError::Changed) => self.election.refused(self.clock.elapsed()),
            Err(error) => self.failed(sent_at, &error),
        }
    }

    async fn release(mut self) {
        self.keeper.lead_until(Duration::ZERO);
        if self.election.leads_until().is_none() {
            return;
        }
        let name = self.name.name.clone();
        if timeout(RELEASE_TIMEOUT, self.try_release()).await == Ok(true) {
            info!(lease = name, "released the lease");
        } else {
            warn!(
                lease = name,
                "can't release the lease; other replicas wait until it expires"
            );
        }
    }

    /// Reads the Lease before writing it, as the response to the last renewal may be lost.
    async fn try_release(&mut self) -> bool {
        for _ in 0..RELEASE_ATTEMPTS {
            let Ok(Some(lease)) = self.api.get_opt(&self.name.name).await else {
                return false;
            };
            let mut election = self.election.clone();
            election.read(Some(record_of(&lease)), self.clock.elapsed());
            self.last = Some(lease);
            let Some(record) = election.release() else {
                return true;
            };
            let (lease, params) = (self.lease_of(&record), PostParams::default());
            let replaced = self.api.replace(&self.name.name, &params, &lease).await;
            if replaced.is_ok() {
                return true;
            }
        }
        false
    }

    /// The last known Lease, changed to what `record` says.
    fn lease_of(&self, record: &LeaseRecord) -> Lease {
        let mut lease = self.last.clone().unwrap_or_default();
        let before = lease.spec.take().unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let kept = before.holder_identity.as_ref() == Some(&record.holder);
        lease.metadata = ObjectMeta {
            name: Some(self.name.name.clone()),
            namespace: Some(self.name.namespace.clone()),
            resource_version: Some(record.version.clone()).filter(|version| !version.is_empty()),
            managed_fields: None,
            ..lease.metadata
        };
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(record.holder.clone()),
            lease_duration_seconds: i32::try_from(record.duration.as_secs()).ok(),
            lease_transitions: Some(record.transitions),
            acquire_time: before
                .acquire_time
                .filter(|_| kept)
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            ..before
        });
        lease
    }

    fn failed(&mut self, sent_at: Duration, error: &LeaseError) {
        let (text, hint) = match error {
            LeaseError::Changed => ("the lease changed".to_owned(), ""),
            LeaseError::Denied(text) => (
                text.clone(),
                "grant get, create and update on leases.coordination.k8s.io in its namespace",
            ),
            LeaseError::NoNamespace(text) => (text.clone(), "check --lease-namespace"),
            LeaseError::Other(text) => (text.clone(), "is the API server up?"),
        };
        if self.logged_error.as_ref() != Some(&text) {
            let LeaseName {
                namespace, name, ..
            } = &self.name;
            warn!(
                namespace,
                name,
                error = text,
                hint,
                "can't use the lease; retrying"
            );
            self.logged_error = Some(text);
        }
        self.election.failed(sent_at, self.clock.elapsed());
    }

    fn log_holder(&mut self, record: Option<&LeaseRecord>) {
        self.logged_error = None;
        let holder = record.map(|record| record.holder.clone());
        if self.logged_holder != holder {
            if let Some(holder) = holder.as_ref().filter(|holder| !holder.is_empty()) {
                let is_me = *holder == self.name.identity;
                info!(
                    lease = self.name.name,
                    holder, is_me, "the lease has a new holder"
                );
            }
            self.logged_holder = holder;
        }
    }
}

/// Why a request about the Lease failed.
enum LeaseError {
    /// The Lease is no longer the version that was read.
    Changed,
    Denied(String),
    NoNamespace(String),
    Other(String),
}

/// Sends a request with a timeout.
async fn send<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) => Err(match status.code {
            404 if is_about_namespace(&status) => LeaseError::NoNamespace(status.message),
            404 | 409 => LeaseError::Changed,
            401 | 403 => LeaseError::Denied(status.message),
            _ => LeaseError::Other(status.message),
        }),
        Ok(Err(error)) => Err(LeaseError::Other(error.to_string())),
        Err(_) => Err(LeaseError::Other(format!(
            "no answer within {REQUEST_TIMEOUT:?}"
        ))),
    }
}

fn is_about_namespace(status: &kube::core::Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|details| details.kind == "namespaces")
}

/// The fields of a Lease that the election uses. An invalid duration counts as the default.
fn record_of(lease: &Lease) -> LeaseRecord {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0);
    LeaseRecord {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: seconds.map_or(LEASE_DURATION, Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or_default(),
        renewed: spec.renew_time.map(|time| time.0),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}
